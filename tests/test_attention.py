"""Packed attention is softmax attention inside each text, one text at a time: values and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from sbert_lab.attention import packed_attention
from sbert_lab.tokens import Tokens

BATCHES = {
    "one token": [1],
    "one text": [7],
    "all equal": [4, 4, 4],
    "sorted": [9, 5, 5, 2, 1, 1],
    "unsorted": [3, 8, 3, 1, 8, 8, 2],
}


def batch(lengths: list[int]) -> Tokens:
    ids = torch.zeros(sum(lengths), dtype=torch.int64)
    return Tokens(ids, torch.tensor(lengths), ids)


def random_inputs(lengths: list[int]) -> list[Tensor]:
    """Query, key and value (1, H, T, D) in double precision."""
    torch.manual_seed(sum(lengths))
    return [torch.randn(1, 2, sum(lengths), 4, dtype=torch.float64, requires_grad=True) for _ in range(3)]


def naive(query: Tensor, key: Tensor, value: Tensor, lengths: list[int], scaling: float, window: int) -> Tensor:
    """Token by token: the scores of the text's own tokens nearer than `window`, a softmax, a weighted sum."""
    out, start = [], 0
    for length in lengths:
        for i in range(start, start + length):
            seen = [j for j in range(start, start + length) if abs(i - j) < window]
            for head in range(query.shape[1]):
                scores = torch.stack([query[0, head, i] @ key[0, head, j] * scaling for j in seen])
                weights = scores.exp() / scores.exp().sum()
                out.append(sum(w * value[0, head, j] for w, j in zip(weights, seen, strict=True)))
        start += length
    return torch.stack(out).unflatten(0, (1, -1, query.shape[1]))  # (1, T, H, D)


@pytest.mark.parametrize("lengths", BATCHES.values(), ids=BATCHES)
@pytest.mark.parametrize("window", [None, 1, 3, 20])
def test_packed_is_the_naive_loop(lengths: list[int], window: int | None) -> None:
    inputs = random_inputs(lengths)
    out, weights = packed_attention(
        nn.Module(), *inputs, None, tokens=batch(lengths), scaling=0.3, sliding_window=window
    )
    expected = naive(*inputs, lengths, scaling=0.3, window=window or 1000)
    assert weights is None
    torch.testing.assert_close(out, expected, rtol=1e-10, atol=1e-10)

    toward = torch.randn_like(expected)
    torch.testing.assert_close(
        torch.autograd.grad((out * toward).sum(), inputs),
        torch.autograd.grad((expected * toward).sum(), inputs),
        rtol=1e-9,
        atol=1e-10,
    )


def test_without_a_scaling_it_is_one_over_root_width() -> None:
    inputs = random_inputs([3, 5])
    out, _ = packed_attention(nn.Module(), *inputs, None, tokens=batch([3, 5]))
    torch.testing.assert_close(out, naive(*inputs, [3, 5], scaling=4**-0.5, window=1000))


def test_a_text_does_not_see_its_neighbours() -> None:
    query, key, value = (x.detach() for x in random_inputs([3, 3, 2]))
    before, _ = packed_attention(nn.Module(), query, key, value, None, tokens=batch([3, 3, 2]))
    key[:, :, 3:6], value[:, :, 3:6] = (
        100.0,
        -100.0,
    )  # another text, in the run of the first
    after, _ = packed_attention(nn.Module(), query, key, value, None, tokens=batch([3, 3, 2]))
    assert torch.equal(before[:, :3], after[:, :3]) and torch.equal(before[:, 6:], after[:, 6:])
    assert not torch.equal(before[:, 3:6], after[:, 3:6])


def test_dropout_is_applied_to_the_weights() -> None:
    torch.manual_seed(0)
    query, key = torch.randn(2, 1, 2, 4000, 4).unbind()
    tokens = batch([10] * 400)
    out, _ = packed_attention(nn.Module(), query, key, torch.ones(1, 2, 4000, 4), None, tokens=tokens, dropout=0.5)
    assert out.std() > 0.1  # without dropout every output is exactly 1
    assert out.mean().item() == pytest.approx(1, abs=0.05)  # what is kept is scaled up


@pytest.mark.parametrize("name", ["position_bias", "softcap"])
def test_what_it_cannot_do_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"no {name}, which Linear passes"):
        packed_attention(nn.Linear(1, 1), *random_inputs([2]), None, tokens=batch([2]), **{name: torch.ones(1)})


def test_a_mask_is_refused() -> None:
    with pytest.raises(ValueError, match="no attention_mask, which Linear passes"):
        packed_attention(nn.Linear(1, 1), *random_inputs([2]), torch.ones(1, 1, 2, 2), tokens=batch([2]))


def test_tokens_are_required() -> None:
    # Without them one softmax would run over all texts at once, and nothing would look wrong.
    with pytest.raises(TypeError, match="tokens"):
        packed_attention(nn.Module(), *random_inputs([2]), None)
