# %% [markdown]
# # Sentence-T5: a vector from a network that writes
#
# T5 (2020) reads a text with one half, the **encoder**, and writes an answer with the other, the **decoder**. Sentence-T5 (2022) asks where in such a network
# a sentence vector is to be had. There are three places. You will read all three, see what the decoder does when it does not write, and train them alike.
#
# **After this lesson you can**
#
# - *say* what a T5 learns from, and *cut* a text as its pretraining does,
# - *take* a vector from the encoder's mean, its first token, and the decoder's first step, and *prove* that nothing is written,
# - *recognise* the decoder's first step as a pooling,
# - *compare* the three before and after training, and *name* what pretraining had to do with it.
#
# | | |
# |---|---|
# | Time | 40–50 minutes; the cells themselves run in about a minute |
# | Comes before | lessons [02](02_pooling.ipynb) (pooling) and [06](06_in_batch_negatives.ipynb) (in-batch negatives) |
# | Hardware | any laptop; no graphics card, no network |
#
# **A question you cannot answer yet.** A decoder writes a text token by token. Before it has written the first, it already holds a vector that depends on the whole
# sentence. How did the sentence get into it? You built the same thing in lesson 02, under another name.

# %%
import os

os.environ["TQDM_DISABLE"] = "1"  # no progress bars in the stored page; tqdm reads this when it is imported

import tempfile

import torch
import torch.nn.functional as F
from transformers import T5ForConditionalGeneration
from transformers.utils import logging

from sbert_lab import Plan, data, load, losses, plots, pooling, results, save, sources, spans, train
from sbert_lab.decoder import DecoderFirst
from sbert_lab.similarity import unit
from sbert_lab.tokens import Tokens

logging.disable_progress_bar()

# %% [markdown]
# One setting for the whole page; with the names of the comment the numbers of the text no longer apply.

# %%
MODEL, READY, STS = "lab-t5", None, "course"  # with a network: "google-t5/t5-small", "sentence-t5-base", "stsb"
AS_WRITTEN = (MODEL, STS) == ("lab-t5", "course")

# %% [markdown]
# ## A toy first: one look at four tokens
#
# *The soup is bland.* Its four tokens have been through an encoder; each has four numbers, for *food*, *sky*, *garden*, *complaint*. A decoder that is about to write holds
# one vector of its own, the **query**. It compares the query with each token, turns the products into weights that add up to 1, and takes the tokens in these shares. That is **cross-attention**.

# %%
tokens = torch.tensor(
    [  # food, sky, garden, complaint
        [0.0, 0.0, 0.0, 0.0],  # the
        [4.0, 0.0, 0.0, 0.0],  # soup
        [0.0, 0.0, 0.0, 0.0],  # is
        [1.0, 0.0, 0.0, 3.0],  # bland
    ]
)
query = torch.tensor([0.2, 0.0, 0.0, 0.4])


def look_by_loop(query, tokens):
    weights = [torch.exp(query @ token) for token in tokens]
    return sum(weight * token for weight, token in zip(weights, tokens, strict=True)) / sum(weights)


by_loop = look_by_loop(query, tokens)
print("weights:", (tokens @ query).softmax(dim=0).numpy().round(2), " vector:", by_loop.numpy().round(2))

# %% [markdown]
# By hand: the products are 0, 0.8, 0 and 1.4; e to their power 1, 2.23, 1 and 4.06, in all 8.28. So *bland* weighs 4.06 / 8.28 = 0.49, *soup* 0.27, and the complaint is 3 × 0.49 = 1.47.
#
# **Predict, then run (1 of 4).** Set the query to zeros. Which weights, and which pooling of lesson 02 is that?

# %% jupyter={"outputs_hidden": true}
indifferent = look_by_loop(torch.zeros(4), tokens)
print("four numbers: food, sky, garden, complaint")
print("query of zeros:", indifferent.numpy(), " mean of the tokens:", tokens.mean(dim=0).numpy())

# %% [markdown]
# All products are 0, all weights ¼: the mean. A decoder's look is **attention pooling**, with a query that is learnt. Hence four ways to write it: the loop; one line; the package's attention
# pooling, which lesson 02 used; and PyTorch's attention, `scale=1.0` because T5, unlike BERT, does not divide the products by √D. (sentence-transformers has no decoder to compare with.)

