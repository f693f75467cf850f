# %% [markdown]
# # After SBERT: augment, attack, distil
#
# Overviews of the field like to continue the story with "SBERT v2". There is no such model. What there is: papers on
# few labels, noisy text, a large teacher, other languages, a new domain. Five short acts, each with its own
# measurement; not all end well.
#
# **After this lesson you can**
#
# - *make* training pairs from few labels by swapping words and by letting a cross-encoder grade new ones,
# - *attack* an encoder through its word embeddings, and *judge* whether training against that makes it robust,
# - *distil* a large encoder into a small one, and *say* what the student keeps,
# - *read* from the tokenizer alone how far, at most, a student can get in a language,
# - *adapt* an encoder to a domain without labels, and *check* what it forgets.
#
# | | |
# |---|---|
# | Time | 50–60 minutes; the cells themselves run in about a minute |
# | Comes before | lessons 05 (cross-encoders), 06 (in-batch negatives) and 07 (SimCSE) |
# | Hardware | any laptop; no graphics card, no network |
#
# **A question you cannot answer yet.** One English student, four languages, the same sentences in each, the same loss.
# For one language it is certain before the first step that a third of the test sentences will never find their own
# translation. Which, and what do you look at to know?

# %%
import os

os.environ["TQDM_DISABLE"] = "1"  # no progress bars in the stored page; tqdm reads this when it is imported

from random import Random

import torch
import torch.nn.functional as F
from transformers.utils import logging

from sbert_lab import CrossEncoder, Encoder, Plan, Row, data, evaluation, load, losses, plots, save, train
from sbert_lab.encoder import Dense
from sbert_lab.similarity import cosine_matrix

logging.disable_progress_bar()

# %% [markdown]
# One setting for the whole page; with other names the text's numbers no longer apply.

# %%
MODEL, TEACHER, STS = "lab-bert", "all-MiniLM-L6-v2", "course"  # with a network: "bert-base-uncased", any, "stsb"
AS_WRITTEN = (MODEL, TEACHER, STS) == ("lab-bert", "all-MiniLM-L6-v2", "course")

# %% [markdown]
# ## A toy first: a teacher, a student, an attacker
#
# Three sentences, four numbers each: *food*, *sky*, *garden*, *complaint*. The student should say what the teacher
# says. No label, no pair, no negative: a plain sentence is a training row, and the loss is the mean squared error over
# all numbers.

# %%
teacher = torch.tensor(
    [  # food, sky, garden, complaint
        [4.0, 0.0, 0.0, 3.0],  # The soup is bland.
        [0.0, 4.0, 0.0, 3.0],  # Clouds hide Saturn again.
        [0.0, 0.0, 4.0, 3.0],  # Slugs are on my lettuce.
    ]
)
student = torch.tensor([[2.0, 0.0, 1.0, 3.0], [0.0, 4.0, 0.0, 0.0], [1.0, 0.0, 4.0, 2.0]], requires_grad=True)


def loss_by_loop(student, teacher):
    total = 0
    for mine, right in zip(student, teacher, strict=True):
        for a, b in zip(mine, right, strict=True):
            total = total + (a - b) ** 2
    return total / student.numel()


by_loop = loss_by_loop(student, teacher)
print(f"{by_loop:.4f}")

# %% [markdown]
# The soup is off by 2 and 1, Saturn by 3, the slugs by 1 and 1: 4 + 1 + 9 + 1 + 1 = 16, and 16 / 12 = 1.3333. Then one
# call of PyTorch, the package, and sentence-transformers.

# %%
from sentence_transformers.sentence_transformer.losses import MSELoss

vectorised = F.mse_loss(student, teacher)
package = losses.VectorDistillation()([student], teacher)
library = MSELoss(torch.nn.Identity()).compute_loss_from_embeddings([student], [teacher])

assert torch.allclose(vectorised, by_loop)
assert torch.allclose(package, vectorised)
assert torch.allclose(library, vectorised)
print(f"{by_loop:.4f} {vectorised:.4f} {package:.4f} {library:.4f}")

# %% [markdown]
# Four times 1.3333. Now the **attacker**. It may not change the weights, only the numbers that go in, and only by a
# little. Which way? Along the gradient, the way the loss rises. Two ways to spend the same length of 1:
#
# - **FGSM** (fast gradient *sign* method, Goodfellow et al. 2015) moves every number by ε, up or down as its slope
# says,
# - **FGM** (fast gradient method, Miyato et al. 2017) moves by ε along the gradient g: ε · g / ‖g‖.
#
# **Predict, then run (1 of 4).** Only the five wrong numbers have a slope, so ε = 1/√5 makes the first move as long as
# the second, with its ε = 1. Which raises the loss more? And a random move of the same length?

# %% jupyter={"outputs_hidden": true}
(slopes,) = torch.autograd.grad(package, student)  # (3, 4)
noise = torch.randn(100, 3, 4, generator=torch.Generator().manual_seed(0))
moves = {
    "FGSM": slopes.sign() / slopes.count_nonzero().sqrt(),  # where the slope is 0 nothing moves
    "FGM": slopes / slopes.norm(),
    "random, mean of 100": noise / noise.flatten(1).norm(dim=1)[:, None, None],
}
rise, lowered = {}, {}
for name, move in moves.items():
    change = (student + move - teacher).square().mean(dim=(-2, -1)) - package
    rise[name], lowered[name] = change.mean().item(), (change < 0).float().mean().item()
    print(f"{name:20} raises the loss by {rise[name]:.2f}, lowers it in {lowered[name]:.0%} of the cases")
