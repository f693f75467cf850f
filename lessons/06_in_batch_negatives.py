# %% [markdown]
# # In-batch negatives
#
# Give a model pairs that belong together, and nothing else. What could push apart what does *not* belong together? The
# other pairs of the same batch. This idea trains most sentence encoders in use. You will build its loss,
# train with it, and see what it does to duplicates.
#
# **After this lesson you can**
#
# - *write* the loss from scratch, *prove* it equal to the library's, and *compare* it with word2vec's negative sampling,
# - *read* a batch's similarity matrix and *find* the false negatives in it,
# - *choose* temperature and batch size by measurement,
# - *tell* gradient caching, which makes a batch bigger, from gradient accumulation, which does not.
#
# | | |
# |---|---|
# | Time | 50–60 minutes; the cells themselves run in about a minute and a half |
# | Comes before | lesson 04, cosine and triplet losses |
# | Hardware | any laptop; no graphics card, no network |
#
# **A question you cannot answer yet.** You would like batches of 32, but only 8 rows fit into memory. So you add up the
# gradients of four batches of 8 before each step. For some losses that is exactly the same. For this one it is not. Why,
# and what is the way out?

# %%
import os

os.environ["TQDM_DISABLE"] = "1"  # no progress bars in the stored page; tqdm reads this when it is imported

import torch
import torch.nn.functional as F
from transformers.utils import logging

from sbert_lab import Plan, Row, data, evaluation, gradients, load, losses, plots, results, save, train
from sbert_lab.similarity import cosine_matrix

logging.disable_progress_bar()

# %% [markdown]
# One setting for the whole page; with the names of the comment the numbers of the text no longer apply.

# %%
MODEL, STS, NLI = "lab-bert", "course", "course"  # with a network: "bert-base-uncased", "stsb", "allnli"
AS_WRITTEN = (MODEL, STS, NLI) == ("lab-bert", "course", "course")

# %% [markdown]
# ## A toy first: who belongs to whom?
#
# Three sentences and their three restatements, four grades each: *food*, *sky*, *garden*, *complaint*. The sentences are
# the **anchors**, each restatement is its anchor's **positive**.

# %%
anchors = torch.tensor(
    [  # food, sky, garden, complaint
        [2.0, 0.0, 1.0, 2.0],  # The soup is bland.
        [0.0, 4.0, 0.0, 3.0],  # Clouds hide Saturn again.
        [0.0, 0.0, 4.0, 3.0],  # Slugs are on my lettuce.
    ]
)
positives = torch.tensor(
    [
        [4.0, 0.0, 0.0, 3.0],  # This broth tastes of nothing.
        [0.0, 2.0, 1.0, 2.0],  # No rings to be seen over the garden tonight.
        [1.0, 0.0, 2.0, 2.0],  # My salad is being eaten before I can.
    ]
)
cosines = cosine_matrix(anchors, positives)  # (3, 4), (3, 4) -> (3, 3)
print(cosines.numpy().round(2))

# %% [markdown]
# Row *i* is an anchor, column *j* a candidate. **The diagonal is right**: candidate *i* was written for anchor *i*.
# All else is presumed wrong: these are the **in-batch negatives**, had for nothing, since their vectors were computed
# anyway. A batch of B pairs gives each anchor B − 1 of them.
#
# So each row is a multiple-choice question. Divide its cosines by a **temperature** τ, let the softmax make
# probabilities of them, and take minus the logarithm of the right one's:
#
# $$\ell_i = -\log \frac{e^{\cos(a_i, p_i)/\tau}}{\sum_j e^{\cos(a_i, p_j)/\tau}}$$
#
# By hand, for the soup at τ = 0.05: the salad is 0.93 − 0.89 = 0.044 behind, in units of τ 0.889. It weighs
# e^−0.889 = 0.411 of the right one; Saturn, 7.6 units behind, next to nothing. So the right one has 1/1.411 = 0.71, and
# the loss is −ln 0.71 = 0.34.
#
# **Predict, then run (1 of 4).** All three diagonal cosines are equal, 14/15. Which anchor has the largest loss, which
# the smallest? And how large would a loss be if all candidates were equally near?


# %% jupyter={"outputs_hidden": true}
def loss_by_loop(anchors, positives, temperature):
    losses_of_rows = []
    for i in range(len(anchors)):
        weights = []
        for j in range(len(positives)):
            cosine = anchors[i] @ positives[j] / (anchors[i].norm() * positives[j].norm())
            weights.append(torch.exp(cosine / temperature))
        losses_of_rows.append(-torch.log(weights[i] / sum(weights)))
    return torch.stack(losses_of_rows)  # (B,)


by_loop = loss_by_loop(anchors, positives, temperature=0.05)
print("temperature 0.05")
print("each row:", by_loop.numpy().round(4), " mean:", round(by_loop.mean().item(), 4))
print("all equally near:", round(torch.tensor(3.0).log().item(), 4))

# %% [markdown]
# The soup, 0.34, because its nearest rival is close behind; Saturn's loss is 0.0000. **The loss sees how far the rivals are
# behind**, not how near the right one is. Guessing among three costs ln 3 = 1.0986, among 32 it costs
# ln 32 = 3.47: a loss that stays at the logarithm of the batch size is not learning.
#
# Choosing one of B is classification, so PyTorch's cross-entropy is the whole loss. Then the package, then
# sentence-transformers, which calls it *multiple negatives ranking* and multiplies by a `scale` of 1/τ.

