"""Losses: each equal, in value and gradients, to a loop over rows and to the library's loss."""

import math

import numpy as np
import pytest
import torch
from sentence_transformers.sentence_transformer import losses as library
from torch import nn

from sbert_lab import losses
from sbert_lab.similarity import cosine_matrix

ROWS, WIDTH, CLASSES = 6, 5, 3


def loop_cosine(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True)) / (a.norm() * b.norm())


def loop_distance(kind, a, b):
    return 1 - loop_cosine(a, b) if kind == "cosine" else sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) ** 0.5


def loop_softmax(loss, columns, labels):
    total = 0
    for u, v, label in zip(*columns, labels, strict=True):
        pieces = {"u": u, "v": v, "|u-v|": abs(u - v), "u*v": u * v}
        joined = torch.cat([pieces[name] for name in loss.features.split(",")])
        scores = [sum(w * joined) + b for w, b in zip(loss.head.weight, loss.head.bias, strict=True)]
        total += -torch.log(scores[label].exp() / sum(score.exp() for score in scores))
    return total / len(labels)


def loop_regression(loss, columns, labels):
    return sum((loop_cosine(u, v) - y) ** 2 for u, v, y in zip(*columns, labels, strict=True)) / len(labels)


def loop_cosent(loss, columns, labels):
    cosines = [loop_cosine(u, v) for u, v in zip(*columns, strict=True)]
    total = 1
    for i in range(len(labels)):
        for j in range(len(labels)):
            if labels[i] < labels[j]:
                total += torch.exp(loss.scale * (cosines[i] - cosines[j]))
    return torch.log(total)


def loop_triplet(loss, columns, labels):
    total = 0
    for a, p, n in zip(*columns, strict=True):
        excess = loop_distance(loss.distance, a, p) - loop_distance(loss.distance, a, n) + loss.margin
        total += excess if excess > 0 else 0
    return total / len(columns[0])


def loop_contrastive(loss, columns, labels):
    total = 0
    for u, v, alike in zip(*columns, labels, strict=True):
        d = loop_distance(loss.distance, u, v)
        total += d**2 if alike else (max(loss.margin - d, 0 * d)) ** 2
    return total / 2 / len(labels)


def loop_in_batch(loss, columns, labels):
    anchors, positives = columns[:2]
    candidates = [row for column in columns[1:] for row in column]

    def choose(query, options, own):
        scores = [(loop_cosine(query, option) / loss.temperature).exp() for option in options]
        return -torch.log(scores[own] / sum(scores))

    forward = sum(choose(a, candidates, i) for i, a in enumerate(anchors)) / len(anchors)
    if not loss.symmetric:
        return forward
    return (forward + sum(choose(p, anchors, i) for i, p in enumerate(positives)) / len(anchors)) / 2


class Given(nn.Module):
    """A model that returns the vectors it is given: what a library loss takes in place of an encoder."""

    device = torch.device("cpu")

    def forward(self, features):
        return features


def library_softmax(loss):
    names = loss.features
    theirs = library.SoftmaxLoss(Given(), WIDTH, CLASSES, "u,v" in names, "|u-v|" in names, "u*v" in names).double()
    theirs.classifier = loss.head
    return theirs


def library_triplet(loss):
    metric = getattr(library.TripletDistanceMetric, loss.distance.upper())
    return library.TripletLoss(Given(), metric, loss.margin)


def library_contrastive(loss):
    metrics = {"cosine": "COSINE_DISTANCE", "euclidean": "EUCLIDEAN"}
    return library.ContrastiveLoss(Given(), getattr(library.SiameseDistanceMetric, metrics[loss.distance]), loss.margin)


def library_in_batch(loss):
    both = {"directions": ("query_to_doc", "doc_to_query"), "partition_mode": "per_direction"}
    return library.MultipleNegativesRankingLoss(Given(), scale=1 / loss.temperature, **(both if loss.symmetric else {}))


