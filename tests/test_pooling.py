"""Each pooling is its loop over one text, and sentence-transformers' on a padded view: values and gradients."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from sentence_transformers.sentence_transformer.modules import Pooling
from torch import Tensor

from sbert_lab.pooling import POOLINGS, attention
from sbert_lab.tokens import Tokens

LOOPS: dict[str, Callable[[Tensor], Tensor]] = {  # (length, D) -> (D,)
    "mean": lambda text: sum(text) / len(text),
    "cls": lambda text: text[0],
    "max": lambda text: torch.stack([column[column.argmax()] for column in text.T]),
    "mean_sqrt_len": lambda text: sum(text) / len(text) ** 0.5,
    "last": lambda text: text[len(text) - 1],
}
THEIRS = {
    "mean_sqrt_len": "mean_sqrt_len_tokens",
    "last": "lasttoken",
}  # other names there
LENGTHS = [5, 1, 3, 3, 9, 1]
EVERY_POOLING = pytest.mark.parametrize("pooling", POOLINGS)


def batch(lengths: list[int] = LENGTHS) -> Tokens:
    ids = torch.zeros(sum(lengths), dtype=torch.int64)
    return Tokens(ids, torch.tensor(lengths), ids)


def random_hidden() -> Tensor:
    """One text and one dimension are all below zero: a zero leaking in from padding would be the largest."""
    torch.manual_seed(0)
    hidden = torch.randn(sum(LENGTHS), 6, dtype=torch.float64)
    hidden[5:9], hidden[:, 2] = -hidden[5:9].abs(), -hidden[:, 2].abs()
    return hidden.requires_grad_()


def same_values_and_gradients(ours: Tensor, theirs: Tensor, hidden: Tensor) -> None:
    toward = torch.randn_like(ours)
    torch.testing.assert_close(ours, theirs)
    mine, other = (torch.autograd.grad((x * toward).sum(), hidden, retain_graph=True)[0] for x in (ours, theirs))
    torch.testing.assert_close(mine, other)
    assert mine.abs().sum() > 0


def test_the_five_poolings_are_here() -> None:
    assert list(POOLINGS) == list(LOOPS)


@EVERY_POOLING
def test_pooling_is_the_loop(pooling: str) -> None:
    hidden = random_hidden()
    expected = torch.stack([LOOPS[pooling](text) for text in hidden.split(LENGTHS)])
    same_values_and_gradients(POOLINGS[pooling](hidden, batch()), expected, hidden)


@EVERY_POOLING
def test_pooling_is_that_of_sentence_transformers(pooling: str) -> None:
    hidden, tokens = random_hidden(), batch()
    mask = tokens.padded(0)[1]
    rectangle = hidden.new_full((*mask.shape, 6), 1e3)  # padding filled with rubbish: it must not matter
    rectangle = rectangle.masked_scatter(mask[:, :, None], hidden)  # (B, L, D)
    module = Pooling(6, THEIRS.get(pooling, pooling))
    theirs = module({"token_embeddings": rectangle, "attention_mask": mask.long()})["sentence_embedding"]
    same_values_and_gradients(POOLINGS[pooling](hidden, tokens), theirs, hidden)


@EVERY_POOLING
def test_one_token_is_its_own_vector(pooling: str) -> None:
    hidden = torch.tensor([[3.0, -4.0]])
    assert torch.equal(POOLINGS[pooling](hidden, batch([1])), hidden)


def test_attention_is_the_mean_weighted_by_the_softmax_of_the_scores() -> None:
    tokens, hidden = batch(), random_hidden()
    scores = (torch.randn(sum(LENGTHS), dtype=torch.float64) * 3).requires_grad_()
    parts = zip(hidden.split(LENGTHS), scores.split(LENGTHS), strict=True)
    loop = torch.stack([part.softmax(0) @ vectors for vectors, part in parts])
    same_values_and_gradients(attention(hidden, tokens, scores), loop, hidden)
    same_values_and_gradients(attention(hidden, tokens, scores), loop, scores)
    torch.testing.assert_close(attention(hidden, tokens, scores * 0), POOLINGS["mean"](hidden, tokens))
    assert attention(hidden, tokens, scores * 1e6).isfinite().all()
