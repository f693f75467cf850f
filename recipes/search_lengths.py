"""Recall at 10 by the length of what is sought, passages and whole articles: a part of lesson 08's recipes."""

import numpy as np
import search_scores as s

from sbert_lab import search
from sbert_lab.results import points

words = np.array([len(text.split()) for text in s.texts])
bounds = np.quantile(words, [1 / 3, 2 / 3])
names = list(dict.fromkeys(s.of))
whole = [" ".join(text for text, its in zip(s.texts, s.of, strict=True) if its == name) for name in names]


def shares(groups, hits):
    """Of what is sought in each group, the share found, and how much there is."""
    groups, hits = np.array(groups), np.array(hits)
    return {
        str(group): [points(hits[groups == group].mean()), int((groups == group).sum())] for group in np.unique(groups)
    }


def recall(passages, articles):
    """From places ranked for each test query, passages in thirds by length, and articles of two and four paragraphs."""
    sought = [(q, s.ids.index(name)) for q, grades in enumerate(s.relevant.values()) for name in grades]
    thirds = [int(np.searchsorted(bounds, words[place])) for _, place in sought]
    of_passages = shares(thirds, [place in passages[q] for q, place in sought])
    sought = sorted({(q, s.of[place]) for q, place in sought})
    hits = [names.index(name) in articles[q] for q, name in sought]
    return {"passages": of_passages, "articles": shares([s.of.count(name) for _, name in sought], hits)}


def of_words():
    return recall(*[search.BM25(some).search(s.wanted, 10)[1] for some in (s.texts, whole)])


def of_encoder(encoder, query="", passage=""):
    index = search.Exact(encoder.encode([passage + text for text in whole]))
    asked = encoder.encode([query + text for text in s.wanted])
    return recall(s.found(encoder, query, passage), index.search(asked, 10)[1])
