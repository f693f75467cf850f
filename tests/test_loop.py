"""The loop by itself, on a line to be fitted: against the same loop written out by hand."""

import pytest
import torch
from torch import nn

from sbert_lab import loop
from sbert_lab.loop import Plan

X = torch.randn(20, 3, generator=torch.Generator().manual_seed(1))
Y = X @ torch.tensor([[1.0], [-2.0], [0.5]])
PLAN = Plan(epochs=2, batch_size=5, learning_rate=0.1, warmup=0.25, weight_decay=0.1, seed=7)


def line() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(3, 1)


def filler(model: nn.Module, seen: list | None = None):
    def fill(numbers):
        if seen is not None:
            seen.append(list(numbers))
        value = (model(X[list(numbers)]) - Y[list(numbers)]).square().mean()
        value.backward()
        return value.detach(), 1

    return fill


def test_it_is_the_loop_written_out():
    model, seen = line(), []
    history = loop.run({"line": model}, 20, filler(model, seen), PLAN)
    assert [sorted(sum(seen[i : i + 4], [])) for i in (0, 4)] == [list(range(20))] * 2  # each row once an epoch
    assert history.cut == 8 and len(history.losses) == 8

    twin = line()
    groups = [{"params": [twin.weight], "weight_decay": 0.1}, {"params": [twin.bias], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=0.0)
    rates = [1 / 3, 2 / 3, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]  # two steps of warm-up, then down
    for numbers, rate, loss in zip(seen, rates, history.losses, strict=True):
        for group in optimizer.param_groups:
            group["lr"] = 0.1 * rate
        value, _ = filler(twin)(numbers)
        nn.utils.clip_grad_norm_(twin.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        assert loss == pytest.approx(value.item(), rel=1e-5)
    torch.testing.assert_close(model.weight, twin.weight)
    torch.testing.assert_close(model.bias, twin.bias)


def test_the_best_weights_are_kept():
    model, scores, weights = line(), iter([0.0, 1.0, 3.0, 2.0, 1.0]), []

    def dev():
        assert not model.training
        weights.append(model.weight.detach().clone())
        return next(scores)

    plan = Plan(epochs=2, batch_size=5, learning_rate=0.1, evaluate_every=2)
    history = loop.run({"line": model}, 20, filler(model), plan, dev=dev)
    assert history.scores == [(0, 0.0), (2, 1.0), (4, 3.0), (6, 2.0), (8, 1.0)]
    assert torch.equal(model.weight, weights[2]) and not torch.equal(weights[2], weights[4])


class Stop(Exception):
    pass


def test_a_stopped_run_goes_on_to_the_same_weights(tmp_path):
    whole, stopped, again = line(), line(), line()
    loop.run({"line": whole}, 20, filler(whole), PLAN)
    fill, steps = filler(stopped), iter(range(6))

    def fill_six(numbers):
        if next(steps, None) is None:
            raise Stop
        return fill(numbers)

    plan = Plan(**{**vars(PLAN), "checkpoint_every": 1})
    with pytest.raises(Stop):
        loop.run({"line": stopped}, 20, fill_six, plan, folder=tmp_path, facts={"task": "line"})
    seen = []
    loop.run({"line": again}, 20, filler(again, seen), plan, folder=tmp_path, facts={"task": "line"})
    assert len(seen) == 2 and torch.equal(again.weight, whole.weight)
    with pytest.raises(ValueError, match="belongs to another run: task is 'line' there, not 'curve'"):
        loop.run({"line": again}, 20, filler(again), plan, folder=tmp_path, facts={"task": "curve"})


@pytest.mark.parametrize("option", ["evaluate_every", "checkpoint_every"])
def test_an_option_without_its_use_is_refused(option):
    with pytest.raises(ValueError, match=f"{option} is 2 but there is no"):
        loop.run({"line": line()}, 20, filler(line()), Plan(**{option: 2}))


def test_nothing_to_train_is_said():
    with pytest.raises(ValueError, match="every weight of the line is frozen"):
        loop.run({"line": line().requires_grad_(False)}, 20, filler(line()), PLAN)
