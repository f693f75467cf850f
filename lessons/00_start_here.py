# %% [markdown]
# # Start here: searching by meaning
#
# This course builds sentence encoders: models that turn a sentence into a list of numbers, so that sentences of
# similar meaning get similar lists. You will build one by hand, train it, measure it, make it fast and put it to use.
# First, see what such a model does, and where it goes wrong.
#
# **After this lesson you can**
#
# - *check* that everything the course needs is in place,
# - *compute* the cosine of two vectors by hand, in one line, and with the course's package,
# - *search* 200 sentences by meaning, and *say* how that differs from searching by words,
# - *measure* a search on hard queries, and *name* what the model is bad at,
# - *read* a map of vectors, and *state* how much it leaves out.
#
# | | |
# |---|---|
# | Time | 25–30 minutes; the cells themselves run in under 30 seconds |
# | Comes before | nothing; if you can read a Python `for` loop, you are ready |
# | Hardware | any laptop; no graphics card, no network |
#
# **A question you cannot answer yet.** Somebody asks *"Why is my soup so bland?"* One of our sentences answers:
# *"A squeeze of lemon or a pinch of salt at the end wakes up a dull broth."* The two do not share a single word.
# What must a search engine keep about each sentence to find one from the other?

# %% [markdown]
# ## How to use this notebook
#
# 1. Click a cell with code and press **Shift + Enter**: it runs, and the next one is selected.
# 2. Run the cells from top to bottom; *Run → Run All Cells* does it at once.
# 3. Change anything you like. If you lose your way, *Kernel → Restart Kernel and Run All Cells* starts afresh.
#
# ## Is everything in place?
#
# This cell looks at your computer. Each line says `[ OK ]`, or `[FAIL]` and what to do about it.
# (It stops with *No module named 'sbert_lab'*? Then this notebook runs in another Python: close it and start the
# course with `python3 course.py lab`.)

# %% tags=["nbval-ignore-output"]
from sbert_lab import doctor

findings = doctor.examine()
print(*findings, sep="\n")

# %%
failed = [finding.name for finding in findings if finding.remedy]
assert not failed, f"first repair the lines above that say FAIL: {failed}"
print("Everything is in place.")

# %% [markdown]
# *Everything is in place.* The line *model* means that the 90 MB of weights on your disk have the same fingerprint (SHA-256)
# as the published ones: you are about to use the real `all-MiniLM-L6-v2`, a small and widely used sentence encoder.
#
# The second cell holds a line that begins with `assert`: it stops the notebook if its claim is not true. Every
# measured number in this lesson's text is held by such a line: what you read, your computer has just confirmed.

# %% [markdown]
# ## A toy first: three sentences, four numbers
#
# Let us do by hand what the model will do later. Read each sentence and grade, from 0 to 4, how much it speaks of *food*,
# of the *sky*, of *gardens*, and how much it *complains*. Four grades in a row are a **vector**.

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
assert toy.norm(dim=1).tolist() == [3, 5, 5]  # the lengths of the three rows

# %% [markdown]
# Three sentences, four numbers each: a table of shape `[3, 4]`. To compare two rows we ask how nearly they point
# in the same direction. That is the **cosine**: multiply number by number, add up, divide by both lengths.
#
# $$\cos(a, b) = \frac{a_1 b_1 + a_2 b_2 + a_3 b_3 + a_4 b_4}{\lVert a\rVert\,\lVert b\rVert},
# \qquad \lVert a\rVert = \sqrt{a_1^2 + a_2^2 + a_3^2 + a_4^2}$$
#
# It is 1 for the same direction, 0 for nothing in common, −1 for opposite directions.
#
# **Predict, then run (1 of 3).** The three lengths are 3, 5 and 5. Work out the cosine of *soup* and *broth* on paper.
# And will *soup* and *Saturn*, which have so little to do with each other, come out at 0?


# %%
def cosine_by_hand(a, b):
    product = length_a = length_b = 0.0
    for x, y in zip(a.tolist(), b.tolist(), strict=True):
        product += x * y
        length_a += x * x
        length_b += y * y
    return product / (length_a**0.5 * length_b**0.5)


soup, broth, saturn = toy
print(f"soup  and broth   {cosine_by_hand(soup, broth):.2f}")
print(f"soup  and Saturn  {cosine_by_hand(soup, saturn):.2f}")
print(f"broth and Saturn  {cosine_by_hand(broth, saturn):.2f}")
assert abs(cosine_by_hand(soup, broth) - 14 / 15) < 1e-9
assert abs(cosine_by_hand(soup, saturn) - 6 / 15) < 1e-9

