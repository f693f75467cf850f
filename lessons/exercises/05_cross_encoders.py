# %% [markdown]
# # Exercises: cross-encoders and the cost of a pair
#
# Three functions: what a collection costs, a reranker, and the padding of a sorted collection. The check below each says what is wrong, if
# something is; `check.hint("cost")` is a nudge, `check.hint("cost", 2)` tells nearly all.
#
# The lesson is [Cross-encoders and the cost of a pair](../notebooks/05_cross_encoders.ipynb), the solutions are in
# [`../solutions`](../solutions/05_cross_encoders.ipynb).

# %%
import torch

from sbert_lab.checks import Checks

check = Checks("05_cross_encoders")

# %% tags=["cases"]
import math
from itertools import combinations

import torch

from sbert_lab.exercises import Exercise


def bills(generator):
    yield 3, 1.0, 1.0
    yield 1, 2.0, 0.5
    yield 2, 3.0, 0.25
    yield 10_000, 0.0047, 0.0005
    yield 5, 0.00123, 0.00037
    for n in torch.randint(3, 300, (4,), generator=generator).tolist():
        yield n, *(torch.rand(2, generator=generator) + 0.1).tolist()


# %% [markdown]
# ## 1. Before you start: the bill
#
# *5 minutes, easy. It decides whether a job is possible at all, and it takes one line.*
#
# Write `cost(sentences, pair_seconds, sentence_seconds)`: how long a cross-encoder needs to score every pair of that many sentences once, and how long a bi-encoder needs to encode
# them. The number of sentences is whole, the other two are seconds for one; the result is a tuple of two plain numbers, in seconds. A sentence is not paired with
# itself, and (a, b) is the same pair as (b, a). (Comparing vectors is so cheap that we leave it out.)


# %% tags=["solution"]
def cost(sentences, pair_seconds, sentence_seconds):
    ### BEGIN SOLUTION
    pairs = sentences * (sentences - 1) // 2
    return pairs * pair_seconds, sentences * sentence_seconds
    ### END SOLUTION


# %% tags=["check"]
Checks("05_cross_encoders")(cost)

# %% tags=["cases"]
cost = Exercise(
    reference=lambda n, pair, one: (math.comb(n, 2) * pair, n * one),
    inputs=bills,
    mistakes={
        "This pairs every sentence with every sentence, N²: with itself too, and twice with each other.": lambda n, p, o: (
            n * n * p,
            n * o,
        ),
        "N² / 2 is close but not right: a sentence is not paired with itself, so each meets N - 1 others.": lambda n, p, o: (
            n * n / 2 * p,
            n * o,
        ),
        "N // 2 drops the half of an odd N: multiply first, N (N - 1) is always even.": lambda n, p, o: (
            n // 2 * (n - 1) * p,
            n * o,
        ),
        "N (N + 1) / 2 pairs each sentence with itself as well: it is N (N - 1) / 2.": lambda n, p, o: (
            n * (n + 1) / 2 * p,
            n * o,
        ),
        "Every pair is counted in both directions: (a, b) and (b, a) are one pair, so halve it.": lambda n, p, o: (
            n * (n - 1) * p,
            n * o,
        ),
        "These are neighbours only, N - 1 pairs: each sentence meets every other.": lambda n, p, o: (
            (n - 1) * p,
            n * o,
        ),
        "The bi-encoder is charged by the pair too: it encodes each sentence once.": lambda n, p, o: (
            math.comb(n, 2) * p,
            math.comb(n, 2) * o,
        ),
        "The bi-encoder encodes both sentences of each pair again: a vector is made once and kept.": lambda n, p, o: (
            math.comb(n, 2) * p,
            n * (n - 1) * o,
        ),
        "The two are exchanged: first the cross-encoder, then the bi-encoder.": lambda n, p, o: (
            n * o,
            math.comb(n, 2) * p,
        ),
        "These are hours: the question is for seconds.": lambda n, p, o: (math.comb(n, 2) * p / 3600, n * o / 3600),
        "These are whole seconds: a small collection would cost nothing. Do not round.": lambda n, p, o: (
            int(math.comb(n, 2) * p),
            int(n * o),
        ),
        "These are rounded: a small collection would cost nothing. Give the numbers as they come out.": lambda n, p, o: (
            round(math.comb(n, 2) * p, 2),
            round(n * o, 2),
        ),
        "The comparing of the vectors is charged as well: the exercise leaves it out.": lambda n, p, o: (
            math.comb(n, 2) * p,
            n * o + math.comb(n, 2) * o,
        ),
        "This is the cross-encoder's time alone: the result is a tuple of two numbers.": lambda n, p, o: (
            math.comb(n, 2) * p
        ),
    },
    equivalents=(
        lambda n, p, o: (sum(range(n)) * p, n * o),
        lambda n, p, o: ((n**2 - n) / 2 * p, o * n),
        lambda n, p, o: (len(torch.triu_indices(n, n, 1)[0]) * p if n > 1 else 0.0, n * o),
        lambda n, p, o: (
            sum(1 for _ in combinations(range(min(n, 400)), 2)) * p if n < 400 else (n - 1) * n * p / 2,
            n * o,
        ),
    ),
    hints=(
        "Each sentence meets all the others; then every pair has been counted twice.",
        "`sentences * (sentences - 1) / 2` pairs, and `sentences` encodings; each times its own seconds.",
    ),
)


