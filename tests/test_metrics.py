"""Measures: equal to scipy, scikit-learn, the library and rankings by hand; bad input raises, never NaN."""

import math

import numpy as np
import pytest
import scipy.stats
import torch

from sbert_lab import metrics as m


@pytest.mark.parametrize("seed", range(5))
def test_correlations_equal_scipy_with_and_without_ties(seed):
    random = np.random.default_rng(seed)
    x, y = random.normal(size=(2, 50))
    grades = random.integers(0, 5, size=50)  # many ties
    for a, b in [(x, y), (x, grades), (grades, grades[::-1])]:
        assert m.pearson(a, b) == pytest.approx(scipy.stats.pearsonr(a, b).statistic, abs=1e-12)
        assert m.spearman(a, b) == pytest.approx(scipy.stats.spearmanr(a, b).statistic, abs=1e-12)


@pytest.mark.parametrize("scale", [1e200, 1e-200, 5e-324])
def test_correlations_do_not_see_scale(scale):
    x = np.array([1.0, 2, 4]) * scale  # whose squares overflow, or vanish
    assert m.pearson(x, [1, 2, 3]) == pytest.approx(m.pearson([1, 2, 4], [1, 2, 3]))
    assert m.pearson([3, 2, 1], x) == pytest.approx(m.pearson([3, 2, 1], [1, 2, 4]))


def test_spearman_tells_neighbouring_numbers_apart():
    # 1e-320 / 1e10 is 0: a scaling before the ranks would tie these two.
    assert m.spearman([1e-320, 2e-320, 1e10], [1, 2, 3]) == pytest.approx(1)


def test_spearman_by_hand():
    # Ranks 1 2.5 2.5 4 against 1 2 3 4: deviations -1.5 0 0 1.5 and -1.5 -.5 .5 1.5.
    assert m.spearman([0, 7, 7, 9], [1, 2, 3, 4]) == pytest.approx(4.5 / math.sqrt(22.5))
    assert m.spearman([1, 2, 3], [1, 10, 100]) == pytest.approx(1)
    assert m.pearson(torch.tensor([1.0, 2.0, 3.0]), [3.0, 2.0, 1.0]) == pytest.approx(-1)


RANKING = ["d", "a", "x", "b", "y"]  # of the relevant a, b, c the system finds a second and b fourth
GRADES = {"a": 3, "b": 1, "c": 2, "x": 0}


def test_rankings_by_hand():
    best = 3 + 2 / math.log2(3) + 1 / 2
    assert m.ndcg(RANKING, GRADES, k=5) == pytest.approx((3 / math.log2(3) + 1 / math.log2(5)) / best)
    assert m.ndcg(RANKING, GRADES, k=1) == 0
    assert m.ndcg(["a", "c", "b"], GRADES) == pytest.approx(1)
    assert m.reciprocal_rank(RANKING, GRADES) == 1 / 2
    assert m.reciprocal_rank(RANKING, GRADES, k=1) == 0
    assert [m.recall(RANKING, {"a", "b", "c"}, k) for k in (1, 2, 5)] == [0, 1 / 3, 2 / 3]
    assert m.average_precision(RANKING, ["a", "b", "c"], k=5) == pytest.approx((1 / 2 + 2 / 4) / 3)
    assert m.average_precision(RANKING, ["a", "b", "c"], k=2) == pytest.approx((1 / 2) / 2)


def test_k_may_be_a_numpy_number():
    for measure in (m.ndcg, m.reciprocal_rank, m.recall, m.average_precision):
        value = measure(RANKING, GRADES, k=np.int64(2))
        assert value == measure(RANKING, GRADES, k=2) and type(value) is float


@pytest.mark.parametrize("seed", range(3))
def test_ndcg_equals_scikit_learn(seed):
    from sklearn.metrics import ndcg_score

    random = np.random.default_rng(seed)
    grades, scores = random.integers(0, 4, size=20), random.normal(size=20)
    ranked = np.argsort(-scores).tolist()
    judged = dict(enumerate(grades.tolist()))
    for k in (1, 5, 20):
        assert m.ndcg(ranked, judged, k) == pytest.approx(ndcg_score([grades], [scores], k=k))


def test_rankings_equal_the_library():
    from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator

    random = np.random.default_rng(0)
    documents = [f"d{i}" for i in range(30)]
    relevant = {f"q{i}": set(random.choice(documents, size=i + 1, replace=False)) for i in range(6)}
    rankings = [random.permutation(documents).tolist() for _ in relevant]
    evaluator = InformationRetrievalEvaluator(
        dict.fromkeys(relevant, ""), dict.fromkeys(documents, ""), relevant, accuracy_at_k=[10]
    )
    evaluator.precision_recall_at_k = evaluator.map_at_k = [10]
    results = [[{"corpus_id": d, "score": -place} for place, d in enumerate(ranking)] for ranking in rankings]
    theirs = evaluator.compute_metrics(results)
    for measure, name in [
        (m.ndcg, "ndcg@k"),
        (m.reciprocal_rank, "mrr@k"),
        (m.recall, "recall@k"),
        (m.average_precision, "map@k"),
    ]:
        ours = [measure(r, q, 10) for r, q in zip(rankings, relevant.values(), strict=True)]
        assert np.mean(ours) == pytest.approx(theirs[name][10]), name


