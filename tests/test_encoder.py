"""Texts to vectors: order, number, length, modes, and what is said of anything that is not text.

The oracle is transformers alone, text by text, with the averages and layers written out by hand.
"""

from __future__ import annotations

import threading
import warnings
from collections import UserList
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny import TEXTS, tiny_encoder, tiny_model, tiny_tokenizer
from torch import nn

from sbert_lab import encoder as encoder_file
from sbert_lab import pooling
from sbert_lab.backbone import Backbone
from sbert_lab.encoder import Dense, Encoder
from sbert_lab.storage import save

MANY = [f"{text} {number}" for number in range(6) for text in TEXTS]
LONG = "the cat sat on the mat " * 20


def mean_by_hand(texts: list[str]) -> np.ndarray:
    """transformers' output for one text at a time, averaged over its tokens: (N, D)."""
    model, tokenizer = tiny_model(), tiny_tokenizer()
    with torch.no_grad():
        hidden = [model(torch.tensor([tokenizer(text).input_ids])).last_hidden_state[0] for text in texts]
    return torch.stack([x.mean(dim=0) for x in hidden]).numpy()


def close(ours: np.ndarray, theirs: np.ndarray) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


# Order and number


@pytest.mark.parametrize("number", [1, 2, 7, 42])
def test_vectors_come_in_the_order_of_the_texts(number: int) -> None:
    vectors = tiny_encoder().encode(MANY[:number])
    assert vectors.shape == (number, 32) and vectors.dtype == np.float32
    close(vectors, mean_by_hand(MANY[:number]))


@pytest.mark.parametrize(
    "texts",
    [tuple(MANY), np.array(MANY), np.array(MANY, dtype=object), UserList(MANY)],
    ids=["tuple", "array of str", "array of object", "a list's likeness"],
)
def test_any_ordered_iterable_will_do(texts: object) -> None:
    close(tiny_encoder().encode(texts), mean_by_hand(MANY))


def test_a_generator_will_do() -> None:
    close(tiny_encoder().encode(text for text in MANY), mean_by_hand(MANY))


@pytest.mark.parametrize(
    "nothing", [[], (), iter(()), np.array([], dtype=str)], ids=["list", "tuple", "iterator", "array"]
)
def test_no_texts_give_no_vectors(nothing: object) -> None:
    vectors = tiny_encoder().encode(nothing)
    assert vectors.shape == (0, 32) and vectors.dtype == np.float32


@pytest.mark.parametrize("text", ["a cat", "", np.str_("a cat")])
def test_one_str_gives_one_vector(text: str) -> None:
    vector = tiny_encoder().encode(text)
    assert vector.shape == (32,) and vector.dtype == np.float32
    close(vector[None], mean_by_hand([str(text)]))


def test_equal_texts_get_equal_vectors() -> None:
    vectors = tiny_encoder().encode(["a dog", *MANY, "a dog"])
    np.testing.assert_allclose(vectors[0], vectors[-1], rtol=0, atol=1e-6)
    assert np.abs(vectors[0] - vectors[1]).max() > 0.1


@pytest.mark.parametrize("block", [1, 3, 7, 41, 42, 43])
def test_blocks_join_without_a_seam(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_file, "TEXTS_AT_ONCE", block)
    close(tiny_encoder().encode(iter(MANY)), mean_by_hand(MANY))


def test_an_iterable_is_not_read_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    # A corpus larger than the memory: block 1 must be encoded before block 2 is read.
    monkeypatch.setattr(encoder_file, "TEXTS_AT_ONCE", 3)
    encoder, seen, read_when_encoding = tiny_encoder(), [], []
    encoder.register_forward_hook(lambda *_: read_when_encoding.append(len(seen)))
    encoder.encode(seen.append(text) or text for text in MANY[:9])
    assert sorted(set(read_when_encoding)) == [3, 6, 9]


