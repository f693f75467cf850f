"""What a set of texts is worth, measured; `python -m benchmarks.quality` does so for the course's own.

A set is too easy where a shortcut solves it: pairs graded by the words they share (Jaccard), relations told from the
hypothesis alone (Gururangan et al. 2018) or from overlap, queries answered by matching words. And it is nobody's test
set any more where a line occurs twice, or in somebody else's set.
"""

import gzip
import json
import lzma
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from sbert_lab import data, evaluation, metrics
from sbert_lab.data import Row
from sbert_lab.search import BM25
from sbert_lab.storage import load
from sbert_lab.tables import records

TEXTS = {  # the columns of the course's sets in which no text may occur twice
    "sts": ("sentence1", "sentence2"),
    "nli": ("premise", "hypothesis"),
    "questions": ("question",),
    "passages": ("text",),
    "queries": ("query",),
    "sentences": ("sentence",),
    "parallel": ("en",),
    "reviews": ("text",),
    "glossary": ("definition",),
}
NEGATION = re.compile(
    r"\b(no|not|never|nobody|nothing|none|nowhere|neither|nor|cannot|without)\b|n['’]t\b", re.IGNORECASE
)
RUN = 8  # words in a row that two texts do not share by chance


def words(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return re.findall(r"\w+", text.lower())


def overlap(rows: Iterable[Row]) -> np.ndarray:
    """The share of words that the two texts of each row have in common, (B,): Jaccard, 0 to 1."""
    found = [[set(words(text)) for text in row.texts] for row in rows]
    return np.array([len(a & b) / max(1, len(a | b)) for a, b in found])


def hypothesis_alone(train: Sequence[Row], test: Sequence[Row]) -> float:
    """Accuracy on `test`, 0 to 1, of a bag of words and word pairs that never sees the premise."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    classifier = make_pipeline(CountVectorizer(ngram_range=(1, 2), min_df=2), LogisticRegression(max_iter=1000))
    classifier.fit([row.texts[1] for row in train], [row.label for row in train])
    return float(classifier.score([row.texts[1] for row in test], [row.label for row in test]))


def overlap_alone(train: Sequence[Row], test: Sequence[Row]) -> float:
    """Accuracy on `test`, 0 to 1, of a tree that sees only how many words the two texts share and how long they are."""
    from sklearn.tree import DecisionTreeClassifier

    def features(rows: Sequence[Row]) -> np.ndarray:
        lengths = [[len(words(text)) for text in row.texts] for row in rows]
        return np.column_stack([overlap(rows), lengths])  # (B, 3)

    classifier = DecisionTreeClassifier(max_depth=4, random_state=0).fit(features(train), [row.label for row in train])
    return float(classifier.score(features(test), [row.label for row in test]))


def negation(rows: Iterable[Row]) -> dict[str, float]:
    """The share of hypotheses with a negation word, by relation."""
    found: dict[str, list[bool]] = {name: [] for name in data.NLI_LABELS}
    for row in rows:
        if not isinstance(row.label, int) or row.label not in range(len(found)):
            raise ValueError(f"relations are rows of nli, label 0, 1 or 2, not {row!r:.80}")
        found[data.NLI_LABELS[row.label]].append(bool(NEGATION.search(row.texts[1])))
    return {name: float(np.mean(some)) for name, some in found.items()}


def word_search(split: str) -> dict[str, float]:
    """BM25 on the course's queries, in the measures of `evaluation.retrieval`."""
    queries, passages, relevant = data.retrieval(split)
    ids = list(passages)
    _, found = BM25(list(passages.values())).search(list(queries.values()), k=10)
    return evaluation.rankings(
        {query: [ids[i] for i in row] for query, row in zip(queries, found, strict=True)}, relevant
    )


def profile(texts: Sequence[str]) -> dict[str, float]:
    """Texts, words a text, different words in all, and among 1,000 words in a row (type-token ratio, the mean)."""
    everything = [word for text in texts for word in words(text)]
    thousands = [everything[start : start + 1000] for start in range(0, len(everything) - 999, 1000)]
    return {
        "texts": len(texts),
        "words": len(everything) / len(texts),
        "vocabulary": len(set(everything)),
        "type_token_ratio": float(np.mean([len(set(some)) / 1000 for some in thousands]))
        if thousands
        else float("nan"),
    }


def course_texts(folder: Path = data.CARRIED) -> Iterator[tuple[str, str]]:
    """Every English text of the course's sets, after its place: file, line and column."""
    for name, columns in TEXTS.items():
        for path in sorted((folder / name).glob("*.tsv")):
            for place, record in records(path):
                for column in columns:
                    yield f"{place}, column {column}", record[column]


def repeats(texts: Iterable[tuple[str, str]]) -> list[str]:
    """Every text of `course_texts` that occurs twice, in one set or in two, case and punctuation aside; both places.

    The premises of one file may: each stands with several hypotheses.
    """
    seen: dict[str, str] = {}
    found = []
    for place, text in texts:
        first = seen.setdefault(" ".join(words(text)), place)
        files = {at.partition(", line")[0] for at in (first, place)}
        premises = all(at.endswith("column premise") for at in (first, place))
        if first != place and not (premises and len(files) == 1):
            found.append(f"{place}: {text!r:.60} is also in {first}")
    return found


def borrowed(texts: Sequence[str], others: Iterable[str]) -> list[str]:
    """Those of `texts` that share eight words in a row with one of `others`, or are one, if shorter."""
    runs: dict[tuple[str, ...], set[str]] = {}
    for text in texts:
        for run in _runs(text):
            runs.setdefault(run, set()).add(text)
    return sorted(set().union(*(runs[run] for other in others for run in _runs(other) if run in runs)))


def _runs(text: str) -> Iterator[tuple[str, ...]]:
    """Every run of eight words of a text; of a shorter one the whole."""
    found = words(text)
    return (tuple(found[start : start + RUN]) for start in range(max(bool(found), len(found) - RUN + 1)))


def public_texts(folder: Path) -> Iterator[str]:
    """Every field of every line of the tables, JSON lines and plain texts below `folder`, compressed or not.

    Raises FileNotFoundError where there is none.
    """
    openers: dict[str, Callable[..., IO[str]]] = {".gz": gzip.open, ".xz": lzma.open}
    paths = [path for path in sorted(folder.rglob("*")) if re.search(r"\.(tsv|jsonl|txt)(\.gz|\.xz)?$", path.name)]
    if not paths:
        raise FileNotFoundError(f"{folder} holds no tables, JSON lines or texts: give a folder of public sets")
    for path in paths:
        with openers.get(path.suffix, open)(path, "rt", encoding="utf-8", errors="replace") as file:
            for line in file:
                yield from map(str, json.loads(line).values()) if ".jsonl" in path.name else line.split("\t")


def report() -> dict[str, dict[str, float]]:
    """What the datasheets print, by set: what shortcuts reach on the test split, and what all-MiniLM-L6-v2 does."""
    encoder = load("all-MiniLM-L6-v2")
    pairs, train, relations = data.sts("test"), data.nli("train"), data.nli("test")
    grades = np.array([row.label for row in pairs], dtype=float)
    negations = negation([*train, *data.nli("dev"), *relations])
    return {
        "sts": {
            "all-MiniLM-L6-v2, Spearman": evaluation.sts(encoder, pairs)["spearman"],
            "word overlap alone, Spearman": metrics.spearman(overlap(pairs), grades),
        },
        "nli": {
            "hypothesis alone, accuracy": hypothesis_alone(train, relations),
            "overlap and lengths alone, accuracy": overlap_alone(train, relations),
            **{f"share of {name} with a negation word, all splits": share for name, share in negations.items()},
        },
        "queries": {
            "BM25, nDCG@10": word_search("test")["ndcg@10"],
            "all-MiniLM-L6-v2, nDCG@10": evaluation.retrieval(encoder, *data.retrieval("test"))["ndcg@10"],
        },
        "questions": {"all-MiniLM-L6-v2, average precision": evaluation.mining(encoder, data.questions("test"))},
    }


def profiles(public: bool) -> dict[str, dict[str, float]]:
    """Lengths and vocabulary of the second texts of graded pairs and of inference; with `public`, of STS-B and SNLI."""
    found = {"sts, course": data.sts("test"), "nli, course": data.nli("test")}
    if public:
        found |= {"sts, stsb": data.sts("test", "stsb"), "nli, allnli": data.nli("test", "allnli")}
    return {name: profile([row.texts[-1] for row in rows]) for name, rows in found.items()}


def main() -> None:
    """Print the measures of the course's own sets, and every text that occurs twice or in a public set."""
    folder = os.environ.get("SBERT_LAB_DATA")
    for name, values in {**report(), **profiles(bool(folder))}.items():
        print(name, *(f"  {what}: {value:.3f}" for what, value in values.items()), sep="\n")
    found = repeats(course_texts())
    if folder:
        found += borrowed([text for _, text in course_texts()], public_texts(Path(folder)))
    print(f"repeated or borrowed: {len(found)}", *found, sep="\n")


if __name__ == "__main__":
    main()
