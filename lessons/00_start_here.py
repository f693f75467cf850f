# %% [markdown]
# # Start here: searching by meaning
#
# This course builds sentence encoders: models that turn a sentence into a list of numbers, so that sentences of
# similar meaning get similar lists. You will build one, train it, measure it and put it to use. First, see what
# such a model does, and where it fails.
#
# **After this lesson you can**
#
# - *compute* a cosine by hand, in one line, and with the course's package,
# - *search* by meaning, and *say* how that differs from searching by words,
# - *measure* a search, and *say* what a few queries can tell,
# - *read* a map of vectors, and *state* how much it leaves out.
#
# | | |
# |---|---|
# | Time | 25–30 minutes; the cells themselves run in under 30 seconds |
# | Comes before | nothing of this field; you read Python and have met NumPy |
# | Hardware | any laptop; no graphics card, no network |
#
# **A question you cannot answer yet.** Somebody asks *"Why is my soup so bland?"* One of our sentences answers:
# *"A squeeze of lemon or a pinch of salt at the end wakes up a dull broth."* The two do not share a single word.
# What must a search engine keep about each sentence to find one from the other?

# %% [markdown]
# ## How to use this notebook
#
# 1. Click a cell with code and press **Shift + Enter**. `[*]` beside it means *running*, a number means *done*.
# 2. Go from top to bottom. `NameError: name '…' is not defined` means that a cell further up has not been run.
# 3. At **Predict, then run** the stored result is folded away. Write your guess down, then run the cell: it unfolds.
# 4. Change anything you like. `Ctrl + Z` (on a Mac `Cmd + Z`) takes a change back. *Kernel → Restart Kernel and Run All Cells*
#    starts Python afresh, but your changes stay. For the original, close the notebook and type
#    `python3 course.py build 00_start_here` in a terminal, in the course's folder: this overwrites your version (and
#    fetches some tools, the first time).
#
# ## Is everything in place?
#
# Each line of this cell says `[ OK ]`, or `[FAIL]` and what to do about it.
# (*No module named 'sbert_lab'*? Then this notebook runs in another Python: close it and start the course with
# `python3 course.py lab`.)

# %% tags=["nbval-ignore-output"]
from sbert_lab import doctor

findings = doctor.examine()
print(*findings, sep="\n")

# %%
failed = [finding.name for finding in findings if finding.remedy]
assert not failed, f"first repair the lines above that say FAIL: {failed}"
print("Everything is in place.")

# %% [markdown]
# The line *model* means that the 90 MB of weights on your disk, the numbers that the model has learned, are the
# published ones: you are about to use the real `all-MiniLM-L6-v2`, a small and widely used sentence encoder.
#
# The cells called *The numbers this page states* hold every measured number of the text: a line that begins with `assert`
# stops if its claim is not true. Where you have changed something, it may rightly stop; otherwise ask
# `python3 course.py doctor`.

# %% [markdown]
# ## A toy first: three sentences, four numbers
#
# Let us do by hand what the model will do later: grade each sentence, from 0 to 4, for how much it speaks of *food*, of
# the *sky*, of *gardens*, and how much it *complains*. Four grades in a row are a **vector**.

# %%
import torch

toy_sentences = ["The soup is bland.", "This broth tastes of nothing.", "Clouds hide Saturn again."]
toy = torch.tensor(
    [  # food, sky, garden, complaint
        [2.0, 0.0, 1.0, 2.0],
        [4.0, 0.0, 0.0, 3.0],
        [0.0, 4.0, 0.0, 3.0],
    ]
)
print(toy.shape)

# %% [markdown]
# Three sentences, four numbers each: a table of shape `[3, 4]`. To compare two rows we ask how nearly they point
# in the same direction. That is the **cosine**: multiply number by number, add up, divide by both lengths.
#
# $$\cos(a, b) = \frac{a_1 b_1 + a_2 b_2 + a_3 b_3 + a_4 b_4}{\lVert a\rVert\,\lVert b\rVert},
# \qquad \lVert a\rVert = \sqrt{a_1^2 + a_2^2 + a_3^2 + a_4^2}$$
#
# It is 1 for the same direction, 0 for a right angle (with grades, which are never negative: nothing in common) and −1 for
# opposite directions. Opposite *directions*, not opposite meanings: you will see the difference.
#
# **Predict, then run (1 of 4).** The three lengths are 3, 5 and 5. Work out the cosine of *soup* and *broth* on paper.
# And will *soup* and *Saturn* come out at 0?


