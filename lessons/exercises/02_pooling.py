# %% [markdown]
# # Exercises: pooling
#
# Three poolings on the rectangle that most libraries hand you: vectors `hidden` of shape (B, L, D), and a `mask` of shape (B, L)
# that is `True` on tokens and `False` on padding. The padding is *not* zero (nor was it in the lesson); it may stand on the
# right or on the left, and every text has at least one token. Your result and its gradient are both checked: what is pooled must be trainable.
#
# Stuck? `check.hint("masked_mean")` is a nudge, `check.hint("masked_mean", 2)` tells nearly all, and the solutions are in
# [`../solutions`](../solutions/02_pooling.ipynb). The lesson is [Pooling](../notebooks/02_pooling.ipynb).

# %%
import torch

from sbert_lab.checks import Checks

check = Checks("02_pooling")

# %% tags=["cases"]
import torch
import torch.nn.functional as F

from sbert_lab import pooling
from sbert_lab.exercises import Exercise
from sbert_lab.tokens import Tokens


def ragged(mask):
    lengths = mask.sum(dim=1)
    return Tokens(torch.zeros(int(lengths.sum()), dtype=torch.int64), lengths, None)


def rectangles(generator):
    yield (
        torch.tensor([[[1.0, -2.0], [3.0, -4.0]], [[-5.0, -1.0], [9.0, 9.0]]]),
        torch.tensor([[True, True], [True, False]]),
    )
    for texts, longest, width, left in ((1, 1, 3, False), (3, 5, 4, False), (4, 6, 2, True), (5, 9, 8, False)):
        lengths = torch.randint(1, longest + 1, (texts, 1), generator=generator)
        lengths[0] = max(1, longest - 1)  # no text fills the rectangle: whoever padded may have padded further
        mask = torch.arange(longest) < lengths
        hidden = torch.randn(texts, longest, width, generator=generator) - 1.5
        hidden[~mask] += 4
        yield hidden.flip(1) if left else hidden, mask.flip(1) if left else mask


def far_below(generator):
    yield from rectangles(generator)
    hidden, mask = list(rectangles(generator))[2]
    yield hidden - 2000, mask  # and the padding too: no fill of -10 or -1000 is low enough


def column(mask):
    return mask.unsqueeze(2).float()


def first_places(h, m):
    return torch.stack([vectors[: int(kept.sum())].mean(dim=0) for vectors, kept in zip(h, m, strict=True)])


# %% [markdown]
# ## 1. The mean without the padding
#
# | | |
# |---|---|
# | Time | 10 minutes |
# | Difficulty | easy |
# | Why it matters | a wrong mean raises no error; this check knows eleven of them by name |
#
# Write `masked_mean(hidden, mask)`: the mean of each text's token vectors, padding left out; from `hidden` (B, L, D) and `mask` (B, L)
# to (B, D).


# %% tags=["solution"]
def masked_mean(hidden, mask):
    ### BEGIN SOLUTION
    kept = mask.unsqueeze(2).float()  # (B, L, 1)
    return (hidden * kept).sum(dim=1) / kept.sum(dim=1)  # (B, D) / (B, 1)
    ### END SOLUTION


# %% tags=["check"]
check(masked_mean)

# %% tags=["cases"]
masked_mean = Exercise(
    reference=lambda hidden, mask: pooling.mean(hidden[mask], ragged(mask)),
    inputs=rectangles,
    gradient=True,
    mistakes={
        "This is the mean over the whole rectangle: the padding is averaged in, and it is not zero.": lambda h, m: (
            h.mean(dim=1)
        ),
        "This is the maximum, not the mean.": lambda h, m: h.masked_fill(~m[..., None], -torch.inf).amax(dim=1),
        "This is the sum: divide it by the number of tokens of each text.": lambda h, m: (h * column(m)).sum(dim=1),
        "The sum is right, but it is divided by L, padding included: a short text's vector shrinks.": lambda h, m: (
            h * column(m)
        ).mean(dim=1),
        "The sum is divided by the tokens of the whole batch: give each text its own number, `mask.sum(dim=1)`.": (
            lambda h, m: (h * column(m)).sum(dim=1) / m.sum()
        ),
        "The sum runs over the wrong axis: the tokens lie along `dim=1`, `dim=2` is the numbers of one vector.": (
            lambda h, m: (h * column(m)).sum(dim=2) / m.sum(dim=1, keepdim=True)
        ),
        "The mask is inside out: this averages the padding.": lambda h, m: (
            (h * (1 - column(m))).sum(dim=1) / (1 - column(m)).sum(dim=1)
        ),
        "This divides by the square root of the length: that is mean_sqrt_len.": lambda h, m: (
            (h * column(m)).sum(dim=1) / column(m).sum(dim=1).sqrt()
        ),
        "The mean is brought to length 1: that is another step, which nobody asked for here.": lambda h, m: F.normalize(
            (h * column(m)).sum(dim=1) / column(m).sum(dim=1)
        ),
        "The first place of the rectangle alone is [CLS] pooling (or, with padding on the left, padding).": (
            lambda h, m: h[:, 0]
        ),
        "The number of tokens is right, not which: padding may stand on the left. Let the mask choose.": first_places,
    },
    equivalents=(
        lambda h, m: torch.stack([vectors[kept].mean(dim=0) for vectors, kept in zip(h, m, strict=True)]),
        lambda h, m: torch.einsum("bld,bl->bd", h, m.float() / m.sum(dim=1, keepdim=True)),
        lambda h, m: h.masked_fill(~m[:, :, None], 0).sum(dim=1) / m.sum(dim=1)[:, None],
    ),
    hints=(
        "Make the padding count nothing in the sum, and count the tokens of each text for the divisor.",
        "`mask.unsqueeze(2)` has the shape (B, L, 1) and multiplies every number of a vector; "
        "`mask.sum(dim=1, keepdim=True)` is the number of tokens, (B, 1).",
    ),
)

