"""The loop: what it must do to the weights, and what it must refuse."""

import dataclasses
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import tiny_encoder, tiny_model, tiny_tokenizer
from torch import nn

from sbert_lab import distributed, gradients
from sbert_lab.backbone import Backbone
from sbert_lab.data import Row
from sbert_lab.encoder import Encoder
from sbert_lab.losses import CosineRegression, InBatchNegatives, Loss, SoftmaxClassification
from sbert_lab.training import Plan, train

PAIRS = [
    Row((f"the {colour} {thing}", f"a {thing} {colour}"))
    for colour in ("red", "blue", "old")
    for thing in ("cat", "dog", "tree", "house")
]
LABELLED = [Row(row.texts, number % 3) for number, row in enumerate(PAIRS)]
GRADED = [Row(row.texts, number / 12) for number, row in enumerate(PAIRS)]
FAST = Plan(batch_size=4, learning_rate=1e-3, warmup=0.0)
SRC = Path(__file__).parent


def weights(encoder: nn.Module) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in encoder.named_parameters()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_training_descends_and_leaves_the_encoder_ready() -> None:
    encoder = Encoder(Backbone(tiny_model(initializer_range=0.05), tiny_tokenizer()))
    before = weights(encoder)
    history = train(encoder, PAIRS, InBatchNegatives(), dataclasses.replace(FAST, epochs=20))
    assert len(history.losses) == 60 and history.seconds > 0
    assert sum(history.losses[-6:]) < 0.5 * sum(history.losses[:6])
    assert not encoder.training and not same(before, weights(encoder))
    assert all(weight.grad is None for weight in encoder.parameters())


