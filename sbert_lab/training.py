"""The training loop: rows, a loss and a plan in; a trained encoder and its history out.

A step is a function of the plan's seed, the step's number and the process's rank alone: the order of the rows and the
dropout of a step need no stored random state, so a run that was killed goes on from its checkpoint to the same weights,
bit for bit on a CPU. Under `torchrun` every process calls `train`; the global batch is drawn first, then cut by rank.
"""

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor
from tqdm.auto import tqdm

from sbert_lab import checkpoint, distributed
from sbert_lab.data import Row, check_rows
from sbert_lab.encoder import Encoder
from sbert_lab.gradients import plain
from sbert_lab.losses import Loss
from sbert_lab.tokens import Tokens


@dataclass(frozen=True)
class Plan:
    """How to train; the defaults are those of Reimers & Gurevych 2019, section 3.1, with a batch of 32 for 16.

    Steps are optimizer steps. Raises ValueError for an impossible value.
    """

    epochs: int = 1
    batch_size: int = 32  # rows in all processes together
    learning_rate: float = 2e-5  # the highest, reached after the warm-up; it then falls to 0 in a straight line
    head_learning_rate: float | None = None  # the same for the loss's own weights; None: learning_rate
    warmup: float = 0.1  # share of all steps
    weight_decay: float = 0.01  # of matrices; biases and norms have none
    max_grad_norm: float = 1.0
    seed: int = 0
    tokens_at_once: int = 2_000  # a chunk of the forward pass
    evaluate_every: int | None = None  # steps; None: once an epoch
    checkpoint_every: int | None = None  # steps; None: once an epoch

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "tokens_at_once", "evaluate_every", "checkpoint_every"):
            self._check(name, whole=True, good=lambda value: value >= 1, rule="a whole number from 1")
        self._check("seed", whole=True, good=lambda value: 0 <= value < 2**32, rule="a whole number from 0")
        for name in ("learning_rate", "head_learning_rate", "max_grad_norm"):
            self._check(name, whole=False, good=lambda value: 0 < value < math.inf, rule="a number above 0")
        self._check("warmup", whole=False, good=lambda value: 0 <= value < 1, rule="a share from 0 to below 1")
        self._check("weight_decay", whole=False, good=lambda value: 0 <= value < math.inf, rule="a number from 0")

    def _check(self, name: str, *, whole: bool, good: Callable[[float], bool], rule: str) -> None:
        value = getattr(self, name)
        if value is None and Plan.__dataclass_fields__[name].default is None:
            return
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)) or not good(value):
            raise ValueError(f"Plan({name}={value!r}): it must be {rule}")


@dataclass
class History:
    """What happened: the loss of every step, the (step, dev score) pairs, texts cut, rows left out, seconds."""

    losses: list[float] = field(default_factory=list)
    scores: list[tuple[int, float]] = field(default_factory=list)
    cut: int = 0
    left_out: int = 0
    seconds: float = 0.0


Fill = Callable[[Encoder, Loss, Sequence[Tokens], Tensor | None, int], Tensor]
Dev = Callable[[Encoder], float]


def train(
    encoder: Encoder,
    rows: Sequence[Row],
    loss: Loss,
    plan: Plan = Plan(),
    *,
    dev: Dev | None = None,
    folder: str | Path | None = None,
    gradients: Fill = plain,
) -> History:
    """Train `encoder` in place on `rows`; with `dev`, end with the weights it scored highest.

    `dev(encoder)` returns a number, more is better. `folder` keeps a checkpoint, and a run found there is continued.
    `gradients` is one of the functions of `sbert_lab.gradients`. Raises ValueError or TypeError before the first step
    where rows, loss and plan do not fit, and FloatingPointError at the step whose loss or gradient is not finite.

    >>> train(encoder, rows, InBatchNegatives(), Plan(epochs=2), dev=lambda e: sts(e, dev_rows)["spearman"])
    """
    _check(rows, loss)
    run = _Run(encoder, loss.to(encoder.device), plan)
    path = Path(folder) / "checkpoint.safetensors" if folder is not None else None
    facts = {"plan": asdict(plan), "rows": _fingerprint(rows), "loss": str(loss)} if path else {}
    if path and path.exists():
        run.restore(path, facts)
    batches = _Batches(len(rows), plan)
    run.history.left_out = batches.left_out
    try:
        with tqdm(total=batches.steps, initial=run.step, desc="train", disable=distributed.rank() > 0) as bar:
            for epoch, batch in batches.since(run.step):
                started = time.perf_counter()
                value = run.take_step([rows[index] for index in batch], batch, gradients, batches.steps)
                bar.set_postfix(epoch=epoch, loss=f"{value:.4f}", refresh=False)
                bar.update()
                last = run.step == batches.steps
                if dev and (last or run.step % (plan.evaluate_every or batches.an_epoch) == 0):
                    run.evaluate(dev)
                run.history.seconds += time.perf_counter() - started
                if path and (last or run.step % (plan.checkpoint_every or batches.an_epoch) == 0):
                    run.save(path, facts)
        run.use_best()
    finally:
        run.rest()
    return run.history


