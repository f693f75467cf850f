"""Masking, the two objectives against transformers' own, and a pretraining that learns."""

import math

import numpy as np
import pytest
import torch
from test_corpus import DOCUMENTS
from tiny import TEXTS, VOCABULARY, tiny_tokenizer
from transformers import AutoModel, BertConfig, BertForPreTraining

from sbert_lab import corpus, load, loop, pretraining
from sbert_lab.pretraining import Pretraining
from sbert_lab.tokens import Tokens

PLAIN = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def bert(**changes) -> BertForPreTraining:
    torch.manual_seed(0)
    sizes = {
        "vocab_size": len(VOCABULARY), "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
        "intermediate_size": 64, "max_position_embeddings": 80, "pad_token_id": 1, "initializer_range": 0.3,
    }  # fmt: skip
    return BertForPreTraining(BertConfig(**sizes | PLAIN | changes)).eval()


def tokens(texts=TEXTS) -> Tokens:
    return Tokens.from_texts(tiny_tokenizer(), texts, 64)[0]


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> corpus.Corpus:
    return corpus.Corpus.write(tmp_path_factory.mktemp("text"), DOCUMENTS * 8, tiny_tokenizer())


def test_masking_follows_the_paper():
    batch = tokens([" ".join(["the cat sat on a red mat"] * 8)] * 400)
    torch.manual_seed(0)
    masked, hidden = pretraining.mask(batch, tiny_tokenizer(), 0.2)
    special = torch.isin(batch.ids, torch.tensor(tiny_tokenizer().all_special_ids))
    assert not (hidden & special).any() and torch.equal(masked.ids[~hidden], batch.ids[~hidden])
    assert hidden[~special].float().mean() == pytest.approx(0.2, abs=0.01)
    is_mask, same = masked.ids[hidden] == 4, masked.ids[hidden] == batch.ids[hidden]
    assert is_mask.float().mean() == pytest.approx(0.8, abs=0.02)
    assert same.float().mean() == pytest.approx(0.1, abs=0.02)
    assert (~is_mask & ~same).float().mean() == pytest.approx(0.1, abs=0.02)
    assert len(masked.ids[hidden][~is_mask & ~same].unique()) > len(VOCABULARY) / 2  # any entry


def test_at_least_one_token_is_hidden_and_an_empty_text_is_refused():
    _, hidden = pretraining.mask(tokens(["a cat"]), tiny_tokenizer(), 1e-9)
    assert hidden.sum() == 1
    with pytest.raises(ValueError, match="nothing to mask"):
        pretraining.mask(tokens([""]), tiny_tokenizer(), 0.15)


def test_the_losses_are_those_of_transformers(text):
    ours, theirs = Pretraining(bert(), tiny_tokenizer()).eval(), bert()
    batch, labels = text.pairs(text.windows([24]), tiny_tokenizer())
    assert set(labels.tolist()) == {0, 1, -100}
    torch.manual_seed(5)
    corrupted, hidden = pretraining.mask(batch, tiny_tokenizer(), 0.3)
    masked, following = ours.losses(corrupted, batch.ids, hidden, labels)
    ours_loss = masked / hidden.sum() + following / (labels >= 0).sum()
    ids, mask, segments = corrupted.padded(1)
    truth = torch.full(ids.shape, -100)
    truth[mask] = batch.ids.masked_fill(~hidden, -100)
    expected = theirs(ids, mask.long(), segments, labels=truth, next_sentence_label=labels).loss
    assert ours_loss.item() == pytest.approx(expected.item(), rel=1e-5)
    expected.backward()
    ours_loss.backward()
    pairs = ((ours.backbone.model, theirs.bert), (ours.masked_head, theirs.cls.predictions))
    for module, original in (*pairs, (ours.next_head, theirs.cls.seq_relationship)):
        for name, weight in original.named_parameters():
            torch.testing.assert_close(module.get_parameter(name).grad, weight.grad, rtol=1e-3, atol=1e-5)


def first_gradient(model: Pretraining, text: corpus.Corpus, longest: int, at_once: int) -> tuple[float, list]:
    """The value and the gradients of a pretraining's first step."""
    found = []

    def look(weights, limit):
        found.extend(weight.grad.clone() for weight in weights if weight.grad is not None)
        raise StopIteration

    clip, torch.nn.utils.clip_grad_norm_ = torch.nn.utils.clip_grad_norm_, look
    try:
        pretraining.pretrain(model, text, loop.Plan(batch_size=24, tokens_at_once=at_once), longest=(longest,))
    except StopIteration:
        return found
    finally:
        torch.nn.utils.clip_grad_norm_ = clip