def test_one_step_equals_a_hand_written_one() -> None:
    """AdamW by hand on one batch in one order, with dropout: the loop adds nothing and leaves nothing out."""
    plan = Plan(batch_size=12, learning_rate=1e-3, warmup=0.0, weight_decay=1.0, max_grad_norm=0.5, seed=3)
    encoder, loss = tiny_encoder(), SoftmaxClassification(32, 3)
    other, head = tiny_encoder(), SoftmaxClassification(32, 3)
    head.load_state_dict(loss.state_dict())
    train(encoder, LABELLED, loss, plan)

    order = torch.randperm(12, generator=torch.Generator().manual_seed(3 * 1_000_003)).tolist()
    rows = [LABELLED[number] for number in order]
    columns = [other.tokenize([row.texts[side] for row in rows])[0] for side in (0, 1)]
    torch.manual_seed(3 * 1_000_003)
    gradients.plain(other.train(), head, columns, torch.tensor([row.label for row in rows]), plan.tokens_at_once)
    learned = [weight for module in (other, head) for weight in module.parameters() if weight.grad is not None]
    norm = math.sqrt(sum(weight.grad.square().sum().item() for weight in learned))
    assert norm > 0.5  # so that clipping is seen
    for weight in learned:
        gradient = weight.grad * (0.5 / (norm + 1e-6))
        with torch.no_grad():
            if weight.ndim > 1:
                weight *= 1 - 1e-3 * 1.0
            mean, square = 0.1 * gradient / (1 - 0.9), 0.001 * gradient.square() / (1 - 0.999)
            weight -= 1e-3 * mean / (square.sqrt() + 1e-8)
    for (name, found), expected in zip(weights(encoder).items(), weights(other).values(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=2e-6, msg=name)
    torch.testing.assert_close(loss.head.weight, head.head.weight, rtol=1e-4, atol=2e-6)


class Recorder(InBatchNegatives):
    """Counts the rows of every batch."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def value(self, *columns):
        self.sizes.append(len(columns[0]))
        return super().value(*columns)


@pytest.mark.parametrize(
    ("rows", "sizes"), [(12, [4, 4, 4]), (11, [4, 4, 3]), (9, [4, 5]), (5, [5]), (3, [3]), (2, [2])]
)
def test_every_row_is_seen_and_none_alone(rows: int, sizes: list[int]) -> None:
    loss = Recorder()
    train(tiny_encoder(), PAIRS[:rows], loss, FAST)
    assert loss.sizes == sizes


def test_each_epoch_sees_every_row_once_in_another_order() -> None:
    seen: list[list[str]] = []

    class Spy(Encoder):
        def columns(self, rows):
            seen.extend(map(list, zip(*rows, strict=True)))
            return super().columns(rows)

    encoder = Spy(tiny_encoder().backbone)
    train(encoder, PAIRS, InBatchNegatives(), dataclasses.replace(FAST, epochs=2))
    del seen[:2]  # row 0, as a try
    first = [text for batch in seen[0:6:2] for text in batch]
    second = [text for batch in seen[6:12:2] for text in batch]
    assert sorted(first) == sorted(second) == sorted(row.texts[0] for row in PAIRS) and first != second


def test_the_learning_rate_rises_then_falls_and_is_never_zero() -> None:
    rates = []

    def spy(encoder, loss, columns, labels, tokens_at_once):
        return gradients.plain(encoder, loss, columns, labels, tokens_at_once)

    original = torch.optim.AdamW.step

    def step(self, *arguments, **options):
        rates.append([group["lr"] for group in self.param_groups])
        return original(self, *arguments, **options)

    torch.optim.AdamW.step = step
    try:
        plan = Plan(batch_size=4, epochs=4, learning_rate=1e-3, head_learning_rate=1e-1, warmup=0.25)
        train(tiny_encoder(), LABELLED, SoftmaxClassification(32, 3), plan, gradients=spy)
    finally:
        torch.optim.AdamW.step = original
    encoder_rates = [step_rates[0] for step_rates in rates]
    assert len(rates) == 12 and min(encoder_rates) > 0
    assert encoder_rates[:4] == sorted(encoder_rates[:4]) and encoder_rates[3:] == sorted(
        encoder_rates[3:], reverse=True
    )
    assert max(encoder_rates) == pytest.approx(1e-3)
    assert all(max(step_rates) == pytest.approx(100 * min(step_rates)) for step_rates in rates)


def test_the_best_on_dev_is_kept() -> None:
    """dev prefers step 2 of 3: its weights come back, though training went on."""
    encoder, kept, scores = tiny_encoder(), {}, iter([0.0, 0.1, np.float32(0.75), 0.3])

    def dev(encoder: Encoder) -> float:
        assert not encoder.training
        score = next(scores)
        kept[score] = weights(encoder)
        return score

    history = train(encoder, PAIRS, InBatchNegatives(), dataclasses.replace(FAST, evaluate_every=1), dev=dev)
    assert history.scores == [(0, 0.0), (1, 0.1), (2, 0.75), (3, 0.3)]
    assert same(weights(encoder), kept[0.75]) and not same(kept[0.75], kept[0.3])


def test_training_that_only_harms_is_undone() -> None:
    encoder, scores = tiny_encoder(), iter([0.9, 0.2])
    before = weights(encoder)
    history = train(encoder, PAIRS, InBatchNegatives(), FAST, dev=lambda encoder: next(scores))
    assert history.scores == [(0, 0.9), (3, 0.2)] and same(before, weights(encoder))


def test_a_seed_decides_everything() -> None:
    def run(seed: int) -> dict[str, torch.Tensor]:
        encoder = tiny_encoder()
        torch.manual_seed(os.getpid() + len(ends))  # whatever came before must not matter
        train(encoder, PAIRS, InBatchNegatives(), dataclasses.replace(FAST, seed=seed))
        return weights(encoder)

    ends: list[dict] = []
    for seed in (0, 0, 1):
        ends.append(run(seed))
    assert same(ends[0], ends[1]) and not same(ends[0], ends[2])


RESUMED = Plan(batch_size=4, epochs=2, learning_rate=1e-3, evaluate_every=2, checkpoint_every=1)


def resumable(folder: Path | None, fill=gradients.plain) -> tuple[dict, dict, list[float], list]:
    """A run of six steps with dropout, a loss of its own weights, and a dev score that likes the first look best."""
    torch.manual_seed(0)
    encoder, loss = tiny_encoder(), SoftmaxClassification(32, 3)
    start = weights(encoder)

    def nearness(encoder: Encoder) -> float:
        moved = sum((weight - start[name]).abs().sum().item() for name, weight in weights(encoder).items())
        return -moved or -1e9  # at the start nothing has moved: the worst

    plan = RESUMED if folder else dataclasses.replace(RESUMED, checkpoint_every=None)
    history = train(encoder, LABELLED, loss, plan, dev=nearness, folder=folder, gradients=fill)
    assert max(history.scores, key=lambda pair: pair[1])[0] == 2  # a later best would hide a lost one
    return weights(encoder), weights(loss), history.losses, history.scores


class Killed(BaseException):
    """Stands in for kill -9 in this process."""


@pytest.mark.parametrize("stop", range(6))
def test_resuming_after_any_step_gives_the_same_bits(tmp_path: Path, stop: int) -> None:
    calls = 0

    def killed(*arguments):
        nonlocal calls
        if calls == stop:
            raise Killed
        calls += 1
        return gradients.plain(*arguments)

    with pytest.raises(Killed):
        resumable(tmp_path, killed)
    found, expected = resumable(tmp_path), resumable(None)
    assert same(found[0], expected[0]) and same(found[1], expected[1]) and found[2:] == expected[2:]


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from sbert_lab import checkpoint
from test_training import gradients, resumable
step, where = int(sys.argv[2]), sys.argv[3]
count = 0
def kill_at_step(*arguments):
    global count
    count += 1
    if where == "in the step" and count == step:
        os.kill(os.getpid(), signal.SIGKILL)
    return gradients.plain(*arguments)
write = checkpoint.save_file
def kill_while_writing(tensors, path, metadata):
    write(tensors, path, metadata=metadata)
    if where == "while writing" and count == step:
        os.truncate(path, os.path.getsize(path) // 2)
        os.kill(os.getpid(), signal.SIGKILL)
checkpoint.save_file = kill_while_writing
resumable(Path(sys.argv[1]), kill_at_step)
"""


@pytest.mark.skipif(os.name == "nt", reason="there is no kill -9 on Windows")
@pytest.mark.parametrize(("step", "where"), [(1, "in the step"), (4, "in the step"), (4, "while writing")])
def test_kill_9_loses_nothing(tmp_path: Path, step: int, where: str) -> None:
    command = [sys.executable, "-c", KILLED.format(tests=str(SRC)), str(tmp_path), str(step), where]
    assert subprocess.run(command, stderr=subprocess.DEVNULL).returncode == -9
    found, expected = resumable(tmp_path), resumable(None)
    assert same(found[0], expected[0]) and same(found[1], expected[1]) and found[2:] == expected[2:]


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    first = resumable(tmp_path)

    def never(*arguments):
        raise AssertionError("a step was taken")

    again = resumable(tmp_path, never)
    assert same(first[0], again[0]) and first[2:] == again[2:]


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"rows": LABELLED[:-1]}, "rows"),
        ({"plan": dataclasses.replace(RESUMED, learning_rate=1e-4)}, "learning_rate"),
        ({"encoder": tiny_encoder(pooling="cls")}, "pooling"),
        ({"dev": None, "plan": dataclasses.replace(RESUMED, evaluate_every=None)}, "evaluate_every"),
        ({"loss": SoftmaxClassification(32, 3, features="u*v")}, "loss"),
    ],
)
def test_another_runs_checkpoint_is_refused_and_left_alone(tmp_path: Path, change: dict, name: str) -> None:
    resumable(tmp_path)
    file = tmp_path / "checkpoint.safetensors"
    before = file.read_bytes()
    given = {"encoder": tiny_encoder(), "rows": LABELLED, "loss": SoftmaxClassification(32, 3), "plan": RESUMED}
    given |= {"dev": lambda encoder: 0.0} | change
    start = weights(given["encoder"])
    with pytest.raises(ValueError, match=f"belongs to another run: {name} is .*choose another folder"):
        train(**given, folder=tmp_path)
    assert file.read_bytes() == before and same(start, weights(given["encoder"]))


