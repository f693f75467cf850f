# %% [markdown]
# # Exercises: training for search
#
# The prefix, the consistency filter, learning from a teacher's list, and the queue. Write each function where it says
# so, then run the check below it; if something is wrong it says what. (Your function runs in a process of its own, so
# what it prints there is not seen. Try it in a cell first.)
#
# Stuck? `check.hint("consistent")` is a nudge, `check.hint("consistent", 2)` tells nearly all, and the solutions are
# in [`../solutions`](../solutions/08_e5_and_contriever.ipynb). The lesson is [E5 and
# Contriever](../notebooks/08_e5_and_contriever.ipynb).

# %%
import torch

from sbert_lab.checks import Checks

check = Checks("08_e5_and_contriever")

# %% tags=["cases"]
import torch
import torch.nn.functional as F

from sbert_lab.exercises import Exercise

# %% [markdown]
# ## 1. The prefix, once
#
# | | |
# |---|---|
# | Time, difficulty | 5 minutes, easy |
# | Why it matters | forgotten or doubled prefixes raise no error; search merely gets worse |
#
# Write `prefixed(texts, prefix)`: from a list of texts and a prefix such as `"query: "` to a list in which each text
# stands behind the prefix. A text that begins with exactly this prefix already stays as it is. Change nothing else of
# the texts.


# %% tags=["solution"]
def prefixed(texts, prefix):
    ### BEGIN SOLUTION
    return [text if text.startswith(prefix) else prefix + text for text in texts]
    ### END SOLUTION


# %% tags=["check"]
Checks("08_e5_and_contriever")(prefixed)


# %% tags=["cases"]
def texts(generator):
    yield ["why is the soup bland", "query: why is the soup bland", "Rings of Saturn"], "query: "
    yield ["passage: Slugs eat lettuce.", " query: with a blank before it", "query:without one behind it"], "query: "
    yield ["Query: in capitals", "what is a query: a question", "a passage: a way through", ""], "query: "
    yield ["query: query: it stands there twice", "query:", "a log of\nquery: lines"], "query: "
    yield ["passage: Slugs eat lettuce.", "query: slugs", "\tTabs and  two blanks "], "passage: "
    yield [], "query: "


def without_repeats(given, prefix):
    return [prefix + text for text in given if not text.startswith(prefix)]


prefixed = Exercise(
    reference=lambda given, prefix: [prefix + text.removeprefix(prefix) for text in given],
    inputs=texts,
    mistakes={
        "A text that begins with the prefix gets it twice: look with `startswith` first.": lambda given, prefix: [
            prefix + text for text in given
        ],
        "The prefix stands behind the text: it belongs in front.": lambda given, prefix: [
            text if text.startswith(prefix) else text + prefix for text in given
        ],
        "The prefix is looked for anywhere in the text: only at the beginning does it count.": lambda given, prefix: [
            text if prefix in text else prefix + text for text in given
        ],
        "Texts that have the prefix already are left out: they stay, as they are.": without_repeats,
        "Upper and lower case are treated alike: only exactly this prefix counts.": lambda given, prefix: [
            text if text.lower().startswith(prefix) else prefix + text for text in given
        ],
        "Blanks of the text are cut off: change nothing else of it.": lambda given, prefix: [
            text if text.startswith(prefix) else prefix + text.strip() for text in given
        ],
        "Another blank stands behind the prefix: it brings its own.": lambda given, prefix: [
            text if text.startswith(prefix) else f"{prefix} {text}" for text in given
        ],
        "The blank of the prefix is lost: the model has seen `query: `, with it.": lambda given, prefix: [
            text if text.startswith(prefix) else prefix.strip() + text for text in given
        ],
        "A prefix without its blank counts as one here: only exactly this prefix does.": lambda given, prefix: [
            text if text.startswith(prefix.strip()) else prefix + text for text in given
        ],
        "Any text with a colon counts as prefixed here: only this prefix does.": lambda given, prefix: [
            text if ": " in text else prefix + text for text in given
        ],
        "A prefix that stands there twice is cut to one: a text that begins with it stays as it is.": (
            lambda given, prefix: [prefix + text.removeprefix(prefix).removeprefix(prefix) for text in given]
        ),
    },
    equivalents=(
        lambda given, prefix: [("" if text[: len(prefix)] == prefix else prefix) + text for text in given],
        lambda given, prefix: [prefix * (not text.startswith(prefix)) + text for text in given],
    ),
    hints=(
        "A list comprehension with a condition in front: which texts stay as they are?",
        "`text if text.startswith(prefix) else prefix + text`, for each text.",
    ),
)

