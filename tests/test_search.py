"""Exact search: equal to a sort of all scores and to the library, for every shape, type and block size."""

import numpy as np
import pytest
import torch
from sentence_transformers.util import dot_score, semantic_search

from sbert_lab import search
from sbert_lab.search import BM25, Exact


def vectors(count, width=8, seed=0):
    return np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)


def naive(index, queries, k, similarity):
    """Every score in float64, then a stable sort: (Q, min(k, N)) scores and indices."""
    scores = np.empty((len(queries), len(index)))
    for row, query in enumerate(queries.astype(np.float64)):
        for column, vector in enumerate(index.astype(np.float64)):
            length = np.linalg.norm(query) * np.linalg.norm(vector) if similarity == "cosine" else 1
            scores[row, column] = query @ vector / length
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, axis=1), order


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.parametrize("k", [1, 7, 50, 1000])
def test_search_equals_a_sort_of_all_scores(similarity, k):
    index, queries = vectors(50), vectors(9, seed=1)
    scores, indices = Exact(index, similarity).search(queries, k)
    expected, places = naive(index, queries, k, similarity)
    assert scores.dtype == np.float32 and indices.dtype == np.int64
    assert scores.shape == indices.shape == (9, min(k, 50))  # no more neighbours than vectors
    np.testing.assert_array_equal(indices, places)
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_cosine_is_the_default_and_dot_is_something_else():
    index = np.array([[3.0, 0.0], [0.6, 0.8]])  # the first is longer, the second points the right way
    scores, indices = Exact(index).search(np.array([3.0, 4.0]), 2)
    assert indices.tolist() == [1, 0]
    np.testing.assert_allclose(scores, [1.0, 0.6], rtol=1e-6)
    scores, indices = Exact(index, "dot").search(np.array([3.0, 4.0]), 2)
    assert indices.tolist() == [0, 1]
    np.testing.assert_allclose(scores, [9.0, 5.0], rtol=1e-6)


@pytest.mark.parametrize(("similarity", "function"), [("cosine", None), ("dot", dot_score)])
def test_search_equals_the_library(similarity, function):
    index, queries = vectors(300, 16), vectors(20, 16, seed=1)
    options = {"score_function": function} if function else {}
    theirs = semantic_search(torch.from_numpy(queries), torch.from_numpy(index), top_k=10, **options)
    scores, indices = Exact(index, similarity).search(queries, 10)
    assert indices.tolist() == [[hit["corpus_id"] for hit in hits] for hits in theirs]
    np.testing.assert_allclose(scores, [[hit["score"] for hit in hits] for hits in theirs], rtol=1e-5)


@pytest.mark.parametrize("at_once", [1, 50, 120, 449, 450, 10**9])
def test_blocks_of_queries_change_nothing(monkeypatch, at_once):
    index, queries = vectors(50), vectors(9, seed=1)
    monkeypatch.setattr(search, "SCORES_AT_ONCE", at_once)  # 50 scores a query: blocks of 1, 1, 2, 8, 9 and 9 queries
    scores, indices = Exact(index).search(queries, 5)
    expected, places = naive(index, queries, 5, "cosine")
    np.testing.assert_array_equal(indices, places)
    np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_blocks_keep_the_scores_in_memory_few(monkeypatch):
    monkeypatch.setattr(search, "SCORES_AT_ONCE", 120)
    sizes, topk = [], torch.topk

    def counted(scores, *rest, **options):
        sizes.append(scores.numel())
        return topk(scores, *rest, **options)

    monkeypatch.setattr(torch, "topk", counted)
    Exact(vectors(50)).search(vectors(9, seed=1), 5)
    assert sum(sizes) == 50 * 9 and max(sizes) <= 120


def test_one_query_gives_rows_without_the_query_axis():
    index, queries = vectors(50), vectors(3, seed=1)
    many = Exact(index).search(queries, 4)
    one = Exact(index).search(queries[1], 4)
    for all_rows, row in zip(many, one, strict=True):
        assert row.shape == (4,)
        np.testing.assert_allclose(row, all_rows[1], atol=1e-6)


