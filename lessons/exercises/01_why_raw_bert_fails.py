# %% [markdown]
# # Exercises: why raw BERT fails
#
# The measure of the lesson, the shape of a space, and its repair: three functions that look easy and are easily got wrong.
#
# Stuck? `check.hint("spearman")` is a nudge, `check.hint("spearman", 2)` tells nearly all, and the solutions are in
# [`../solutions`](../solutions/01_why_raw_bert_fails.ipynb). The lesson is [Why raw BERT fails](../notebooks/01_why_raw_bert_fails.ipynb).

# %%
import torch

from sbert_lab.checks import Checks

check = Checks("01_why_raw_bert_fails")

# %% tags=["cases"]
import torch
import torch.nn.functional as F
from scipy.stats import kendalltau, rankdata, spearmanr

from sbert_lab import metrics
from sbert_lab.exercises import Exercise

# %% [markdown]
# ## 1. Spearman's correlation, with ties
#
# *15 minutes, medium. Every score of the course is this number, and grades are full of ties.*
#
# Write `spearman(cosines, grades)`: from two tensors of shape (N,) to a plain number from −1 to 1. Turn each list into ranks, the lowest value having
# rank 1. Values that are equal share the **mean** of the ranks they take together: 0.2, 0.5, 0.5, 0.9 have the ranks 1, 2.5, 2.5, 4. Then take
# the Pearson correlation of the ranks: subtract the means, and it is a cosine. Write it yourself, from torch's basic operations. Neither list is constant.


# %% tags=["solution"]
def spearman(cosines, grades):
    ### BEGIN SOLUTION
    def ranks(x):
        below = (x[None] < x[:, None]).sum(dim=1)  # (N,), how many are lower
        equal = (x[None] == x[:, None]).sum(dim=1)  # (N,), itself among them
        return below + (equal + 1) / 2  # (N,), the mean of the ranks below + 1 to below + equal

    a, b = ranks(cosines.double()), ranks(grades.double())
    a, b = a - a.mean(), b - b.mean()
    return float(a @ b / (a.norm() * b.norm()))
    ### END SOLUTION


# %% tags=["check"]
Checks("01_why_raw_bert_fails")(spearman)


# %% tags=["cases"]
def graded(generator):
    yield torch.tensor([0.2, 0.5, 0.5, 0.9]), torch.tensor([0.0, 1.0, 2.0, 5.0])
    yield torch.tensor([0.91, 0.95, 0.90, 0.99, 0.30]), torch.tensor([3.0, 3.0, 1.0, 3.0, 0.0])
    yield torch.tensor([0.9, 0.7, 0.7, 0.4, 0.5]), torch.tensor([0.0, 1.0, 2.0, 5.0, 2.0])  # a negative one
    for count in (3, 8, 16):  # up to 16 `argsort` keeps ties in their order, `stable=True` or not
        grades = torch.randint(0, 6, (count,), generator=generator).float()
        grades[0] = 6.0  # so that they are never constant
        noise = torch.randn(count, generator=generator)
        yield ((grades + noise) / 10).exp().round(decimals=2), grades


def pearson(x, y):
    x, y = torch.as_tensor(x).double(), torch.as_tensor(y).double()
    return float(F.cosine_similarity(x - x.mean(), y - y.mean(), dim=0))


def tied(x, method="average"):
    return torch.as_tensor(rankdata(x.numpy(), method=method))


