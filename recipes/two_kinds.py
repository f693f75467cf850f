"""Both kinds of model on the same rows, and how lesson 05 writes a measure down: a part of `cross_encoders.py`."""

import numpy as np
import torch

from sbert_lab import CrossEncoder, load, losses, metrics, train


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