@pytest.mark.parametrize("budget", [1, 10, 55, 10_000])
def test_the_token_budget_does_not_change_the_vectors(budget: int) -> None:
    encoder, sizes = tiny_encoder(), []
    encoder.register_forward_hook(lambda _, inputs, __: sizes.append((len(inputs[0]), len(inputs[0].ids))))
    close(encoder.encode(MANY, tokens_at_once=budget), mean_by_hand(MANY))
    assert all(texts == 1 or tokens <= budget for texts, tokens in sizes)
    assert sum(texts for texts, _ in sizes) == len(MANY)


# Length


def test_cut_texts_are_counted_once_for_all_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_file, "TEXTS_AT_ONCE", 2)
    encoder = tiny_encoder(max_length=5)
    with pytest.warns(UserWarning) as caught:
        vectors = encoder.encode(TEXTS)
    assert [str(warning.message) for warning in caught] == ["2 of 7 texts were cut at 5 tokens (max_length)"]
    assert caught[0].filename == __file__
    close(vectors, mean_by_hand(["the cat sat", "", "a dog", "the old red", "blue", "a dog", "tree tree tree"]))


def test_nothing_is_said_where_nothing_is_cut() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tiny_encoder(max_length=11).encode(TEXTS)  # the longest has 11 tokens


def test_tokenize_returns_the_count() -> None:
    tokens, cut = tiny_encoder(max_length=6).tokenize([LONG, "a cat", LONG])
    assert (tokens.lengths.tolist(), cut) == ([6, 4, 6], 2)


def test_the_default_length_is_what_the_model_takes() -> None:
    encoder = tiny_encoder()
    assert encoder.max_length == 64
    with pytest.warns(UserWarning, match="1 of 1 texts were cut at 64 tokens"):
        encoder.encode([LONG])


# Layers after the pooling


@pytest.mark.parametrize("activation", ["tanh", "identity", "relu", "gelu", "sigmoid"])
@pytest.mark.parametrize("bias", [True, False])
def test_dense_layers_are_matrix_products(activation: str, bias: bool) -> None:
    layers = [Dense(32, 8, activation, bias), Dense(8, 5, "tanh")]
    encoder = tiny_encoder(dense=layers)
    by_hand = torch.tensor(mean_by_hand(MANY))
    with torch.no_grad():
        shift = layers[0].linear.bias if bias else 0
        function = {"identity": lambda x: x, "gelu": F.gelu}.get(activation) or getattr(torch, activation)
        by_hand = function(by_hand @ layers[0].linear.weight.T + shift)
        by_hand = torch.tanh(by_hand @ layers[1].linear.weight.T + layers[1].linear.bias)
    assert encoder.dimension == 5
    assert (layers[0].linear.bias is not None) == bias
    close(encoder.encode(MANY), by_hand.numpy())


def test_unit_length_comes_last() -> None:
    layer = Dense(32, 8, "tanh")
    plain = tiny_encoder(dense=[layer]).encode(MANY)
    unit = tiny_encoder(dense=[layer], normalize=True).encode(MANY)
    assert np.abs(np.linalg.norm(plain, axis=1) - 1).mean() > 0.01
    close(unit, plain / np.linalg.norm(plain, axis=1, keepdims=True))


def test_every_weight_is_registered() -> None:
    encoder = tiny_encoder(dense=[Dense(32, 8)])
    encoder(encoder.tokenize(TEXTS)[0]).sum().backward()
    assert encoder.get_parameter("dense.0.linear.weight").grad.abs().sum() > 0
    assert encoder.get_parameter("backbone.model.embeddings.word_embeddings.weight").grad.abs().sum() > 0


@pytest.mark.parametrize("pooling", ["cls", "max", "last", "mean_sqrt_len"])
def test_the_pooling_asked_for_is_used(pooling: str) -> None:
    model, ids = tiny_model(), torch.tensor([tiny_tokenizer()("the cat sat").input_ids])
    hidden = model(ids).last_hidden_state[0].detach()  # (5, D)
    expected = {
        "cls": hidden[0],
        "last": hidden[4],
        "max": hidden.amax(dim=0),
        "mean_sqrt_len": hidden.sum(dim=0) / 5**0.5,
    }
    close(tiny_encoder(pooling=pooling).encode(["a dog ran", "the cat sat"])[1], expected[pooling].numpy())


