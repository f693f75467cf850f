"""Two processes of B/2 rows each are one process of B rows: every loss, value and gradients, on gloo.

The file is also the program that the two processes run, started by torchrun once for all tests.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from sbert_lab import distributed, losses

ROWS, WIDTH = 8, 5
CLASS, GRADE, ALIKE = (
    torch.tensor([0, 2, 1, 1, 0, 2, 2, 0]),
    torch.tensor([0.0, 0.9, 0.5, 0.5, 1.0, 0.1, 0.5, 0.3]),
    torch.tensor([1, 0, 0, 1, 1, 1, 0, 0]),
)
# name: (the loss, number of columns, labels)
CASES = {
    "softmax": (lambda: losses.SoftmaxClassification(WIDTH, 3), 2, CLASS),
    "regression": (losses.CosineRegression, 2, GRADE),
    "cosent": (losses.CoSENT, 2, GRADE),
    "triplet": (losses.TripletMargin, 3, None),
    "triplet cosine": (lambda: losses.TripletMargin(0.5, "cosine"), 3, None),
    "contrastive": (losses.PairContrastive, 2, ALIKE),
    "in batch": (losses.InBatchNegatives, 2, None),
    "in batch, hard negatives": (losses.InBatchNegatives, 4, None),
    "in batch, symmetric": (lambda: losses.InBatchNegatives(0.1, symmetric=True), 2, None),
    "in batch, symmetric, hard negatives": (lambda: losses.InBatchNegatives(0.1, symmetric=True), 3, None),
}


def step(name, rows):
    """Value and parameter gradients of one case on `rows` of its batch, through a small model."""
    make, count, labels = CASES[name]
    torch.manual_seed(0)
    model, loss = nn.Linear(7, WIDTH).double(), make().double()
    inputs = torch.randn(count, ROWS, 7, dtype=torch.float64)
    value = loss([model(column[rows]) for column in inputs], None if labels is None else labels[rows])
    value.backward()
    parameters = [*model.parameters(), *loss.parameters()]
    distributed.average_gradients(parameters)
    value = distributed.gather(value.detach()[None]).mean()
    return [value, *(p.grad for p in parameters)]


def own_rows():
    size = ROWS // distributed.world_size()
    return slice(distributed.rank() * size, (distributed.rank() + 1) * size)


def gathered():
    """What gather returns for rows that name their process; the gradient when each process weighs them anew."""
    r = distributed.rank()
    x = torch.tensor([[r + 0.25], [r + 0.75]], requires_grad=True)
    everyone = distributed.gather(x)
    (everyone * torch.tensor([[1.0], [2.0], [3.0], [4.0]]) * 10**r).sum().backward()
    return everyone.detach().flatten().tolist(), x.grad.flatten().tolist()


def averaged():
    """Gradients after the average: process 1 lacks the second, all lack the third, and buffers are small."""
    distributed.BUFFER = 12  # room for two of the gradients below
    r = distributed.rank()
    kinds = [torch.float32, torch.float32, torch.float32, torch.float64, torch.float32, torch.float32]
    parameters = [nn.Parameter(torch.zeros(3, 2, dtype=kind)) for kind in kinds]
    for i, p in enumerate(parameters):
        if i != 2 and not (i == 1 and r == 1):
            p.grad = torch.full_like(p, 10 * i + 2 * r).T.contiguous().T  # also where memory is not in order
            p.grad[0, 1] += 1
    parameters[5].requires_grad_(False)
    distributed.average_gradients(p for p in parameters)
    return [None if p.grad is None else p.grad.tolist() for p in parameters]


def refusal(call):
    try:
        call()
    except ValueError as error:
        return str(error)
    return "none"


def main(folder):
    distributed.start()
    distributed.start()  # a second time changes nothing
    r = distributed.rank()
    results = {
        "place": (r, distributed.world_size()),
        "steps": {name: step(name, own_rows()) for name in CASES},
        "gathered": gathered(),
        "whole numbers": distributed.gather(torch.tensor([r, r + 10])).tolist(),
        "averaged": averaged(),
        "unequal": refusal(lambda: distributed.gather(torch.zeros(2 + r, 3))),
        "one row each": refusal(lambda: losses.InBatchNegatives()([torch.randn(1, 4), torch.randn(1, 4)])),
    }
    torch.save(results, folder / f"{r}.pt")
    distributed.stop()
    assert distributed.world_size() == 1


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """The results of both processes, in the order of rank."""
    folder = tmp_path_factory.mktemp("two")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    root = str(Path(distributed.__file__).parents[1])
    paths = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*torchrun, __file__, str(folder)], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return [torch.load(folder / f"{r}.pt") for r in range(2)]


@pytest.mark.parametrize("name", CASES)
def test_two_processes_of_half_the_rows_are_one_of_all(two, name):
    alone = step(name, slice(None))
    assert alone[0] > 0 and alone[1].abs().max() > 1e-4  # not equal by being zero
    for results in two:
        for together, expected in zip(results["steps"][name], alone, strict=True):
            torch.testing.assert_close(together, expected, rtol=1e-9, atol=1e-12)


def test_gather_orders_by_rank_and_sums_in_its_backward(two):
    assert [results["place"] for results in two] == [(0, 2), (1, 2)]
    for results in two:
        assert results["gathered"][0] == [0.25, 0.75, 1.25, 1.75]
        assert results["whole numbers"] == [0, 10, 1, 11]
    # Process 0 weighs the rows 1 2 3 4, process 1 weighs them 10 20 30 40.
    assert [results["gathered"][1] for results in two] == [[11, 22], [33, 44]]


def test_average_gradients_is_the_mean_with_missing_as_zero(two):
    def filled(value, corner=1.0):
        return [[value, value + corner], [value, value], [value, value]]

    first = [filled(1.0), filled(5.0, 0.5), None, filled(31.0), filled(41.0)]
    for r, results in enumerate(two):
        assert results["averaged"][:5] == first
        assert results["averaged"][5] == filled(50.0 + 2 * r)  # frozen: left as it was


def test_unequal_rows_are_refused_by_every_process(two):
    assert all("[2, 3] rows" in results["unequal"] for results in two)


def test_one_row_in_each_process_is_a_choice_of_two(two):
    assert [results["one row each"] for results in two] == ["none", "none"]


def test_buffers_keep_every_gradient_in_order_and_stay_small(monkeypatch):
    monkeypatch.setattr(distributed, "BUFFER", 10)
    sizes = [4, 6, 1, 30, 5, 5, 5]
    buckets = distributed._buckets([torch.zeros(size) for size in sizes])
    assert distributed._buckets([]) == []
    assert [[g.numel() for g in bucket] for bucket in buckets] == [[4, 6], [1], [30], [5, 5], [5]]


def test_one_process_is_the_identity(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    distributed.start()
    distributed.stop()
    x, p = torch.randn(2, 3), nn.Parameter(torch.zeros(2))
    p.grad = torch.tensor([1.0, 2.0])
    distributed.average_gradients([p, nn.Parameter(torch.zeros(1))])
    assert distributed.gather(x) is x and p.grad.tolist() == [1, 2]
    assert (distributed.rank(), distributed.world_size()) == (0, 1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