# %% [markdown]
# *Soup* and *broth* reach 14/15 = 0.93 without sharing a word. *Soup* and *Saturn* are not at 0 but at 6/15 = 0.40, because
# both complain, and complaint is one of our four numbers. **A vector mixes everything it was made to notice.**
#
# A loop is clear but slow. For all pairs at once: make every row one unit long, and a single matrix product
# holds all the cosines. The package calls this `cosine_matrix`, PyTorch `cosine_similarity`.

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
# Loop, matrix product, package and PyTorch agree. Row *i*, column *j* compares sentence *i* with sentence *j*: ones on the
# diagonal, where each meets itself, and the three values from above on either side.

# %% [markdown]
# ## The real thing: 200 sentences, 384 numbers
#
# Grading by hand ends here. A sentence encoder has *learned* what to write into the vector, from very many pairs of
# texts that belong together. We load one, and 200 sentences written for this course: 40 each on cooking, the night sky,
# gardens, city travel and music ([their datasheet](../data/tour/README.md)).

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
assert vectors.shape == (200, 384) and all(topics.count(topic) == 40 for topic in topics)
assert abs((vectors**2).sum(axis=1) - 1).max() < 1e-5  # every vector has length 1

# %% [markdown]
# 200 sentences, 384 numbers each. Unlike our four grades these have no names: nobody decided what number 17 stands
# for. Only the angles between vectors mean something. The model has made every vector one unit long, so the cosine is
# just the product.

# %% [markdown]
# ## Two ways to search
#
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
# The package's `search.Exact` finds the best of many vectors. Before we trust it, we check that it gives
# what our own line gives. Then come three small helpers, to show both searches and to look up single cosines.

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
# **Predict, then run (2 of 3).** What will the word search bring for *"Why is my soup so bland?"* And will the
# search by meaning put the answer first, although another sentence has the word *soup* in it?

# %%
bland = "Why is my soup so bland?"
compare(bland)
assert cosine(bland, "A squeeze of lemon") == 0.39 and cosine(bland, "Warm bread rolls") == 0.34
assert by_meaning(bland).argmax() == find("A squeeze of lemon")
pairs = [encoder.encode(a) @ encoder.encode(b) for a, b in (("soup", "broth"), ("bland", "dull"))]
print("soup and broth {:.2f}, bland and dull {:.2f}".format(*pairs))
assert [round(float(pair), 2) for pair in pairs] == [0.48, 0.59]

# %% [markdown]
# The word search finds the one sentence with *soup*: bread rolls on a table, no help at all. The search by meaning puts
# the squeeze of lemon first with 0.39, before the bread rolls with 0.34. So that is what must be kept about each sentence:
# a vector. To the model *soup* and *broth* are alike (0.48 as single words), and so are *bland* and *dull* (0.59).
#
# Three more, picked because they come out well: they show what is possible, not how often it happens.

# %%
bugs = "getting rid of bugs without chemicals"
song = "the song that put the baby to sleep"
fire = "my mouth is on fire"
for query in (bugs, song, fire):
    compare(query, k=2)
assert cosine(bugs, "Ladybirds") == 0.44 and cosine(bugs, "Lettuce") == 0.24
assert cosine(song, "A lullaby") == 0.47 and cosine(fire, "If the curry") == 0.34

# %% [markdown]
# Bugs lead to ladybirds and aphids (0.44, far ahead of the next with 0.24), the song to a lullaby (0.47), the burning
# mouth to milk after a curry (0.34). The word search has nothing, or a *put*, a *song* and a *fire* of
# no help.
#
# Note how low the winners are. A cosine of 0.34 can be right and, as you will see next, 0.58 wrong: **compare
# cosines for the same query; do not read one as a percentage.**

# %% [markdown]
# ## Where it goes wrong
#
# **Predict, then run (3 of 3).** One sentence says that five planets can be seen with the naked eye. Another says that
# Neptune is too faint for unaided sight. Which will come first for *"a planet you **cannot** see with the naked eye"*?

# %%
cannot = "a planet you cannot see with the naked eye"
compare(cannot, k=2)
opposite = encoder.encode(cannot) @ encoder.encode("a planet you can see with the naked eye")
print(f"The query and its opposite: {opposite:.2f}")
assert cosine(cannot, "Five planets") == 0.58 and cosine(cannot, "Neptune") == 0.57
assert round(float(opposite), 2) == 0.96