print("FGM moves the first sentence by", moves["FGM"][0].numpy().round(2))

# %% [markdown]
# FGM does the most damage (0.75 against 0.68), as it must for a small move: no direction is steeper than the gradient.
# FGSM spends some of its length where the slope is small. Random moves of the same length add 0.10 on average, and a
# third of them *lower* the loss: **the direction makes the attack, not the size.** Here the student's own numbers
# moved; in a text encoder nobody can add 0.3 to a letter, so word embeddings are moved.

# %%
# The numbers this page states
assert abs(by_loop - 4 / 3) < 1e-6
assert rise["FGM"] > rise["FGSM"] > 3 * rise["random, mean of 100"] and abs(rise["random, mean of 100"] - 0.1) < 0.006
assert abs(rise["FGM"] - 0.75) < 0.005 and abs(rise["FGSM"] - 0.68) < 0.005
assert slopes.count_nonzero() == 5 and abs(lowered["random, mean of 100"] - 1 / 3) < 0.02
print("The toy is as described.")

# %% [markdown]
# ## Act 1: few labels, more pairs
#
# The course has 600 graded training pairs. Suppose you had 50 or 200. **Augmentation** makes more rows of them, with
# the labels they had. The views of the package change words:

# %%
from sbert_lab import results, views

gold, test = data.sts("train", STS), data.sts("test", STS)
table = data.synonyms()
swap = views.synonyms(table)
random = Random(4)
for text in (gold[4].texts[0], gold[8].texts[1], gold[17].texts[0]):
    print(f"{text}\n   synonyms: {swap(text, random)}\n   typos:    {views.typos(text, random, rate=0.5)}")
print(len(table), "words have synonyms")

# %% [markdown]
# *Back-translation*, to German and back, needs two translation models, which we cannot load without a network. **Our
# paraphrase source is a synonym table**, written for the course ([datasheet](../data/synonyms/README.md)). It knows
# nothing of senses.
#
# **Augmented SBERT** (Thakur et al. 2021) makes *new* pairs. A cross-encoder learns the few labels, then grades other
# pairs; the bi-encoder learns from both, gold and *silver*. (In lesson 05 the cross-encoder led, 68.5 to 65.7, not
# quite beyond chance.) Which pairs? We take 400 neighbours, one of a sentence's five nearest as raw lab-bert sees it,
# and 400 drawn blindly. About one neighbour in eight is the partner that the sentence has in gold.
#
# **Predict, then run (2 of 4).** The grades of all 600 gold pairs have a mean of 0.51. The grader has seen 200 of them.
# Which mean will its grades have for the blind pairs, and for the neighbours?

# %% tags=["nbval-ignore-output"] jupyter={"outputs_hidden": true}
few = Random(0).sample(gold, 200)
pool = [text for row in gold for text in row.texts]  # as if unlabeled
vectors = torch.from_numpy(load(MODEL).encode(pool))
nearest = cosine_matrix(vectors, vectors).fill_diagonal_(-2).topk(5).indices  # (1200, 5)
near = [(pool[i], pool[random.choice(nearest[i].tolist())]) for i in random.sample(range(len(pool)), 400)]
blind = [tuple(random.sample(pool, 2)) for _ in range(400)]

torch.manual_seed(0)
grader = CrossEncoder(load(MODEL, precision=torch.bfloat16).backbone)
train(grader, few, losses.PairScores(), Plan(epochs=6, batch_size=16, learning_rate=3e-4))
grades = {name: grader.predict(pairs) for name, pairs in (("drawn blindly", blind), ("neighbours", near))}
means = {name: float(found.mean()) for name, found in grades.items()}
best = max(range(400), key=lambda i: grades["neighbours"][i])
partners = sum(set(pair) in [set(row.texts) for row in gold] for pair in near)
print(f"gold {sum(row.label for row in gold) / 600:.2f},", {name: round(mean, 2) for name, mean in means.items()})
print(f"{partners} of the 400 neighbours are pairs of gold")
print(f"highest, {grades['neighbours'][best]:.2f}:", *near[best], sep="\n   ")

# %% tags=["nbval-ignore-output"]
picture, ax = plots.figure(7.5, 3)
for (name, found), colour, hatch in zip(grades.items(), plots.COLOURS[:2], ("//", ""), strict=True):
    ax.hist(found, bins=20, range=(0, 1), color=colour, alpha=0.6, label=name, hatch=hatch, edgecolor="white")
ax.set(xlabel="grade of the cross-encoder", ylabel="pairs of 400")
ax.legend(frameon=False)
alt = f"Grades of 400 pairs drawn blindly crowd near 0 (mean {means['drawn blindly']:.2f}), those of neighbours are "
plots.show(picture, alt=alt + f"spread from 0 to high grades (mean {means['neighbours']:.2f}).")

# %% [markdown]
# *Blind pairs crowd at the lower end, neighbours fill the scale.* Their means are about 0.14 and 0.42, so a bi-encoder
# fed on blind pairs would see little but low grades. Thakur et al. call the choice of pairs crucial. (Our best pair has
# boots in both sentences and nothing else in common: a grader with 200 labels can be sure and wrong.)
#
# **Stored** results: 50, 200 and 600 gold pairs, a fresh draw for each of 3 seeds. *Gold alone* sees them twelve, six
# or two times. The other methods take as many steps, half of the rows gold, half new. *all-MiniLM* is a control, a much
# better grader.

