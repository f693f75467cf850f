"""One call measures an encoder: graded pairs, retrieval, classification, and the shape of its space."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch

from sbert_lab import metrics
from sbert_lab.data import Row, check_rows
from sbert_lab.encoder import Encoder
from sbert_lab.search import Exact
from sbert_lab.settings import whole
from sbert_lab.similarity import cosine, cosine_matrix


def sts(encoder: Encoder, rows: Sequence[Row]) -> dict[str, float]:
    """Correlation of the pairs' cosines with their labels, -1 to 1: {"spearman", "pearson"}.

    Spearman is the measure of the paper (Reimers & Gurevych 2019, section 4, which prints it times 100). Raises
    ValueError unless every row is a labelled pair.
    """
    found, labels = cosines(encoder, rows), np.array([row.label for row in rows], dtype=np.float64)
    return {"spearman": metrics.spearman(found, labels), "pearson": metrics.pearson(found, labels)}


def cosines(encoder: Encoder, rows: Sequence[Row]) -> np.ndarray:
    """The cosine of each labelled pair, (B,): what `sts` correlates, for a plot or a bootstrap over the pairs."""
    check_rows(rows)
    if len(rows[0].texts) != 2 or rows[0].label is None:
        raise ValueError(f"graded pairs are rows of two texts and a label, but row 0 is {rows[0]!r:.120}")
    vectors = _encode(encoder, [text for row in rows for text in row.texts])
    u, v = torch.from_numpy(vectors).view(len(rows), 2, -1).unbind(1)  # (B, D) each
    return cosine(u, v).numpy()


def classification(encoder: Encoder, rows: Sequence[Row], test: Sequence[Row]) -> float:
    """Accuracy on `test` of a logistic regression learnt from `rows` on frozen vectors, 0 to 1.

    The question of SentEval (Reimers & Gurevych 2019, section 5): are the features there, whatever the cosine says?
    Raises ValueError unless every row is one labelled text.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    for some in (rows, test):
        check_rows(some)
        if len(some[0].texts) != 1 or some[0].label is None:
            raise ValueError(f"classification needs rows of one text and a label, but row 0 is {some[0]!r:.120}")
    (x, y), (x_test, y_test) = (
        (_encode(encoder, [row.texts[0] for row in some]), [row.label for row in some]) for some in (rows, test)
    )
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    return float(classifier.fit(x, y).score(x_test, y_test))


def retrieval(
    encoder: Encoder,
    queries: Mapping[str, str],
    passages: Mapping[str, str],
    relevant: Mapping[str, Mapping[str, float]],
    k: int = 10,
) -> dict[str, float]:
    """How well the relevant passages come first, 0 to 1, over the queries `relevant` names: nDCG, MRR, recall at `k`.

    `queries` and `passages` are texts by id; `relevant` gives each query's passages and their grades above 0. Raises
    ValueError for an id that has no text and for a query without a relevant passage.
    """
    _check_judged(queries, passages, relevant)
    k = whole("k", k)
    ids = list(passages)
    index = Exact(_encode(encoder, passages.values()))
    _, found = index.search(encoder.encode([queries[query] for query in relevant]), k)  # (Q, k)
    ranked = ([ids[place] for place in places] for places in found)
    return rankings(dict(zip(relevant, ranked, strict=True)), relevant, k)


def rankings(
    found: Mapping[str, Sequence[str]], relevant: Mapping[str, Mapping[str, float]], k: int = 10
) -> dict[str, float]:
    """The same of rankings that any search gave: passages by id, best first, for each query of `relevant`.

    Raises ValueError for a query that has no ranking.
    """
    if not relevant:
        raise ValueError("relevant is empty: there is nothing to measure")
    if missing := relevant.keys() - found.keys():
        raise ValueError(f"found has no ranking for the query {min(missing)!r}")
    measures = {"ndcg": metrics.ndcg, "mrr": metrics.reciprocal_rank, "recall": metrics.recall}
    return {
        f"{name}@{k}": float(np.mean([measure(found[query], grades, k) for query, grades in relevant.items()]))
        for name, measure in measures.items()
    }


def mining(encoder: Encoder, rows: Sequence[Row]) -> float:
    """Average precision, 0 to 1, of all pairs of texts ranked by cosine, those with the same label being right.

    What paraphrase mining is measured by: of N texts there are N (N - 1) / 2 pairs and few are right. Raises ValueError
    unless every row is one labelled text and two share a label.
    """
    from sklearn.metrics import average_precision_score

    check_rows(rows)
    if len(rows[0].texts) != 1 or rows[0].label is None:
        raise ValueError(f"mining needs rows of one text and a label, but row 0 is {rows[0]!r:.120}")
    vectors = torch.from_numpy(_encode(encoder, [row.texts[0] for row in rows]))
    labels = np.array([row.label for row in rows])
    first, second = np.triu_indices(len(rows), k=1)  # (P,) each
    right = labels[first] == labels[second]
    if not right.any():
        raise ValueError("no two rows share a label: there is nothing to mine")
    return float(average_precision_score(right, cosine_matrix(vectors, vectors).numpy()[first, second]))


def space(encoder: Encoder, texts: Sequence[str]) -> dict[str, float]:
    """The shape of the space the texts' vectors fill: {"anisotropy", "uniformity"} as in `metrics`."""
    vectors = _encode(encoder, texts)
    return {"anisotropy": metrics.anisotropy(vectors), "uniformity": metrics.uniformity(vectors)}


def _encode(encoder: Encoder, texts: Iterable[str]) -> np.ndarray:
    if isinstance(encoder, str):  # which has an `encode` of its own, with a puzzling message
        raise TypeError(f"encoder is the name {encoder!r}: give load({encoder!r})")
    return encoder.encode(texts)


def _check_judged(queries: Mapping, passages: Mapping, relevant: Mapping) -> None:
    """Everything that can be wrong with the ids, before a long encoding."""
    for name, given in {"queries": queries, "passages": passages, "relevant": relevant}.items():
        if not isinstance(given, Mapping):
            raise TypeError(f"{name} is {given!r:.60}: give a dict by id")
        if not given:
            raise ValueError(f"{name} is empty: there is nothing to measure")
    for query, grades in relevant.items():
        if query not in queries:
            raise ValueError(f"relevant names the query {query!r}, which has no text")
        if not isinstance(grades, Mapping) or not any(grade > 0 for grade in grades.values()):
            raise ValueError(
                f"relevant[{query!r}] is {grades!r:.60}: give a dict with a grade above 0, or leave it out"
            )
        for passage in grades:
            if passage not in passages:
                raise ValueError(f"relevant[{query!r}] names the passage {passage!r}, which has no text")
