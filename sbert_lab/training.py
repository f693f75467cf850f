"""The training loop: rows, a loss and a plan in; a trained encoder and its history out.

The order of the rows and the dropout of a step follow from the plan's seed, the step's number and the process's rank
alone (torch's global seed is set from them). No random state needs storing, so a run that was killed goes on from its
checkpoint to the same weights, bit for bit on a CPU. What a loss draws when it is made, such as a head, is the
caller's: seed torch before. Under `torchrun` every process calls `train`; the global batch is drawn first, then cut by
rank.
"""

import json
import math
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from sbert_lab import checkpoint, distributed
from sbert_lab.data import Row, check_rows
from sbert_lab.encoder import TOKENS_AT_ONCE, Encoder
from sbert_lab.gradients import plain
from sbert_lab.losses import Loss
from sbert_lab.tokens import Tokens


@dataclass(frozen=True)
class Plan:
    """How to train. Raises ValueError for an impossible value.

    Learning rate, warm-up and the single epoch are those of Reimers & Gurevych 2019, section 3.1 (with batches of 16);
    weight decay and clipping those of the authors' published code. Steps are optimizer steps.
    """

    epochs: int = 1
    batch_size: int = 32  # rows in all processes together
    learning_rate: float = 2e-5  # the highest, reached after the warm-up; it then falls to 0 in a straight line
    head_learning_rate: float | None = None  # the same for the loss's own weights; None: learning_rate
    warmup: float = 0.1  # share of all steps
    weight_decay: float = 0.01  # of matrices; biases and norms have none
    max_grad_norm: float = 1.0
    seed: int = 0
    tokens_at_once: int = TOKENS_AT_ONCE  # in one forward pass; with gradients.cached, also in memory at a time
    evaluate_every: int | None = None  # steps; None: once an epoch
    checkpoint_every: int | None = None  # steps; None: once an epoch

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "tokens_at_once", "evaluate_every", "checkpoint_every"):
            self._check(name, Integral, "a whole number from 1", lambda value: value >= 1)
        for name in ("learning_rate", "head_learning_rate", "max_grad_norm"):
            self._check(name, Real, "a number above 0", lambda value: 0 < value < math.inf)
        self._check("seed", Integral, "a whole number from 0 to 2^32 - 1", lambda value: 0 <= value < 2**32)
        self._check("warmup", Real, "a share from 0 to below 1", lambda value: 0 <= value < 1)
        self._check("weight_decay", Real, "a number from 0", lambda value: 0 <= value < math.inf)

    def _check(self, name: str, kind: Any, rule: str, holds: Callable[[Any], bool]) -> None:
        value: Any = getattr(self, name)
        if value is None and name in ("head_learning_rate", "evaluate_every", "checkpoint_every"):
            return
        if isinstance(value, bool) or not isinstance(value, kind) or not holds(value):
            raise ValueError(f"Plan({name}={value!r}): it must be {rule}")
        object.__setattr__(self, name, int(value) if kind is Integral else float(value))  # of numpy's numbers too


@dataclass
class History:
    """What happened: the loss of every step, the (step, dev score) pairs, texts cut, rows left out, seconds."""

    losses: list[float] = field(default_factory=list, repr=False)
    scores: list[tuple[int, float]] = field(default_factory=list)
    cut: int = 0
    left_out: int = 0
    seconds: float = 0.0


SETTINGS = ("pooling", "normalize", "max_length", "dimension")  # of an encoder; its weights a checkpoint brings

FillGradients = Callable[[Encoder, Loss, Sequence[Tokens], Tensor | None, int], Tensor]
Dev = Callable[[Encoder], float]


