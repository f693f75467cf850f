"""The judge names every fault; the course's exercises accept right answers and name each mistake."""

import sys
from fractions import Fraction

import numpy as np
import pytest
import torch
from test_notebooks import ROOT, build

from sbert_lab import checks
from sbert_lab.exercises import Exercise, judge

LESSONS = sorted(path.stem for path in checks.SOURCES.glob("*.py"))
COURSE = {f"{lesson}: {name}": made for lesson in LESSONS for name, made in checks.exercises(lesson).items()}


def columns(generator):
    for rows in (1, 3, 20):
        yield torch.randn(rows, 4, generator=generator), 2.0


MEAN = Exercise(
    reference=lambda x, scale: scale * x.mean(0),
    inputs=columns,
    gradient=True,
    mistakes={"the wrong axis": lambda x, scale: scale * x.mean(1), "no scale": lambda x, scale: x.mean(0)},
    equivalents=[],
    hints=("", ""),
)


def in_place(x, scale):
    x *= scale
    return x.mean(0)


def endless(x, scale):
    return endless(x, scale)


FAULTS = {
    "right": (lambda x, scale: torch.einsum("nd->d", x) * scale / len(x), ""),
    "right in other precision": (lambda x, scale: scale * x.double().mean(0), ""),
    "a named mistake": (lambda x, scale: x.sum(0) / len(x), "no scale"),
    "another named mistake": (lambda x, scale: scale * x.sum(1) / 4, "the wrong axis"),
    "nothing": (lambda x, scale: None, "returns nothing"),
    "a text": (lambda x, scale: "0.5", "returns a str, not a tensor"),
    "a list": (lambda x, scale: (scale * x.mean(0)).tolist(), "no gradient"),
    "whole numbers": (lambda x, scale: x.mean(0).long(), "should be torch.float32"),
    "torch's own refusal": (lambda x, scale: x.int().softmax(0), "NotImplementedError"),
    "another shape": (lambda x, scale: scale * x.mean(0, keepdim=True), "The shape is (1, 4), but should be (4,)"),
    "other values": (lambda x, scale: scale * x.mean(0) + 1, "The values differ."),
    "NaN": (lambda x, scale: x.mean(0) * float("nan"), "NaN"),
    "inputs changed": (in_place, "changes its own inputs"),
    "the input itself": (lambda x, scale: x, "The shape"),
    "no gradient": (lambda x, scale: scale * x.detach().mean(0), "no gradient"),
    "half a gradient": (lambda x, scale: x.mean(0) + x.detach().mean(0), "detached"),
    "an error": (lambda x, scale: x @ x, "RuntimeError"),
    "an error now and then": (lambda x, scale: scale * x.mean(0) if len(x) < 20 else 1 / 0, "ZeroDivisionError"),
    "no end": (endless, "calls itself without end"),
    "exit": (lambda x, scale: sys.exit(), "ends the program"),
    "wrong arguments": (lambda x: x, "TypeError"),
}


@pytest.mark.parametrize(("function", "words"), FAULTS.values(), ids=FAULTS)
def test_the_judge_says_what_is_wrong(function, words):
    found = judge(MEAN, function)
    assert words in found and bool(words) == bool(found)


def test_a_tensor_handed_back_is_named():
    doubled = Exercise(lambda x: x.clone(), lambda g: [(torch.ones(3),)], {}, [], ("", ""))
    assert "the very tensor it was given" in judge(doubled, lambda x: x)


def test_lists_and_numbers_are_compared_with_tolerance():
    squares = Exercise(lambda n: [n * 0.1, n], lambda g: [(3,), (4,)], {}, [], ("", ""))
    assert judge(squares, lambda n: [n / 10 + 1e-7, n]) == ""
    assert "differ" in judge(squares, lambda n: [n / 10, n + 1])
    tenth = Exercise(lambda n: n * 0.1, lambda g: [(3,), (4,)], {}, [], ("", ""))
    for kind in (np.float32, torch.tensor, Fraction):
        assert judge(tenth, lambda n, kind=kind: kind(n / 10)) == ""
    place = Exercise(lambda x: x.argmax()[None], lambda g: [(torch.randn(40_002, generator=g),)], {}, [], ("", ""))
    assert judge(place, lambda x: [x.argmax().item()]) == ""
    assert "differ" in judge(place, lambda x: x.argmax()[None] + 1)  # whole numbers have no tolerance