# %%
kept = results.read("10_few_labels")
print(kept["command"], "|", kept["measured"], "|", kept["minutes"], "minutes")
METHODS = ("gold alone", "synonyms", "typos", "Augmented SBERT", "all-MiniLM", "grader")
by_labels = {(row["size"], row["method"]): row for row in kept["labels"]}


def mean(values):
    return sum(values) / len(values)


for size in (50, 200, 600):
    for method in METHODS:
        row = by_labels[size, method]
        print(f"{size:3} pairs, {method:15} {mean(row['seeds']):.1f} {row['seeds']}  over gold alone {row['gain']}")

# %% [markdown]
# ## Explore: labels, method, score
#
# Dots are means with the 95 % interval over the test pairs, crosses the seeds.

# %%
from ipywidgets import SelectionSlider

from sbert_lab.widgets import Explorer


def draw(ax, labels):
    shown = [by_labels[labels, method] for method in METHODS]
    heights, places = [mean(row["seeds"]) for row in shown], range(len(METHODS))
    reach = [[abs(h - row["interval"][end]) for h, row in zip(heights, shown, strict=True)] for end in (0, 1)]
    ax.errorbar(heights, places, xerr=reach, color=plots.COLOURS[1], marker="o", linestyle="", capsize=3)
    crosses = [(seed, place) for place, row in zip(places, shown, strict=True) for seed in row["seeds"]]
    ax.scatter(*zip(*crosses, strict=True), color=plots.COLOURS[0], marker="x", s=24, zorder=3)
    ax.axvline(58.7, color="black", linestyle=":")
    names = ["grader (cross-encoder)" if method == "grader" else method for method in METHODS]
    ax.set(yticks=places, yticklabels=names, xlim=(48, 74), xlabel="STS test, Spearman × 100 (dotted: raw lab-bert)")
    ax.invert_yaxis()
    words = [
        f"{name}: {height:.1f}; over gold alone {row['gain'][0]} to {row['gain'][1]}"
        for name, height, row in zip(names[1:], heights[1:], shown[1:], strict=True)
    ]
    return "\n".join([f"{labels} gold pairs, mean of three seeds. Gold alone: {heights[0]:.1f}", *words])


# %%
sizes = SelectionSlider(options=[50, 200, 600], value=200, description="Gold pairs", continuous_update=False)
Explorer(draw, size=(8, 3.4), labels=sizes)

# %% [markdown]
# Nothing helps beyond chance. With 50 labels synonyms end at 60.5 against 60.0 (−0.1 to 1.1); with 200 all four
# additions *cost* something, 0.8 to 1.9 points, with 600 the two silver ones do (63.2 and 62.2 against 64.9). Raw
# lab-bert, before any of this, has 58.7.
#
# Thakur et al. report gains of up to 6 points. What differs here? Their cross-encoder was clearly better than its
# pupil. Ours is not: 55.2, 61.8 and 66.9 against 60.0, 63.7 and 64.9, and only the *first* difference is beyond chance,
# against it. But that cannot be all: all-MiniLM, at 81.1, graded the same pairs, and helped no more. What is left are
# the pairs, whose grades are lower than gold's, and the gold rows that they replaced; we have not told the two apart.
# **Augmentation is a bet, and the plain run with as many steps is the one to beat.**

# %%
# The numbers this page states
if AS_WRITTEN:
    at = {key: round(mean(row["seeds"]), 1) for key, row in by_labels.items()}
    assert [at[size, "gold alone"] for size in (50, 200, 600)] == [60.0, 63.7, 64.9]
    assert [at[size, "grader"] for size in (50, 200, 600)] == [55.2, 61.8, 66.9] and at[50, "synonyms"] == 60.5
    assert [at[600, method] for method in METHODS[3:5]] == [63.2, 62.2]
    assert by_labels[50, "synonyms"]["gain"] == [-0.1, 1.1]
    gains = {key: row["gain"] for key, row in by_labels.items() if key[1] not in ("gold alone", "grader")}
    assert all(low <= 0 for low, high in gains.values())
    assert {key for key, (low, high) in gains.items() if high < 0} == {
        *((200, method) for method in METHODS[1:5]),
        *((600, method) for method in METHODS[3:5]),
    }
    assert by_labels[50, "grader"]["gain"][1] < 0
    assert all(by_labels[size, "grader"]["gain"][0] < 0 < by_labels[size, "grader"]["gain"][1] for size in (200, 600))
    assert abs(means["drawn blindly"] - 0.14) < 0.08 and abs(means["neighbours"] - 0.42) < 0.12
    assert round(sum(row.label for row in gold) / 600, 2) == 0.51 and 35 < partners < 65
    before = {row["name"]: round(mean(row["seeds"]), 1) for row in (*results.rows("01"), *results.rows("05"))}
    asked = ("mean", "cross-encoder, graded pairs", "bi-encoder, graded pairs")
    assert [before[name] for name in asked] == [58.7, 68.5, 65.7]
print("Your numbers are those of the text.")

# %% [markdown]
# ## Act 2: attack
#
# In a real encoder the attack moves what the table of word embeddings gives: for each token a vector of 256 numbers,
# about 1.05 long. How much does raw lab-bert's loss rise on 64 gold pairs, if every number moves by ε, with the sign of
# its slope, or with a random sign?