class NotANumber(CosineRegression):
    def value(self, u, v, labels):
        return super().value(u, v, labels) * (math.nan if (labels == 0.5).any() else 1.0)


def test_a_nan_loss_stops_with_the_step_and_its_rows_and_keeps_the_weights(tmp_path: Path) -> None:
    good = [Row(row.texts, 0.25) for row in PAIRS]
    encoder, seen = tiny_encoder(), []
    rows = good[:7] + [Row(("a cat", "a dog"), 0.5)] + good[8:]

    def spy(*arguments):
        seen.append(weights(encoder))
        return gradients.plain(*arguments)

    with pytest.raises(FloatingPointError, match=r"step \d on rows [\d, ]*\b7\b.*the loss is nan.*learning_rate"):
        train(encoder, rows, NotANumber(), FAST, folder=tmp_path, gradients=spy)
    assert same(seen[-1], weights(encoder)) and not encoder.training


def test_truncated_texts_are_counted() -> None:
    encoder = tiny_encoder(max_length=5)
    rows = PAIRS[:4] + [Row(("the old red house on the mat", "a cat"))]
    with pytest.warns(UserWarning, match="1 texts were cut at 5 tokens"):
        history = train(encoder, rows, InBatchNegatives(), FAST)
    assert history.cut == 1


