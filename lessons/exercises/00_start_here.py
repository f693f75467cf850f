# %% [markdown]
# # Exercises: start here
#
# Three functions that the rest of the course leans on. Write each one where it says so, then run the check below it. A check
# looks at what your function does, on a handful of inputs, not at how it is written; if something is wrong, it says what.
# (Your function runs in a process of its own, so what it prints there is not seen. Try it in a cell first.)
#
# Stuck? `check.hint("cosines")` is a nudge, `check.hint("cosines", 2)` tells nearly all, and the solutions are in
# [`../solutions`](../solutions/00_start_here.ipynb). The lesson is [Start here](../notebooks/00_start_here.ipynb).

# %%
import torch

from sbert_lab.checks import Checks

check = Checks("00_start_here")

# %% tags=["cases"]
import torch
import torch.nn.functional as F

from sbert_lab import metrics, similarity
from sbert_lab.exercises import Exercise


def vectors(generator):
    yield torch.tensor([[3.0, 4.0]]), torch.tensor([[4.0, 3.0], [-6.0, -8.0]])
    for queries, sentences, width in ((1, 1, 4), (2, 5, 4), (3, 3, 3), (7, 2, 16)):
        draw = [torch.randn(n, width, generator=generator) for n in (queries, sentences)]
        yield draw[0] * 3, draw[1] * torch.rand(sentences, 1, generator=generator)


# %% [markdown]
# ## 1. Every cosine at once
#
# In the lesson you computed one cosine: the dot product of two vectors, divided by both lengths. A search needs those of every query
# with every sentence. Write `cosines(queries, sentences)`: from the tensors `queries`, shape (Q, D), and `sentences`, shape (N, D),
# to the tensor of cosines, shape (Q, N). No vector is all zeros.


# %% tags=["solution"]
def cosines(queries, sentences):
    ### BEGIN SOLUTION
    queries = queries / queries.norm(dim=1, keepdim=True)  # (Q, D), each of length 1
    sentences = sentences / sentences.norm(dim=1, keepdim=True)  # (N, D)
    return queries @ sentences.T  # (Q, N)
    ### END SOLUTION


# %% tags=["check"]
Checks("00_start_here")(cosines)

# %% tags=["cases"]
cosines = Exercise(
    reference=similarity.cosine_matrix,
    inputs=vectors,
    mistakes={
        "These are dot products: nothing is divided by the lengths, so a long vector wins.": lambda q, s: q @ s.T,
        "Only the queries are divided by their lengths: a long sentence vector still wins.": lambda q, s: (
            F.normalize(q) @ s.T
        ),
        "The lengths are taken along the wrong axis: `dim=0` runs over the vectors, not along each.": lambda q, s: (
            F.normalize(q, dim=0) @ F.normalize(s, dim=0).T
        ),
        "This is divided by the squared lengths: a norm is the square root of the sum of squares.": lambda q, s: (
            (q / (q**2).sum(1, keepdim=True)) @ (s / (s**2).sum(1, keepdim=True)).T
        ),
        "These are distances, not cosines: a distance is small for what is alike.": lambda q, s: torch.cdist(q, s),
        "Only the sentences are divided by their lengths: each row is stretched by its query's.": lambda q, s: (
            q @ F.normalize(s).T
        ),
        "These are 1 - cosine: small for what is alike.": lambda q, s: 1 - F.normalize(q) @ F.normalize(s).T,
        "`norm()` without `dim` is one length for the whole table: take it row by row.": lambda q, s: (
            (q / q.norm()) @ (s / s.norm()).T
        ),
        "Without `keepdim=True` the lengths, shape (Q,), do not stand beside their rows, shape (Q, D).": lambda q, s: (
            (q / q.norm(dim=1)) @ (s / s.norm(dim=1)).T
        ),
        "The axes are exchanged: row by row, queries come first.": lambda q, s: F.normalize(s) @ F.normalize(q).T,
    },
    equivalents=(
        lambda q, s: torch.einsum("qd,nd->qn", F.normalize(q), F.normalize(s)),
        lambda q, s: torch.stack([torch.stack([a @ b / (a.norm() * b.norm()) for b in s]) for a in q]),
        lambda q, s: F.cosine_similarity(q[:, None], s[None], dim=-1),
    ),
    hints=(
        "Give every vector the length 1 first; then a dot product is a cosine.",
        "`x.norm(dim=1, keepdim=True)` has the shape (Q, 1) and divides `x` row by row. Then `queries @ sentences.T`.",
    ),
)

# %% [markdown]
# ## 2. The best few
#
# Write `best(scores, k)`: from one query's `scores`, a tensor of shape (N,), to the indices of the `k` highest, best first. If
# there are fewer than `k` scores, give them all. No two scores are equal.


# %% tags=["solution"]
def best(scores, k):
    ### BEGIN SOLUTION
    return scores.argsort(descending=True)[:k]
    ### END SOLUTION


# %% tags=["check"]
Checks("00_start_here")(best)


