# %% [markdown]
# # Exercises: the siamese classification objective
#
# Three functions that together are the objective of Sentence-BERT. Write each one where it says so, then run the check below it. A check looks at
# what your function does, its gradient included, on a handful of inputs, not at how it is written; if something is wrong, it says what.
#
# Stuck? `check.hint("features")` is a nudge, `check.hint("features", 2)` tells nearly all, and the solutions are in
# [`../solutions`](../solutions/03_siamese_classification.ipynb). The lesson is
# [The siamese classification objective](../notebooks/03_siamese_classification.ipynb).

# %%
import torch

from sbert_lab.checks import Checks

check = Checks("03_siamese_classification")

# %% tags=["cases"]
import torch
import torch.nn.functional as F

from sbert_lab import losses
from sbert_lab.exercises import Exercise


def two_columns(generator):
    yield torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 0.5]])
    for rows, width in ((1, 4), (3, 3), (5, 2), (4, 8)):
        yield torch.randn(rows, width, generator=generator), torch.randn(rows, width, generator=generator)


# %% [markdown]
# ## 1. Three vectors end to end
#
# 5 minutes · easy · *The head sees nothing but this: what is left out here, it cannot learn.*
#
# Write `features(u, v)`: from two tensors of shape (B, D), premise and hypothesis, to [u; v; |u−v|], shape (B, 3 · D). Row *i* belongs to pair *i*.


# %% tags=["solution"]
def features(u, v):
    ### BEGIN SOLUTION
    return torch.cat([u, v, (u - v).abs()], dim=1)  # (B, 3 * D)
    ### END SOLUTION


# %% tags=["check"]
Checks("03_siamese_classification")(features)

# %% tags=["cases"]
features = Exercise(
    reference=lambda u, v: torch.cat([u, v, (u - v).abs()], dim=1),
    inputs=two_columns,
    gradient=True,
    mistakes={
        "The third part is u * v, the product: the lesson's is |u - v|.": lambda u, v: torch.cat([u, v, u * v], 1),
        "The third part is u - v without its absolute value: take `.abs()`, a distance has no sign.": lambda u, v: (
            torch.cat([u, v, u - v], 1)
        ),
        "The third part is v - u without its absolute value: take `.abs()`, and the order no longer counts.": lambda u, v: (
            torch.cat([u, v, v - u], 1)
        ),
        "The parts lie below each other, shape (3 · B, D): put them side by side with `dim=1`.": lambda u, v: torch.cat(
            [u, v, (u - v).abs()]
        ),
        "The parts are stacked into a third axis: `torch.cat`, not `torch.stack`, puts them end to end.": lambda u, v: (
            torch.stack([u, v, (u - v).abs()], 1)
        ),
        "v comes before u: the head would take the hypothesis for the premise.": lambda u, v: torch.cat(
            [v, u, (u - v).abs()], 1
        ),
        "The difference comes first: the order is u, v, |u - v|.": lambda u, v: torch.cat([(u - v).abs(), u, v], 1),
        "The difference is squared: the lesson's is its absolute value.": lambda u, v: torch.cat(
            [u, v, (u - v) ** 2], 1
        ),
        "This is |u| - |v|, not |u - v|: subtract first, then take the absolute value.": lambda u, v: torch.cat(
            [u, v, u.abs() - v.abs()], 1
        ),
        "|u - v| alone is given: u and v belong before it.": lambda u, v: (u - v).abs(),
        "There is a fourth part, u * v: the lesson's has three.": lambda u, v: torch.cat(
            [u, v, (u - v).abs(), u * v], 1
        ),
        "The absolute values are taken before subtracting as well: it must be |u - v|, not ||u| - |v||.": lambda u, v: (
            torch.cat([u, v, (u.abs() - v.abs()).abs()], 1)
        ),
        "The vectors are scaled to length 1 first: the head takes them as they are.": lambda u, v: torch.cat(
            [F.normalize(u), F.normalize(v), (F.normalize(u) - F.normalize(v)).abs()], 1
        ),
        "|u - v| is missing: u and v alone cannot be compared by a linear head.": lambda u, v: torch.cat([u, v], 1),
        "The difference is one length a pair: keep it number by number, shape (B, D).": lambda u, v: torch.cat(
            [u, v, (u - v).norm(dim=1, keepdim=True)], 1
        ),
        "The difference is detached: it passes no gradient on, and the encoder never hears of it.": lambda u, v: (
            torch.cat([u, v, (u - v).abs().detach()], 1)
        ),
    },
    equivalents=(
        lambda u, v: torch.hstack([u, v, F.relu(u - v) + F.relu(v - u)]),
        lambda u, v: torch.stack([torch.cat([a, b, abs(a - b)]) for a, b in zip(u, v, strict=True)]),
        lambda u, v: torch.stack([u, v, torch.where(u > v, u - v, v - u)], dim=1).flatten(1),
    ),
    hints=(
        "One call of `torch.cat` with a list of three tensors. Along which axis must a row grow longer?",
        "`torch.cat([u, v, third], dim=1)`, where the third is `(u - v).abs()`.",
    ),
)

