"""Similarity of vectors: cosine, dot product and Euclidean distance, row by row and for all pairs.

Each measure comes twice. `cosine(a, b)` compares row i of `a` with row i of `b` and returns one number per row;
`cosine_matrix(a, b)` compares every row of `a` with every row of `b`. Cosine and dot grow with likeness; Euclidean is a
distance and shrinks with it. Searching a corpus for the best rows is the work of `search.py`, not of this file.
"""

import torch
from torch import Tensor


def unit(x: Tensor) -> Tensor:
    """Rows scaled to length 1, (B, D) -> (B, D); a row of zeros stays zeros and passes no gradient back."""
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)  # (B, 1)
    # A zero vector has no direction. Dividing by a small epsilon, as libraries do, returns 0 too, but with a gradient
    # of 1e8 or more that throws the whole model away; dividing by infinity returns 0 with gradient 0.
    return x / length.masked_fill(length <= 1e-12, torch.inf)


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """Cosine of row i of `a` and row i of `b`, (B, D), (B, D) -> (B,), -1 to 1; 0 where a row is zeros."""
    _check(a, b, row_by_row=True)
    return (unit(a) * unit(b)).sum(dim=1)


def cosine_matrix(a: Tensor, b: Tensor) -> Tensor:
    """Cosine of every row of `a` with every row of `b`, (Q, D), (N, D) -> (Q, N); 0 where a row is zeros."""
    _check(a, b)
    return unit(a) @ unit(b).T


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Dot product of row i of `a` and row i of `b`, (B, D), (B, D) -> (B,)."""
    _check(a, b, row_by_row=True)
    return (a * b).sum(dim=1)


def dot_matrix(a: Tensor, b: Tensor) -> Tensor:
    """Dot product of every row of `a` with every row of `b`, (Q, D), (N, D) -> (Q, N)."""
    _check(a, b)
    return a @ b.T


def euclidean(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean distance of row i of `a` and row i of `b`, (B, D), (B, D) -> (B,); gradient 0 at 0."""
    _check(a, b, row_by_row=True)
    return torch.linalg.vector_norm(a - b, dim=1)


def euclidean_matrix(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean distance of every row of `a` to every row of `b`, (Q, D), (N, D) -> (Q, N)."""
    _check(a, b)
    # The faster |a|² + |b|² - 2ab loses half the digits of near neighbours, the distances people look at most.
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def _check(a: Tensor, b: Tensor, row_by_row: bool = False) -> None:
    for x in (a, b):
        if not (isinstance(x, Tensor) and x.is_floating_point()):
            kind = x.dtype if isinstance(x, Tensor) else type(x).__name__
            raise TypeError(f"similarity compares float tensors, not {kind}: give torch.as_tensor(x).float()")
    shapes = f"{tuple(a.shape)} and {tuple(b.shape)}"
    if a.dim() != 2 or b.dim() != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(f"similarity compares (rows, D) tensors of one width D, but was given {shapes}")
    if row_by_row and len(a) != len(b):
        raise ValueError(f"row by row needs as many rows on both sides, not {shapes}: use *_matrix for all pairs")