def train(
    encoder: Encoder,
    rows: Sequence[Row],
    loss: Loss,
    plan: Plan = Plan(),
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
    distributed.start()
    _check(encoder, rows, loss, plan)
    _check_options(plan, dev, folder, gradients)
    run = _Run(encoder, rows, loss.to(encoder.device), plan)
    path = Path(folder) / "checkpoint.safetensors" if folder is not None else None
    facts = run.facts() | {"scored by dev": dev is not None} if path else {}
    if path and path.exists():
        run.restore(path, facts)
        tqdm.write(f"{path}: continuing after step {run.step} of {run.batches.steps}")
    batches = run.batches
    try:
        if dev and not run.step:
            run.evaluate(dev)
        quiet = {"disable": True} if distributed.rank() else {}  # nothing said: TQDM_DISABLE decides
        with tqdm(total=batches.steps, initial=run.step, desc="train", **quiet) as bar:
            for epoch, batch in batches.since(run.step):
                started = time.perf_counter()
                bar.set_postfix(epoch=epoch, loss=f"{run.take_step(batch, gradients):.4f}", refresh=False)
                bar.update()
                last = run.step == batches.steps
                if dev and (last or run.step % (plan.evaluate_every or batches.an_epoch) == 0):
                    run.evaluate(dev)
                run.history.seconds += time.perf_counter() - started
                if path and (last or run.step % (plan.checkpoint_every or batches.an_epoch) == 0):
                    run.save(path, facts)
        run.put(run.best)
    finally:
        run.rest()
    if run.history.cut:
        warnings.warn(f"{run.history.cut} texts were cut at {encoder.max_length} tokens (max_length)", stacklevel=2)
    return run.history


class _Run:
    """The state of a run: the weights that learn, the optimizer, the best weights so far, the history."""

    def __init__(self, encoder: Encoder, rows: Sequence[Row], loss: Loss, plan: Plan) -> None:
        self.encoder, self.rows, self.loss, self.plan = encoder, rows, loss, plan
        self.batches = _Batches(len(rows), plan)
        self.history = History(left_out=self.batches.left_out)
        modules = {"encoder": encoder, "loss": loss}
        self.weights = {
            f"{part}.{name}": weight
            for part, module in modules.items()
            for name, weight in module.named_parameters()
            if weight.requires_grad
        }
        for name, weight in self.weights.items():
            if weight.dtype != torch.float32:  # bfloat16 weights would round most updates away
                raise ValueError(f"{name} is {weight.dtype}: train float32 weights, in bfloat16 by load's precision")
        if not self.weights:
            raise ValueError("nothing can be trained: every weight of the encoder and the loss is frozen")
        self.best: dict[str, Tensor] = {}
        self.optimizer = torch.optim.AdamW(self._groups(), lr=0.0, fused=True)
        distributed.share(self.weights.values())

    @property
    def step(self) -> int:
        """The number of steps taken."""
        return len(self.history.losses)

    def take_step(self, batch: Sequence[int], gradients: FillGradients) -> float:
        """One optimizer step on this process's rows, by number: its loss, averaged over the processes."""
        self.encoder.train()
        self.loss.train()
        torch.manual_seed((self.plan.seed * 1_000_003 + self.step) * distributed.world_size() + distributed.rank())
        columns, labels = self._tokenize([self.rows[number] for number in batch])
        value = gradients(self.encoder, self.loss, columns, labels, self.plan.tokens_at_once)
        distributed.average_gradients(self.weights.values())
        norm = torch.nn.utils.clip_grad_norm_(self.weights.values(), self.plan.max_grad_norm)
        if not math.isfinite(norm + value):
            named = ", ".join(map(str, batch[:8])) + (", …" if len(batch) > 8 else "")
            raise FloatingPointError(
                f"step {self.step} on rows {named}: the loss is {value:.4g} and the gradient's norm {norm:.4g}; "
                "the weights are those of the step before: try a lower learning_rate, and look at these rows"
            )
        for group in self.optimizer.param_groups:
            group["lr"] = group["highest"] * _rate(self.step, self.batches.steps, self.plan.warmup)
        self.optimizer.step()
        self.optimizer.zero_grad()
        mean = distributed.gather(value[None]).mean().item()
        self.history.losses.append(mean)
        return mean

    def facts(self) -> dict[str, Any]:
        """What a checkpoint must agree with to be continued."""
        size = sum(weight.numel() for weight in self.weights.values())
        own = {"rows": _fingerprint(self.rows), "loss": str(self.loss), "numbers to learn": size}
        return asdict(self.plan) | own | {name: getattr(self.encoder, name) for name in SETTINGS}

    def evaluate(self, dev: Dev) -> None:
        """Score the encoder; remember its weights if none were better."""
        self.encoder.eval()
        score = dev(self.encoder)
        if not isinstance(score, Real) or not math.isfinite(score):
            raise ValueError(f"dev returned {score!r:.60} at step {self.step}: it must return a finite number")
        # Process 0 decides for all: a last digit that differs elsewhere must not split the weights.
        score = distributed.gather(torch.tensor([float(score)], dtype=torch.float64))[0].item()
        if score > max((earlier for _, earlier in self.history.scores), default=-math.inf):
            self.best = {name: weight.detach().cpu().clone() for name, weight in self.weights.items()}
        self.history.scores.append((self.step, score))

    @torch.no_grad()
    def put(self, weights: dict[str, Tensor]) -> None:
        """Give the weights named in `weights` these values."""
        for name, value in weights.items():
            self.weights[name].copy_(value)

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
                    f"{path} belongs to another run: {name} is {stored.get(name)!r:.200} there, not {ours!r:.200}; "
                    "choose another folder, or delete it to start anew"
                )
        self.put(tensors["weights"])
        for name, weight in self.weights.items():
            for key, moment in tensors.get(f"adam.{name}", {}).items():  # a weight without gradient has no moments
                self.optimizer.state[weight][key] = moment.to(weight.device)
        self.best = tensors.get("best", {})
        self.history = History(**stored["history"])
        self.history.scores = [(step, score) for step, score in self.history.scores]  # JSON knows no tuples

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

    def _tokenize(self, rows: Sequence[Row]) -> tuple[list[Tokens], Tensor | None]:
        """Columns of tokens and the labels (B,), on the CPU: the loss looks at them there, without a wait."""
        columns = []
        for texts in zip(*(row.texts for row in rows), strict=True):
            tokens, cut = self.encoder.tokenize(texts)
            columns.append(tokens)
            self.history.cut += cut
        return columns, _labels(rows, self.loss)