# %% [markdown]
# The wrong one, with 0.58 against 0.57. The last line hints at the reason: with *can* in place of *cannot* the query is still at
# cosine 0.96 to itself. The one small word that turns the meaning round hardly turns the vector.
#
# Words with two senses are another test. Our sentences have a *bank* that changes money and a *bank* too steep to mow.

# %%
compare("bank")
compare("the bank of a river")
assert cosine("bank", "Ask the bank") == 0.44 and cosine("bank", "The bank behind") == 0.25
assert cosine("the bank of a river", "Cross here") == 0.36
assert cosine("the bank of a river", "Ask the bank") == 0.29
assert cosine("the bank of a river", "The bank behind") == 0.28

# %% [markdown]
# Alone, *bank* is money first: 0.44, against 0.25 for the slope. *Of a river* moves the query: a sentence about a
# bridge and *upstream*, without the word, comes first (0.36). But the money bank still follows (0.29), just ahead of the
# slope (0.28). Context turns the vector; it does not clear the other sense away.

# %% [markdown]
# ## Measure it
#
# Examples persuade; measurements decide. Fifteen queries, each with one expected answer, were fixed *before* any model was
# run. They are traps: in 13 of them query and answer share no word of content. So this is no contest between the two
# searches, since people often do repeat the words; it shows what each can and cannot do.
#
# For each query we ask at which **rank** the expected sentence stands. A tie counts as its worst place; an answer
# with score 0 has no rank.

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


# %%
def mean_reciprocal_rank(ranks):
    return sum(1 / rank for rank in ranks if rank) / len(ranks)


for way, ranks in rank_by.items():
    print(f"by {way:8} first in {ranks.count(1):2} of 15,  MRR {mean_reciprocal_rank(ranks):.2f}")
chance = mean_reciprocal_rank(range(1, 201))
print(f"by chance                      MRR {chance:.2f}")

assert rank_by["meaning"].count(1) == 3 and max(rank_by["meaning"]) == rank_by["meaning"][14] == 12
assert sum(rank <= 5 for rank in rank_by["meaning"]) == 9 and rank_by["meaning"][10] == 8
assert rank_by["words"].count(None) == 13 and round(mean_reciprocal_rank(rank_by["words"]), 2) == 0.10
assert round(mean_reciprocal_rank(rank_by["meaning"]), 2) == 0.39 and round(chance, 2) == 0.03

# %% [markdown]
# **MRR**, mean reciprocal rank, is the mean of 1/rank: 1 if every answer is first, 0.5 if every one is second. By meaning
# it is 0.39; sentences in random order would give 0.03; the word search, without a rank in 13 of 15, gives 0.10.
#
# Read it from both sides. All 15 answers are among the first 12 of 200, nine among the first five. But only 3
# are *first*. The model finds the neighbourhood and often misses the house. It stumbles over negation (*cannot*), over
# riddles (an instrument played without touching it: rank 12), and over a query's own word in a wrong sentence (*jam*:
# rank 8). Much of this course is about raising such a number, and about knowing whether it really rose.

# %% [markdown]
# ## Explore
#
# Your turn. First one query as a plain picture; below it the same drawing, alive: type into the box and press **Enter**.

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
    best = [f"{s:.2f}  {topics[i]}: {sentences[i]}" for s, i in zip(scores, places, strict=True)]
    return "\n".join([f"The eight nearest to “{query}”:", *best])


# %%
picture, ax = plots.figure(height=4.4)
plots.show(picture, alt=draw(ax, "my basil is dying"))
assert rank_by["meaning"][6] == 7
assert {topics[i] for i in by_meaning("my basil is dying").argsort()[-8:]} == {"gardens", "cooking"}

# %% [markdown]
# *A query's own word wins: for "my basil is dying" the first bar repeats* basil, *while the useful answer, a herb that
# droops in a crowded pot, is the seventh.* Colour and name give the topic: gardens and kitchen, all the way down.

# %%
Explorer(draw, size=(8, 4.4), query=Text(bland, description="Query", layout=Layout(width="90%")))

# %% [markdown]
# The lemon leads again with 0.39, and the bars sink without a gap. The search always returns *something*: type
# `asdf`, and it still ranks all 200 sentences.

