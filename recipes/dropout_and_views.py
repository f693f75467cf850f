"""Lesson 07: SimCSE's two views, by dropout, crop or deletion; 3 seeds, bfloat16, rates chosen on STS dev."""

import random
import time

from view_run import once, run, test

from sbert_lab import Row, data, evaluation, load, results, views

gold, base, kept = [row.label for row in test], "SimCSE, dropout 0.1", {}


def measure(name, rows, rates=(3e-5, 1e-4), paper="", **setting):
    tried = [run(rows, rate, **setting) for rate in rates]
    best = max(tried, key=lambda one: one["path"][-1][0])
    made, raw = [best, *[run(rows, best["rate"], seed, **setting) for seed in (1, 2)]], load("lab-bert")
    kept[name], raw.pooling = [one["cosines"] for one in made], setting.get("pooling", "mean")
    row = results.scored(name, gold, kept[name], paper, "07") | {"rate": best["rate"]}
    row["over raw"] = results.gain(gold, kept[name], [evaluation.cosines(raw, test)])
    row["over dropout 0.1"] = results.gain(gold, kept[name], kept[base])
    row["tried"] = [[one["rate"], *one["path"][-1]] for one in tried]
    row["runs"] = [{key: one[key] for key in ("losses", "path")} for one in made]
    print(f"{time.process_time() / 60:.1f} min", row, flush=True)
    return row


draw = random.Random(0)
longer = draw.sample(data.sentences(), 2560)
texts = longer[:1280]
cut = [(words, draw.randrange(len(words))) for words in map(str.split, texts)]  # which word goes
deleted = [Row((" ".join(words), " ".join(words[:at] + words[at + 1 :] or words))) for words, at in cut]
twice, crops = views.twice(texts), views.crops(texts, seed=0)
ninety = views.crops(texts, seed=0, shortest=0.9, longest=0.9, deletion=0)
rows = [measure(base, twice, paper="76.25 (SimCSE, Table 5, BERT-base, mean of 7)")]
rows += [measure("SimCSE, dropout 0", twice, p=0, fill=once), measure("SimCSE, crops of 5 to 50 %", crops)]
same = (rows[0]["rate"],)
others = [measure("one mask for both", twice, same, fill=once), measure("a word deleted", deleted, same)]
others += [measure("cls", twice, pooling="cls"), measure("cls, head", twice, pooling="cls", head=True)]
others += [measure("mean, head", twice, same, head=True), measure("crops of 90 %", ninety, same)]
others += [measure("crops of 5 to 50 %, dropout 0", crops, (rows[2]["rate"],), p=0)]
others += [measure(f"dropout {p}", twice, same, p=p) for p in (0.2, 0.3)]
long = {"dropout 0.1": run(views.twice(longer), 1e-4)}
long["dropout 0"] = run(views.twice(longer), 1e-4, p=0, fill=once)
long["crops"] = run(views.crops(longer, seed=0), 1e-4)
long["supervised"] = run(data.triplets(data.nli("train")), 3e-4, every=5, batch=32)
for found in long.values():
    found["test"] = results.scored("", gold, [found.pop("cosines")])["seeds"][0]
minutes = time.process_time() / 60
results.keep("07_simcse", "python recipes/dropout_and_views.py", minutes, rows=rows, others=others, long=long)
