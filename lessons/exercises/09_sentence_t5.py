# %% [markdown]
# # Exercises: Sentence-T5
#
# What the encoder reads and the decoder writes, what the decoder is fed, its first look at the sentence, and the
# normalisation that T5 has in BERT's place. Write each function where it says so, then run the check below it: it looks at the
# value, in two of them at the gradient too, on a handful of inputs, and if something is wrong it says what. (Your function
# runs in a process of its own, so what it prints there is not seen. Try it in a cell first.)
#
# Stuck? `check.hint("cut_spans")` is a nudge, `check.hint("cut_spans", 2)` tells nearly all, and the solutions are in
# [`../solutions`](../solutions/09_sentence_t5.ipynb). The lesson is [Sentence-T5](../notebooks/09_sentence_t5.ipynb).

# %%
import torch

from sbert_lab.checks import Checks

check = Checks("09_sentence_t5")

# %% tags=["cases"]
import torch
import torch.nn.functional as F

from sbert_lab import pooling
from sbert_lab.exercises import Exercise
from sbert_lab.tokens import Tokens


def texts_with_spans(generator):
    for length, spans in (
        (6, [(2, 4)]),
        (9, [(1, 2), (5, 8)]),
        (5, [(4, 5)]),
        (12, [(1, 3), (4, 5), (9, 12)]),
        (7, [(1, 6)]),
    ):
        yield torch.randint(10, 90, (length,), generator=generator).tolist(), spans, [90, 91, 92, 93], 3


# %% [markdown]
# ## 1. Cut out spans
#
# | | |
# |---|---|
# | Time, difficulty | 15 minutes, medium |
# | Why it matters | this is all that a T5 learns from: a text, a few holes, and what stood in them |
#
# Write `cut_spans(ids, spans, marks, end)`: a list of ids, a list of places `(start, stop)` in order and not touching each other, a list of
# sentinels (more than there are spans), and the id that ends a text. Return two lists: what the encoder reads (the text with the first sentinel in place of the
# first span, the second in place of the second, …, then `end`), and what the decoder writes (each sentinel followed by what stood there, then `end`).
#
# For ids 10 to 15, the span (2, 4) and the sentinels 90, 91: reads 10 11 90 14 15 3, writes 90 12 13 3.


# %% tags=["solution"]
def cut_spans(ids, spans, marks, end):
    ### BEGIN SOLUTION
    read, written, place = [], [], 0
    for (start, stop), mark in zip(spans, marks, strict=False):  # there are more marks than spans
        read += ids[place:start] + [mark]
        written += [mark] + ids[start:stop]
        place = stop
    return read + ids[place:] + [end], written + [end]
    ### END SOLUTION


# %% tags=["check"]
Checks("09_sentence_t5")(cut_spans)


# %% tags=["cases"]
def right_cut(ids, spans, marks, end):
    read, written, place = [], [], 0
    for (start, stop), mark in zip(spans, marks, strict=False):
        read += ids[place:start] + [mark]
        written += [mark] + ids[start:stop]
        place = stop
    return read + ids[place:] + [end], written + [end]


def backwards(ids, spans, marks, end):
    read, written = list(ids), []
    for number in reversed(range(len(spans))):
        start, stop = spans[number]
        written = [marks[number], *ids[start:stop], *written]
        read[start:stop] = [marks[number]]
    return read + [end], written + [end]


def by_token(ids, spans, marks, end):
    read, written = [], []
    for place, token in enumerate(ids):
        span = next((n for n, (start, stop) in enumerate(spans) if start <= place < stop), None)
        if span is None:
            read.append(token)
            continue
        if place == spans[span][0]:
            read.append(marks[span])
            written.append(marks[span])
        written.append(token)
    return read + [end], written + [end]


def shifted(ids, spans, marks, end):
    """Cuts from the shortened list, whose places have moved."""
    read, written = list(ids), []
    for (start, stop), mark in zip(spans, marks, strict=False):
        written += [mark, *ids[start:stop]]
        read[start:stop] = [mark]
    return read + [end], written + [end]


def one_mark_a_token(ids, spans, marks, end):
    read, written, place = [], [], 0
    for (start, stop), mark in zip(spans, marks, strict=False):
        read += ids[place:start] + [mark] * (stop - start)
        written += [mark] + ids[start:stop]
        place = stop
    return read + ids[place:] + [end], written + [end]


def without_last(ids, spans, marks, end):
    read, written, place = [], [], 0
    for (start, stop), mark in zip(spans, marks, strict=False):
        read += ids[place:start] + [mark]
        written += [mark] + ids[start:stop]
        place = stop
    return read + [end], written + [end]