def loop_vectors(loss, columns, labels):
    students = [student for column in columns for student in column]
    teachers = [teacher for _ in columns for teacher in labels]
    squares = [(a - b) ** 2 for s, t in zip(students, teachers, strict=True) for a, b in zip(s, t, strict=True)]
    return sum(squares) / len(squares)


def loop_margin(loss, columns, labels):
    total = 0
    for query, positive, negative, margin in zip(*columns, labels, strict=True):
        ours = sum(query * positive) - sum(query * negative)
        total += (ours - margin) ** 2
    return total / len(labels)


def loop_listwise(loss, columns, labels):
    total = 0
    for (query, *candidates), scores in zip(zip(*columns, strict=True), labels, strict=True):
        odds = [(loop_cosine(query, candidate) / loss.temperature).exp() for candidate in candidates]
        for odd, score in zip(odds, scores, strict=True):
            teacher = score.exp() / sum(scores.exp())
            total += teacher * (teacher / (odd / sum(odds))).log()
    return total / len(labels)


def library_listwise(loss):
    def scores(a, b):
        return torch.nn.functional.cosine_similarity(a, b) / loss.temperature

    return library.DistillKLDivLoss(Given(), similarity_fct=scores, temperature=1.0)


def loop_projected(loss, columns, labels):
    heads = [torch.stack([torch.tanh(loss.head.weight @ row + loss.head.bias) for row in c]) for c in columns]
    return loop_in_batch(loss.loss, heads, labels)


def library_projected(loss):
    theirs = library_in_batch(loss.loss)

    def forward(features, labels):
        return theirs([{"sentence_embedding": loss.head(x["sentence_embedding"]).tanh()} for x in features], labels)

    return forward


# name: (our loss, number of columns, labels, the loop, the library's loss, set alike)
CASES = {
    **{
        f"softmax {features}": (
            lambda features=features: losses.SoftmaxClassification(WIDTH, CLASSES, features),
            2,
            torch.tensor([0, 2, 1, 1, 0, 2]),
            loop_softmax,
            library_softmax,
        )
        for features in losses.FEATURES
    },
    "regression": (
        losses.CosineRegression,
        2,
        torch.tensor([0.0, 1.0, 0.5, 0.25, 0.5, 0.8]),
        loop_regression,
        lambda loss: library.CosineSimilarityLoss(Given()),
    ),
    "cosent": (
        losses.CoSENT,
        2,
        torch.tensor([0.0, 4.2, 2.5, 2.5, -1.0, 2.5]),
        loop_cosent,
        lambda loss: library.CoSENTLoss(Given(), loss.scale),
    ),
    "cosent scale 3": (
        lambda: losses.CoSENT(scale=3),
        2,
        torch.tensor([0.0, 1.0, 0.0, 1.0, 1.0, 0.0]),
        loop_cosent,
        lambda loss: library.CoSENTLoss(Given(), loss.scale),
    ),
    **{
        f"triplet {distance} {margin}": (
            lambda distance=distance, margin=margin: losses.TripletMargin(margin, distance),
            3,
            None,
            loop_triplet,
            library_triplet,
        )
        for distance, margin in [("euclidean", 1.0), ("euclidean", 0.1), ("cosine", 0.3)]
    },
    **{
        f"contrastive {distance}": (
            lambda distance=distance, margin=margin: losses.PairContrastive(margin, distance),
            2,
            torch.tensor([1, 0, 1, 0, 0, 1]),
            loop_contrastive,
            library_contrastive,
        )
        for distance, margin in [("cosine", 0.9), ("euclidean", 3.5)]
    },
    **{
        f"in batch {columns} columns, t {temperature}, symmetric {symmetric}": (
            lambda temperature=temperature, symmetric=symmetric: losses.InBatchNegatives(temperature, symmetric),
            columns,
            None,
            loop_in_batch,
            library_in_batch,
        )
        for columns in (2, 3, 5)
        for temperature, symmetric in [(0.05, False), (0.2, True)]
    },
    **{
        f"vectors of {columns} students": (
            losses.VectorDistillation,
            columns,
            torch.linspace(-2, 2, ROWS * WIDTH).reshape(ROWS, WIDTH).double(),
            loop_vectors,
            lambda loss: library.MSELoss(Given()),
        )
        for columns in (1, 2, 3)
    },
    "margins": (
        losses.MarginDistillation,
        3,
        torch.tensor([0.0, 3.5, -1.2, 8.0, 0.4, 1.0]).double(),
        loop_margin,
        lambda loss: library.MarginMSELoss(Given()),
    ),
    **{
        f"listwise among {columns - 1}, t {temperature}": (
            lambda temperature=temperature: losses.ListwiseDistillation(temperature),
            columns,
            torch.linspace(-3, 4, ROWS * (columns - 1)).sin().reshape(ROWS, columns - 1).double(),
            loop_listwise,
            library_listwise,
        )
        for columns, temperature in [(3, 0.05), (5, 0.3)]
    },
    "in batch, projected": (
        lambda: losses.Projected(WIDTH, losses.InBatchNegatives(0.2)),
        3,
        None,
        loop_projected,
        library_projected,
    ),
}


