"""Feedback on an exercise within seconds: `check(function)` in a notebook, a worker process that judges it.

The function travels to a process of its own, which was started beforehand and judges this one function: whatever it
does to Python or to torch, the next starts afresh. If it loops for ever, ends its process or brings it down, the
notebook lives on: the process is killed at a time limit. This guards against accidents. It is no sandbox: the function
may do whatever its writer may do.

Where an exercise is defined: in the cells tagged "cases" of its source, `lessons/exercises/NAME.py`.
"""

import atexit
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from queue import Empty, Queue
from threading import Thread, Timer
from typing import IO

import cloudpickle

from sbert_lab.exercises import Exercise, judge
from sbert_lab.sources import COURSE

SECONDS = 5.0  # for one check, once its process is warm
STARTING = 120.0  # seconds a start may take, on a slow disk
READY = b"ready\n"
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
    """A process that waits, warm, for the one function that it will judge; then the next is started."""

    def __init__(self) -> None:
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        """Have a process running; it gets warm by itself."""
        if self.process is None:
            command = [sys.executable, "-m", "sbert_lab.checks"]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
            self.process = subprocess.Popen(command, start_new_session=True, **pipes)  # type: ignore[call-overload]
            self.lines: Queue[bytes] = Queue()
            Thread(target=_pass_on, args=(self.process.stdout, self.lines), daemon=True).start()

    def stop(self) -> None:
        """Have no process running."""
        if self.process is not None and self.process.stdin is not None:
            self.process.kill()
            self.process.wait()
            with suppress(BrokenPipeError):  # of a question that nobody read
                self.process.stdin.close()
            self.process = None

    def judge(self, lesson: str, name: str, function: Callable, seconds: float = SECONDS) -> str:
        """Why `function` does not solve the exercise, empty if it does; its process is killed after `seconds`."""
        try:
            sent = cloudpickle.dumps((lesson, name, function, seconds))
        except Exception as error:
            return f"Your function cannot be sent to be checked ({error}): does it use something outside itself?"
        self.start()
        assert self.process is not None and self.process.stdin is not None
        try:
            if self.lines.get(timeout=STARTING) != READY:
                return "The process that checks could not be started: run `python3 course.py doctor`."
            self.process.stdin.write(sent)
            self.process.stdin.close()
            answer = self.lines.get(timeout=seconds)
        except BrokenPipeError:
            return "The process that checks was ended from outside: run the check again."
        except Empty:
            return f"Your function was stopped after {seconds:.0f} seconds: is there a loop without end?"
        finally:  # also where the notebook is interrupted meanwhile
            self.stop()
            self.start()
        if not answer:
            return "Your function brought its process down: does it leave Python, or use up all memory?"
        return json.loads(answer)


def _pass_on(stream: IO[bytes], lines: Queue[bytes]) -> None:
    """Every line of a process, and at its end an empty one."""
    with stream:
        while line := stream.readline():
            lines.put(line)
    lines.put(b"")


def serve(questions: IO[bytes], answers: IO[bytes]) -> None:
    """Say that this process is warm, judge the one function that comes in, and end."""
    answers.write(READY)
    answers.flush()
    question = questions.read()
    if not question:  # the notebook is gone
        return
    try:
        lesson, name, function, seconds = cloudpickle.loads(question)
        Timer(seconds + 1, os._exit, (1,)).start()  # where nobody is left to kill this process
        answer = judge(exercises(lesson)[name], function)
    except Exception as error:
        answer = f"Your function cannot be run by itself: {type(error).__name__}: {error}"
    answers.write(json.dumps(answer).encode() + b"\n")
    answers.flush()


_WORKER = Worker()
atexit.register(_WORKER.stop)

if __name__ == "__main__":
    pipes = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1):  # what the function prints must not mix with the answer, and nobody answers its input()
        os.dup2(nowhere, number)
    serve(*pipes)
    os._exit(0)  # threads that the function left behind end here