# %% [markdown]
# ## 2. The consistency filter
#
# | | |
# |---|---|
# | Time, difficulty | 10 minutes, medium |
# | Why it matters | it is how E5 came from 1.3 billion noisy pairs to 270 million |
#
# Write `consistent(scores, own, k)`: `scores` of shape (Q, N) holds each query's score with each passage, `own`, whole
# numbers of shape (Q,), the number of the passage it was paired with. A pair is kept if *fewer than* `k` passages
# score strictly higher than its own. Return the numbers of the kept pairs, a whole-number tensor in ascending order.
# `k` is at least 1.


# %% tags=["solution"]
def consistent(scores, own, k):
    ### BEGIN SOLUTION
    mine = scores[torch.arange(len(own)), own]  # (Q,), each pair's own score
    better = (scores > mine[:, None]).sum(dim=1)  # (Q,), how many passages beat it
    return (better < k).nonzero()[:, 0]
    ### END SOLUTION


# %% tags=["check"]
Checks("08_e5_and_contriever")(consistent)


# %% tags=["cases"]
def pools(generator):
    yield torch.tensor([[0.9, 0.2, 0.1], [0.8, 0.3, 0.5], [0.1, 0.2, 0.3]]), torch.tensor([0, 1, 1]), 1
    yield torch.tensor([[0.9, 0.2, 0.1], [0.8, 0.3, 0.5], [0.1, 0.2, 0.3]]), torch.tensor([0, 1, 1]), 2
    yield torch.tensor([[0.5, 0.5, 0.5, 0.1], [0.7, 0.7, 0.2, 0.9]]), torch.tensor([2, 1]), 2  # equal scores
    yield torch.tensor([[0.1, 0.9], [0.8, 0.2]]), torch.tensor([0, 1]), 1  # nothing is kept
    yield torch.full((3, 3), 0.5), torch.tensor([0, 1, 2]), 1  # nothing beats anything: all are kept
    for queries, passages, k in ((6, 6, 2), (12, 5, 1), (8, 20, 5), (5, 4, 9)):
        own = torch.randint(0, passages, (queries,), generator=generator)
        yield torch.randn(queries, passages, generator=generator), own, k


def better(s, own):
    return (s > s[torch.arange(len(own)), own][:, None]).sum(dim=1)


def by_loop(s, own, k):
    kept = []
    for number, row in enumerate(s):
        if sum(score > row[own[number]] for score in row) < k:
            kept.append(number)
    return torch.tensor(kept, dtype=torch.int64)


def per_passage(s, own, k):
    rivals = (s[:, own] > s[torch.arange(len(own)), own]).sum(dim=0)
    return (rivals < k).nonzero()[:, 0]


consistent = Exercise(
    reference=lambda s, own, k: (better(s, own) < k).nonzero()[:, 0],
    inputs=pools,
    mistakes={
        "One too many: with k = 1 nothing may be better (`<`, not `<=`).": lambda s, own, k: (
            better(s, own) <= k
        ).nonzero()[:, 0],
        "One too few: with k = 1 a pair that nothing beats is kept.": lambda s, own, k: (
            better(s, own) < k - 1
        ).nonzero()[:, 0],
        "These are the pairs to throw away: keep the others.": lambda s, own, k: (better(s, own) >= k).nonzero()[:, 0],
        "A mask of True and False: return the numbers of the kept pairs (`nonzero`).": lambda s, own, k: (
            better(s, own) < k
        ),
        "The shape is (kept, 1), as `nonzero` gives it: take its column 0.": lambda s, own, k: (
            better(s, own) < k
        ).nonzero(),
        "The passage counts as its own rival (`>=`): only strictly higher scores count.": lambda s, own, k: (
            (s >= s[torch.arange(len(own)), own][:, None]).sum(dim=1) < k
        ).nonzero()[:, 0],
        "This takes the passage with the lowest score for the best: higher is better.": lambda s, own, k: (
            better(-s, own) < k
        ).nonzero()[:, 0],
        "The passages rank the queries here: each query ranks all passages, dim=1.": per_passage,
        "These are the numbers of the passages: return those of the pairs.": lambda s, own, k: own[better(s, own) < k],
        "This checks the first passage of each query: its own stands in `own`.": lambda s, own, k: (
            better(s, own * 0) < k
        ).nonzero()[:, 0],
        "These are how many are better, for each pair: now compare with k.": lambda s, own, k: better(s, own),
        "Where scores are equal, `topk` drops a passage that too few beat: count the strictly higher ones.": (
            lambda s, own, k: (s.topk(min(k, s.shape[1]), dim=1).indices == own[:, None]).any(dim=1).nonzero()[:, 0]
        ),
        "Where no pair is kept, a list without numbers becomes a tensor of floats: give it `dtype=torch.int64`.": (
            lambda s, own, k: torch.tensor(by_loop(s, own, k).tolist())
        ),
    },
    equivalents=(
        by_loop,
        lambda s, own, k: (s.gather(1, own[:, None]) >= s.topk(min(k, s.shape[1]), dim=1).values[:, -1:]).nonzero()[
            :, 0
        ],
        lambda s, own, k: torch.where((s > s.gather(1, own[:, None])).sum(dim=1) < k)[0],
        lambda s, own, k: torch.arange(len(s))[
            torch.searchsorted((-s).sort(dim=1).values, -s.gather(1, own[:, None]))[:, 0] < k
        ],
    ),
    hints=(
        "First each pair's own score, (Q,); then count, row by row, how many scores are higher.",
        "`mine = scores[torch.arange(len(own)), own]`, `better = (scores > mine[:, None]).sum(dim=1)`; then where `better < k`.",
    ),
)

