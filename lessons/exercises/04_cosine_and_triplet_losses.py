# %% [markdown]
# # Exercises: cosine and triplet losses
#
# Four functions: the loss for grades, the loss for triplets, the choice of triplets worth learning from, and the loss that
# only ranks. Write each one where it says so, then run the check below it. The checks look at values *and gradients*: a loss that
# has the right value and no gradient trains nothing.
#
# Stuck? `check.hint("triplet_loss")` is a nudge, `check.hint("triplet_loss", 2)` tells nearly all, and the solutions are in
# [`../solutions`](../solutions/04_cosine_and_triplet_losses.ipynb). The lesson is
# [Cosine and triplet losses](../notebooks/04_cosine_and_triplet_losses.ipynb).

# %%
import torch

from sbert_lab.checks import Checks

check = Checks("04_cosine_and_triplet_losses")

# %% tags=["cases"]
import torch
import torch.nn.functional as F

from sbert_lab import losses
from sbert_lab.exercises import Exercise


def graded(generator):
    yield torch.tensor([[3.0, 4.0], [1.0, 0.0]]), torch.tensor([[4.0, 3.0], [0.0, 2.0]]), torch.tensor([0.5, 0.0])
    for rows, width in ((1, 4), (2, 4), (5, 3), (16, 8)):
        u, v = (2 * torch.randn(rows, width, generator=generator) for _ in range(2))
        yield u, v, torch.rand(rows, generator=generator)


# %% [markdown]
# ## 1. The loss for grades
#
# *10 minutes, easy. Why it matters: two lines that trained the paper's best model on STS, and hide its best-known trap.*
#
# Write `cosine_regression(u, v, labels)`: from two tensors of vectors, shape (B, D), and their labels, shape (B,), to one number
# (a tensor without a dimension): the mean squared error of the cosines against the labels. No vector is all zeros.


# %% tags=["solution"]
def cosine_regression(u, v, labels):
    ### BEGIN SOLUTION
    cosines = (u * v).sum(dim=1) / (u.norm(dim=1) * v.norm(dim=1))  # (B,)
    return ((cosines - labels) ** 2).mean()
    ### END SOLUTION


# %% tags=["check"]
Checks("04_cosine_and_triplet_losses")(cosine_regression)


# %% tags=["cases"]
def error(u, v, labels):
    return F.cosine_similarity(u, v) - labels  # (B,)


cosine_regression = Exercise(
    reference=lambda u, v, labels: losses.CosineRegression()([u, v], labels),
    inputs=graded,
    gradient=True,
    mistakes={
        "A column (B, 1) against a row (B,) became a table (B, B): every cosine is pulled to every label.": (
            lambda u, v, y: (F.cosine_similarity(u, v)[:, None] - y).square().mean()
        ),
        "This is the sum of the squared errors: divide by the number of rows, or twice the batch is twice the step.": (
            lambda u, v, y: error(u, v, y).square().sum()
        ),
        "These are dot products: divide by both lengths, or a long vector counts as very alike.": lambda u, v, y: (
            ((u * v).sum(1) - y).square().mean()
        ),
        "The square is missing: errors of opposite sign cancel out.": lambda u, v, y: error(u, v, y).mean(),
        "This is the absolute error, not the squared one.": lambda u, v, y: error(u, v, y).abs().mean(),
        "This is the root of the mean: leave the root away.": lambda u, v, y: error(u, v, y).square().mean().sqrt(),
        "This is the square of the mean error: square each row's first.": lambda u, v, y: (
            error(u, v, y).mean().square()
        ),
        "The label is compared with the distance 1 - cosine: 1 means alike, so compare it with the cosine.": (
            lambda u, v, y: (1 - F.cosine_similarity(u, v) - y).square().mean()
        ),
        "The cosine is taken down the columns: `dim=0` runs over the rows, not along each vector.": lambda u, v, y: (
            (F.cosine_similarity(u, v, dim=0) - y).square().mean()
        ),
        "Only `u` has been divided by its length.": lambda u, v, y: ((F.normalize(u) * v).sum(1) - y).square().mean(),
    },
    equivalents=(
        lambda u, v, y: F.mse_loss(F.cosine_similarity(u, v), y),
        lambda u, v, y: sum((a @ b / (a.norm() * b.norm()) - t) ** 2 for a, b, t in zip(u, v, y, strict=True)) / len(u),
        lambda u, v, y: (torch.einsum("bd,bd->b", F.normalize(u), F.normalize(v)) - y).pow(2).mean(),
    ),
    hints=(
        "First the cosine of each row, shape (B,); then the difference, its square, and the mean.",
        "`torch.cosine_similarity(u, v)` has the shape (B,), as the labels have: subtract, `.square().mean()`.",
    ),
)

