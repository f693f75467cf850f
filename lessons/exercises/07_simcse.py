# %% [markdown]
# # Exercises: SimCSE
#
# Two measures of a space, the loss cut in two, and two dropout passes of a network. Write each function where it says
# so, then run the check below it: it looks at values *and* gradients where there are any, and if something is wrong it
# says what. (Your function runs in a process of its own, so what it prints there is not seen. Try it in a cell first.)
#
# Stuck? `check.hint("alignment")` is a nudge, `check.hint("alignment", 2)` tells nearly all, and the solutions are in
# [`../solutions`](../solutions/07_simcse.ipynb). The lesson is [SimCSE](../notebooks/07_simcse.ipynb).

# %%
import torch

from sbert_lab.checks import Checks

check = Checks("07_simcse")

# %% tags=["cases"]
import math

import torch
import torch.nn.functional as F

from sbert_lab.exercises import Exercise
from sbert_lab.similarity import cosine, cosine_matrix, euclidean_matrix, unit


def lengthened(generator, *vectors):
    return tuple(v * (0.5 + 2 * torch.rand(len(v), 1, generator=generator)) for v in vectors)


def pairs(generator):
    for rows, width in ((1, 3), (2, 4), (5, 8), (9, 16)):
        first = torch.randn(rows, width, generator=generator)
        yield lengthened(generator, first, first + torch.randn(rows, width, generator=generator))


def clouds(generator):
    for rows, width, shift in ((2, 3, 0.0), (3, 4, 1.0), (6, 8, 0.5), (12, 16, 3.0)):
        yield lengthened(generator, torch.randn(rows, width, generator=generator) + shift)
    cloud = torch.randn(4, 5, generator=generator)
    yield (torch.cat([cloud, 2 * cloud[:1]]),)  # the last has the direction of the first


def views(generator):
    for (first, second), temperature in zip(list(pairs(generator))[1:], (0.5, 0.05, 2.0), strict=True):
        yield first, second, temperature
        yield first, 3 * first, temperature  # one direction twice


# %% [markdown]
# ## 1. Alignment
#
# | | |
# |---|---|
# | Time, difficulty | 5 minutes, easy |
# | Why it matters | one half of how SimCSE's authors explain what their training does |
#
# Write `alignment(u, v)`: from two tensors of shape (N, D), row *i* of both belonging together, to a scalar tensor.
# Bring every vector to length 1; then the mean, over the pairs, of the squared distance. No vector is all zeros.


# %% tags=["solution"]
def alignment(u, v):
    ### BEGIN SOLUTION
    u = u / u.norm(dim=1, keepdim=True)  # (N, D), each of length 1
    v = v / v.norm(dim=1, keepdim=True)
    return (u - v).square().sum(dim=1).mean()  # (N,) -> ()
    ### END SOLUTION


# %% tags=["check"]
Checks("07_simcse")(alignment)