def value_and_gradients(compute, columns, weights):
    columns = [c.clone().requires_grad_() for c in columns]
    value = compute(columns)
    return value.detach(), *torch.autograd.grad(value, [*columns, *weights])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("case", CASES)
def test_equal_to_a_loop_and_to_the_library(case, seed):
    make, count, labels, loop, library_loss = CASES[case]
    torch.manual_seed(seed)
    loss = make().double()
    columns = torch.randn(count, ROWS, WIDTH, dtype=torch.float64).unbind()
    weights = list(loss.parameters())
    ours = value_and_gradients(lambda c: loss(c, labels), columns, weights)
    by_hand = value_and_gradients(lambda c: loop(loss, c, labels), columns, weights)
    theirs = library_loss(loss)
    features = value_and_gradients(
        lambda c: theirs([{"sentence_embedding": x} for x in c], None if labels is None else labels),
        columns,
        weights,
    )
    assert ours[0] > 0 and all(g.abs().sum() > 0 for g in ours[1:])  # nothing here is equal by being zero
    for mine, hand, reference in zip(ours, by_hand, features, strict=True):
        torch.testing.assert_close(mine, hand, rtol=1e-6, atol=1e-8)
        # pairwise_distance, the library's Euclidean distance in pairs, adds 1e-6 to every difference.
        torch.testing.assert_close(mine, reference, rtol=1e-5, atol=3e-6)


@pytest.mark.parametrize("classes", [1, 4])
def test_scores_of_pairs_equal_a_loop_and_the_library(classes):
    torch.manual_seed(0)
    loss, scores = losses.PairScores(classes), torch.randn(ROWS, classes, dtype=torch.float64) * 3
    grades, numbers = torch.tensor([0.0, 1.0, 0.3, 0.9, 0.5, 0.1]), torch.tensor([0, 3, 1, 1, 2, 0])
    labels = grades if classes == 1 else numbers

    def loop(columns):
        rows = list(zip(columns[0], labels, strict=True))
        if classes == 1:
            shares = [(1 / (1 + torch.exp(-score[0])), grade) for score, grade in rows]
            return -sum(y * p.log() + (1 - y) * (1 - p).log() for p, y in shares) / ROWS
        return -sum((score[label].exp() / sum(s.exp() for s in score)).log() for score, label in rows) / ROWS

    def theirs(columns):
        if classes == 1:
            return nn.BCEWithLogitsLoss()(columns[0][:, 0], labels.double())
        return nn.CrossEntropyLoss()(columns[0], labels)

    for other in (loop, theirs):
        pairs = zip(
            value_and_gradients(lambda c: loss(c, labels), [scores], []),
            value_and_gradients(other, [scores], []),
            strict=True,
        )
        for mine, reference in pairs:
            torch.testing.assert_close(mine, reference, rtol=1e-6, atol=1e-8)
    for outside in (-0.1, 1.1) if classes == 1 else (-1, 4):
        wrong = labels.clone()
        wrong[2] = outside
        with pytest.raises(ValueError, match="in row 2"):
            loss([scores], wrong)


