"""Exact search, nothing approximated: by vectors, every query against every one, and by words."""

from collections.abc import Sequence

import bm25s
import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from sbert_lab.settings import whole
from sbert_lab.similarity import unit
from sbert_lab.tokens import check_text

SCORES_AT_ONCE = 2**24  # 64 MiB of float32 scores in memory at a time


class Exact:
    """An index over `vectors` (N, D): cosine by default, or "dot" for inner products.

    >>> index = Exact(encoder.encode(sentences))
    >>> scores, indices = index.search(encoder.encode(queries), k=10)
    """

    def __init__(self, vectors: np.ndarray, similarity: str = "cosine") -> None:
        if similarity not in ("cosine", "dot"):
            raise ValueError(f"similarity {similarity!r} is not one of cosine, dot")
        self.similarity = similarity
        self.vectors = self._prepared(vectors, "vectors")  # (N, D)

    def __len__(self) -> int:
        """The number of vectors, N."""
        return len(self.vectors)

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The `k` most similar vectors of each query, best first: scores and indices, (Q, min(k, N)) each.

        A single query (D,) gives two arrays (min(k, N),). Equal scores come in no particular order. Raises ValueError
        for k below 1 and for another width, TypeError for anything but an array of numbers.
        """
        k = min(whole("k", k), len(self))
        single = np.ndim(queries) == 1 and len(queries) > 0
        rows = self._prepared([queries] if single else queries, "queries")  # (Q, D)
        if rows.shape[1] != self.vectors.shape[1]:
            raise ValueError(f"queries are {rows.shape[1]} wide, the vectors {self.vectors.shape[1]}")
        scores, indices = torch.empty(len(rows), k), torch.empty(len(rows), k, dtype=torch.int64)
        step = max(1, SCORES_AT_ONCE // max(1, len(self)))
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            scores[part], indices[part] = torch.topk(rows[part] @ self.vectors.T, k)  # of scores (step, N)
        return (scores[0].numpy(), indices[0].numpy()) if single else (scores.numpy(), indices.numpy())

    def _prepared(self, vectors: ArrayLike, name: str) -> Tensor:
        try:
            array = torch.tensor(np.asarray(vectors, dtype=np.float32))  # a copy: the index owns its vectors
        except (TypeError, ValueError, RuntimeError):
            raise TypeError(f"{name} are {vectors!r:.60}: give an array of numbers; encode texts first") from None
        if array.ndim != 2:
            raise ValueError(f"{name} have the shape {tuple(array.shape)}: give (N, D)")
        if not torch.isfinite(array).all():
            raise ValueError(f"{name} hold NaN or infinite numbers")
        return unit(array) if self.similarity == "cosine" else array


class BM25:
    """An index over `texts` by their words: rare shared words count, and short texts (Robertson & Zaragoza 2009).

    Lucene's variant with k1 = 1.2 and b = 0.75, lower-cased, without English function words and single letters, by
    the library bm25s. Raises TypeError for anything but a list of texts, ValueError where there is no word to index.

    >>> scores, indices = BM25(passages).search(queries, k=10)
    """

    def __init__(self, texts: Sequence[str]) -> None:
        _check_texts(texts, "texts")
        words = bm25s.tokenize(list(texts), show_progress=False)
        if not any(words.ids):
            raise ValueError("texts hold no word to index: give at least one with a word of two letters")
        self.count = len(texts)
        self.index = bm25s.BM25(k1=1.2, b=0.75)
        self.index.index(words, show_progress=False)

    def __len__(self) -> int:
        """The number of texts, N."""
        return self.count

    def search(self, queries: Sequence[str], k: int) -> tuple[np.ndarray, np.ndarray]:
        """The `k` best texts of each query, best first: scores and indices, (Q, min(k, N)) each; 0: no shared word."""
        _check_texts(queries, "queries")
        k = min(whole("k", k), len(self))
        if not len(queries):
            return np.empty((0, k), np.float32), np.empty((0, k), np.int64)
        indices, scores = self.index.retrieve(
            bm25s.tokenize(list(queries), show_progress=False), k=k, show_progress=False
        )
        return scores, indices


def _check_texts(texts: Sequence[str], name: str) -> None:
    if isinstance(texts, str) or not isinstance(texts, Sequence):  # a dict would be searched by its ids
        raise TypeError(f"{name} is a {type(texts).__name__}, {texts!r:.60}: give a list of texts")
    for text in texts:
        check_text(text, name)