# %%
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

vectorised = F.cross_entropy(cosines / 0.05, torch.arange(3))  # row i: the right class is i
package = losses.InBatchNegatives(temperature=0.05)([anchors, positives])
ranking = MultipleNegativesRankingLoss(torch.nn.Identity(), scale=1 / 0.05)
library = ranking.compute_loss_from_embeddings([anchors, positives], labels=None)

assert torch.allclose(vectorised, by_loop.mean())
assert torch.allclose(package, vectorised)
assert torch.allclose(library, vectorised)
print(f"{by_loop.mean():.4f} {vectorised:.4f} {package:.4f} {library:.4f}")

# %% [markdown]
# Four times 0.1165. A **symmetric** version also asks each positive for its anchor, column by column, and takes the mean of
# both: `InBatchNegatives(symmetric=True)`. Use it if you will search in both directions.
#
# ## An older relative: word2vec's negative sampling
#
# word2vec (2013) learns from words that stand together. It too raises the score of the true pair against others, but asks
# differently. Each pair, the true one and every sampled negative, gets a yes-or-no question of its own:
#
# $$\ell = -\log\sigma(s_{\text{true}}) - \sum_{\text{sampled } j} \log\sigma(-s_j)$$
#
# Its negatives are drawn from a noise distribution, word frequency to the power ¾; ours are whoever shares the batch. Here are
# both on the soup's three scores (τ = 0.5), with the **derivative** by each score: negative means *raise it*.


# %%
def softmax_loss(scores):
    return scores.logsumexp(dim=0) - scores[0]  # the same as -log softmax(scores)[0]


def word2vec_loss(scores):
    return -F.logsigmoid(scores[0]) - F.logsigmoid(-scores[1:]).sum()


soup = cosines[0] / 0.5  # the right one first, then two negatives
for shift in (0, -3):
    for name, loss in (("softmax ", softmax_loss), ("word2vec", word2vec_loss)):
        scores = (soup + shift).requires_grad_()
        value = loss(scores)
        (slopes,) = torch.autograd.grad(value, scores)
        print(f"scores {scores.detach().numpy().round(2)}  {name} {value:.2f}  slopes {slopes.numpy().round(2)}")

# %% [markdown]
# The softmax's slopes add up to 0: it raises the true pair by exactly as much as it lowers the others (−0.58, +0.20, +0.38), and
# the nearest negative gets twice the push of the other. In word2vec every negative stands alone (0.75 and 0.86 of at most 1), whatever the
# true pair does.
#
# Lower all scores by 3: the softmax does not notice, word2vec changes its mind about everything. **Softmax is
# relative, the sigmoid absolute.** They share the principle, *contrast the true with the presumed false*, and the weak spot:
# nobody has checked the false.

# %%
# The numbers this page states
assert by_loop.numpy().round(4).tolist()[1] < 1e-4 and abs(by_loop[0] - 0.34) < 0.005 and abs(package - 0.1165) < 5e-5
assert (
    abs((cosines[0, 0] - cosines[0, 2]) / 0.05 - 0.889) < 1e-3
    and abs((cosines[0, 0] - cosines[0, 1]) / 0.05 - 7.6) < 0.1
)
assert torch.allclose(cosines.diag(), torch.tensor(14 / 15))
(slopes,) = torch.autograd.grad(softmax_loss(scores := soup.clone().requires_grad_()), scores)
assert slopes.numpy().round(2).tolist() == torch.tensor([-0.58, 0.20, 0.38]).numpy().round(2).tolist()
assert abs(slopes.sum()) < 1e-6 and torch.allclose(softmax_loss(soup), softmax_loss(soup - 3))
assert [round(x, 2) for x in torch.sigmoid(soup[1:]).tolist()] == [0.75, 0.86]
print("The toy is as described.")

# %% [markdown]
# ## Real sentences, before any training
#
# The course's NLI has 1,154 training premises, each with a sentence it entails: pairs that belong together
# ([datasheet](../data/nli/README.md)). Of the 204 held-out pairs, how many premises find their own?

# %%
pairs = data.triplets(data.nli("train", NLI), hard=False)[:20_000]  # rows of (premise, entailed)
held_out = data.triplets(data.nli("dev", NLI), hard=False)[:204]


def both_columns(encoder):
    return [torch.from_numpy(encoder.encode([row.texts[side] for row in held_out])) for side in (0, 1)]


def describe(vectors):
    matrix = cosine_matrix(*vectors)  # (204, 204)
    right, size = torch.arange(len(matrix)), len(matrix)
    others = (matrix.sum() - matrix.trace()) / (size * (size - 1))
    found = (matrix.argmax(dim=1) == right).float().mean()
    print(f"own positive {matrix.diag().mean():.2f}, others {others:.2f}, own comes first: {found:.0%}")


encoder = load(MODEL)
before = both_columns(encoder)
describe(before)

# %% [markdown]
# Raw lab-bert puts own and foreign at 0.79 and 0.68: everything is near everything, yet a third of the premises
# find their own among 204.
#
# **Predict, then run (2 of 4).** A batch of the first 32 of these pairs. Blind guessing would cost 3.47. What does raw lab-bert's
# loss come to at τ = 1, and at τ = 0.05? The vectors are the same.

