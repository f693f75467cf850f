# %% [markdown]
# # Exercises: in-batch negatives
#
# The loss, the loss with hard negatives, and the mask that spares duplicates. Write each function where it says so, then run
# the check below it: it looks at the value *and* at the gradient, on a handful of batches, and if something is wrong it says
# what. (Your function runs in a process of its own, so what it prints there is not seen. Try it in a cell first.)
#
# Stuck? `check.hint("in_batch_loss")` is a nudge, `check.hint("in_batch_loss", 2)` tells nearly all, and the solutions are in
# [`../solutions`](../solutions/06_in_batch_negatives.ipynb). The lesson is [In-batch negatives](../notebooks/06_in_batch_negatives.ipynb).

# %%
import torch

from sbert_lab.checks import Checks

check = Checks("06_in_batch_negatives")

# %% tags=["cases"]
import torch
import torch.nn.functional as F

from sbert_lab import losses
from sbert_lab.exercises import Exercise
from sbert_lab.similarity import cosine_matrix


def batches(generator, columns):
    for rows, width, temperature in ((2, 3, 0.5), (3, 4, 0.05), (4, 4, 0.2), (6, 8, 0.1), (5, 16, 2.0)):
        drawn = [torch.randn(rows, width, generator=generator) for _ in range(columns)]
        drawn[1] += drawn[0]  # the positives lie near their anchors
        lengths = [0.5 + 2 * torch.rand(rows, 1, generator=generator) for _ in range(columns)]
        yield (*(vectors * length for vectors, length in zip(drawn, lengths, strict=True)), temperature)


def pairs(generator):
    return batches(generator, columns=2)


def own(vectors):
    return torch.arange(len(vectors))


# %% [markdown]
# ## 1. The loss
#
# | | |
# |---|---|
# | Time, difficulty | 10 minutes, medium |
# | Why it matters | it is the loss of most sentence encoders in use; each of its pieces is easy to leave out unnoticed |
#
# Write `in_batch_loss(anchors, positives, temperature)`: from two tensors of shape (B, D), row *i* of both belonging together, and a number,
# to a scalar tensor. For each anchor: the cosines with all B positives, divided by the temperature, the softmax over them, minus the
# logarithm of the own positive's probability. Then the mean over the anchors. No vector is all zeros.


# %% tags=["solution"]
def in_batch_loss(anchors, positives, temperature):
    ### BEGIN SOLUTION
    anchors = anchors / anchors.norm(dim=1, keepdim=True)  # (B, D), each of length 1
    positives = positives / positives.norm(dim=1, keepdim=True)  # (B, D)
    scores = anchors @ positives.T / temperature  # (B, B)
    return torch.nn.functional.cross_entropy(scores, torch.arange(len(anchors)))
    ### END SOLUTION


# %% tags=["check"]
Checks("06_in_batch_negatives")(in_batch_loss)


# %% tags=["cases"]
def by_loop(anchors, positives, temperature):
    total = 0
    for i in range(len(anchors)):
        scores = [F.cosine_similarity(anchors[i], other, dim=0) / temperature for other in positives]
        total = total + torch.stack(scores).logsumexp(dim=0) - scores[i]
    return total / len(anchors)


def without_diagonal(a, p, t):
    scores = cosine_matrix(a, p) / t
    others = scores.masked_fill(torch.eye(len(a), dtype=torch.bool), -torch.inf)
    return (others.logsumexp(dim=1) - scores.diag()).mean()


