"""Lesson 05: two kinds of model on the same rows, the price of pairs, reranking: `python recipes/cross_encoders.py`.

In bfloat16, some 20 minutes on one core; seconds are processor seconds. Writes `data/results/05_cross_encoders.json`.
"""

import random
import time
from itertools import combinations

import numpy as np
import torch
from scipy.cluster.hierarchy import linkage

from sbert_lab import CrossEncoder, Plan, Row, data, evaluation, load, losses, metrics, results, search, train

STS, DEV, TEST = (data.sts(split) for split in data.SPLITS)
NLI, NEW, COSINE = data.nli("train"), data.nli("test"), losses.CosineRegression()
clock, began, kept = time.process_time, time.process_time(), {"rows": [], "gains": {}}


def cross(rows, plan, classes=1, start=None):
    torch.manual_seed(plan.seed)
    model = CrossEncoder(load("lab-bert", precision=torch.bfloat16).backbone, classes)
    if start:  # all but its head, which has other classes
        model.load_state_dict({k: v for k, v in start.state_dict().items() if "head" not in k}, strict=False)
    train(model, rows, losses.PairScores(classes), plan)
    return model


def bi(rows, loss, plan, start=None):
    encoder = load("lab-bert", precision=torch.bfloat16)
    encoder.load_state_dict((start or encoder).state_dict())
    train(encoder, rows, loss, plan)
    return encoder


def predict(model, rows):
    return model.predict([row.texts for row in rows])


def points(values):
    return np.round(100 * np.asarray(values, dtype=float), 1).tolist()


def interval(measure, *columns):
    return points(np.quantile(metrics.bootstrap(measure, *columns), [0.025, 0.975]))


def mean_spearman(gold, *some):
    return float(np.mean([metrics.spearman(one, gold) for one in some]))


def seconds(work, *given):
    start = clock()
    work(*given)
    return round(clock() - start, 4)


def say(*what):
    print(f"{(clock() - began) / 60:.1f} min", *what, flush=True)


# The price: every pair against every sentence, and clustering by itself
short = [t for row in STS + TEST for t in row.texts if len(t.split()) <= 9][:512]
judge, encoder = (
    CrossEncoder(load("lab-bert", precision=torch.bfloat16).backbone),
    load("lab-bert", precision=torch.bfloat16),
)
judge.predict(list(combinations(short[:16], 2))), encoder.encode(short[:64])  # the first call warms up
kept["times"] = []
for n in (32, 32, 32, 64, 64, 64, 128, 128, 256, 512):
    pairs, lengths = list(combinations(short[:n], 2)), encoder.tokenize(short[:n])[0].lengths
    kept["times"].append(
        [n, len(pairs), seconds(judge.predict, pairs), seconds(encoder.encode, short[:n]), int(lengths.sum())]
    )
    say(kept["times"][-1])

# Accuracy: NLI once with each kind; then graded pairs with three seeds, from the raw weights and from those after NLI
torch.manual_seed(0)
plan, softmax, labels = (
    Plan(2, 32, 3e-4, 1e-3),
    losses.SoftmaxClassification(256, 3),
    np.array([row.label for row in NEW]),
)
starts = cross(NLI, Plan(2, 32, 3e-4), 3), bi(NLI, softmax, plan)
u, v = (torch.from_numpy(starts[1].encode([row.texts[i] for row in NEW])) for i in (0, 1))
right = [predict(starts[0], NEW).argmax(axis=1) == labels]
right.append(softmax.head(torch.cat([u, v, (u - v).abs()], dim=1)).argmax(dim=1).numpy() == labels)
kept["nli"] = dict(zip(("cross-encoder", "bi-encoder"), points([one.mean() for one in right]), strict=True))
kept["nli"]["gain"] = interval(lambda a, b: a.mean() - b.mean(), *right)
say(kept["nli"])
gold = [row.label for row in TEST]
for before, figures, (one, other) in (("", (84.30, 84.67), (None, None)), ("NLI, then ", (88.33, 85.35), starts)):
    plans = [Plan(3, 16, 3e-4, seed=seed) for seed in range(3)]
    judges, encoders = [cross(STS, plan, 1, one) for plan in plans], [bi(STS, COSINE, plan, other) for plan in plans]
    found = [predict(judge, TEST) for judge in judges], [evaluation.cosines(encoder, TEST) for encoder in encoders]
    for kind, scores, figure in zip(("cross-encoder", "bi-encoder"), found, figures, strict=True):
        row = {"name": f"{kind}, {before}graded pairs", "lesson": "05"}
        row |= {"paper": f"{figure:.2f} (BERT-base, table 2, STS-B test)"}
        row |= {
            "seeds": points([metrics.spearman(one, gold) for one in scores]),
            "interval": interval(mean_spearman, gold, *scores),
        }
        kept["rows"].append(row)
    both = lambda gold, *six: mean_spearman(gold, *six[:3]) - mean_spearman(gold, *six[3:])  # noqa: E731
    kept["gains"][f"{before}graded pairs"] = interval(both, gold, *found[0], *found[1])
    if not before:  # on dev, with the rate above and a lower one
        pairs = {
            3e-4: (judges[0], encoders[0]),
            1e-4: (cross(STS, Plan(3, 16, 1e-4)), bi(STS, COSINE, Plan(3, 16, 1e-4))),
        }
        grades = [row.label for row in DEV]
        kept["rates"] = [
            [rate, *points([metrics.spearman(predict(a, DEV), grades), evaluation.sts(b, DEV)["spearman"]])]
            for rate, (a, b) in pairs.items()
        ]
    say(kept["rows"][-2:], kept["gains"], kept["rates"])