# %% jupyter={"outputs_hidden": true}
batch = [vectors[:32] for vectors in before]
print("32 held-out pairs")
for temperature in (1, 0.2, 0.05, 0.01):
    value = losses.InBatchNegatives(temperature)(batch)
    print(f"temperature {temperature:<4}  loss {value:.2f}")

# %% [markdown]
# 3.35 at τ = 1, as if nothing had been read, and 1.83 at 0.05. Cosines lie between −1 and 1: undivided, even a perfect
# batch of 32, 1 on the diagonal and −1 elsewhere, would give the right one a probability of 0.19. The temperature gives the
# scores room.
#
# ## Explore: who gets the push?
#
# Each negative is pushed away in proportion to its probability. The bars show one held-out premise's share of the push for
# its nearest negatives. Move the temperature first, then the batch size.

# %%
from ipywidgets import SelectionSlider

from sbert_lab.widgets import Explorer


def draw(ax, temperature, batch_size, row=3):
    vectors = [column[:batch_size] for column in before]
    chances = (cosine_matrix(*vectors)[row] / temperature).softmax(dim=0)  # (batch_size,)
    own = chances[row].item()
    push = chances / (1 - own + 1e-12)
    push[row] = 0
    shown = push.topk(min(8, batch_size - 1))
    texts = [held_out[i].texts[1] for i in shown.indices]
    looks = {"of the push": (plots.COLOURS[1], "o")}
    plots.ranking(ax, texts, shown.values.tolist(), ["of the push"] * len(texts), looks)
    ax.set(xlim=(0, 1), xlabel="share of the push that all negatives get together")
    words = [f"{share:.0%}  {text}" for share, text in zip(shown.values.tolist(), texts, strict=True)]
    head = (
        f"Premise: {held_out[row].texts[0]}\nIts own candidate, “{held_out[row].texts[1]}”, has probability {own:.2f}. "
    )
    return "\n".join([head + f"Of the push on the {batch_size - 1} negatives:", *words])


# %%
degrees, rows = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0], [4, 8, 16, 32, 64, 128]
wide = {"description_width": "7em"}  # room for the names of the controls
temperatures = SelectionSlider(options=degrees, value=0.05, description="Temperature", style=wide)
sizes = SelectionSlider(options=rows, value=32, description="Batch size", style=wide)
Explorer(draw, size=(8, 4.6), temperature=temperatures, batch_size=sizes)

# %% [markdown]
# *At τ = 0.05 the push is spread: the nearest negative gets 23 % of it.* At 0.01 it gets 97 %: the loss has become a duel with the
# hardest negative. At 1 each gets 3 or 4 %: a crowd in which nobody is singled out. With more candidates the same premise
# finds harder rivals.

# %%
# The numbers this page states
if AS_WRITTEN:
    matrix = cosine_matrix(*before)
    own, everything = matrix.diag().mean(), matrix.sum() - matrix.trace()
    assert len(pairs) == 1154 and len({row.texts[0] for row in pairs}) == 1154 and len(held_out) == 204
    assert abs(own - 0.79) < 0.006 and abs(everything / (204 * 203) - 0.68) < 0.006
    assert abs((matrix.argmax(dim=1) == torch.arange(204)).float().mean() - 1 / 3) < 0.01
    assert abs(losses.InBatchNegatives(1)(batch) - 3.35) < 0.006
    assert abs(losses.InBatchNegatives(0.05)(batch) - 1.83) < 0.006
    best = torch.full((32, 32), -1.0).fill_diagonal_(1).softmax(dim=1)[0, 0]  # at temperature 1
    assert abs(best - 0.19) < 0.005
    for temperature, stated in ((0.05, 0.23), (0.01, 0.97), (1, 0.04)):
        chances = (matrix[3, :32] / temperature).softmax(dim=0)
        chances[3] = 0
        assert abs((chances / chances.sum()).max() - stated) < 0.006
print("Your numbers are those of the text.")

# %% [markdown]
# ## Train it
#
# One pass over the 1,154 pairs: batches of 32, τ = 0.05. No labels are read, no negatives were written.

# %% tags=["nbval-ignore-output"]
raw_score = 100 * evaluation.sts(encoder, data.sts("test", STS))["spearman"]
history = train(encoder, pairs, losses.InBatchNegatives(0.05), Plan(batch_size=32, learning_rate=3e-4))
live = results.row("in-batch, NLI, trained live", [encoder], source=STS)
after = both_columns(encoder)
describe(after)
first, last = (sum(part) / 5 for part in (history.losses[:5], history.losses[-5:]))
print(f"loss: {first:.2f} in the first five steps, {last:.2f} in the last five")
print(f"STS test: {raw_score:.1f} before, {live['seeds'][0]:.1f} after")

# %% [markdown]
# STS rises from 58.7 to about 65, though the model has never seen a grade. On held-out pairs the own positive comes first about
# every second time, not every third, and the others have sunk further (from 0.68 to about 0.36) than the own (from 0.79 to
# about 0.65): most of the training went into making room.

# %% tags=["nbval-ignore-output"]
picture, ax = plots.figure(8, 3.9)
ax.remove()
panels = picture.subplots(1, 2)
for panel, name, vectors in zip(panels, ("before", "after"), (before, after), strict=True):
    image = panel.imshow(cosine_matrix(*[column[:12] for column in vectors]), cmap="cividis", vmin=0.1, vmax=0.9)
    panel.set(title=f"{name} training", xlabel="entailed sentence", xticks=range(12), yticks=range(12))
