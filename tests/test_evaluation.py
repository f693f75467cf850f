"""One-call measures of an encoder: equal to scipy, to loops and rankings by hand, and to the library's evaluators."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from tiny import tiny_encoder, tiny_model, tiny_tokenizer
from torch import nn

from sbert_lab import evaluation
from sbert_lab.data import Row
from sbert_lab.encoder import Encoder


class Known(Encoder):
    """An encoder whose vectors are written down: {text: vector}."""

    def __init__(self, vectors):
        nn.Module.__init__(self)
        self.known = vectors

    def encode(self, texts, **_):
        return np.array([self.known[text] for text in texts], dtype=np.float32).reshape(len(texts), -1)


@pytest.fixture(scope="module")
def encoder():
    return tiny_encoder()


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """The same weights in a SentenceTransformer."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    folder = str(tmp_path_factory.mktemp("tiny"))
    tiny_model().save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    transformer = Transformer(folder)
    return SentenceTransformer(modules=[transformer, Pooling(32)], device="cpu")


PAIRS = [
    Row(("the cat sat", "a dog ran in the rain"), 0.2),
    Row(("a dog", "a dog"), 1.0),
    Row(("the red house", "the old tree"), 0.4),
    Row(("blue", "rain on the mat"), 0.1),
    Row(("the cat sat on the mat", "the cat ran on the mat"), 0.8),
    Row(("red", "blue"), 0.4),
]


def test_sts_by_hand():
    angles = {"up": 0, "steep": 20, "high": 60, "flat": 90, "down": 180}
    lengths = dict(zip(angles, (3, 1, 5, 2, 1), strict=True))  # which a cosine does not see
    vectors = {
        word: (lengths[word] * math.cos(math.radians(angle)), lengths[word] * math.sin(math.radians(angle)))
        for word, angle in angles.items()
    }
    grades = {"steep": 0.9, "high": 0.2, "flat": 0.5, "down": 0.0}
    rows = [Row(("up", word), grade) for word, grade in grades.items()]
    scores = evaluation.sts(Known(vectors), rows)
    # Cosines .94 .5 0 -1 rank 4 3 2 1, grades rank 4 2 3 1: one pair changed places, 1 - 6 * 2 / (4 * 15).
    assert scores["spearman"] == pytest.approx(0.8)
    cosines = [math.cos(math.radians(angles[word])) for word in grades]
    assert scores["pearson"] == pytest.approx(np.corrcoef(cosines, list(grades.values()))[0, 1], abs=1e-6)
    assert scores.keys() == {"spearman", "pearson"}


def test_sts_equals_scipy_on_cosines_pair_by_pair(encoder):
    cosines = []
    for row in PAIRS:
        u, v = (encoder.encode(text).astype(np.float64) for text in row.texts)
        cosines.append(u @ v / math.sqrt((u @ u) * (v @ v)))
    labels = [row.label for row in PAIRS]
    scores = evaluation.sts(encoder, PAIRS)
    assert scores["spearman"] == pytest.approx(scipy.stats.spearmanr(cosines, labels).statistic)
    assert scores["pearson"] == pytest.approx(scipy.stats.pearsonr(cosines, labels).statistic, abs=1e-5)


def test_sts_equals_the_library(encoder, library):
    from sentence_transformers.sentence_transformer.evaluation import EmbeddingSimilarityEvaluator

    first, second = zip(*(row.texts for row in PAIRS), strict=True)
    evaluator = EmbeddingSimilarityEvaluator(list(first), list(second), [row.label for row in PAIRS], write_csv=False)
    theirs = evaluator(library)
    ours = evaluation.sts(encoder, PAIRS)
    assert ours["spearman"] == pytest.approx(theirs["spearman_cosine"])
    assert ours["pearson"] == pytest.approx(theirs["pearson_cosine"], abs=1e-5)


# Of the passages a, b, c, d the first query ranks c a b d, the second d b a c.
VECTORS = {
    "first": (1, 0),
    "second": (-1, 0.1),
    "text a": (0.7, 0.7),
    "text b": (0, 2),
    "text c": (5, 0.1),
    "text d": (-3, 0),
}
QUERIES = {"q1": "first", "q2": "second"}
PASSAGES = {x: f"text {x}" for x in "abcd"}
RELEVANT = {"q2": {"c": 1}, "q1": {"a": 2, "b": 1, "d": 0}}  # not in the order of the queries