# %% [markdown]
# ## 3. Learning from a teacher's list
#
# | | |
# |---|---|
# | Time, difficulty | 10 minutes, medium |
# | Why it matters | it is the second stage of E5 and of many search models since |
#
# Write `listwise_kl(student, teacher, temperature)`: two tensors of shape (B, C), each row a query, each column one of
# its C candidates; `student` holds cosines, `teacher` scores of any size. Both become choices by a softmax over the
# candidates; the student's cosines are divided by the temperature first, the teacher's scores are not. Return the
# Kullback–Leibler divergence Σ P log(P / Q), P being the teacher's choice and Q the student's, averaged over the
# queries. The teacher takes no gradient.


# %% tags=["solution"]
def listwise_kl(student, teacher, temperature):
    ### BEGIN SOLUTION
    learns = (student / temperature).log_softmax(dim=1)  # (B, C)
    knows = teacher.detach().log_softmax(dim=1)  # (B, C)
    return (knows.exp() * (knows - learns)).sum(dim=1).mean()
    ### END SOLUTION


# %% tags=["check"]
Checks("08_e5_and_contriever")(listwise_kl)


# %% tags=["cases"]
def lists(generator):
    for rows, candidates, temperature in ((1, 2, 0.5), (2, 3, 0.05), (3, 4, 0.2), (5, 2, 2.0), (4, 6, 1.0)):
        drawn = torch.rand(rows, candidates, generator=generator) * 2 - 1
        yield drawn, 2 * torch.randn(rows, candidates, generator=generator), temperature


def softened(s, t):
    return (s / t).log_softmax(dim=1)


def kl(learns, knows):
    return (knows.exp() * (knows - learns)).sum(dim=1).mean()


def by_hand(s, t, temperature):
    total = 0
    for mine, theirs in zip(s, t.detach(), strict=True):
        q, p = (mine / temperature).softmax(dim=0), theirs.softmax(dim=0)
        total = total + (p * (p / q).log()).sum()
    return total / len(s)