# %% tags=["cases"]
alignment = Exercise(
    reference=lambda u, v: (unit(u) - unit(v)).square().sum(dim=1).mean(),
    inputs=pairs,
    gradient=True,
    mistakes={
        "The vectors keep their lengths: divide each by its norm first.": lambda u, v: (
            (u - v).square().sum(dim=1).mean()
        ),
        "The whole tensor was brought to length 1: every row has a length of its own (dim=1).": lambda u, v: (
            (u / u.norm() - v / v.norm()).square().sum(dim=1).mean()
        ),
        "This is the distance, not its square.": lambda u, v: (unit(u) - unit(v)).norm(dim=1).mean(),
        "This is the square of the mean distance: square each distance, then take the mean.": lambda u, v: (
            (unit(u) - unit(v)).norm(dim=1).mean().square()
        ),
        "The mean runs over the D numbers too: add the squares of a pair up, take the mean over the pairs.": (
            lambda u, v: (unit(u) - unit(v)).square().mean()
        ),
        "This is the sum over the pairs: take the mean.": lambda u, v: (unit(u) - unit(v)).square().sum(),
        "This compares every row with every row: row i belongs with row i.": lambda u, v: (
            2 - 2 * cosine_matrix(u, v)
        ).mean(),
        "This is the mean cosine: of unit vectors, the squared distance is 2 - 2 cos.": lambda u, v: cosine(
            u, v
        ).mean(),
        "This is 1 - cos: of unit vectors, the squared distance is 2 - 2 cos.": lambda u, v: (1 - cosine(u, v)).mean(),
        "Columns were brought to length 1, not rows: the norm runs over dim=1.": lambda u, v: (
            (F.normalize(u, dim=0) - F.normalize(v, dim=0)).square().sum(dim=1).mean()
        ),
        "Only u was brought to length 1: v too.": lambda u, v: (unit(u) - v).square().sum(dim=1).mean(),
        "Only v was brought to length 1: u too.": lambda u, v: (u - unit(v)).square().sum(dim=1).mean(),
        "Rows were divided by their squared length: the root is missing.": lambda u, v: (
            (u / u.square().sum(dim=1, keepdim=True) - v / v.square().sum(dim=1, keepdim=True))
            .square()
            .sum(dim=1)
            .mean()
        ),
        "These are absolute differences: square them.": lambda u, v: (unit(u) - unit(v)).abs().sum(dim=1).mean(),
        "This is the sum of both, not their difference.": lambda u, v: (unit(u) + unit(v)).square().sum(dim=1).mean(),
    },
    equivalents=(
        lambda u, v: (2 - 2 * F.cosine_similarity(u, v)).mean(),
        lambda u, v: torch.stack(
            [(a / a.norm() - b / b.norm()).pow(2).sum() for a, b in zip(u, v, strict=True)]
        ).mean(),
        lambda u, v: 2 - 2 * torch.einsum("bd,bd->b", F.normalize(u), F.normalize(v)).mean(),
    ),
    hints=(
        "First unit length, row by row: `u / u.norm(dim=1, keepdim=True)`. Then one number a pair, then the mean.",
        "`(u - v).square().sum(dim=1).mean()`, once both have rows of length 1.",
    ),
)

# %% [markdown]
# ## 2. Uniformity
#
# | | |
# |---|---|
# | Time, difficulty | 10 minutes, medium |
# | Why it matters | the other half; the pairs that a vector makes with itself spoil it unnoticed |
#
# Write `uniformity(x)`: from a tensor of shape (N, D), N at least 2, to a scalar tensor. Bring every vector to length
# 1; then the logarithm of the mean of $e^{-2 d^2}$ over all pairs of rows *i* and *j*, *i* ≠ *j*; $d$ is their
# distance. Two rows that happen to be equal are a pair like any other.


# %% tags=["solution"]
def uniformity(x):
    ### BEGIN SOLUTION
    x = x / x.norm(dim=1, keepdim=True)  # (N, D)
    squared = 2 - 2 * x @ x.T  # (N, N): d² of unit vectors
    others = ~torch.eye(len(x), dtype=torch.bool)
    return torch.exp(-2 * squared[others]).mean().log()
    ### END SOLUTION


# %% tags=["check"]
Checks("07_simcse")(uniformity)


# %% tags=["cases"]
def between(x):
    return 2 - 2 * cosine_matrix(x, x)[~torch.eye(len(x), dtype=torch.bool)]  # (N * (N - 1),)


def with_oneself(x):
    return torch.exp(-2 * (2 - 2 * cosine_matrix(x, x))).mean().log()


def by_value(x):
    squared = 2 - 2 * cosine_matrix(x, x)
    return torch.exp(-2 * squared[squared > 1e-5]).mean().log()


def with_root(x, diagonal=False):
    x = unit(x)
    if not diagonal:
        roots = [(a - b).square().sum().sqrt() for i, a in enumerate(x) for b in x[:i]]
        return torch.exp(-2 * torch.stack(roots).square()).mean().log()
    roots = (x[:, None] - x).square().sum(dim=-1).sqrt()
    return torch.exp(-2 * roots.square())[~torch.eye(len(x), dtype=torch.bool)].mean().log()


def each_row(x):
    near = torch.exp(-2 * (2 - 2 * cosine_matrix(x, x))).fill_diagonal_(0)
    return (near.sum(dim=1) / (len(x) - 1)).log().mean()


def long_ones(x):
    squared = torch.cdist(x, x).square()[~torch.eye(len(x), dtype=torch.bool)]
    return torch.exp(-2 * squared).mean().log()


