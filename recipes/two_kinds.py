"""Both kinds of model, trained on the same rows: a part of `cross_encoders.py`."""

import torch

from sbert_lab import CrossEncoder, load, losses, train


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