# %%
one_line = (tokens @ query).softmax(dim=0) @ tokens  # (4, D), (D,) -> (D,)
batch = Tokens(torch.zeros(4, dtype=torch.int64), torch.tensor([4]), torch.zeros(4, dtype=torch.int64))
package = pooling.attention(tokens, batch, tokens @ query)[0]
library = F.scaled_dot_product_attention(query[None], tokens, tokens, scale=1.0)[0]

assert torch.allclose(one_line, by_loop)
assert torch.allclose(package, one_line)
assert torch.allclose(library, package)
print(one_line.numpy().round(4))

# %%
# The numbers this page states
assert [round(x, 2) for x in (tokens @ query).softmax(dim=0).tolist()] == [0.12, 0.27, 0.12, 0.49]
assert abs(by_loop[3] - 1.47) < 0.005 and torch.equal(indifferent, tokens.mean(dim=0))
print("The toy is as described.")

# %% [markdown]
# ## What a T5 learns from
#
# Not pairs, not labels: texts with holes. **Span corruption** cuts about 15 % of a text out, three tokens at a time on average. A **sentinel** stands where a span was; the decoder has to write each
# sentinel and what it hid.
#
# **lab-t5** is the course's own: four encoder layers of width 256, two decoder layers, the WordPiece tokenizer of lab-bert. It was trained by the package's loop, on 2 CPU cores, in 18 minutes. There
# is a story to that, told in its [datasheet](../data/models/lab-t5/README.md): by span corruption alone its encoder was still of no use after 9,000 steps (the decoder had learnt to write
# without looking). So here the encoder was also *taught*: the vector of each token had to be the one that lab-bert gives it. Keep that in mind when you compare the two.
#
# **Predict, then run (2 of 4).** The sentence below has 20 tokens. How many will the decoder have to write? (15 % of 20, a sentinel for each span, and an end.)

# %% jupyter={"outputs_hidden": true}
folder = sources.find(MODEL)
t5 = T5ForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
encoder = load(MODEL)
tokenizer = encoder.backbone.tokenizer
text = "The baker opens his shop at six in the morning and sells bread to the town."
ids = tokenizer(text, add_special_tokens=False, return_tensors="np").input_ids[0]
torch.manual_seed(1)
read, written, _ = spans.corrupt([ids], tokenizer)
print(text)
print(len(ids), "tokens;", len(written.ids), "to write")
print("the encoder reads: ", tokenizer.decode(read.ids))
print("the decoder writes:", tokenizer.decode(written.ids))

# %% [markdown]
# Three are cut, in one span: with the sentinel and the end, five. `[SEP]` ends both texts; there is no `[CLS]`: **nothing stands before a T5's sentence**. Now let it write.

# %%
gaps = (
    "The capital of France is <extra_id_0>.",
    "He was born in <extra_id_0> and died in 1950.",
    "The <extra_id_0> is a large animal.",
)
for gap in gaps:
    given = tokenizer(gap, return_tensors="pt").input_ids
    said = t5.generate(given, max_new_tokens=6, do_sample=False)
    print(f"{gap:46} {tokenizer.decode(said[0])}")

# %% [markdown]
# A city for a capital, a year for a year of birth, a species for an animal: it has learnt the kind of thing that is missing, not the thing. (`[PAD]` is T5's start token.)
#
# ## Three places for a vector
#
# Sentence-T5 compares
#
# - **encoder mean**: the average of the encoder's token vectors, as we always did,
# - **encoder first**: the first of them. In BERT that is `[CLS]`; here it is the first word,
# - **decoder first**: the decoder gets its start token, looks at the sentence, and what then stands in this one place is the vector. No vocabulary, no choice of a word, no second step.
#
# In the package the first two are a pooling's name, the third is `DecoderFirst`. Step by step it is this:


# %%
def first_step(text):
    ids = tokenizer(text, return_tensors="pt").input_ids  # (1, L)
    start = torch.tensor([[t5.config.decoder_start_token_id]])  # (1, 1)
    with torch.inference_mode():
        seen = t5.encoder(ids).last_hidden_state  # (1, L, D)
        return t5.decoder(start, encoder_hidden_states=seen).last_hidden_state[0, 0]  # (D,)


decoder_first = DecoderFirst(load(MODEL).backbone, t5.decoder)
assert torch.allclose(torch.from_numpy(decoder_first.encode(text)), first_step(text), atol=1e-4)