cut_spans = Exercise(
    reference=right_cut,
    inputs=texts_with_spans,
    mistakes={
        "Every span gets the same sentinel: the decoder could not say which hole it fills. Give each its own.": (
            lambda ids, spans, marks, end: right_cut(ids, spans, [marks[0]] * len(spans), end)
        ),
        "The decoder's text lacks the sentinels: each stands before what it hides.": lambda ids, spans, marks, end: (
            right_cut(ids, spans, marks, end)[0],
            [token for start, stop in spans for token in ids[start:stop]] + [end],
        ),
        "The places have moved: after the first span is cut, the later ones stand further to the left. Cut from the "
        "whole text, or from the back.": shifted,
        "A sentinel stands for each token: one for the whole span, so that its length is not given away.": (
            one_mark_a_token
        ),
        "What follows the last span is lost: it stays in what the encoder reads.": without_last,
        "The end is missing from both: without it nothing says that the writing is over.": (
            lambda ids, spans, marks, end: tuple(part[:-1] for part in right_cut(ids, spans, marks, end))
        ),
        "The end is missing from what the decoder writes: it would never learn to stop.": (
            lambda ids, spans, marks, end: (
                right_cut(ids, spans, marks, end)[0],
                right_cut(ids, spans, marks, end)[1][:-1],
            )
        ),
        "The end is missing from what the encoder reads.": lambda ids, spans, marks, end: (
            right_cut(ids, spans, marks, end)[0][:-1],
            right_cut(ids, spans, marks, end)[1],
        ),
        "The two are exchanged: first what the encoder reads, then what the decoder writes.": (
            lambda ids, spans, marks, end: right_cut(ids, spans, marks, end)[::-1]
        ),
    },
    equivalents=(backwards, by_token),
    hints=(
        "Walk through spans and sentinels together, and remember where the last span stopped.",
        "For each: `read += ids[place:start] + [mark]`, `written += [mark] + ids[start:stop]`, `place = stop`; at the end `read` gets "
        "`ids[place:]`, and both get `[end]`.",
    ),
)

# %% [markdown]
# ## 2. What the decoder is fed
#
# | | |
# |---|---|
# | Time, difficulty | 5 minutes, easy |
# | Why it matters | one place too few, and the decoder sees the token it is to write: the loss falls to nothing, and so does the use |
#
# In training the decoder is to write `labels`, and sees at each place what *should* have been written before it: the start token at the first place, the
# first label at the second, and so on. Write `decoder_input(labels, start)`: a tensor of ids (B, M) and an id, to a tensor (B, M). The last label is never fed.


# %% tags=["solution"]
def decoder_input(labels, start):
    ### BEGIN SOLUTION
    first = torch.full_like(labels[:, :1], start)  # (B, 1)
    return torch.cat([first, labels[:, :-1]], dim=1)  # (B, M)
    ### END SOLUTION


# %% tags=["check"]
Checks("09_sentence_t5")(decoder_input)


# %% tags=["cases"]
def labels_and_start(generator):
    for rows, length, start in ((1, 4, 0), (3, 5, 0), (2, 1, 7), (4, 6, 9)):
        yield torch.randint(10, 90, (rows, length), generator=generator), start


def shift(labels, start):
    return torch.cat([torch.full_like(labels[:, :1], start), labels[:, :-1]], dim=1)


def roll(labels, start):
    rolled = labels.roll(1, dims=1)
    rolled[:, 0] = start
    return rolled


def by_copy(labels, start):
    fed = torch.empty_like(labels)
    for row in range(len(labels)):
        fed[row, 0] = start
        for place in range(1, labels.shape[1]):
            fed[row, place] = labels[row, place - 1]
    return fed


decoder_input = Exercise(
    reference=shift,
    inputs=labels_and_start,
    mistakes={
        "These are the labels themselves: at each place the decoder would see what it is to write.": lambda labels, start: (
            labels.clone()
        ),
        "Shifted the wrong way: each place sees the label that comes after it.": lambda labels, start: torch.cat(
            [labels[:, 1:], torch.full_like(labels[:, :1], start)], dim=1
        ),
        "The last label came round to the front: the first place sees the start token.": lambda labels, start: (
            labels.roll(1, dims=1)
        ),
        "One place too many: the last label is never fed.": lambda labels, start: torch.cat(
            [torch.full_like(labels[:, :1], start), labels], dim=1
        ),
        "The first label is overwritten, not moved: shift all of them by one place.": lambda labels, start: torch.cat(
            [torch.full_like(labels[:, :1], start), labels[:, 1:]], dim=1
        ),
        "Moved along the rows (dim=0): each text is shifted by itself, dim=1.": lambda labels, start: torch.cat(
            [torch.full_like(labels[:1], start), labels[:-1]], dim=0
        ),
    },
    equivalents=(
        roll,
        by_copy,
        lambda labels, start: F.pad(labels, (1, 0), value=start)[:, :-1],
    ),
    hints=(
        "A column of start tokens, then all labels but the last.",
        "`torch.cat([torch.full_like(labels[:, :1], start), labels[:, :-1]], dim=1)`.",
    ),
)

