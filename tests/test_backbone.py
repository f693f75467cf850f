"""Every family gives transformers' own vectors, packed and padded.

The oracle is transformers alone: a model of the same weights that never met this package, one text at a time, with no
padding anywhere.
"""

from __future__ import annotations

import pytest
import torch
from tiny import PACKED, PADDED, TEXTS, tiny_model, tiny_tokenizer
from torch import Tensor
from transformers import PreTrainedModel

from sbert_lab.backbone import Backbone
from sbert_lab.tokens import Tokens

LONG = " ".join(["the old red cat sat on a blue mat in the rain"] * 4)  # 46 tokens; ModernBERT's window here sees 9
EVERY_TEXT = [*TEXTS, LONG, "cat"]
CLOSE = {"rtol": 1e-4, "atol": 2e-5}
EVERY_FAMILY = pytest.mark.parametrize("family", PACKED + PADDED)
EVERY_PACKED = pytest.mark.parametrize("family", PACKED)
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def tokens_of(texts: list[str]) -> Tokens:
    return Tokens.from_texts(tiny_tokenizer(), texts, 64)[0]


def own_output(model: PreTrainedModel, texts: list[str]) -> Tensor:
    """transformers' output text by text, one after the other: (T, D)."""
    tokenizer = tiny_tokenizer()
    return torch.cat([model(torch.tensor([tokenizer(text).input_ids])).last_hidden_state[0] for text in texts])