# %% [markdown]
# ## 2. The maximum without the padding
#
# | | |
# |---|---|
# | Time | 10 minutes |
# | Difficulty | easy, with a trap |
# | Why it matters | multiplying by the mask, right for the mean, is wrong here: a zero beats every negative number |
#
# Write `masked_max(hidden, mask)`: the largest value of each of the D numbers over each text's tokens, padding left out; from `hidden`
# (B, L, D) and `mask` (B, L) to (B, D).


# %% tags=["solution"]
def masked_max(hidden, mask):
    ### BEGIN SOLUTION
    return hidden.masked_fill(~mask.unsqueeze(2), -torch.inf).amax(dim=1)  # (B, D)
    ### END SOLUTION


# %% tags=["check"]
check(masked_max)


# %% tags=["cases"]
def strongest(h, m):
    place = h.masked_fill(~m[..., None], -torch.inf).sum(dim=2).argmax(dim=1)  # (B,)
    return h[torch.arange(len(h)), place]


masked_max = Exercise(
    reference=lambda hidden, mask: pooling.max(hidden[mask], ragged(mask)),
    inputs=far_below,
    gradient=True,
    mistakes={
        "The padding is set to 0, and 0 beats every negative number: set it to minus infinity.": lambda h, m: (
            h * column(m)
        ).amax(dim=1),
        "The padding is not left out at all.": lambda h, m: h.amax(dim=1),
        "This is the mean.": lambda h, m: (h * column(m)).sum(dim=1) / column(m).sum(dim=1),
        "This is the largest size without sign: -5 is not larger than 1.": lambda h, m: (h.abs() * column(m)).amax(
            dim=1
        ),
        "This is the smallest value.": lambda h, m: h.masked_fill(~m[..., None], torch.inf).amin(dim=1),
        "This is one token's whole vector: each number has its own largest token.": strongest,
        "-1 is not low enough: a token's number may be smaller. Fill with minus infinity.": lambda h, m: h.masked_fill(
            ~m[..., None], -1
        ).amax(dim=1),
        "-100 is low enough for some models, not for all. Fill with minus infinity.": lambda h, m: h.masked_fill(
            ~m[..., None], -100
        ).amax(dim=1),
        "This runs over the numbers of each vector, `dim=2`: the tokens lie along `dim=1`.": lambda h, m: h.masked_fill(
            ~m[..., None], -torch.inf
        ).amax(dim=2),
        "These are the places of the largest values, not the values: `max(dim=1)` gives both.": lambda h, m: (
            h.masked_fill(~m[..., None], -torch.inf).argmax(dim=1)
        ),
        "`max(dim=1)` gives the values and their places: return the values alone, `.values`, or use `amax`.": (
            lambda h, m: h.detach().masked_fill(~m[..., None], -torch.inf).max(dim=1)
        ),
        "`max(dim=1)` gives values and places: take `.values`. And do not set the padding to 0, which beats every "
        "negative number.": lambda h, m: (h.detach() * column(m)).max(dim=1),
    },
    equivalents=(
        lambda h, m: torch.stack([vectors[kept].amax(dim=0) for vectors, kept in zip(h, m, strict=True)]),
        lambda h, m: torch.where(m[:, :, None], h, torch.tensor(-1e9)).max(dim=1).values,
    ),
    hints=(
        "What number can never win a maximum?",
        "`hidden.masked_fill(~mask.unsqueeze(2), -torch.inf)` works on a copy; then `amax(dim=1)`.",
    ),
)