listwise_kl = Exercise(
    reference=lambda s, t, temperature: kl(softened(s, temperature), t.detach().log_softmax(dim=1)),
    inputs=lists,
    gradient=True,
    mistakes={
        "The temperature is not used: divide the student's cosines by it.": lambda s, t, temperature: kl(
            s.log_softmax(dim=1), t.detach().log_softmax(dim=1)
        ),
        "The teacher's scores are divided by the temperature too: only the student's are.": lambda s, t, temperature: (
            kl(softened(s, temperature), softened(t.detach(), temperature))
        ),
        "The cosines are multiplied by the temperature: divide.": lambda s, t, temperature: kl(
            softened(s, 1 / temperature), t.detach().log_softmax(dim=1)
        ),
        "The divergence is the other way round: P is the teacher's choice, and it weighs the logarithms.": (
            lambda s, t, temperature: kl(t.detach().log_softmax(dim=1), softened(s, temperature))
        ),
        "The sign is turned: the divergence is never below 0.": lambda s, t, temperature: (
            -kl(softened(s, temperature), t.detach().log_softmax(dim=1))
        ),
        "The teacher takes a gradient: detach it.": lambda s, t, temperature: kl(
            softened(s, temperature), t.log_softmax(dim=1)
        ),
        "The softmax runs over the queries (dim=0): each query chooses among its candidates.": (
            lambda s, t, temperature: (
                (t.detach().softmax(dim=0) * (t.detach().log_softmax(dim=0) - (s / temperature).log_softmax(dim=0)))
                .sum(dim=1)
                .mean()
            )
        ),
        "This is the mean over all entries, as kl_div's 'mean' is: sum over the candidates, mean over the queries.": (
            lambda s, t, temperature: F.kl_div(
                softened(s, temperature), t.detach().softmax(dim=1), reduction="none"
            ).mean()
        ),
        "This is the sum over the queries: take the mean.": lambda s, t, temperature: F.kl_div(
            softened(s, temperature), t.detach().softmax(dim=1), reduction="sum"
        ),
        "This is the cross-entropy: the teacher's own logarithms, P log P, are missing.": lambda s, t, temperature: (
            F.cross_entropy(s / temperature, t.detach().softmax(dim=1))
        ),
        "The teacher's list has become its favourite alone (argmax): the rest of the list is lost.": (
            lambda s, t, temperature: F.cross_entropy(s / temperature, t.argmax(dim=1))
        ),
        "kl_div wants the student's *logarithms* first: log_softmax, not softmax.": lambda s, t, temperature: F.kl_div(
            (s / temperature).softmax(dim=1), t.detach().softmax(dim=1), reduction="batchmean"
        ),
        "kl_div got the teacher's logarithms: it wants P itself, or `log_target=True`.": lambda s, t, temperature: (
            F.kl_div(softened(s, temperature), t.detach().log_softmax(dim=1), reduction="batchmean")
        ),
        "The whole is multiplied by temperature², as some distillation losses do: not here.": (
            lambda s, t, temperature: temperature**2 * kl(softened(s, temperature), t.detach().log_softmax(dim=1))
        ),
        "P is detached, but not log P: detach the teacher where it comes in.": lambda s, t, temperature: (
            (t.detach().softmax(dim=1) * (t.log_softmax(dim=1) - softened(s, temperature))).sum(dim=1).mean()
        ),
        "The softmax comes before the temperature: divide the cosines first.": lambda s, t, temperature: kl(
            (s.softmax(dim=1) / temperature).log(), t.detach().log_softmax(dim=1)
        ),
        "This is the squared difference of the scores: compare the choices, after the softmax.": (
            lambda s, t, temperature: F.mse_loss(s / temperature, t.detach())
        ),
    },
    equivalents=(
        by_hand,
        lambda s, t, temperature: F.kl_div(softened(s, temperature), t.detach().softmax(dim=1), reduction="batchmean"),
        lambda s, t, temperature: (
            F.cross_entropy(s / temperature, t.detach().softmax(dim=1))
            - torch.distributions.Categorical(logits=t.detach()).entropy().mean()
        ),
    ),
    hints=(
        "`log_softmax(dim=1)` of both, the student's divided by the temperature before; then Σ P (log P − log Q) in each row.",
        "`(knows.exp() * (knows - learns)).sum(dim=1).mean()`, where `knows` is the teacher's log-softmax, detached.",
    ),
)

# %% [markdown]
# ## 4. The queue and its slow encoder
#
# | | |
# |---|---|
# | Time, difficulty | 10 minutes, easy, if you keep old and new apart |
# | Why it matters | MoCo, and with it Contriever, is these two lines |
#
# Write `step(slow, fast, queue, keys, momentum, size)`. `slow` and `fast` are weights of the two encoders, of one
# shape: the new slow weight is `momentum` parts of the old slow one and 1 − `momentum` parts of the fast one. `queue`
# of shape (K, D) holds keys of earlier batches, the oldest first, `keys` of shape (B, D) the new ones: they go to its
# end, and of all only the last `size` rows stay. Return both, new slow weight and new queue, as a tuple of tensors.
# Nothing here takes a gradient, and your inputs must stay as they are.


# %% tags=["solution"]
def step(slow, fast, queue, keys, momentum, size):
    ### BEGIN SOLUTION
    slow = momentum * slow + (1 - momentum) * fast
    queue = torch.cat([queue, keys])[-size:]
    return slow, queue
    ### END SOLUTION


# %% tags=["check"]
Checks("08_e5_and_contriever")(step)


