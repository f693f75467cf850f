"""Lesson 10, act 2: adversarial training on graded pairs, and scores under typos and synonyms; 3 seeds, bfloat16."""

import time
from functools import partial

import torch

from sbert_lab import Plan, data, evaluation, gradients, load, losses, results, train, views

began, GOLD, TEST = time.process_time(), data.sts("train"), data.sts("test")
GRADES, EPOCHS = [row.label for row in TEST], 2
TYPOS, SWAPS = partial(views.typos, rate=0.3), views.synonyms(data.synonyms())
TESTS = {"clean": TEST} | {
    name: views.augmented(TEST, change, seed=10)[len(TEST) :] for name, change in (("typos", TYPOS), ("swaps", SWAPS))
}


def scores(rows, fill):
    """The test pairs' cosines under each test set, a list over the seeds."""
    found = {name: [] for name in TESTS}
    for seed in range(3):
        encoder = load("lab-bert", precision=torch.bfloat16)
        train(encoder, rows(seed), losses.CosineRegression(), Plan(1, 16, 3e-4, seed=seed), gradients=fill)
        for name, test in TESTS.items():
            found[name].append(evaluation.cosines(encoder, test))
    return found


def mistyped(seed):
    return views.augmented(GOLD, TYPOS, seed)  # as many rows as the others see


def ordinary(seed):
    return GOLD * EPOCHS


raw = load("lab-bert", precision=torch.bfloat16)
settings = {"plain": (ordinary, gradients.plain), "typos in half of the rows": (mistyped, gradients.plain)}
for norm, sizes in (("sign", (0.003, 0.01, 0.03)), ("l2", (0.6, 2.0))):
    settings |= {f"{norm} {size}": (ordinary, gradients.Adversarial(size, norm)) for size in sizes}
before = {name: results.points(evaluation.sts(raw, test)["spearman"]) for name, test in TESTS.items()}
kept, base = {"raw": before, "runs": []}, {}
for name, setting in settings.items():
    found = scores(*setting)
    base = base or found  # plain comes first
    each = {test: results.scored(name, GRADES, found[test], "", "10") for test in TESTS}
    gains = {test: results.gain(GRADES, found[test], base[test]) for test in TESTS}
    kept["runs"].append({"name": name, "gains": gains} | each)
results.keep("10_adversaries", "python recipes/adversaries.py", (time.process_time() - began) / 60, **kept)
