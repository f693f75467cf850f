"""A check answers whatever a student's function does to the process that runs it."""

import os
import sys
import threading
import time

import cloudpickle
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell

from sbert_lab import checks
from sbert_lab.checks import CheckFailed, Checks, Worker

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # as functions of a notebook travel


@pytest.fixture(scope="module")
def worker():
    made = Worker()
    made.start()
    yield made
    made.stop()


def right(scores, k):
    print("a student prints")
    return scores.argsort(descending=True)[:k]


def ask(worker, function, seconds=5.0):
    return worker.judge("00_start_here", "best", function, seconds)


def loop(scores, k):
    while True:
        pass


def breed(scores, k):
    return breed(scores, k)


def deaf(scores, k):
    while True:
        try:
            time.sleep(1)
        except BaseException:  # not even an interrupt gets through
            pass


SURVIVED = {
    "a question nobody answers": (lambda scores, k: input(), "EOFError"),
    "an endless loop": (loop, "was stopped after 1 seconds"),
    "a loop that ignores interrupts": (deaf, "was stopped after 1 seconds"),
    "exit()": (lambda scores, k: sys.exit(), "ends the program"),
    "the end of the process": (lambda scores, k: os._exit(3), "brought its process down"),
    "recursion": (breed, "calls itself without end"),
    "no gap filled": (lambda scores, k: exec("raise NotImplementedError"), "not written yet"),
}


@pytest.mark.parametrize(("function", "words"), SURVIVED.values(), ids=SURVIVED)
def test_the_worker_or_its_successor_goes_on(worker, function, words):
    assert words in ask(worker, function, seconds=1.0)
    assert ask(worker, right) == ""


def test_one_function_leaves_nothing_behind_for_the_next(worker):
    def poison(scores, k):
        torch.Tensor.argsort = lambda *_, **__: "x"
        torch.set_default_device("meta")
        return None

    assert "returns nothing" in ask(worker, poison)
    assert ask(worker, right) == ""


def test_after_an_interrupted_check_the_next_is_answered(worker, monkeypatch):
    def interrupted(**_):
        raise KeyboardInterrupt

    worker.start()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(worker.lines, "get", interrupted)
        ask(worker, loop)
    assert ask(worker, right) == ""


def test_a_process_ended_from_outside_is_said_and_replaced(worker):
    worker.start()
    while worker.lines.empty():
        time.sleep(0.01)
    worker.process.kill()
    worker.process.wait()
    assert "ended from outside" in ask(worker, right)
    assert ask(worker, right) == ""


def test_a_warm_answer_comes_soon(worker):
    worker.start()
    while worker.lines.empty():  # not warm yet
        time.sleep(0.01)
    started = time.perf_counter()
    assert "lowest" in ask(worker, lambda scores, k: scores.argsort()[:k])
    assert time.perf_counter() - started < checks.SECONDS


def test_what_a_function_needs_travels_with_it(worker):
    flip = True

    def helped(scores, k):
        return helper(scores)[:k]

    def helper(scores):
        return scores.argsort(descending=flip)

    assert ask(worker, helped) == ""


def test_what_cannot_travel_is_said(worker):
    lock = threading.Lock()
    assert "cannot be sent" in ask(worker, lambda scores, k: lock.locked())


def test_a_check_prints_ok_or_raises_one_sentence(capsys):
    check = Checks("00_start_here")

    def best(scores, k):
        return scores.topk(min(k, len(scores))).indices

    check(best)
    assert capsys.readouterr().out == "[ OK ] best\n"
    best_of_one = lambda scores, k: scores.argmax()[None]  # noqa: E731
    best_of_one.__name__ = "best"
    with pytest.raises(CheckFailed, match=r"\[FAIL\] best: Only the single best") as caught:
        check(best_of_one)
    assert isinstance(caught.value, AssertionError)  # what nbgrader and nbval look for
    assert caught.value._render_traceback_() == [str(caught.value)]


def test_a_notebook_shows_the_sentence_alone(capsys):
    shell = InteractiveShell.instance()
    shell.user_ns.update(torch=torch, check=Checks("00_start_here"))
    shell.run_cell("def best(scores, k):\n    return scores")
    shell.run_cell("check(best)")
    shown = capsys.readouterr().out
    assert "[FAIL] best" in shown and "Traceback" not in shown


def test_hints_come_in_two_levels(capsys):
    check = Checks("00_start_here")
    check.hint("best")
    check.hint("best", 2)
    assert capsys.readouterr().out.splitlines() == list(check.exercises["best"].hints)
    with pytest.raises(ValueError, match="level is 3: give 1 or 2"):
        check.hint("best", 3)
    with pytest.raises(ValueError, match="'worst' is not one of cosines, best"):
        check.hint("worst")


def test_unknown_lessons_and_functions_are_named():
    with pytest.raises(ValueError, match="no exercises are called '99_none'; there are 00_start_here"):
        Checks("99_none")
    with pytest.raises(ValueError, match="'<lambda>' is not one of"):
        Checks("00_start_here")(lambda scores, k: scores)