# %% [markdown]
# ## 2. From scores to a loss
#
# 15 minutes · medium · *Written straight from the formula it gives NaN as soon as a logit passes 89; every library guards against that.*
#
# Write `cross_entropy(logits, labels)`: from `logits`, shape (B, C), and `labels`, whole numbers from 0 to C − 1, shape (B,), to the mean over
# the rows of −ln softmax(logits)[label], a tensor without axes. Logits may be as large as 1,000 in either direction. Use no ready-made loss.


# %% tags=["solution"]
def cross_entropy(logits, labels):
    ### BEGIN SOLUTION
    logits = logits - logits.max(dim=1, keepdim=True).values  # (B, C): the highest is 0, so exp is at most 1
    total = logits.exp().sum(dim=1).log()  # (B,)
    right = logits[torch.arange(len(labels)), labels]  # (B,)
    return (total - right).mean()
    ### END SOLUTION


# %% tags=["check"]
Checks("03_siamese_classification")(cross_entropy)


# %% tags=["cases"]
def scored(generator):
    yield torch.tensor([[1.0, 0.0, 0.0], [0.5, 2.0, -1.0]]), torch.tensor([0, 2])
    yield torch.tensor([[200.0, 190.0, -300.0], [1000.0, 999.0, 998.0]]), torch.tensor([2, 0])
    yield torch.tensor([[-400.0, -402.0, -401.0]]), torch.tensor([2])
    for rows, classes in ((2, 3), (3, 3), (6, 4), (5, 2)):
        logits = 3 * torch.randn(rows, classes, generator=generator)
        yield logits, torch.randint(classes, (rows,), generator=generator)


def right_scores(logits, labels):
    return logits[torch.arange(len(labels)), labels]