# %%
from sbert_lab import gradients

encoder, loss, batch = load(MODEL), losses.CosineRegression(), gold[:64]
columns, _ = encoder.columns([row.texts for row in batch])
grades_of = torch.tensor([row.label for row in batch])
embeddings = encoder.backbone.model.get_input_embeddings()


def after(fill):
    value = fill(encoder, loss, columns, grades_of, tokens_at_once=8192).item()
    encoder.zero_grad()
    return value


def noisy(epsilon):
    torch.manual_seed(0)
    hook = embeddings.register_forward_hook(lambda module, given, out: out + epsilon * torch.randn_like(out).sign())
    value = after(gradients.plain)
    hook.remove()
    return value


# %%
clean = after(gradients.plain)
print(f"clean {clean:.3f}")
risen = {}
for epsilon in (0.003, 0.01, 0.03):
    attacked = 2 * after(gradients.Adversarial(epsilon, "sign")) - clean  # its value is the mean of both losses
    risen[epsilon] = (attacked / clean, noisy(epsilon) / clean)
    print(f"ε {epsilon:<5}  attacked {attacked:.3f}, random signs {noisy(epsilon):.3f}")

# %% [markdown]
# The loss, 0.190, climbs to 0.27 under moves of 0.003, a twentieth of a typical number of the table, and more than
# doubles under 0.03. Random moves of the same size do not raise it at all.
#
# **Adversarial training** takes half its gradient from the batch, half from the attacked batch: `train(…,
# gradients=gradients.Adversarial(0.003, "sign"))`. It costs two passes instead of one. Does it make embeddings
# *robust*, as is often said? That has to be asked of a disturbance that it was not made from: the STS test with three
# of ten longer words mistyped, and with half of the table's words swapped for synonyms.
#
# **Predict, then run (3 of 4).** Which training does best on mistyped test pairs: plain, adversarial, or one that has
# seen typos?

# %% jupyter={"outputs_hidden": true}
attacks = results.read("10_adversaries")
print(attacks["command"], "|", attacks["measured"], "|", attacks["minutes"], "minutes")
runs = {run["name"]: run for run in attacks["runs"]}
TESTS = {"clean": "clean test", "swaps": "with synonyms", "typos": "with typos"}
print("raw lab-bert:", attacks["raw"])
for name, run in runs.items():
    shown = [
        f"{key} {mean(run[key]['seeds']):.1f} ({run['gains'][key][0]:+} to {run['gains'][key][1]:+})" for key in TESTS
    ]
    print(f"{name:26}", "  ".join(shown))

# %%
picture, ax = plots.figure(8, 3.8)
places = torch.arange(len(runs))
for shift, key, colour, marker in zip((-0.2, 0, 0.2), TESTS, plots.COLOURS, plots.MARKERS, strict=False):
    heights = [mean(run[key]["seeds"]) for run in runs.values()]
    reach = [[abs(h - r[key]["interval"][end]) for h, r in zip(heights, runs.values(), strict=True)] for end in (0, 1)]
    looks = {"color": colour, "marker": marker, "linestyle": "", "capsize": 3, "label": TESTS[key]}
    ax.errorbar(places + shift, heights, yerr=reach, **looks)
names = [name.replace(" in half of the rows", "\nin half the rows").replace("sign ", "FGSM\n") for name in runs]
ax.set(xticks=places, xticklabels=[name.replace("l2 ", "FGM\n") for name in names], ylabel="STS test, Spearman × 100")
ax.legend(frameon=False, ncols=3, loc="lower left")
told = "; ".join(
    f"{name}: {mean(r['clean']['seeds']):.1f} and {mean(r['typos']['seeds']):.1f}" for name, r in runs.items()
)
plots.show(
    picture,
    alt=f"STS on clean and on mistyped test pairs by training. {told}. Typos cost eight to ten points each time.",
)

# %% [markdown]
# *Means of three seeds with the 95 % interval over the test pairs. Whatever the training, the mistyped pairs lie eight
# to ten points below the clean ones.* The gains in brackets are over plain training on the same pairs; *sign* is FGSM,
# *l2* FGM.
#
# Typos cost 8.5 points (64.8 to 56.3), synonyms 1.6. The smallest FGSM lifts the mistyped pairs by 1.1 (0.2 to 2.1),
# but the clean ones by 0.6 too: the distance is still 8.0. Of 18 comparisons it is the only one beyond chance upwards,
# and one in 20 is outside by chance alone. Its second pass could pay for two more epochs, too: three plain ones had
# 65.7 on clean pairs in lesson 05, this run 65.4. FGM with 0.6 lowers both (62.3 and 53.9) and leaves the distance as
# it was. With ε = 0.03, or FGM's 2.0, about as long, everything falls.
#
# Training on typos did not help against typos either (56.2). We had expected it to, and do not know why. What can be
# said: **a small move of an embedding is not a typo**, which replaces the token by other pieces altogether. *Robust*
# needs a named disturbance, and the clean score beside it.