def by_loop(x):
    x = [row / row.norm() for row in x]
    found = [torch.exp(-2 * (a - b).square().sum()) for i, a in enumerate(x) for b in x[:i]]
    return torch.stack(found).mean().log()


uniformity = Exercise(
    reference=lambda x: torch.exp(-2 * between(x)).mean().log(),
    inputs=clouds,
    gradient=True,
    mistakes={
        "Each vector's pair with itself is counted: leave the diagonal out.": with_oneself,
        "The vectors keep their lengths: divide each by its norm first.": long_ones,
        "The mean of the logarithms is not the logarithm of the mean: exponential, mean, then logarithm.": lambda x: (
            -2 * between(x)
        ).mean(),
        "This is the sum over the pairs: take the mean before the logarithm.": lambda x: (
            torch.exp(-2 * between(x)).sum().log()
        ),
        "Each pair is counted once, but divided as if it were counted twice.": lambda x: (
            torch.exp(-2 * between(x)).mean().div(2).log()
        ),
        "The logarithm is missing.": lambda x: torch.exp(-2 * between(x)).mean(),
        "The exponent is half of what it should be: -2 d², and d² is 2 - 2 cos.": lambda x: (
            torch.exp(-between(x)).mean().log()
        ),
        "The distance is not squared: e to the power of -2 d².": lambda x: (
            torch.exp(-2 * between(x).clamp(min=0).sqrt()).mean().log()
        ),
        "The sign in the exponent is missing: far apart should count little.": lambda x: (
            torch.exp(2 * between(x)).mean().log()
        ),
        "This is the mean cosine (anisotropy), another measure.": lambda x: (1 - between(x) / 2).mean(),
        "The diagonal is set to 0 but still counted in the mean: divide by N (N - 1).": lambda x: (
            torch.exp(-2 * between(x)).sum().div(len(x) ** 2).log()
        ),
        "Pairs were left out by their distance: two equal rows are a pair too. Leave out the diagonal by its place.": (
            by_value
        ),
        "The value is right, the gradient NaN: a root has none at 0. d² needs no root.": with_root,
        "The value is right, the gradient NaN: the diagonal's roots of 0 have none. d² needs no root.": lambda x: (
            with_root(x, diagonal=True)
        ),
        "There is a logarithm for each row: one alone, of the mean over all pairs.": each_row,
        "The squares are averaged over the D numbers: d² is their sum.": lambda x: (
            torch.exp(-2 * between(x) / x.shape[1]).mean().log()
        ),
        "The cosine stands where d² should: of unit vectors, d² is 2 - 2 cos.": lambda x: (
            torch.exp(-2 * (1 - between(x) / 2)).mean().log()
        ),
        "The whole exponent is squared: only d is.": lambda x: torch.exp(4 * between(x)).mean().log(),
        "The whole tensor was brought to length 1: every row has a length of its own (dim=1).": lambda x: long_ones(
            x / x.norm()
        ),
        "Columns were brought to length 1, not rows: the norm runs over dim=1.": lambda x: long_ones(
            F.normalize(x, dim=0)
        ),
    },
    equivalents=(
        by_loop,
        lambda x: torch.pdist(F.normalize(x)).square().mul(-2).exp().mean().log(),
        lambda x: (-2 * between(x)).logsumexp(dim=0) - math.log(len(x) * (len(x) - 1)),
        lambda x: (
            torch.exp(-2 * euclidean_matrix(unit(x), unit(x))[torch.triu_indices(len(x), len(x), 1).unbind()] ** 2)
            .mean()
            .log()
        ),
    ),
    hints=(
        "Of unit vectors the squared distance is 2 - 2 cos, so one matrix product gives them all. Which entries do "
        "not count?",
        "`squared[~torch.eye(len(x), dtype=torch.bool)]` are the pairs that count; then "
        "`torch.exp(-2 * …).mean().log()`.",
    ),
)

# %% [markdown]
# ## 3. The loss, cut in two
#
# | | |
# |---|---|
# | Time, difficulty | 10 minutes, medium |
# | Why it matters | it shows what is left of the loss when both views are the same |
#
# Write `pull_and_push(first, second, temperature)`: from two views of the same B sentences, tensors of shape (B, D),
# and a number, to a tensor of shape (2,). Number 0, the **pull**: minus the mean of the cosines of first *i* and second
# *i*, divided by the temperature. Number 1, the **push**: the mean over *i* of the logarithm of the sum, over all *j*,
# of $e^{\cos(\text{first}_i, \text{second}_j)/\tau}$. Together they are the in-batch loss.