cross_entropy = Exercise(
    reference=F.cross_entropy,
    inputs=scored,
    gradient=True,
    mistakes={
        "This is the sum over the rows: take the mean, or the loss grows with the batch.": lambda o, y: F.cross_entropy(
            o, y, reduction="sum"
        ),
        "`exp` of a large logit is infinite, and the loss NaN: subtract each row's highest logit first.": lambda o, y: (
            -(right_scores(o.exp(), y) / o.exp().sum(1)).log().mean()
        ),
        "The log of the sum of `exp` overflows for large logits: subtract each row's highest logit first.": lambda o, y: (
            (o.exp().sum(1).log() - right_scores(o, y)).mean()
        ),
        "The softmax runs over the rows: the classes of one pair compete with each other, so `dim=1`.": lambda o, y: (
            -right_scores(o.log_softmax(0), y).mean()
        ),
        "The highest logit of the whole batch is subtracted: take each row's own, or the others' `exp` all become 0.": (
            lambda o, y: ((o - o.max()).exp().sum(1).log() - right_scores(o - o.max(), y)).mean()
        ),
        "The highest logit is subtracted in the sum, but not from the right logit: subtract it from both.": lambda o, y: (
            ((o - o.max(1, keepdim=True).values).exp().sum(1).log() - right_scores(o, y)).mean()
        ),
        "A tiny number added before the log hides a share that rounds to 0 and changes the loss: stay with logs.": lambda o, y: (
            -(right_scores(o.softmax(1), y) + 1e-9).log().mean()
        ),
        "This is the mean over all classes: only the right one's -ln counts.": lambda o, y: -o.log_softmax(1).mean(),
        "The log is missing: this is minus the mean share of the right class.": lambda o, y: (
            -right_scores(o.softmax(1), y).mean()
        ),
        "The sign is wrong: a loss is small where the right class is likely.": lambda o, y: -F.cross_entropy(o, y),
        "The softmax is missing: these are the right classes' logits alone.": lambda o, y: -right_scores(o, y).mean(),
        "`softmax` first and `log` afterwards: a share that rounds to 0 gives an infinite loss. Stay with logs.": (
            lambda o, y: -right_scores(o.softmax(1).log(), y).mean()
        ),
        "Softmax is applied twice: the function gets logits and must take it once.": lambda o, y: F.cross_entropy(
            o.softmax(1), y
        ),
        "One loss a row is given: take the mean of them.": lambda o, y: F.cross_entropy(o, y, reduction="none"),
        "This is the loss of class 0 in every row: the labels are not used.": lambda o, y: F.cross_entropy(o, y * 0),
        "This is the share that the right class lacks, 1 - p: the loss is -ln p.": lambda o, y: (
            1 - right_scores(o.softmax(1), y)
        ).mean(),
    },
    equivalents=(
        lambda o, y: (o.logsumexp(dim=1) - right_scores(o, y)).mean(),
        lambda o, y: -o.log_softmax(dim=1).gather(1, y[:, None]).mean(),
        lambda o, y: sum((row - row[label]).logsumexp(0) for row, label in zip(o, y, strict=True)) / len(y),
    ),
    hints=(
        "−ln of a share is ln of the sum of all exp minus the right logit. Subtracting one number from a whole row changes no share.",
        "Subtract `logits.max(dim=1, keepdim=True).values`; then `logits.exp().sum(dim=1).log()` minus "
        "`logits[torch.arange(len(labels)), labels]`, and the mean of that.",
    ),
)

# %% [markdown]
# ## 3. The whole objective
#
# 10 minutes · medium · *Losses that give the right number and the wrong gradient train half an encoder; here the check looks at both.*
#
# Write `siamese_loss(u, v, labels, weight)`: from `u` and `v`, shape (B, D), `labels`, shape (B,), and the head's `weight`, shape (C, 3 · D), to the mean loss
# of softmax(W[u; v; |u−v|]). There is no bias. PyTorch's `torch.nn.functional.cross_entropy` may be used now.


# %% tags=["solution"]
def siamese_loss(u, v, labels, weight):
    ### BEGIN SOLUTION
    joined = torch.cat([u, v, (u - v).abs()], dim=1)  # (B, 3 * D)
    logits = joined @ weight.T  # (B, 3 * D) @ (3 * D, C) -> (B, C)
    return torch.nn.functional.cross_entropy(logits, labels)
    ### END SOLUTION


# %% tags=["check"]
Checks("03_siamese_classification")(siamese_loss)


# %% tags=["cases"]
def objective(u, v, labels, weight, third=lambda u, v: (u - v).abs()):
    return F.cross_entropy(torch.cat([u, v, third(u, v)], 1) @ weight.T, labels)


def packaged(u, v, labels, weight):
    loss = losses.SoftmaxClassification(u.shape[1], len(weight))
    given = {"head.weight": weight, "head.bias": torch.zeros(len(weight))}
    return torch.func.functional_call(loss, given, ([u, v], labels))


