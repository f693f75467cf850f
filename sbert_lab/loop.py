"""The training loop, whatever is trained: modules, a way to fill their gradients and a plan in; a history out.

The order of the rows and the dropout of a step follow from the plan's seed, the step's number and the process's rank
alone (torch's global seed is set from them). No random state needs storing, so a run that was killed goes on from its
checkpoint to the same weights, bit for bit on a CPU. Under `torchrun` every process calls `run`; the global batch is
drawn first, then cut by rank. What a row is, the loop does not know: `training.py` and `pretraining.py` do.
"""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from numbers import Real
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from sbert_lab import checkpoint, distributed, settings
from sbert_lab.tokens import TOKENS_AT_ONCE


@dataclass(frozen=True)
class Plan:
    """How to train. Raises ValueError for an impossible value, TypeError for what is no number.

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
        self._check(settings.whole, "epochs", "batch_size", "tokens_at_once", "evaluate_every", "checkpoint_every")
        self._check(settings.whole, "seed", least=0, below=2**32)
        self._check(settings.number, "learning_rate", "head_learning_rate", "max_grad_norm", above=0)
        self._check(settings.number, "warmup", least=0, below=1)  # a share
        self._check(settings.number, "weight_decay", least=0)

    def _check(self, rule: Callable[..., float], *names: str, **bounds: float) -> None:
        for name in names:
            value = getattr(self, name)
            if value is not None or name not in ("head_learning_rate", "evaluate_every", "checkpoint_every"):
                object.__setattr__(self, name, rule(name, value, **bounds))


@dataclass
class History:
    """What happened: the loss of every step, the (step, dev score) pairs, texts cut, rows left out, seconds."""

    losses: list[float] = field(default_factory=list, repr=False)
    scores: list[tuple[int, float]] = field(default_factory=list)
    cut: int = 0
    left_out: int = 0
    seconds: float = 0.0


Fill = Callable[[Sequence[int]], tuple[Tensor, int]]


def run(
    modules: Mapping[str, nn.Module],
    rows: int,
    fill: Fill,
    plan: Plan,
    *,
    dev: Callable[[], float] | None = None,
    folder: str | Path | None = None,
    facts: Mapping[str, Any] = {},
) -> History:
    """Train `modules` in place on rows 0 to `rows` - 1; with `dev`, finish with the weights that scored highest.

    `fill(numbers)` fills the gradients of those rows and returns the loss's value and how many texts were cut;
    `dev()` returns a number, more is better. `facts` are what a checkpoint in `folder` must agree with, beside the
    plan, to be continued. The module called "loss" learns at the plan's head_learning_rate.
    """
    if plan.evaluate_every and dev is None:
        raise ValueError(f"evaluate_every is {plan.evaluate_every} but there is no dev to evaluate with")
    if plan.checkpoint_every and folder is None:
        raise ValueError(f"checkpoint_every is {plan.checkpoint_every} but there is no folder to keep checkpoints in")
    distributed.start()
    state = _Run(modules, rows, plan)
    batches = state.batches
    path = Path(folder) / "checkpoint.safetensors" if folder is not None else None
    size = sum(weight.numel() for weight in state.weights.values())
    facts = {**asdict(plan), **facts, "numbers to learn": size, "scored by dev": dev is not None}
    if path and path.exists():
        state.restore(path, facts)
        tqdm.write(f"{path}: continuing after step {state.step} of {batches.steps}")
    try:
        if dev and not state.step:
            state.evaluate(dev)
        quiet = {"disable": True} if distributed.rank() else {}  # nothing said: TQDM_DISABLE decides
        with tqdm(total=batches.steps, initial=state.step, desc="train", **quiet) as bar:
            for epoch, batch in batches.since(state.step):
                started = time.perf_counter()
                bar.set_postfix(epoch=epoch, loss=f"{state.take_step(batch, fill):.4f}", refresh=False)
                bar.update()
                last = state.step == batches.steps
                if dev and (last or state.step % (plan.evaluate_every or batches.an_epoch) == 0):
                    state.evaluate(dev)
                state.history.seconds += time.perf_counter() - started
                if path and (last or state.step % (plan.checkpoint_every or batches.an_epoch) == 0):
                    state.save(path, facts)
        state.put(state.best)
    finally:
        state.rest()
    return state.history


class _Run:
    """The state of a run: the weights that learn, the optimizer, the best weights so far, the history."""

    def __init__(self, modules: Mapping[str, nn.Module], rows: int, plan: Plan) -> None:
        self.modules, self.plan = modules, plan
        self.batches = _Batches(rows, plan)
        self.history = History(left_out=self.batches.left_out)
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
            raise ValueError(f"nothing can be trained: every weight of the {' and the '.join(modules)} is frozen")
        self.best: dict[str, Tensor] = {}
        self.optimizer = torch.optim.AdamW(self._groups(), lr=0.0, fused=True)
        distributed.share(self.weights.values())

    @property
    def step(self) -> int:
        """The number of steps taken."""
        return len(self.history.losses)

    def take_step(self, batch: Sequence[int], fill: Fill) -> float:
        """One optimizer step on this process's rows, by number: its loss, averaged over the processes."""
        self.set_training(True)
        torch.manual_seed((self.plan.seed * 1_000_003 + self.step) * distributed.world_size() + distributed.rank())
        value, cut = fill(batch)
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
        self.history.cut += int(distributed.gather(torch.tensor([cut])).sum())
        return mean

    def evaluate(self, dev: Callable[[], float]) -> None:
        """Score the modules; remember their weights if none were better."""
        self.set_training(False)
        score = dev()
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
        """Leave training mode, however the run ended: the modules are ready for use."""
        self.optimizer.zero_grad()
        self.set_training(False)

    def set_training(self, mode: bool) -> None:
        """Switch dropout and the like on or off in every module."""
        for module in self.modules.values():
            module.train(mode)

    def save(self, path: Path, facts: Mapping) -> None:
        """Write the checkpoint; process 0 does it for all."""
        if distributed.rank() == 0:
            tensors: dict[str, dict] = {"weights": self.weights, "best": self.best}
            tensors |= {f"adam.{name}": self.optimizer.state[weight] for name, weight in self.weights.items()}
            checkpoint.save(path, tensors, dict(facts) | {"history": asdict(self.history)})

    def restore(self, path: Path, facts: Mapping) -> None:
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
        groups: dict[tuple[str, bool], dict] = {}
        for name, weight in self.weights.items():
            part, decays = name.split(".")[0], weight.ndim > 1
            highest = (part == "loss" and self.plan.head_learning_rate) or self.plan.learning_rate
            options = {"highest": highest, "weight_decay": self.plan.weight_decay if decays else 0.0}
            groups.setdefault((part, decays), options | {"params": []})["params"].append(weight)
        return list(groups.values())


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