spearman = Exercise(
    reference=lambda x, y: metrics.spearman(x.numpy(), y.numpy()),
    inputs=graded,
    mistakes={
        "This is Pearson's correlation of the values: turn both lists into ranks first.": pearson,
        "Equal values must share the mean of their ranks: `argsort` of `argsort` gives them different ones, by chance.": (
            lambda x, y: pearson(x.argsort(stable=True).argsort(), y.argsort(stable=True).argsort())
        ),
        "`argsort` once says which value comes first, second, …; the ranks are its `argsort` once more.": (
            lambda x, y: pearson(x.argsort(stable=True), y.argsort(stable=True))
        ),
        "Equal values share a rank, but it is the lowest of theirs: take the mean.": lambda x, y: pearson(
            tied(x, "min"), tied(y, "min")
        ),
        "Equal values share a rank, but it is the highest of theirs: take the mean.": lambda x, y: pearson(
            tied(x, "max"), tied(y, "max")
        ),
        "The sign is lost: a list that falls as the other rises has a negative correlation.": lambda x, y: abs(
            pearson(tied(x), tied(y))
        ),
        "Equal values share a rank, but the next value goes on without a gap: 1, 2, 2, 3 should be 1, 2.5, 2.5, 4.": (
            lambda x, y: pearson(tied(x, "dense"), tied(y, "dense"))
        ),
        "1 - 6 Σd² / (n (n² - 1)) holds only without ties: take the correlation of the ranks.": lambda x, y: float(
            1 - 6 * (tied(x) - tied(y)).square().sum() / (len(x) * (len(x) ** 2 - 1))
        ),
        "Only one of the lists is turned into ranks: do it with both.": lambda x, y: pearson(x, tied(y)),
        "The means are not subtracted: this is the cosine of the ranks, which is never negative.": lambda x, y: float(
            F.cosine_similarity(tied(x), tied(y), dim=0)
        ),
        "The sign is wrong: one of the lists is ranked downwards.": lambda x, y: pearson(-tied(x), tied(y)),
        "This is Kendall's tau: it counts pairs in the right order.": lambda x, y: float(
            kendalltau(x.numpy(), y.numpy()).statistic
        ),
        "This is the covariance of the ranks: divide by both of their lengths.": lambda x, y: float(
            ((tied(x) - tied(x).mean()) * (tied(y) - tied(y).mean())).mean()
        ),
    },
    equivalents=(
        lambda x, y: float(spearmanr(x.numpy(), y.numpy()).statistic),
        lambda x, y: pearson(tied(x), tied(y)),
        lambda x, y: pearson(*([sum((b < a) + (b == a) / 2 for b in z) for a in z] for z in (x.tolist(), y.tolist()))),
    ),
    hints=(
        "The rank of a value is the number of lower ones plus a share of those equal to it.",
        "`(x[None] < x[:, None]).sum(dim=1)` counts the lower ones; add half of the equal ones plus one half. "
        "Then subtract the means and take the cosine.",
    ),
)

# %% [markdown]
# ## 2. How narrow is a space?
#
# *10 minutes, easy. One number tells a cone from an even space, if it is computed over the right pairs.*
#
# Write `anisotropy(vectors)`: from a tensor of shape (N, D), N at least 2, to a plain number: the mean cosine of all pairs of *different* rows. No row is all zeros.


# %% tags=["solution"]
def anisotropy(vectors):
    ### BEGIN SOLUTION
    unit = vectors / vectors.norm(dim=1, keepdim=True)  # (N, D)
    table = unit @ unit.T  # (N, N), ones on the diagonal
    count = len(vectors)
    return float((table.sum() - count) / (count * (count - 1)))
    ### END SOLUTION


# %% tags=["check"]
Checks("01_why_raw_bert_fails")(anisotropy)


# %% tags=["cases"]
def spaces(generator):
    yield (torch.tensor([[8.0, 2, 3, 2], [8, 3, 2, -2], [8, -2, -2, 3]]),)
    yield (torch.tensor([[1.0, 0.0], [-2.0, 0.0]]),)
    for count, width, shift in ((2, 3, 0.0), (5, 4, 2.0), (12, 3, -0.5), (30, 16, 1.0)):
        drawn = torch.randn(count, width, generator=generator) + shift
        yield (drawn * (0.5 + 2 * torch.rand(count, 1, generator=generator)),)


def cosine_table(x):
    return F.normalize(x) @ F.normalize(x).T


def without_diagonal(table):
    return float((table.sum() - table.trace()) / (len(table) * (len(table) - 1)))