# %% [markdown]
# ## 3. The first look
#
# | | |
# |---|---|
# | Time, difficulty | 15 minutes, hard |
# | Why it matters | a decoder's first step is a pooling: this is the part of it that reads the sentence |
#
# Write `first_look(query, keys, values, lengths)`: one query (D,), the keys and values of B padded texts, (B, L, D) each, and the true lengths (B,), to a
# tensor (B, D). For each text: the products of the query with the keys of its *true* tokens, the softmax over them, and the sum of the values so weighted. T5 does not
# divide the products by √D. At padded places keys and values may be anything.


# %% tags=["solution"]
def first_look(query, keys, values, lengths):
    ### BEGIN SOLUTION
    scores = keys @ query  # (B, L, D), (D,) -> (B, L)
    padding = torch.arange(keys.shape[1]) >= lengths[:, None]  # (B, L)
    weights = scores.masked_fill(padding, -torch.inf).softmax(dim=1)  # (B, L)
    return (weights[:, :, None] * values).sum(dim=1)  # (B, D)
    ### END SOLUTION


# %% tags=["check"]
Checks("09_sentence_t5")(first_look)


# %% tags=["cases"]
def looks(generator):
    for lengths, width in (([3, 5], 4), ([1, 4, 2], 6), ([6], 3), ([2, 2, 7, 5], 8)):
        drawn = [torch.randn(len(lengths), max(lengths), width, generator=generator) for _ in range(2)]
        yield torch.randn(width, generator=generator), *drawn, torch.tensor(lengths)


def weighted(query, keys, values, lengths, scale=1.0, fill=-torch.inf):
    padding = torch.arange(keys.shape[1]) >= lengths[:, None]
    weights = (scale * (keys @ query)).masked_fill(padding, fill).softmax(dim=1)
    return (weights[:, :, None] * values).sum(dim=1)


def by_text(query, keys, values, lengths):
    found = []
    for k, v, n in zip(keys, values, lengths.tolist(), strict=True):
        found.append((k[:n] @ query).softmax(dim=0) @ v[:n])
    return torch.stack(found)


def by_package(query, keys, values, lengths):
    mask = torch.arange(keys.shape[1]) < lengths[:, None]
    ids = torch.zeros(int(lengths.sum()), dtype=torch.int64)
    return pooling.attention(values[mask], Tokens(ids, lengths, ids), keys[mask] @ query)


def by_torch(query, keys, values, lengths):
    mask = (torch.arange(keys.shape[1]) < lengths[:, None])[:, None]
    queries = query.expand(len(keys), 1, -1)
    return F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask, scale=1.0).squeeze(1)


def masked_after(query, keys, values, lengths):
    mask = torch.arange(keys.shape[1]) < lengths[:, None]
    return ((keys @ query).softmax(dim=1) * mask)[:, :, None].mul(values).sum(dim=1)


first_look = Exercise(
    reference=weighted,
    inputs=looks,
    gradient=True,
    mistakes={
        "The padding takes part: set its scores to minus infinity before the softmax.": lambda q, k, v, n: (
            (k @ q).softmax(dim=1)[:, :, None].mul(v).sum(dim=1)
        ),
        "The padding is set to 0 after the softmax: then the weights no longer add up to 1. Mask the scores before "
        "it.": masked_after,
        "The padding's scores are set to 0: e^0 is 1, a weight like any other. Minus infinity has none.": (
            lambda q, k, v, n: weighted(q, k, v, n, fill=0.0)
        ),
        "The scores are divided by √D: BERT does that, T5 does not.": lambda q, k, v, n: weighted(
            q, k, v, n, scale=len(q) ** -0.5
        ),
        "The softmax runs over the texts of the batch: it runs over the tokens of each text, dim=1.": lambda q, k, v, n: (
            (k @ q)
            .masked_fill(torch.arange(k.shape[1]) >= n[:, None], -torch.inf)
            .softmax(dim=0)
            .nan_to_num()[:, :, None]
            .mul(v)
            .sum(dim=1)
        ),
        "The keys are summed: they only say how much each token weighs, the values are what is taken.": (
            lambda q, k, v, n: weighted(q, k, k, n)
        ),
        "This is the mean of the values: the query has no say.": lambda q, k, v, n: weighted(
            torch.zeros_like(q), k, v, n
        ),
        "This takes the best token alone: the softmax mixes all of them.": lambda q, k, v, n: v[
            torch.arange(len(v)),
            (k @ q).masked_fill(torch.arange(k.shape[1]) >= n[:, None], -torch.inf).argmax(dim=1),
        ],
    },
    equivalents=(by_text, by_package, by_torch),
    hints=(
        "`keys @ query` has all products, (B, L). What must the scores of padded places be, for their weight to be 0?",
        "`torch.arange(L) >= lengths[:, None]` marks the padding; `masked_fill(padding, -torch.inf).softmax(dim=1)` are the weights; "
        "sum `weights[:, :, None] * values` over dim=1.",
    ),
)

