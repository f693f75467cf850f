"""Measures of sentence vectors: correlation with human scores, quality of a ranking, shape of the space.

All compute in numpy float64 and return a Python float. Correlations: `pearson`, `spearman`. Rankings, one query at a
time (the mean over queries is the caller's): `ndcg`, `reciprocal_rank` (its mean is MRR), `recall`, `average_precision`
(its mean is MAP). Space: `alignment`, `uniformity`, `anisotropy`. Bad input raises ValueError or TypeError, because a
NaN in a table of results is found too late. Encoding and searching live in `evaluation.py`.
"""

import math
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sbert_lab.settings import whole

Array = NDArray[np.float64]


def pearson(x: ArrayLike, y: ArrayLike) -> float:
    """Linear correlation of two lists of numbers, (N,), (N,) -> -1..1; ValueError where one is constant."""
    a, b = (values / np.abs(values).max() for values in _paired(x, y))  # scale does not count; 1e200² would overflow
    a, b = a - a.mean(), b - b.mean()
    return float(np.clip((a / np.linalg.norm(a)) @ (b / np.linalg.norm(b)), -1, 1))


def spearman(x: ArrayLike, y: ArrayLike) -> float:
    """Pearson of the ranks, ties sharing their mean rank, (N,), (N,) -> -1..1; the measure of STS."""
    a, b = _paired(x, y)
    return pearson(_ranks(a), _ranks(b))


def ndcg(ranked: Sequence[Hashable], relevant: Mapping | Collection, k: int = 10) -> float:
    """Discounted gain of the first k, as a share of the best possible, 0..1; Järvelin & Kekäläinen 2002.

    `ranked`: document ids, best first. `relevant`: {id: grade} of all relevant documents, found or not, or a set of ids
    for grade 1. The gain is the grade itself, as in trec_eval and BEIR, not 2^grade - 1.
    """
    grades = _judged(ranked, relevant, k)
    gains = [grades.get(d, 0.0) for d in ranked[:k]]
    return _discounted(gains) / _discounted(sorted(grades.values(), reverse=True)[:k])


def reciprocal_rank(ranked: Sequence[Hashable], relevant: Mapping | Collection, k: int = 10) -> float:
    """1 / rank of the first relevant document among the first k, 0 without one; arguments as in `ndcg`."""
    grades = _judged(ranked, relevant, k)
    return next((1 / rank for rank, d in enumerate(ranked[:k], start=1) if d in grades), 0.0)


def recall(ranked: Sequence[Hashable], relevant: Mapping | Collection, k: int = 10) -> float:
    """Share of all relevant documents found among the first k, 0..1; arguments as in `ndcg`."""
    grades = _judged(ranked, relevant, k)
    return sum(d in grades for d in ranked[:k]) / len(grades)


def average_precision(ranked: Sequence[Hashable], relevant: Mapping | Collection, k: int = 10) -> float:
    """Sum of the precisions at the relevant documents among the first k, over min(k, all relevant), 0..1.

    So a perfect ranking scores 1. Arguments as in `ndcg`.
    """
    grades = _judged(ranked, relevant, k)
    hits = [rank for rank, d in enumerate(ranked[:k], start=1) if d in grades]
    return sum(found / rank for found, rank in enumerate(hits, start=1)) / min(int(k), len(grades))


def alignment(u: ArrayLike, v: ArrayLike) -> float:
    """Mean squared distance of pairs on the unit sphere, (N, D), (N, D) -> 0..4; Wang & Isola 2020 §4.1."""
    a, b = _directions(u), _directions(v)
    if a.shape != b.shape:
        raise ValueError(f"alignment compares row i with row i but was given shapes {a.shape} and {b.shape}")
    return float(np.square(a - b).sum(axis=1).mean())


def uniformity(vectors: ArrayLike) -> float:
    """log of the mean exp(-2 d²) over all pairs on the unit sphere, (N, D) -> -8..0; Wang & Isola 2020 §4.1.

    Lower is more evenly spread. Exact, in blocks of rows: memory grows with N, not with N².
    """
    x = _directions(vectors, at_least=2)
    total = 0.0
    for start in range(0, len(x), 1024):
        squared = 2 - 2 * x[start : start + 1024] @ x.T  # (block, N): d² of unit vectors
        total += np.exp(-2 * squared).sum()
    return math.log((total - len(x)) / (len(x) * (len(x) - 1)))  # without each row's 1 with itself