# %% tags=["cases"]
def scores(generator):
    yield torch.tensor([0.2, 0.9, 0.5, -0.3]), 2
    yield torch.tensor([0.5, 0.501, 0.499]), 2
    yield torch.randn(60, generator=generator) * 20, 25
    for count, k in ((5, 1), (8, 3), (20, 10), (3, 7), (1, 1)):
        yield torch.rand(count, generator=generator) - 0.5, k


best = Exercise(
    reference=lambda scores, k: scores.argsort(descending=True)[:k],
    inputs=scores,
    mistakes={
        "These are the lowest scores: `argsort` goes upwards unless it is told otherwise.": lambda s, k: s.argsort()[
            :k
        ],
        "The right ones, but the worst of them first.": lambda s, k: s.argsort()[-k:],
        "These are the scores themselves: the question is where they stand.": lambda s, k: (
            s.topk(min(k, len(s))).values
        ),
        "This sorts by size without sign: a score of -0.5 is worse than 0.1, not better.": lambda s, k: s.abs().argsort(
            descending=True
        )[:k],
        "The first one is left out: indices begin at 0.": lambda s, k: s.argsort(descending=True)[1 : k + 1],
        "These are ranks, not places: `argsort` of `argsort` says how high each stands.": lambda s, k: s.argsort(
            descending=True
        ).argsort()[:k],
        "`topk` refuses a `k` above the number of scores: there may be fewer.": lambda s, k: s.topk(k).indices,
        "Only the single best is given: there should be k.": lambda s, k: s.argmax()[None],
    },
    equivalents=(
        lambda s, k: s.topk(min(k, len(s))).indices,
        lambda s, k: torch.tensor(sorted(range(len(s)), key=lambda i: -s[i].item())[:k]),
        lambda s, k: (-s).argsort()[:k],
    ),
    hints=(
        "Sort the places by their scores, highest first, and cut after k.",
        "`scores.argsort(descending=True)` is all places in order; a slice `[:k]` is short by itself if there are fewer.",
    ),
)

# %% [markdown]
# ## 3. One number for a search
#
# The lesson's mean reciprocal rank, from memory. Write `mean_reciprocal_rank(ranks)`: `ranks` is a list with the rank of the right answer of each query, 1 for first place, or `None` if
# it was not found, which counts as 0. The result is a plain number.


# %% tags=["solution"]
def mean_reciprocal_rank(ranks):
    ### BEGIN SOLUTION
    return sum(1 / rank for rank in ranks if rank is not None) / len(ranks)
    ### END SOLUTION


# %% tags=["check"]
Checks("00_start_here")(mean_reciprocal_rank)


# %% tags=["cases"]
def ranks(generator):
    yield ([1, 2],)
    yield ([1, None, 4],)
    yield ([None, None],)
    yield ([250, 2],)
    for count in (1, 5, 30):
        drawn = torch.randint(1, 40, (count,), generator=generator).tolist()
        yield ([rank if rank < 30 else None for rank in drawn[:-1]] + [3],)


def found(ranks):
    return [rank for rank in ranks if rank is not None]


mean_reciprocal_rank = Exercise(
    reference=lambda ranks: sum(1 / rank for rank in found(ranks)) / len(ranks),
    inputs=ranks,
    mistakes={
        "What was not found is left out of the mean: it counts as 0, so divide by the number of all queries.": lambda r: (
            sum(1 / rank for rank in found(r)) / max(1, len(found(r)))
        ),
        "What was not found is left out of the mean, and if nothing is found it divides by 0: the divisor is the number "
        "of all queries.": lambda r: sum(1 / rank for rank in found(r)) / len(found(r)),
        "This is the sum, not the mean.": lambda r: sum(1 / rank for rank in found(r)),
        "This is the reciprocal of the mean rank, not the mean of the reciprocals.": lambda r: (
            len(found(r)) / max(1, sum(found(r)))
        ),
        "This is the reciprocal of the mean rank (which there is not if nothing is found): take each 1 / rank first.": (
            lambda r: len(found(r)) / sum(found(r))
        ),
        "Ranks are counted from 1 already: 1 / (rank + 1) gives the first place one half.": lambda r: (
            sum(1 / (rank + 1) for rank in found(r)) / len(r)
        ),
        "This is the share of queries that were answered, wherever the answer stood.": lambda r: len(found(r)) / len(r),
        "This is the share of first places: a second place counts one half, a third one third.": lambda r: (
            sum(rank == 1 for rank in found(r)) / len(r)
        ),
    },
    equivalents=(
        lambda r: sum(metrics.reciprocal_rank(range(1, 301), [rank] if rank else [0], 300) for rank in r) / len(r),
        lambda r: float(torch.tensor([0.0 if rank is None else 1 / rank for rank in r]).mean()),
    ),
    hints=(
        "Each query gives 1 / rank, or 0. Then take the mean over all of them, found or not.",
        "`sum(1 / rank for rank in ranks if rank is not None)` leaves the zeros out of the sum; the divisor is `len(ranks)`.",
    ),
)

# %% [markdown]
# ## Done?
#
# Three times `[ OK ]`: you have the core of a search engine. Back to the [lesson](../notebooks/00_start_here.ipynb), or on to the next one.