# Modes


def test_encode_runs_without_dropout_and_gives_training_back() -> None:
    encoder = tiny_encoder().train()
    close(encoder.encode(MANY), mean_by_hand(MANY))
    assert all(module.training for module in encoder.modules())


def test_a_part_frozen_in_evaluation_mode_stays_so() -> None:
    encoder = tiny_encoder(dense=[Dense(32, 8)]).train()
    encoder.backbone.eval()
    encoder.encode(TEXTS)
    assert encoder.training and encoder.dense.training
    assert not any(module.training for module in encoder.backbone.modules())


def test_evaluation_mode_stays() -> None:
    encoder = tiny_encoder().eval()
    encoder.encode(TEXTS)
    assert not any(module.training for module in encoder.modules())


def test_modes_come_back_after_an_error() -> None:
    encoder = tiny_encoder().train()
    with pytest.raises(TypeError):
        encoder.encode(["a cat", None])
    assert all(module.training for module in encoder.modules())
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()


def test_no_gradient_is_recorded_by_encode_but_is_by_forward() -> None:
    encoder, recorded = tiny_encoder(), []
    encoder.register_forward_hook(lambda _, __, out: recorded.append(out.requires_grad))
    encoder.encode(TEXTS)
    encoder(encoder.tokenize(TEXTS)[0])
    assert recorded == [False, True]


def test_encode_between_two_training_steps_changes_nothing() -> None:
    gradients = []
    for peek in (False, True):
        torch.manual_seed(3)
        encoder = tiny_encoder().train()
        tokens, _ = encoder.tokenize(TEXTS)
        state = torch.get_rng_state()
        if peek:
            encoder.encode(MANY)
        assert torch.equal(torch.get_rng_state(), state)  # evaluating on the way must not move the dropout
        encoder(tokens).square().sum().backward()
        gradients.append([weight.grad for weight in encoder.parameters() if weight.grad is not None])
    torch.testing.assert_close(gradients[0], gradients[1])


def test_the_result_is_the_callers_own() -> None:
    vectors = tiny_encoder().encode(TEXTS)
    vectors += 1  # writable, and no inference tensor
    torch.from_numpy(vectors).requires_grad_().sum().backward()


def test_threads_may_share_an_encoder() -> None:
    # One thread leaves the model while another is half-way through it: texts must still not see their neighbours.
    encoder, vectors = tiny_encoder(), {}
    first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()

    def half_way(*_: object) -> None:
        if threading.current_thread().name == "first":
            first_in.set(), second_in.wait(2)
        else:
            second_in.set(), first_out.wait(2)

    def work() -> None:
        name = threading.current_thread().name
        vectors[name] = encoder.encode(MANY)
        first_out.set()

    encoder.backbone.model.encoder.layer[0].register_forward_hook(half_way)
    first, second = threading.Thread(target=work, name="first"), threading.Thread(target=work, name="second")
    first.start()
    first_in.wait(2)
    second.start()
    first.join()
    second.join()
    close(vectors["first"], mean_by_hand(MANY))
    close(vectors["second"], mean_by_hand(MANY))


# What is not text, and settings that cannot be