panels[0].set_ylabel("premise")
picture.colorbar(image, ax=panels, label="cosine", shrink=0.8)
alt = "Two matrices of 12 by 12 cosines. Before training most cells are bright and some grey, none is dark; "
alt += "after it the diagonal and few others are bright, some dark."
plots.show(picture, alt=alt)

# %% [markdown]
# *Twelve held-out pairs. Before, cells are bright or grey; after, the diagonal stands out in most rows. Bright cells beside it
# are often twins (0 and 1, 2 and 3, …): the course wrote its premises in twos, like situations with different outcomes.*

# %% tags=["nbval-ignore-output"]
# The numbers this page states
if AS_WRITTEN:
    old, new = cosine_matrix(*before), cosine_matrix(*after)
    right, rest = torch.arange(204), ~torch.eye(204, dtype=torch.bool)
    assert abs(raw_score - 58.7) < 0.15 and 63 < live["seeds"][0] < 67
    assert 0.43 < (new.argmax(dim=1) == right).float().mean() < 0.6
    assert abs(new[rest].mean() - 0.36) < 0.07 and abs(new.diag().mean() - 0.65) < 0.07
    twins = torch.tensor([new[place, place ^ 1] for place in range(204)])
    assert old[:12, :12].min() > 0.5 > new[:12, :12].mean()
    assert last < first / 2 and twins.mean() > new[rest].mean() + 0.05
print("Your numbers are those of the text.")

# %% [markdown]
# ## Temperature and batch size, measured
#
# **Stored** results, as a sweep takes longer than a lesson may: 3 seeds a setting, always the same 1,154 pairs once. For each
# batch size two learning rates were tried; the one better on the *dev* split is shown.

# %%
stored = results.read("06_in_batch_negatives")
print(stored["command"], "|", stored["measured"], "|", stored["minutes"], "minutes")
plain, hard = stored["rows"]


def mean(values):
    return sum(values) / len(values)


by_temperature = sorted([plain, *stored["temperatures"]], key=lambda row: row["temperature"])
tried = sorted([plain, *stored["batches"]], key=lambda row: row["batch"])
by_size = [max((r for r in tried if r["batch"] == size), key=lambda r: mean(r["dev"])) for size in (8, 32, 128, 512)]

# %%
picture, ax = plots.figure(8, 3.6)
ax.remove()
panels = picture.subplots(1, 2, sharey=True)
for panel, key, curve in zip(panels, ("temperature", "batch"), (by_temperature, by_size), strict=True):
    places, heights = [row[key] for row in curve], [mean(row["seeds"]) for row in curve]
    reach = [[abs(h - row["interval"][end]) for h, row in zip(heights, curve, strict=True)] for end in (0, 1)]
    panel.errorbar(places, heights, yerr=reach, color=plots.COLOURS[1], marker="o", capsize=3, label="mean, 95 %")
    crosses = [(row[key], seed) for row in curve for seed in row["seeds"]]
    panel.scatter(*zip(*crosses, strict=True), color=plots.COLOURS[0], marker="x", s=22, zorder=3, label="one seed")
    panel.axhline(58.7, color="black", linestyle=":", label="raw lab-bert")
    panel.set(xscale="log", xticks=places, xticklabels=places, xlabel=key if key == "temperature" else "batch size")
    panel.minorticks_off()
panels[0].set_ylabel("STS test, Spearman × 100")
panels[1].legend(loc="lower left", frameon=False)
curves = [
    ", ".join(f"{row[key]}: {mean(row['seeds']):.1f}" for row in curve)
    for key, curve in (("temperature", by_temperature), ("batch", by_size))
]
plots.show(picture, alt=f"STS by temperature ({curves[0]}) falls from 0.05 on; by batch size ({curves[1]}) it is flat.")

# %% tags=["nbval-ignore-output"]
for row in [*by_temperature, *tried]:
    low, high = row["gain"]
    setting = f"τ {row['temperature']:<5} batch {row['batch']:>3} rate {row['rate']:<6}"
    print(
        f"{setting}  dev {mean(row['dev']):.1f}  test {mean(row['seeds']):.1f}  gain over (0.05, 32): {low} to {high}"
    )

# %% [markdown]
# *Dots are means of three seeds with the 95 % interval over the test pairs, crosses the seeds. Here temperature matters, batch
# size hardly.* The printed gains over τ 0.05, batch 32, rate 3e-4, on the same pairs, tell more finely.
#
# **Temperature.** From 0.01 to 0.05 no difference can be told (64.0, 65.1, 64.4). Above, it falls: 62.4 at 0.1, and 55.0 at 0.5, even below the raw
# model's 58.7, though that is within the interval. The push goes to everyone alike, whether near or far. Sharper helps up to a point: SimCSE chose 0.05, E5 0.01.
#
# **Batch size.** With the better rate on dev 64.6, 64.4, 65.7 and 64.9 for 8, 32, 128 and 512: only 128 has a gain whose interval
# leaves out zero, and 512 does not go on from there. At the rate of 3e-4 throughout, 128 would have come out *worse* than 32
# (63.0): fewer steps. **Batch sizes compared at one learning rate are learning rates compared.** Nor are our 399 dev pairs a
# fine judge: at batch 32 they chose 3e-4, while the test split prefers 1e-3 (66.1). We keep to the rule.
#
# Why so flat, when papers use thousands? Perhaps because 1,154 pairs soon run out of harder rivals. Where one right passage must
# be told from millions, more candidates say more.

