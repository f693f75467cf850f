"""What makes an exercise: the right answer, inputs to try it on, and the mistakes people make.

A student's function is judged by what it does, not by how it is written: on every input it must give the value of the
reference, and the gradient where one is asked for, and leave its inputs alone. If it does not, it is compared with the
named mistakes in the same way; the one that does the same is what the student did.
"""

import copy
import inspect
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

Draw = Callable[[torch.Generator], Iterable[tuple]]


@dataclass(frozen=True)
class Exercise:
    """`reference` is right; `inputs(generator)` gives tuples of arguments; `mistakes` are wrong functions by message.

    `equivalents` are right answers written otherwise, the package's own among them; `hints` go from a nudge to nearly
    all. With `gradient`, the gradients of the floating-point tensors among the arguments count too.
    """

    reference: Callable
    inputs: Draw
    mistakes: dict[str, Callable]
    equivalents: Sequence[Callable]
    hints: tuple[str, str]
    gradient: bool = False
    tolerance: float = 1e-4


@dataclass(frozen=True)
class _Outcome:
    """What a call gave and did."""

    value: Any
    gradients: tuple[Tensor | None, ...] | None
    changed: bool  # its arguments
    handed_back: bool  # one of its arguments, the same tensor


def judge(exercise: Exercise, function: Callable) -> str:
    """Why `function` is not right, in a sentence or two for the student; empty if it is."""
    inputs = list(exercise.inputs(torch.Generator().manual_seed(0)))
    right = [_call(exercise.reference, arguments, exercise.gradient) for arguments in inputs]
    mine = [_attempt(function, arguments, exercise.gradient) for arguments in inputs]
    if any(isinstance(outcome, NotImplementedError) and not outcome.args for outcome in mine):  # torch's has a text
        return "This is not written yet: replace the line `raise NotImplementedError` by your code."
    faults = [_fault(function, *three, exercise.tolerance) for three in zip(mine, right, inputs, strict=True)]
    if not any(faults):
        return ""
    for message, wrong in exercise.mistakes.items():
        theirs = [_attempt(wrong, arguments, exercise.gradient) for arguments in inputs]
        if all(_alike(*three, exercise.tolerance) for three in zip(mine, theirs, inputs, strict=True)):
            return message
    return next(filter(None, faults))


def _attempt(function: Callable, arguments: tuple, gradient: bool) -> _Outcome | BaseException:
    try:
        return _call(function, arguments, gradient)
    except BaseException as error:  # exit() too
        return error


def _fault(
    function: Callable, mine: _Outcome | BaseException, right: _Outcome, arguments: tuple, tolerance: float
) -> str:
    if isinstance(mine, BaseException):
        return _raised(function, mine, arguments)
    return _difference(mine, right, arguments, tolerance)


def _alike(mine: _Outcome | BaseException, wrong: _Outcome | BaseException, arguments: tuple, tolerance: float) -> bool:
    """Whether both do the same, be it the same kind of error."""
    if isinstance(mine, BaseException) or isinstance(wrong, BaseException):
        return type(mine) is type(wrong)
    return not _difference(mine, wrong, arguments, tolerance)


def _call(function: Callable, arguments: tuple, gradient: bool) -> _Outcome:
    leaves = [
        a.detach().clone().requires_grad_(gradient and a.is_floating_point()) if isinstance(a, Tensor) else a
        for a in arguments
    ]
    given = [leaf.clone() if isinstance(leaf, Tensor) else copy.deepcopy(leaf) for leaf in leaves]
    value = function(*given)
    changed = not all(_same(a, b, 0) for a, b in zip(given, arguments, strict=True))
    handed_back = any(value is a for a in given if isinstance(a, Tensor))
    gradients = None
    if gradient and isinstance(value, Tensor) and value.requires_grad:
        weights = torch.linspace(0.5, 1.5, value.numel()).view(value.shape)  # so that no element's part is lost
        wanted = [leaf for leaf in leaves if isinstance(leaf, Tensor) and leaf.requires_grad]
        gradients = torch.autograd.grad((value * weights).sum(), wanted, allow_unused=True)
    return _Outcome(value.detach() if isinstance(value, Tensor) else value, gradients, changed, handed_back)