BAD: dict[str, tuple[Callable[[Encoder], object], type[Exception], str]] = {
    "None": (lambda e: e.encode(None), TypeError, "a str or an .*iterable of str, not .*NoneType"),
    "int": (lambda e: e.encode(7), TypeError, "a str or an .*iterable of str, not .*int"),
    "bytes": (lambda e: e.encode(b"a cat"), TypeError, "a str or an .*iterable of str, not .*bytes"),
    "dict": (lambda e: e.encode({"a": "cat"}), TypeError, "a str or an .*iterable of str, not .*dict"),
    "set": (lambda e: e.encode({"a cat", "a dog"}), TypeError, "ordered iterable of str, not .*set"),
    "frozenset": (lambda e: e.encode(frozenset("ab")), TypeError, "ordered iterable of str, not .*frozenset"),
    "table": (lambda e: e.encode(np.array([["a", "b"]])), TypeError, "iterable of str, not .*ndarray"),
    "0-d array": (lambda e: e.encode(np.array("a cat")), TypeError, "iterable of str, not .*ndarray"),
    "None among texts": (
        lambda e: e.encode(["a", None]),
        TypeError,
        r"text 1 is None \(NoneType\): a text must be a str",
    ),
    "nan among texts": (lambda e: e.encode(["a", float("nan")]), TypeError, r"text 1 is nan \(float\)"),
    "number among texts": (lambda e: e.encode(["a", "b", 3]), TypeError, r"text 2 is 3 \(int\)"),
    "bytes among texts": (lambda e: e.encode([b"a"]), TypeError, r"text 0 is b'a' \(bytes\)"),
    "nested list": (lambda e: e.encode(["a", ["b"]]), TypeError, r"text 1 is \['b'\] \(list\)"),
    "pair": (lambda e: e.encode([("a", "b")]), TypeError, r"text 0 is \('a', 'b'\) \(tuple\)"),
    "tensor": (lambda e: e.encode(torch.ones(2)), TypeError, r"text 0 is tensor\(1.\) \(Tensor\)"),
    "array of numbers": (lambda e: e.encode(np.ones(2)), TypeError, r"text 0 is .*1.0.* \(float64\)"),
    "from a generator": (lambda e: e.encode(x for x in ["a", 1]), TypeError, r"text 1 is 1 \(int\)"),
    "lone surrogate": (lambda e: e.encode(["a", "\ud800"]), ValueError, "text 1 holds half of a surrogate pair"),
    "one lone surrogate": (lambda e: e.encode("\udfff"), ValueError, "text 0 holds half of a surrogate pair"),
    "pooling": (lambda e: tiny_encoder(pooling="average"), ValueError, "'average' is not one of mean, cls, max"),
    "no pooling": (lambda e: tiny_encoder(pooling=None), ValueError, "None is not one of mean, cls, max"),
    "two poolings": (lambda e: tiny_encoder(pooling=["mean"]), ValueError, r"\['mean'\] is not one of mean"),
    "activation": (lambda e: Dense(4, 4, "swish"), ValueError, "'swish' is not one of tanh, identity"),
    "dense width": (lambda e: tiny_encoder(dense=[Dense(31, 4)]), ValueError, "takes 31 numbers but is given 32"),
    "dense chain": (
        lambda e: tiny_encoder(dense=[Dense(32, 4), Dense(5, 4)]),
        ValueError,
        "takes 5 numbers but is given 4",
    ),
    "not a dense layer": (lambda e: tiny_encoder(dense=[nn.Linear(32, 4)]), TypeError, "give a list of Dense layers"),
    "dense not in a list": (lambda e: tiny_encoder(dense=Dense(32, 4)), TypeError, "give a list of Dense layers"),
    "max_length 0": (lambda e: tiny_encoder(max_length=0), ValueError, "max_length is 0: this model takes 3 to 64"),
    "max_length below": (lambda e: tiny_encoder(max_length=-5), ValueError, "max_length is -5: .* takes 3 to 64"),
    "max_length above": (lambda e: tiny_encoder(max_length=65), ValueError, "max_length is 65: .* takes 3 to 64"),
    "max_length float": (lambda e: tiny_encoder(max_length=12.5), ValueError, "max_length is 12.5: .* 3 to 64"),
    "max_length str": (lambda e: tiny_encoder(max_length="12"), ValueError, "max_length is '12': .* 3 to 64"),
    "precision": (
        lambda e: Encoder(Backbone(tiny_model(), tiny_tokenizer(), torch.float16)),
        ValueError,
        "precision is torch.float16: choose",
    ),
    "a position of Tokens": (lambda e: e.tokenize(["a"])[0][0], TypeError, r"sliced: tokens\[0:"),
}