class Eats(Loss):
    columns = ("u",)

    def value(self, u):
        return u.sum()


def frozen() -> Encoder:
    return tiny_encoder().requires_grad_(False)


BAD = {
    "no rows": (lambda: train(tiny_encoder(), [], InBatchNegatives()), ValueError, "no rows"),
    "a generator": (lambda: train(tiny_encoder(), (r for r in PAIRS), InBatchNegatives()), TypeError, "generator"),
    "tuples": (lambda: train(tiny_encoder(), [("a", "b")], InBatchNegatives()), TypeError, "Row"),
    "one row": (lambda: train(tiny_encoder(), PAIRS[:1], InBatchNegatives()), ValueError, "single"),
    "labels unasked": (lambda: train(tiny_encoder(), LABELLED, InBatchNegatives()), ValueError, "label"),
    "labels missing": (lambda: train(tiny_encoder(), PAIRS, CosineRegression()), ValueError, "label"),
    "a label too high": (
        lambda: train(tiny_encoder(), [*GRADED, Row(("a", "b"), 4.5)], CosineRegression()),
        ValueError, "label 4.5 in row 12"
    ),
    "a class too high": (
        lambda: train(tiny_encoder(), LABELLED, SoftmaxClassification(32, 2)), ValueError, "label 2 in row 2"
    ),
    "graded classes": (
        lambda: train(tiny_encoder(), GRADED, SoftmaxClassification(32, 3)), TypeError, "float32 labels"
    ),
    "too few columns": (lambda: train(tiny_encoder(), [Row(("a",))], InBatchNegatives()), ValueError, "1 column"),
    "too many columns": (lambda: train(tiny_encoder(), PAIRS, Eats()), ValueError, "2 column"),
    "the wrong width": (lambda: train(tiny_encoder(), LABELLED, SoftmaxClassification(16, 3)), ValueError, "16"),
    "a function for a loss": (lambda: train(tiny_encoder(), PAIRS, torch.nn.MSELoss()), TypeError, "losses.Loss"),
    "a name for an encoder": (lambda: train("MiniLM", PAIRS, InBatchNegatives()), TypeError, "str and Plan"),
    "a number for a plan": (
        lambda: train(tiny_encoder(), PAIRS, InBatchNegatives(), 3), TypeError, "not Encoder and int"
    ),
    "half the precision": (
        lambda: train(tiny_encoder().bfloat16(), PAIRS, InBatchNegatives()), ValueError, "train float32 weights"
    ),
    "rows for a dev": (
        lambda: train(tiny_encoder(), PAIRS, InBatchNegatives(), dev=PAIRS), TypeError, "dev is a list: give a function"
    ),
    "a name for gradients": (
        lambda: train(tiny_encoder(), PAIRS, InBatchNegatives(), gradients="cached"), TypeError, "gradients is a str"
    ),
    "nothing to evaluate with": (
        lambda: train(tiny_encoder(), PAIRS, InBatchNegatives(), Plan(evaluate_every=1)), ValueError, "there is no dev"
    ),
    "nowhere to keep checkpoints": (
        lambda: train(tiny_encoder(), PAIRS, InBatchNegatives(), Plan(checkpoint_every=1)), ValueError, "no folder"
    ),
    "a queue and a folder": (
        lambda: train(tiny_encoder(), PAIRS, InBatchNegatives(), folder="runs", gradients=gradients.Momentum()),
        ValueError, "Momentum's queue is in no checkpoint"
    ),
    "nothing to learn": (lambda: train(frozen(), PAIRS, InBatchNegatives()), ValueError, "frozen"),
    "dev returns a dict": (
        lambda: train(tiny_encoder(), PAIRS, InBatchNegatives(), dev=lambda e: {"spearman": 1.0}),
        ValueError, "dev returned"
    ),
    "dev returns nan": (
        lambda: train(tiny_encoder(), PAIRS, InBatchNegatives(), dev=lambda e: math.nan), ValueError, "dev returned nan"
    ),
    **{
        f"Plan({name}={value!r})": (
            lambda name=name, value=value: Plan(**{name: value}),
            ValueError if isinstance(value, float) or type(value) is int else TypeError,
            f"{name} is {value!r}: give",
        )
        for name, value in [
            ("epochs", 0), ("epochs", 1.5), ("batch_size", 0), ("batch_size", "32"), ("batch_size", True),
            ("learning_rate", 0), ("learning_rate", -1e-5), ("learning_rate", math.nan), ("learning_rate", None),
            ("head_learning_rate", 0.0), ("warmup", 1.0), ("warmup", -0.1), ("weight_decay", -1), ("max_grad_norm", 0),
            ("seed", -1), ("seed", 2**40), ("tokens_at_once", 0), ("evaluate_every", 0), ("checkpoint_every", 0.5),
        ]
    },
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(case: str) -> None:
    call, kind, words = BAD[case]
    with pytest.raises(kind, match=words):
        call()


def test_rows_that_cannot_be_shared_out_are_refused(monkeypatch) -> None:
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    with pytest.raises(ValueError, match="1 rows cannot be shared out among 2 processes"):
        train(tiny_encoder(), PAIRS[:1], InBatchNegatives())


def test_a_plan_of_one_row_a_batch_is_kept_to() -> None:
    seen = []

    def spy(encoder, loss, columns, labels, tokens_at_once):
        seen.append(len(columns[0]))
        return gradients.plain(encoder, loss, columns, labels, tokens_at_once)

    train(tiny_encoder(), GRADED[:5], CosineRegression(), Plan(batch_size=1), gradients=spy)
    assert seen == [1] * 5


def test_plan_is_small_and_frozen() -> None:
    assert Plan(batch_size=np.int64(8), learning_rate=np.float32(0.5)) == Plan(batch_size=8, learning_rate=0.5)
    assert len(dataclasses.fields(Plan)) <= 14
    with pytest.raises(dataclasses.FrozenInstanceError):
        Plan().epochs = 2


def test_the_bar_can_be_switched_off_from_outside() -> None:
    for setting, shown in (({}, True), ({"TQDM_DISABLE": "1"}, False)):
        script = "import sys; sys.path.insert(0, sys.argv[1]); from test_training import *; "
        script += "train(tiny_encoder(), PAIRS, InBatchNegatives(), FAST)"
        environment = {name: value for name, value in os.environ.items() if name != "TQDM_DISABLE"} | setting
        done = subprocess.run([sys.executable, "-c", script, str(SRC)], env=environment, capture_output=True, text=True)
        assert done.returncode == 0 and ("loss=" in done.stderr) == shown