class _Run:
    """The state of a run: the weights that learn, the optimizer, the best weights so far, the history."""

    def __init__(self, encoder: Encoder, loss: Loss, plan: Plan) -> None:
        self.encoder, self.loss, self.plan, self.history = encoder, loss, plan, History()
        modules = {"encoder": encoder, "loss": loss}
        self.weights = {
            f"{part}.{name}": weight
            for part, module in modules.items()
            for name, weight in module.named_parameters()
            if weight.requires_grad
        }
        if not self.weights:
            raise ValueError("nothing can be trained: every weight of the encoder and the loss is frozen")
        self.best: dict[str, Tensor] = {}
        self.optimizer = torch.optim.AdamW(self._groups(), lr=0.0, fused=True)
        distributed.share(self.weights.values())

    @property
    def step(self) -> int:
        """The number of steps taken."""
        return len(self.history.losses)

    def take_step(self, rows: Sequence[Row], numbers: Sequence[int], gradients: Fill, steps: int) -> float:
        """One optimizer step on this process's rows: its loss, averaged over the processes."""
        self.encoder.train()
        self.loss.train()
        torch.manual_seed((self.plan.seed * 1_000_003 + self.step) * distributed.world_size() + distributed.rank())
        columns, labels = self._batch(rows)
        value = gradients(self.encoder, self.loss, columns, labels, self.plan.tokens_at_once)
        distributed.average_gradients(self.weights.values())
        norm = torch.nn.utils.clip_grad_norm_(self.weights.values(), self.plan.max_grad_norm)
        if not math.isfinite(norm + value):
            named = ", ".join(map(str, numbers[:8])) + (", …" if len(numbers) > 8 else "")
            raise FloatingPointError(
                f"step {self.step} on rows {named}: the loss is {value:.4g} and the gradient's norm {norm:.4g}; "
                "the weights are those of the step before: try a lower learning_rate, and look at these rows"
            )
        for group in self.optimizer.param_groups:
            group["lr"] = group["highest"] * _rate(self.step, steps, self.plan.warmup)
        self.optimizer.step()
        self.optimizer.zero_grad()
        mean = distributed.gather(value[None]).mean().item()
        self.history.losses.append(mean)
        return mean

    def evaluate(self, dev: Dev) -> None:
        """Score the encoder; remember its weights if none were better."""
        self.encoder.eval()
        score = dev(self.encoder)
        if not isinstance(score, (int, float)) or not math.isfinite(score):
            raise ValueError(f"dev returned {score!r:.60} at step {self.step}: it must return a finite number")
        # Process 0 decides for all: a last digit that differs elsewhere must not split the weights.
        score = distributed.gather(torch.tensor([score], dtype=torch.float64))[0].item()
        if score > max((earlier for _, earlier in self.history.scores), default=-math.inf):
            self.best = {name: weight.detach().cpu().clone() for name, weight in self.weights.items()}
        self.history.scores.append((self.step, score))

    def use_best(self) -> None:
        """Put the weights of the best score in place, if any were scored."""
        self._copy_weights(self.best)

    def rest(self) -> None:
        """Leave training mode, however the run ended: the encoder is ready to encode."""
        self.optimizer.zero_grad()
        self.encoder.eval()
        self.loss.eval()

    def save(self, path: Path, facts: dict) -> None:
        """Write the checkpoint; process 0 does it for all."""
        if distributed.rank() == 0:
            tensors: dict[str, dict] = {"weights": self.weights, "best": self.best}
            tensors |= {f"adam.{name}": self.optimizer.state[weight] for name, weight in self.weights.items()}
            checkpoint.save(path, tensors, facts | {"history": asdict(self.history)})

    def restore(self, path: Path, facts: dict) -> None:
        """Go on from the checkpoint; ValueError if it belongs to another run."""
        tensors, stored = checkpoint.load(path)
        for name, ours in json.loads(json.dumps(facts)).items():
            if stored.get(name) != ours:
                raise ValueError(
                    f"{path} is of another run, its {name} {stored.get(name)!r:.200}, not {ours!r:.200}: "
                    "choose another folder, or delete it to start anew"
                )
        self._copy_weights(tensors["weights"])
        for name, weight in self.weights.items():
            for key, moment in tensors.get(f"adam.{name}", {}).items():  # a weight without gradient has no moments
                self.optimizer.state[weight][key] = moment.to(weight.device)
        self.best = tensors.get("best", {})
        self.history = History(**stored["history"])
        self.history.scores = [(step, score) for step, score in self.history.scores]

    def _groups(self) -> list[dict]:
        """Matrices decay, vectors do not; the loss's own weights may learn at a rate of their own."""
        rates = {
            "encoder": self.plan.learning_rate,
            "loss": self.plan.head_learning_rate or self.plan.learning_rate,
        }
        groups: dict[tuple[str, bool], dict] = {}
        for name, weight in self.weights.items():
            part, decays = name.split(".")[0], weight.ndim > 1
            options = {"highest": rates[part], "weight_decay": self.plan.weight_decay if decays else 0.0}
            groups.setdefault((part, decays), options | {"params": []})["params"].append(weight)
        return list(groups.values())

    def _batch(self, rows: Sequence[Row]) -> tuple[list[Tokens], Tensor | None]:
        """Columns of tokens and the labels (B,), on the CPU: the loss looks at them there, without a wait."""
        columns = []
        for texts in zip(*(row.texts for row in rows), strict=True):
            tokens, cut = self.encoder.tokenize(texts)
            columns.append(tokens)
            self.history.cut += cut
        return columns, _labels(rows, self.loss)

    @torch.no_grad()
    def _copy_weights(self, source: dict[str, Tensor]) -> None:
        for name, value in source.items():
            self.weights[name].copy_(value)