anisotropy = Exercise(
    reference=lambda x: metrics.anisotropy(x.numpy()),
    inputs=spaces,
    mistakes={
        "The diagonal is in the mean: each vector with itself, N ones that say nothing.": lambda x: float(
            cosine_table(x).mean()
        ),
        "The ones of the diagonal are taken out of the sum, but N * N is still the divisor: N * (N - 1) pairs are left.": (
            lambda x: float((cosine_table(x).sum() - len(x)) / len(x) ** 2)
        ),
        "These are dot products: divide by both lengths.": lambda x: without_diagonal(x @ x.T),
        "The lengths are taken along the wrong axis: `dim=0` runs over the vectors, not along each.": lambda x: (
            without_diagonal(F.normalize(x, dim=0) @ F.normalize(x, dim=0).T)
        ),
        "Neighbouring rows only: all pairs count.": lambda x: float(F.cosine_similarity(x[1:], x[:-1]).mean()),
        "The sign is lost: opposite directions count -1, not 1.": lambda x: without_diagonal(cosine_table(x).abs()),
        "This is the cosine with the mean vector: compare the rows with each other.": lambda x: float(
            F.cosine_similarity(x, x.mean(0, keepdim=True)).mean()
        ),
        "The mean was subtracted first: that is the space after centring.": lambda x: without_diagonal(
            cosine_table(x - x.mean(0))
        ),
        "The upper triangle is divided by the number of all ordered pairs: each pair is in it once, not twice.": (
            lambda x: float(cosine_table(x).triu(1).sum() / (len(x) * (len(x) - 1)))
        ),
        "The upper triangle is cut out, but its zeros are in the mean: divide by the number of pairs, N * (N - 1) / 2.": (
            lambda x: float(cosine_table(x).triu(1).mean())
        ),
        "These are the pairs with the first row only: all pairs count.": lambda x: float(
            F.cosine_similarity(x[:1], x[1:]).mean()
        ),
        "This is the mean of 1 - cosine, a distance: it is small for a narrow space.": lambda x: (
            1 - without_diagonal(cosine_table(x))
        ),
    },
    equivalents=(
        lambda x: without_diagonal(torch.einsum("id,jd->ij", F.normalize(x), F.normalize(x))),
        lambda x: float((F.normalize(x).sum(0).square().sum() - len(x)) / (len(x) * (len(x) - 1))),
        lambda x: float(
            torch.stack([F.cosine_similarity(x[i], x[j], dim=0) for i in range(len(x)) for j in range(i)]).mean()
        ),
    ),
    hints=(
        "Make every row one unit long, take all products at once, and leave out those of a row with itself.",
        "`table = unit @ unit.T` holds N * N cosines, N of them 1. Subtract these from `table.sum()`, divide by what is left.",
    ),
)

# %% [markdown]
# ## 3. Whitening, fitted where it may be
#
# *20 minutes, hard. The repair of the lesson. It has more ways to go wrong than lines.*
#
# Write `whitened_cosines(known, vectors)`: `known`, shape (N, D), are training vectors; `vectors`, shape (M, D), are those to repair. Subtract
# the mean of `known`, turn to the axes of its covariance, divide each axis by its standard deviation. Give back the cosines of all repaired vectors with
# each other, shape (M, M). N is well above D and no direction is empty. (`torch.cov` wants the D numbers as rows: give it `known.T`.) You return cosines because they do not care if an axis comes out mirrored.


# %% tags=["solution"]
def whitened_cosines(known, vectors):
    ### BEGIN SOLUTION
    variance, axes = torch.linalg.eigh(torch.cov(known.T))  # (D,), (D, D): the axes are its columns
    moved = (vectors - known.mean(dim=0)) @ axes / variance.sqrt()  # (M, D)
    unit = moved / moved.norm(dim=1, keepdim=True)
    return unit @ unit.T  # (M, M)
    ### END SOLUTION


# %% tags=["check"]
Checks("01_why_raw_bert_fails")(whitened_cosines)


# %% tags=["cases"]
def clouds(generator):
    for count, asked, width in ((12, 2, 2), (30, 6, 3), (60, 9, 5), (40, 25, 4)):
        stretch = torch.diag(torch.linspace(0.4, 2.0, width)) + 0.5 * torch.randn(width, width, generator=generator)
        known, vectors = (torch.randn(n, width, generator=generator) @ stretch + 2 for n in (count, asked))
        yield known, vectors + 0.5