# %% [markdown]
# ## 3. Attention-weighted pooling
#
# | | |
# |---|---|
# | Time | 15 minutes |
# | Difficulty | medium |
# | Why it matters | softmax and a mask meet in every attention there is, and the order in which they meet decides |
#
# Write `attention_pooling(hidden, scores, mask)`: the weighted mean of each text's token vectors, the weights being the softmax of
# its tokens' `scores` (B, L); padding has no weight, and the weights of a text add up to 1. To (B, D). Scores may be as
# high as 300 in one text and as low as −300 in the next.


# %% tags=["solution"]
def attention_pooling(hidden, scores, mask):
    ### BEGIN SOLUTION
    weights = scores.masked_fill(~mask, -torch.inf).softmax(dim=1)  # (B, L)
    return (weights.unsqueeze(2) * hidden).sum(dim=1)  # (B, D)
    ### END SOLUTION


# %% tags=["check"]
check(attention_pooling)


# %% tags=["cases"]
def scored(generator):
    for number, (hidden, mask) in enumerate(rectangles(generator)):
        scores = torch.randn(mask.shape, generator=generator) * 2
        if number == 2:
            scores += torch.tensor([[300.0], [0.0], [-300.0]])
        yield hidden, scores, mask


def weighted(weights, h):
    return (weights[..., None] * h).sum(dim=1)


def plain_exponentials(h, s, m):
    weights = s.exp() * m
    return weighted(weights, h) / weights.sum(dim=1, keepdim=True)


def highest_of_all(h, s, m):
    return plain_exponentials(h, s - s.max(), m)


attention_pooling = Exercise(
    reference=lambda hidden, scores, mask: pooling.attention(hidden[mask], ragged(mask), scores[mask]),
    inputs=scored,
    gradient=True,
    mistakes={
        "The softmax runs over the padding too, which gets a share of the weight.": lambda h, s, m: weighted(
            s.softmax(dim=1), h
        ),
        "The padding is masked after the softmax: what is left of the weights no longer adds up to 1.": lambda h, s, m: (
            weighted(s.softmax(dim=1) * m, h)
        ),
        "There is no softmax: the scores themselves are no weights, they may be negative and add up to anything.": (
            lambda h, s, m: weighted(s * m, h)
        ),
        "The softmax runs over the texts, `dim=0`: each text's own weights must add up to 1, so `dim=1`.": lambda h, s, m: (
            weighted(s.masked_fill(~m, -torch.inf).softmax(dim=0), h)
        ),
        "A sigmoid gives each token a weight of its own: nothing makes them add up to 1.": lambda h, s, m: weighted(
            s.sigmoid() * m, h
        ),
        "The padding's score is set to 0, and e to the power 0 is 1: set it to minus infinity.": lambda h, s, m: (
            weighted(s.masked_fill(~m, 0).softmax(dim=1), h)
        ),
        "The scores are not used: this is the plain mean.": lambda h, s, m: weighted(m / m.sum(dim=1, keepdim=True), h),
        "This takes the best token alone: a hard choice, through which no score can learn.": lambda h, s, m: h[
            torch.arange(len(h)), s.masked_fill(~m, -torch.inf).argmax(dim=1)
        ],
        "`exp` of a large score is infinite: take each text's highest off first, or let `softmax` do it.": (
            plain_exponentials
        ),
        "The highest score of the batch is taken off: of a text far below it nothing is left. Take each text's own.": (
            highest_of_all
        ),
    },
    equivalents=(
        lambda h, s, m: torch.einsum("bl,bld->bd", s.masked_fill(~m, -torch.inf).softmax(dim=1), h),
        lambda h, s, m: torch.stack(
            [t[k].softmax(dim=0) @ v[k] for v, t, k in zip(h, s, m, strict=True)]  # (l,) @ (l, D)
        ),
        lambda h, s, m: (s.masked_fill(~m, -1e9).softmax(dim=1)[:, None] @ h)[:, 0],
    ),
    hints=(
        "First the mask, then the softmax. Which score gives a weight of exactly 0?",
        "`scores.masked_fill(~mask, -torch.inf).softmax(dim=1)` are the weights, (B, L); with `unsqueeze(2)` they multiply "
        "the vectors, and `sum(dim=1)` adds them up.",
    ),
)

# %% [markdown]
# ## Done?
#
# Three times `[ OK ]`: you can now read any library's pooling and say what it does with padding. Back to the [lesson](../notebooks/02_pooling.ipynb).
