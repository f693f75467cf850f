"""The table of results that grows through the course.

A recipe measures what takes longer than a lesson may (seeds, sweeps) and keeps it in `data/results/NAME.json`: the
command that made it, when and on what, and a row for each thing measured. A lesson reads the file and says so; what it
measures itself it adds as rows of its own, marked as live.
"""

import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from typing import Any

import numpy as np
import torch
from IPython.display import Markdown
from numpy.typing import ArrayLike

from sbert_lab import data, evaluation, metrics

FOLDER = data.CARRIED / "results"


def row(name: str, encoders: Sequence[Any], source: str = "course", paper: str = "", lesson: str = "live") -> dict:
    """What `encoders`, the same thing trained with several seeds, reach on an STS test set: a row of the table.

    See `scored`, which takes scores that are there already, or come from no encoder.
    """
    if not encoders:
        raise ValueError(f"the row {name!r} has no encoders: give a list of at least one")
    pairs = data.sts("test", source)
    gold = np.array([pair.label for pair in pairs], dtype=np.float64)
    return scored(name, gold, [evaluation.cosines(encoder, pairs) for encoder in encoders], paper, lesson)


def scored(name: str, gold: ArrayLike, found: Sequence[ArrayLike], paper: str = "", lesson: str = "live") -> dict:
    """A row of the table from the scores of each seed, (B,), and the grades `gold`, (B,).

    {"name", "lesson", "paper", "seeds": Spearman x 100 of each, "interval": 95 % of their mean, by a bootstrap over
    the pairs}. `paper` is the figure to compare with, its table and what it averages over; `lesson` where the row
    belongs.
    """
    return {
        "name": name,
        "lesson": lesson,
        "paper": paper,
        "seeds": points([metrics.spearman(scores, gold) for scores in found]),
        "interval": interval(mean_spearman, gold, *found),
    }


def gain(gold: ArrayLike, found: Sequence[ArrayLike], over: Sequence[ArrayLike]) -> list[float]:
    """95 % of what the mean Spearman x 100 of `found` is above that of `over`, on the same pairs; (B,) a seed."""

    def difference(gold: ArrayLike, *both: ArrayLike) -> float:
        return mean_spearman(gold, *both[: len(found)]) - mean_spearman(gold, *both[len(found) :])

    return interval(difference, gold, *found, *over)


def interval(measure: Callable[..., float], *columns: ArrayLike) -> list[float]:
    """95 % of `measure` x 100, by a bootstrap over the rows of `columns`: [low, high]."""
    return points(np.quantile(metrics.bootstrap(measure, *columns), [0.025, 0.975]))


def mean_spearman(gold: ArrayLike, *found: ArrayLike) -> float:
    """The mean over the seeds of Spearman's correlation with `gold`, -1 to 1; (B,) each."""
    return float(np.mean([metrics.spearman(scores, gold) for scores in found]))


def points(values: ArrayLike) -> Any:
    """Measures times 100, to one decimal, in Python's numbers: how the tables print them."""
    return np.round(100 * np.asarray(values, dtype=float), 1).tolist()


def read(name: str) -> dict[str, Any]:
    """What a recipe kept under this name; FileNotFoundError where there is nothing, naming what there is."""
    path = FOLDER / f"{name}.json"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in FOLDER.glob("*.json")))
        raise FileNotFoundError(f"{path} is missing: run its recipe; there are {known}")
    return json.loads(path.read_text(encoding="utf-8"))


def keep(name: str, command: str, minutes: float, **found: Any) -> None:
    """Write what a recipe measured under this name, with its command, the day, the machine and how long it took."""
    machine = f"{os.cpu_count()} CPU cores, torch {torch.__version__.split('+')[0]}"
    made = {"command": command, "measured": f"{date.today()}, {machine}", "minutes": round(minutes, 1), **found}
    (FOLDER / f"{name}.json").write_text(json.dumps(made, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def rows(until: str) -> list[dict]:
    """The stored rows of all lessons up to number `until`, two digits such as "02"; ValueError for anything else."""
    if not re.fullmatch(r"\d\d", str(until)):
        raise ValueError(f"until is {until!r}: give the two digits of a lesson, such as '02'")
    stored = [row for path in sorted(FOLDER.glob("*.json")) for row in read(path.stem).get("rows", [])]
    return [row for row in stored if row["lesson"] <= until]


def table(rows: Iterable[dict]) -> Markdown:
    """The rows as a table, the worst first."""
    lines = ["| vectors | STS test | 95 % | seeds | lesson | paper |", "|---|--:|--:|--:|:-:|---|"]
    for row in sorted(rows, key=lambda row: np.mean(row["seeds"])):
        low, high = row["interval"]
        # no-break spaces: a row stays a line
        score = f"{np.mean(row['seeds']):.1f} | {low:.1f}\u00a0to\u00a0{high:.1f} | {len(row['seeds'])}"
        name = row["name"].replace("|", "\\|")  # |u-v|
        lines.append(f"| {name} | {score} | {row['lesson']} | {row['paper']} |")
    return Markdown("\n".join(lines))
