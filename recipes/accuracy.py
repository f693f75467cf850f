"""How accurate both kinds of model are, trained on the same rows: a part of `cross_encoders.py`."""

import numpy as np
import torch
from two_kinds import bi, cross, interval, mean_spearman, points, predict

from sbert_lab import Plan, data, evaluation, losses, metrics

STS, DEV, TEST = (data.sts(split) for split in data.SPLITS)
NLI, NEW = data.nli("train"), data.nli("test")


def nli():
    """Accuracy in three classes of both kinds, and the two models."""
    torch.manual_seed(0)
    softmax, labels = losses.SoftmaxClassification(256, 3), np.array([row.label for row in NEW])
    judge = cross(NLI, Plan(epochs=2, learning_rate=3e-4), 3)
    encoder = bi(NLI, softmax, Plan(epochs=2, learning_rate=3e-4, head_learning_rate=1e-3))
    u, v = (torch.from_numpy(encoder.encode([row.texts[i] for row in NEW])) for i in (0, 1))
    said = softmax.head(torch.cat([u, v, (u - v).abs()], dim=1)).argmax(dim=1).numpy()
    right = [predict(judge, NEW).argmax(axis=1) == labels, said == labels]
    shares = dict(zip(("cross-encoder", "bi-encoder"), points([one.mean() for one in right]), strict=True))
    return shares | {"gain": interval(lambda a, b: a.mean() - b.mean(), *right)}, (judge, encoder)


def graded(before, figures, starts):
    """Two rows, three seeds of each kind on graded pairs, and the interval of the cross-encoder's lead."""
    plans = [Plan(epochs=3, batch_size=16, learning_rate=3e-4, seed=seed) for seed in range(3)]
    gold = [row.label for row in TEST]
    found = [[predict(cross(STS, plan, 1, starts[0]), TEST) for plan in plans]]
    found.append([evaluation.cosines(bi(STS, losses.CosineRegression(), plan, starts[1]), TEST) for plan in plans])
    rows = [
        {
            "name": f"{kind}, {before}graded pairs",
            "lesson": "05",
            "paper": f"{figure:.2f} (BERT-base, table 2, STS-B test)",
            "seeds": points([metrics.spearman(one, gold) for one in scores]),
            "interval": interval(mean_spearman, gold, *scores),
        }
        for kind, figure, scores in zip(("cross-encoder", "bi-encoder"), figures, found, strict=True)
    ]
    judged, encoded = found
    lead = interval(
        lambda gold, *six: mean_spearman(gold, *six[:3]) - mean_spearman(gold, *six[3:]), gold, *judged, *encoded
    )
    return rows, lead


def rates():
    """STS dev of both kinds at two learning rates, seed 0."""
    gold, found = [row.label for row in DEV], []
    for rate in (3e-4, 1e-4):
        plan = Plan(epochs=3, batch_size=16, learning_rate=rate)
        judge, encoder = cross(STS, plan), bi(STS, losses.CosineRegression(), plan)
        both = metrics.spearman(predict(judge, DEV), gold), evaluation.sts(encoder, DEV)["spearman"]
        found.append([rate, *points(both)])
    return found
