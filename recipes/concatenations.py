"""Table 6's seven concatenations under the softmax objective, three seeds each: `python recipes/concatenations.py`.

Parts, in bfloat16: 8,000 public pairs (folder SBERT_LAB_DATA) and, three times, the course's NLI, watched on the way;
the words of the hypothesis alone; a head alone on frozen vectors; the seven, on 1,280 pairs of the course's NLI each.
"""

import random
import time

import numpy as np
import torch
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from sbert_lab import Plan, data, evaluation, load, losses, results, train

PAPER = dict(zip(losses.FEATURES, (66.04, 69.78, 70.54, 78.37, 77.44, 80.78, 80.44), strict=True))
NLI, NEW, draw = data.nli("train"), data.nli("dev") + data.nli("test"), random.Random(0).sample
PUBLIC, PUBLIC_NEW = draw(data.nli("train", "allnli"), 8_000), draw(data.nli("test", "allnli"), 1_000)
started, few, per_hundred = time.process_time(), draw(NLI, 1_280), lambda share: round(100 * float(share), 1)


def sides(encoder, pairs):
    return [torch.from_numpy(encoder.encode([pair.texts[i] for pair in pairs])) for i in (0, 1)]


def joined(u, v, features):
    parts = {"u": u, "v": v, "|u-v|": (u - v).abs(), "u*v": u * v}
    return torch.cat([parts[name] for name in features.split(",")], dim=1)  # (N, parts * D)


def labels(pairs):
    return np.array([pair.label for pair in pairs])


def look(encoder, loss, new=NEW, source="course"):  # Spearman on STS dev, the head's accuracy on new pairs
    right = loss.head(joined(*sides(encoder, new), loss.features)).argmax(dim=1).numpy() == labels(new)
    return [per_hundred(s) for s in (evaluation.sts(encoder, data.sts("dev", source))["spearman"], right.mean())]


def trained(pairs, plan, features="u,v,|u-v|", watch=None):
    torch.manual_seed(plan.seed)
    encoder, loss = load("lab-bert", precision=torch.bfloat16), losses.SoftmaxClassification(256, 3, features)
    seen = []  # grows, so that a later look is the better one and the last weights are kept
    dev = watch and (lambda encoder: seen.append(look(encoder, loss, *watch)) or len(seen))
    history = train(encoder, pairs, loss, plan, dev=dev)
    quarters = [round(float(np.mean(part)), 3) for part in np.array_split(history.losses, 4)]
    return encoder, loss, {"pairs": len(pairs) * plan.epochs, "looks": seen, "losses": quarters}


def learnt(x, y, new, right, strength):
    return per_hundred(LogisticRegression(C=strength, max_iter=500).fit(x, y).score(new, right))


def words(pairs, new):
    count = CountVectorizer(ngram_range=(1, 2), min_df=2, binary=True)
    x, x_new = count.fit_transform(p.texts[1] for p in pairs), count.transform(p.texts[1] for p in new)
    return learnt(x, labels(pairs), x_new, labels(new), 0.1)


def say(*found):
    print(*found, f"{(time.process_time() - started) / 60:.1f} min", flush=True)


watched = {"hypothesis alone": {"public": words(PUBLIC, PUBLIC_NEW), "course": words(NLI, NEW)}}
plan = Plan(batch_size=32, learning_rate=1e-4, head_learning_rate=1e-3, evaluate_every=50)
*_, watched["public"] = trained(PUBLIC, plan, watch=(PUBLIC_NEW, "stsb"))
say(watched)
*_, watched["course"] = trained(NLI, Plan(3, 32, 2e-4, 1e-3), watch=(NEW, "course"))
say(watched["course"])

old, new = (sides(load("lab-bert", precision=torch.bfloat16), pairs) for pairs in (NLI, NEW))
frozen = {}
for features in ("v", *PAPER):
    scale = StandardScaler().fit(x := joined(*old, features))
    x, x_new = scale.transform(x), scale.transform(joined(*new, features))
    frozen[features] = learnt(x, labels(NLI), x_new, labels(NEW), 0.01)
say(frozen)

rows, scores = [], {}
for features, paper in PAPER.items():
    runs = [trained(few, Plan(1, 16, 1e-4, 1e-3, seed=seed), features) for seed in range(3)]
    name = f"softmax NLI, ({features.replace('|u-v|', 'abs(u-v)')})"  # a bar would end the table's cell
    figure = f"{paper:.2f} (BERT-base, table 6, STS-B dev, 10 seeds)"
    rows.append(results.row(name, [encoder for encoder, *_ in runs], paper=figure, lesson="03"))
    scores[features] = {"paper": paper, "looks": [look(encoder, loss) for encoder, loss, _ in runs]}
    say(rows[-1], scores[features])
minutes = (time.process_time() - started) / 60
found = {"rows": rows, "scores": scores, "frozen": frozen, "watched": watched}
results.keep("03_siamese_classification", "python recipes/concatenations.py", minutes, **found)
