"""Rows of text to train and measure on, and readers of public sets under one name each.

A row is a few texts and perhaps a label; what the texts mean (pair, triplet, query and passage) is the loss's business.
Public sets are read from the folder that the environment variable SBERT_LAB_DATA names, or else from the Hugging Face
Hub; none is carried here. Grades and labels come out in one form, whatever the source.
"""

import gzip
import json
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from numbers import Integral, Real
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
        if self.label is None:
            return
        if isinstance(self.label, bool) or not isinstance(self.label, Real):
            raise TypeError(f"the label of a Row is a number or None, not {self.label!r:.60}")
        if not abs(self.label) < 1e38:  # NaN fails too
            raise ValueError(f"the label of {self.texts!r:.60} is {self.label}: it must be a finite number below 1e38")
        object.__setattr__(self, "label", (int if isinstance(self.label, Integral) else float)(self.label))


def check_rows(rows: Sequence[Row]) -> None:
    """Raise TypeError for what is not a list of rows, ValueError for a row unlike row 0 in its texts or its label."""
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
    """Where a public set is found; its columns, two texts and a label, are named alike in the files and on the Hub."""

    columns: tuple[str, str, str]
    files: dict[str, tuple[str, ...]]  # split -> files below SBERT_LAB_DATA
    from_file: Callable[[str], float | int]  # a label as the files write it; ValueError says what it must be
    hub: tuple[str, ...]  # repository, and configuration if it has several
    hub_splits: dict[str, str]
    from_hub: Callable[[Any], float | int]


def _grade(field: Any, highest: float) -> float:
    grade = float(field)
    if not 0 <= grade <= highest:
        raise ValueError(f"the grade {field!r} is not from 0 to {highest}")
    return grade / highest


def _relation(field: Any) -> int:
    if field not in NLI_LABELS:
        raise ValueError(f"the label {field!r:.40} is not one of {', '.join(NLI_LABELS)}")
    return NLI_LABELS.index(field)


def _relation_number(field: Any) -> int:
    if field not in range(len(NLI_LABELS)):
        raise ValueError(f"the label {field!r:.40} is not one of 0, 1, 2")
    return int(field)


_STS = {
    "stsb": _Source(
        columns=("sentence1", "sentence2", "score"),
        files={split: (f"stsb/sts-{split}.tsv",) for split in ("train", "dev", "test")},
        from_file=partial(_grade, highest=5),
        hub=("sentence-transformers/stsb",),
        hub_splits={"train": "train", "dev": "validation", "test": "test"},
        from_hub=partial(_grade, highest=1),  # divided by 5 there already
    )
}
_NLI = {
    "nli": _Source(
        columns=("premise", "hypothesis", "label"),
        files={
            "train": tuple(
                f"nli/{name}.tsv.gz" for name in ("snli_train_part", "mnli_train_part", "lingnli_train", "cad_train")
            ),
            "dev": ("nli/mnli_dev_matched.tsv.gz",),
            "test": ("nli/snli_test.tsv.gz",),
        },
        from_file=_relation,
        hub=("sentence-transformers/all-nli", "pair-class"),
        hub_splits={"train": "train", "dev": "dev", "test": "test"},
        from_hub=_relation_number,
    )
}


def sts(split: str, source: str = "stsb") -> list[Row]:
    """Pairs and how alike they are in meaning, 0 to 1 (the set's 0 to 5, divided by 5); `split` train, dev or test."""
    return _rows(_STS, source, split)


def nli(split: str, source: str = "nli") -> list[Row]:
    """Premise and hypothesis, with the number of their relation in `NLI_LABELS`; `split` train, dev or test.

    Folder and Hub differ: the folder holds parts of SNLI, MultiNLI, LingNLI and counterfactual SNLI for
    training, MultiNLI (matched) as dev and SNLI's test; the Hub's AllNLI is all of SNLI and MultiNLI. Say which one a
    number was measured on.
    """
    return _rows(_NLI, source, split)


def triplets(rows: Iterable[Row], hard: bool = True) -> list[Row]:
    """Premise and entailed hypothesis from rows of `nli`, as supervised SimCSE takes them (Gao et al. 2021, section 4).

    With `hard`, only premises that also have a contradicted hypothesis, which becomes the third text of the row. A
    premise with several entailed ones gives several rows, its contradicted ones taken in turn. The order is that in
    which the premises first come. Raises ValueError for a row that is not a labelled pair.
    """
    found: dict[str, tuple[list[str], list[str]]] = {}
    for row in rows:
        if len(row.texts) != 2 or row.label is None:
            raise ValueError(f"triplets are made of labelled pairs, as nli gives them, not of {row!r:.80}")
        entailed, contradicted = found.setdefault(row.texts[0], ([], []))
        if row.label in (0, 2):
            (entailed if row.label == 0 else contradicted).append(row.texts[1])
    return [
        Row((premise, positive, contradicted[number % len(contradicted)]) if hard else (premise, positive))
        for premise, (entailed, contradicted) in found.items()
        if contradicted or not hard
        for number, positive in enumerate(entailed)
    ]


