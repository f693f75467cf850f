"""`train` under torchrun: two processes of B/2 rows are one process of B, for every loss, plain and cached.

The file is also the program that the two processes run, started once for all tests.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from test_gradients import CASES, FILLS, MEANINGFUL
from tiny import tiny_model, tiny_tokenizer

from sbert_lab import distributed
from sbert_lab.backbone import Backbone
from sbert_lab.data import Row
from sbert_lab.encoder import Encoder
from sbert_lab.losses import InBatchNegatives, SoftmaxClassification
from sbert_lab.training import Plan, train

WORDS = ["cat", "dog", "house", "tree", "mat", "rain", "red", "blue"]
RUNS = MEANINGFUL  # every loss with every way to fill that is meant for it


RANK = int(os.environ.get("RANK", 0))


class FirstGradient(Exception):
    """Ends a run before its first step is taken."""


def rows(case: str, count: int = 8) -> list[Row]:
    _, columns, labels = CASES[case]
    texts = [[f"the {WORDS[(row + 3 * c) % 8]} in the {WORDS[row]}" for c in range(columns)] for row in range(count)]
    return [Row(tuple(t), None if labels is None else label(labels[row % 7])) for row, t in enumerate(texts)]


def label(given: torch.Tensor) -> float | tuple[float, ...]:
    return tuple(given.tolist()) if given.dim() else given.item()


def encoder() -> Encoder:
    model = tiny_model(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, initializer_range=0.2)
    return Encoder(Backbone(model, tiny_tokenizer()))


def first_gradient(case: str, fill: str) -> list[torch.Tensor]:
    """The gradients that the optimizer's first step would see, after the processes have agreed on them."""
    found: list[torch.Tensor] = []

    def look(weights, limit):
        found.extend(weight.grad.clone() for weight in weights if weight.grad is not None)
        raise FirstGradient

    clip, torch.nn.utils.clip_grad_norm_ = torch.nn.utils.clip_grad_norm_, look
    try:
        torch.manual_seed(RANK)  # heads drawn differently must still begin alike
        train(encoder(), rows(case), CASES[case][0](), Plan(batch_size=8), gradients=FILLS[fill]())
    except FirstGradient:
        return found
    finally:
        torch.nn.utils.clip_grad_norm_ = clip


def whole_run(folder: Path) -> dict:
    """Seven rows, so one is left out on two processes; a dev score that each process would see differently."""
    torch.manual_seed(RANK)
    model = encoder()
    loss, scores = SoftmaxClassification(32, 3), iter([0.1, 0.3, 0.9 - RANK, 0.5])
    plan = Plan(epochs=3, batch_size=4, learning_rate=1e-3)
    history = train(model, rows("softmax", 7), loss, plan, dev=lambda e: next(scores), folder=folder)
    return {
        "losses": history.losses, "scores": history.scores, "left_out": history.left_out,
        "weights": [weight.detach() for module in (model, loss) for weight in module.parameters()],
    }  # fmt: skip


def refusal() -> str:
    try:
        train(encoder(), rows("in-batch"), InBatchNegatives(), Plan(batch_size=3))
    except ValueError as error:
        return str(error)
    return "none"


def main(folder: Path) -> None:
    torch.save(  # train itself joins the processes
        {
            "gradients": {run: first_gradient(*run) for run in RUNS},
            "run": whole_run(folder / "run"),
            "refusal": refusal(),
        },
        folder / f"{RANK}.pt",
    )
    distributed.stop()


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> list[dict]:
    """What both processes saw, in the order of rank."""
    folder = tmp_path_factory.mktemp("torchrun")
    here = Path(__file__).parent
    paths = os.pathsep.join([str(here.parent), str(here), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", __file__]
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, str(folder)], env=environment, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize(("case", "fill"), RUNS)
def test_two_processes_have_the_gradient_of_one(two, case: str, fill: str) -> None:
    alone = first_gradient(case, fill)
    largest = max(gradient.abs().max().item() for gradient in alone)
    assert largest > 1e-3  # not equal by being zero
    for process in two:
        for together, expected in zip(process["gradients"][case, fill], alone, strict=True):
            torch.testing.assert_close(together, expected, rtol=1e-3, atol=2e-6 * max(1, largest))


def test_both_processes_end_alike_and_leave_out_what_cannot_be_shared(two) -> None:
    first, second = (process["run"] for process in two)
    assert first["left_out"] == second["left_out"] == 1
    assert first["losses"] == second["losses"] and len(first["losses"]) == 6
    assert first["scores"] == second["scores"] == [(0, 0.1), (2, 0.3), (4, 0.9), (6, 0.5)]  # process 0's word counts
    assert all(torch.equal(a, b) for a, b in zip(first["weights"], second["weights"], strict=True))


def test_a_batch_that_cannot_be_cut_evenly_is_refused(two) -> None:
    assert all(process["refusal"] == "batch_size 3 cannot be cut evenly for 2 processes" for process in two)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