# %% [markdown]
# ## 2. The loss for triplets
#
# *10 minutes, easy. Why it matters: its margin is the first number to check when a triplet training stands still.*
#
# Write `triplet_loss(anchor, positive, negative, margin)`: three tensors of shape (B, D), a number, and back one number, the mean
# over the rows of max(0, d(anchor, positive) − d(anchor, negative) + margin) with the Euclidean distance d.


# %% tags=["solution"]
def triplet_loss(anchor, positive, negative, margin):
    ### BEGIN SOLUTION
    near = (anchor - positive).norm(dim=1)  # (B,)
    far = (anchor - negative).norm(dim=1)  # (B,)
    return torch.relu(near - far + margin).mean()
    ### END SOLUTION


# %% tags=["check"]
Checks("04_cosine_and_triplet_losses")(triplet_loss)


# %% tags=["cases"]
def triplets(generator):
    yield torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 4.5]]), 1.0  # hard: 1.5
    yield torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, 1.0]]), torch.tensor([[3.0, 4.0]]), 1.0  # easy: 0
    for rows, width, margin in ((2, 4, 0.5), (7, 3, 1.0), (24, 8, 2.0)):
        yield *(torch.randn(rows, width, generator=generator) for _ in range(3)), margin


def gap(a, p, n):
    return (a - p).norm(dim=1) - (a - n).norm(dim=1)  # (B,), positive where the negative is nearer


triplet_loss = Exercise(
    reference=lambda a, p, n, margin: losses.TripletMargin(margin)([a, p, n]),
    inputs=triplets,
    gradient=True,
    mistakes={
        "Positive and negative are exchanged: this pushes away what belongs together.": lambda a, p, n, m: F.relu(
            m - gap(a, p, n)
        ).mean(),
        "The cut at 0 is missing: triplets that are right already go on pushing the negative away, without end.": (
            lambda a, p, n, m: (gap(a, p, n) + m).mean()
        ),
        "The margin is subtracted: nothing is asked of a negative that is only a little farther.": lambda a, p, n, m: (
            F.relu(gap(a, p, n) - m).mean()
        ),
        "These are squared distances: take the root.": lambda a, p, n, m: F.relu(
            (a - p).square().sum(1) - (a - n).square().sum(1) + m
        ).mean(),
        "This is the sum over the rows, not their mean.": lambda a, p, n, m: F.relu(gap(a, p, n) + m).sum(),
        "Cut each row at 0 before the mean: here an easy triplet pays for a hard one.": lambda a, p, n, m: F.relu(
            (gap(a, p, n) + m).mean()
        ),
        "This is the cosine distance; the exercise asks for the Euclidean one.": lambda a, p, n, m: F.relu(
            F.cosine_similarity(a, n) - F.cosine_similarity(a, p) + m
        ).mean(),
        "The negative is compared with the positive: both distances begin at the anchor.": lambda a, p, n, m: F.relu(
            (a - p).norm(dim=1) - (p - n).norm(dim=1) + m
        ).mean(),
        "The margin is not there: a negative as near as the positive would cost nothing.": lambda a, p, n, m: F.relu(
            gap(a, p, n)
        ).mean(),
        "The mean runs over the triplets that still cost something: it runs over all rows.": lambda a, p, n, m: (
            F.relu(gap(a, p, n) + m).sum() / (gap(a, p, n) + m > 0).sum().clamp(min=1)
        ),
    },
    equivalents=(
        lambda a, p, n, m: F.triplet_margin_loss(a, p, n, margin=m),
        lambda a, p, n, m: (
            sum(torch.clamp((x - y).norm() - (x - z).norm() + m, min=0) for x, y, z in zip(a, p, n, strict=True))
            / len(a)
        ),
        lambda a, p, n, m: torch.clamp(gap(a, p, n) + m, min=0).sum() / len(a),
    ),
    hints=(
        "Two distances of shape (B,), their difference, plus the margin; then cut at 0 and average, in this order.",
        "`(anchor - positive).norm(dim=1)` is the first distance; `torch.relu(near - far + margin).mean()` the rest.",
    ),
)