def test_nothing_to_search_in_and_nothing_to_search_for():
    nothing = np.empty((0, 8), np.float32)  # what encode([]) returns
    for index, queries, shape in [
        (vectors(5), nothing, (0, 3)),
        (nothing, vectors(4), (4, 0)),
        (nothing, nothing, (0, 0)),
        (nothing, vectors(1)[0], (0,)),
    ]:
        scores, indices = Exact(index).search(queries, 3)
        assert scores.shape == indices.shape == shape
    assert (len(Exact(nothing)), len(Exact(vectors(5)))) == (0, 5)


def test_a_zero_vector_is_similar_to_nothing():
    index = np.array([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
    scores, indices = Exact(index).search(np.array([2.0, 0.0]), 3)
    assert indices.tolist() == [1, 0, 2] and scores.tolist() == [1, 0, -1]
    scores, indices = Exact(index).search(np.zeros(2), 3)
    assert scores.tolist() == [0, 0, 0] and sorted(indices) == [0, 1, 2]


def test_equal_vectors_are_all_found():
    index = np.repeat(vectors(4), 5, axis=0)  # each vector five times
    scores, indices = Exact(index).search(vectors(4), 5)
    assert [set(row // 5) for row in indices] == [{0}, {1}, {2}, {3}]
    np.testing.assert_allclose(scores, 1, rtol=1e-6)
    assert all(len(set(row)) == 5 for row in indices)


KINDS = {name: lambda x, name=name: x.astype(name) for name in ("f2", "f8", ">f4", "i8", "i1", "u1")}
KINDS |= {"list": np.ndarray.tolist, "columns": np.asfortranarray, "tensor": torch.from_numpy}


@pytest.mark.parametrize("give", KINDS.values(), ids=KINDS)
def test_any_numbers_will_do(give):
    index, queries = np.round(vectors(40) * 10 + 50), np.round(vectors(5, seed=1) * 10 + 50)  # exact in every type
    scores, indices = Exact(give(index), "dot").search(give(queries), 3)
    expected, places = naive(index, queries, 3, "dot")
    np.testing.assert_array_equal(scores, expected)  # whole numbers below 2^24: no rounding in float32
    assert scores.dtype == np.float32
    chosen = np.take_along_axis(queries @ index.T, indices, axis=1)
    np.testing.assert_array_equal(chosen, expected)  # among equals, any order


@pytest.fixture
def every_warning():
    """PyTorch gives most of its warnings once in a process: here each time."""
    torch.set_warn_always(True)
    yield
    torch.set_warn_always(False)


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_an_index_keeps_its_own_vectors(similarity):
    index, queries = vectors(20), vectors(3, seed=1)
    exact = Exact(index, similarity)
    before = exact.search(queries, 5)
    index[:] = 0  # the caller's array serves again for the next block
    for was, now in zip(before, exact.search(queries, 5), strict=True):
        np.testing.assert_array_equal(was, now)


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.filterwarnings("error")
def test_read_only_arrays_are_taken_and_left_as_they_are(similarity, every_warning):
    index, queries = vectors(20), vectors(3, seed=1)
    copies = index.copy(), queries.copy()
    for array in (index, queries):
        array.flags.writeable = False
    scores, _ = Exact(index, similarity).search(queries, 5)
    np.testing.assert_allclose(scores, naive(*copies, 5, similarity)[0], atol=1e-5)
    for array, copy in zip((index, queries), copies, strict=True):
        np.testing.assert_array_equal(array, copy)


V, NAN = vectors(5), np.full((2, 8), np.nan)
BAD = {
    "k of 0": (lambda: Exact(V).search(V, 0), ValueError, "k is 0"),
    "a negative k": (lambda: Exact(V).search(V, -3), ValueError, "k is -3"),
    "True neighbours": (lambda: Exact(V).search(V, True), (TypeError, ValueError), "True"),
    "half a neighbour": (lambda: Exact(V).search(V, 2.5), (TypeError, ValueError), "2.5"),
    "k in quotes": (lambda: Exact(V).search(V, "3"), (TypeError, ValueError), "'3'"),
    "k of None": (lambda: Exact(V).search(V, None), (TypeError, ValueError), "None"),
    "narrow queries": (lambda: Exact(V).search(V[:, :7], 1), ValueError, "7 wide, the vectors 8"),
    "a narrow query": (lambda: Exact(V).search(V[0, :7], 1), ValueError, "7 wide, the vectors 8"),
    "a number for a query": (lambda: Exact(V).search(1.0, 1), ValueError, "queries"),
    "a cube of queries": (lambda: Exact(V).search(V[None], 1), ValueError, "queries have the shape (1, 5, 8)"),
    "one vector": (lambda: Exact(V[0]), ValueError, "vectors have the shape (8,)"),
    "NaN vectors": (lambda: Exact(np.vstack([V, NAN])), ValueError, "vectors hold NaN"),
    "infinite vectors": (lambda: Exact(V / 0), ValueError, "infinite"),
    "NaN queries": (lambda: Exact(V).search(NAN, 1), ValueError, "queries hold NaN"),
    "text for vectors": (lambda: Exact(["a cat", "a dog"]), (TypeError, ValueError), "vectors"),
    "text for a query": (lambda: Exact(V).search("a cat", 1), (TypeError, ValueError), "queries"),
    "an unknown measure": (lambda: Exact(V, "euclidean"), ValueError, "'euclidean' is not one of cosine, dot"),
}


@pytest.mark.parametrize(("call", "kind", "words"), BAD.values(), ids=BAD)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_bad_input_is_named(call, kind, words):
    with pytest.raises(kind) as caught:
        call()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


TEXTS = ["red kite red sky", "blue kite", "sky", "a long walk under blue sky with no wind at all today"]


def naive_bm25(texts, query, k1=1.2, b=0.75):
    """Robertson's formula word by word, as Lucene has it (without its constant factor k1 + 1): (N,)."""
    stop = {"a", "no", "at", "with"}
    split = [[word for word in text.split() if word not in stop and len(word) > 1] for text in texts]
    mean = np.mean([len(words) for words in split])
    scores = []
    for words in split:
        score = 0.0
        for word in query.split():
            found, count = sum(word in other for other in split), words.count(word)
            rarity = np.log(1 + (len(texts) - found + 0.5) / (found + 0.5))
            score += rarity * count / (count + k1 * (1 - b + b * len(words) / mean)) if count else 0
        scores.append(score)
    return np.array(scores)


@pytest.mark.parametrize("query", ["red", "kite sky", "blue sky walk", "nothing"])
def test_bm25_equals_the_formula(query):
    scores, indices = BM25(TEXTS).search([query], k=4)
    expected = naive_bm25(TEXTS, query)
    assert scores.shape == indices.shape == (1, 4)
    np.testing.assert_allclose(scores[0], np.sort(expected)[::-1], rtol=1e-5)
    np.testing.assert_allclose(expected[indices[0]], scores[0], rtol=1e-5)


def test_bm25_ignores_case_and_gives_no_more_than_there_is():
    index = BM25(TEXTS)
    scores, indices = index.search(["RED", "Sky"], k=10)
    assert len(index) == 4 and indices.shape == (2, 4) and indices[0, 0] == 0
    assert scores[0, 0] > 0 == scores[0, 1]


def test_bm25_refuses_what_is_no_list_of_texts():
    for empty in ([], [""], ["the", "a"]):
        with pytest.raises(ValueError, match="no word to index"):
            BM25(empty)
    for given in ("sky", dict(enumerate(TEXTS)), iter(TEXTS), None):
        with pytest.raises(TypeError, match=f"is a {type(given).__name__}, .*give a list of texts"):
            BM25(given)
        with pytest.raises(TypeError, match=f"is a {type(given).__name__}, .*give a list of texts"):
            BM25(TEXTS).search(given, k=1)
    with pytest.raises(TypeError, match="queries is None"):
        BM25(TEXTS).search(["sky", None], k=1)
    assert BM25(TEXTS).search([], k=3)[1].shape == (0, 3)
    with pytest.raises(ValueError, match="k is 0"):
        BM25(TEXTS).search(["sky"], k=0)