with tempfile.TemporaryDirectory() as saved:
    from sentence_transformers import SentenceTransformer

    save(encoder, saved)
    theirs = SentenceTransformer(saved, device="cpu")
    assert torch.allclose(torch.from_numpy(encoder.encode(text)), torch.from_numpy(theirs.encode(text)), atol=1e-4)
    print(theirs)

# %% [markdown]
# The second assert opens our encoder in sentence-transformers: a T5 encoder, then mean pooling. `sentence-t5-base` looks the same there, with a linear layer and a normalisation behind; its page says that it
# "uses only the encoder". The decoder is not even in the file.
#
# "Sentence-T5 *generates* an embedding", one often reads. Let us count. Each half and the **output layer**, which turns a vector into scores of all 8,224 entries, report when they are called.
#
# **Predict, then run (3 of 4).** We write six tokens for one sentence, then take the vectors of 100 sentences, by the encoder's mean and by the decoder's first step. How often is each part called?

# %% jupyter={"outputs_hidden": true}
calls = {"encoder": 0, "decoder": 0, "output layer": 0}


def counted(name):
    def count(module, given, out):
        calls[name] += 1

    return count


sentences = [row.texts[0] for row in data.sts("test", STS)[:100]]
halves = [encoder.backbone.model.encoder, decoder_first.backbone.model.encoder, t5.encoder]
parts = [*(("encoder", half) for half in halves), ("decoder", t5.decoder), ("output layer", t5.lm_head)]
hooks = [part.register_forward_hook(counted(name)) for name, part in parts]
print("calls of                    encoder   decoder   output layer")
for name, work in (
    ("writing six tokens", lambda: t5.generate(given, max_new_tokens=6, min_new_tokens=6, do_sample=False)),
    ("vectors by the encoder", lambda: encoder.encode(sentences)),
    ("vectors by the decoder", lambda: decoder_first.encode(sentences)),
):
    calls.update(dict.fromkeys(calls, 0))
    work()
    print(f"{name:26}  {calls['encoder']:7}   {calls['decoder']:7}   {calls['output layer']:12}")
for hook in hooks:
    hook.remove()

# %% [markdown]
# Writing six tokens calls decoder and output layer six times. For 100 vectors the output layer is **never** called, and the decoder once (100 short sentences are one batch) or not at all. A
# sentence vector is *read off*, not generated.
#
# ## Where does it look?
#
# The decoder's start token has four heads in each of two layers; each head has weights over the tokens of the sentence, as in the toy.


# %%
def looks(text):
    given = tokenizer(text, return_tensors="pt").input_ids
    start = torch.tensor([[t5.config.decoder_start_token_id]])
    with torch.inference_mode():
        found = t5(input_ids=given, decoder_input_ids=start, output_attentions=True)
    weights = torch.stack([layer[0, :, 0] for layer in found.cross_attentions])  # (layers, heads, L)
    return tokenizer.convert_ids_to_tokens(given[0]), weights


# %%
from ipywidgets import Dropdown, Text

from sbert_lab.widgets import Explorer


def draw(ax, sentence, layer):
    names, weights = looks(sentence)
    shown = weights[layer - 1]  # (heads, L)
    for head, row in enumerate(shown.tolist()):
        places = [place + 0.18 * (head - 1.5) for place in range(len(names))]  # side by side
        ax.plot(row, places, plots.MARKERS[head], color=plots.COLOURS[head], label=f"head {head + 1}")
    ax.axvline(1 / len(names), color="black", linestyle=":", label="mean pooling")
    ax.set(yticks=range(len(names)), yticklabels=names, xlim=(-0.02, 1.02), xlabel="weight of the token")
    ax.invert_yaxis()
    ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    most = [f"head {head + 1}: {names[row.argmax()]} {row.max():.2f}" for head, row in enumerate(shown)]
    return (
        f"Layer {layer}, the token with most weight: " + "; ".join(most) + f". Mean pooling: {1 / len(names):.2f} each."
    )


# %%
Explorer(
    draw,
    size=(8, 4.5),
    sentence=Text(value="The old man sold his house near the river.", description="Sentence"),
    layer=Dropdown(options=[1, 2], value=2, description="Layer"),
)

# %% [markdown]
# *Each head gives nearly all its weight to one or two tokens, far from mean pooling (dotted): to the river, an article, a full stop.* And the first layer, over 100 sentences?