# %% [markdown]
# ## 3. The triplets worth learning from
#
# *10 minutes, middling. Why it matters: FaceNet and many after it train on the semi-hard ones only, and so avoid collapse.*
#
# Every anchor has one positive and N candidates for a negative. A candidate is **semi-hard** if it is farther away than the positive,
# but by less than the margin. Write `semi_hard(positive_distances, negative_distances, margin)`: from the distances (B,) of the
# anchors to their positives and those (B, N) to the candidates to a tensor of `True` and `False` of shape (B, N). Equal is not farther,
# and a candidate exactly a margin farther is easy.


# %% tags=["solution"]
def semi_hard(positive_distances, negative_distances, margin):
    ### BEGIN SOLUTION
    nearest = positive_distances[:, None]  # (B, 1), to stand beside each row of (B, N)
    return (nearest < negative_distances) & (negative_distances < nearest + margin)
    ### END SOLUTION


# %% tags=["check"]
Checks("04_cosine_and_triplet_losses")(semi_hard)


# %% tags=["cases"]
def distances(generator):
    yield torch.tensor([1.0, 2.0]), torch.tensor([[0.5, 1.0, 1.25, 1.5, 3.0], [1.0, 2.0, 2.25, 2.5, 3.0]]), 0.5
    for rows, candidates, margin in ((1, 1, 1.0), (3, 3, 1.0), (5, 8, 0.5), (8, 4, 2.0)):
        yield (
            3 * torch.rand(rows, generator=generator),
            5 * torch.rand(rows, candidates, generator=generator),
            margin,
        )


semi_hard = Exercise(
    reference=lambda p, n, m: (n > p[:, None]) & (n < p[:, None] + m),
    inputs=distances,
    mistakes={
        "These are the hard ones, nearer than the positive: semi-hard are farther, by less than the margin.": (
            lambda p, n, m: n < p[:, None]
        ),
        "The upper bound is missing: from a margin beyond the positive on, a negative is easy and teaches nothing.": (
            lambda p, n, m: n > p[:, None]
        ),
        "The lower bound is missing: what is nearer than the positive is hard, not semi-hard.": lambda p, n, m: (
            n < p[:, None] + m
        ),
        "These are the easy ones, a margin or more beyond the positive.": lambda p, n, m: n >= p[:, None] + m,
        "The upper bound is the margin alone: it is counted from the positive's distance on.": lambda p, n, m: (
            (n > p[:, None]) & (n < m)
        ),
        "Equal counts here, at both ends: use < and >.": lambda p, n, m: (n >= p[:, None]) & (n <= p[:, None] + m),
        "A candidate exactly as far as the positive is hard, not semi-hard: use <, not <=, at the lower end.": (
            lambda p, n, m: (n >= p[:, None]) & (n < p[:, None] + m)
        ),
        "A candidate exactly a margin farther is easy, not semi-hard: use <, not <=, at the upper end.": (
            lambda p, n, m: (n > p[:, None]) & (n <= p[:, None] + m)
        ),
        "Without `[:, None]` the distances (B,) lie along the columns of (B, N), not the rows.": lambda p, n, m: (
            (n > p) & (n < p + m)
        ),
        "The margin lies on the wrong side of the positive: semi-hard negatives are farther than it.": lambda p, n, m: (
            (n > p[:, None] - m) & (n < p[:, None])
        ),
    },
    equivalents=(
        lambda p, n, m: torch.tensor([[bool(a < b < a + m) for b in row] for a, row in zip(p, n, strict=True)]),
        lambda p, n, m: torch.logical_and(p.unsqueeze(1) < n, n < p.unsqueeze(1) + m),
        lambda p, n, m: ~(n <= p.view(-1, 1)) & ~(n >= p.view(-1, 1) + m),
    ),
    hints=(
        "Two conditions, joined by `&`. Mind the shapes: each row of (B, N) has its own positive.",
        "`positive_distances[:, None]` is (B, 1). Farther: `negative_distances > it`; not too far: `< it + margin`.",
    ),
)

# %% [markdown]
# ## 4. The loss that only ranks
#
# *15 minutes, harder. Why it matters: once written, it shows why labels in stars, percent or ranks are all the same to CoSENT.*
#
# Write `cosent(cosines, labels, scale)`: from B cosines and their labels, both of shape (B,), to the one number
# log(1 + Σ exp(scale · (cos_i − cos_j))), where the sum runs over all i, j such that label_i < label_j. If there is no such pair,
# the loss is 0, but still hangs on the cosines: a bare constant has no gradient, and `backward()` on it is an error.


