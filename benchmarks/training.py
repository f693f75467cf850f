"""Training steps, tokenizing included: this package's `train` against bare steps with the library's losses.

The library's side is a plain loop, without its trainer, whose start-up would count against it. Its batches are random
rows, or rows of like length: cut from all rows sorted by characters, as transformers' `group_by_length` does. Those of
this package are random either way. Figures are per real token, as random and grouped batches hold different rows. Both
sides use fused AdamW, clipping and the model's own dropout; only the agreement, taken before the first step, is
without it.
"""

import random
from collections.abc import Callable
from itertools import cycle
from typing import Any

import torch
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss, SoftmaxLoss
from torch import Tensor, nn

from benchmarks.comparison import Variant, compare
from benchmarks.sides import Sides, transformer
from benchmarks.texts import count_tokens
from sbert_lab.data import NLI_LABELS, Row
from sbert_lab.encoder import Encoder
from sbert_lab.gradients import plain
from sbert_lab.losses import InBatchNegatives, SoftmaxClassification
from sbert_lab.training import Plan, train

PLAN = Plan()  # 32 rows a batch
BATCHES = 2  # timed together


def table(name: str, sides: Sides, rows: list[Row], rounds: int) -> list[dict[str, Any]]:
    """One table row a variant: in-batch negatives, or softmax classification where the rows have labels."""
    encoder, reference = sides
    torch.set_num_threads(1)
    ours: Any = InBatchNegatives(temperature=0.05)
    theirs: Any = MultipleNegativesRankingLoss(reference, scale=20.0)
    if rows[0].label is not None:
        ours = SoftmaxClassification(encoder.dimension, len(NLI_LABELS))
        theirs = SoftmaxLoss(reference, encoder.dimension, len(NLI_LABELS))
        theirs.classifier.load_state_dict(ours.head.state_dict())
    agreement = _agreement(sides, ours, theirs, rows[: PLAN.batch_size])

    def our_steps(batches: list[list[Row]]) -> None:
        train(encoder, [row for batch in batches for row in batch], ours, PLAN)

    def their_steps(batches: list[list[Row]]) -> None:
        options = {"lr": PLAN.learning_rate, "weight_decay": PLAN.weight_decay, "fused": True}  # as in its trainer
        optimizer = torch.optim.AdamW(theirs.parameters(), **options)
        theirs.train()
        for batch in batches:
            _their_loss(theirs, batch).backward()
            torch.nn.utils.clip_grad_norm_(theirs.parameters(), PLAN.max_grad_norm)
            optimizer.step()
            optimizer.zero_grad()

    by_length = sorted(rows, key=lambda row: sum(map(len, row.texts)))
    variants: dict[str, Variant] = {
        "sbert_lab": (encoder, _job(encoder, rows, our_steps)),
        "ST, random batches": (reference, _job(encoder, rows, their_steps)),
        "ST, like lengths": (reference, _job(encoder, by_length, their_steps)),
    }
    return [row | {"agreement": agreement} for row in compare(name, variants, rounds, passes=3)]


def _job(encoder: Encoder, rows: list[Row], steps: Callable[[list[list[Row]]], None]) -> Callable[[], int]:
    """`steps` on the next batches, far apart in `rows`: where these are sorted, one short and one long."""
    size, apart = PLAN.batch_size, len(rows) // PLAN.batch_size // BATCHES
    batches = [rows[start : start + size] for start in range(0, apart * BATCHES * size, size)]
    jobs = [batches[first::apart] for first in random.Random(0).sample(range(apart), apart)]
    counts = [count_tokens(encoder, [text for batch in job for row in batch for text in row.texts]) for job in jobs]
    upcoming = cycle(zip(jobs, counts, strict=True))

    def job() -> int:
        batches, tokens = next(upcoming)
        steps(batches)
        return tokens

    return job


def _their_loss(loss: Any, batch: list[Row]) -> Tensor:
    return loss([loss.model.preprocess(list(column)) for column in _columns(batch)], _labels(batch))


def _columns(batch: list[Row]) -> list[tuple[str, ...]]:
    return list(zip(*(row.texts for row in batch), strict=True))


def _labels(batch: list[Row]) -> Tensor | None:
    return None if batch[0].label is None else torch.tensor([row.label for row in batch])


def _agreement(sides: Sides, ours: nn.Module, theirs: nn.Module, batch: list[Row]) -> str:
    """How far apart the losses are, and the gradients relative to their length; all without dropout."""
    encoder, reference = sides
    columns = [encoder.tokenize(column)[0] for column in _columns(batch)]
    value = plain(encoder.eval(), ours.eval(), columns, _labels(batch), PLAN.tokens_at_once)
    expected = _their_loss(theirs.eval(), batch)
    expected.backward()
    pairs = zip(transformer(encoder).parameters(), transformer(reference).parameters(), strict=True)
    grads = [(mine.grad, its.grad) for mine, its in pairs if mine.grad is not None and its.grad is not None]
    off, size = (torch.cat([(mine - c * its).flatten() for mine, its in grads]).norm() for c in (1, 0))
    encoder.zero_grad()
    theirs.zero_grad()
    return f"loss {abs(value - expected).item():.0e}, gradient {(off / size).item():.0e}"
