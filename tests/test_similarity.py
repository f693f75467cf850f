"""Similarity: equal to loops over plain numbers, exact near zero distance, harmless at zero vectors."""

import math

import pytest
import torch

from sbert_lab import similarity as s


def loop_dot(x, y):
    return sum(p * q for p, q in zip(x, y, strict=True))


def loop_cosine(x, y):
    return loop_dot(x, y) / math.sqrt(loop_dot(x, x) * loop_dot(y, y))


def loop_euclidean(x, y):
    return math.sqrt(sum((p - q) ** 2 for p, q in zip(x, y, strict=True)))


MEASURES = [
    (s.cosine, s.cosine_matrix, loop_cosine),
    (s.dot, s.dot_matrix, loop_dot),
    (s.euclidean, s.euclidean_matrix, loop_euclidean),
]


@pytest.mark.parametrize(("rows", "matrix", "loop"), MEASURES)
def test_both_forms_equal_a_loop_over_numbers(rows, matrix, loop):
    a, b = torch.randn(2, 5, 7, dtype=torch.float64)
    queries = a[:3]
    by_row = [loop(x, y) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    all_pairs = [[loop(x, y) for y in b.tolist()] for x in queries.tolist()]
    torch.testing.assert_close(rows(a, b), torch.tensor(by_row, dtype=torch.float64))
    torch.testing.assert_close(matrix(queries, b), torch.tensor(all_pairs, dtype=torch.float64))


def test_cosine_does_not_see_length():
    a, b = torch.randn(2, 4, 6)
    torch.testing.assert_close(s.cosine(1e-6 * a, 1e6 * b), s.cosine(a, b))


@pytest.mark.parametrize("matrix", [False, True])
def test_a_zero_vector_has_cosine_0_and_gradient_0(matrix):
    a = torch.tensor([[0.0, 0.0], [1.0, 2.0]], requires_grad=True)
    b = torch.tensor([[3.0, 4.0], [0.0, 0.0]], requires_grad=True)
    values = s.cosine_matrix(a, b) if matrix else s.cosine(a, b)
    values.sum().backward()
    assert (values[0].tolist(), values[1].tolist()) == (
        ([0.0, 0.0], [pytest.approx(11 / 5 / math.sqrt(5)), 0.0]) if matrix else (0.0, 0.0)
    )
    assert a.grad[0].tolist() == [0.0, 0.0] and b.grad[1].tolist() == [0.0, 0.0]
    assert a.grad.isfinite().all() and b.grad.isfinite().all()


@pytest.mark.parametrize("measure", [s.euclidean, s.euclidean_matrix])
def test_distance_0_has_a_finite_gradient(measure):
    a = torch.ones(3, 4, requires_grad=True)
    measure(a, torch.ones(3, 4)).sum().backward()
    assert a.grad.tolist() == torch.zeros(3, 4).tolist()


def test_near_neighbours_far_from_the_origin_keep_their_distance():
    # |a|² + |b|² - 2ab in float32 would round this distance of 0.01 away.
    a = torch.full((30, 8), 100.0)
    b = a.clone()
    b[:, 0] += 0.01
    torch.testing.assert_close(s.euclidean_matrix(a, b), torch.full((30, 30), 0.01), rtol=1e-3, atol=0)


def test_all_pairs_need_no_tensor_of_pairs_times_width():
    # 4000 x 4000 x 256 float32 would be 16 GB; the result is 64 MB.
    a = torch.randn(4000, 256, requires_grad=True)
    largest = 0

    def note(saved):
        nonlocal largest
        largest = max(largest, saved.numel())
        return saved

    for matrix in (s.cosine_matrix, s.dot_matrix):
        with torch.autograd.graph.saved_tensors_hooks(note, lambda saved: saved):
            matrix(a, a.detach()).sum().backward()
    with torch.autograd.graph.saved_tensors_hooks(note, lambda saved: saved):
        s.euclidean_matrix(a[:300], a.detach()[:300]).sum().backward()
    assert largest <= 4000 * 4000


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: s.cosine(torch.ones(2, 3), torch.ones(2, 4)), ValueError, "(2, 3) and (2, 4)"),
        (lambda: s.dot_matrix(torch.ones(2, 3), torch.ones(2, 4)), ValueError, "one width"),
        (lambda: s.euclidean(torch.ones(2, 3), torch.ones(1, 3)), ValueError, "*_matrix"),
        (lambda: s.cosine_matrix(torch.ones(3), torch.ones(2, 3)), ValueError, "(3,) and (2, 3)"),
        (lambda: s.euclidean_matrix(torch.ones(2, 3).long(), torch.ones(2, 3)), TypeError, "torch.int64"),
        (lambda: s.cosine(torch.ones(2, 3).numpy(), torch.ones(2, 3)), TypeError, "ndarray"),
    ],
)
def test_bad_input_is_named(call, kind, words):
    with pytest.raises(kind) as caught:
        call()
    assert words in str(caught.value)