def pairs(generator):
    for rows, width, classes in ((1, 2, 3), (4, 4, 3), (3, 3, 3), (5, 1, 2), (9, 6, 9)):
        u, v = (torch.randn(rows, width, generator=generator) for _ in range(2))
        labels = torch.randint(classes, (rows,), generator=generator)
        yield u, v, labels, torch.randn(classes, 3 * width, generator=generator)


siamese_loss = Exercise(
    reference=packaged,
    inputs=pairs,
    gradient=True,
    mistakes={
        "The value is right, but v is detached: the encoder learns from the premise alone.": lambda u, v, y, w: (
            objective(u, v.detach(), y, w)
        ),
        "The value is right, but u is detached: the encoder learns from the hypothesis alone.": lambda u, v, y, w: (
            objective(u.detach(), v, y, w)
        ),
        "The value is right, but W is detached: the head would stay as it was drawn.": lambda u, v, y, w: objective(
            u, v, y, w.detach()
        ),
        "The value is right, but |u - v| is detached: the part that compares passes nothing on.": lambda u, v, y, w: (
            objective(u, v, y, w, lambda u, v: (u - v).abs().detach())
        ),
        "The third part is u * v, the product, not |u - v|.": lambda u, v, y, w: objective(u, v, y, w, torch.mul),
        "The absolute value is missing: u - v adds nothing that u and v do not hold already.": lambda u, v, y, w: (
            objective(u, v, y, w, torch.sub)
        ),
        "The difference comes first: the order is u, v, |u - v|, as W's columns have it.": lambda u, v, y, w: (
            F.cross_entropy(torch.cat([(u - v).abs(), u, v], 1) @ w.T, y)
        ),
        "The difference is squared: the objective takes its absolute value.": lambda u, v, y, w: objective(
            u, v, y, w, lambda u, v: (u - v) ** 2
        ),
        "The columns are exchanged: W's first D numbers of a row belong to u.": lambda u, v, y, w: objective(
            v, u, y, w
        ),
        "Softmax is applied twice: `cross_entropy` takes logits and does it itself.": lambda u, v, y, w: (
            F.cross_entropy((torch.cat([u, v, (u - v).abs()], 1) @ w.T).softmax(1), y)
        ),
        "This is the sum over the pairs: take the mean.": lambda u, v, y, w: len(y) * objective(u, v, y, w),
        "W has a row for each class: multiply by `weight.T`, not by `weight`.": lambda u, v, y, w: F.cross_entropy(
            torch.cat([u, v, (u - v).abs()], 1) @ w, y
        ),
        "The vectors are scaled to length 1 first: the objective takes them as they are.": lambda u, v, y, w: objective(
            F.normalize(u), F.normalize(v), y, w
        ),
    },
    equivalents=(
        objective,
        lambda u, v, y, w: (
            sum(
                (w @ torch.cat([a, b, (a - b).abs()])).logsumexp(0) - w[label] @ torch.cat([a, b, (a - b).abs()])
                for a, b, label in zip(u, v, y, strict=True)
            )
            / len(y)
        ),
        lambda u, v, y, w: (
            -sum(
                torch.einsum("bd,cd->bc", part, piece)
                for part, piece in zip((u, v, (u - v).abs()), w.chunk(3, 1), strict=True)
            )
            .log_softmax(1)
            .gather(1, y[:, None])
            .mean()
        ),
    ),
    hints=(
        "Exercise 1, then a matrix product, then exercise 2. Nothing is detached and nothing is normalised.",
        "`torch.cat([u, v, (u - v).abs()], dim=1) @ weight.T` are the logits, shape (B, C); `cross_entropy(logits, labels)` takes "
        "the softmax, the log and the mean.",
    ),
)

# %% [markdown]
# ## Done?
#
# Three times `[ OK ]`: you have written the objective of Sentence-BERT. Back to the [lesson](../notebooks/03_siamese_classification.ipynb), or on to the next one.
