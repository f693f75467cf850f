# %% [markdown]
# # Exercises: after SBERT
#
# Four small functions, each at the heart of one method: a loss at several widths, an attack, a teacher's margin, and a fair choice
# of pairs to label. Write each function where it says so, then run the check below it: it looks at the value, and where something is
# trained at the gradient, and if something is wrong it says what. (Your function runs in a process of its own, so what it prints
# there is not seen. Try it in a cell first.)
#
# Stuck? `check.hint("matryoshka")` is a nudge, `check.hint("matryoshka", 2)` tells nearly all, and the solutions are in
# [`../solutions`](../solutions/10_after_sbert.ipynb). The lesson is [After SBERT](../notebooks/10_after_sbert.ipynb).

# %%
import torch

from sbert_lab.checks import Checks

check = Checks("10_after_sbert")

# %% tags=["cases"]
import torch
import torch.nn.functional as F

from sbert_lab import losses
from sbert_lab.exercises import Exercise
from sbert_lab.similarity import cosine_matrix

# %% [markdown]
# ## 1. Matryoshka: a loss at several widths
#
# | | |
# |---|---|
# | Time, difficulty | 5 minutes, easy |
# | Why it matters | one model whose vectors may be cut after training: 64 numbers for a quick search, all for the last word |
#
# A vector can be cut to its first *d* numbers if the loss has asked for that while training (Kusupati et al. 2022). Write
# `matryoshka(loss, anchors, positives, dims)`: `loss` is a function of two tensors of shape (B, D), whichever you like; `dims` is a list of
# widths, each at most D. The answer is the mean, over the widths *d*, of the loss on the first *d* numbers of both. One expression is enough.


# %% tags=["solution"]
def matryoshka(loss, anchors, positives, dims):
    ### BEGIN SOLUTION
    return sum(loss(anchors[:, :d], positives[:, :d]) for d in dims) / len(dims)
    ### END SOLUTION


# %% tags=["check"]
Checks("10_after_sbert")(matryoshka)


# %% tags=["cases"]
def in_batch(a, p):
    return F.cross_entropy(cosine_matrix(a, p) / 0.1, torch.arange(len(a)))


def squared(a, p):
    return F.mse_loss(a, p)


def summed(a, p):
    return (a - p).abs().sum()


def widths(generator):
    cases = (
        (in_batch, 4, 8, [2, 4, 8]),
        (squared, 3, 6, [6]),
        (squared, 5, 6, [3, 1]),
        (summed, 2, 5, [1, 3]),
        (in_batch, 6, 16, [16, 4, 2, 8]),
    )
    for loss, rows, width, dims in cases:
        anchors, noise = (torch.randn(rows, width, generator=generator) for _ in range(2))
        yield loss, anchors, anchors + noise, dims


