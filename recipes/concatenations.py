"""Table 6's seven concatenations under the softmax objective, three seeds each: `python recipes/concatenations.py`.

Parts, in bfloat16: 8,000 public pairs (folder SBERT_LAB_DATA) and, three times, the course's NLI, watched on the way;
the words of the hypothesis alone; a head alone on frozen vectors; the seven, on 1,280 pairs of the course's NLI each.
"""

import random
import time

import torch
from heads import labels, learnt, look, sides, trained
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sbert_lab import Plan, data, load, losses, results

PAPER = dict(zip(losses.FEATURES, (66.04, 69.78, 70.54, 78.37, 77.44, 80.78, 80.44), strict=True))
NLI, NEW, draw = data.nli("train"), data.nli("dev") + data.nli("test"), random.Random(0).sample
PUBLIC, PUBLIC_NEW = draw(data.nli("train", "allnli"), 8_000), draw(data.nli("test", "allnli"), 1_000)
started, few = time.process_time(), draw(NLI, 1_280)

count = CountVectorizer(ngram_range=(1, 2), min_df=2, binary=True)
words, alone = make_pipeline(count, LogisticRegression(C=0.1, max_iter=500)), {}
for name, old, new in (("public", PUBLIC, PUBLIC_NEW), ("course", NLI, NEW)):
    hypotheses = ([pair.texts[1] for pair in pairs] for pairs in (old, new))
    alone[name] = learnt(words, next(hypotheses), labels(old), next(hypotheses), labels(new))
plan = Plan(batch_size=32, learning_rate=1e-4, head_learning_rate=1e-3, evaluate_every=50)
watched = {"hypothesis alone": alone, "public": trained(PUBLIC, plan, watch=(PUBLIC_NEW, "stsb"))[2]}
watched["course"] = trained(NLI, Plan(3, 32, 2e-4, 1e-3), watch=(NEW, "course"))[2]
print(watched, flush=True)

old, new = (sides(load("lab-bert", precision=torch.bfloat16), pairs) for pairs in (NLI, NEW))
head, frozen = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500)), {}
for features in ("v", *PAPER):
    known, asked = losses.joined(*old, features), losses.joined(*new, features)
    frozen[features] = learnt(head, known, labels(NLI), asked, labels(NEW))
rows, scores = [], {}
for features, paper in PAPER.items():
    runs = [trained(few, Plan(1, 16, 1e-4, 1e-3, seed=seed), features) for seed in range(3)]
    name = f"softmax NLI, ({features})"
    figure = f"{paper:.2f} (BERT-base, table 6, STS-B dev, 10 seeds)"
    rows.append(results.row(name, [encoder for encoder, *_ in runs], paper=figure, lesson="03"))
    scores[features] = {"paper": paper, "looks": [look(*run[:2], NEW, "course") for run in runs]}
    print(rows[-1], scores[features], flush=True)
found = {"rows": rows, "scores": scores, "frozen": frozen, "watched": watched}
minutes = (time.process_time() - started) / 60
results.keep("03_siamese_classification", "python recipes/concatenations.py", minutes, **found)
