"""Retrieve, then rerank 1,500 passages among 10,000 candidates: a part of `cross_encoders.py`."""

import random

import numpy as np

from sbert_lab import Row, data, load, metrics, search
from sbert_lab.results import interval, points

KS = (0, 10, 30, 100)


def training_rows():
    """Each training query with its passage (1), one that BM25 finds in another article (0), and two at random (0)."""
    asked, passages, answers = data.retrieval("train")
    ids, draw, rows = list(passages), random.Random(0), []
    _, near = search.BM25(list(passages.values())).search(list(asked.values()), 30)
    for query, places in zip(asked, near, strict=True):
        answer = next(iter(answers[query]))
        article = answer.split("-")[:-1]
        found, anywhere = (
            [i for i in some if i.split("-")[:-1] != article] for some in ([ids[p] for p in places], ids)
        )
        for name in [answer, *draw.sample(found, 1), *draw.sample(anywhere, 2)]:
            rows.append(Row((asked[query], passages[name]), float(name == answer)))
    return rows


def measure(ranker, retriever):
    """Half of the test queries, the first 100 of three retrievers, the first k of these put in order; and vectors."""
    queries, passages, relevant = data.retrieval("test")
    relevant, ids = dict(list(relevant.items())[::2]), list(passages)
    texts, inside = list(passages.values()), " ".join(passages.values())
    others = [text for text in data.sentences() if text not in inside]
    others += [text for split in ("test", "dev") for row in data.sts(split) for text in row.texts]
    candidates = texts + list(dict.fromkeys(others))[:8_500]
    names = ids + [str(place) for place in range(len(ids), len(candidates))]
    words, mini = [queries[query] for query in relevant], load("all-MiniLM-L6-v2")
    firsts, kept = {"BM25": search.BM25(candidates).search(words, 100)[1]}, {}
    for name, encoder in (("lab-bert, same queries", retriever), ("all-MiniLM-L6-v2", mini)):
        vectors = encoder.encode(candidates)
        firsts[name] = search.Exact(vectors).search(encoder.encode(words), 100)[1]
    asked = sorted({(q, int(place)) for found in firsts.values() for q, some in enumerate(found) for place in some})
    scores = dict(zip(asked, ranker.predict([(words[q], candidates[place]) for q, place in asked]), strict=True))
    for name, found in firsts.items():
        ndcg = {k: [] for k in KS}
        reached = []
        for q, (some, grades) in enumerate(zip(found.tolist(), relevant.values(), strict=True)):
            reached.append(metrics.recall([names[place] for place in some], grades, 100))
            for k in KS:
                order = sorted(some[:k], key=lambda place: -scores[q, place]) + some[k:]
                ndcg[k].append(metrics.ndcg([names[place] for place in order], grades))
        gains = {k: interval(lambda a, b: (a - b).mean(), ndcg[k], ndcg[0]) for k in KS[1:]}
        kept[name] = {
            "ndcg": {k: points(np.mean(ndcg[k])) for k in KS},
            "gains": gains,
            "recall": points(np.mean(reached)),
        }
    return {"pairs": len(asked), **kept}, vectors