# %% jupyter={"outputs_hidden": true}
def cosine_by_hand(a, b):
    product = length_a = length_b = 0.0
    for x, y in zip(a.tolist(), b.tolist(), strict=True):
        product += x * y
        length_a += x * x
        length_b += y * y
    return product / (length_a**0.5 * length_b**0.5)


soup, broth, saturn = toy
print("The cosine of")
print(f"  soup  and broth   {cosine_by_hand(soup, broth):.2f}")
print(f"  soup  and Saturn  {cosine_by_hand(soup, saturn):.2f}")
print(f"  broth and Saturn  {cosine_by_hand(broth, saturn):.2f}")

# %% [markdown]
# *Soup* and *broth* reach 14/15 = 0.93 without sharing a word. *Soup* and *Saturn* are not at 0 but at 6/15 = 0.40, because
# both complain. **A cosine adds up everything the vectors were made to notice.**
#
# A loop is clear but slow. Make every row one unit long, and a single matrix product holds all the cosines. The package
# calls this `cosine_matrix`, PyTorch `cosine_similarity`. (Let the one-line versions pass if you like: they say
# the same as the loop.)

# %%
from sbert_lab.similarity import cosine_matrix

unit = toy / toy.norm(dim=1, keepdim=True)  # (3, 4), every row of length 1
vectorised = unit @ unit.T  # (3, 4) @ (4, 3) -> (3, 3)
loop = torch.tensor([[cosine_by_hand(a, b) for b in toy] for a in toy])
library = torch.nn.functional.cosine_similarity(toy[:, None], toy[None], dim=2)

assert torch.allclose(vectorised, loop)
assert torch.allclose(cosine_matrix(toy, toy), loop)
assert torch.allclose(library, loop)
print(vectorised.numpy().round(2))

# %% [markdown]
# All four agree. Row *i*, column *j* compares sentence *i* with sentence *j*; on the diagonal each meets itself.

# %%
# The numbers this page states
assert toy.norm(dim=1).tolist() == [3, 5, 5]
assert abs(cosine_by_hand(soup, broth) - 14 / 15) < 1e-9
assert abs(cosine_by_hand(soup, saturn) - 6 / 15) < 1e-9
print("The toy is as described.")

# %% [markdown]
# ## The real thing: 200 sentences, 384 numbers
#
# A sentence encoder has *learned* what to write into the vector, from more than a billion pairs of texts that belong
# together. We load one, and 200 sentences written for this course: 40 each on cooking, the night sky, gardens, city
# travel and music ([their datasheet](../data/tour/README.md)).

# %% tags=["nbval-ignore-output"]
import csv

from sbert_lab import load, search