# %%
at_end = torch.stack([looks(sentence)[1][0, :, -1] for sentence in sentences]).mean(dim=0)  # (heads,)
print("mean weight of [SEP] in layer 1:", at_end.numpy().round(2))

# %% [markdown]
# There three of four heads look at `[SEP]`, the same token in every sentence. (Its *vector* is not the same: the encoder has mixed the sentence into every place.) So the start token does pool, but it was never
# asked for a summary; it had to begin an answer.
#
# ## Raw: none was made for this
#
# Now the three on the STS test, as they come from pretraining.

# %%
pairs = data.sts("test", STS)
first = load(MODEL)
first.pooling = "cls"
readings = {"encoder mean": encoder, "encoder first": first, "decoder first": decoder_first}
raw = {name: results.row(f"lab-t5 raw, {name}, live", [reading], source=STS) for name, reading in readings.items()}
for name, row in raw.items():
    print(f"{name:14} {row['seeds'][0]:.1f}  95 % {row['interval'][0]} to {row['interval'][1]}")

texts = list(dict.fromkeys(text for row in pairs for text in row.texts))
opening = [text.split()[0].lower() for text in texts]
vectors = {name: unit(torch.from_numpy(readings[name].encode(texts))) for name in ("encoder mean", "encoder first")}
alike = torch.tensor([[a == b for b in opening] for a in opening])
others = ~torch.eye(len(texts), dtype=torch.bool)
gap = {}
for name, v in vectors.items():
    cosines = v @ v.T  # (N, N)
    gap[name] = [cosines[alike & others].mean().item(), cosines[~alike].mean().item()]
    print(f"{name:14} mean cosine: same first word {gap[name][0]:.2f}, another {gap[name][1]:.2f}")

# %% [markdown]
# **Encoder mean** has 65.4, more than its teacher, raw lab-bert (58.7); why it passes it, we have not tested. **Decoder first** has 54.4. **Encoder first** has 2.3, as good as nothing: two sentences with
# the same first word have a mean cosine of 0.88, others 0.35, whatever they say. The mean hardly notices (0.70 and 0.66).
#
# ## Training: contrastive, like everyone else
#
# Sentence-T5 is trained with [in-batch negatives](06_in_batch_negatives.ipynb): first on question-and-answer pairs of the web, then on NLI with contradictions as hard negatives. No
# text is written in training either. We do the second stage on the course's 1,154 triplets.

# %% tags=["nbval-ignore-output"]
torch.manual_seed(0)
model = load(MODEL, precision=torch.bfloat16)
triplets = data.triplets(data.nli("train"))
history = train(model, triplets, losses.InBatchNegatives(), Plan(batch_size=32, learning_rate=3e-4))
model.backbone.precision = torch.float32
live = results.row("lab-t5, encoder mean, NLI, trained live", [model], source=STS)
begin, end = history.losses[0], history.losses[-1]
print(f"loss {begin:.2f} to {end:.2f} in {len(history.losses)} steps; STS test {live['seeds'][0]:.1f}")
if READY:
    print(results.row(READY, [load(READY)], source=STS))

# %% [markdown]
# From 65.4 to about 68.5, in 37 steps. [Lesson 06](06_in_batch_negatives.ipynb) took lab-bert to 64.8 with the same triplets.
#
# **Stored** results: the three places, three seeds each, the better of two learning rates by dev. Beside them two **twins** of the same shape that were never pretrained: one keeps lab-t5's word vectors under
# random layers, one is random throughout.
#
# **Predict, then run (4 of 4).** After training, which place is best? And how far behind lab-t5 is the twin that knows only its words?

# %% jupyter={"outputs_hidden": true}
stored = results.read("09_sentence_t5")
print(stored["command"], "|", stored["measured"], "|", stored["minutes"], "minutes")


def mean(values):
    return sum(values) / len(values)


for run in stored["runs"]:
    trained, ndcg = mean(run["seeds"]), mean(run["ndcg"])
    print(f"{run['start']:28} {run['reading']:14} raw {run['raw']:4}, trained {trained:.1f} {run['seeds']},", end=" ")
    print(f"against lab-t5's mean {run['gain']}, nDCG@10 {ndcg:.1f}")