def anisotropy(vectors: ArrayLike) -> float:
    """Mean cosine of all pairs of different rows, (N, D) -> about 0 for an even space, 1 for one direction.

    Ethayarajh 2019 §3.2, who samples pairs; here all, exactly: |Σ unit|² is the sum of all N² cosines, N of them 1.
    """
    x = _directions(vectors, at_least=2)
    return float((np.square(x.sum(axis=0)).sum() - len(x)) / (len(x) * (len(x) - 1)))


def bootstrap(
    measure: Callable[..., float], *columns: ArrayLike, rounds: int = 1000, seed: int = 0
) -> NDArray[np.float64]:
    """`measure` of `rounds` samples of the rows, drawn with replacement; (N,) columns -> (rounds,); Efron 1979.

    Its 2.5 and 97.5 % quantiles are an interval for the measure. To compare two encoders on the same rows, measure the
    difference: what both find hard then cancels out.

    >>> gain = bootstrap(lambda a, b, gold: spearman(a, gold) - spearman(b, gold), new, old, gold)
    """
    arrays = [np.asarray(column) for column in columns]
    lengths = {len(array) for array in arrays}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(f"bootstrap needs columns of one length above 0, not {sorted(lengths)}")
    draw = np.random.default_rng(seed)
    samples = (draw.integers(len(arrays[0]), size=len(arrays[0])) for _ in range(rounds))
    return np.array([measure(*(array[sample] for array in arrays)) for sample in samples])


def _ranks(x: Array) -> Array:
    _, group, size = np.unique(x, return_inverse=True, return_counts=True)
    return (np.cumsum(size) - (size - 1) / 2)[group]  # the mean of the ranks a tied group takes


def _discounted(gains: Sequence[float]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))


def _numbers(x: ArrayLike, dimensions: int, what: str) -> Array:
    try:
        array = np.asarray(x, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{what} must be numbers in a regular array on the CPU: {error}") from error
    if array.ndim != dimensions:
        expected = "(N,)" if dimensions == 1 else "(N, D)"
        raise ValueError(f"{what} must be {expected}, but have shape {array.shape}")
    if not np.isfinite(array).all():
        wrong = np.sum(~np.isfinite(array))
        raise ValueError(f"{what} must be finite, but {wrong} of {array.size} are NaN or infinite")
    return array


def _paired(x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
    a, b = _numbers(x, 1, "the values to correlate"), _numbers(y, 1, "the values to correlate")
    if len(a) != len(b) or len(a) < 2:
        raise ValueError(f"a correlation needs two lists of one length, at least 2, not {len(a)} and {len(b)}")
    for values in (a, b):
        if values.min() == values.max():
            raise ValueError(f"a constant list has no correlation: all {len(values)} values are {values[0]}")
    return a, b


def _directions(x: ArrayLike, at_least: int = 1) -> Array:
    array = _numbers(x, 2, "vectors")
    if len(array) < at_least:
        raise ValueError(f"at least {at_least} vectors are needed, one per row, but {len(array)} were given")
    length = np.linalg.norm(array, axis=1, keepdims=True)  # (N, 1)
    if not length.all():
        raise ValueError(f"vector {int(np.argmin(length))} is all zeros and has no direction: leave it out")
    return array / length


def _judged(ranked: Sequence[Hashable], relevant: Mapping | Collection, k: int) -> dict[Hashable, float]:
    """The documents of grade above 0, after checking the ranking."""
    if isinstance(ranked, str) or isinstance(relevant, str):
        raise TypeError("a ranking is a list of document ids and its relevant documents a dict or set, not one str")
    whole("k", k)
    if len(set(ranked)) != len(ranked):
        raise ValueError(f"a ranking names a document once, but {len(ranked) - len(set(ranked))} are repeats")
    grades = dict(relevant) if isinstance(relevant, Mapping) else dict.fromkeys(relevant, 1.0)
    if not all(0 <= grade < math.inf for grade in grades.values()):
        raise ValueError(f"grades of relevance must be finite and at least 0, but were {sorted(grades.values())}")
    grades = {d: float(grade) for d, grade in grades.items() if grade > 0}
    if not grades:
        raise ValueError("a query without a relevant document has no measure: leave it out of the mean")
    return grades
