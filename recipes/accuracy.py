"""How accurate both kinds of model are, trained on the same rows: a part of `cross_encoders.py`."""

import numpy as np
import torch
from heads import labels, sides
from two_kinds import bi, cross, predict

from sbert_lab import Plan, data, evaluation, losses, metrics, results

STS, DEV, TEST = (data.sts(split) for split in data.SPLITS)
NLI, NEW = data.nli("train"), data.nli("test")
PAPER = "BERT-base, table 2, STS-B test"


def nli():
    """Accuracy in three classes of both kinds, and the two models."""
    torch.manual_seed(0)
    softmax = losses.SoftmaxClassification(256, 3)
    judge = cross(NLI, Plan(epochs=2, learning_rate=3e-4), 3)
    encoder = bi(NLI, softmax, Plan(epochs=2, learning_rate=3e-4, head_learning_rate=1e-3))
    said = softmax.scores(*sides(encoder, NEW)).argmax(dim=1).numpy()
    right = [predict(judge, NEW).argmax(axis=1) == labels(NEW), said == labels(NEW)]
    shares = dict(zip(("cross-encoder", "bi-encoder"), results.points(np.mean(right, axis=1)), strict=True))
    return shares | {"gain": results.interval(lambda a, b: a.mean() - b.mean(), *right)}, (judge, encoder)


def graded(rate, starts, seeds=(0, 1, 2)):
    """Both kinds trained on graded pairs, one model a seed."""
    plans = [Plan(epochs=3, batch_size=16, learning_rate=rate, seed=seed) for seed in seeds]
    judges = [cross(STS, plan, 1, starts[0]) for plan in plans]
    return judges, [bi(STS, losses.CosineRegression(), plan, starts[1]) for plan in plans]


def compared(models, before, figures):
    """A row of the table for each kind, and the interval of the cross-encoder's lead."""
    judges, encoders = models
    gold = [row.label for row in TEST]
    found = [predict(judge, TEST) for judge in judges], [evaluation.cosines(encoder, TEST) for encoder in encoders]
    rows = [
        results.scored(f"{kind}, {before}graded pairs", gold, scores, f"{figure:.2f} ({PAPER})", "05")
        for kind, figure, scores in zip(("cross-encoder", "bi-encoder"), figures, found, strict=True)
    ]
    return rows, results.gain(gold, *found)


def on_dev(judge, encoder):
    """STS dev of one model of each kind, Spearman x 100."""
    gold = [row.label for row in DEV]
    return results.points([metrics.spearman(predict(judge, DEV), gold), evaluation.sts(encoder, DEV)["spearman"]])