# %% [markdown]
# ## 4. T5's normalisation
#
# | | |
# |---|---|
# | Time, difficulty | 5 minutes, easy |
# | Why it matters | T5 and most language models since normalise like this, BERT otherwise; mixing the two up fails without an error |
#
# BERT's layer norm subtracts the mean of a vector and divides by its standard deviation. T5's takes only the size: divide each vector by the root of the mean of its
# *squares* (plus `epsilon` under the root), then multiply by `weight`. Write `rms_norm(x, weight, epsilon)`: (…, D), (D,), a number, to (…, D).


# %% tags=["solution"]
def rms_norm(x, weight, epsilon):
    ### BEGIN SOLUTION
    mean_square = x.square().mean(dim=-1, keepdim=True)  # (…, 1)
    return weight * x / (mean_square + epsilon).sqrt()
    ### END SOLUTION


# %% tags=["check"]
Checks("09_sentence_t5")(rms_norm)


# %% tags=["cases"]
def hidden_vectors(generator):
    for shape, epsilon in (((2, 3, 4), 1e-6), ((5, 8), 0.5), ((1, 6), 0.1), ((3, 2, 2, 5), 1e-6)):
        weight = 0.5 + torch.rand(shape[-1], generator=generator)
        yield 0.3 + torch.randn(*shape, generator=generator), weight, epsilon


def by_rms(x, weight, epsilon):
    return weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + epsilon)


rms_norm = Exercise(
    reference=lambda x, weight, epsilon: F.rms_norm(x, (x.shape[-1],), weight, epsilon),
    inputs=hidden_vectors,
    gradient=True,
    mistakes={
        "The mean is subtracted: that is BERT's layer norm. T5 leaves it in.": lambda x, w, e: F.layer_norm(
            x, (x.shape[-1],), w, None, e
        ),
        "Divided by the standard deviation, which is measured from the mean: take the mean of the squares.": (
            lambda x, w, e: w * x / (x.var(dim=-1, keepdim=True, correction=0) + e).sqrt()
        ),
        "Divided by the length of the vector: take the mean of the squares, not their sum.": lambda x, w, e: (
            w * x / (x.square().sum(dim=-1, keepdim=True) + e).sqrt()
        ),
        "The root is missing: this divides by the mean square itself.": lambda x, w, e: (
            w * x / (x.square().mean(dim=-1, keepdim=True) + e)
        ),
        "epsilon stands outside the root: add it before the root is taken.": lambda x, w, e: (
            w * x / (x.square().mean(dim=-1, keepdim=True).sqrt() + e)
        ),
        "epsilon is not used: a vector of zeros would become NaN.": lambda x, w, e: (
            w * x / x.square().mean(dim=-1, keepdim=True).sqrt()
        ),
        "The weight is not used: multiply by it at the end.": lambda x, w, e: (
            x / (x.square().mean(dim=-1, keepdim=True) + e).sqrt()
        ),
        "All vectors are normalised together: each has a size of its own, dim=-1.": lambda x, w, e: (
            w * x / (x.square().mean() + e).sqrt()
        ),
    },
    equivalents=(
        by_rms,
        lambda x, w, e: torch.einsum(
            "...d,d->...d",
            x / torch.linalg.vector_norm(x / x.shape[-1] ** 0.5, dim=-1, keepdim=True).pow(2).add(e).sqrt(),
            w,
        ),
    ),
    hints=(
        "`x.square().mean(dim=-1, keepdim=True)` is one number a vector.",
        "`weight * x / (x.square().mean(dim=-1, keepdim=True) + epsilon).sqrt()`.",
    ),
)

# %% [markdown]
# ## Done?
#
# You have written what a T5 learns from, what its decoder is fed, how that decoder's first step reads a sentence, and the normalisation around all of it.
