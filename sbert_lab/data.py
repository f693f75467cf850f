"""Rows of text to train and measure on, and the course's own sets and public ones under one name each.

A row is a few texts and perhaps a label; what the texts mean (pair, triplet, query and passage) is the loss's business.
The course's sets come with it, below `data/`, each with a datasheet. Public sets are read from the folder that the
environment variable SBERT_LAB_DATA names, or else from the Hugging Face Hub; none is carried here. Grades and labels
come out in one form, whatever the source.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from sbert_lab.corpus import cut_sentences
from sbert_lab.sources import COURSE
from sbert_lab.tables import named, records, texts_by_id
from sbert_lab.tokens import check_text

CARRIED = COURSE / "data"
SPLITS = ("train", "dev", "test")
NLI_LABELS = ("entailment", "neutral", "contradiction")  # label 0, 1, 2, as on the Hub
REVIEW_LABELS = ("bicycle", "book", "cafe", "course", "film", "garden", "hotel", "museum", "phone", "train")
LANGUAGES = ("de", "ru", "ko", "zh")  # of the parallel sentences, beside English

Judged = tuple[dict[str, str], dict[str, str], dict[str, dict[str, float]]]  # queries, passages, grades; by id


@dataclass(frozen=True)
class Row:
    """Texts that belong together, and the label of the whole, if it has one: `Row(("a cat", "a feline"), 0.9)`.

    A label is a number, or a tuple of numbers where a teacher says several: a vector, a score for each candidate.
    Raises TypeError or ValueError, naming what was given, for anything else.
    """

    texts: tuple[str, ...]
    label: float | int | tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.texts, str) or not isinstance(self.texts, Sequence):
            raise TypeError(f"a Row takes a tuple of texts, not {self.texts!r:.60}: write Row((text, text), label)")
        if not self.texts:
            raise ValueError("a Row needs at least one text, not an empty tuple")
        object.__setattr__(self, "texts", tuple(self.texts))
        for text in self.texts:
            check_text(text, "a text of a Row")
        if isinstance(self.label, tuple):
            object.__setattr__(self, "label", tuple(float(self._number(part)) for part in self.label))
        elif self.label is not None:
            object.__setattr__(self, "label", self._number(self.label))

    def _number(self, label: float) -> float | int:
        if isinstance(label, bool) or not isinstance(label, Real):
            raise TypeError(f"the label of a Row is a number, a tuple of numbers or None, not {self.label!r:.60}")
        if not abs(label) < 1e38:  # NaN fails too
            raise ValueError(f"the label of {self.texts!r:.60} is {label}: it must be a finite number below 1e38")
        return int(label) if isinstance(label, Integral) else float(label)


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
        if _size(row.label) != _size(first.label):
            given = f"row {number} has the label {row.label!r:.60} but row 0 has {first.label!r:.60}"
            raise ValueError(f"{given}: label all alike or none")


def _size(label: float | int | tuple[float, ...] | None) -> int | None:
    """How many numbers a label has, to tell the kinds apart: None without one, -1 for a plain number."""
    return len(label) if isinstance(label, tuple) else None if label is None else -1


@dataclass(frozen=True)
class _Source:
    """Where a set is found; its columns, texts and last the label, are named alike in the files and on the Hub."""

    columns: tuple[str, ...]
    files: dict[str, tuple[str, ...]]  # split -> files below SBERT_LAB_DATA, or below CARRIED
    from_file: Callable[[str], float | int]  # a label as the files write it; ValueError says what it must be
    from_hub: Callable[[Any], float | int]
    hub: tuple[str, ...] = ()  # repository, and configuration if it has several; of none: the set comes with the course
    hub_splits: dict[str, str] = field(default_factory=dict)


def _grade(given: Any, highest: float) -> float:
    grade = float(given)
    if not 0 <= grade <= highest:
        raise ValueError(f"the grade {given!r} is not from 0 to {highest}")
    return grade / highest


def _class(given: Any, names: tuple[str, ...]) -> int:
    if given not in names:
        raise ValueError(f"the label {given!r:.40} is not one of {', '.join(names)}")
    return names.index(given)


def _relation_number(given: Any) -> int:
    if given not in range(len(NLI_LABELS)):
        raise ValueError(f"the label {given!r:.40} is not one of 0, 1, 2")
    return int(given)


def _carried(name: str, columns: tuple[str, ...], label: Callable[[str], float | int]) -> _Source:
    return _Source(columns, {split: (f"{name}/{split}.tsv",) for split in SPLITS}, label, label)


_STS_COLUMNS = ("sentence1", "sentence2", "score")
_STS = {
    "course": _carried("sts", _STS_COLUMNS, partial(_grade, highest=5)),
    "stsb": _Source(
        columns=_STS_COLUMNS,
        files={split: (f"stsb/sts-{split}.tsv",) for split in SPLITS},
        from_file=partial(_grade, highest=5),
        hub=("sentence-transformers/stsb",),
        hub_splits={"train": "train", "dev": "validation", "test": "test"},
        from_hub=partial(_grade, highest=1),  # divided by 5 there already
    ),
}
_NLI_COLUMNS = ("premise", "hypothesis", "label")
_NLI = {
    "course": _carried("nli", _NLI_COLUMNS, partial(_class, names=NLI_LABELS)),
    "allnli": _Source(
        columns=_NLI_COLUMNS,
        files={
            "train": tuple(
                f"nli/{name}.tsv.gz" for name in ("snli_train_part", "mnli_train_part", "lingnli_train", "cad_train")
            ),
            "dev": ("nli/mnli_dev_matched.tsv.gz",),
            "test": ("nli/snli_test.tsv.gz",),
        },
        from_file=partial(_class, names=NLI_LABELS),
        hub=("sentence-transformers/all-nli", "pair-class"),
        hub_splits={"train": "train", "dev": "dev", "test": "test"},
        from_hub=_relation_number,
    ),
}
_REVIEWS = {"course": _carried("reviews", ("text", "label"), partial(_class, names=REVIEW_LABELS))}


def sts(split: str, source: str = "course") -> list[Row]:
    """Pairs and how alike they are in meaning, 0 to 1 (the set's 0 to 5, divided by 5); `split` train, dev or test.

    `source` is "course", or "stsb" for the public STS benchmark.
    """
    return _rows(_STS, source, split)


def nli(split: str, source: str = "course") -> list[Row]:
    """Premise and hypothesis, with the number of their relation in `NLI_LABELS`; `split` train, dev or test.

    `source` is "course", or "allnli" for public sets, and there folder and Hub differ: the folder holds parts of SNLI,
    MultiNLI, LingNLI and counterfactual SNLI for training, MultiNLI (matched) as dev and SNLI's test; the Hub's AllNLI
    is all of SNLI and MultiNLI. Say which one a number was measured on.
    """
    return _rows(_NLI, source, split)


def reviews(split: str) -> list[Row]:
    """Short reviews, with the number of what is reviewed in `REVIEW_LABELS`; `split` train, dev or test."""
    return _rows(_REVIEWS, "course", split)


def questions(split: str) -> list[Row]:
    """Questions, each with the number of what it asks: paraphrases share it; `split` train, dev or test.

    A near miss, in nearly the words of a group and asking something else, has a number of its own.
    """
    _check_split(split)
    groups: dict[str, int] = {}
    rows: list[Row] = []
    for place, (group, kind, question) in _carried_fields(f"questions/{split}", "group", "kind", "question"):
        with named(f"{place}, column kind"):
            near = _class(kind, ("paraphrase", "near-miss"))
        number = len(rows)  # which no question before had
        rows.append(Row((question,), number if near else groups.setdefault(group, number)))
    return rows


def parallel(split: str, language: str) -> list[Row]:
    """English sentences and their translations, for "de", "ru", "ko" or "zh"; `split` train or test."""
    if language not in LANGUAGES:
        raise ValueError(f"language {language!r} is not one of {', '.join(LANGUAGES)}")
    _check_split(split, ("train", "test"))
    return [Row(tuple(texts)) for _, texts in _carried_fields(f"parallel/{split}", "en", language)]


def glossary() -> list[dict[str, str]]:
    """The course's terms: "term", its "definition", and its names in "ru", "ko" and "zh"."""
    return [record for _, record in records(CARRIED / "glossary" / "glossary.tsv")]


def synonyms() -> dict[str, list[str]]:
    """Everyday words and what may stand in their place, for `views.synonyms`."""
    table = records(CARRIED / "synonyms" / "synonyms.tsv")
    return {record["word"]: record["synonyms"].split(", ") for _, record in table}


def sentences() -> list[str]:
    """The course's sentences for unsupervised training, each once: of the sets' training parts (not queries) and more.

    The passages are in whole, as the collection that is searched; nothing of a dev or test split is.
    """
    found = [text for read in (sts, nli, questions, reviews) for row in read("train") for text in row.texts]
    found += [row.texts[0] for row in parallel("train", "de")]
    found += [sentence for _, (sentence,) in _carried_fields("sentences/train", "sentence")]
    found += cut_sentences(text for _, (text,) in _carried_fields("passages/passages", "text"))
    return list(dict.fromkeys(found))


def retrieval(split: str = "test", source: str = "course") -> Judged:
    """Queries, passages and relevance grades by id, as `evaluation.retrieval` takes them; `split` train, dev or test.

    The course's grades are 2, answers the query, and 1, touches on it; training queries have one passage each. Any
    other `source` is a folder below `retrieval` of SBERT_LAB_DATA in BEIR's layout, such as "scifact", whose judged
    queries are all for testing.
    """
    if source != "course":
        folder = os.environ.get("SBERT_LAB_DATA")
        if not folder:
            raise FileNotFoundError(f"source {source!r} is not carried by the course: set SBERT_LAB_DATA to its folder")
        if split != "test":
            raise ValueError(
                f"source {source!r} is read from the folder SBERT_LAB_DATA, split 'test' only: got {split!r}"
            )
        return beir(Path(folder) / "retrieval" / source)
    _check_split(split)
    passages: dict[str, str] = {}
    for place, (name, title, text) in _carried_fields("passages/passages", "id", "title", "text"):
        _put(passages, name, f"{title} {text}", place)
    queries, relevant = {}, {}
    for number, (place, (query, grades)) in enumerate(_carried_fields(f"queries/{split}", "query", "relevant"), 1):
        queries[f"{split}-{number}"], relevant[f"{split}-{number}"] = query, _grades(place, grades, passages)
    return queries, passages, relevant


def _grades(place: str, given: str, passages: Mapping[str, str]) -> dict[str, float]:
    """Grades by passage of "glacier-2=2 moraine-1=1"."""
    grades: dict[str, float] = {}
    for part in given.split():
        passage, _, grade = part.partition("=")
        if passage not in passages or grade not in ("1", "2"):
            raise ValueError(f"{place}, column relevant: {part!r} is not a known passage with =1 or =2")
        _put(grades, passage, float(grade), place)
    return grades


def _put(found: dict[str, Any], name: str, value: Any, place: str) -> None:
    """Keep `value` under its name; ValueError where there is one already, which it would silently replace."""
    if name in found:
        raise ValueError(f"{place}: {name!r} is there already: give each once")
    found[name] = value


def _check_split(split: str, splits: tuple[str, ...] = SPLITS) -> None:
    if split not in splits:
        raise ValueError(f"split {split!r} is not one of {', '.join(splits)}")


def triplets(rows: Iterable[Row], hard: bool = True) -> list[Row]:
    """Premise and entailed hypothesis from rows of `nli`, as supervised SimCSE takes them (Gao et al. 2021, section 4).

    With `hard`, only premises that also have a contradicted hypothesis, which becomes the third text of the row. A
    premise with several entailed ones gives several rows, its contradicted ones taken in turn. The order is that in
    which the premises first come. Raises ValueError for a row that is not a labelled pair.
    """
    found: dict[str, tuple[list[str], list[str]]] = {}
    for row in rows:
        if len(row.texts) != 2 or not isinstance(row.label, int) or row.label not in range(len(NLI_LABELS)):
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


def beir(folder: str | Path) -> Judged:
    """Queries, passages and relevance grades by id, as `evaluation.retrieval` takes them, from the files of a BEIR set.

    They are `queries.jsonl.gz`, `corpus.jsonl.gz` and `qrels.tsv`. A passage is its title and its text; a query that
    nobody judged is left out. Raises FileNotFoundError for a missing file, ValueError for a damaged line or a judged
    query without text.
    """
    folder = Path(folder)
    queries: dict[str, str] = {}
    passages: dict[str, str] = {}
    relevant: dict[str, dict[str, float]] = {}
    for place, record in texts_by_id(folder / "queries.jsonl.gz"):
        _put(queries, record["_id"], record["text"], place)
    for place, record in texts_by_id(folder / "corpus.jsonl.gz"):
        _put(passages, record["_id"], f"{record['title']} {record['text']}".strip(), place)
    for place, record in records(folder / "qrels.tsv"):
        try:
            query, passage, grade = record["query-id"], record["corpus-id"], float(record["score"])
        except (KeyError, ValueError) as error:
            raise ValueError(f"{place}: {error}: columns query-id, corpus-id and a number, score, are needed") from None
        if query not in queries:
            raise ValueError(f"{place}: the query {query!r} has no text in queries.jsonl.gz")
        _put(relevant.setdefault(query, {}), passage, grade, place)
    return {query: queries[query] for query in relevant}, passages, relevant


def _rows(sources: dict[str, _Source], name: str, split: str) -> list[Row]:
    if name not in list(sources):
        raise ValueError(f"source {name!r} is not one of {', '.join(sources)}")
    source = sources[name]
    _check_split(split)
    folder = os.environ.get("SBERT_LAB_DATA") if source.hub else CARRIED
    if folder:
        files = [Path(folder) / file for file in source.files[split]]
        return [row for file in files for row in _parse(records(file), source.columns, source.from_file)]
    return list(_parse(_hub_records(name, source, split), source.columns, source.from_hub))


def _parse(
    records: Iterable[tuple[str, Mapping[str, Any]]], columns: Sequence[str], label: Callable[[Any], float | int]
) -> Iterator[Row]:
    """Rows from records and where each stands; ValueError and TypeError name the place."""
    for place, (*texts, given) in _fields(records, columns):
        with named(f"{place}, column {columns[-1]}"):
            value = label(given)
        with named(place):
            row = Row(tuple(texts), value)
        yield row


def _fields(
    records: Iterable[tuple[str, Mapping[str, Any]]], columns: Sequence[str]
) -> Iterator[tuple[str, list[Any]]]:
    """Place and the fields of `columns` of every record; ValueError where one is missing."""
    for place, record in records:
        for column in columns:
            if column not in record:
                raise ValueError(f"{place}: there is no column {column!r}, only {', '.join(record)}")
        yield place, [record[column] for column in columns]


def _carried_fields(file: str, *columns: str) -> Iterator[tuple[str, list[str]]]:
    return _fields(records(CARRIED / f"{file}.tsv"), columns)


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