# %%
# The numbers this page states
if AS_WRITTEN:
    score = {(name, key): round(mean(run[key]["seeds"]), 1) for name, run in runs.items() for key in attacks["raw"]}
    assert [score["plain", key] for key in ("clean", "typos", "swaps")] == [64.8, 56.3, 63.2]
    assert [score["sign 0.003", key] for key in ("clean", "typos")] == [65.4, 57.4]
    assert runs["sign 0.003"]["gains"]["typos"] == [0.2, 2.1] and runs["sign 0.003"]["gains"]["clean"][0] < 0
    assert [score["l2 0.6", key] for key in ("clean", "typos")] == [62.3, 53.9]
    for name in ("sign 0.03", "l2 2.0"):
        assert all(runs[name]["gains"][key][1] < 0 for key in TESTS)
    assert score["typos in half of the rows", "typos"] == 56.2
    assert all(7.5 < score[name, "clean"] - score[name, "typos"] < 10.5 for name in runs)
    assert [name for name in runs for key in TESTS if runs[name]["gains"][key][0] > 0] == ["sign 0.003"]
    (graded,) = (row for row in results.rows("05") if row["name"] == "bi-encoder, graded pairs")
    assert round(mean(graded["seeds"]), 1) == 65.7
    assert abs(embeddings.weight.norm(dim=1).mean() - 1.05) < 0.01
print("Your numbers are those of the text.")

# %% [markdown]
# ## Act 3: distil
#
# all-MiniLM-L6-v2, trained on over a billion pairs, scores 81.1; CoSENT on our 600 graded pairs had 67.7. The pairs are
# too many for us, its *answers* are not. **Vector distillation**: encode plain sentences with the teacher, once, and
# let a smaller student copy the vectors. A label is then a tuple of 384 floats. The student: the first two of
# lab-bert's four layers, and a `Dense` from 256 to 384 numbers, drawn at random.

# %% tags=["nbval-ignore-output"]
texts = Random(0).sample(data.sentences(), 2_000)
big = load(TEACHER, precision=torch.bfloat16)
taught = [Row((text,), tuple(vector)) for text, vector in zip(texts, big.encode(texts).tolist(), strict=True)]


def new_student(layers):
    torch.manual_seed(0)
    backbone = load(MODEL, precision=torch.bfloat16).backbone
    backbone.model.encoder.layer = backbone.model.encoder.layer[:layers]
    backbone.model.config.num_hidden_layers = layers  # a saved folder must say so
    return Encoder(backbone, dense=[Dense(256, 384, "identity")], normalize=True)


pupil, plan = new_student(layers=2), Plan(epochs=2, batch_size=32, learning_rate=2e-3)
untaught = 100 * evaluation.sts(pupil, test)["spearman"]
history = train(pupil, taught, losses.VectorDistillation(), plan)
live = results.row("2-layer student, 2,000 sentences, live", [pupil], source=STS)
first, last = (1 - 192 * history.losses[step] for step in (0, -1))  # the squared error, turned into a cosine
print(f"cosine with the teacher: {first:.2f} in the first step, {last:.2f} in the last")
print(f"STS test: {untaught:.1f} before, {live['seeds'][0]:.1f} after")

# %% [markdown]
# The vectors turn towards the teacher's, from a cosine of 0 to about 0.45; STS hardly moves, from 57.4 to about 59. Two
# thousand sentences are few; the stored run takes six times as many.
#
# The same run in sentence-transformers: our saved folder, `MSELoss`, the vectors as the column `label`.

# %% tags=["nbval-ignore-output"]
import tempfile

from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from transformers import PrinterCallback

quiet = {"report_to": "none", "disable_tqdm": True, "save_strategy": "no", "use_cpu": True}
same = {"per_device_train_batch_size": 32, "learning_rate": 2e-3, "warmup_steps": 0.1, "weight_decay": 0.01, "seed": 0}
with tempfile.TemporaryDirectory() as folder:
    save(new_student(layers=2), folder)
    theirs = SentenceTransformer(folder, device="cpu")
    lines = Dataset.from_dict({"sentence": texts, "label": [list(row.label) for row in taught]})
    settings = SentenceTransformerTrainingArguments(folder, num_train_epochs=2, **same, **quiet)
    trainer = SentenceTransformerTrainer(model=theirs, args=settings, train_dataset=lines, loss=MSELoss(theirs))
    trainer.remove_callback(PrinterCallback)
    trainer.train()
library_score = 100 * evaluation.sts(theirs, test)["spearman"]
print(f"STS test: {live['seeds'][0]:.1f} by our loop, {library_score:.1f} by the Trainer")

# %% [markdown]
# About 59 and about 60; dropout, order and precision differ.
#
# **Stored**: the full recipe, all 12,650 sentences three times, one seed; speed on one core of that machine.

# %%
taught_by = results.read("10_students")
print(taught_by["command"], "|", taught_by["measured"], "|", taught_by["minutes"], "minutes")
models = {row["name"]: row for row in taught_by["models"]}
print(f"{'':36} weights (M)  texts/s   STS     95 %      nDCG@10")
for name, row in models.items():
    low, high = row["interval"]
    numbers = (
        f"{row['weights'] / 1e6:9.1f} {row['speed']:9,.0f} {row['seeds'][0]:8.1f}  {low} to {high} {row['ndcg']:7.1f}"
    )
    print(f"{name:36} {numbers}")