def test_the_space_equals_loops_over_pairs():
    vectors = np.random.default_rng(0).normal(size=(2, 40, 5)) + 0.3
    u, v = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in vectors)
    pairs = [(i, j) for i in range(40) for j in range(i)]
    aligned = np.mean([sum((u[i] - v[i]) ** 2) for i in range(40)])
    uniform = math.log(np.mean([math.exp(-2 * sum((u[i] - u[j]) ** 2)) for i, j in pairs]))
    even = np.mean([sum(u[i] * u[j]) for i, j in pairs])
    assert m.alignment(*vectors) == pytest.approx(aligned)
    assert m.uniformity(vectors[0]) == pytest.approx(uniform)
    assert m.anisotropy(vectors[0]) == pytest.approx(even)


def test_uniformity_is_the_same_over_many_blocks():
    from scipy.spatial.distance import pdist

    x = np.random.default_rng(0).normal(size=(2500, 3))
    distances = pdist(x / np.linalg.norm(x, axis=1, keepdims=True), "sqeuclidean")
    assert m.uniformity(x) == pytest.approx(math.log(np.exp(-2 * distances).mean()))


def test_the_space_by_hand():
    cross = [[1, 0], [-5, 0], [0, 2], [0, -1]]  # 6 pairs: 4 right angles, 2 opposites
    assert m.anisotropy(cross) == pytest.approx(-2 / 6)
    assert m.uniformity(cross) == pytest.approx(math.log((4 * math.exp(-4) + 2 * math.exp(-8)) / 6))
    assert m.anisotropy([[1, 1], [2, 2]]) == pytest.approx(1)
    assert m.alignment([[1, 0]], [[-2, 0]]) == pytest.approx(4)


NAN = float("nan")


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: m.spearman([1, 1, 1], [1, 2, 3]), ValueError, "constant"),
        (lambda: m.pearson([1, 2, 3], [0.1, 0.1, 0.1]), ValueError, "all 3 values are 0.1"),
        (lambda: m.spearman([1, NAN, 3], [1, 2, 3]), ValueError, "1 of 3 are NaN"),
        (lambda: m.pearson([1, None, 3], [1, 2, 3]), ValueError, "NaN"),
        (lambda: m.spearman([1, 2], [1, 2, 3]), ValueError, "2 and 3"),
        (lambda: m.spearman([1], [1]), ValueError, "at least 2"),
        (lambda: m.spearman([[1], [2]], [1, 2]), ValueError, "must be (N,), but have shape (2, 1)"),
        (lambda: m.spearman(["high", "low"], [1, 2]), TypeError, "numbers"),
        (lambda: m.ndcg(["a", "a"], {"a": 1}), ValueError, "once"),
        (lambda: m.ndcg(["a"], {"a": 0}), ValueError, "without a relevant document"),
        (lambda: m.ndcg(["a"], {"a": -1}), ValueError, "at least 0"),
        (lambda: m.ndcg(["a"], {"a": NAN}), ValueError, "finite"),
        (lambda: m.recall(["a"], {"a"}, k=0), ValueError, "k is 0"),
        (lambda: m.recall(["a"], {"a"}, k=True), TypeError, "k is True"),
        (lambda: m.recall(["a"], {"a"}, k=2.0), ValueError, "k is 2.0: give a whole number"),
        (lambda: m.recall("abc", {"a"}), TypeError, "list of document ids"),
        (lambda: m.reciprocal_rank(["a"], []), ValueError, "without a relevant document"),
        (lambda: m.uniformity([[1, 0]]), ValueError, "at least 2"),
        (lambda: m.anisotropy([[1, 0], [0, 0]]), ValueError, "vector 1 is all zeros"),
        (lambda: m.anisotropy([[1, 0], [NAN, 0]]), ValueError, "NaN"),
        (lambda: m.anisotropy([1, 0]), ValueError, "must be (N, D), but have shape (2,)"),
        (lambda: m.anisotropy(torch.ones(2, 2, requires_grad=True)), TypeError, "vectors must be numbers"),
        (lambda: m.alignment([[1, 0]], [[1, 0], [0, 1]]), ValueError, "(1, 2) and (2, 2)"),
    ],
)
def test_bad_input_is_named(call, kind, words):
    with pytest.raises(kind) as caught:
        call()
    assert words in str(caught.value)


def test_the_bootstrap_finds_the_spread_of_a_mean():
    x = np.random.default_rng(1).normal(size=400)
    found = m.bootstrap(np.mean, x, rounds=4000)
    assert found.shape == (4000,) and found.mean() == pytest.approx(x.mean(), abs=0.01)
    assert found.std() == pytest.approx(x.std() / 20, rel=0.05)  # the standard error of a mean of 400
    theirs = scipy.stats.bootstrap((x,), np.mean, method="percentile", n_resamples=4000, rng=0).confidence_interval
    assert np.quantile(found, [0.025, 0.975]) == pytest.approx(list(theirs), abs=0.01)


def test_the_bootstrap_draws_the_rows_of_all_columns_together():
    x = np.random.default_rng(1).normal(size=50)
    assert m.bootstrap(lambda a, b: float(np.abs(a - b).max()), x, x, rounds=20).max() == 0
    same = m.bootstrap(np.mean, x) - m.bootstrap(np.mean, x + 1)
    assert same == pytest.approx(-1)  # the same rows in every call
    with pytest.raises(ValueError, match=r"columns of one length above 0, not \[49, 50\]"):
        m.bootstrap(lambda a, b: 0.0, x, x[1:])