class _Batches:
    """Which rows make which step: drawn for all processes alike, then cut by rank."""

    def __init__(self, rows: int, plan: Plan) -> None:
        world = distributed.world_size()
        if plan.batch_size % world:
            raise ValueError(f"batch_size {plan.batch_size} cannot be cut evenly for {world} processes")
        self.plan, self.rows = plan, rows
        self.left_out = rows % world  # in every epoch: what cannot be shared out evenly
        sizes = torch.arange(rows - self.left_out).split(plan.batch_size)
        self.sizes = [len(size) for size in sizes]
        if len(self.sizes) > 1 and self.sizes[-1] == 1:  # one row has no other to be compared with
            self.sizes[-2:] = [plan.batch_size + 1]
        self.an_epoch = len(self.sizes)
        self.steps = self.an_epoch * plan.epochs
        if not self.an_epoch:
            raise ValueError(f"{rows} rows cannot be shared out among {world} processes")

    def since(self, step: int) -> Iterator[tuple[int, list[int]]]:
        """The epoch and this process's rows of every step from `step` on."""
        for epoch in range(step // self.an_epoch, self.plan.epochs):
            generator = torch.Generator().manual_seed(self.plan.seed * 1_000_003 + epoch)
            order = torch.randperm(self.rows, generator=generator)[: self.rows - self.left_out]
            for batch in order.split(self.sizes)[max(0, step - epoch * self.an_epoch) :]:
                yield epoch, batch.chunk(distributed.world_size())[distributed.rank()].tolist()


def _rate(step: int, steps: int, warmup: float) -> float:
    """The share of the highest learning rate at `step`: up in a straight line, then down to 0 after the last step."""
    warm = int(warmup * steps)
    return (step + 1) / (warm + 1) if step < warm else (steps - step) / (steps - warm)


def _check(rows: Sequence[Row], loss: Loss) -> None:
    """Hold every row against the loss before the first step."""
    if not isinstance(loss, Loss):
        raise TypeError(f"loss is {loss!r:.60}: give one of sbert_lab.losses, or a class derived from losses.Loss")
    check_rows(rows)
    loss.check_columns(len(rows[0].texts))
    loss.check_labels(_labels(rows, loss), len(rows))


def _labels(rows: Sequence[Row], loss: Loss) -> Tensor | None:
    """The rows' labels as the loss wants them, (B,); None if they have none."""
    if rows[0].label is None:
        return None
    dtype = torch.float32 if loss.labels == "float" else None  # whole labels serve a loss of graded ones
    return torch.tensor([row.label for row in rows], dtype=dtype)


def _fingerprint(rows: Sequence[Row]) -> str:
    """A digest of all rows: a checkpoint is continued on the same rows or not at all."""
    digest = sha256()
    for row in rows:
        digest.update(repr((row.texts, row.label)).encode())
    return f"{len(rows)} rows, {digest.hexdigest()[:16]}"