# %%
picture, ax = plots.figure(8, 3.8)
told = []
for place, run in enumerate(stored["runs"]):
    middle, (low, high) = mean(run["seeds"]), run["interval"]
    ax.plot(run["raw"], place, plots.MARKERS[2], color=plots.COLOURS[0], label="raw" * (place == 0))
    ax.plot([low, high], [place, place], color=plots.COLOURS[1], label="95 %" * (place == 0))
    ax.plot(middle, place, plots.MARKERS[0], color=plots.COLOURS[1], label="trained on NLI" * (place == 0))
    told.append(f"{run['start']}, {run['reading']}: raw {run['raw']}, trained {middle:.1f}")
names = [f"{run['start']}: {run['reading']}" for run in stored["runs"]]
ax.set(yticks=range(len(names)), yticklabels=names, xlabel="STS test, Spearman × 100")
ax.invert_yaxis()
ax.legend(frameon=False)
plots.show(picture, alt="; ".join(told) + ".")

# %% [markdown]
# *Squares: raw. Dots and bars: mean of three seeds after training, with the 95 % interval over the test pairs. The mean of the encoder leads, the first word is far off.*
#
# **Places.** After training the mean has 68.5, the decoder's first step 65.9, which is 0.9 to 4.3 less. The paper found the opposite on STS, with far larger models. The first word climbs from 2.3 to 23.1: training
# *can* send the rest of the sentence there, but 37 steps do not.
#
# **Twins.** The all-random one ends at 56.1, so pretraining is worth 12.4 points. But the twin that kept only the *word vectors*, under random layers, has 66.5: from 4.2 behind to 0.1 ahead, which may be chance. **Most of what pretraining gave to
# this test is the word vectors.** In search more is left: nDCG@10 38.9 against 33.7 (three seeds each; BM25 has 57.0). And before the training on NLI that twin is 8.9 points behind: the layers had learnt something, of which 1,154 triplets teach much again.
#
# And lab-bert, the teacher? Trained alike it has 64.8, the pupil 68.5. Another norm, no `[CLS]`, no dropout, a teacher of its own: they differ in many ways, and we have not separated them.
#
# The same training in sentence-transformers is the loss and the Trainer of [lesson 06](06_in_batch_negatives.ipynb), with a third column.

# %% tags=["nbval-ignore-output"]
# The numbers this page states
if AS_WRITTEN:
    assert (len(ids), len(written.ids)) == (20, 5)
    assert (at_end > 0.7).sum() == 3 and looks("The old man sold his house near the river.")[1].amax(dim=2).min() > 0.7
    scores = [row["seeds"][0] for row in raw.values()]
    assert all(abs(x - y) < 0.15 for x, y in zip(scores, (65.4, 2.3, 54.4), strict=True))
    rounded = [round(x, 2) for x in gap["encoder first"] + gap["encoder mean"]]
    assert rounded == [0.88, 0.35, 0.7, 0.66]
    assert len(history.losses) == 37 and abs(live["seeds"][0] - 68.5) < 0.6
    kept = {(run["start"], run["reading"]): run for run in stored["runs"]}
    ended = {key: round(mean(run["seeds"]), 1) for key, run in kept.items()}
    assert list(ended.values()) == [68.5, 23.1, 65.9, 66.5, 64.4, 56.1, 53.3]
    assert kept["lab-t5", "decoder first"]["gain"] == [-4.3, -0.9] and round(68.5 - 56.1, 1) == 12.4
    words = kept["its words, layers untrained", "encoder mean"]
    assert words["gain"] == [-4.2, 0.1] and round(65.3 - words["raw"], 1) == 8.9
    assert [round(mean(run["ndcg"]), 1) for run in (stored["runs"][0], words)] == [38.9, 33.7]
print("Your numbers are those of the text.")

# %% [markdown]
# ## Claims ledger
#
# | claim | our number | verdict |
# |---|---|---|
# | Sentence-T5 generates an embedding | for 100 vectors the output layer is called 0 times, the decoder once or not at all | does not hold |
# | The decoder's first step is best on STS (the paper's abstract: its encoder-decoder sets a new best) | 65.9 against 68.5, −4.3 to −0.9 | does not hold here |
# | The first token of T5 is its `[CLS]` | raw 2.3, trained 23.1 | does not hold: it is the first word |
# | A raw T5 encoder beats a raw BERT | 65.4 against 58.7 | here, yes; but ours was taught by that BERT |
# | Pretraining makes the vector | 68.5; random layers over its words 66.5, all random 56.1 | holds halfway: the words are most of it on this test |
# | Sentence-T5 is less good in search (the page of `sentence-t5-base`) | nDCG@10 38.9, BM25 57.0 | holds here, as for all our NLI models |
#
# ## The growing table
#
# *live* was measured just now. The paper goes up to T5 with 11 billion weights; ours has 7 million.
#
# %% tags=["nbval-ignore-output"]
results.table([*results.rows(until="09"), *raw.values(), live])