matryoshka = Exercise(
    reference=lambda loss, a, p, dims: torch.stack([loss(a[:, :d], p[:, :d]) for d in dims]).mean(),
    inputs=widths,
    gradient=True,
    mistakes={
        "This is the sum over the widths: take the mean, divide by how many there are.": lambda loss, a, p, dims: sum(
            loss(a[:, :d], p[:, :d]) for d in dims
        ),
        "Rows are cut here, `x[:d]`: cut the columns, `x[:, :d]`.": lambda loss, a, p, dims: (
            sum(loss(a[:d], p[:d]) for d in dims) / len(dims)
        ),
        "The last numbers are taken: take the first d.": lambda loss, a, p, dims: (
            sum(loss(a[:, -d:], p[:, -d:]) for d in dims) / len(dims)
        ),
        "The whole width is used every time: cut both to the first d numbers.": lambda loss, a, p, dims: loss(a, p),
        "Only one width is used: all of `dims` count.": lambda loss, a, p, dims: loss(a[:, : dims[0]], p[:, : dims[0]]),
        "Only the last width is used: is the `return` inside the loop, or the sum overwritten?": (
            lambda loss, a, p, dims: loss(a[:, : dims[-1]], p[:, : dims[-1]])
        ),
        "Only the smallest width is used: all of `dims` count.": lambda loss, a, p, dims: loss(
            a[:, : min(dims)], p[:, : min(dims)]
        ),
        "The positives are detached: they must learn too.": lambda loss, a, p, dims: (
            sum(loss(a[:, :d], p[:, :d].detach()) for d in dims) / len(dims)
        ),
        "The numbers are d steps apart, `x[:, ::d]`: take the first d, `x[:, :d]`.": lambda loss, a, p, dims: (
            sum(loss(a[:, ::d], p[:, ::d]) for d in dims) / len(dims)
        ),
        "The full width is added to what `dims` says: only its widths count.": lambda loss, a, p, dims: (
            (sum(loss(a[:, :d], p[:, :d]) for d in dims) + loss(a, p)) / (len(dims) + 1)
        ),
        "These are the widths 1, 2, 3, …: take those that `dims` holds.": lambda loss, a, p, dims: (
            sum(loss(a[:, :d], p[:, :d]) for d in range(1, len(dims) + 1)) / len(dims)
        ),
        "The rest is set to zero: cut it off, for a loss that is a mean counts the zeros.": lambda loss, a, p, dims: (
            sum(loss(*(x * (torch.arange(x.shape[1]) < d) for x in (a, p))) for d in dims) / len(dims)
        ),
        "The parts between the widths are taken: each width begins at the first number.": lambda loss, a, p, dims: (
            sum(
                loss(a[:, low:high], p[:, low:high])
                for low, high in zip([0, *sorted(dims)], sorted(dims), strict=False)
            )
            / len(dims)
        ),
        "The wide ones count more here: every width counts alike.": lambda loss, a, p, dims: (
            sum(d * loss(a[:, :d], p[:, :d]) for d in dims) / sum(dims)
        ),
        "What is cut off is kept, `x[:, d:]`: take the first d, `x[:, :d]`.": lambda loss, a, p, dims: (
            sum(loss(a[:, d:], p[:, d:]) for d in dims) / len(dims)
        ),
        "Divided by the width D, not by the number of widths.": lambda loss, a, p, dims: (
            sum(loss(a[:, :d], p[:, :d]) for d in dims) / a.shape[1]
        ),
    },
    equivalents=(
        lambda loss, a, p, dims: sum(loss(a.narrow(1, 0, d), p.narrow(1, 0, d)) / len(dims) for d in dims),
        lambda loss, a, p, dims: torch.stack(
            [loss(*(x.split([d, x.shape[1] - d], dim=1)[0] for x in (a, p))) for d in dims]
        ).mean(),
    ),
    hints=(
        "`anchors[:, :d]` is every row's first d numbers. Call the loss once for each width.",
        "`sum(loss(anchors[:, :d], positives[:, :d]) for d in dims) / len(dims)`.",
    ),
)

# %% [markdown]
# ## 2. The attack of FGM
#
# | | |
# |---|---|
# | Time, difficulty | 15 minutes, medium: mind which numbers share a length |
# | Why it matters | normalise by the wrong length, and long texts are hardly moved or short ones thrown far away |
#
# Miyato et al. (2017) move a *text*: all its tokens together, by the length ε, along the gradient. Write `attack(gradient, rows, epsilon)`:
# `gradient` has the shape (T, D), one row a token of the whole batch; `rows` (T,) says to which text, 0, 1, …, each token belongs. The answer
# has the shape (T, D): ε · g / ‖g‖, where ‖g‖ is the length of *all* numbers of the token's text. A text whose gradient is all
# zeros does not move; one with a tiny gradient, as real ones are, moves by ε like any other.


# %% tags=["solution"]
def attack(gradient, rows, epsilon):
    ### BEGIN SOLUTION
    squares = torch.zeros(int(rows.max()) + 1).index_add(0, rows, gradient.square().sum(dim=1))  # (B,)
    lengths = squares.sqrt()[rows][:, None]  # (T, 1)
    return epsilon * gradient / lengths.clamp(min=1e-30)
    ### END SOLUTION


# %% tags=["check"]
Checks("10_after_sbert")(attack)