# %% [markdown]
# Without a single label of ours the students reach 69.7, 68.0 and 69.2 with one, two and four layers, level with
# CoSENT. The same two layers trained on NLI pairs have 62.9. One seed cannot say whether layers matter. Two layers have
# a sixth of the teacher's weights. They ran eleven times as fast, but in bfloat16, the teacher in float32; with float32
# for both (the README's table) it is five times.
#
# **What the student keeps depends on what you ask.** Of the STS score 84 %, of nDCG@10 in search, 42.0 against 75.3,
# only 56 %. *Untrained*, the two layers had 71 and 33 % already. Of the way from there to the teacher they went 44 and
# 34 %. DistilBERT's often-quoted 97 % (Sanh et al. 2019) was measured on GLUE, nine tasks, with half of BERT's layers
# and its whole corpus.

# %%
# The numbers this page states
if AS_WRITTEN:
    sts = {name: row["seeds"][0] for name, row in models.items()}
    assert [sts[f"{layers}-layer student of all-MiniLM"] for layers in (1, 2, 4)] == [69.7, 68.0, 69.2]
    assert sts["2 layers, in-batch, NLI, no teacher"] == 62.9 and sts["all-MiniLM-L6-v2"] == 81.1
    small, large = models["2-layer student of all-MiniLM"], models["all-MiniLM-L6-v2"]
    assert round(100 * small["seeds"][0] / large["seeds"][0]) == 84 and (small["ndcg"], large["ndcg"]) == (42.0, 75.3)
    assert round(100 * small["ndcg"] / large["ndcg"]) == 56 and round(small["speed"] / large["speed"]) == 11
    raw, top = models["first 2 layers, untrained"], large["seeds"][0]
    assert round(100 * raw["seeds"][0] / top) == 71 and round(100 * raw["ndcg"] / large["ndcg"]) == 33
    assert round(100 * (small["seeds"][0] - raw["seeds"][0]) / (top - raw["seeds"][0])) == 44
    assert round(100 * (small["ndcg"] - raw["ndcg"]) / (large["ndcg"] - raw["ndcg"])) == 34
    speeds = {row["method"]: row["texts_a_second"] for row in results.read("the_field")["methods"]}
    assert 4 < speeds["two layers, distilled"] / speeds["the teacher, all-MiniLM-L6-v2"] < 6
    assert [round(mean(row["seeds"]), 1) for row in results.rows("04") if row["name"] == "CoSENT, STS"] == [67.7]
    assert 5.5 < large["weights"] / small["weights"] < 6.5
    assert 57 < untaught < 58 and 57.5 < live["seeds"][0] < 61.5 and 57.5 < library_score < 62
    assert abs(last - 0.45) < 0.06
    assert abs(clean - 0.19) < 0.002 and abs(risen[0.003][0] * clean - 0.271) < 0.005
    assert risen[0.03][0] > 2 and max(random for _, random in risen.values()) < 1.01
print("Your numbers are those of the text.")

# %% [markdown]
# ## Act 4: a second language, and a third, fourth, fifth
#
# The same loss with two columns teaches languages (Reimers & Gurevych 2020): the English sentence *and* its translation
# are to land on the teacher's vector of the English one. The course has 302 sentences in five languages for training,
# 110 for testing ([datasheet](../data/parallel/README.md)). The student's tokenizer has learnt 8,192 pieces from
# English text.
#
# **Predict, then run (4 of 4).** German, Russian, Korean, Chinese: put them in the order of the share of `[UNK]`, the
# token for what the vocabulary cannot spell.

# %% jupyter={"outputs_hidden": true}
tokenizer = load(MODEL).backbone.tokenizer
spelled = {}
for place, language in enumerate(("en", *data.LANGUAGES)):
    lines = [row.texts[place > 0] for row in data.parallel("test", language if place else "de")]
    ids = [tokenizer(line, add_special_tokens=False)["input_ids"] for line in lines]
    count = sum(map(len, ids))
    unknown = sum(some.count(tokenizer.unk_token_id) for some in ids) / count
    spelled[language] = (unknown, sum(map(len, lines)) / count, len(set(map(tuple, ids))))
    print(f"{language}: {unknown:6.1%} [UNK], {spelled[language][1]:.1f} characters a token,", end=" ")
    print(f"{spelled[language][2]} of {len(ids)} different", end="   ")
    print(*tokenizer.convert_ids_to_tokens(ids[0])[:7])

# %% [markdown]
# Russian and Korean are not mostly `[UNK]`, as we had expected: the vocabulary holds Cyrillic letters and most parts of
# Korean syllables, just no words. Russian is spelled letter by letter (1.2 characters a token), German in crumbs (2.5;
# English 3.8). Of Chinese, 96 % is `[UNK]`: the 110 sentences become 75 different rows of tokens, so at most 75 of them
# can find their own. **That is the answer to the opening question**: what the tokenizer has made equal, no training
# tells apart.
#
# **Stored**: the two-layer student, then ten passes over the 1,208 pairs of all four languages. How many translations
# have their own English sentence nearest? Guessing finds 0.9 % of the 110 test sentences, 0.3 % of the 302.

# %%
picture, ax = plots.figure(7.5, 3.4)
stages = {"before, test": taught_by["before"]["test"], "after, test": taught_by["after"]["test"]}
stages["after, its own training pairs"] = taught_by["after"]["train"]
for number, (name, shares) in enumerate(stages.items()):
    bars = [place + 0.27 * (number - 1) for place in range(4)]
    drawn = ax.bar(bars, shares.values(), 0.25, color=plots.COLOURS[number], hatch=("", "//", "..")[number], label=name)
    ax.bar_label(drawn, fontsize=8)