# %%
# The numbers this page states
if AS_WRITTEN:
    assert [round(mean(row["seeds"]), 1) for row in by_temperature] == [64.0, 65.1, 64.4, 62.4, 59.9, 55.0]
    assert all(row["gain"][0] <= 0 <= row["gain"][1] for row in by_temperature[:3])
    assert all(row["gain"][1] < 0 for row in by_temperature[3:])
    assert [round(mean(row["seeds"]), 1) for row in by_size] == [64.6, 64.4, 65.7, 64.9]
    assert [row["batch"] for row in by_size if row["gain"][0] > 0] == [128]
    scores = {(row["batch"], row["rate"]): round(mean(row["seeds"]), 1) for row in tried}
    assert scores[128, 3e-4] == 63.0 and scores[32, 1e-3] == 66.1 and by_size[1]["rate"] == 3e-4
    assert len(data.sts("dev", STS)) == 399
print("Your numbers are those of the text.")

# %% [markdown]
# ## Duplicates are false negatives
#
# The loss presumes that everything off the diagonal is wrong. Put two rows of the *same* question into a batch of six, each
# with another of its paraphrases, and look at the slopes by the scores, softmax minus identity: plus pushes apart.

# %%
groups = {}
for row in data.questions("train"):
    groups.setdefault(row.label, []).extend(row.texts)
paraphrased = [texts for texts in groups.values() if len(texts) == 3]
rice = paraphrased[0]
six = [Row((rice[0], rice[1])), Row((rice[0], rice[2])), *[Row((t[0], t[1])) for t in paraphrased[1:5]]]
model = load(MODEL)


def scores_of(rows, encoder):
    columns = [torch.from_numpy(encoder.encode([row.texts[side] for row in rows])) for side in (0, 1)]
    return cosine_matrix(*columns) / 0.05  # (B, B)


print(*rice, sep="\n")
slopes = scores_of(six, model).softmax(dim=1) - torch.eye(6)
print(slopes.numpy().round(2))

# %% [markdown]
# Row 0 pulls the question to its second paraphrase (−0.45) and pushes the third away (+0.10); row 1 pulls to the third (−0.90) and
# pushes the second away, with +0.55 by far the strongest push in the batch. **The two rows undo each other's work**, on sentences
# that mean the same. Row 5, too, pushes hard (+0.25) at the third: raw lab-bert confuses these two, and that push is
# deserved.
#
# **Predict, then run (3 of 4).** Train on these six rows alone, forty steps. Four rows will go to a loss near 0. Where will the
# first two end?

# %% tags=["nbval-ignore-output"] jupyter={"outputs_hidden": true}
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
columns, _ = model.columns([row.texts for row in six])
for _ in range(40):
    gradients.plain(model, losses.InBatchNegatives(0.05), columns, None, tokens_at_once=8192)
    optimizer.step()
    optimizer.zero_grad()
each = -scores_of(six, model).log_softmax(dim=1).diag()
print("after forty steps")
print("loss of each row:", each.numpy().round(2), f" mean of the first two {each[:2].mean():.2f}")

# %% [markdown]
# At ln 2 = 0.69, and there they stay: the two ask for opposite things, and the best compromise is half and half. A loss that
# levels off too high may be full of duplicates.
#
# How often does it happen? It depends on how the rows were made. Count the rows with a mate in their batch: NLI with a row for
# *every* hypothesis, so that each premise stands three times; the pairs of each group of questions; and our training pairs.

# %%
from itertools import combinations

every = [row.texts[0] for row in data.nli("train")]  # a premise for each of its three hypotheses
asked = [label for label, texts in groups.items() for _ in combinations(texts, 2)]
generator, mates = torch.Generator().manual_seed(0), {}
for name, keys in {"every hypothesis": every, "questions": asked, "our pairs": [r.texts[0] for r in pairs]}.items():
    print(f"{name:17}", end="")
    for size in (32, 128):
        shares = []
        for _ in range(50):
            drawn = [keys[i] for i in torch.randperm(len(keys), generator=generator)[:size]]
            shares.append(mean([drawn.count(key) > 1 for key in drawn]))
        mates[name, size] = mean(shares)
        print(f"  batch {size}: {mean(shares):.0%}", end="")
    print()

# %% [markdown]
# Of every-hypothesis rows 2 % have a mate in batches of 32 and 7 % in batches of 128; of the question pairs 12 % and 47 %. Bigger batches have
# more. Ours have none: `data.triplets` gives a course premise one row.
#
# Two remedies. **Batches without duplicates** (in sentence-transformers `batch_sampler="no_duplicates"`), which finds identical texts
# only. Or a **mask**: whoever knows the groups sets the scores of a row's mates to −∞, so that they get no probability and no push.


# %%
class Masked(losses.InBatchNegatives):
    """In-batch negatives without the candidates whose label, the row's group, is the anchor's."""

    labels = "int"

    def value(self, anchor, positive, group):
        mates = (group[:, None] == group) & ~torch.eye(len(group), dtype=torch.bool)  # (B, B)
        scores = cosine_matrix(anchor, positive) / self.temperature
        return F.cross_entropy(scores.masked_fill(mates, -torch.inf), torch.arange(len(group)))


