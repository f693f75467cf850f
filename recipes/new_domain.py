"""Lesson 10, act 5: from general pairs to the questions, without labels of theirs; three seeds, bfloat16."""

import time
from random import Random

import torch

from sbert_lab import Plan, Row, data, evaluation, load, losses, results, train, views
from sbert_lab.similarity import cosine_matrix

began, teacher, NLI = time.process_time(), load("all-MiniLM-L6-v2"), data.triplets(data.nli("train"), hard=False)
TEXTS, TEST = [row.texts[0] for row in data.questions("train")], data.questions("test")  # the groups are not read
VECTORS, STS, CONTRAST = torch.from_numpy(teacher.encode(TEXTS)), data.sts("test"), losses.InBatchNegatives(0.05)
PAIRS = ((VECTORS @ VECTORS.T).triu(1) > 0.7).nonzero().tolist()  # whom the teacher finds alike


def graded(encoder, seed):  # pairs, half of them near each other as `encoder` sees it, and the teacher's cosines
    own, draw = torch.from_numpy(encoder.encode(TEXTS)), Random(seed)
    nearest = cosine_matrix(own, own).fill_diagonal_(-2).topk(5).indices.tolist()
    pairs = [(i, draw.choice(nearest[i])) for i in range(len(TEXTS))]
    pairs += [draw.sample(range(len(TEXTS)), 2) for _ in TEXTS]
    return [Row((TEXTS[i], TEXTS[j]), max(float(VECTORS[i] @ VECTORS[j]), 0)) for i, j in pairs]


METHODS = {  # rows of (encoder, seed), and the loss they are for
    "general pairs only": None,
    "graded by all-MiniLM": (graded, losses.CoSENT()),
    "paired by all-MiniLM": (lambda encoder, seed: [Row((TEXTS[i], TEXTS[j])) for i, j in PAIRS], CONTRAST),
    "crops": (lambda encoder, seed: views.crops(TEXTS, seed, shortest=0.3, longest=0.8), CONTRAST),
    "SimCSE": (lambda encoder, seed: views.twice(TEXTS), CONTRAST),
}


def scores(encoder):  # (mining, STS)
    return results.points([evaluation.mining(encoder, TEST), evaluation.sts(encoder, STS)["spearman"]])


runs = {name: [] for name in METHODS}
for seed in range(3):
    base = load("lab-bert", precision=torch.bfloat16)
    train(base, NLI, CONTRAST, Plan(1, 32, 3e-4, seed=seed))
    for name, method in METHODS.items():
        encoder = load("lab-bert", precision=torch.bfloat16)
        encoder.load_state_dict(base.state_dict())
        if method:
            rows = method[0](base, seed)
            train(encoder, rows, method[1], Plan(2 * len(TEXTS) // len(rows), 32, 2e-4, seed=seed))  # as many steps
        runs[name].append(scores(encoder))
kept = {"pairs": len(PAIRS), "teacher": scores(teacher), "raw": scores(load("lab-bert")), "runs": runs}
results.keep("10_new_domain", "python recipes/new_domain.py", (time.process_time() - began) / 60, **kept)