# %% [markdown]
# ## A map of the vectors
#
# Nobody can look at 384 dimensions. But we can turn the cloud of points so that we see its two widest directions: this is
# **principal component analysis** (PCA), and the directions come from one call, the singular value decomposition.

# %%
centred = vectors - vectors.mean(axis=0)  # (200, 384)
_, spread, directions = np.linalg.svd(centred, full_matrices=False)  # (200,), (200, 384)
axes = directions[:2]  # (2, 384); each may come out mirrored, so we fix the sign
axes = axes * np.sign(axes[range(2), abs(axes).argmax(axis=1)])[:, None]
points = centred @ axes.T  # (200, 384) @ (384, 2) -> (200, 2)
share = (spread[:2] ** 2).sum() / (spread**2).sum()
print(f"The map keeps {share:.0%} of the variance.")
assert round(float(share), 2) == 0.10

# %% [markdown]
# A tenth: **nine tenths of the variance cannot be seen on the map.** Before you look, guess: *"Freddie Mercury took piano
# lessons …"* and *"Holst's suite The Planets leaves out Earth …"* both come from the music list. Which lies among the stars?

# %% tags=["readme-picture"]
labels = {
    "Freddie Mercury took": (0.33, -0.40),
    "Holst's suite The Planets": (-0.44, 0.46),
    "Some growers sow by the phases": (-0.68, 0.38),
    "A squeeze of lemon": (-0.68, -0.30),
}
picture, ax = plots.figure(width=9, height=5)
plots.scatter(ax, points, topics, looks)
for beginning, place in labels.items():
    point = points[find(beginning)]
    ax.annotate(f"{beginning} …", point, place, arrowprops={"arrowstyle": "-"}, fontsize=9)
ax.set(xlabel="first direction", ylabel="second direction")
where = (
    "Cooking and gardens share the left side, the night sky lies at the top, music and city "
    "travel overlap at the lower right. Holst's Planets lies among the night sky, Freddie "
    "Mercury among the music."
)
plots.show(picture, alt="Map of 200 sentences, each topic in a colour and shape of its own. " + where)

# %% [markdown]
# *The model was never told the topics, yet each has its part of the map: the first direction parts kitchen and
# garden from city and music, the second lifts the night sky to the top.* Holst's *Planets*, a piece of music,
# lies among the stars; Freddie Mercury, in spite of his name, among the music.
#
# Do not take a caption's word for it. The next cell holds every claim of this one against the middle of each topic.

# %%
middle = {topic: points[[t == topic for t in topics]].mean(axis=0) for topic in looks}  # (2,) each
assert max(middle["cooking"][0], middle["gardens"][0]) < 0
assert min(middle["city travel"][0], middle["music"][0]) > 0
assert max(middle, key=lambda topic: middle[topic][1]) == "night sky"
for beginning in ("Holst's suite", "Freddie Mercury"):
    near = min(middle, key=lambda topic: np.linalg.norm(middle[topic] - points[find(beginning)]))
    print(f"{beginning}: nearest to the middle of {near}")
    assert near == {"Holst's suite": "night sky", "Freddie Mercury": "music"}[beginning]

# %% [markdown]
# Holst is nearest to the middle of the night sky, Freddie Mercury to that of music: the map is as described.
#
# City travel and music overlap. Does the model confuse them, or does the map? Ask each sentence for its nearest neighbour.


# %%
def same_topic(distances):
    nearest = (distances + 9 * np.eye(200)).argmin(axis=1)  # + 9: none is its own neighbour
    return sum(topics[i] == topics[j] for i, j in enumerate(nearest))


in_full = same_topic(1 - vectors @ vectors.T)
on_map = same_topic(np.linalg.norm(points[:, None] - points[None], axis=2))
print(f"nearest neighbour of the same topic: {in_full} of 200, on the map {on_map} of 200")
assert in_full == 159 and on_map == 126

# %% [markdown]
# In all 384 dimensions 159 of 200 sentences have a nearest neighbour of their own topic, on the map only 126.
# Much of the overlap is the map's doing. A map is for getting ideas; check them in the full space.