# %% tags=["cases"]
def slopes(generator):
    for lengths, width, epsilon in (([2, 3], 4, 1.0), ([1, 4, 2], 3, 0.5), ([5], 2, 2.0), ([3, 1, 2, 6], 8, 0.1)):
        rows = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
        drawn = torch.randn(len(rows), width, generator=generator)
        yield drawn * (1 + rows)[:, None] * 0.3, rows, epsilon
    yield drawn * 0.003, rows, 0.1  # real gradients are small: a mean over the batch stands behind them
    still = torch.tensor([[3.0, 4.0], [0.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    yield still, torch.tensor([0, 1, 1, 2]), 0.5
    yield still, torch.tensor([2, 0, 0, 2]), 0.5  # tokens need not lie together, and one text may have none


def along(g, rows, e, p=2.0, power=1.0):
    lengths = torch.stack([g[rows == row].flatten().norm(p=p) for row in rows])[:, None]
    return torch.where(lengths > 0, e * g / lengths**power, torch.zeros_like(g))


def per_token(g, rows, e):
    return torch.where(g.norm(dim=1, keepdim=True) > 0, e * F.normalize(g, dim=1), torch.zeros_like(g))


def last_token(g, rows, e):
    squares = torch.zeros(int(rows.max()) + 1)
    for row, square in zip(rows, g.square().sum(dim=1), strict=True):
        squares[row] = square
    return e * g / squares.sqrt()[rows][:, None].clamp(min=1e-30)


def mean_length(g, rows, e):
    counts = torch.bincount(rows)[rows][:, None]
    return along(g, rows, e) * counts.sqrt()


attack = Exercise(
    reference=along,
    inputs=slopes,
    mistakes={
        "Each token has a length of its own here: divide by the length of all tokens of its text.": per_token,
        "One length for the whole batch: each text has its own.": lambda g, rows, e: e * g / g.norm(),
        "This is the move of FGSM, ε up or down for each number: here the move is ε · g / ‖g‖.": lambda g, rows, e: (
            e * g.sign()
        ),
        "The gradient is not divided by its length: the move is then as long as the gradient.": lambda g, rows, e: (
            e * g
        ),
        "ε is missing: the move's length should be ε.": lambda g, rows, e: along(g, rows, 1.0),
        "The sign is turned round: the attack goes *up* the loss, along +g.": lambda g, rows, e: -along(g, rows, e),
        "Divided by the sum of the squares: take its square root.": lambda g, rows, e: along(g, rows, e, power=2.0),
        "Divided by the sum of the absolute values: ‖g‖ is the root of the sum of squares.": lambda g, rows, e: along(
            g, rows, e, p=1.0
        ),
        "Divided by the largest number: ‖g‖ is the root of the sum of squares.": lambda g, rows, e: along(
            g, rows, e, p=float("inf")
        ),
        "A text without gradient gives 0 / 0, NaN: keep the length above zero, `lengths.clamp(min=1e-30)`.": (
            lambda g, rows, e: e * g / torch.stack([g[rows == row].norm() for row in rows])[:, None]
        ),
        "The tokens' gradients are added up before the length is taken: square first, they may cancel.": (
            lambda g, rows, e: torch.nan_to_num(
                e * g / torch.stack([g[rows == row].sum(dim=0).norm() for row in rows])[:, None]
            )
        ),
        "The tokens' lengths are added up: add their squares, then take one root.": lambda g, rows, e: torch.nan_to_num(
            e * g / torch.stack([g[rows == row].norm(dim=1).sum() for row in rows])[:, None]
        ),
        "The squares are averaged over the tokens, not added up: a long text then moves further.": mean_length,
        "The last token's squares alone are kept: `squares[rows] += …` does not add up, `index_add` does.": last_token,
        "The length is kept above 1, so a text with a small gradient moves too little: 1e-30 is enough.": lambda g, rows, e: (
            e * g / torch.stack([g[rows == row].norm() for row in rows]).clamp(min=1)[:, None]
        ),
        "The longest token's length is taken: ‖g‖ is that of all tokens of the text.": lambda g, rows, e: (
            torch.nan_to_num(e * g / torch.stack([g[rows == row].norm(dim=1).max() for row in rows])[:, None])
        ),
    },
    equivalents=(
        lambda g, rows, e: (
            e * g / ((rows[:, None] == rows).float() @ g.square().sum(dim=1)).sqrt().clamp(min=1e-30)[:, None]
        ),
        lambda g, rows, e: torch.stack(
            [e * token / max(g[rows == row].norm().item(), 1e-30) for token, row in zip(g, rows, strict=True)]
        ),
        lambda g, rows, e: e * torch.nan_to_num(g / torch.stack([g[rows == row].norm() for row in rows])[:, None]),
    ),
    hints=(
        "First the sum of squares of each token, then of each text (`index_add` with `rows`, or a loop over the texts), then the root.",
        "With `squares` (B,) of each text, `squares.sqrt()[rows][:, None]` is the right length beside every token; clamp it above zero.",
    ),
)

# %% [markdown]
# ## 3. A teacher's margin
#
# | | |
# |---|---|
# | Time, difficulty | 10 minutes, medium |
# | Why it matters | a cross-encoder's scores have another scale than dot products; how much *better* one passage is can still be taught |
#
# Hofstätter et al. (2020) let a cross-encoder teach a retriever. Write `margin_loss(query, positive, negative, right, wrong)`: three tensors of shape
# (B, D), the student's vectors, and two of shape (B,), the teacher's scores of (query, positive) and (query, negative). The student's
# score is the dot product. The answer is the mean over the rows of the squared difference between the student's margin,
# positive less negative, and the teacher's. Detach nothing: the teacher's scores are numbers already.


# %% tags=["solution"]
def margin_loss(query, positive, negative, right, wrong):
    ### BEGIN SOLUTION
    student = (query * positive).sum(dim=1) - (query * negative).sum(dim=1)  # (B,)
    return (student - (right - wrong)).square().mean()
    ### END SOLUTION


# %% tags=["check"]
Checks("10_after_sbert")(margin_loss)


# %% tags=["cases"]
def judged(generator):
    for rows, width in ((2, 3), (4, 4), (1, 5), (8, 16)):
        query, positive, negative = (torch.randn(rows, width, generator=generator) for _ in range(3))
        right, wrong = (scale * torch.randn(rows, generator=generator) for scale in (5.0, 3.0))
        yield query, positive, negative, right + 4, wrong


def dot(a, b):
    return (a * b).sum(dim=1)


def gap(q, p, n):
    return dot(q, p) - dot(q, n)


margin_loss = Exercise(
    reference=lambda q, p, n, r, w: losses.MarginDistillation()([q, p, n], r - w),
    inputs=judged,
    gradient=True,
    mistakes={
        "The scores are compared, not the margins: only how much better the positive is should count.": (
            lambda q, p, n, r, w: (F.mse_loss(dot(q, p), r) + F.mse_loss(dot(q, n), w)) / 2
        ),
        "The scores are compared, two errors added up: compare the two margins.": lambda q, p, n, r, w: (
            F.mse_loss(dot(q, p), r) + F.mse_loss(dot(q, n), w)
        ),
        "Only the positives are compared: the negatives are part of the margin.": lambda q, p, n, r, w: F.mse_loss(
            dot(q, p), r
        ),
        "One of the margins is turned round: take positive less negative for both.": lambda q, p, n, r, w: F.mse_loss(
            gap(q, n, p), r - w
        ),
        "These are cosines: the student's score is the dot product.": lambda q, p, n, r, w: F.mse_loss(
            F.cosine_similarity(q, p) - F.cosine_similarity(q, n), r - w
        ),
        "This is the absolute difference: square it.": lambda q, p, n, r, w: F.l1_loss(gap(q, p, n), r - w),
        "This is the sum over the rows: take the mean.": lambda q, p, n, r, w: F.mse_loss(
            gap(q, p, n), r - w, reduction="sum"
        ),
        "The shapes (B, 1) and (B,) meet here and make (B, B): sum without keepdim.": lambda q, p, n, r, w: (
            (gap(q, p, n)[:, None] - (r - w)).square().mean()
        ),
        "This is the root of the loss: leave it squared.": lambda q, p, n, r, w: F.mse_loss(gap(q, p, n), r - w).sqrt(),
        "The teacher's scores are added: its margin is right less wrong.": lambda q, p, n, r, w: F.mse_loss(
            gap(q, p, n), r + w
        ),
        "The student's margin is averaged before it is compared: compare row by row.": lambda q, p, n, r, w: (
            (gap(q, p, n) - (r - w)).mean().square()
        ),
        "The teacher's margin is left out: it is what the student should reach.": lambda q, p, n, r, w: (
            gap(q, p, n).square().mean()
        ),
        "Each query meets every passage of the batch here, (B, B): use its own two only.": lambda q, p, n, r, w: (
            F.mse_loss(q @ (p - n).T, (r - w).expand(len(q), -1))
        ),
        "The products are averaged, not added up: a dot product is a sum.": lambda q, p, n, r, w: F.mse_loss(
            gap(q, p, n) / q.shape[1], r - w
        ),
        "The negatives are detached: they must learn too.": lambda q, p, n, r, w: F.mse_loss(
            gap(q, p, n.detach()), r - w
        ),
        "The teacher's scores are detached: no harm, but they are numbers already; leave `.detach()` out.": (
            lambda q, p, n, r, w: F.mse_loss(gap(q, p, n), (r - w).detach())
        ),
        "The query is detached: it must learn too.": lambda q, p, n, r, w: F.mse_loss(gap(q.detach(), p, n), r - w),
        "A margin beyond the teacher's costs nothing here: it should be met, not passed.": lambda q, p, n, r, w: (
            (r - w - gap(q, p, n)).relu().square().mean()
        ),
        "The teacher's score of the negative is left out: its margin is right less wrong.": lambda q, p, n, r, w: (
            F.mse_loss(gap(q, p, n), r)
        ),
    },
    equivalents=(
        lambda q, p, n, r, w: F.mse_loss((q * (p - n)).sum(dim=1), r - w),
        lambda q, p, n, r, w: (torch.einsum("bd,bd->b", q, p - n) - r + w).pow(2).mean(),
        lambda q, p, n, r, w: sum((q[i] @ p[i] - q[i] @ n[i] - r[i] + w[i]) ** 2 for i in range(len(q))) / len(q),
    ),
    hints=(
        "Four scores a row: two of the student's, two of the teacher's. Take the difference within each pair first.",
        "`(query * positive).sum(dim=1)` is the student's score (B,). Then `(student - (right - wrong)).square().mean()`.",
    ),
)

# %% [markdown]
# ## 4. Which pairs shall be graded?
#
# | | |
# |---|---|
# | Time, difficulty | 10 minutes, medium |
# | Why it matters | drawn blindly, nearly all pairs have nothing in common, and the grader says next to nothing a thousand times |
#
# Cut the cosines of all candidate pairs into bins, from *far* to *near*, and draw so that every bin gets its turn. Write `weights(bins)`: from
# the number of each pair's bin, a whole-number tensor (P,), to the probability of drawing each pair, (P,): every bin *that occurs* is equally
# likely, and within a bin every pair. They add up to 1.


# %% tags=["solution"]
def weights(bins):
    ### BEGIN SOLUTION
    sizes = torch.bincount(bins)  # how many pairs lie in each bin
    return 1 / (sizes[bins] * (sizes > 0).sum())
    ### END SOLUTION


# %% tags=["check"]
Checks("10_after_sbert")(weights)


# %% tags=["cases"]
def bins(generator):
    yield (torch.tensor([0, 0, 0, 1]),)
    yield (torch.tensor([4, 0, 4, 0, 0, 2]),)  # bins 1 and 3 are empty
    yield (torch.tensor([3]),)
    yield (torch.tensor([1, 2, 5]),)
    for count in (12, 40):
        yield ((8 * torch.rand(count, generator=generator) ** 3).long(),)


def sizes(b):
    return torch.bincount(b)[b].float()  # of each pair's own bin


weights = Exercise(
    reference=lambda b: torch.stack([1 / (len(set(b.tolist())) * (b == own).sum()) for own in b]),
    inputs=bins,
    mistakes={
        "Every pair is equally likely: then a full bin is drawn most.": lambda b: torch.full((len(b),), 1 / len(b)),
        "These do not add up to 1: divide by the number of bins that occur.": lambda b: 1 / sizes(b),
        "This favours the full bins: divide by the size, do not multiply.": lambda b: sizes(b) / sizes(b).sum(),
        "Empty bins are counted: only those that occur get a turn.": lambda b: 1 / (sizes(b) * (b.max() + 1)),
        "The bin's number is taken for its weight: count how many pairs are in it.": lambda b: b / b.sum(),
        "This is a softmax: the weights should be 1 over the bin's size, and 1 over the number of bins.": lambda b: (
            1 / sizes(b)
        ).softmax(dim=0),
        "One weight a bin, not one a pair: look each pair's bin up, `x[bins]`.": lambda b: (
            (1 / b.unique(return_counts=True)[1]) / len(b.unique())
        ),
        "The share of each bin, not what a pair in it should get: divide 1 by it.": lambda b: sizes(b) / len(b),
        "One pair of each bin gets all: within a bin every pair is equally likely.": lambda b: torch.tensor(
            [(own not in b[:place]) / len(b.unique()) for place, own in enumerate(b)]
        ),
        "Only neighbours in the list are counted together: a bin's pairs may lie apart (`unique_consecutive`).": (
            lambda b: (lambda _, run, size: 1 / (size[run] * len(size)))(
                *b.unique_consecutive(return_inverse=True, return_counts=True)
            )
        ),
        "Divided by the number of pairs, not of bins.": lambda b: 1 / (sizes(b) * len(b)),
        "The root of the sizes is divided by: a full bin still is drawn more often.": lambda b: (
            sizes(b) ** -0.5 / (sizes(b) ** -0.5).sum()
        ),
    },
    equivalents=(
        lambda b: (1 / sizes(b)) / (1 / sizes(b)).sum(),
        lambda b: 1 / ((b[:, None] == b).sum(dim=1) * len(b.unique())),
        lambda b: F.normalize(1 / sizes(b), p=1, dim=0),
    ),
    hints=(
        "Count the pairs in each bin, `torch.bincount(bins)`, and look up the count of each pair's own bin.",
        "A pair's probability is 1 / (pairs in its bin × bins that occur); `sizes[bins]` is the first, `(sizes > 0).sum()` the second.",
    ),
)

# %% [markdown]
# ## Done?
#
# Four times `[ OK ]`: you have the moving parts of four methods in your hands. Back to the [lesson](../notebooks/10_after_sbert.ipynb), or on
# to the next one.
