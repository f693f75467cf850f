"""Rows of text to train and measure on, and readers of public sets under one name each.

A row is a few texts and perhaps a label; what the texts mean (pair, triplet, query and passage) is the loss's business.
Public sets are read from the folder that the environment variable SBERT_LAB_DATA names, or else from the Hugging Face
Hub; none is carried here. Grades and labels come out in one form, whatever the source.
"""

import csv
import gzip
import io
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

from sbert_lab.tokens import check_text

NLI_LABELS = ("entailment", "neutral", "contradiction")  # label 0, 1, 2, as on the Hub


@dataclass(frozen=True)
class Row:
    """Texts that belong together, and the label of the whole, if it has one: `Row(("a cat", "a feline"), 0.9)`.

    Raises TypeError or ValueError, naming what was given, for anything else.
    """

    texts: tuple[str, ...]
    label: float | int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.texts, str) or not isinstance(self.texts, Sequence):
            raise TypeError(f"a Row takes a tuple of texts, not {self.texts!r:.60}: write Row((text, text), label)")
        if not self.texts:
            raise ValueError("a Row needs at least one text, not an empty tuple")
        object.__setattr__(self, "texts", tuple(self.texts))
        for text in self.texts:
            check_text(text, "a text of a Row")
        if self.label is not None and (isinstance(self.label, bool) or not isinstance(self.label, Real)):
            raise TypeError(f"the label of a Row is a number or None, not {self.label!r:.60}")
        if self.label is not None and not math.isfinite(self.label):
            raise ValueError(f"the label of {self.texts!r:.60} is {self.label}: it must be a finite number")


def check_rows(rows: Sequence[Row]) -> None:
    """Raise ValueError naming the first row that differs from row 0 in its number of texts or in having a label."""
    if isinstance(rows, (str, Mapping)) or not (hasattr(rows, "__len__") and hasattr(rows, "__getitem__")):
        raise TypeError(f"rows is a {type(rows).__name__}: give a list of Row(texts, label)")
    if len(rows) == 0:
        raise ValueError("there are no rows: give at least one")
    first = rows[0]
    for number, row in enumerate(rows):
        if not isinstance(row, Row):
            raise TypeError(f"row {number} is {row!r:.60}: every row must be a Row(texts, label)")
        if len(row.texts) != len(first.texts):
            raise ValueError(f"row {number} has {len(row.texts)} texts but row 0 has {len(first.texts)}")
        if (row.label is None) != (first.label is None):
            raise ValueError(f"row {number} has the label {row.label} but row 0 has {first.label}: label all or none")


@dataclass(frozen=True)
class _Source:
    """Where a public set is found and what its columns are called."""

    files: dict[str, tuple[str, ...]]  # split -> files below SBERT_LAB_DATA
    columns: tuple[str, str, str]  # two texts and the label, in the files
    hub: tuple[str, ...]  # repository, and configuration if it has several
    hub_columns: tuple[str, str, str]
    hub_splits: dict[str, str]


_STSB = _Source(
    files={split: (f"stsb/sts-{split}.tsv",) for split in ("train", "dev", "test")},
    columns=("sentence1", "sentence2", "score"),
    hub=("sentence-transformers/stsb",),
    hub_columns=("sentence1", "sentence2", "score"),
    hub_splits={"train": "train", "dev": "validation", "test": "test"},
)
_NLI = _Source(
    files={
        "train": tuple(f"nli/{name}.tsv.gz" for name in ("snli_train_part", "mnli_train_part", "lingnli_train")),
        "dev": ("nli/mnli_dev_matched.tsv.gz",),
        "test": ("nli/snli_test.tsv.gz",),
    },
    columns=("premise", "hypothesis", "label"),
    hub=("sentence-transformers/all-nli", "pair-class"),
    hub_columns=("premise", "hypothesis", "label"),
    hub_splits={"train": "train", "dev": "dev", "test": "test"},
)
_STS_SOURCES = {"stsb": _STSB}
_NLI_SOURCES = {"nli": _NLI}


def sts(split: str, source: str = "stsb") -> list[Row]:
    """Pairs and how alike they are in meaning, 0 to 1 (the set's 0 to 5, divided by 5); `split` train, dev or test."""
    return _rows(_STS_SOURCES, source, split, _grade, float)  # the Hub's copy is divided by 5 already


def nli(split: str, source: str = "nli") -> list[Row]:
    """Premise and hypothesis, with the number of their relation in `NLI_LABELS`; `split` train, dev or test."""
    return _rows(_NLI_SOURCES, source, split, NLI_LABELS.index, int)


def _grade(field: str) -> float:
    grade = float(field)
    if not 0 <= grade <= 5:
        raise ValueError("a grade is a number from 0 to 5")
    return grade / 5


def _rows(
    sources: dict[str, _Source],
    name: str,
    split: str,
    parse: Callable[[str], Any],
    parse_hub: Callable[[Any], Any],
) -> list[Row]:
    if name not in sources:
        raise ValueError(f"source {name!r} is not one of {', '.join(sources)}")
    source = sources[name]
    if split not in source.files:
        raise ValueError(f"split {split!r} is not one of {', '.join(source.files)}")
    folder = os.environ.get("SBERT_LAB_DATA")
    if folder:
        return [row for file in source.files[split] for row in _read(Path(folder) / file, source.columns, parse)]
    return [
        Row((str(record[first]), str(record[second])), parse_hub(record[label]))
        for first, second, label in [source.hub_columns]
        for record in _hub_records(name, source, split)
    ]


def _read(path: Path, columns: tuple[str, str, str], parse: Callable[[str], Any]) -> Iterator[Row]:
    """The rows of a tab-separated file with one header line and no quoting; errors name file, line and column."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: SBERT_LAB_DATA must name the folder that holds it")
    raw = gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")
    with io.TextIOWrapper(raw, encoding="utf-8", newline="") as file:
        lines = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        try:
            header = next(lines, [])
            first, second, label = (_column(header, column, path) for column in columns)
            for number, fields in enumerate(lines, 2):
                if len(fields) != len(header):
                    raise ValueError(f"{path}, line {number}: {len(fields)} fields, but the header has {len(header)}")
                try:
                    value = parse(fields[label])
                except ValueError as error:
                    raise ValueError(f"{path}, line {number}, {columns[2]}: {fields[label]!r:.40}: {error}") from None
                yield Row((fields[first], fields[second]), value)
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}, near line {lines.line_num + 1}: not UTF-8 ({error.reason})") from None


def _column(header: Sequence[str], name: str, path: Path) -> int:
    if name not in header:
        raise ValueError(f"{path}, line 1: there is no column {name!r}, only {', '.join(header)}")
    return header.index(name)


def _hub_records(name: str, source: _Source, split: str) -> Iterable[dict[str, Any]]:
    wanted = source.files[split][0]
    try:
        from datasets import load_dataset
    except ImportError:
        raise ModuleNotFoundError(
            f"{name} is not carried by the course: set SBERT_LAB_DATA to a folder that holds {wanted}, "
            "or install the extra `hub` to read it from the Hugging Face Hub"
        ) from None
    try:
        return load_dataset(*source.hub, split=source.hub_splits[split])
    except (ConnectionError, FileNotFoundError) as error:
        raise ConnectionError(
            f"{name} could not be read from the Hub ({type(error).__name__}): go online, "
            f"or set SBERT_LAB_DATA to a folder that holds {wanted}"
        ) from error