# %% tags=["cases"]
def rankings(generator):
    yield [4, 2, 7, 1], torch.tensor([0.2, 0.9, 0.5, 0.99]), 3
    yield [0, 3, 1, 2], torch.tensor([-2.0, 1.5, -0.3, 4.0]), 2
    yield [5, 6], torch.tensor([0.1, 0.2]), 10
    yield [3, 0, 2, 1], torch.tensor([0.911, 0.914, 0.913, 0.7]), 3
    for count, k in ((8, 5), (12, 1), (20, 10), (6, 6)):
        order = torch.randperm(count, generator=generator).tolist()
        yield order, torch.randn(count, generator=generator), k


def best_of_all(order, scores, k):
    best = scores.argsort(descending=True)[:k].tolist()
    return [order[i] for i in best] + [name for i, name in enumerate(order) if i not in best]


# %% [markdown]
# ## 2. Rerank
#
# *10 minutes, middling. The heart of most search engines that people use today; the mistakes here are silent.*
#
# A retriever gives `order`, a list of N candidates (their numbers), best first. A cross-encoder has scores for them: `scores`, a tensor of shape (N,); `scores[i]` belongs to `order[i]`, and more is better.
# Write `rerank(order, scores, k)`: the list of all N candidates, the first `k` of `order` sorted by score, the best first, and behind them the rest as the retriever had it. If there are fewer than `k`
# candidates, sort them all. No two scores are equal.


# %% tags=["solution"]
def rerank(order, scores, k):
    ### BEGIN SOLUTION
    places = scores[:k].argsort(descending=True).tolist()  # (min(k, N),)
    return [order[place] for place in places] + order[k:]
    ### END SOLUTION


# %% tags=["check"]
Checks("05_cross_encoders")(rerank)

# %% tags=["cases"]
rerank = Exercise(
    reference=lambda order, scores, k: [order[i] for i in scores[:k].argsort(descending=True).tolist()] + order[k:],
    inputs=rankings,
    mistakes={
        "All the candidates are sorted: only the first k may move.": lambda o, s, k: [
            o[i] for i in s.argsort(descending=True).tolist()
        ],
        "The worst of the k comes first: more is better, so sort downwards.": lambda o, s, k: (
            [o[i] for i in s[:k].argsort().tolist()] + o[k:]
        ),
        "The rest is dropped: behind the k come the others, as the retriever had them.": lambda o, s, k: [
            o[i] for i in s[:k].argsort(descending=True).tolist()
        ],
        "These are places in the list, not candidates: look each place up in `order`.": lambda o, s, k: (
            s[:k].argsort(descending=True).tolist() + list(range(len(o)))[k:]
        ),
        "The scores are looked up by the candidate's number: `scores[i]` belongs to `order[i]`, not to candidate i.": (
            lambda o, s, k: sorted(o[:k], key=lambda name: -s[name].item()) + o[k:]
        ),
        "The k best scores of all are moved up: only the first k of the retriever are to be sorted.": best_of_all,
        "The rest comes before the k: it belongs behind them.": lambda o, s, k: (
            o[k:] + [o[i] for i in s[:k].argsort(descending=True).tolist()]
        ),
        "The rest is sorted as well, behind the k: it stays as the retriever had it.": lambda o, s, k: (
            [o[i] for i in s[:k].argsort(descending=True).tolist()]
            + [o[k:][i] for i in s[k:].argsort(descending=True).tolist()]
        ),
        "This is the retriever's own order: nothing was reranked.": lambda o, s, k: list(o),
        "The scores are rounded before they are compared: those that lie close fall together.": lambda o, s, k: (
            [o[i] for i in sorted(range(len(o[:k])), key=lambda i: -round(s[i].item(), 1))] + o[k:]
        ),
        "These are ranks, not places: one `argsort` is enough, a second turns it round.": lambda o, s, k: (
            [o[i] for i in s[:k].argsort(descending=True).argsort().tolist()] + o[k:]
        ),
        "One candidate too many is sorted: the first k are `order[:k]`, of place 0 to k - 1.": lambda o, s, k: (
            [o[i] for i in s[: k + 1].argsort(descending=True).tolist()] + o[k + 1 :]
        ),
        "These are scores, not candidates: the list is to hold the numbers of `order`.": lambda o, s, k: (
            s[:k].sort(descending=True).values.tolist() + o[k:]
        ),
        "The front of `order` is sorted by number: sort it by the scores.": lambda o, s, k: sorted(o[:k]) + o[k:],
    },
    equivalents=(
        lambda o, s, k: [name for _, name in sorted(zip(s[:k].tolist(), o[:k], strict=True), reverse=True)] + o[k:],
        lambda o, s, k: [o[i] for i in sorted(range(len(o)), key=lambda i: (0, -s[i].item()) if i < k else (1, i))],
        lambda o, s, k: [o[i] for i in s[:k].topk(min(k, len(o))).indices.tolist()] + o[k:],
    ),
    hints=(
        "Cut in two at k: sort the front, leave the back, join them.",
        "`scores[:k].argsort(descending=True)` gives places in the front; `order[place]` the candidates; then `+ order[k:]`.",
    ),
)


