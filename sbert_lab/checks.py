"""Feedback on an exercise within seconds: `check(function)` in a notebook, a worker process that judges it.

The function travels to a process of its own, kept warm between checks. If it loops for ever, ends its process or brings
it down, the notebook lives on: the process is killed at a time limit and another is started. This guards against
accidents. It is no sandbox: the function may do whatever its writer may do.

Where an exercise is defined: in the cells tagged "cases" of its source, `lessons/exercises/NAME.py`.
"""

import json
import os
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from threading import Thread
from typing import IO

import cloudpickle

from sbert_lab.exercises import Exercise, judge
from sbert_lab.sources import COURSE

SECONDS = 5.0  # for one check, once the worker is warm
STARTING = 120.0  # seconds a first start may take, on a slow disk
SOURCES = COURSE / "lessons" / "exercises"
CELL = re.compile(r"^# %%(.*)$", re.MULTILINE)


@cache
def exercises(lesson: str) -> dict[str, Exercise]:
    """The exercises of a lesson by name, from the cells of its source tagged "cases"."""
    path = SOURCES / f"{lesson}.py"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in SOURCES.glob("*.py")))
        raise ValueError(f"no exercises are called {lesson!r}; there are {known}")
    _, *parts = CELL.split(path.read_text(encoding="utf-8"))
    space: dict[str, object] = {"__name__": f"exercises_{lesson}"}
    for head, body in zip(parts[::2], parts[1::2], strict=True):
        if '"cases"' in head:
            exec(compile(body, str(path), "exec"), space)
    return {name: value for name, value in space.items() if isinstance(value, Exercise)}


class CheckFailed(AssertionError):
    """What a failed check raises; a notebook shows its sentence alone, without a traceback."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


class Checks:
    """The checks of one lesson's exercises.

    >>> check = Checks("00_start_here")
    >>> check(cosine)
    [ OK ] cosine
    """

    def __init__(self, lesson: str) -> None:
        self.lesson, self.exercises = lesson, exercises(lesson)
        _WORKER.start()  # warm by the time it is needed

    def __call__(self, function: Callable) -> None:
        """Judge `function`, known by its name: print that it is right, or raise CheckFailed with what is not."""
        name = getattr(function, "__name__", repr(function))
        self._known(name)
        if fault := _WORKER.judge(self.lesson, name, function):
            raise CheckFailed(f"[FAIL] {name}: {fault}")
        print(f"[ OK ] {name}")

    def hint(self, name: str, level: int = 1) -> None:
        """Print a hint to the exercise called `name`: level 1 is a nudge, level 2 tells nearly all."""
        if level not in (1, 2):
            raise ValueError(f"level is {level!r}: give 1 or 2")
        print(self._known(name).hints[level - 1])

    def _known(self, name: str) -> Exercise:
        if name not in self.exercises:
            raise ValueError(f"{name!r} is not one of {', '.join(self.exercises)}: give the function by its name")
        return self.exercises[name]


class Worker:
    """A process that judges functions, one after the other, replaced whenever it is lost."""

    def __init__(self) -> None:
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        """Have a process running; it gets warm by itself."""
        if self.process is None or self.process.poll() is not None:
            command = [sys.executable, "-m", "sbert_lab.checks"]
            quiet = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
            self.process = subprocess.Popen(command, **quiet)  # type: ignore[call-overload]
            self.warm = False

    def judge(self, lesson: str, name: str, function: Callable, seconds: float = SECONDS) -> str:
        """Why `function` does not solve the exercise, empty if it does; the process is killed after `seconds`."""
        try:
            sent = cloudpickle.dumps((lesson, name, function))
        except Exception as error:
            return f"Your function cannot be sent to be checked ({error}): does it use something outside itself?"
        self.start()
        if not self.warm and self._answer(STARTING) != "ready":
            return "The process that checks could not be started: run `python3 course.py doctor`."
        self.warm = True
        assert self.process is not None and self.process.stdin is not None
        self.process.stdin.write(struct.pack(">Q", len(sent)) + sent)
        self.process.stdin.flush()
        answer = self._answer(seconds)
        if answer is None:
            return f"Your function was stopped after {seconds:.0f} seconds: is there a loop without end?"
        return answer

    def _answer(self, seconds: float) -> str | None:
        """What the process says; None if it says nothing in time, and then it is gone."""
        assert self.process is not None
        lines: list[bytes] = []
        reader = Thread(target=_read_line, args=(self.process.stdout, lines), daemon=True)
        reader.start()
        reader.join(seconds)
        if lines and lines[0]:
            return json.loads(lines[0])
        lost = bool(lines)  # its end came, not its answer
        self.process.kill()
        self.process.wait()
        self.process = None
        return "Your function brought its process down: does it leave Python, or use up all memory?" if lost else None


def _read_line(stream: IO[bytes], lines: list[bytes]) -> None:
    lines.append(stream.readline())


def serve(questions: IO[bytes], answers: IO[bytes]) -> None:
    """Judge what comes in, for ever; what a student's function prints goes nowhere."""
    _say(answers, "ready")
    while head := questions.read(8):
        try:
            lesson, name, function = cloudpickle.loads(questions.read(struct.unpack(">Q", head)[0]))
            _say(answers, judge(exercises(lesson)[name], function))
        except Exception as error:
            _say(answers, f"Your function cannot be run by itself: {type(error).__name__}: {error}")


def _say(answers: IO[bytes], text: str) -> None:
    answers.write(json.dumps(text).encode() + b"\n")
    answers.flush()


_WORKER = Worker()

if __name__ == "__main__":
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # prints of the function must not mix with answers
    serve(sys.stdin.buffer, out)