def beir(folder: str | Path) -> tuple[dict[str, str], dict[str, str], dict[str, dict[str, float]]]:
    """Queries, passages and relevance grades by id, as `evaluation.retrieval` takes them, from the files of a BEIR set.

    They are `queries.jsonl.gz`, `corpus.jsonl.gz` and `qrels.tsv`. A passage is its title and its text; a query that
    nobody judged is left out. Raises FileNotFoundError for a missing file, ValueError for a damaged line or a judged
    query without text.
    """
    folder = Path(folder)
    queries = {record["_id"]: record["text"] for record in _json_lines(folder / "queries.jsonl.gz")}
    corpus = _json_lines(folder / "corpus.jsonl.gz")
    passages = {record["_id"]: f"{record['title']} {record['text']}".strip() for record in corpus}
    relevant: dict[str, dict[str, float]] = {}
    for place, record in records(folder / "qrels.tsv"):
        try:
            query, passage, grade = record["query-id"], record["corpus-id"], float(record["score"])
        except (KeyError, ValueError) as error:
            raise ValueError(f"{place}: {error}: columns query-id, corpus-id and a number, score, are needed") from None
        if query not in queries:
            raise ValueError(f"{place}: the query {query!r} has no text in queries.jsonl.gz")
        relevant.setdefault(query, {})[passage] = grade
    return {query: queries[query] for query in relevant}, passages, relevant


def _json_lines(path: Path) -> Iterator[dict[str, str]]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: give a folder in BEIR's layout")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                record = json.loads(line)
                texts = {"_id": str(record["_id"]), "text": record["text"], "title": record.get("title") or ""}
                for name, text in texts.items():
                    check_text(text, name)
            except (ValueError, KeyError, TypeError):
                raise ValueError(f"{path}, line {number}: {line!r:.60} is no record with _id and text") from None
            yield texts


def _rows(sources: dict[str, _Source], name: str, split: str) -> list[Row]:
    if name not in list(sources):
        raise ValueError(f"source {name!r} is not one of {', '.join(sources)}")
    source = sources[name]
    if split not in list(source.files):
        raise ValueError(f"split {split!r} is not one of {', '.join(source.files)}")
    folder = os.environ.get("SBERT_LAB_DATA")
    if folder:
        files = [Path(folder) / file for file in source.files[split]]
        return [row for file in files for row in _parse(records(file), source.columns, source.from_file)]
    return list(_parse(_hub_records(name, source, split), source.columns, source.from_hub))


def _parse(
    records: Iterable[tuple[str, Mapping[str, Any]]], columns: Sequence[str], label: Callable[[Any], float | int]
) -> Iterator[Row]:
    """Rows from records and where each stands; ValueError and TypeError name the place."""
    for place, record in records:
        for column in columns:
            if column not in record:
                raise ValueError(f"{place}: there is no column {column!r}, only {', '.join(record)}")
        first, second, field = (record[column] for column in columns)
        with _named(f"{place}, column {columns[2]}"):
            value = label(field)
        with _named(place):
            row = Row((first, second), value)
        yield row


@contextmanager
def _named(place: str) -> Iterator[None]:
    """Errors inside begin with `place`."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise type(error)(f"{place}: {error}") from None


def records(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Place and fields of every line of a tab-separated file with a header line and no quoting, plain or gzip.

    Raises FileNotFoundError where it is missing, ValueError for a damaged line, naming it.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: the folder, which SBERT_LAB_DATA names for the public sets, must hold it"
        )
    header: list[str] = []
    number = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, 1):
                fields = line.decode("utf-8-sig").rstrip("\r\n").split("\t")
                header = header or fields
                if len(fields) != len(header):
                    raise ValueError(f"{path}, line {number}: {len(fields)} fields, but the header has {len(header)}")
                if number > 1:
                    yield f"{path}, line {number}", dict(zip(header, fields, strict=True))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}, line {number}: not UTF-8 ({error.reason})") from None
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    if number < 2:
        raise ValueError(f"{path} has no rows")


def _hub_records(name: str, source: _Source, split: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    folder = f"set SBERT_LAB_DATA to a folder that holds {source.files[split][0]}"
    try:
        from datasets import load_dataset
    except ImportError:
        raise ModuleNotFoundError(
            f"{name} is not carried by the course: {folder}, or install the extra `hub` to read it from the Hub"
        ) from None
    try:
        records = load_dataset(*source.hub, split=source.hub_splits[split])
    except (ConnectionError, FileNotFoundError) as error:
        raise ConnectionError(
            f"{name} could not be read from the Hub ({type(error).__name__}): go online, or {folder}"
        ) from error
    for number, record in enumerate(records):
        yield f"{source.hub[0]}, record {number}", record