def test_values_by_hand():
    u, v = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    fresh = losses.SoftmaxClassification(2, 3)
    for weight in fresh.parameters():
        nn.init.zeros_(weight)
    assert fresh([u, v], torch.tensor([0, 2])).item() == pytest.approx(math.log(3))  # a head that knows nothing
    assert losses.CosineRegression()([u, v], torch.tensor([1.0, 1.0])).item() == pytest.approx(0.5)
    assert losses.CoSENT(2)([u, v], torch.tensor([0.0, 1.0])).item() == pytest.approx(math.log(1 + math.e**2))
    assert losses.TripletMargin()([u, v, u], None).item() == pytest.approx((1 + 1 + math.sqrt(2)) / 2)
    assert losses.PairContrastive()([u, v], torch.tensor([0, 1])).item() == pytest.approx((0.25 + 1) / 4)
    assert losses.InBatchNegatives(1.0)([u, u], None).item() == pytest.approx(math.log(1 + math.exp(-1)))


def test_cosent_with_equal_labels_has_nothing_to_rank():
    u, v = torch.randn(2, 4, 3, requires_grad=True).unbind()
    u.retain_grad()
    value = losses.CoSENT()([u, v], torch.ones(4))
    value.backward()
    assert value.item() == 0 and u.grad.abs().sum() == 0


def test_a_loss_prints_its_settings():
    assert repr(losses.InBatchNegatives()) == "InBatchNegatives(temperature=0.05, symmetric=False)"


def test_the_scores_of_a_head_are_those_its_loss_is_made_of():
    loss, labels = losses.SoftmaxClassification(WIDTH, CLASSES), torch.tensor([0, 2, 1, 1, 0, 2])
    u, v = torch.randn(2, ROWS, WIDTH)
    scores = torch.stack([loss.head(torch.cat([a, b, abs(a - b)])) for a, b in zip(u, v, strict=True)])
    torch.testing.assert_close(loss.scores(u, v), scores)
    torch.testing.assert_close(loss([u, v], labels), nn.CrossEntropyLoss()(scores, labels))


def test_every_row_of_table_6_has_its_own_head_width():
    widths = [losses.SoftmaxClassification(10, 3, f).head.in_features for f in losses.FEATURES]
    assert widths == [20, 10, 10, 20, 30, 30, 40]


def test_settings_may_be_numpy_numbers():
    loss = losses.SoftmaxClassification(np.uint8(100), np.int64(3))
    assert loss.head.weight.shape == (3, 300)  # 3 * 100 does not fit in the 8 bits given
    assert repr(losses.TripletMargin(np.float32(0.5))) == "TripletMargin(margin=0.5, distance='euclidean')"


def test_a_zero_vector_spoils_no_gradient():
    u, v = torch.randn(2, 4, 3).unbind()
    u[0] = 0
    u.requires_grad_()
    for loss, labels in [
        (losses.CosineRegression(), torch.rand(4)),
        (losses.CoSENT(), torch.rand(4)),
        (losses.InBatchNegatives(), None),
        (losses.PairContrastive(), torch.tensor([0, 1, 0, 1])),
    ]:
        (gradient,) = torch.autograd.grad(loss([u, v], labels), u)
        assert gradient[0].tolist() == [0, 0, 0] and gradient.abs().max() < 100


def test_labels_may_stay_in_other_widths_of_number():
    u, v = torch.randn(2, 3, 4).unbind()
    for kind in (torch.int32, torch.uint8):
        assert losses.PairContrastive()([u, v], torch.tensor([0, 1, 1], dtype=kind)) == losses.PairContrastive()(
            [u, v], torch.tensor([0, 1, 1])
        )
    assert losses.CosineRegression()([u, v], torch.tensor([0.0, 1, 0.5]).double()).dtype == torch.float32