# %% tags=["solution"]
def pull_and_push(first, second, temperature):
    ### BEGIN SOLUTION
    first = first / first.norm(dim=1, keepdim=True)
    second = second / second.norm(dim=1, keepdim=True)
    scores = first @ second.T / temperature  # (B, B)
    return torch.stack([-scores.diag().mean(), scores.logsumexp(dim=1).mean()])
    ### END SOLUTION


# %% tags=["check"]
Checks("07_simcse")(pull_and_push)


# %% tags=["cases"]
def scores(a, b, t):
    return cosine_matrix(a, b) / t


def parts(table, push):
    return torch.stack([-table.diag().mean(), push])


def others_only(a, b, t):
    table = scores(a, b, t)
    hidden = table.masked_fill(torch.eye(len(a), dtype=torch.bool), -torch.inf)
    return parts(table, hidden.logsumexp(dim=1).mean())


def long_scores(a, b, t):
    return parts(a @ b.T / t, (a @ b.T / t).logsumexp(dim=1).mean())


def through_the_loss(a, b, t):
    table = scores(a, b, t)
    loss = F.cross_entropy(table, torch.arange(len(a)))
    return parts(table, loss + table.diag().mean())


pull_and_push = Exercise(
    reference=lambda a, b, t: parts(scores(a, b, t), scores(a, b, t).logsumexp(dim=1).mean()),
    inputs=views,
    gradient=True,
    mistakes={
        "The own view is missing from the push: the sum runs over all j, also i.": others_only,
        "These are dot products: divide by the lengths, or a long vector wins.": long_scores,
        "The temperature is not used: divide the cosines by it.": lambda a, b, t: parts(
            scores(a, b, 1), scores(a, b, 1).logsumexp(dim=1).mean()
        ),
        "The pull has no minus: the loss falls as own views come nearer.": lambda a, b, t: torch.stack(
            [scores(a, b, t).diag().mean(), scores(a, b, t).logsumexp(dim=1).mean()]
        ),
        "The cosines are multiplied by the temperature: divide.": lambda a, b, t: parts(
            scores(a, b, 1 / t), scores(a, b, 1 / t).logsumexp(dim=1).mean()
        ),
        "The pull is the mean of the whole table: own views stand on its diagonal.": lambda a, b, t: torch.stack(
            [-scores(a, b, t).mean(), scores(a, b, t).logsumexp(dim=1).mean()]
        ),
        "The push takes the mean over the candidates: it is their sum.": lambda a, b, t: parts(
            scores(a, b, t), scores(a, b, t).exp().mean(dim=1).log().mean()
        ),
        "These are two tensors: `torch.stack` makes one of them and keeps the gradient.": lambda a, b, t: tuple(
            parts(scores(a, b, t), scores(a, b, t).logsumexp(dim=1).mean())
        ),
        "Push before pull: number 0 is the pull.": lambda a, b, t: parts(
            scores(a, b, t), scores(a, b, t).logsumexp(dim=1).mean()
        ).flip(0),
        "The pull is not divided by the temperature; the push is.": lambda a, b, t: torch.stack(
            [-cosine(a, b).mean(), scores(a, b, t).logsumexp(dim=1).mean()]
        ),
        "The push compares first with first: its candidates are the second views.": lambda a, b, t: parts(
            scores(a, b, t), scores(a, a, t).logsumexp(dim=1).mean()
        ),
        "The softmax runs over the first views (dim=0): each first chooses among the seconds.": lambda a, b, t: parts(
            scores(a, b, t), scores(a, b, t).logsumexp(dim=0).mean()
        ),
        "The push is one logarithm over the whole table: one for each row, then their mean.": lambda a, b, t: parts(
            scores(a, b, t), scores(a, b, t).flatten().logsumexp(dim=0)
        ),
        "These are sums over the batch: take means.": lambda a, b, t: (
            parts(scores(a, b, t), scores(a, b, t).logsumexp(dim=1).mean()) * len(a)
        ),
        "The second views are detached: both must learn.": lambda a, b, t: parts(
            scores(a, b.detach(), t), scores(a, b.detach(), t).logsumexp(dim=1).mean()
        ),
        "The logarithm of the push is missing.": lambda a, b, t: parts(
            scores(a, b, t), scores(a, b, t).exp().sum(dim=1).mean()
        ),
        "Number 1 is the whole loss: the push is the logarithm of the sum alone.": lambda a, b, t: parts(
            scores(a, b, t), F.cross_entropy(scores(a, b, t), torch.arange(len(a)))
        ),
        "The push is the mean of the logarithms, not the logarithm of the mean.": lambda a, b, t: parts(
            scores(a, b, t), scores(a, b, t).exp().sum(dim=1).mean().log()
        ),
        "In the push, each cosine is divided by the temperature; here the logarithm is.": lambda a, b, t: parts(
            scores(a, b, t), scores(a, b, 1).logsumexp(dim=1).mean() / t
        ),
        "The push is not divided by the temperature; the pull is.": lambda a, b, t: parts(
            scores(a, b, t), scores(a, b, 1).logsumexp(dim=1).mean()
        ),
        "The push has a minus: only the pull has one.": lambda a, b, t: parts(
            scores(a, b, t), -scores(a, b, t).logsumexp(dim=1).mean()
        ),
        "The exponential of the push is missing.": lambda a, b, t: parts(
            scores(a, b, t), scores(a, b, t).sum(dim=1).mean()
        ),
        "Only second was brought to length 1: first too.": lambda a, b, t: parts(
            a @ unit(b).T / t, (a @ unit(b).T / t).logsumexp(dim=1).mean()
        ),
        "Only first was brought to length 1: second too.": lambda a, b, t: parts(
            unit(a) @ b.T / t, (unit(a) @ b.T / t).logsumexp(dim=1).mean()
        ),
    },
    equivalents=(
        through_the_loss,
        lambda a, b, t: torch.stack(
            [-F.cosine_similarity(a, b).mean() / t, scores(a, b, t).exp().sum(dim=1).log().mean()]
        ),
        lambda a, b, t: torch.stack(
            [
                -sum(F.normalize(a)[i] @ F.normalize(b)[i] for i in range(len(a))) / (t * len(a)),
                sum(row.logsumexp(dim=0) for row in scores(a, b, t)) / len(a),
            ]
        ),
    ),
    hints=(
        "One table of all cosines divided by the temperature serves both: its diagonal the pull, its rows the push.",
        "`torch.stack([-scores.diag().mean(), scores.logsumexp(dim=1).mean()])`.",
    ),
)