in_batch_loss = Exercise(
    reference=lambda a, p, t: losses.InBatchNegatives(t)([a, p]),
    inputs=pairs,
    gradient=True,
    mistakes={
        "The temperature is not used: divide the cosines by it.": lambda a, p, t: F.cross_entropy(
            cosine_matrix(a, p), own(a)
        ),
        "The cosines are multiplied by the temperature: divide, so that a low one spreads them.": lambda a, p, t: (
            F.cross_entropy(cosine_matrix(a, p) * t, own(a))
        ),
        "These are dot products: divide by the lengths, or a long vector wins.": lambda a, p, t: F.cross_entropy(
            a @ p.T / t, own(a)
        ),
        "The softmax runs over the anchors (dim=0): each anchor should choose among the positives.": lambda a, p, t: (
            F.cross_entropy(cosine_matrix(p, a) / t, own(a))
        ),
        "The own positive is missing from the sum below the line: it is one of the candidates.": without_diagonal,
        "This is the sum over the anchors: take the mean.": lambda a, p, t: F.cross_entropy(
            cosine_matrix(a, p) / t, own(a), reduction="sum"
        ),
        "The candidates are detached: positives and negatives must learn too.": lambda a, p, t: F.cross_entropy(
            cosine_matrix(a, p.detach()) / t, own(a)
        ),
        "The sign is missing: take minus the logarithm, so that less is better.": lambda a, p, t: (
            -F.cross_entropy(cosine_matrix(a, p) / t, own(a))
        ),
        "This is minus the probability itself: take its logarithm.": lambda a, p, t: (
            -(cosine_matrix(a, p) / t).softmax(dim=1).diag().mean()
        ),
        "Cross-entropy takes the softmax itself: give it the scores, not probabilities.": lambda a, p, t: (
            F.cross_entropy((cosine_matrix(a, p) / t).softmax(dim=1), own(a))
        ),
    },
    equivalents=(
        by_loop,
        lambda a, p, t: -(cosine_matrix(a, p) / t).log_softmax(dim=1).diagonal().mean(),
        lambda a, p, t: F.cross_entropy(torch.einsum("id,jd->ij", F.normalize(a), F.normalize(p)) / t, own(a)),
    ),
    hints=(
        "Make every vector one unit long; then one matrix product holds all cosines, and row i's right class is i.",
        "`torch.nn.functional.cross_entropy(scores, torch.arange(len(anchors)))`, where `scores` is "
        "`anchors @ positives.T / temperature` and both are of unit length.",
    ),
)

# %% [markdown]
# ## 2. With hard negatives
#
# | | |
# |---|---|
# | Time, difficulty | 10 minutes, medium |
# | Why it matters | a hard negative serves every anchor of the batch, and the right class must still be found |
#
# Write `with_hard_negatives(anchors, positives, negatives, temperature)`: three tensors of shape (B, D) and a number, to a scalar. As before, but
# the candidates of *every* anchor are all B positives and all B negatives.


# %% tags=["solution"]
def with_hard_negatives(anchors, positives, negatives, temperature):
    ### BEGIN SOLUTION
    candidates = torch.cat([positives, negatives])  # (2B, D), the positives first
    anchors = anchors / anchors.norm(dim=1, keepdim=True)
    candidates = candidates / candidates.norm(dim=1, keepdim=True)
    scores = anchors @ candidates.T / temperature  # (B, 2B)
    return torch.nn.functional.cross_entropy(scores, torch.arange(len(anchors)))
    ### END SOLUTION


# %% tags=["check"]
Checks("06_in_batch_negatives")(with_hard_negatives)


# %% tags=["cases"]
def triplets(generator):
    return batches(generator, columns=3)


def all_scores(a, *candidates, t):
    return cosine_matrix(a, torch.cat(candidates)) / t


def own_negative_only(a, p, n, t):
    scores = torch.cat([cosine_matrix(a, p), F.cosine_similarity(a, n)[:, None]], dim=1) / t  # (B, B + 1)
    return F.cross_entropy(scores, own(a))


def one_against_one(a, p, n, t):
    scores = torch.stack([F.cosine_similarity(a, p), F.cosine_similarity(a, n)], dim=1) / t  # (B, 2)
    return F.cross_entropy(scores, torch.zeros(len(a), dtype=torch.int64))


def from_parts(a, p, n, t):
    right, wrong = cosine_matrix(a, p) / t, cosine_matrix(a, n) / t
    return (torch.logaddexp(right.logsumexp(dim=1), wrong.logsumexp(dim=1)) - right.diagonal()).mean()