@pytest.fixture
def padded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every backbone takes its padded path, as all do on a GPU."""
    monkeypatch.setattr(Backbone, "packs", False)


def test_the_families_that_pack() -> None:
    packs = [family for family in PACKED + PADDED if Backbone(tiny_model(family), tiny_tokenizer()).packs]
    assert packs == PACKED


# One test per family


@EVERY_FAMILY
def test_as_it_comes_it_equals_transformers(family: str) -> None:
    hidden = Backbone(tiny_model(family), tiny_tokenizer())(tokens_of(EVERY_TEXT))
    torch.testing.assert_close(hidden, own_output(tiny_model(family), EVERY_TEXT), **CLOSE)


@EVERY_FAMILY
def test_padded_it_equals_transformers(family: str, padded: None) -> None:
    hidden = Backbone(tiny_model(family), tiny_tokenizer())(tokens_of(EVERY_TEXT))
    torch.testing.assert_close(hidden, own_output(tiny_model(family), EVERY_TEXT), **CLOSE)


@EVERY_FAMILY
def test_gradients_of_all_weights_equal_transformers(family: str) -> None:
    backbone, own = Backbone(tiny_model(family), tiny_tokenizer()), tiny_model(family)
    hidden, expected = backbone(tokens_of(EVERY_TEXT)), own_output(own, EVERY_TEXT)
    toward = torch.randn_like(expected)
    (hidden * toward).sum().backward()
    (expected * toward).sum().backward()
    for (name, weight), theirs in zip(backbone.model.named_parameters(), own.parameters(), strict=True):
        if "pooler" in name:  # BERT's pooler stands beside the token vectors
            assert weight.grad is None
            continue
        torch.testing.assert_close(weight.grad, theirs.grad, rtol=1e-3, atol=1e-3, msg=name)
        assert weight.grad.abs().sum() > 0, name


@EVERY_FAMILY
def test_width_and_length(family: str) -> None:
    backbone = Backbone(tiny_model(family), tiny_tokenizer())
    assert backbone.dimension == backbone(tokens_of(["a cat"])).shape[1] == 32
    assert backbone.longest == 64  # the tokenizer's; the position table would allow more


@pytest.mark.parametrize("family, longest", [("bert", 80), ("roberta", 78), ("mpnet", 78), ("camembert", 78)])
def test_positions_bound_the_length(family: str, longest: int) -> None:
    # Where positions begin at 2 the last two rows of the table are out of reach: 78, and 78 must run.
    tokenizer = tiny_tokenizer()
    tokenizer.model_max_length = 10**30  # what many tokenizers say for "no limit"
    backbone = Backbone(tiny_model(family), tokenizer)
    assert backbone.longest == longest
    tokens, cut = Tokens.from_texts(tokenizer, ["cat " * 100], backbone.longest)
    assert (len(tokens.ids), cut) == (longest, 1)
    own = tiny_model(family)(tokens.ids[None]).last_hidden_state[0]
    torch.testing.assert_close(backbone(tokens), own, **CLOSE)


def test_no_limit_at_all_is_a_number_the_tokenizer_takes() -> None:
    tokenizer, model = tiny_tokenizer(), tiny_model("t5")
    tokenizer.model_max_length = 10**30
    del model.config.max_position_embeddings  # T5 has none: its positions are relative
    backbone = Backbone(model, tokenizer)
    tokens, cut = Tokens.from_texts(tokenizer, ["cat " * 3000], backbone.longest)
    assert (len(tokens.ids), cut) == (3002, 0)


# What could silently be left out


def test_modernberts_window_is_really_there() -> None:
    # The same weights with a window as wide as the text: if the window were dropped, nothing would change.
    narrow = Backbone(tiny_model("modernbert"), tiny_tokenizer())(tokens_of([LONG]))
    wide = Backbone(tiny_model("modernbert", local_attention=128), tiny_tokenizer())(tokens_of([LONG]))
    assert (narrow - wide).abs().max() > 0.1


def test_t5s_position_bias_is_not_dropped() -> None:
    backbone, own = Backbone(tiny_model("t5"), tiny_tokenizer()), tiny_model("t5")
    before = backbone(tokens_of(EVERY_TEXT))
    for model in (backbone.model, own):
        bias = model.encoder.block[0].layer[0].SelfAttention.relative_attention_bias.weight
        bias.data += torch.arange(bias.numel()).view_as(bias).sin() * 3
    after = backbone(tokens_of(EVERY_TEXT))
    assert (after - before).abs().max() > 0.1
    torch.testing.assert_close(after, own_output(own, EVERY_TEXT), **CLOSE)


@EVERY_PACKED
def test_padding_does_not_leak_into_the_padded_path(family: str, padded: None, monkeypatch: pytest.MonkeyPatch) -> None:
    # The attention without a mask must be out of the way: fill the holes with something else, see no difference.
    backbone, tokens = Backbone(tiny_model(family), tiny_tokenizer()), tokens_of(EVERY_TEXT)
    with_padding = backbone(tokens)
    backbone.tokenizer.pad_token = "dog"
    torch.testing.assert_close(backbone(tokens), with_padding)


@EVERY_PACKED
def test_packed_and_padded_in_any_order(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone, tokens = Backbone(tiny_model(family), tiny_tokenizer()), tokens_of(EVERY_TEXT)
    expected = own_output(tiny_model(family), EVERY_TEXT)
    for packs in (True, False, True, True, False, False, True):
        monkeypatch.setattr(Backbone, "packs", packs)
        torch.testing.assert_close(backbone(tokens), expected, **CLOSE)


@EVERY_PACKED
def test_the_model_stays_usable_by_itself(family: str) -> None:
    # Lessons look inside the model: after a packed batch the plain call must see its mask.
    backbone, tokens = Backbone(tiny_model(family), tiny_tokenizer()), tokens_of(EVERY_TEXT)
    backbone(tokens)
    ids, mask, _ = tokens.padded(1)
    theirs = tiny_model(family)(ids, attention_mask=mask.long()).last_hidden_state
    torch.testing.assert_close(backbone.model(ids, attention_mask=mask.long()).last_hidden_state, theirs, **CLOSE)


def test_a_second_backbone_around_the_same_model(monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokens = tiny_model(), tokens_of(EVERY_TEXT)
    first = Backbone(model, tiny_tokenizer())(tokens)
    monkeypatch.setattr(Backbone, "packs", False)
    torch.testing.assert_close(Backbone(model, tiny_tokenizer())(tokens), first, **CLOSE)


def test_segments_reach_bert() -> None:
    inputs = tiny_tokenizer()("the cat sat", "a dog ran", return_token_type_ids=True)
    ids, segments = torch.tensor(inputs.input_ids), torch.tensor(inputs.token_type_ids)
    assert segments.tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 1]
    tokens = Tokens.concat([Tokens(ids, torch.tensor([len(ids)]), segments), tokens_of(["red"])])
    own = tiny_model()(ids[None], token_type_ids=segments[None]).last_hidden_state[0]
    for path in (Backbone._packed, Backbone._padded):
        hidden = path(Backbone(tiny_model(), tiny_tokenizer()), tokens)
        torch.testing.assert_close(hidden[:-3], own, **CLOSE)


@pytest.mark.parametrize("family", ["roberta", "xlm-roberta"])
def test_a_text_that_spells_out_the_padding_token(family: str) -> None:
    # RoBERTa's kin give a padding token no position of its own, wherever it stands.
    texts = ["a dog", "cat [PAD] dog sat", "[PAD] [PAD]", "red house"]
    hidden = Backbone(tiny_model(family), tiny_tokenizer())(tokens_of(texts))
    torch.testing.assert_close(hidden, own_output(tiny_model(family), texts), **CLOSE)


def test_a_model_that_looks_only_backwards_keeps_doing_so() -> None:
    backbone = Backbone(tiny_model(is_decoder=True), tiny_tokenizer())
    own = own_output(tiny_model(is_decoder=True), EVERY_TEXT)
    torch.testing.assert_close(backbone(tokens_of(EVERY_TEXT)), own, **CLOSE)


def test_dropout_is_on_in_training_and_off_otherwise() -> None:
    backbone, tokens = Backbone(tiny_model(), tiny_tokenizer()), tokens_of(TEXTS)
    backbone.train()
    assert (backbone(tokens) - backbone(tokens)).abs().max() > 0.1
    backbone.eval()
    assert torch.equal(backbone(tokens), backbone(tokens))


@pytest.mark.filterwarnings("ignore:`gradient_checkpointing_enable` is deprecated")
def test_gradient_checkpointing_recomputes_the_same() -> None:
    gradients = []
    for checkpointing in (False, True):
        backbone = Backbone(tiny_model(**NO_DROPOUT), tiny_tokenizer()).train()
        if checkpointing:
            backbone.model.gradient_checkpointing_enable()
        backbone(tokens_of(TEXTS)).square().sum().backward()
        gradients.append([w.grad for w in backbone.parameters() if w.grad is not None])
    torch.testing.assert_close(gradients[0], gradients[1])


# Precision


@pytest.mark.parametrize("family", PACKED + PADDED)
def test_bfloat16_is_close_and_leaves_as_float32(family: str) -> None:
    tokens = tokens_of(EVERY_TEXT)
    exact = Backbone(tiny_model(family), tiny_tokenizer())(tokens)
    rough = Backbone(tiny_model(family), tiny_tokenizer(), torch.bfloat16)(tokens)
    assert exact.dtype == rough.dtype == torch.float32
    difference = (rough - exact).norm(dim=1) / exact.norm(dim=1)
    assert 1e-4 < difference.mean() < 0.05  # bfloat16 keeps eight bits; a difference of 0 would mean it was not used


def test_weights_in_half_precision_are_not_computed_in_it() -> None:
    backbone = Backbone(tiny_model().half(), tiny_tokenizer())
    own = own_output(tiny_model().half().float(), EVERY_TEXT)
    torch.testing.assert_close(backbone(tokens_of(EVERY_TEXT)), own, **CLOSE)


@pytest.mark.parametrize("precision", [torch.float16, torch.float64, "bf16", None])
def test_other_precisions_are_refused(precision: object) -> None:
    with pytest.raises(ValueError, match=f"precision is {precision}: choose torch.float32 or torch.bfloat16"):
        Backbone(tiny_model(), tiny_tokenizer(), precision)
