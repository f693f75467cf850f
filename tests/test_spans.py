"""Span corruption: nothing is lost, the shares are the paper's, the loss is transformers' own, and it learns."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from test_corpus import DOCUMENTS
from tiny import TEXTS, tiny_encoder, tiny_tokenizer
from transformers import T5Config, T5ForConditionalGeneration

from sbert_lab import Plan, corpus, load, pretraining, spans
from sbert_lab.tokens import Tokens

TOKENIZER = spans.with_sentinels(tiny_tokenizer())
MARKS = TOKENIZER.convert_tokens_to_ids(spans.SENTINELS)


def t5(**changes) -> T5ForConditionalGeneration:
    torch.manual_seed(0)
    sizes = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
    ids = {"pad_token_id": 1, "eos_token_id": TOKENIZER.eos_token_id, "decoder_start_token_id": 1}
    return T5ForConditionalGeneration(
        T5Config(vocab_size=len(TOKENIZER), **{"dropout_rate": 0.0} | sizes | ids | changes)
    ).eval()


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> corpus.Corpus:
    return corpus.Corpus.write(tmp_path_factory.mktemp("text"), DOCUMENTS * 8, tiny_tokenizer())


def put_back(read: list[int], written: list[int]) -> list[int]:
    """The text, from what the encoder read and what the decoder was to write."""
    spans_of: dict[int, list[int]] = {}
    for token in written:
        if token in MARKS:
            spans_of[mark := token] = []
        else:
            spans_of[mark].append(token)
    return [t for token in read for t in (spans_of[token] if token in MARKS else [token])]


def rows(tokens) -> list[list[int]]:
    return [row.tolist() for row in tokens.ids.split(tokens.lengths.tolist())]


def test_both_halves_together_are_the_text() -> None:
    torch.manual_seed(0)
    texts = [np.random.default_rng(n).integers(5, 40, n).astype(np.uint16) for n in range(2, 90)]
    read, written, places = spans.corrupt(texts, TOKENIZER)
    whole_rows = np.concatenate([[-1, *text, TOKENIZER.eos_token_id] for text in texts])
    stays = ~torch.isin(read.ids, torch.tensor(MARKS))
    assert whole_rows[places][stays].tolist() == read.ids[stays].tolist()
    first = [b for a, b in pairwise(written.ids.tolist()) if a in MARKS]
    assert whole_rows[places][~stays].tolist() == first  # a sentinel stands where its span began
    for text, seen, said in zip(texts, rows(read), rows(written), strict=True):
        assert seen[-1] == said[-1] == TOKENIZER.eos_token_id
        marks = [t for t in seen if t in MARKS]
        assert marks == [t for t in said if t in MARKS] == MARKS[: len(marks)]
        assert said[0] == MARKS[0] and seen[0] == text[0]
        assert put_back(seen[:-1], said[:-1]) == text.tolist()


def test_shares_and_lengths_are_those_asked_for_and_places_are_drawn() -> None:
    torch.manual_seed(0)
    texts = [np.arange(200, 300)] * 400
    read, written, _ = spans.corrupt(texts, TOKENIZER)
    gone = [[t for t in row if t >= 200] for row in rows(written)]
    assert {len(row) for row in gone} == {15} and set(written.lengths.tolist()) == {15 + 5 + 1}  # 15 %, five spans of 3
    often = np.bincount([t for row in gone for t in row], minlength=300)[200:]
    assert often[0] == 0 and often[1:].min() > 15  # the first stays; everything else goes in about 60 of 400
    assert len({tuple(row) for row in gone}) > 390


def test_a_text_that_cannot_be_cut_is_named() -> None:
    with pytest.raises(ValueError, match="a text of 1 tokens cannot be cut"):
        spans.corrupt([np.array([7])], TOKENIZER)


def test_the_tokenizer_ends_a_text_and_keeps_the_ids() -> None:
    ours, theirs = TOKENIZER(TEXTS)["input_ids"], tiny_tokenizer()(TEXTS)["input_ids"]
    assert ours == [ids[1:] for ids in theirs]  # no [CLS]
    assert MARKS == list(range(len(tiny_tokenizer()), len(tiny_tokenizer()) + 32))


def test_the_loss_is_that_of_transformers_and_chunks_change_nothing(text) -> None:
    torch.manual_seed(3)
    windows = text.windows([24])[:12]
    read, written, _ = spans.corrupt([text.ids[a:b] for a, _, b in windows], TOKENIZER)
    ids, mask, _ = read.padded(1)
    truth, wanted, _ = written.padded(1)
    other = t5()
    other(input_ids=ids, attention_mask=mask.long(), labels=truth.masked_fill(~wanted, -100)).loss.backward()
    found = spans.SpanCorruption(t5())
    for start in range(0, 12, 5):
        part = slice(start, start + 5)
        scores, names, _ = found(read[part], written[part])
        (torch.nn.functional.cross_entropy(scores, names, reduction="sum") / len(written.ids)).backward()
    for name, weight in other.named_parameters():
        torch.testing.assert_close(found.t5.get_parameter(name).grad, weight.grad, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("at_once", [60, 10_000])
def test_it_learns_and_is_measured_without_dropout(text, at_once) -> None:
    model = spans.SpanCorruption(t5(dropout_rate=0.1))
    before = spans.measure(model.train(), TOKENIZER, text)
    assert model.training and before == spans.measure(model.eval(), TOKENIZER, text)
    plan = Plan(epochs=6, batch_size=16, learning_rate=1e-2, tokens_at_once=at_once)
    history = spans.pretrain(model, TOKENIZER, text, plan, longest=(24,), held_out=text)
    after = spans.measure(model, TOKENIZER, text)
    assert after["loss"] < before["loss"] - 1 and after["accuracy"] > before["accuracy"]
    assert history.scores[-1][1] > history.scores[0][1]


def test_a_teacher_is_approached(text) -> None:
    """Beside the writing: the encoder's vectors of whole texts come nearer to the teacher's, token by token."""
    teacher, model = tiny_encoder().backbone.train(), spans.SpanCorruption(t5())
    batch = [text.ids[a:b] for a, _, b in text.windows([24])[:8]]
    read, written, places = spans.corrupt(batch, TOKENIZER)
    goals = []
    with torch.no_grad():
        for ids in batch:
            row = torch.tensor([[2, *ids.tolist(), 3]])
            goals.append(teacher.eval()(Tokens(row[0], torch.tensor([len(ids) + 2]), torch.zeros_like(row[0]))))
        goals = torch.cat(goals)[places]
        goals = (goals - goals.mean(1, keepdim=True)) / goals.std(1, correction=0, keepdim=True)
        before = (model(read, written)[2] - goals).square().mean()
        plan = Plan(epochs=6, batch_size=16, learning_rate=1e-2, tokens_at_once=60)
        with torch.enable_grad():
            spans.pretrain(model, TOKENIZER, text, plan, teacher=teacher.train(), longest=(24,))
        assert (model(read, written)[2] - goals).square().mean() < before / 2
    assert teacher.training and all(weight.grad is None for weight in teacher.parameters())


def test_what_is_saved_is_read_as_an_encoder(tmp_path) -> None:
    model = t5()
    pretraining.save(model, TOKENIZER, tmp_path)
    encoder = load(tmp_path)
    assert encoder.tokenize(["the cat"])[0].ids.tolist() == TOKENIZER("the cat")["input_ids"]
    ids = torch.tensor([TOKENIZER("the cat")["input_ids"]])
    vectors = model.half().float().encoder(ids).last_hidden_state[0]
    torch.testing.assert_close(torch.from_numpy(encoder.encode("the cat")), vectors.mean(dim=0), rtol=1e-3, atol=1e-4)


def test_a_corpus_without_text_is_named(tmp_path) -> None:
    empty = corpus.Corpus.write(tmp_path, [["cat"]], tiny_tokenizer())
    with pytest.raises(ValueError, match="holds no text"):
        spans.pretrain(spans.SpanCorruption(t5()), TOKENIZER, empty, Plan())