# %% tags=["cases"]
def states(generator):
    for held, new, width, momentum, size in (
        (4, 2, 3, 0.9, 4),
        (0, 3, 2, 0.5, 6),
        (5, 2, 4, 0.99, 6),
        (3, 5, 2, 0.2, 4),
        (6, 1, 3, 0.0, 6),
        (1, 4, 2, 0.7, 6),
        (7, 2, 2, 0.6, 5),
    ):
        weights = [torch.randn(width, width, generator=generator) for _ in range(2)]
        rows = [torch.randn(count, width, generator=generator) for count in (held, new)]
        yield (*weights, *rows, momentum, size)


def mixed(slow, fast, m):
    return m * slow + (1 - m) * fast


def newest(queue, keys, size):
    return torch.cat([queue, keys])[-size:]


step = Exercise(
    reference=lambda slow, fast, queue, keys, m, size: (mixed(slow, fast, m), newest(queue, keys, size)),
    inputs=states,
    mistakes={
        "The parts are swapped: the slow weight keeps `momentum` of itself.": lambda slow, fast, queue, keys, m, size: (
            mixed(fast, slow, m),
            newest(queue, keys, size),
        ),
        "The slow weight is the fast one: then it is not slow.": lambda slow, fast, queue, keys, m, size: (
            fast.clone(),
            newest(queue, keys, size),
        ),
        "The slow weight does not move: it follows by 1 − momentum.": lambda slow, fast, queue, keys, m, size: (
            slow.clone(),
            newest(queue, keys, size),
        ),
        "The fast weight is added whole: only 1 − momentum parts of it.": lambda slow, fast, queue, keys, m, size: (
            m * slow + fast,
            newest(queue, keys, size),
        ),
        "The oldest rows stay and the newest are dropped: keep the last `size` rows.": (
            lambda slow, fast, queue, keys, m, size: (mixed(slow, fast, m), torch.cat([queue, keys])[:size])
        ),
        "The new keys stand in front: they go to the end.": lambda slow, fast, queue, keys, m, size: (
            mixed(slow, fast, m),
            torch.cat([keys, queue])[:size],
        ),
        "Nothing is dropped: the queue grows for ever.": lambda slow, fast, queue, keys, m, size: (
            mixed(slow, fast, m),
            torch.cat([queue, keys]),
        ),
        "Only the new keys are left: earlier ones stay while there is room.": (
            lambda slow, fast, queue, keys, m, size: (mixed(slow, fast, m), keys[-size:].clone())
        ),
        "As many are dropped as are new, even while there is room.": lambda slow, fast, queue, keys, m, size: (
            mixed(slow, fast, m),
            torch.cat([queue[len(keys) :], keys])[-size:],
        ),
        "`size` rows of the old queue stay, and the new ones on top: join first, then cut.": (
            lambda slow, fast, queue, keys, m, size: (mixed(slow, fast, m), torch.cat([queue[-size:], keys]))
        ),
        "While there is room, the start of your slice falls below 0, and then it counts from the end.": (
            lambda slow, fast, queue, keys, m, size: (
                mixed(slow, fast, m),
                torch.cat([queue, keys])[len(queue) + len(keys) - size :],
            )
        ),
        "One row too few is kept.": lambda slow, fast, queue, keys, m, size: (
            mixed(slow, fast, m),
            torch.cat([queue, keys])[-size:][1:],
        ),
        "The two are swapped: first the slow weight, then the queue.": lambda slow, fast, queue, keys, m, size: (
            newest(queue, keys, size),
            mixed(slow, fast, m),
        ),
    },
    equivalents=(
        lambda slow, fast, queue, keys, m, size: (slow.lerp(fast, 1 - m), newest(queue, keys, size)),
        lambda slow, fast, queue, keys, m, size: (
            slow - (1 - m) * (slow - fast),
            torch.stack([*queue, *keys][-size:]),
        ),
        lambda slow, fast, queue, keys, m, size: (
            mixed(slow, fast, m),
            torch.cat([queue, keys])[max(0, len(queue) + len(keys) - size) :],
        ),
    ),
    hints=(
        "`torch.cat` makes one list of both, the new ones last; a slice with a minus takes its end.",
        "`momentum * slow + (1 - momentum) * fast`, and `torch.cat([queue, keys])[-size:]`.",
    ),
)

# %% [markdown]
# ## Done?
#
# Four times `[ OK ]`: you can train for search. Back to the [lesson](../notebooks/08_e5_and_contriever.ipynb), or on
# to the next one.