ax.set(
    xticks=range(4),
    xticklabels=[f"{key}, {spelled[key][0]:.0%} [UNK]" for key in data.LANGUAGES],
    ylabel="own sentence nearest, %",
)
ax.legend(frameon=False)
plots.show(picture, alt=f"Translations that find their English sentence, in per cent, by language. {stages}")
print("teacher, test:", taught_by["teacher"]["test"], "| English STS of the student afterwards:", taught_by["english"])

# %% [markdown]
# *After training German finds 18 of 110 unseen sentences; Russian, Korean and Chinese find 5, 6 and 7, too few to rank
# them.*
#
# German learns: 99 % of its training pairs are found, and 16.4 % of the unseen (the teacher finds 34.5 % without any of
# this). Of their *training* pairs Russian finds 9.6 %, Korean 7.6 and Chinese 3.0: these are hardly even memorised.
# Chinese beats guessing even so, by lengths and the few known characters: nothing else reaches the model. And Russian,
# with next to no `[UNK]`, finds no more of the unseen: to be spelled is necessary, not enough. More sentences we have
# not tried. English STS pays little, 68.0 to 66.8. A real multilingual student begins with a multilingual *tokenizer*,
# as the paper's XLM-R, and with far more sentences.

# %%
# The numbers this page states
if AS_WRITTEN:
    assert list(taught_by["after"]["test"].values()) == [16.4, 4.5, 5.5, 6.4]
    assert list(taught_by["after"]["train"].values()) == [99.3, 9.6, 7.6, 3.0]
    assert list(taught_by["before"]["test"].values()) == [2.7, 0.9, 0.9, 0.9] and taught_by["english"] == 66.8
    assert taught_by["teacher"]["test"]["de"] == 34.5
    assert [round(110 * share / 100) for share in taught_by["after"]["test"].values()] == [18, 5, 6, 7]
    assert {key: round(share, 3) for key, (share, *_) in spelled.items()} == {
        "en": 0,
        "de": 0,
        "ru": 0.009,
        "ko": 0.142,
        "zh": 0.959,
    }
    assert [round(spelled[key][1], 1) for key in ("ru", "de", "en")] == [1.2, 2.5, 3.8] and spelled["zh"][2] == 75
    assert len(tokenizer) == 8192 and all(spelled[key][2] == 110 for key in ("en", "de", "ru", "ko"))
print("Your numbers are those of the text.")

# %% [markdown]
# ## Act 5: a new domain, no labels
#
# A model trained on the NLI pairs of lesson 06 is to find paraphrased *questions*: `evaluation.mining`, the average
# precision among all pairs of the 360 test questions. Of the training questions we take the texts only, not the groups.
# Four ways to use them, each for about 40 steps, 3 seeds, **stored**:
#
# - **graded by all-MiniLM**: pairs, half neighbours and half blind, with the teacher's cosine as grade (CoSENT),
# - **paired by all-MiniLM**: all pairs above a cosine of 0.7 count as positives, for in-batch negatives: pseudo-labels,
# - **crops** of a question as a pair, and **SimCSE**, a question with itself: no teacher at all.

# %%
moved = results.read("10_new_domain")
print(moved["command"], "|", moved["measured"], "|", moved["minutes"], "minutes")
for name in ("raw", "teacher"):
    print(f"{name:22} mining {moved[name][0]}, STS {moved[name][1]}")
for name, seeds in moved["runs"].items():
    mining, sts = zip(*seeds, strict=True)
    print(f"{name:22} mining {mean(mining):.1f} {list(mining)}  STS {mean(sts):.1f} {list(sts)}")

asked = data.questions("train")
answers = torch.from_numpy(big.encode([row.texts[0] for row in asked]))
groups = torch.tensor([row.label for row in asked])
alike = (answers @ answers.T).triu(1) > 0.7
right = (groups[:, None] == groups)[alike].float().mean().item()
print(f"pairs above 0.7: {alike.sum()}, of one group: {right:.0%}")

# %% [markdown]
# The same teacher, asked twice, with opposite results. Its **pairs** lift mining from 46.8 to 59.2, and STS from 64.4
# to 67.0 as well; its **grades** leave both a little lower (45.4, 62.7). **Crops**, without any teacher, bring 3.7
# points at the price of 1.4 on STS; **SimCSE** brings nothing here and costs 3.3. For pairs, grades and crops every
# seed agrees, on mining and on STS.
#
# The pairs are good ones: of the 457 that the teacher puts above 0.7, nine in ten belong to one group, as the unused
# labels show. Why the grades do not help, we have not tested; rows and loss both differ. In act 1, too, this teacher's
# cosines did harm. The teacher itself has 93.8.

# %%
# The numbers this page states
if AS_WRITTEN:
    both = {name: [round(mean(part), 1) for part in zip(*seeds, strict=True)] for name, seeds in moved["runs"].items()}
    assert both["general pairs only"] == [46.8, 64.4] and both["paired by all-MiniLM"] == [59.2, 67.0]
    assert both["graded by all-MiniLM"] == [45.4, 62.7] and both["crops"] == [50.5, 63.0]
    assert both["SimCSE"] == [46.5, 61.1] and moved["teacher"][0] == 93.8 and moved["pairs"] == 457
    signs = {"paired by all-MiniLM": (True, True), "graded by all-MiniLM": (False, False), "crops": (True, False)}
    for name, rises in signs.items():
        for new, old in zip(moved["runs"][name], moved["runs"]["general pairs only"], strict=True):
            assert (new[0] > old[0], new[1] > old[1]) == rises
    assert len(data.questions("test")) == 360 and 430 < alike.sum() < 480 and abs(right - 0.9) < 0.02