@pytest.mark.parametrize("call, error, words", BAD.values(), ids=BAD)
def test_bad_input_is_named(call: Callable[[Encoder], object], error: type[Exception], words: str) -> None:
    encoder = tiny_encoder()
    with pytest.raises(error, match=words) as caught:
        call(encoder)
    assert len(str(caught.value)) < 200 and "\n" not in str(caught.value)
    close(encoder.encode(["a cat"]), mean_by_hand(["a cat"]))  # and nothing is broken by it


def test_texts_are_numbered_through_all_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_file, "TEXTS_AT_ONCE", 2)
    with pytest.raises(TypeError, match="text 5 is None"):
        tiny_encoder().encode([*TEXTS[:5], None])


def test_a_long_wrong_thing_is_quoted_in_short() -> None:
    with pytest.raises(TypeError) as caught:
        tiny_encoder().encode([["a word"] * 1000])
    assert len(str(caught.value)) < 150


# Settings changed after the making


def test_max_length_can_be_set_and_is_checked() -> None:
    encoder = tiny_encoder()
    encoder.max_length = 4
    assert encoder.tokenize(["the old red house"])[0].lengths.tolist() == [4]
    for bad in (2, encoder.backbone.longest + 1, 12.5, True, None):
        with pytest.raises(ValueError, match=f"max_length is {bad}: this model takes 3 to 64 tokens"):
            encoder.max_length = bad
    assert encoder.max_length == 4


def test_a_zero_vector_made_unit_stays_zero_and_passes_no_gradient_back() -> None:
    """A dense layer with relu can give one; dividing by a tiny length would give gradients of 1e12."""
    dense = Dense(32, 4, "relu")
    torch.nn.init.constant_(dense.linear.bias, -1e6)
    encoder = tiny_encoder(dense=[dense], normalize=True)
    vectors = encoder(encoder.tokenize(["a cat"])[0])
    vectors.sum().backward()
    assert vectors.abs().max() == 0 and dense.linear.weight.grad.abs().max() == 0


def test_calls_that_every_newcomer_tries_are_answered() -> None:
    encoder = tiny_encoder()
    for call, words in [
        (lambda: encoder("a cat"), "takes Tokens, not a str: use encode"),
        (lambda: encoder(encoder.tokenize(["a cat"])), "takes Tokens, not a tuple"),
        (lambda: encoder.tokenize("a cat"), "takes a list of texts, not the str 'a cat'"),
        (lambda: Encoder("all-MiniLM-L6-v2"), "backbone is a str: give a Backbone"),
        (lambda: Encoder(encoder), "backbone is a Encoder: give a Backbone"),
    ]:
        with pytest.raises(TypeError, match=words):
            call()
    with pytest.raises(ValueError, match="pooling 'clss' is not one of mean"):
        encoder.pooling = "clss"
    assert encoder.pooling == "mean"


def test_a_learned_pooling_begins_as_the_mean_learns_and_has_no_place_in_the_format(tmp_path) -> None:
    encoder = tiny_encoder(pooling="attention")
    texts = ["a dog ran", "the cat"]
    close(encoder.encode(texts), tiny_encoder().encode(texts))
    encoder(encoder.tokenize(texts)[0]).sum().backward()
    assert encoder.scorer.weight.grad.abs().max() > 0
    torch.nn.init.normal_(encoder.scorer.weight)
    tokens, _ = encoder.tokenize(texts)
    hidden = encoder.backbone(tokens)
    expected = pooling.attention(hidden, tokens, hidden @ encoder.scorer.weight[0])
    torch.testing.assert_close(encoder(tokens), expected)
    kept = encoder.scorer
    encoder.pooling = "attention"
    assert encoder.scorer is kept
    with pytest.raises(ValueError, match="pooling 'attention' is not one of cls, max, mean"):
        save(encoder, tmp_path / "model")
    encoder.pooling = "mean"
    assert encoder.scorer is None and all("scorer" not in name for name, _ in encoder.named_parameters())
