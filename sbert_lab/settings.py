"""A number that someone set, checked where it comes in: one rule and one sentence for every setting of the package.

What is no number raises TypeError, a number out of range ValueError; the sentence names the setting, what was given and
what to give. Numbers of numpy count as numbers, True and False do not.
"""

import math
from numbers import Integral, Real
from typing import Any


def whole(name: str, value: Any, least: int = 1, below: float = math.inf) -> int:
    """`value` as an int; ValueError also where it is not whole."""
    if not _is(value, Integral) or not least <= value < below:
        raise _wrong(name, value, f"a whole number of at least {least}", below)
    return int(value)


def number(name: str, value: Any, least: float = -math.inf, above: float = -math.inf, below: float = math.inf) -> float:
    """`value` as a float, finite; `least` or `above` bounds it from below."""
    if not _is(value, Real) or not (least <= value and above < value < below):
        low = f" above {above}" if above > -math.inf else f" of at least {least}"
        raise _wrong(name, value, f"a finite number{low}", below)
    return float(value)


def _is(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _wrong(name: str, value: Any, wanted: str, below: float) -> Exception:
    limit = f" and below {below}" if below < math.inf else ""
    return (ValueError if _is(value, Real) else TypeError)(f"{name} is {value!r:.60}: give {wanted}{limit}")