def _difference(mine: _Outcome, right: _Outcome, arguments: tuple, tolerance: float) -> str:
    """What sets `mine` apart from `right`, the plainest first; empty if nothing does."""
    if mine.value is None:
        return "Your function returns nothing: does it end with `return`?"
    value = _as(mine.value, right.value)
    shown = f"\nFor {', '.join(map(_show, arguments))} it gives {_show(value)}; right is {_show(right.value)}."
    if isinstance(right.value, Tensor) != isinstance(value, Tensor):
        kind = "a tensor" if isinstance(right.value, Tensor) else f"a {type(right.value).__name__}"
        return f"Your function returns a {type(value).__name__}, not {kind}.{shown}"
    if isinstance(right.value, Tensor) and value.shape != right.value.shape:
        return f"The shape is {tuple(value.shape)}, but should be {tuple(right.value.shape)}.{shown}"
    if _are_truths(right.value) and not _are_truths(value):
        return f"These are numbers, but should be True and False, as a comparison like `x > 0` gives them.{shown}"
    if type(right.value) is int and isinstance(value, float):
        return f"The number is a float, but should be a whole one, an int.{shown}"
    if isinstance(right.value, Tensor) and value.is_floating_point() != right.value.is_floating_point():
        return f"The numbers are {value.dtype}, but should be {right.value.dtype}.{shown}"
    if mine.changed:
        return "Your function changes its own inputs: whoever calls it still needs them. Work on a copy."
    if mine.handed_back and not right.handed_back:
        return "Your function returns the very tensor it was given."
    if not _same(value, right.value, tolerance):
        nan = isinstance(value, Tensor) and value.isnan().any()
        return f"{'There is NaN in the result.' if nan else 'The values differ.'}{shown}"
    if right.gradients is not None and mine.gradients is None:
        return "The value is right, but no gradient flows through it: nothing could be trained with this."
    if not _same(mine.gradients, right.gradients, tolerance):
        return "The value is right, but its gradient is not: is a part of it detached?"
    return ""


def _as(value: Any, right: Any) -> Any:
    """`value` in the form of `right`, where only its form is another: a list for a tensor, NumPy's number for one."""
    try:
        if isinstance(right, Tensor) and not isinstance(value, Tensor):
            return torch.as_tensor(value)
        return float(value) if isinstance(right, float) else value
    except (TypeError, ValueError, RuntimeError):
        return value


def _are_truths(x: Any) -> bool:
    """Whether this is True or False, or a tensor or list of nothing else; 0 and 1 are not."""
    if isinstance(x, list | tuple):
        return bool(x) and all(map(_are_truths, x))
    return str(getattr(x, "dtype", type(x).__name__)) in ("torch.bool", "bool")


def _same(a: Any, b: Any, tolerance: float) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        rough = tolerance if b.is_floating_point() else 0.0
        return a.shape == b.shape and torch.allclose(a.double(), b.double(), rough, rough, equal_nan=True)
    if isinstance(a, float) and isinstance(b, float):
        return a == b or abs(a - b) <= tolerance * (1 + abs(b)) or a != a and b != b
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(_same(x, y, tolerance) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(_as(a[key], b[key]), b[key], tolerance) for key in b)
    if isinstance(a, Tensor | np.ndarray) or isinstance(b, Tensor | np.ndarray):
        return False
    return bool(a == b)


def _show(x: Any) -> str:
    """A few numbers whole, more by their shape."""
    if not isinstance(x, Tensor):
        return f"{x:.4g}" if isinstance(x, float) else f"{x!r:.80}"
    if x.numel() > 12:
        return f"a tensor of shape {tuple(x.shape)}"
    return str((x.double() * 10_000).round().div(10_000).tolist() if x.is_floating_point() else x.tolist())


def _raised(function: Callable, error: BaseException, arguments: tuple) -> str:
    code = getattr(inspect.unwrap(function), "__code__", None)  # not that of a decorator
    lines = [number for frame, number in traceback.walk_tb(error.__traceback__) if frame.f_code is code]
    where = f" in its line {lines[-1] - code.co_firstlineno + 1}" if code and lines else ""
    if isinstance(error, RecursionError):
        return "Your function calls itself without end (RecursionError)."
    if isinstance(error, SystemExit | KeyboardInterrupt):
        return f"Your function ends the program ({type(error).__name__}) instead of returning a value."
    return f"For {', '.join(map(_show, arguments))} it raises {type(error).__name__}{where}: {error!s:.300}"