with_hard_negatives = Exercise(
    reference=lambda a, p, n, t: losses.InBatchNegatives(t)([a, p, n]),
    inputs=triplets,
    gradient=True,
    mistakes={
        "The negatives are not used: they belong to the candidates.": lambda a, p, n, t: losses.InBatchNegatives(t)(
            [a, p]
        ),
        "Each anchor sees its own negative only: the others' negatives are candidates too.": own_negative_only,
        "Each anchor sees its own row only, one positive and one negative: the batch is missing.": one_against_one,
        "This pulls the anchors to the negatives: if they come first, the right class is B + i.": lambda a, p, n, t: (
            losses.InBatchNegatives(t)([a, n, p])
        ),
        "These are dot products: divide by the lengths, or a long vector wins.": lambda a, p, n, t: F.cross_entropy(
            a @ torch.cat([p, n]).T / t, own(a)
        ),
        "The other rows' positives are missing: they are candidates as well.": lambda a, p, n, t: F.cross_entropy(
            torch.cat([F.cosine_similarity(a, p)[:, None], cosine_matrix(a, n)], dim=1) / t, own(a) * 0
        ),
        "The negatives are detached: they must learn to move away.": lambda a, p, n, t: F.cross_entropy(
            all_scores(a, p, n.detach(), t=t), own(a)
        ),
        "These are two losses added up, one with the positives, one with the negatives: one softmax over all.": (
            lambda a, p, n, t: losses.InBatchNegatives(t)([a, p]) + own_negative_only(a, p, n, t)
        ),
        "The temperature is not used: divide the cosines by it.": lambda a, p, n, t: losses.InBatchNegatives(1.0)(
            [a, p, n]
        ),
    },
    equivalents=(
        from_parts,
        lambda a, p, n, t: F.cross_entropy(all_scores(a, n, p, t=t), own(a) + len(a)),
        lambda a, p, n, t: (
            -torch.cat([cosine_matrix(a, p), cosine_matrix(a, n)], dim=1).div(t).log_softmax(dim=1).diagonal().mean()
        ),
    ),
    hints=(
        "`torch.cat([positives, negatives])` has the shape (2B, D). Which column is right for anchor i?",
        "The positives come first, so the right class of anchor i is still i: the cross-entropy of a (B, 2B) table.",
    ),
)

# %% [markdown]
# ## 3. Spare the mates
#
# | | |
# |---|---|
# | Time, difficulty | 10 minutes, easy, if you keep the axes apart |
# | Why it matters | a duplicate in the batch is pushed away from what means the same |
#
# Write `mates(groups)`: from the number of each row's group, a whole-number tensor of shape (B,), to a mask of shape (B, B), of booleans.
# Entry (*i*, *j*) is True where candidate *j* is to be left out for anchor *i*: it is of the same group, but not *i*'s own positive.


# %% tags=["solution"]
def mates(groups):
    ### BEGIN SOLUTION
    same = groups[:, None] == groups[None, :]  # (B, B)
    return same & ~torch.eye(len(groups), dtype=torch.bool)
    ### END SOLUTION


# %% tags=["check"]
Checks("06_in_batch_negatives")(mates)


# %% tags=["cases"]
def groups(generator):
    yield (torch.tensor([7, 7, 3]),)
    yield (torch.tensor([4, 5, 6, 5]),)
    yield (torch.tensor([2, 2, 2]),)
    yield (torch.tensor([1]),)
    for rows in (5, 8, 12):
        yield (torch.randint(0, 4, (rows,), generator=generator),)


def same(g):
    return g[:, None] == g[None, :]


def diagonal(g):
    return torch.eye(len(g), dtype=torch.bool)


mates = Exercise(
    reference=lambda g: same(g).fill_diagonal_(False),
    inputs=groups,
    mistakes={
        "The diagonal is masked too: then the right answer is left out.": same,
        "This is turned round: True should stand where a candidate is left out.": lambda g: ~(same(g) & ~diagonal(g)),
        "Here all other groups are left out: those are the negatives to keep.": lambda g: ~same(g),
        "Only the diagonal is left out: that is each anchor's own positive.": diagonal,
        "All but the own positive are left out: then no negatives remain.": lambda g: ~diagonal(g),
        "This compares row by row, shape (B,): every group with every group is (B, B).": lambda g: g == g,
        "Only later rows are compared with earlier ones: mates are mates both ways.": lambda g: same(g).tril(-1),
        "Only earlier rows are compared with later ones: mates are mates both ways.": lambda g: same(g).triu(1),
        "Only neighbours are compared: a mate may stand anywhere in the batch.": lambda g: (
            same(g) & ((own(g)[:, None] - own(g)).abs() == 1)
        ),
        "Numbers, not booleans: `masked_fill` wants True and False.": lambda g: (same(g) & ~diagonal(g)).float(),
    },
    equivalents=(
        lambda g: torch.tensor([[i != j and bool(a == b) for j, b in enumerate(g)] for i, a in enumerate(g)]),
        lambda g: (same(g).int() - diagonal(g).int()).bool(),
        lambda g: same(g) ^ diagonal(g),
    ),
    hints=(
        "Compare the groups as a column with the groups as a row; then take the diagonal out.",
        "`groups[:, None] == groups[None, :]` is (B, B); `torch.eye(B, dtype=torch.bool)` is its diagonal; `~` is *not*.",
    ),
)

# %% [markdown]
# ## Done?
#
# Three times `[ OK ]`: you can train a sentence encoder with pairs alone. Back to the [lesson](../notebooks/06_in_batch_negatives.ipynb), or on to the
# next one.