def test_retrieval_by_hand():
    scores = evaluation.retrieval(Known(VECTORS), QUERIES, PASSAGES, RELEVANT, k=3)
    # q1 finds grade 2 second and 1 third; q2 finds c fourth, which is too late.
    first = (2 / math.log2(3) + 1 / 2) / (2 + 1 / math.log2(3))
    assert scores == pytest.approx({"ndcg@3": first / 2, "mrr@3": (1 / 2 + 0) / 2, "recall@3": (1 + 0) / 2})
    scores = evaluation.retrieval(Known(VECTORS), QUERIES, PASSAGES, RELEVANT)  # 10 of 4: all of them
    ndcg = (first + 1 / math.log2(5)) / 2
    assert scores == pytest.approx({"ndcg@10": ndcg, "mrr@10": (1 / 2 + 1 / 4) / 2, "recall@10": 1})


def test_a_query_that_nobody_judged_does_not_count():
    queries = QUERIES | {"q3": "first"}
    judged = evaluation.retrieval(Known(VECTORS), queries, PASSAGES, RELEVANT)
    assert judged == evaluation.retrieval(Known(VECTORS), QUERIES, PASSAGES, RELEVANT)


def collection(seed=0):
    """40 passages and 12 queries as random vectors, each query with a few relevant passages of grade 1."""
    random = np.random.default_rng(seed)
    passages, queries = {f"d{i}": f"passage {i}" for i in range(40)}, {f"q{i}": f"query {i}" for i in range(12)}
    vectors = {text: random.normal(size=4) for text in [*passages.values(), *queries.values()]}
    relevant = {
        q: {str(d): 1 for d in random.choice(list(passages), size=2 + i, replace=False)} for i, q in enumerate(queries)
    }
    return vectors, queries, passages, relevant


@pytest.mark.parametrize("k", [1, 5, 10])
def test_retrieval_equals_a_loop(k):
    vectors, queries, passages, relevant = collection()
    ndcg, mrr, recall = [], [], []
    for query, grades in relevant.items():
        q = vectors[queries[query]]
        cosines = {d: q @ vectors[t] / np.linalg.norm(q) / np.linalg.norm(vectors[t]) for d, t in passages.items()}
        ranking = sorted(cosines, key=cosines.get, reverse=True)[:k]
        hits = [place for place, d in enumerate(ranking, start=1) if d in grades]
        best = sum(1 / math.log2(place + 1) for place in range(1, min(k, len(grades)) + 1))
        ndcg.append(sum(1 / math.log2(place + 1) for place in hits) / best)
        mrr.append(1 / hits[0] if hits else 0)
        recall.append(len(hits) / len(grades))
    expected = {f"ndcg@{k}": np.mean(ndcg), f"mrr@{k}": np.mean(mrr), f"recall@{k}": np.mean(recall)}
    assert 0 < min(expected.values()) and max(expected.values()) < 1
    assert evaluation.retrieval(Known(vectors), queries, passages, relevant, k) == pytest.approx(expected)


def test_retrieval_equals_the_library(encoder, library):
    from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator

    nouns, places = ("cat", "dog", "house", "tree"), ("on the mat", "in the rain", "in a red house", "on the old tree")
    passages = {f"{n} {p}": f"the {n} {p}" for n in nouns for p in places}
    queries = {n: f"a {n} ran" for n in nouns} | {p: f"{p} it rained" for p in places}
    relevant = {query: {d: 1 for d in passages if query in d} for query in queries}
    evaluator = InformationRetrievalEvaluator(
        queries, passages, {query: set(grades) for query, grades in relevant.items()},
        mrr_at_k=[10], ndcg_at_k=[10], precision_recall_at_k=[10], write_csv=False,
    )  # fmt: skip
    theirs = evaluator(library)
    ours = evaluation.retrieval(encoder, queries, passages, relevant)
    assert ours == pytest.approx({name: theirs[f"cosine_{name}"] for name in ours})
    assert ours.keys() == {"ndcg@10", "mrr@10", "recall@10"}
    assert 0 < min(ours.values()) and max(ours.values()) < 1