# %% [markdown]
# ## What was simplified
#
# - The model was a black box. Lessons 01 and 02 open it.
# - One person chose one right answer per query. Real measurements use many judges and thousands of queries.
# - 200 sentences can be compared one by one. Lesson 11 searches collections for which that is too slow.
#
# ## The map of the course
#
# | # | Lesson | What you build and measure | |
# |---|---|---|---|
# | 00 | Start here | search by meaning, and its limits | **here** |
# | 01 | Why raw BERT fails | the obvious sentence vector, and how badly it does | coming |
# | 02 | Pooling | from word vectors to one sentence vector | coming |
# | 03 | The siamese classification objective | the first training recipe | coming |
# | 04 | Cosine and triplet losses | what each loss does to the geometry | coming |
# | 05 | Cross-encoders and the cost of a pair | better scores, and their price | coming |
# | 06 | In-batch negatives | the objective behind today's encoders | coming |
# | 07 | SimCSE | training without labels | coming |
# | 08 | E5 and Contriever | encoders for retrieval | coming |
# | 09 | Sentence-T5 | vectors from another kind of model | coming |
# | 10 | After SBERT | distillation, many languages, new domains | coming |
# | 11 | Search, cluster, mine, recommend | what the vectors are good for | coming |
# | 12 | Make it fast, make it big | speed, memory, many machines | coming |
# | 13 | Capstone | your own encoder on your own data | coming |
# | C1 | Bug clinic | broken trainings: symptom, diagnosis, repair | coming |
#
# ## Take-aways
#
# 1. A sentence encoder turns a sentence into a vector; the cosine of two vectors says how alike they are *to that model*.
# 2. Search by meaning finds answers that share no word with the query. Search by words cannot.
# 3. The model follows the topic more than the claim: *can* and *cannot* are at cosine 0.96.
# 4. Cosines rank sentences for one query; they are no percentages, and the best may still be wrong.
# 5. Measure on queries fixed beforehand, and say what a picture leaves out.

# %% [markdown]
# ## Quiz
#
# Choose first, then open your choice.
#
# ### 1. Two sentences share no word. What can their cosine be under a sentence encoder?
#
# <details><summary>A. Always 0</summary>No. That is the word search. The answer about lemon won its query without a shared word.</details>
# <details><summary>B. Anything from −1 to 1</summary>Right. The vectors decide, not the letters.</details>
# <details><summary>C. It is undefined</summary>No. Only a vector of zeros, which has no direction, leaves it undefined.</details>
#
# ### 2. For one query the best cosine is 0.34, for another 0.58. What follows?
#
# <details><summary>A. The second answer is better</summary>No. Here 0.34 was right (milk for a burning mouth) and 0.58 wrong (planets you <em>can</em> see).</details>
# <details><summary>B. The first answer is 34 % correct</summary>No. A cosine is neither a probability nor a percentage.</details>
# <details><summary>C. Nothing yet</summary>Right. Compare cosines of different sentences for the same query.</details>
#
# ### 3. Why did the wrong sentence win for "a planet you cannot see with the naked eye"?
#
# <details><summary>A. Neptune's sentence was too short</summary>No. Length had no part in it; both are ordinary sentences.</details>
# <details><summary>B. One small word hardly turns the vector</summary>Right. The query and its opposite are at cosine 0.96.</details>
# <details><summary>C. The model does not know Neptune</summary>No. Neptune came second, at 0.57, without a shared word.</details>
#
# ### 4. A search puts the answers of two queries at ranks 1 and 4. What is its MRR?
#
# <details><summary>A. 2.5</summary>No. That is the mean rank. MRR is never above 1.</details>
# <details><summary>B. 0.4</summary>No. That is 1 divided by the mean rank; take each 1/rank first.</details>
# <details><summary>C. 0.625</summary>Right. (1/1 + 1/4) / 2 = 0.625.</details>
#
# ### 5. Two groups overlap on a PCA map that keeps 10 % of the variance. What do you conclude?
#
# <details><summary>A. The model cannot tell them apart</summary>No. They may be well apart in the 90 % that you do not see.</details>
# <details><summary>B. They overlap in these two directions</summary>Right, and no more than that.</details>
# <details><summary>C. The map is useless</summary>No. It shows its two directions truly, and only these.</details>
#
# ## Try it
#
# - **Break it.** Choose one of the 200 sentences and write a query that it clearly answers, yet `compare("…")` does not bring it
#   first. Negation, numbers and irony are good places to begin. Why did it fail?
# - **Repair the toy.** Change the grades so that *soup* and *Saturn* come out at 0 while *soup* and *broth* stay above 0.9.
#   What does the vector no longer know?
#
# ## Next
#
# Lesson 01, *Why raw BERT fails* (coming), takes the obvious sentence vector from the language model with which this field
# began, and measures how badly it does.