def axes_of(x):
    variance, axes = torch.linalg.eigh(torch.cov(x.T))
    return variance.clamp(min=1e-9), axes


def white(known, x, power=-0.5):
    variance, axes = axes_of(known)
    return cosine_table((x - known.mean(0)) @ axes * variance**power)


def by_inverse(known, x):
    centred = x - known.mean(0)
    products = centred @ torch.linalg.inv(torch.cov(known.T)) @ centred.T  # (M, M)
    return products / (products.diag()[:, None] * products.diag()).sqrt()


whitened_cosines = Exercise(
    reference=by_inverse,
    inputs=clouds,
    mistakes={
        "The square root is missing: a standard deviation is the root of a variance.": lambda k, x: white(k, x, -1),
        "This multiplies by the standard deviations: the wide directions become wider still.": lambda k, x: white(
            k, x, 0.5
        ),
        "This only centres: the axes still have their different widths.": lambda k, x: white(k, x, 0),
        "Centre and axes are fitted on the vectors to repair, the test set: fit them on `known`.": lambda k, x: white(
            x, x
        ),
        "Mean and axes are fitted on both sets together: the test set must have no say. Fit them on `known` alone.": (
            lambda k, x: white(torch.cat([k, x]), x)
        ),
        "The centre comes from `known`, but the axes from the test set: fit both on `known`.": lambda k, x: (
            cosine_table((x - k.mean(0)) @ axes_of(x)[1] / axes_of(x)[0].sqrt())
        ),
        "The vectors are made one unit long before the whitening: do that last.": lambda k, x: white(
            F.normalize(k), F.normalize(x)
        ),
        "The axes come from `known`, but the centre from the test set.": lambda k, x: cosine_table(
            (x - x.mean(0)) @ axes_of(k)[1] / axes_of(k)[0].sqrt()
        ),
        "The mean is not subtracted: the common part is still in.": lambda k, x: cosine_table(
            x @ axes_of(k)[1] / axes_of(k)[0].sqrt()
        ),
        "The axes are the columns of the matrix: this multiplies by its transpose.": lambda k, x: cosine_table(
            (x - k.mean(0)) @ axes_of(k)[1].T / axes_of(k)[0].sqrt()
        ),
        "Each number is divided by its own standard deviation, without turning to the axes: what goes together still does.": (
            lambda k, x: cosine_table((x - k.mean(0)) / k.std(0))
        ),
        "The vectors are whitened, but these are dot products: divide by both lengths.": lambda k, x: (
            (x - k.mean(0)) @ torch.linalg.inv(torch.cov(k.T)) @ (x - k.mean(0)).T
        ),
        "The matrix was made without subtracting the mean: it is no covariance.": lambda k, x: cosine_table(
            (x - k.mean(0)) @ torch.linalg.cholesky(torch.linalg.inv(k.T @ k / len(k)))
        ),
    },
    equivalents=(
        lambda k, x: cosine_table((x - k.mean(0)) @ torch.linalg.cholesky(torch.linalg.inv(torch.cov(k.T)))),
        lambda k, x: white(k, x) * 1.0,
        lambda k, x: cosine_table(
            (x - k.mean(0))
            @ torch.linalg.svd(k - k.mean(0), full_matrices=False).Vh.T
            / torch.linalg.svdvals(k - k.mean(0))
        ),
    ),
    hints=(
        "Everything that is fitted (the mean, the axes, their spread) comes from `known`; `vectors` are only moved by it.",
        "`variance, axes = torch.linalg.eigh(torch.cov(known.T))`, then `(vectors - known.mean(dim=0)) @ axes / variance.sqrt()`. "
        "Last, the cosines.",
    ),
)

# %% [markdown]
# ## Done?
#
# You now own the measure, the diagnosis and the repair. Back to the [lesson](../notebooks/01_why_raw_bert_fails.ipynb).