# %% [markdown]
# ## 4. Two passes
#
# | | |
# |---|---|
# | Time, difficulty | 10 minutes, medium |
# | Why it matters | without training mode there is no dropout, and who leaves it on measures noise ever after |
#
# Write `two_passes(network, x, seed)`: from a `torch.nn.Module` with dropout, its input, a tensor of shape (B, D), and
# a whole number, to a tensor of shape (2, B, D): what two passes of the *whole* batch through the network in training
# mode give. Call `torch.manual_seed(seed)` once, before the first pass. Afterwards the network is in the mode it had,
# training or not; all its layers have the same one. Gradients must flow to `x`.


# %% tags=["solution"]
def two_passes(network, x, seed):
    ### BEGIN SOLUTION
    before = network.training
    network.train()
    torch.manual_seed(seed)
    passes = torch.stack([network(x), network(x)])  # (2, B, D)
    network.train(before)
    return passes
    ### END SOLUTION


# %% tags=["check"]
Checks("07_simcse")(two_passes)


# %% tags=["cases"]
class ModeError(Exception):
    """The network was left in another mode than it had."""


class Network(torch.nn.Sequential):
    """Two layers and dropout; when the judge compares it with the original, it says so if its mode has changed."""

    def __init__(self, generator, width, p, training):
        super().__init__(torch.nn.Linear(width, width), torch.nn.Dropout(p), torch.nn.Tanh(), torch.nn.Dropout(p))
        self[0].weight.data = torch.randn(width, width, generator=generator)
        self[0].bias.data = torch.randn(width, generator=generator)
        self.train(training)

    def __repr__(self):
        return f"a network with dropout (training={self.training})"

    def __eq__(self, other):
        if [layer.training for layer in self.modules()] != [layer.training for layer in other.modules()]:
            raise ModeError("afterwards the network is in another mode than before")
        pairs = zip(self.parameters(), other.parameters(), strict=True)
        return all(torch.equal(a, b) and a.requires_grad == b.requires_grad for a, b in pairs)

    __hash__ = torch.nn.Module.__hash__