@pytest.mark.parametrize(
    ("loss", "fits"),
    [
        (losses.CoSENT(), [2]),
        (losses.TripletMargin(), [3]),
        (losses.InBatchNegatives(), [2, 3, 4, 5]),
        (losses.VectorDistillation(), [1, 2, 3, 4, 5]),
        (losses.ListwiseDistillation(), [3, 4, 5]),
        (losses.Projected(WIDTH, losses.TripletMargin()), [3]),
    ],
)
def test_the_columns_a_loss_states_are_those_it_accepts(loss, fits):
    def accepts(count):
        try:
            loss.check_columns(count)
        except ValueError as error:
            assert f"({', '.join(loss.columns)})" in str(error) and f"{count} column" in str(error)
            return False
        return True

    assert [count for count in range(6) if accepts(count)] == fits


U, V = torch.randn(2, 4, WIDTH).unbind()
GRADED, BINARY = torch.tensor([0.0, 0.5, 1.0, 0.2]), torch.tensor([0, 1, 1, 0])
REGRESSION, PAIRS, IN_BATCH = losses.CosineRegression(), losses.PairContrastive(), losses.InBatchNegatives()
SOFTMAX = losses.SoftmaxClassification(WIDTH, 3)
VECTORS, LISTWISE = losses.VectorDistillation(), losses.ListwiseDistillation()


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        # columns
        (lambda: REGRESSION([U], GRADED), ValueError, "CosineRegression takes the columns (u, v)"),
        (lambda: REGRESSION([U], GRADED), ValueError, "given 1 column:"),
        (lambda: REGRESSION([U, V, V], GRADED), ValueError, "3 columns"),
        (lambda: losses.TripletMargin()([U, V]), ValueError, "(anchor, positive, negative)"),
        (lambda: IN_BATCH([U]), ValueError, "(anchor, positive, negative...)"),
        (lambda: IN_BATCH([]), ValueError, "0 columns"),
        (lambda: IN_BATCH(U), TypeError, "float32 (4, 5)"),
        (lambda: IN_BATCH("uv"), TypeError, "given str"),
        (lambda: IN_BATCH([U, None]), TypeError, "float32 (4, 5), NoneType"),
        (lambda: IN_BATCH([U.numpy(), V.numpy()]), TypeError, "ndarray"),
        (lambda: IN_BATCH([U.tolist(), V.tolist()]), TypeError, "list, list"),
        (lambda: IN_BATCH([U.half(), V.half()]), TypeError, "pass float32"),
        (lambda: IN_BATCH([U, V.double()]), ValueError, "float64 (4, 5)"),
        (lambda: IN_BATCH([U, V[:3]]), ValueError, "float32 (4, 5), float32 (3, 5)"),
        (lambda: IN_BATCH([U, V[:, :3]]), ValueError, "float32 (4, 3)"),
        (lambda: IN_BATCH([U[0], V[0]]), ValueError, "float32 (5,)"),
        (lambda: IN_BATCH([U[:0], V[:0]]), ValueError, "empty batch"),
        (lambda: SOFTMAX([U[:, :4], V[:, :4]], BINARY), ValueError, "dim=5: make the loss with dim=4"),
        # labels
        (lambda: REGRESSION([U, V]), ValueError, "given no labels: give every row a label"),
        (lambda: IN_BATCH([U, V], GRADED), ValueError, "given labels as float32 (4,): leave the labels out"),
        (lambda: REGRESSION([U, V], GRADED[:, None]), ValueError, "shape (4, 1)"),
        (lambda: REGRESSION([U, V], GRADED[:3]), ValueError, "shape (4,)"),
        (lambda: REGRESSION([U, V], torch.tensor(0.5)), ValueError, "shape ()"),
        (lambda: REGRESSION([U, V], GRADED.tolist()), TypeError, "labels as list"),
        (lambda: REGRESSION([U, V], BINARY), TypeError, "int64 labels"),
        (lambda: REGRESSION([U, V], BINARY.bool()), TypeError, "bool (4,)"),
        (lambda: PAIRS([U, V], GRADED), TypeError, "float32 labels: pass int labels"),
        (lambda: PAIRS([U, V], BINARY + 1), ValueError, "label 2 in row 1"),
        (lambda: REGRESSION([U, V], GRADED * 5), ValueError, "from 0 to 1"),
        (lambda: REGRESSION([U, V], GRADED * 3.8), ValueError, "label 1.9 in row 1: rescale the labels"),
        (lambda: REGRESSION([U, V], GRADED.log().sqrt()), ValueError, "nan in row 0"),
        (lambda: losses.CoSENT()([U, V], GRADED / 0), ValueError, "nan in row 0: correct it"),
        (lambda: losses.CoSENT()([U, V], GRADED.log()), ValueError, "-inf in row 0"),
        (lambda: VECTORS([U], GRADED), ValueError, "pass one per row, shape (4, K)"),
        (lambda: VECTORS([U], V[:, :4]), ValueError, "labels (4, 4): give student and teacher one width"),
        (lambda: VECTORS([U], V.long()), TypeError, "pass floats labels"),
        (lambda: VECTORS([U], V.log()), ValueError, "label nan in row"),
        (lambda: LISTWISE([U, V, V], V[:, :3]), ValueError, "3 labels for 2 candidates: give one for each candidate"),
        (lambda: LISTWISE([U, V], V[:, :1]), ValueError, "2 columns"),
        (lambda: losses.Projected(7, IN_BATCH)([U, V]), ValueError, "D = 5 where its head has dim=7"),
        (lambda: losses.Projected(WIDTH, REGRESSION)([U, V]), ValueError, "given no labels"),
        (lambda: SOFTMAX([U, V], BINARY + 2), ValueError, "label 3 in row 1: correct it"),
        (lambda: SOFTMAX([U, V], BINARY - 1), ValueError, "from 0 to 2"),
        # one row alone
        (lambda: IN_BATCH([U[:1], V[:1]]), ValueError, "single candidate"),
        (lambda: losses.InBatchNegatives(symmetric=True)([U[:1]] * 3), ValueError, "single candidate"),
        (lambda: losses.CoSENT()([U[:1], V[:1]], GRADED[:1]), ValueError, "single pair"),
        # settings
        (lambda: losses.InBatchNegatives(temperature=0), ValueError, "temperature is 0: give a finite number above 0"),
        (lambda: losses.InBatchNegatives(temperature=-0.1), ValueError, "-0.1"),
        (lambda: losses.InBatchNegatives(temperature=math.nan), ValueError, "nan"),
        (lambda: losses.InBatchNegatives(temperature="low"), TypeError, "'low'"),
        (lambda: losses.InBatchNegatives(temperature=True), TypeError, "is True"),
        (lambda: losses.CoSENT(scale=0), ValueError, "scale is 0"),
        (lambda: losses.TripletMargin(margin=-1), ValueError, "margin is -1: give a finite number of at least 0"),
        (lambda: losses.TripletMargin(margin=math.inf), ValueError, "finite"),
        (lambda: losses.TripletMargin(distance="manhattan"), ValueError, "'manhattan' is not one of euclidean, cosine"),
        (lambda: losses.PairContrastive(margin=None), TypeError, "None"),
        (lambda: losses.SoftmaxClassification(8, 1), ValueError, "classes is 1: give a whole number of at least 2"),
        (lambda: losses.SoftmaxClassification(8, 2.5), ValueError, "whole number"),
        (lambda: losses.SoftmaxClassification(0, 3), ValueError, "dim is 0: give a whole number of at least 1"),
        (lambda: losses.SoftmaxClassification(True, 3), TypeError, "dim is True"),
        (lambda: losses.SoftmaxClassification(8, 3, "u,v,u+v"), ValueError, "features 'u,v,u+v' is not one of 'u,v'"),
    ],
)
def test_bad_input_is_named_in_one_sentence(call, kind, words):
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    assert words in message and not message.endswith(".") and "\n" not in message


def test_one_row_with_a_hard_negative_is_a_choice():
    assert IN_BATCH([U[:1], V[:1], U[1:2]]).item() == pytest.approx(
        -torch.log_softmax(cosine_matrix(U[:1], torch.cat([V[:1], U[1:2]])) / 0.05, dim=1)[0, 0].item()
    )