def table(name):
    with open(f"../data/tour/{name}.tsv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


sentences = [row["sentence"] for row in table("sentences")]
topics = [row["topic"] for row in table("sentences")]
encoder = load("all-MiniLM-L6-v2")
vectors = encoder.encode(sentences)  # (200, 384); a progress bar appears only if this takes long

# %%
print(vectors.shape)
print("the first sentence:", sentences[0])
print("begins with       :", vectors[0, :4].round(2))
real = encoder.encode(toy_sentences)  # (3, 384): soup, broth, Saturn
print((real @ real.T).round(2))  # (3, 3)

# %% [markdown]
# 384 numbers each: the vectors have 384 **dimensions**. Unlike our four grades they have no names; nobody decided what number
# 17 stands for. Every vector is one unit long, so the cosine is simply the sum of the products (the **dot product**),
# which Python writes `a @ b`.
#
# Last come our three old friends: *soup* and *broth* at 0.45, *soup* and *Saturn* at 0.10, *broth* and *Saturn* at 0.18.
# The model agrees with us on which two belong together; that all three complain seems to count for far less.

# %% [markdown]
# ## Two ways to search
#
# A **query** is what somebody types into the search box.
# **By words**: count the words that query and sentence share, leaving out those that carry little meaning.
# **By meaning**: encode the query and take its cosine with all 200 vectors.

# %%
import re

import numpy as np

LITTLE = """a an and are at can cannot do for from how i in is it me my of off on or
            should so that the to what where which who why with without you""".split()


def words(text):
    return set(re.findall(r"\w+", text.lower())) - set(LITTLE)


def by_words(query):
    return np.array([len(words(query) & words(sentence)) for sentence in sentences])  # (200,)


def by_meaning(query):
    return vectors @ encoder.encode(query)  # (200, 384) @ (384,) -> (200,)


# %% [markdown]
# The package's `search.Exact` finds the best of many vectors. Let us check it against our own line, then write three
# small helpers.

# %%
index = search.Exact(vectors)
scores, places = index.search(encoder.encode("stars"), k=200)
assert np.allclose(scores, np.sort(by_meaning("stars"))[::-1], atol=1e-6)


# %%
def compare(query, k=3):
    print(f"“{query}”")
    shared = by_words(query)
    best = [i for i in np.argsort(-shared, kind="stable")[:k] if shared[i]]
    for hit in [f"{shared[i]}    {sentences[i]}" for i in best] or ["no sentence shares a word"]:
        print(" words  ", hit)
    for score, i in zip(*index.search(encoder.encode(query), k), strict=True):
        print(f" meaning {score:.2f} {sentences[i]}")


def find(beginning):
    return [sentence.startswith(beginning) for sentence in sentences].index(True)


def cosine(query, beginning):
    return round(float(by_meaning(query)[find(beginning)]), 2)


# %% [markdown]
# **Predict, then run (2 of 4).** One sentence holds the word *soup*: "Warm bread rolls disappeared from the table before
# the soup arrived." Which comes first by meaning, the bread rolls or the squeeze of lemon? And the winner's
# cosine: near 0.9, as in the toy, or lower?

# %% jupyter={"outputs_hidden": true}
bland = "Why is my soup so bland?"
compare(bland)

# %% [markdown]
# The word search finds the bread rolls, no help at all. By meaning the squeeze of lemon comes first with 0.39, before
# the bread rolls with 0.34. Is 0.39 much? Put other numbers beside it.

# %%
for word, others in {"soup": ("broth", "Saturn"), "bland": ("dull", "loud")}.items():
    for other in others:
        print(f"{word:>5} and {other:6}  {encoder.encode(word) @ encoder.encode(other):.2f}")
pairs = (vectors @ vectors.T)[np.triu_indices(200, k=1)]  # (19900,): every two sentences once
print(f"two of our sentences: {pairs.mean():.2f} on average, from {pairs.min():.2f} to {pairs.max():.2f}")

# %% [markdown]
# *Soup* is at 0.48 to *broth* but at 0.21 to *Saturn*; *bland* at 0.59 to *dull* but at 0.38 to *loud*. Two of our sentences
# picked at random are at 0.09 on average, and no two are above 0.61: here 0.39 is high. So this is what a search engine must
# keep about each sentence: not its words but a vector, made so that sentences of like meaning lie near each other.
#
# Three more, picked because they come out well: they show what is possible, not how often it happens.

# %%
bugs = "getting rid of bugs without chemicals"
song = "the song that put the baby to sleep"
fire = "my mouth is on fire"
for query in (bugs, song, fire):
    compare(query, k=2)

# %% [markdown]
# Bugs lead to ladybirds and aphids (0.44, far ahead of the next with 0.24), the song to a lullaby (0.47), the burning
# mouth to milk after a curry (0.34). The word search finds nothing, or a *put*, a *song* and a *fire* that do not help.
#
# A cosine of 0.34 can be right, and a much higher one wrong. **Compare cosines for the same query;
# they are not percentages.**

# %%
# The numbers this page states
assert vectors.shape == (200, 384) and all(topics.count(topic) == 40 for topic in topics)
assert abs((vectors**2).sum(axis=1) - 1).max() < 1e-5  # every vector has length 1
assert [round(float(real[i] @ real[j]), 2) for i, j in ((0, 1), (0, 2), (1, 2))] == [0.45, 0.10, 0.18]
assert by_meaning(bland).argmax() == find("A squeeze of lemon")
assert cosine(bland, "A squeeze of lemon") == 0.39 and cosine(bland, "Warm bread rolls") == 0.34
close = [encoder.encode(a) @ encoder.encode(b) for a, b in (("soup", "broth"), ("bland", "dull"))]
far = [encoder.encode(a) @ encoder.encode(b) for a, b in (("soup", "Saturn"), ("bland", "loud"))]
assert [round(float(c), 2) for c in close + far] == [0.48, 0.59, 0.21, 0.38]
assert [round(float(c), 2) for c in (pairs.mean(), pairs.min(), pairs.max())] == [0.09, -0.21, 0.61]
assert cosine(bugs, "Ladybirds") == 0.44 and cosine(bugs, "Lettuce") == 0.24
assert cosine(song, "A lullaby") == 0.47 and cosine(fire, "If the curry") == 0.34
print("Your numbers are those of the text.")

# %% [markdown]
# ## A query with a trap
#
# **Predict, then run (3 of 4).** One sentence says that five planets can be seen with the naked eye. Another says that
# Neptune is too faint for unaided sight. Which will come first for *"a planet you **cannot** see with the naked eye"*?

# %% jupyter={"outputs_hidden": true}
cannot = "a planet you cannot see with the naked eye"
compare(cannot, k=2)

# %% [markdown]
# The wrong one, with 0.58 against 0.57. Does the model not hear *cannot*? Change the query in three ways and see how
# far each moves the vector.

# %%
can, could = cannot.replace("cannot", "can"), cannot.replace("cannot", "could")
reworded = "a planet that is invisible without a telescope"
for change, one, other in (
    ("same meaning      can → could             ", can, could),
    ("opposite meaning  can → cannot            ", can, cannot),
    ("same meaning      cannot → other words    ", cannot, reworded),
):
    print(f"{change} {encoder.encode(one) @ encoder.encode(other):.2f}")
compare(reworded, k=1)

# %% [markdown]
# *Could* for *can* changes next to nothing in the meaning: 0.97. *Cannot* for *can* turns it round: 0.96, as if it were just as
# harmless. Yet the same thing in other words falls to 0.78, and finds Neptune. The model seems to
# hear *planet*, *see* and *naked eye* much louder than *not*. It does hear it: from *can* to *cannot* the five planets sink from 0.63 to 0.58, and
# Neptune gains, from 0.56 to 0.57. Only not enough. (And this is one example: a hint, not a law.)

# %%
# The numbers this page states
assert cosine(cannot, "Five planets") == 0.58 and cosine(cannot, "Neptune") == 0.57
assert cosine(can, "Five planets") == 0.63 and cosine(can, "Neptune") == 0.56
changes = [encoder.encode(a) @ encoder.encode(b) for a, b in ((can, could), (can, cannot), (cannot, reworded))]
assert [round(float(c), 2) for c in changes] == [0.97, 0.96, 0.78]
assert by_meaning(reworded).argmax() == find("Neptune")
print("Your numbers are those of the text.")

# %% [markdown]
# ## Measure it
#
# Examples persuade; measurements decide. Fifteen queries, each with one expected answer, were fixed *before* any model was
# run. Thirteen are traps: query and answer share no word of content. Two (*cumin*, *oca*) are controls, where the
# words agree. People often do repeat the words, so this is no fair contest; it shows what each search can and
# cannot do.
#
# At which **rank** does the expected sentence stand? A tie counts as its worst place; without a shared word there is no
# rank by words.

# %%
queries = table("queries")
rank_by = {"meaning": [], "words": []}
print(f"{'rank by':>51}  meaning  words")
for row in queries:
    answer = sentences.index(row["expected"])
    for way, search_by in (("meaning", by_meaning), ("words", by_words)):
        scored = search_by(row["query"])  # (200,)
        rank = int((scored >= scored[answer]).sum()) if scored[answer] else None
        rank_by[way].append(rank)
    print(f"{row['query']:>51}  {rank_by['meaning'][-1]:>7}  {rank or '–':>5}")

# %% [markdown]
# The mean of 1/rank is the **mean reciprocal rank** (MRR): 1 if every answer is first, 0.5 if every one is second. An
# answer without a rank counts 0.


# %%
def mean_reciprocal_rank(ranks):
    return sum(1 / rank for rank in ranks if rank) / len(ranks)


trap = [rank is None for rank in rank_by["words"]]  # no word shared with the answer
for way, ranks in rank_by.items():
    on_traps = [rank for rank, is_trap in zip(ranks, trap, strict=True) if is_trap]
    for name, some in (("15 queries", ranks), ("13 traps", on_traps)):
        print(f"by {way:8} {name:10}  first in {some.count(1):2},  MRR {mean_reciprocal_rank(some):.2f}")
chance = mean_reciprocal_rank(range(1, 201))
print(f"{'in random order':38}MRR {chance:.2f}")

# %% [markdown]
# By meaning all 15 answers are among the first 12 of 200, nine among the first five; the
# MRR of 0.39 is far above the 0.03 of a random order. Yet only 3 are *first*, and two of those are the controls: on the
# traps alone it is 1 of 13, MRR 0.30. The model finds the neighbourhood and often misses the house.
#
# It seems to stumble over negation, riddles (an instrument played without touching it: rank 12) and a query's own word in
# a wrong sentence (*jam*: rank 8), each a single query. How much can fifteen tell? Draw fifteen of them with
# replacement, score them, and do so many times: this is the **bootstrap**.

# %%
reciprocal = 1 / np.array(rank_by["meaning"])  # (15,)
draws = np.random.default_rng(0).choice(reciprocal, (100_000, 15)).mean(axis=1)  # (100000,)
low, high = np.quantile(draws, [0.025, 0.975])
print(f"95 % of the draws have an MRR from {low:.2f} to {high:.2f}")

# %% [markdown]
# From 0.24 to 0.57: with fifteen other queries of this kind, 0.39 could well have been 0.30 or 0.50. Enough to tell
# the model from chance; far too little to tell it from a slightly better one. Much of this course is about raising such a
# number, and about knowing whether it really rose.

# %%
# The numbers this page states
by_model = rank_by["meaning"]
traps = [rank for rank, is_trap in zip(by_model, trap, strict=True) if is_trap]
assert by_model.count(1) == 3 and max(by_model) == by_model[14] == 12 and by_model[10] == 8
assert sum(rank <= 5 for rank in by_model) == 9 and round(mean_reciprocal_rank(by_model), 2) == 0.39
assert len(traps) == 13 and traps.count(1) == 1 and round(mean_reciprocal_rank(traps), 2) == 0.30
assert round(mean_reciprocal_rank(rank_by["words"]), 2) == 0.10 and round(chance, 2) == 0.03
assert round(low, 2) == 0.24 and round(high, 2) == 0.57
print("Your numbers are those of the text.")

# %% [markdown]
# ## Explore
#
# First one query as a plain picture; below it the same drawing as a live panel: type into the box and press **Enter**.
# (No box? Run the cell in JupyterLab.)

# %%
from ipywidgets import Layout, Text

from sbert_lab import plots
from sbert_lab.widgets import Explorer

looks = plots.styles(topics)


def draw(ax, query):
    if not query.strip():
        ax.set_axis_off()
        return "Type a question or a few words, then press Enter."
    scores, places = index.search(encoder.encode(query), k=8)
    plots.ranking(ax, [sentences[i] for i in places], scores, [topics[i] for i in places], looks)
    ax.set(xlabel="cosine with the query", xlim=(0, 1))
    ax.set_title(f"“{query}”", loc="left", parse_math=False)
    best = [f"{s:.2f}  {topics[i]}: {sentences[i]}" for s, i in zip(scores, places, strict=True)]
    return "\n".join([f"The eight nearest to “{query}”:", *best])


# %%
picture, ax = plots.figure(height=4.6)
plots.show(picture, alt=draw(ax, "my basil is dying"))

# %% [markdown]
# *Here the query's own word wins: the first bar repeats* basil, *while the useful answer, a herb that droops in a
# crowded pot, is the seventh.*

# %%
Explorer(draw, size=(8, 4.6), query=Text(bland, description="Query", layout=Layout(width="90%")))

# %% [markdown]
# The lemon leads again with 0.39, and nothing in the bars says where the useful answers end. The search always returns
# *something*: type `asdf`, and green curtains over Tromsø come first, at 0.22. Then try a word of two senses: `bank`, and
# `the bank of a river`.

# %% [markdown]
# ## A map of the vectors
#
# Nobody can look at 384 dimensions. But we can turn the cloud of points so that we see its two widest directions: this is
# **principal component analysis** (PCA). Width is counted as **variance**, the mean squared distance from the middle. One
# call, the singular value decomposition, gives the directions and the variance along each.

# %%
centred = vectors - vectors.mean(axis=0)  # (200, 384)
_, spread, directions = np.linalg.svd(centred, full_matrices=False)  # (200,), (200, 384)
axes = directions[:2]  # (2, 384); each may come out mirrored, so we fix the sign
axes = axes * np.sign(axes[range(2), abs(axes).argmax(axis=1)])[:, None]
points = centred @ axes.T  # (200, 384) @ (384, 2) -> (200, 2)
share = (spread[:2] ** 2).sum() / (spread**2).sum()
print(f"The map keeps {share:.0%} of the variance.")

# %% [markdown]
# A tenth, where two of equally wide directions would hold 1 %. Still, **nine tenths of the variance cannot be seen on
# the map.**
#
# **Predict, then run (4 of 4).** Two sentences of the music list: *"Freddie Mercury took piano lessons …"* and *"Holst's
# suite The Planets leaves out Earth …"* Which of them lies among the stars: one, both, neither?

# %% tags=["readme-picture"] jupyter={"outputs_hidden": true}
labels = {
    "Freddie Mercury took": (0.28, -0.40),
    "Holst's suite The Planets": (-0.44, 0.46),
    "Some growers sow by the phases": (-0.65, 0.37),
}
picture, ax = plots.figure(width=8, height=5)
plots.scatter(ax, points, topics, looks)
spots = []
for beginning, place in labels.items():
    x, y = points[find(beginning)]
    ax.annotate(f"{beginning} …", (x, y), place, arrowprops={"arrowstyle": "-"}, fontsize=9)
    spots.append(f"{beginning} at ({x:.1f}, {y:.1f})")
ax.set(xlabel="first direction", ylabel="second direction")
where = (
    "Cooking and gardens share the left side, the night sky lies at the top, city travel at the "
    "right, music below it, and these two overlap. Labelled: "
)
plots.show(picture, alt="Map of 200 sentences, a colour and shape a topic. " + where + ", ".join(spots))

# %% [markdown]
# *The model was never told the topics, yet each has its part of the map. The left half holds 79 of the 80 sentences on cooking
# and gardens, the right half 77 of the 80 on city travel and music, the upper half all 40 on the night sky.* Holst's
# Planets *lies among the stars, Freddie Mercury, in spite of his name, among the music, the garden sentence about the
# phases of the Moon on the border to the sky.*
#
# But a map of one tenth is a poor witness. Ask all 384 dimensions.

# %%
for beginning in ("Holst's suite", "Freddie Mercury"):
    own = find(beginning)
    for topic in ("night sky", "music"):
        others = [i for i in range(200) if topics[i] == topic and i != own]
        print(f"{beginning:15}  to {topic:9}  {(vectors[others] @ vectors[own]).mean():.2f}")

# %% [markdown]
# Holst's mean cosine is 0.18 with the sentences on the night sky, 0.03 with the others on music; Freddie Mercury's 0.04 and
# 0.12. The map was right about both.
#
# City travel and music overlap on it. Does the model mix them up, or does the map? Count the sentences of one whose
# nearest neighbour belongs to the other.


# %%
def mixed_up(distances):
    nearest = (distances + 9 * np.eye(200)).argmin(axis=1)  # + 9: none is its own neighbour
    return sum({topics[i], topics[j]} == {"music", "city travel"} for i, j in enumerate(nearest))


on_map = mixed_up(np.linalg.norm(points[:, None] - points[None], axis=2))
in_full = mixed_up(1 - vectors @ vectors.T)
print(f"mixed up, of 80: on the map {on_map}, in all dimensions {in_full}")

# %% [markdown]
# 17 on the map, 7 in full: most of the overlap is the map's doing, not all of it. A map is for getting ideas; check
# them in the full space.

# %%
# The numbers this page states
assert by_model[6] == 7  # the rank of the herb for "my basil is dying"
assert cosine("asdf", "Around Tromsø") == 0.22 and by_meaning("asdf").argmax() == find("Around Tromsø")
assert round(float(share), 2) == 0.10 and round(2 / 199, 2) == 0.01  # 200 points span 199 directions
inside = {t: points[[u == t for u in topics]] for t in looks}  # (40, 2) each
assert sum((inside[t][:, 0] < 0).sum() for t in ("cooking", "gardens")) == 79
assert sum((inside[t][:, 0] > 0).sum() for t in ("city travel", "music")) == 77
assert (inside["night sky"][:, 1] > 0).sum() == 40 and (in_full, on_map) == (7, 17)
for beginning, stated in {"Holst's suite": [0.18, 0.03], "Freddie Mercury": [0.04, 0.12]}.items():
    kin = [[i for i in range(200) if topics[i] == t and i != find(beginning)] for t in ("night sky", "music")]
    assert [round(float((vectors[k] @ vectors[find(beginning)]).mean()), 2) for k in kin] == stated
print("Your numbers are those of the text.")

# %% [markdown]
# ## Claims ledger
#
# Every lesson ends with one: what is often said, what we measured, and a verdict. It is about this model and these sentences.
#
# | often said | measured here | verdict |
# |---|---|---|
# | "A cosine of 0.34 means 34 % alike." | 0.34 was right (milk), 0.58 wrong (five planets) | does not hold |
# | "Search by meaning finds what shares no word." | of 13 such answers 13 among the first 12 of 200, 1 first | holds for *near*, not for *first* |
# | "It understands the sentence, negation too." | *can* and *cannot* at cosine 0.96 | does not hold |
# | "A two-dimensional map shows what is near." | 7 mixed up in 384 dimensions, 17 on the map | holds in part |
#
# ## Take-aways
#
# 1. A sentence encoder turns a sentence into a vector; the cosine of two vectors says how alike they are *to that model*.
# 2. Search by meaning *can* find answers without a shared word; search by words cannot.
# 3. Negation is weak in the vector: two queries that differ only in *can* and *cannot* are at cosine 0.96.
# 4. Cosines rank sentences for one query; they are not percentages, and the best may still be wrong.
# 5. Measure on queries fixed beforehand; say what so few can tell, and what a picture leaves out.
#
# **Simplified:** the model was a black box. Real word searches weigh rare words more and know that *planet* and *planets*
# belong together; they too need a shared word. One person chose one answer per query; real measurements use many
# judges and thousands of queries.
#
# ## Try it
#
# **Break it** (5 minutes). Choose one of the 200 sentences and write a query that it clearly answers, yet does not come
# first for. Ours should find the Peruvian ceviche, "firmed by lime juice instead of by fire". Why did yours fail?

# %%
compare("cooking without heat")  # put your own query here

# %% [markdown]
# **Repair the toy** (5 minutes). Change the grades so that *soup* and *Saturn* come out at 0 while *soup* and *broth* stay above
# 0.9. What does the vector no longer know?

# %%
mine = torch.tensor(
    [  # food, sky, garden, complaint: change these grades, then run
        [2.0, 0.0, 1.0, 2.0],  # soup
        [4.0, 0.0, 0.0, 3.0],  # broth
        [0.0, 4.0, 0.0, 3.0],  # Saturn
    ]
)
print(cosine_matrix(mine, mine).numpy().round(2))

# %% [markdown]
# <details><summary>One solution</summary>Set Saturn's complaint to 0: soup and Saturn come out at 0, soup and broth stay at 0.93. But the vector no longer knows that somebody is disappointed about the clouds.</details>
#
# **Write it yourself** (15 minutes). Every cosine at once, the best few, one number for a search: [three exercises](../exercises/00_start_here.ipynb),
# each with a check that says within seconds what is wrong, and hints.
#
# ## Quiz
#
# Choose first, then open your choice.
#
# ### 1. Two sentences share no word. Their cosine is …
#
# <details><summary>A. anything from −1 to 1</summary>Right: the vectors decide, not the letters. In practice less: between our 200 sentences −0.21 to 0.61.</details>
# <details><summary>B. 0</summary>No. That is the word search.</details>
# <details><summary>C. undefined</summary>No. That is so only for a vector of zeros.</details>
#
# ### 2. One query's best cosine is 0.34, another's 0.58. So …
#
# <details><summary>A. the second answer is better</summary>No. Here 0.34 was right (milk) and 0.58 wrong (five planets).</details>
# <details><summary>B. the first answer is 34 % right</summary>No. A cosine is not a percentage.</details>
# <details><summary>C. the first query has no good answer</summary>No. Milk was one.</details>
# <details><summary>D. nothing follows yet</summary>Right. Compare cosines for one query.</details>
#
# ### 3. Why did the five planets come before Neptune?
#
# <details><summary>A. Neptune's sentence is too short</summary>Hardly: 15 words against 16.</details>
# <details><summary>B. One small word hardly turns the vector</summary>Right, as far as one example shows: the query and its opposite are at 0.96. And the wrong sentence repeats <em>naked eye</em>.</details>
# <details><summary>C. The model does not know Neptune</summary>No. Neptune came second without a shared word of content.</details>
#
# ### 4. Two answers stand at ranks 1 and 4. The MRR is …
#
# <details><summary>A. 2.5</summary>No. That is the mean rank.</details>
# <details><summary>B. 0.4</summary>No. Take each 1/rank first, then the mean.</details>
# <details><summary>C. 0.625</summary>Right: (1/1 + 1/4) / 2.</details>
#
# ### 5. Two groups overlap on a PCA map that keeps 10 % of the variance. So …
#
# <details><summary>A. they overlap in these two directions</summary>Right, and no more than that.</details>
# <details><summary>B. the model cannot tell them apart</summary>No. They may be well apart in the other 90 %.</details>
# <details><summary>C. the map is useless</summary>No. It shows its two directions truly.</details>
#
# ## The map of the course
#
# | | |
# |---|---|
# | 00 | Start here · **you are here** |
# | 01–02 | Why raw BERT fails · Pooling |
# | 03–06 | The siamese classification objective · Cosine and triplet losses · Cross-encoders and the cost of a pair · In-batch negatives |
# | 07–10 | SimCSE · E5 and Contriever · Sentence-T5 · After SBERT |
# | 11–13 | Search, cluster, mine, recommend · Make it fast, make it big · Capstone |
# | C1 | Bug clinic, at any time after 06 |
#
# What each builds, and which are still to come, is in the [README](../README.md).
#
# **Next:** [Why raw BERT fails](01_why_raw_bert_fails.ipynb) takes the obvious sentence vector from BERT, the language model with which this field began, and
# measures how badly it does. It also begins the table of results that grows through the course.
#
# **Sources.** Reimers & Gurevych 2019, [Sentence-BERT](https://arxiv.org/abs/1908.10084); Wang et al. 2020,
# [MiniLM](https://arxiv.org/abs/2002.10957); the [model card](https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2),
# which counts its training pairs; Okabe & Ito 2008 for the colours.