# %% [markdown]
# ## Take-aways
#
# 1. A sentence vector is read off a T5, not generated: the output layer is never called.
# 2. The decoder's first step is attention pooling with a learnt query and layers of its own.
# 3. A T5 has no `[CLS]`. Its first token is the first word.
# 4. A network that can write need not have an encoder worth reading: look whether the decoder uses it at all.
# 5. Before you praise pretraining, train its twin that knows nothing but the words.
#
# **Simplified:** one small model, whose encoder was taught by lab-bert; NLI alone, without the first stage on web questions; the linear layer and the normalisation behind the mean are left out
# (a cosine does not see the second).
#
# ## Try it
#
# **Read elsewhere** (5 minutes). Set `encoder.pooling = "last"`: that is `[SEP]`, which ends a T5's text. Better or worse than the first?
#
# **Break it** (5 minutes). Put a word before every sentence, `"sentence: " + text`, and measure *encoder first* again. What happens, and why?
#
# **Write it yourself** (40 minutes). Spans, the decoder's input, its first look, T5's normalisation: [four exercises](../exercises/09_sentence_t5.ipynb).
#
# ## Quiz
#
# ### 1. What does a T5's decoder write to make a sentence vector?
#
# <details><summary>A. A summary, whose tokens are averaged</summary>No. No token is written.</details>
# <details><summary>B. Nothing</summary>Right. Its first step's vector is taken before any word is chosen; or it is not used at all.</details>
# <details><summary>C. One token, whose embedding is the vector</summary>No. That would be one of 8,224 vectors, whatever the sentence.</details>
#
# ### 2. The decoder's query is set to zeros. Its look at the sentence is …
#
# <details><summary>A. zero</summary>No. The weights still add up to 1.</details>
# <details><summary>B. the mean of what it looks at</summary>Right. All products are 0, so all weights are equal.</details>
# <details><summary>C. the first token</summary>No. Nothing favours it.</details>
#
# ### 3. Why is *encoder first* a poor choice for a raw T5?
#
# <details><summary>A. The first token is the first word, and no training asked it to stand for the rest</summary>Right.</details>
# <details><summary>B. T5 hides its `[CLS]`</summary>No. There is none.</details>
# <details><summary>C. The decoder needs it</summary>No. Cross-attention may look at every token.</details>
#
# ### 4. `sentence-t5-base` is opened in sentence-transformers. Which part of T5 is missing?
#
# <details><summary>A. The encoder</summary>No. That is what you get.</details>
# <details><summary>B. The decoder, with the output layer</summary>Right. The mean of the encoder needs neither.</details>
# <details><summary>C. The word embeddings</summary>No. The encoder reads through them.</details>
#
# ### 5. A random network with good word vectors, trained like a pretrained one, comes near it. You conclude …
#
# <details><summary>A. pretraining is useless</summary>Too much. The word vectors are themselves pretrained, and a small test asks for little more than words.</details>
# <details><summary>B. compare with such a twin before you praise pretraining</summary>Right.</details>
# <details><summary>C. the test is broken</summary>Too much. It may well be easy for word vectors; other tests are not.</details>
#
# **Next:** [After SBERT](10_after_sbert.ipynb): few labels, attacks, small students, other languages, a new domain.
#
# **Sources.** Raffel et al. 2020, [T5](https://arxiv.org/abs/1910.10683), section 3.3.4 on spans; Ni et al. 2022, [Sentence-T5](https://arxiv.org/abs/2108.08877); the page of
# [sentence-t5-base](https://huggingface.co/sentence-transformers/sentence-t5-base); Baevski et al. 2022, [data2vec](https://arxiv.org/abs/2202.03555); Zhang & Sennrich 2019,
# [RMSNorm](https://arxiv.org/abs/1910.07467).