class _Batches:
    """Which rows make which step: drawn for all processes alike, then cut by rank."""

    def __init__(self, rows: int, plan: Plan) -> None:
        world = distributed.world_size()
        if plan.batch_size % world:
            raise ValueError(f"batch_size {plan.batch_size} cannot be cut evenly for {world} processes")
        self.plan, self.rows = plan, rows
        self.left_out = rows % world  # in every epoch: what cannot be shared out evenly
        shared, size = rows - self.left_out, plan.batch_size
        if not shared:
            raise ValueError(f"{rows} rows cannot be shared out among {world} processes")
        self.sizes = [size] * (shared // size) + [shared % size] * (shared % size > 0)
        if shared > size > 1 and self.sizes[-1] == 1:  # a row by itself has no other to be compared with
            self.sizes[-2:] = [size + 1]
        self.an_epoch = len(self.sizes)
        self.steps = self.an_epoch * plan.epochs

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


def _check(encoder: Encoder, rows: Sequence[Row], loss: Loss, plan: Plan) -> None:
    """Check every row against the loss before the first step."""
    if not isinstance(encoder, Encoder) or not isinstance(plan, Plan):
        raise TypeError(f"train takes an Encoder and a Plan, not {type(encoder).__name__} and {type(plan).__name__}")
    if not isinstance(loss, Loss):
        raise TypeError(f"loss is {loss!r:.60}: give one of sbert_lab.losses, or a class derived from losses.Loss")
    check_rows(rows)
    loss.check_columns(len(rows[0].texts))
    loss.check_labels(_labels(rows, loss), len(rows))


def _check_options(plan: Plan, dev: Dev | None, folder: str | Path | None, gradients: FillGradients) -> None:
    """Refuse what cannot be called, and a plan that asks for what is not given."""
    for name, given in {"dev": dev, "gradients": gradients}.items():
        if not callable(given) and (name, given) != ("dev", None):
            raise TypeError(f"{name} is a {type(given).__name__}: give a function, as the example of train does")
    if plan.evaluate_every and dev is None:
        raise ValueError(f"evaluate_every is {plan.evaluate_every} but there is no dev to evaluate with")
    if plan.checkpoint_every and folder is None:
        raise ValueError(f"checkpoint_every is {plan.checkpoint_every} but there is no folder to keep checkpoints in")


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