toy_pairs, ordinary = [anchors, positives], losses.InBatchNegatives(0.05)([anchors, positives])
assert torch.equal(Masked(0.05)(toy_pairs, torch.tensor([0, 1, 2])), ordinary)  # nobody has a mate
print(
    f"the toy: {ordinary:.4f}, if soup and lettuce were mates: {Masked(0.05)(toy_pairs, torch.tensor([0, 1, 0])):.4f}"
)
with_mates, masked = stored["duplicates"]
for row in (with_mates, masked):
    print(
        f"{row['name']:18} STS {mean(row['seeds']):.1f}  finding paraphrases {mean(row['mining']):.1f} {row['mining']}"
    )

# %% [markdown]
# The mask does what it should on the toy. In training (480 question pairs, batches of 160, four times over, 3 seeds; the same stored
# file) it **brings nothing**, or costs a little: average precision at finding the test split's paraphrases 59.5 with the duplicates, 58.9 masked; STS 63.9 and
# 63.1. We had expected the opposite. An anchor meets 0.7 false negatives among 159 on average: perhaps too few to matter. Count yours
# all the same.

# %% tags=["nbval-ignore-output"]
# The numbers this page states
if AS_WRITTEN:
    for place, stated in {(0, 0): -0.45, (0, 1): 0.10, (1, 1): -0.90, (1, 0): 0.55, (5, 1): 0.25}.items():
        assert abs(slopes[place] - stated) < 0.011
    assert slopes.argmax() == 6 and abs(each[:2].mean() - 0.69) < 0.03 and each[2:].max() < 0.05
    assert [round(mean(row["mining"]), 1) for row in (with_mates, masked)] == [59.5, 58.9]
    assert [round(mean(row["seeds"]), 1) for row in (with_mates, masked)] == [63.9, 63.1]
    assert [round(100 * share) for share in mates.values()] == [2, 7, 12, 47, 0, 0]
    assert len(asked) == 480 and round(159 * 2 / 479, 1) == 0.7  # mates an anchor meets in a batch of 160
print("Your numbers are those of the text.")

# %% [markdown]
# ## Hard negatives: a third column
#
# A hard negative is one written or mined to be nearly right. NLI has one for each premise: the contradiction. As a third column it joins
# the candidates of *every* row, so that B rows give B × 2B scores.

# %%
negatives = torch.tensor(
    [
        [3.0, 0.0, 0.0, 0.0],  # The soup is delicious.
        [0.0, 3.0, 0.0, 0.0],  # Saturn's rings are splendid.
        [0.0, 0.0, 3.0, 0.0],  # My lettuce is untouched.
    ]
)
three = cosine_matrix(anchors, torch.cat([positives, negatives]))  # (3, 6)
by_hand = F.cross_entropy(three / 0.05, torch.arange(3))  # the positives come first
assert torch.allclose(losses.InBatchNegatives(0.05)([anchors, positives, negatives]), by_hand)
assert torch.allclose(ranking.compute_loss_from_embeddings([anchors, positives, negatives], labels=None), by_hand)
print(three.numpy().round(2), f"\nloss {by_hand:.4f} instead of {ordinary:.4f}")
for row in (plain, hard):
    print(f"{row['name']:30} STS {mean(row['seeds']):.1f} {row['seeds']}  gain {row['gain']}")

# %% [markdown]
# The question has become harder (0.1624 instead of 0.1165). The outcome, over three seeds on the same premises: 64.4 without and
# 64.8 with contradictions. Every seed rises a little, but the interval of the gain, −0.1 to 0.8, includes zero. The course's larger run on
# public NLI, measured on public STS-B, so on another test set, found no gain: 66.8 without (one seed, half as many pairs again), 66.4 with them ([the model's datasheet](../data/models/lab-bert/README.md)). SimCSE
# reports 84.9 and 86.2 for BERT-base, on STS-B dev. Why ours differs we can only guess: a small model may hardly hear a *not*, and
# in our own data twins supply near misses already.

# %%
# The numbers this page states
public = results.read("lab_bert")["sts"]
assert abs(by_hand - 0.1624) < 5e-5
assert [round(mean(row["seeds"]), 1) for row in (plain, hard)] == [64.4, 64.8] and hard["gain"] == [-0.1, 0.8]
assert all(new > old for old, new in zip(plain["seeds"], hard["seeds"], strict=True))
assert public["in-batch-nli-pairs"]["test"] == 66.8 and public["in-batch-nli"]["test"] == 66.4
print("Your numbers are those of the text.")

# %% [markdown]
# ## A bigger batch in the same memory
#
# PyTorch keeps what the layers put out until the backward pass, and can tell us of each tensor it keeps: count the numbers,
# down again when they are let go, and remember the highest count.


# %%
class Kept:
    now = most = 0

    def __init__(self, tensor):
        self.tensor, is_weight = tensor, tensor.untyped_storage().data_ptr() in weights
        self.count = 0 if is_weight else tensor.numel()  # weights are there anyway
        Kept.now += self.count
        Kept.most = max(Kept.most, Kept.now)

    def __del__(self):
        Kept.now -= self.count


def gradient_of(encoder):
    found = torch.cat([weight.grad.flatten() for weight in encoder.parameters() if weight.grad is not None])
    encoder.zero_grad()
    return found


model = load(MODEL)
weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}