# %% tags=["cases"]
def lengths(generator):
    yield torch.tensor([3, 90, 4, 80, 5]), 2
    yield torch.tensor([7]), 4
    yield torch.tensor([6, 6, 6, 6]), 2
    for count, size in ((10, 4), (33, 8), (7, 1), (5, 16)):
        yield torch.randint(3, 120, (count,), generator=generator), size


def places(batches):
    return sum(int(batch.max()) * len(batch) for batch in batches)


def downwards(x):
    return x.sort(descending=True).values


# %% [markdown]
# ## 3. What sorting saves
#
# *10 minutes, middling. In a padded batch every text takes as many places as the longest; this is what you pay for.*
#
# Write `padded_places(lengths, size)`: from `lengths`, a tensor (N,) of whole numbers, the tokens of each text, and `size`, the number of texts in a batch, to the number of places that all batches have
# together, padding included, if the texts are first sorted by length, **the longest first**. The last batch may be smaller. The result is a plain whole number. Then try it on lengths
# that are not sorted, and compare.


# %% tags=["solution"]
def padded_places(lengths, size):
    ### BEGIN SOLUTION
    batches = lengths.sort(descending=True).values.split(size)
    return sum(int(batch.max()) * len(batch) for batch in batches)
    ### END SOLUTION


# %% tags=["check"]
Checks("05_cross_encoders")(padded_places)

# %% tags=["cases"]
padded_places = Exercise(
    reference=lambda x, size: places(downwards(x).split(size)),
    inputs=lengths,
    mistakes={
        "The texts are not sorted: in this order a short one meets a long one and is padded.": lambda x, size: places(
            x.split(size)
        ),
        "The shortest come first: the longest should, which also leaves the smaller batch to short texts.": lambda x, size: (
            places(downwards(x).flip(0).split(size))
        ),
        "These are the tokens alone: in a batch every text takes as many places as the longest.": lambda x, size: int(
            x.sum()
        ),
        "Everything is padded to the longest text of all: each batch has a longest of its own.": lambda x, size: (
            int(x.max()) * len(x)
        ),
        "The last batch is taken for a full one: it has only the texts that are left.": lambda x, size: sum(
            int(batch.max()) * size for batch in downwards(x).split(size)
        ),
        "The last, smaller batch is left out.": lambda x, size: places(
            batch for batch in downwards(x).split(size) if len(batch) == size
        ),
        "This is the padding alone: the tokens take places too.": lambda x, size: (
            places(downwards(x).split(size)) - int(x.sum())
        ),
        "This is the width of each batch, added up: times the number of its texts.": lambda x, size: sum(
            int(batch.max()) for batch in downwards(x).split(size)
        ),
        "`chunk(size)` makes `size` batches: `split(size)` makes batches of `size` texts.": lambda x, size: places(
            downwards(x).chunk(size)
        ),
        "These are the places of the texts after sorting, not their lengths: take `.values`.": lambda x, size: places(
            x.sort(descending=True).indices.split(size)
        ),
        "Every length counts once: texts of equal length are texts too.": lambda x, size: places(
            x.unique().flip(0).split(size)
        ),
        "The places of each batch are not added up: the result is one number.": lambda x, size: [
            int(batch.max()) * len(batch) for batch in downwards(x).split(size)
        ],
        "Each batch is as wide as its shortest text: the longer ones would be cut.": lambda x, size: sum(
            int(batch.min()) * len(batch) for batch in downwards(x).split(size)
        ),
    },
    equivalents=(
        lambda x, size: sum(
            sorted(x.tolist(), reverse=True)[start] * min(size, len(x) - start) for start in range(0, len(x), size)
        ),
        lambda x, size: sum(sorted(x.tolist(), reverse=True)[i // size * size] for i in range(len(x))),
        lambda x, size: sum(
            torch.nn.utils.rnn.pad_sequence([torch.zeros(n) for n in batch.tolist()], batch_first=True).numel()
            for batch in downwards(x).split(size)
        ),
    ),
    hints=(
        "Sort, cut into batches, and ask of each: how wide is it, and how many texts has it?",
        "`lengths.sort(descending=True).values.split(size)` are the batches; a batch has `int(batch.max()) * len(batch)` places.",
    ),
)

# %% [markdown]
# ## Done?
#
# Three times `[ OK ]`: you can say what a job will cost before you start it, and what to do when it costs too much. Back to the
# [lesson](../notebooks/05_cross_encoders.ipynb), or on to the next one.