def test_space_equals_loops_over_pairs(encoder):
    texts = sorted({text for row in PAIRS for text in row.texts})
    unit = [v / np.linalg.norm(v) for v in (encoder.encode(text).astype(np.float64) for text in texts)]
    pairs = [(unit[i], unit[j]) for i in range(len(unit)) for j in range(i)]
    scores = evaluation.space(encoder, texts)
    assert scores["anisotropy"] == pytest.approx(np.mean([u @ v for u, v in pairs]), abs=1e-6)
    uniformity = math.log(np.mean([math.exp(-2 * ((u - v) ** 2).sum()) for u, v in pairs]))
    assert scores["uniformity"] == pytest.approx(uniformity, abs=1e-5)
    assert scores.keys() == {"anisotropy", "uniformity"}


def test_measuring_changes_nothing_in_the_encoder():
    encoder = tiny_encoder().train()
    frozen = encoder.backbone.model.embeddings.eval()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    scores = [evaluation.sts(encoder, PAIRS) for _ in range(2)]
    assert scores[0] == scores[1]  # no dropout
    assert encoder.training and encoder.backbone.training and not frozen.training
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    assert all(weight.grad is None and weight.requires_grad for weight in encoder.parameters())


SAME = {text: (1, 2) for row in PAIRS for text in row.texts}
BAD_STS = {
    "no rows": ([], ValueError, "no rows"),
    "no labels": ([Row(row.texts) for row in PAIRS], ValueError, "a label"),
    "triplets": ([Row((*row.texts, "a"), 1) for row in PAIRS], ValueError, "two texts"),
    "single texts": ([Row(row.texts[:1], 1) for row in PAIRS], ValueError, "two texts"),
    "labels for some": ([PAIRS[0], Row(PAIRS[1].texts)], ValueError, "row 1"),
    "tuples": ([row.texts for row in PAIRS], TypeError, "row 0"),
    "a generator": ((row for row in PAIRS), TypeError, "generator"),
    "one pair": (PAIRS[:1], ValueError, "at least 2"),
    "one label for all": ([Row(row.texts, 0.5) for row in PAIRS], ValueError, "constant"),
}


@pytest.mark.parametrize(("rows", "kind", "words"), BAD_STS.values(), ids=BAD_STS)
def test_bad_pairs_are_named(encoder, rows, kind, words):
    with pytest.raises(kind) as caught:
        evaluation.sts(encoder, rows)
    assert words in str(caught.value)


def test_a_collapsed_encoder_has_no_correlation_to_report():
    with pytest.raises(ValueError, match="constant"):
        evaluation.sts(Known(SAME), PAIRS)


BAD_RETRIEVAL = {
    "nothing relevant at all": ({"relevant": {}}, (TypeError, ValueError), "relevant"),
    "a query without a text": ({"relevant": {"q9": {"a": 1}}}, ValueError, "q9"),
    "a passage without a text": ({"relevant": {"q1": {"a": 1, "z": 1}}}, ValueError, "q1"),
    "nothing relevant for a query": ({"relevant": {"q1": {}, "q2": {"a": 1}}}, ValueError, "q1"),
    "grades of 0 alone": ({"relevant": {"q1": {"a": 0}}}, ValueError, "q1"),
    "a negative grade": ({"relevant": {"q1": {"a": -1}}}, ValueError, "-1"),
    "NaN for a grade": ({"relevant": {"q1": {"a": math.nan}}}, ValueError, "nan"),
    "a set of passages, no grades": ({"relevant": {"q1": {"a"}}}, (TypeError, ValueError), "q1"),
    "passages without ids": ({"passages": ["text a", "text b"]}, TypeError, "passages"),
    "k of 0": ({"k": 0}, ValueError, "0"),
    "half a place": ({"k": 2.5}, (TypeError, ValueError), "2.5"),
}