def networks(generator):
    for seed, (rows, width, p, training) in enumerate(
        ((4, 8, 0.5, False), (4, 8, 0.5, True), (16, 8, 0.1, False), (3, 16, 0.3, True))
    ):
        yield Network(generator, width, p, training), torch.randn(rows, width, generator=generator), seed


def passes(network, x, seed, mode=True, again=False, after=None):
    before = network.training
    network.train(mode)
    torch.manual_seed(seed)
    first = network(x)
    if again:
        torch.manual_seed(seed)
    found = torch.stack([first, network(x)])
    network.train(before if after is None else after)
    return found


def at_once(network, x, seed):
    before = network.training
    network.train()
    torch.manual_seed(seed)
    found = network(torch.cat([x, x])).view(2, *x.shape)
    network.train(before)
    return found


def one_by_one(network, x, seed):
    before = network.training
    network.train()
    torch.manual_seed(seed)
    found = torch.stack([torch.stack([network(row) for row in x]) for _ in range(2)])
    network.train(before)
    return found


def mode_given(network, x, seed):
    torch.manual_seed(seed)
    return torch.stack([network(x), network(x)])


two_passes = Exercise(
    reference=passes,
    inputs=networks,
    gradient=True,
    mistakes={
        "The network is in evaluation mode: dropout is off, and both passes are the same.": lambda n, x, s: passes(
            n, x, s, mode=False
        ),
        "The network stays in the mode it has: call network.train() first, or dropout may be off.": mode_given,
        "Both passes are the same: call the network twice, and seed once, before the first.": lambda n, x, s: passes(
            n, x, s, again=True
        ),
        "Each pass has a seed of its own: seed once, before the first.": lambda n, x, s: torch.stack(
            [passes(n, x, s)[0], passes(n, x, s + 1)[0]]
        ),
        "Afterwards the network is always in evaluation mode: give it back the mode it had.": lambda n, x, s: passes(
            n, x, s, after=False
        ),
        "Afterwards the network is always in training mode: give it back the mode it had.": lambda n, x, s: passes(
            n, x, s, after=True
        ),
        "No gradient flows: leave out detach and no_grad.": lambda n, x, s: passes(n, x, s).detach(),
        "The second pass came before the first: number 0 is the first after the seed.": lambda n, x, s: passes(
            n, x, s
        ).flip(0),
        "The two passes stand one below the other, shape (2B, D): stack them to (2, B, D).": lambda n, x, s: passes(
            n, x, s
        ).flatten(0, 1),
        "This is the mean of the two passes: keep both.": lambda n, x, s: passes(n, x, s).mean(dim=0),
        "One pass over the batch twice draws other dropout: here, two passes over the whole batch.": at_once,
        "The rows went through the network one by one: give it the whole batch.": one_by_one,
        "The second pass is detached: both must learn.": lambda n, x, s: torch.stack(
            [passes(n, x, s)[0], passes(n, x, s)[1].detach()]
        ),
        "The two passes stand side by side, shape (B, 2, D): stack them to (2, B, D).": lambda n, x, s: passes(
            n, x, s
        ).transpose(0, 1),
        "These are two tensors: `torch.stack` makes one of them.": lambda n, x, s: tuple(passes(n, x, s)),
    },
    equivalents=(
        lambda n, x, s: passes(n, x, s) * 1.0,
        lambda n, x, s: torch.cat([one[None] for one in passes(n, x, s)]),
        lambda n, x, s: passes(n, x, s, after=n.training),
    ),
    hints=(
        "`network.training` is the mode it has, `network.train(mode)` sets it. Remember it before you call "
        "`network.train()`.",
        "`torch.manual_seed(seed)`, then `torch.stack([network(x), network(x)])`, then `network.train(before)`.",
    ),
)

# %% [markdown]
# ## Done?
#
# Four times `[ OK ]`: you can make two vectors of one sentence and say what training does to the space. Back to the
# [lesson](../notebooks/07_simcse.ipynb), or on to the next one.
