"""Training on rows: an encoder, rows, a loss and a plan in; the trained encoder and its history out.

What happens in a step beside the gradients is the loop's business (`loop.py`): order, seeds, schedule, checkpoints,
several processes. What a loss draws when it is made, such as a head, is the caller's: seed torch before.
"""

import warnings
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sbert_lab import loop
from sbert_lab.data import Row, check_rows
from sbert_lab.gradients import Model, Momentum, plain
from sbert_lab.loop import History, Plan
from sbert_lab.losses import Loss
from sbert_lab.tokens import Tokens

FillGradients = Callable[[Model, Loss, Sequence[Tokens], Tensor | None, int], Tensor]
Dev = Callable[[Any], float]  # of an encoder or a cross-encoder


def train(
    encoder: Model,
    rows: Sequence[Row],
    loss: Loss,
    plan: Plan = Plan(),  # noqa: B008  it cannot be changed
    *,
    dev: Dev | None = None,
    folder: str | Path | None = None,
    gradients: FillGradients = plain,
) -> History:
    """Train `encoder` in place on `rows`; with `dev`, finish with the weights that scored highest.

    `dev(encoder)` returns a number, more is better; the score before the first step is the one to beat, and if no later
    one does, the encoder ends as it was. `folder` keeps a checkpoint (once an epoch, unless the plan says otherwise),
    and a run found there is continued, with its weights. `gradients` is a function of `sbert_lab.gradients`: `cached`
    for batches that do not fit in memory. Raises ValueError or TypeError before the first step where rows, loss and
    plan do not fit, and FloatingPointError at the step whose loss or gradient is not finite.

    >>> dev = lambda encoder: evaluation.sts(encoder, dev_rows)["spearman"]
    >>> history = train(encoder, rows, losses.InBatchNegatives(), Plan(epochs=2), dev=dev)
    """
    _check(encoder, rows, loss, plan)
    _check_functions(dev, gradients)
    if folder is not None and isinstance(gradients, Momentum):
        raise ValueError("Momentum's queue is in no checkpoint, so a run could not go on: leave the folder out")
    loss.to(encoder.device)

    def fill(numbers: Sequence[int]) -> tuple[Tensor, int]:
        batch = [rows[number] for number in numbers]
        columns, cut = encoder.columns([row.texts for row in batch])
        labels = _labels(batch, loss)  # on the CPU, where the loss looks at them without a wait
        return gradients(encoder, loss, columns, labels, plan.tokens_at_once), cut

    history = loop.run(
        {"encoder": encoder, "loss": loss},
        len(rows),
        fill,
        plan,
        dev=None if dev is None else lambda: dev(encoder),
        folder=folder,
        facts=_facts(encoder, rows, loss) if folder is not None else {},
    )
    if history.cut:
        warnings.warn(f"{history.cut} texts were cut at {encoder.max_length} tokens (max_length)", stacklevel=2)
    return history


def _facts(encoder: Model, rows: Sequence[Row], loss: Loss) -> dict[str, object]:
    """What a checkpoint must agree with to be continued, beside the plan."""
    precision = str(encoder.backbone.precision)
    return {"rows": _fingerprint(rows), "loss": str(loss), "precision": precision, **encoder.settings}


def _check(encoder: Model, rows: Sequence[Row], loss: Loss, plan: Plan) -> None:
    """Check every row against the loss before the first step."""
    if not isinstance(encoder, Model) or not isinstance(plan, Plan):
        raise TypeError(f"train takes an encoder and a Plan, not {type(encoder).__name__} and {type(plan).__name__}")
    if not isinstance(loss, Loss):
        raise TypeError(f"loss is {loss!r:.60}: give one of sbert_lab.losses, or a class derived from losses.Loss")
    check_rows(rows)
    if plan.head_learning_rate and not list(loss.parameters()):
        raise ValueError(f"head_learning_rate is for a loss's own weights, but {loss} has none: leave it out")
    columns, _ = encoder.columns([rows[0].texts])
    loss.check_columns(len(columns))
    loss.check_labels(_labels(rows, loss), len(rows))


def _check_functions(dev: Dev | None, gradients: FillGradients) -> None:
    """Refuse what cannot be called."""
    for name, given in {"dev": dev, "gradients": gradients}.items():
        if not callable(given) and (name, given) != ("dev", None):
            raise TypeError(f"{name} is a {type(given).__name__}: give a function, as the example of train does")


def _labels(rows: Sequence[Row], loss: Loss) -> Tensor | None:
    """The rows' labels as the loss wants them, (B,) or (B, K); None if they have none."""
    if rows[0].label is None:
        return None
    dtype = torch.float32 if loss.labels in ("float", "floats") else None  # whole labels serve a loss of graded ones
    return torch.tensor([row.label for row in rows], dtype=dtype)


def _fingerprint(rows: Sequence[Row]) -> str:
    """A digest of all rows: a checkpoint is continued on the same rows or not at all."""
    digest = sha256()
    for row in rows:
        digest.update(repr((row.texts, row.label)).encode())
    return f"{len(rows)} rows, {digest.hexdigest()[:16]}"