# Reranking: 1,500 passages among 10,000 candidates, every second test query, the first 100 of three retrievers
asked, passages, answers = data.retrieval("train")
ids, texts, draw, rows = list(passages), list(passages.values()), random.Random(0), []
_, near = search.BM25(texts).search(list(asked.values()), 30)
for query, places in zip(asked, near, strict=True):
    answer = next(iter(answers[query]))
    strange = lambda some: [i for i in some if i.split("-")[:-1] != answer.split("-")[:-1]]  # noqa: E731, B023
    wrong = draw.sample(strange([ids[i] for i in places]), 1) + draw.sample(strange(ids), 2)
    rows += [Row((asked[query], passages[name]), float(name == answer)) for name in [answer, *wrong]]
ranker = cross(rows, Plan(1, 32, 3e-4))
positives = [Row(row.texts) for row in rows if row.label]
retriever = bi(positives, losses.InBatchNegatives(), Plan(2, 32, 3e-4))
say("ranker and retriever are trained")
everything = " ".join(texts)
others = [t for t in data.sentences() if t not in everything] + [t for row in TEST + DEV for t in row.texts]
candidates = texts + list(dict.fromkeys(others))[:8500]
queries, _, relevant = data.retrieval("test")
relevant = dict(list(relevant.items())[::2])
mini, words = load("all-MiniLM-L6-v2"), [queries[query] for query in relevant]
vectors = mini.encode(candidates)
firsts = {"BM25": search.BM25(candidates).search(words, 100)[1]}
firsts["lab-bert, same queries"] = search.Exact(retriever.encode(candidates)).search(retriever.encode(words), 100)[1]
firsts["all-MiniLM-L6-v2"] = search.Exact(vectors).search(mini.encode(words), 100)[1]
asked = sorted({(q, int(place)) for found in firsts.values() for q, places in enumerate(found) for place in places})
scores = dict(zip(asked, ranker.predict([(words[q], candidates[place]) for q, place in asked]), strict=True))
name, kept["reranking"] = (lambda place: ids[place] if place < 1500 else str(place)), {"pairs": len(asked)}  # noqa: E731
for retriever_name, found in firsts.items():
    ndcg = {}
    for k in (0, 10, 30, 100):
        order = [sorted(p[:k], key=lambda place: -scores[q, place]) + list(p[k:]) for q, p in enumerate(found.tolist())]  # noqa: B023
        ndcg[k] = [metrics.ndcg([name(i) for i in o], g) for o, g in zip(order, relevant.values(), strict=True)]
    reached = [
        metrics.recall([name(i) for i in p], g, 100) for p, g in zip(found.tolist(), relevant.values(), strict=True)
    ]
    gains = {k: interval(lambda a, b: (a - b).mean(), ndcg[k], ndcg[0]) for k in (10, 30, 100)}
    kept["reranking"][retriever_name] = {
        "ndcg": {k: points(np.mean(x)) for k, x in ndcg.items()},
        "gains": gains,
        "recall": points(np.mean(reached)),
    }
say(kept["reranking"])
kept["clustering"] = [[n, seconds(linkage, vectors[:n], "average", "cosine")] for n in (2000, 5000, 10_000)]
results.keep("05_cross_encoders", "python recipes/cross_encoders.py", (clock() - began) / 60, **kept)