# %% [markdown]
# **Gradient caching** uses that the loss needs only the *vectors* of the whole batch, which are tiny:
#
# 1. encode everything in chunks, keeping the vectors and forgetting the rest,
# 2. compute the loss on all vectors, and its gradient *by the vectors*,
# 3. encode each chunk again, and pass its vectors' gradient on to the weights.

# %% tags=["nbval-ignore-output"]
columns, _ = model.columns([row.texts for row in pairs[:32]])
found, most = {}, {}
for fill in (gradients.plain, gradients.cached):
    model.train()  # dropout on: cached draws the same again
    torch.manual_seed(0)
    Kept.now = Kept.most = 0
    with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor):
        value = fill(model, losses.InBatchNegatives(0.05), columns, None, tokens_at_once=128)
    found[fill.__name__], most[fill.__name__] = gradient_of(model), Kept.most
    print(f"{fill.__name__:7} loss {value:.4f}, at most {Kept.most / 1e6:.1f} million numbers kept")
difference = (found["cached"] - found["plain"]).norm() / found["plain"].norm()
print(f"relative difference of the gradients: {difference:.0e}")

# %% [markdown]
# 36 million numbers against 3 million, and the gradients agree to rounding, dropout included. What is kept of the layers
# grows with the chunk, no longer with the batch. The price is a second forward pass: `train(…, gradients=gradients.cached)`.
#
# **Predict, then run (4 of 4).** The usual trick is **gradient accumulation**: add up the gradients of four batches of 8, then step. Is this the
# gradient of one batch of 32? For in-batch negatives, and for cosine regression of lesson 04?

# %% tags=["nbval-ignore-output"] jupyter={"outputs_hidden": true}
model.eval()  # no dropout: only the batches differ


def gradient(loss, batches):
    for rows in batches:
        columns, _ = model.columns([row.texts for row in rows])
        labels = None if rows[0].label is None else torch.tensor([row.label for row in rows])
        gradients.plain(model, loss, columns, labels, tokens_at_once=8192)
    return gradient_of(model) / len(batches)


off = {}
print("four batches of 8 against one of 32")
for loss, rows in ((losses.InBatchNegatives(0.05), pairs), (losses.CosineRegression(), data.sts("train", STS))):
    whole = gradient(loss, [rows[:32]])
    accumulated = gradient(loss, [rows[start : start + 8] for start in range(0, 32, 8)])
    off[type(loss).__name__] = ((whole - accumulated).norm() / whole.norm()).item()
    print(f"{type(loss).__name__:17} relative difference {off[type(loss).__name__]:.1e}")

# %% [markdown]
# For cosine regression equal to rounding, for in-batch negatives off by 45 %. The mean over rows can be cut anywhere if each row's loss depends on
# that row. Here it depends on the company: in one batch of 32 every anchor has 31 negatives, in four of 8 it has 7 each time.
# **Accumulation averages four small questions; it does not ask the big one.** This answers the opening question.

# %% tags=["nbval-ignore-output"]
# The numbers this page states
if AS_WRITTEN:
    # how much is kept differs a little between versions of torch
    assert 34 < most["plain"] / 1e6 < 38 and 2.4 < most["cached"] / 1e6 < 3.5
    assert 11 < most["plain"] / most["cached"] < 15 and difference < 1e-5
    assert off["CosineRegression"] < 1e-5 and abs(off["InBatchNegatives"] - 0.45) < 0.02
print("Your numbers are those of the text.")

# %% [markdown]
# ## The same run in sentence-transformers
#
# Same raw weights (our saved folder opens there), same pairs, loss, batch size, rate and warm-up.

# %% tags=["nbval-ignore-output"]
import tempfile

from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from transformers import PrinterCallback

quiet = {"report_to": "none", "disable_tqdm": True, "save_strategy": "no", "use_cpu": True}
plan = {"per_device_train_batch_size": 32, "learning_rate": 3e-4, "warmup_steps": 0.1, "weight_decay": 0.01, "seed": 0}
with tempfile.TemporaryDirectory() as folder:
    save(load(MODEL), folder)
    theirs = SentenceTransformer(folder, device="cpu")
    table = Dataset.from_dict({name: [row.texts[i] for row in pairs] for i, name in enumerate(("anchor", "positive"))})
    settings = SentenceTransformerTrainingArguments(folder, num_train_epochs=1, **plan, **quiet)
    loss = MultipleNegativesRankingLoss(theirs, scale=20)
    trainer = SentenceTransformerTrainer(model=theirs, args=settings, train_dataset=table, loss=loss)
    trainer.remove_callback(PrinterCallback)
    trainer.train()
library_score = 100 * evaluation.sts(theirs, data.sts("test", STS))["spearman"]
print(f"STS test: {live['seeds'][0]:.1f} by our loop, {library_score:.1f} by the Trainer")

# %% [markdown]
# About 65 and about 64. Shuffling and dropout differ; our three seeds differ as much among themselves (63.4 to 65.1).

# %% tags=["nbval-ignore-output"]
# The numbers this page states
if AS_WRITTEN:
    assert 62 < library_score < 67 and abs(library_score - live["seeds"][0]) < 2.5
    assert (min(plain["seeds"]), max(plain["seeds"])) == (63.4, 65.1)
print("Your numbers are those of the text.")