def test_dictionaries_of_tensors_are_compared():
    parts = Exercise(lambda x: {"sum": x.sum(), "n": 3}, lambda g: [(torch.rand(3, generator=g),)], {}, [], ("", ""))
    for kind in (torch.tensor, np.float32, lambda number: [number][0]):
        assert judge(parts, lambda x, kind=kind: {"n": 3, "sum": kind(x.sum().item() + 1e-6)}) == ""
    assert "differ" in judge(parts, lambda x: {"n": 3, "sum": x.mean()})
    assert "differ" in judge(parts, lambda x: {"n": 3})


def test_zeros_and_ones_are_no_truth_values():
    mask = Exercise(lambda x: x > 0, lambda g: [(torch.randn(9, generator=g),)], {}, [], ("", ""))
    anywhere = Exercise(lambda x: bool((x > 0).any()), mask.inputs, {}, [], ("", ""))
    each = Exercise(lambda x: (x > 0).tolist(), mask.inputs, {}, [], ("", ""))
    count = Exercise(lambda x: (x > 0).sum().item(), mask.inputs, {}, [], ("", ""))
    whole = Exercise(lambda x: (x > 0).int(), mask.inputs, {}, [], ("", ""))
    for right in (lambda x: ~(x <= 0), lambda x: (x > 0).tolist(), lambda x: (x > 0).numpy()):
        assert judge(mask, right) == ""
    for wrong in (lambda x: (x > 0).int(), lambda x: (x > 0).float(), lambda x: (x > 0).int().tolist()):
        assert "should be True and False" in judge(mask, wrong)
    assert judge(anywhere, lambda x: (x > 0).numpy().any()) == judge(each, lambda x: [n > 0 for n in x.tolist()]) == ""
    assert "should be True and False" in judge(anywhere, lambda x: int((x > 0).any()))
    assert "should be True and False" in judge(each, lambda x: (x > 0).int().tolist())
    assert judge(count, lambda x: sum(n > 0 for n in x.tolist())) == judge(whole, lambda x: (x > 0).long()) == ""
    assert "should be a whole one" in judge(count, lambda x: (x > 0).float().sum().item())


def two_lines_on(x, scale):
    rows = len(x)
    return x.mean(0) * scale / (rows - rows)[0]


@torch.no_grad()
def one_line_on(x, scale):
    return x.mean(0) / [scale]


def test_an_error_is_shown_with_its_line_in_the_function():
    assert "raises TypeError in its line 3: unsupported" in judge(MEAN, one_line_on)  # the decorator is the first
    assert "raises TypeError in its line 3: 'int' object" in judge(MEAN, two_lines_on)
    assert "raises TypeError: " in judge(MEAN, lambda x: x)  # not in it, but at the call


def test_a_mistake_may_be_an_error():
    fussy = Exercise(
        lambda x: x[:3], lambda g: [(torch.ones(2),)], {"too few": lambda x: x.topk(3).values}, [], ("", "")
    )
    assert judge(fussy, lambda x: x.topk(3).values) == "too few"


def test_an_array_where_a_mistake_gives_two_values_is_no_crash():
    twice = Exercise(lambda x: 2 * x, lambda g: [(torch.ones(2),)], {"two values": lambda x: (x, x)}, [], ("", ""))
    assert judge(twice, lambda x: 2 * x.numpy()) == ""
    assert "The values differ" in judge(twice, lambda x: 3 * x.numpy())


def test_there_are_exercises():
    assert LESSONS and all(len(checks.exercises(lesson)) >= 3 for lesson in LESSONS)


@pytest.mark.parametrize("exercise", COURSE.values(), ids=COURSE)
def test_an_exercise_accepts_right_answers_and_names_each_mistake(exercise):
    assert judge(exercise, exercise.reference) == ""
    assert len(exercise.equivalents) >= 2 and len(exercise.mistakes) >= 4 and all(exercise.hints)
    for right in exercise.equivalents:
        assert judge(exercise, right) == ""
    for message, wrong in exercise.mistakes.items():
        assert judge(exercise, wrong) == message


@pytest.mark.parametrize("lesson", LESSONS)
def test_the_solution_passes_and_the_gap_does_not(lesson):
    for solved in (True, False):
        notebook = build.from_exercises(ROOT / "lessons/exercises" / f"{lesson}.py", solved)
        space: dict = {"torch": torch}
        tagged = [cell for cell in notebook.cells if "solution" in cell.metadata.get("tags", [])]
        for cell in tagged:
            exec(cell.source, space)
        assert {cell.metadata.nbgrader.grade_id for cell in tagged} == set(checks.exercises(lesson))
        for name, exercise in checks.exercises(lesson).items():
            found = judge(exercise, space[name])
            assert found == "" if solved else "not written yet" in found
