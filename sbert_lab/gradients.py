"""Ways to fill `.grad`: each takes an encoder, a loss and one batch, and returns the loss's value.

`plain` keeps every activation of the batch until the backward pass. `cached` (Gao et al. 2021, "Scaling Deep
Contrastive Learning Batch Size under Memory Limited Setup") keeps those of one chunk at a time and yields the same
gradient, at the price of a second forward pass. `Adversarial(...)` and `Momentum(...)` make such a function with
settings; the first also learns from inputs disturbed against it, the second compares with passages of earlier batches.
None of them steps an optimizer.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from sbert_lab import settings
from sbert_lab.cross_encoder import CrossEncoder
from sbert_lab.encoder import Encoder
from sbert_lab.losses import InBatchNegatives, gather_columns
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


class Adversarial:
    """Half the gradient of the batch, half that of the batch with its word embeddings moved to raise the loss.

    `norm` "l2" moves each text's embeddings together by the length `epsilon` along their gradient (FGM, Miyato et al.
    2017), "sign" each number by `epsilon` up or down (FGSM, Goodfellow et al. 2015). What moves is what the model's
    table gives, before positions and layer normalisation. The move is a constant to the gradient; dropout is drawn
    anew. Costs two passes, and holds the whole batch, as `plain` does. The value is the mean of both losses.

    >>> train(encoder, rows, loss, gradients=gradients.Adversarial(epsilon=0.5))
    """

    def __init__(self, epsilon: float = 1.0, norm: str = "l2") -> None:
        if norm not in ("l2", "sign"):
            raise ValueError(f"norm {norm!r} is not one of l2, sign")
        self.epsilon, self.norm = settings.number("epsilon", epsilon, above=0), norm

    def __call__(
        self, encoder: Model, loss: nn.Module, columns: Sequence[Tokens], labels: Tensor | None, tokens_at_once: int
    ) -> Tensor:
        """As `plain`. Raises ValueError where the word embeddings are frozen: they would have no gradient."""
        table = encoder.backbone.model.get_input_embeddings()
        if not table.weight.requires_grad:
            raise ValueError("the word embeddings are frozen: Adversarial needs their gradient")
        chunks, places = _chunks(columns, tokens_at_once)
        seen: list[Tensor] = []  # (1, T, D) or, padded, (B, L, D) a chunk

        def half() -> Tensor:
            value = loss(_columns([encoder(chunk) for chunk in chunks], places, len(columns)), labels) / 2
            value.backward()
            return value.detach()

        def remember(output: Tensor) -> Tensor:
            output.retain_grad()
            seen.append(output)
            return output

        with _output_of(table, remember):
            value = half()
        moves = iter(
            [self._move(output, chunk, encoder.backbone.packs) for output, chunk in zip(seen, chunks, strict=True)]
        )
        with _output_of(table, lambda output: output + next(moves)):
            return value + half()

    def _move(self, output: Tensor, tokens: Tokens, packed: bool) -> Tensor:
        """By how much the embeddings of a chunk move, in their own shape."""
        gradient = output.grad
        assert gradient is not None
        if self.norm == "sign":
            return self.epsilon * gradient.sign()
        squares = gradient.square().sum(dim=-1)  # (1, T) or (B, L)
        if packed:
            squares = squares.new_zeros(len(tokens)).index_add(0, tokens.rows, squares[0])  # (B,)
            length = squares.sqrt()[tokens.rows][None, :, None]  # (1, T, 1)
        else:
            length = squares.sum(dim=1).sqrt()[:, None, None]  # (B, 1, 1)
        return self.epsilon * gradient / length.clamp(min=torch.finfo(gradient.dtype).tiny)


class Momentum:
    """In-batch negatives among the passages of this batch and of the last `batches`, as a slower encoder sees them.

    Anchors go through the encoder and learn. All other columns go through a copy of it that follows by
    `momentum` a step, key = momentum key + (1 - momentum) encoder, and takes no gradient: He et al. 2020; Izacard et
    al. 2022 (Contriever) have 0.9995. An object of this class belongs to one training: it keeps copy and queue.

    >>> train(encoder, rows, losses.InBatchNegatives(), gradients=gradients.Momentum(batches=16))
    """

    def __init__(self, momentum: float = 0.9995, batches: int = 16) -> None:
        self.momentum = settings.number("momentum", momentum, least=0, below=1)
        self.batches = settings.whole("batches", batches)
        self.encoder: Any = None  # the slower copy, made at the first batch
        self.queue: list[Tensor] = []  # (columns * N, D) a batch, the oldest first

    @torch.no_grad()
    def _follow(self, encoder: Model) -> None:
        if self.encoder is None:
            self.encoder = copy.deepcopy(encoder).requires_grad_(False)
        for slow, fast in zip(self.encoder.parameters(), encoder.parameters(), strict=True):
            slow.lerp_(fast, 1 - self.momentum)
        self.encoder.train(encoder.training)

    def __call__(
        self, encoder: Model, loss: nn.Module, columns: Sequence[Tokens], labels: Tensor | None, tokens_at_once: int
    ) -> Tensor:
        """As `plain`. Raises TypeError for a loss without candidates to choose from."""
        if not isinstance(loss, InBatchNegatives) or loss.symmetric:
            given = f"{type(loss).__name__}{'(symmetric=True)' * isinstance(loss, InBatchNegatives)}"
            raise TypeError(f"Momentum keeps candidates for InBatchNegatives one way, and {given} has none to keep")
        loss.check_columns(len(columns))
        self._follow(encoder)
        chunks, places = _chunks(columns[:1], tokens_at_once)
        anchors = torch.cat([encoder(chunk) for chunk in chunks])[places]  # (B, D)
        with torch.no_grad():
            chunks, places = _chunks(columns[1:], tokens_at_once)
            slow = _columns([self.encoder(chunk) for chunk in chunks], places, len(columns) - 1)  # (B, D) each
            keys = gather_columns(slow)  # (columns * N, D), positives first
        value = loss.choose(anchors, torch.cat([keys, *self.queue]))
        value.backward()
        self.queue = [*self.queue, keys][-self.batches :]
        return value.detach()


@contextmanager
def _output_of(module: nn.Module, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """What `module` returns goes through `change`."""
    hook = module.register_forward_hook(lambda module, given, output: change(output))
    try:
        yield
    finally:
        hook.remove()


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
