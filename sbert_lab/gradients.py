"""Ways to fill `.grad`: each takes an encoder, a loss and one batch, and returns the loss's value.

`plain` keeps every activation of the batch until the backward pass. `cached` (Gao et al. 2021, "Scaling Deep
Contrastive Learning Batch Size under Memory Limited Setup") keeps those of one chunk at a time and yields the same
gradient, at the price of a second forward pass. Neither steps an optimizer or speaks to other processes.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sbert_lab.cross_encoder import CrossEncoder
from sbert_lab.encoder import Encoder
from sbert_lab.tokens import Tokens

Model = Encoder | CrossEncoder  # what can be trained


def plain(
    encoder: Model, loss: nn.Module, columns: Sequence[Tokens], labels: Tensor | None, tokens_at_once: int
) -> Tensor:
    """One forward and one backward pass: every column of the batch, (B,) texts each, in the same chunks."""
    chunks, places = _chunks(columns, tokens_at_once)
    value = loss(_columns([encoder(chunk) for chunk in chunks], places, len(columns)), labels)
    value.backward()
    return value.detach()


def cached(
    encoder: Model, loss: nn.Module, columns: Sequence[Tokens], labels: Tensor | None, tokens_at_once: int
) -> Tensor:
    """The gradient of `plain` over the same chunks, with the activations of one chunk in memory at a time.

    First every vector without its activations; then the loss's gradient with respect to the vectors; then each chunk
    once more, with the random state (dropout) it had, to carry that gradient on to the weights.
    """
    chunks, places = _chunks(columns, tokens_at_once)
    states, vectors = [], []
    with torch.no_grad():
        for chunk in chunks:
            states.append(_random_state(encoder.device))
            vectors.append(encoder(chunk).requires_grad_())
    value = loss(_columns(vectors, places, len(columns)), labels)
    value.backward()
    if not any(weight.requires_grad for weight in encoder.parameters()):
        return value.detach()  # only the loss's own weights learn
    for chunk, state, vector in zip(chunks, states, vectors, strict=True):
        with torch.random.fork_rng([encoder.device] if encoder.device.type == "cuda" else []):
            _set_random_state(state, encoder.device)
            encoder(chunk).backward(vector.grad)
    return value.detach()


def _chunks(columns: Sequence[Tokens], tokens_at_once: int) -> tuple[list[Tokens], Tensor]:
    """All columns as one batch, sorted by length and cut by budget, and where each text went: (K * B,)."""
    tokens = Tokens.concat(columns)
    order = tokens.lengths.argsort(stable=True)
    return tokens.take(order).split(tokens_at_once), order.argsort()


def _columns(vectors: Sequence[Tensor], places: Tensor, count: int) -> tuple[Tensor, ...]:
    """The chunks' vectors back in their columns: `count` times (B, D)."""
    return torch.cat(list(vectors))[places].chunk(count)


def _random_state(device: torch.device) -> tuple[Tensor, Tensor | None]:
    return torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None


def _set_random_state(state: tuple[Tensor, Tensor | None], device: torch.device) -> None:
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.cuda.set_rng_state(state[1], device)