# %% [markdown]
# ## Claims ledger
#
# | claim | our number | verdict |
# |---|---|---|
# | Bigger batches are always better | 64.6, 64.4, 65.7, 64.9 for 8, 32, 128, 512 | does not hold here; the best learning rate changes with the size |
# | Accumulating gradients gives a bigger contrastive batch | gradient off by 45 %; cosine regression: equal | does not hold |
# | Gradient caching does | equal to rounding, about a thirteenth of the numbers kept | holds |
# | Lower temperature is sharper and better | sharper: 23 % of the push, then 97 %; better: down to 0.05, then no gain to be told | holds halfway |
# | Hard negatives help | 64.4 → 64.8, −0.1 to 0.8; public run 66.8 → 66.4 | not shown here; SimCSE reports 84.9 → 86.2 |
# | In-batch negatives need no labels | no grades needed, but pairs that belong together, and that nobody else in the batch belongs | holds halfway: two rows of one question end at ln 2 |
# | Masking duplicates improves training | paraphrases 59.5 → 58.9 | does not hold here |
# | SBERT used in-batch negatives | – | does not hold: the 2019 paper has softmax classification, cosine regression and triplets |
#
# ## The growing table
#
# *live* was measured just now. The papers average over seven STS sets, ours is the course's own test split: compare the orders,
# not the numbers. With BERT-base, SBERT-NLI (softmax objective) has 74.89 there (Table 1), supervised SimCSE (in-batch, hard
# negatives) 81.57.

# %% tags=["nbval-ignore-output"]
results.table(results.rows("06") + [live])

# %% [markdown]
# ## Take-aways
#
# 1. In-batch negatives are a multiple-choice question per anchor: softmax over the batch, the diagonal is right.
# 2. The negatives are free and unchecked: whatever shares the batch is pushed away, duplicates too.
# 3. The temperature decides who gets the push; from 0.01 to 0.05 no difference could be told here; higher was worse.
# 4. Compare batch sizes only with a learning rate chosen for each.
# 5. Caching gives the gradient of the big batch in the memory of a small one. Accumulation gives another gradient.
#
# **Simplified:** one small model, 1,154 pairs, one pass, two learning rates per batch size. Hard negatives were written, not mined;
# mining finds harder ones and more false ones. In several processes the candidates are gathered from all of them: lesson 12.
#
# ## Try it
#
# **The other direction** (5 minutes). Train with `losses.InBatchNegatives(0.05, symmetric=True)`. Is the difference larger than
# that between seeds?
#
# **Break it** (5 minutes). Train with τ = 1 and watch the loss. From which value does it start, and how far does it get?
#
# **Write it yourself** (30 minutes). The loss, the loss with hard negatives, and the mask: [three exercises](../exercises/06_in_batch_negatives.ipynb).
#
# ## Quiz
#
# ### 1. A batch of 64 pairs, and the loss stays at 4.16. What does that say?
#
# <details><summary>A. The learning rate is too low</summary>Perhaps: one cause of several.</details>
# <details><summary>B. The model guesses: 4.16 is ln 64</summary>Right. Nothing has been learnt, for whatever reason.</details>
# <details><summary>C. It has converged</summary>No. It never left its start.</details>
#
# ### 2. All cosines of a batch rise by 0.1. The loss …
#
# <details><summary>A. falls</summary>No. The rivals rose as well.</details>
# <details><summary>B. stays the same</summary>Right. Softmax sees differences only.</details>
# <details><summary>C. rises</summary>No. The right ones rose as well.</details>
#
# ### 3. You can fit 8 rows, and want 31 negatives per anchor.
#
# <details><summary>A. Accumulate four batches</summary>No. Each anchor still has 7.</details>
# <details><summary>B. Cache the gradients</summary>Right. All vectors meet in one loss, at the price of a second forward pass.</details>
# <details><summary>C. Lower the temperature</summary>No. That shares out the push differently among 7.</details>
#
# ### 4. A data set has five paraphrases of every question, all pairs as rows. Before training you …
#
# <details><summary>A. do nothing: more positives are better</summary>No. They also meet as negatives, the more the bigger the batch.</details>
# <details><summary>B. count the mates per batch, and mask them or draw batches without</summary>Right, and measure: here the mask brought nothing.</details>
# <details><summary>C. raise the temperature</summary>No. That weakens every push, also the right ones.</details>
#
# ### 5. Batch 128 beats batch 32 by a point at one learning rate. You conclude …
#
# <details><summary>A. more negatives help</summary>Too early. The steps are fewer too, and the rate may suit one size better.</details>
# <details><summary>B. nothing before each has its own rate and several seeds</summary>Right.</details>
# <details><summary>C. 512 will be better still</summary>No. Here it was not.</details>
#
# **Next:** [SimCSE](07_simcse.ipynb) drops even the pairs: a sentence is its own positive, and dropout makes the difference.
#
# **Sources.** Henderson et al. 2017, [Efficient Natural Language Response Suggestion](https://arxiv.org/abs/1705.00652); van den Oord et al. 2018,
# [InfoNCE](https://arxiv.org/abs/1807.03748); Mikolov et al. 2013, [word2vec's negative sampling](https://arxiv.org/abs/1310.4546); Reimers & Gurevych 2019,
# [Sentence-BERT](https://arxiv.org/abs/1908.10084); Gao et al. 2021, [SimCSE](https://arxiv.org/abs/2104.08821), Tables 4 and 5; Gao et al. 2021,
# [gradient caching](https://arxiv.org/abs/2101.06983); Wang et al. 2022, [E5](https://arxiv.org/abs/2212.03533).
