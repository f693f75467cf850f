"""Mined negatives and a teacher's scores, one pass from the first stage on: a part of `search_training.py`."""

import random

import numpy as np
import search_scores as s
import torch
from noisy_pairs import BOTH, asked, trained
from reranking import training_rows
from two_kinds import cross

from sbert_lab import Plan, Row, losses


class Distilled(losses.ListwiseDistillation):
    """The teacher's choice among a query's own candidates, and 0.2 of the in-batch loss with them as negatives."""

    def value(self, query, *given):
        return super().value(query, *given) + 0.2 * losses.InBatchNegatives(self.temperature)([query, *given[:-1]])


def run(first, mini):
    draw, mined, base, rows = random.Random(0), [], s.found(first, *BOTH), []
    for own, best in zip(s.right, s.found(first, *BOTH, k=40, some=asked).tolist(), strict=True):
        mined.append([own, *draw.sample([place for place in best if s.of[place] != s.of[own]][:10], 2)])
    triples = [(query, *[s.texts[place] for place in some]) for query, some in zip(asked, mined, strict=True)]
    judge = cross(training_rows(), Plan(epochs=1, learning_rate=3e-4))  # lesson 05's

    def by_judge(queries, places):  # scores before the sigmoid, (Q, C)
        pairs = [(query, s.texts[place]) for query, some in zip(queries, places, strict=True) for place in some]
        return torch.from_numpy(judge.predict(pairs)).double().logit(eps=1e-6).view(len(queries), -1).numpy()

    def by(encoder, *prefixes):
        return lambda queries, places: np.take_along_axis(s.cosines(encoder, queries, *prefixes), places, axis=1) / 0.05

    teachers = {"first stage": by(first, *BOTH), "cross-encoder": by_judge, "all-MiniLM-L6-v2": by(mini)}
    labels, near = {}, s.found(first, *BOTH, k=20)
    for name, teacher in teachers.items():  # is it better than the student, on what the student finds?
        labels[name] = teacher(asked, np.array(mined))
        order = np.take_along_axis(near, (-teacher(s.wanted, near)).argsort(axis=1), axis=1)
        agrees = int((labels[name].argmax(axis=1) == 0).sum())
        rows.append(s.row(f"20 in the order of {name}", [order], [base], agrees=agrees))
    plan = {"seed": 1, "start": first, "epochs": 1, "rate": 3e-4}
    again = s.found(trained(s.rows(s.right), **plan), *BOTH)
    rows.append(s.row("the same pairs again", [again], [base]))
    rows.append(s.row("mined negatives", [s.found(trained([Row(t) for t in triples], **plan), *BOTH)], [again]))
    for name in list(teachers)[1:]:
        taught = [Row(texts, tuple(some)) for texts, some in zip(triples, labels[name].tolist(), strict=True)]
        rows.append(s.row(f"taught by {name}", [s.found(trained(taught, loss=Distilled(), **plan), *BOTH)], [again]))
    return rows