print("Your numbers are those of the text.")

# %% [markdown]
# ## One more, in the exercises: Matryoshka
#
# Vectors that may be cut (Kusupati et al. 2022) need one expression over any loss: the mean, over the widths *d* you
# would like to cut to, of the loss on the first *d* numbers.
#
# ## Claims ledger
#
# | claim | our number | verdict |
# |---|---|---|
# | There is an "SBERT v2" | – | does not hold: many methods, many authors |
# | Augmentation always helps with few labels | 12 comparisons: none beyond chance upwards, 6 downwards | does not hold here; Thakur et al. report up to 6 points |
# | Adversarial training makes embeddings robust | typos 56.3 → 57.4, clean 64.8 → 65.4; larger moves: both fall | not shown: half of what typos gain, clean gains too |
# | The student keeps 97 % of the teacher | STS 68.0 of 81.1: 84 %; search 42.0 of 75.3: 56 % | does not hold here; DistilBERT's figure is for GLUE |
# | English BERT + parallel data = multilingual model | de 2.7 → 16.4 %; ru, ko, zh at 4.5 to 6.4 % | not with 302 sentences; for Chinese the tokenizer forbids it |
# | A teacher's answers carry over to a new domain | as pairs 46.8 → 59.2, as grades → 45.4 | holds halfway |
#
# ## The growing table
#
# *live*: measured just now.

# %% tags=["nbval-ignore-output"]
results.table([*results.rows("10"), live])

# %% [markdown]
# ## Take-aways
#
# 1. New rows compete with the old ones for steps: compare augmentation with the plain run of the same length.
# 2. An attack is a direction. Training against it is worth a claim only for a named disturbance, beside the clean
# score.
# 3. A teacher's vectors are labels for any sentence, encoded once. Report each task, and where the student began.
# 4. Read the tokens before you train: what is equal there, no loss will tell apart.
# 5. In a new domain, ask the teacher for pairs as well as for grades, and measure the old task too.
#
# **Simplified:** one small model; one seed for students and languages; word swaps without senses; no back-translation;
# one learning rate a method.
#
# ## Try it
#
# **Other neighbours** (10 minutes). Draw from a sentence's fifty nearest, not five. Where does the mean go, and does
# the best pair make sense?
#
# **Break it** (5 minutes). Attack with ε = 0.1, 0.3 and 1.0. Why does the loss stop rising?
#
# **Write it yourself** (40 minutes). Matryoshka, FGM's move, the margin loss, a fair draw: [four
# exercises](../exercises/10_after_sbert.ipynb).
#
# ## Quiz
#
# ### 1. You want a Korean student from an English model. First you …
#
# <details><summary>A. collect parallel sentences</summary>Later. They are lost if the tokenizer cannot spell them.</details>
# <details><summary>B. count `[UNK]` and characters a token</summary>Right. It takes a second, and can settle the question.</details>
# <details><summary>C. raise the learning rate</summary>No. Equal tokens stay equal.</details>
#
# ### 2. After adversarial training the score on typos rises by a point. "Robust"?
#
# <details><summary>A. Yes</summary>Too early. What did the clean score do?</details>
# <details><summary>B. Not before the clean score and the interval are beside it</summary>Right. Here both rose.</details>
# <details><summary>C. No, it never is</summary>Nothing here shows that.</details>
#
# ### 3. FGM, FGSM and a random move of one length. The loss rises most for …
#
# <details><summary>A. FGSM, for it moves every number</summary>No. It spends length where the slope is small.</details>
# <details><summary>B. FGM</summary>Right, as long as the move is small: no direction is steeper than the gradient.</details>
# <details><summary>C. all alike</summary>No. A random direction is nearly flat.</details>
#
# ### 4. A grader sees 10,000 pairs drawn blindly from your texts. What will it mostly say?
#
# <details><summary>A. About the mean of the gold grades</summary>No. Gold pairs were written in twos.</details>
# <details><summary>B. A low grade</summary>Right. So choose some neighbours.</details>
# <details><summary>C. Every grade equally often</summary>No. Two texts at random have little in common.</details>
#
# ### 5. Vector distillation needs of each training sentence …
#
# <details><summary>A. a grade</summary>No.</details>
# <details><summary>B. the teacher's vector</summary>Right, encoded once and kept.</details>
# <details><summary>C. a paraphrase</summary>No. A single sentence is a row.</details>
#
# **Next:** lesson 11 puts vectors to work: search, clusters, mining, recommendation.
#
# **Sources.** Thakur et al. 2021, [Augmented SBERT](https://arxiv.org/abs/2010.08240); Goodfellow et al. 2015,
# [FGSM](https://arxiv.org/abs/1412.6572); Miyato et al. 2017, [adversarial training for
# text](https://arxiv.org/abs/1605.07725); Hinton et al. 2015, [distillation](https://arxiv.org/abs/1503.02531); Sanh et
# al. 2019, [DistilBERT](https://arxiv.org/abs/1910.01108); Reimers & Gurevych 2020, [multilingual
# students](https://arxiv.org/abs/2004.09813); Hofstätter et al. 2020, [margins](https://arxiv.org/abs/2010.02666);
# Kusupati et al. 2022, [Matryoshka](https://arxiv.org/abs/2205.13147).
