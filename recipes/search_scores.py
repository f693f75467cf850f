"""What the recipes of lesson 08 share: pairs to train on, and a search measured query by query."""

from functools import cache

import numpy as np
import torch

from sbert_lab import Row, data, metrics, search, similarity
from sbert_lab.results import interval, points

queries, passages, relevant = data.retrieval("test")
asked, _, answers = data.retrieval("train")
ids, texts, wanted = list(passages), list(passages.values()), [queries[query] for query in relevant]
right = [ids.index(next(iter(answers[query]))) for query in asked]  # of each training query, its passage's place
of = [name.rpartition("-")[0] for name in ids]  # the article of each passage
matching = np.array([[grades.get(name, 0) > 0 for name in ids] for grades in relevant.values()])  # (Q, N)
MEASURES = {"ndcg": metrics.ndcg, "mrr": metrics.reciprocal_rank, "recall": metrics.recall}


def rows(places):
    return [Row((query, texts[place])) for query, place in zip(asked.values(), places, strict=True)]


_index = cache(lambda encoder, prefix: search.Exact(encoder.encode([prefix + text for text in texts])))


def cosines(encoder, some=wanted, query="", passage=""):
    """Of each query with every passage, with these prefixes: (Q, N)."""
    vectors = torch.from_numpy(encoder.encode([query + text for text in some]))
    return similarity.cosine_matrix(vectors, _index(encoder, passage).vectors).numpy()


def found(encoder, query="", passage="", k=10, some=wanted):
    """The places of the first k passages for each query, the test ones unless told, (Q, k)."""
    return (-cosines(encoder, some, query, passage)).argsort(axis=1, kind="stable")[:, :k]


def each(places, measure="ndcg"):
    """The measure of each test query, (Q,)."""
    pairs = zip(places, relevant.values(), strict=True)
    return np.array([MEASURES[measure]([ids[place] for place in some], grades) for some, grades in pairs])


def row(name, seeds, over=None, **more):
    """nDCG, MRR and recall at 10 of each seed's `found`; 95 % of the nDCG, and of its gain over others' `found`."""
    made = {"name": name, **more, **{m: points([each(places, m).mean() for places in seeds]) for m in MEASURES}}
    own, other = (np.mean([each(places) for places in some], axis=0) for some in (seeds, over or seeds))  # (Q,)
    made |= {"interval": interval(np.mean, own), "gain": interval(np.mean, own - other)}
    print(made, flush=True)
    return made