# %% tags=["solution"]
def cosent(cosines, labels, scale):
    ### BEGIN SOLUTION
    excess = scale * (cosines[:, None] - cosines[None, :])  # (B, B): by how much i is above j
    wrong_way_up = excess[labels[:, None] < labels[None, :]]  # (pairs that should be the other way round,)
    return torch.log(1 + wrong_way_up.exp().sum())
    ### END SOLUTION


# %% tags=["check"]
Checks("04_cosine_and_triplet_losses")(cosent)


# %% tags=["cases"]
def ranked(generator):
    yield torch.tensor([0.9, 0.4, 0.5]), torch.tensor([1.0, 0.2, 0.2]), 20.0
    yield torch.tensor([0.3, 0.6]), torch.tensor([0.5, 0.5]), 20.0  # nothing to rank
    for rows, scale in ((2, 1.0), (4, 5.0), (9, 20.0)):
        cosines = 1.6 * torch.rand(rows, generator=generator) - 0.8
        yield cosines, torch.randint(0, 6, (rows,), generator=generator) / 5, scale


def over(cosines, pairs, scale):
    return (scale * (cosines[:, None] - cosines))[pairs].exp()


def by_package(cosines, labels, scale):
    u = torch.tensor([[1.0, 0.0]]).expand(len(cosines), 2)
    v = torch.stack([cosines, (1 - cosines**2).sqrt()], dim=1)  # of length 1, at that cosine to u
    return losses.CoSENT(scale)([u, v], labels)


cosent = Exercise(
    reference=by_package,
    inputs=ranked,
    gradient=True,
    mistakes={
        "The order is turned round: the sum runs over label_i < label_j, where cos_i should be the smaller one.": (
            lambda c, y, s: torch.log1p(over(c, y[:, None] > y, s).sum())
        ),
        "Equal labels are counted too: rows of the same grade have no order.": lambda c, y, s: torch.log1p(
            over(c, y[:, None] <= y, s).sum()
        ),
        "The scale is missing: cosines differ by little, and without it so do the terms of the sum.": lambda c, y, s: (
            torch.log1p(over(c, y[:, None] < y, 1.0).sum())
        ),
        "The cosines are divided by the scale: multiply.": lambda c, y, s: torch.log1p(
            over(c, y[:, None] < y, 1 / s).sum()
        ),
        "Without the 1 the loss has no floor: a perfect order costs less than nothing.": lambda c, y, s: torch.log(
            over(c, y[:, None] < y, s).sum()
        ),
        "The logarithm is missing: one bad pair then outweighs everything else.": lambda c, y, s: over(
            c, y[:, None] < y, s
        ).sum(),
        "The logarithm is taken of each term, then summed: sum first, one logarithm for all.": lambda c, y, s: (
            torch.log1p(over(c, y[:, None] < y, s)).sum()
        ),
        "Where no label is below another, this 0 is a constant without a gradient: begin the sum with "
        "`0 * cosines.sum()`.": lambda c, y, s: (
            torch.log1p(over(c, y[:, None] < y, s).sum()) if (y[:, None] < y).any() else torch.tensor(0.0)
        ),
        "All pairs are counted, whatever their labels: only those with label_i < label_j.": lambda c, y, s: torch.log1p(
            over(c, torch.ones(len(c), len(c), dtype=torch.bool), s).sum()
        ),
    },
    equivalents=(
        lambda c, y, s: torch.log1p(over(c, y[:, None] < y, s).sum()),
        lambda c, y, s: torch.log(
            1
            + sum(torch.exp(s * (c[i] - c[j])) for i in range(len(c)) for j in range(len(c)) if y[i] < y[j])
            + 0 * c.sum()
        ),
        lambda c, y, s: torch.cat(
            [c.new_zeros(1), (s * (c[:, None] - c)).masked_fill(y[:, None] >= y, -torch.inf).flatten()]
        ).logsumexp(0),
    ),
    hints=(
        "All differences at once: `cosines[:, None] - cosines[None, :]` is (B, B). The labels say which count.",
        "`pairs = labels[:, None] < labels[None, :]`; `(scale * differences)[pairs].exp().sum()`, plus 1, then the log.",
    ),
)

# %% [markdown]
# ## Done?
#
# Four times `[ OK ]`: you have the losses of most sentence encoders before 2020, and one of 2022. Back to the
# [lesson](../notebooks/04_cosine_and_triplet_losses.ipynb), or on to the next one.
