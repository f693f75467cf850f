"""Training with prefixes; wrong passages planted, and the filter that looks for them: part of `search_training.py`."""

import random

import numpy as np
import search_scores as s
import torch

from sbert_lab import Plan, load, losses, search, train, views

BOTH, KS = ("query: ", "passage: "), (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1500)
draw, asked = random.Random(0), list(s.asked.values())
foreign = [[place for place, article in enumerate(s.of) if article != s.of[own]] for own in s.right]
noisy = [draw.choice(some) if draw.random() < 0.35 else own for some, own in zip(foreign, s.right, strict=True)]
true = np.equal(noisy, s.right)


def trained(rows, seed=0, loss=None, start=None, epochs=2, prefixes=BOTH, rate=5e-4):
    """A fresh lab-bert, or `start`'s weights, trained on the rows with their prefixes."""
    encoder = load("lab-bert", precision=torch.bfloat16)
    encoder.load_state_dict((start or encoder).state_dict())
    rows = views.prefixed(rows, *prefixes, *prefixes[1:] * (len(rows[0].texts) - 2))
    train(encoder, rows, loss or losses.InBatchNegatives(), Plan(epochs, 32, rate, seed=seed))
    return encoder


def ranks(order):
    """Of each query's passages, best first (Q, N), the rank of the one it was paired with, from 0."""
    return (order == np.array(noisy)[:, None]).argmax(axis=1)


def run(clean, raw):
    """What each judge keeps at each k, and how many of it are true; and the search after training on what is kept."""
    rows, everything = s.rows(noisy), {"k": len(s.texts), "some": asked}
    spoilt = [trained(rows, seed) for seed in range(len(clean))]
    orders, places = [s.found(one, *BOTH, **everything) for one in spoilt], [s.found(one, *BOTH) for one in spoilt]
    judges = {"noisy pairs": orders[0], "raw": s.found(raw, **everything)}
    judges["BM25"] = search.BM25(s.texts).search(asked, len(s.texts))[1]
    kept = {"planted": int((~true).sum()), "filter": {}}
    for name, order in judges.items():
        kept["filter"][name] = [[k, int((ranks(order) < k).sum()), int(true[ranks(order) < k].sum())] for k in KS]
    found = [s.row("true pairs", [s.found(one, *BOTH) for one in clean], places), s.row("all noisy pairs", places)]
    k = 20
    parts = [[row for row, rank in zip(rows, ranks(order), strict=True) if rank < k] for order in orders]
    epochs = [round(2 * len(rows) / len(some)) for some in parts]  # as many steps
    made = [trained(some, seed, epochs=n) for seed, (some, n) in enumerate(zip(parts, epochs, strict=True))]
    found.append(s.row(f"kept at {k}", [s.found(e, *BOTH) for e in made], places, pairs=[*map(len, parts)]))
    return kept | {"noise": found}