@pytest.mark.parametrize("longest", [24, 9])  # the second: single sentences alone, no next-sentence loss
def test_many_chunks_give_the_gradient_of_one(text, longest):
    whole, parts = (
        first_gradient(Pretraining(bert(), tiny_tokenizer()), text, longest, at_once) for at_once in (10_000, 30)
    )
    assert max(gradient.abs().max() for gradient in whole) > 1e-2
    for a, b in zip(whole, parts, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


def test_a_start_from_words_predicts_their_frequency():
    model, counts = bert(), np.arange(len(VOCABULARY))
    vectors = np.random.default_rng(0).normal(size=(len(VOCABULARY), 32)).astype(np.float32)
    vectors[4] = 0
    before = model.bert.embeddings.word_embeddings.weight[4].clone()
    pretraining.start_from_words(model, vectors, counts)
    table = model.bert.embeddings.word_embeddings.weight.detach()
    assert torch.equal(table[4], before)  # no vector: the random one stays
    torch.testing.assert_close(table[9] / table[9].norm(), torch.from_numpy(vectors[9] / np.linalg.norm(vectors[9])))
    with torch.no_grad():  # whatever the vector, a head that ignores it guesses by frequency
        model.cls.predictions.transform.dense.weight.zero_()
        model.cls.predictions.transform.LayerNorm.weight.zero_()
        guess = model.cls.predictions(torch.randn(1, 32))[0].softmax(0)
    for entry in (0, 9, len(VOCABULARY) - 1):
        assert guess[entry].item() == pytest.approx((entry + 1) / sum(range(1, len(VOCABULARY) + 1)), rel=1e-4)
    assert model.cls.predictions.decoder.weight is model.bert.embeddings.word_embeddings.weight  # still tied


PLAN = loop.Plan(epochs=6, batch_size=8, learning_rate=3e-3, checkpoint_every=2, evaluate_every=8, tokens_at_once=60)


def test_it_learns_and_resumes(text, tmp_path):
    start = Pretraining(bert(initializer_range=0.05), tiny_tokenizer())
    before = pretraining.measure(start, text, (24,))["loss"]
    whole, again = (Pretraining(bert(initializer_range=0.05), tiny_tokenizer()) for _ in range(2))
    history = pretraining.pretrain(whole, text, PLAN, longest=(24,), held_out=text, folder=tmp_path / "a")
    assert pretraining.measure(whole, text, (24,))["loss"] < before - 0.5
    assert history.scores[0][1] == pytest.approx(-before, abs=1e-6)

    losses, take = again.losses, iter(range(20))

    def some(*arguments):
        next(take)  # StopIteration after twenty chunks
        return losses(*arguments)

    again.losses = some
    with pytest.raises(StopIteration):
        pretraining.pretrain(again, text, PLAN, longest=(24,), held_out=text, folder=tmp_path / "b")
    again.losses = losses
    pretraining.pretrain(again, text, PLAN, longest=(24,), held_out=text, folder=tmp_path / "b")
    for a, b in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_model_that_knows_nothing_measures_as_chance(text):
    model = Pretraining(bert(), tiny_tokenizer())
    with torch.no_grad():
        for head in (model.masked_head.decoder, model.next_head):
            head.weight.zero_()
            head.bias.zero_()
    state = torch.get_rng_state()
    found = pretraining.measure(model, text, (24,))
    assert torch.equal(torch.get_rng_state(), state) and found == pretraining.measure(model, text, (24,))
    assert found["loss"] == pytest.approx(math.log(len(VOCABULARY)), rel=1e-5)
    assert 0 < found["nats_per_character"] < found["loss"]
    assert found["next_accuracy"] == found["next_share"]  # all scores equal: the first answer, "it follows"
    assert 0.2 < found["next_share"] < 0.8


def test_measuring_is_without_dropout_and_leaves_the_mode(text):
    model = Pretraining(bert(hidden_dropout_prob=0.5), tiny_tokenizer()).train()
    found = pretraining.measure(model, text, (24,))
    assert model.training and found == pretraining.measure(model.eval(), text, (24,))
    with pytest.raises(ValueError, match="windows of 128 tokens do not fit a model that takes 64"):
        pretraining.measure(model, text, (128,))


def test_what_is_saved_is_half_the_size_and_loads_in_float32(tmp_path):
    model = bert()
    pretraining.save(model, tiny_tokenizer(), tmp_path, hidden_dropout_prob=0.1)
    assert model.dtype == torch.float32  # the model itself is left as it was
    assert model.config.hidden_dropout_prob == 0.0
    again = BertForPreTraining.from_pretrained(tmp_path)
    assert again.dtype == AutoModel.from_pretrained(tmp_path).dtype == torch.float32
    for name, weight in model.named_parameters():
        torch.testing.assert_close(again.get_parameter(name), weight.half().float(), rtol=0, atol=0)
    assert load(tmp_path).encode(TEXTS).shape == (len(TEXTS), 32)
    size = sum(weight.numel() for weight in model.parameters())
    assert (tmp_path / "model.safetensors").stat().st_size < 2 * size + 10_000
    assert again.config.hidden_dropout_prob == 0.1