@pytest.mark.parametrize(("changes", "kind", "words"), BAD_RETRIEVAL.values(), ids=BAD_RETRIEVAL)
def test_bad_retrieval_is_named(changes, kind, words):
    arguments = {"queries": QUERIES, "passages": PASSAGES, "relevant": RELEVANT, "k": 3} | changes
    with pytest.raises(kind) as caught:
        evaluation.retrieval(Known(VECTORS), **arguments)
    assert words in str(caught.value)


def test_bad_retrieval_is_named_before_the_passages_are_encoded():
    class Idle(Known):
        def encode(self, texts, **_):
            pytest.fail("hours of work, then an error that could have come first")

    for changes in ({"relevant": {"q1": {"z": 1}}}, {"relevant": {"q1": {}}}, {"k": 0}):
        arguments = {"queries": QUERIES, "passages": PASSAGES, "relevant": RELEVANT, "k": 3} | changes
        with pytest.raises(ValueError):
            evaluation.retrieval(Idle(VECTORS), **arguments)


def test_a_space_needs_two_texts(encoder):
    with pytest.raises(ValueError, match="at least 2"):
        evaluation.space(encoder, ["a cat"])
    with pytest.raises(ValueError, match="at least 2"):
        evaluation.space(encoder, [])


class ByLetter:
    """Texts to vectors in which the first letter can be read, though not in the cosine."""

    def encode(self, texts):
        return np.array([[100.0, 100.0 + ("abc".index(text[0])), len(text)] for text in texts], dtype=np.float32)


def test_classification_reads_frozen_vectors():
    rows = [Row((letter * length,), "abc".index(letter)) for letter in "abc" for length in range(1, 30)]
    assert evaluation.classification(ByLetter(), rows, rows[::2]) == 1.0
    shuffled = [Row(row.texts, number % 3) for number, row in enumerate(rows)]
    assert evaluation.classification(ByLetter(), shuffled, shuffled) < 0.6
    shifted = [Row(row.texts, (row.label + 1) % 3) for row in rows]
    assert evaluation.classification(ByLetter(), rows, shifted) == 0.0  # it is the second set that is scored
    with pytest.raises(ValueError, match="rows of one text and a label"):
        evaluation.classification(ByLetter(), rows, [Row(("a", "b"), 1)])


def test_cosines_are_those_of_the_pairs():
    rows = [Row(("a", "bb"), 0.5), Row(("c", "c"), 1.0)]
    for row, found in zip(rows, evaluation.cosines(ByLetter(), rows), strict=True):
        u, v = ByLetter().encode(row.texts)
        assert found == pytest.approx(u @ v / np.linalg.norm(u) / np.linalg.norm(v), abs=1e-6)


def test_mining_by_hand():
    angles = {"a": 0, "a'": 10, "b": 30, "b'": 75}
    encoder = Known({text: (math.cos(math.radians(x)), math.sin(math.radians(x))) for text, x in angles.items()})
    rows = [Row((text,), "ab".index(text[0])) for text in angles]
    # by cosine: a a' (10 degrees, right), a' b (20), a b (30), b b' (45, right), ...
    assert evaluation.mining(encoder, rows) == pytest.approx((1 / 1 + 2 / 4) / 2)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([Row(("a", "b"), 0)], "one text and a label"),
        ([Row(("a",))], "one text and a label"),
        ([Row(("a",), 0), Row(("b",), 1)], "nothing to mine"),
    ],
)
def test_rows_that_cannot_be_mined_are_named(rows, words):
    with pytest.raises(ValueError, match=words):
        evaluation.mining(Known({"a": (1, 0), "b": (0, 1)}), rows)


def test_rankings_of_any_search_are_measured_and_none_may_miss():
    relevant = {"q": {"x": 1.0}, "r": {"y": 2.0}}
    assert evaluation.rankings({"q": ["x"], "r": ["x", "y"], "s": []}, relevant)["mrr@10"] == 0.75
    with pytest.raises(ValueError, match="no ranking for the query 'r'"):
        evaluation.rankings({"q": ["x"]}, relevant)
    with pytest.raises(ValueError, match="nothing to measure"):
        evaluation.rankings({}, {})
