"""Lesson 08: search learnt from the passages alone: crops and inverse cloze, in the batch and with a momentum queue.

`python recipes/contrastive_views.py`: bfloat16, some 6 minutes on one core; as many seeds as a row has numbers.
"""

import time

import search_lengths
import search_scores as s
import torch
from torch.nn.functional import cosine_similarity

from sbert_lab import Plan, gradients, load, losses, results, train, views


class Watched(gradients.Momentum):
    """Half-way, compares each key of the queue with what the slow and the fast encoder say of its text by then."""

    def __init__(self, momentum, batches, steps=94):
        super().__init__(momentum, batches)
        self.texts, self.left, self.ages = [], steps // 2, {}

    def __call__(self, encoder, loss, columns, *more):
        value = super().__call__(encoder, loss, columns, *more)
        self.texts, self.left = [*self.texts, columns[1]][-self.batches :], self.left - 1
        held = zip(self.queue[::-1], self.texts[::-1], strict=True)  # the newest first
        for key, texts in held if self.left == 0 else ():
            with torch.no_grad():  # dropout is on, as it was for the keys
                for name, model in (("slow", self.encoder), ("fast", encoder)):
                    same = cosine_similarity(key, model(texts)).mean().item()
                    self.ages.setdefault(name, []).append(round(same, 3))
        return value


def trained(rows, seed, fill=gradients.plain):
    encoder = load("lab-bert", precision=torch.bfloat16)
    train(encoder, rows, losses.InBatchNegatives(0.05), Plan(1, 32, 5e-4, seed=seed), gradients=fill)
    return encoder


crops, cloze = ([row for seed in (0, 1) for row in view(s.texts, seed)] for view in (views.crops, views.inverse_cloze))
made = [trained(crops, seed) for seed in range(3)]
base = [s.found(one) for one in made]
kept = {"views": [s.row("crops, in the batch", base)], "lengths": {"crops": search_lengths.of_encoder(made[0])}}
kept["views"].append(s.row("inverse cloze, in the batch", [s.found(trained(cloze, 0))], base, rows=len(cloze)))
for momentum, batches, seeds in ((0.99, 16, 3), (0.99, 1, 3), (0.9995, 16, 3), (0, 16, 1)):
    fills = [Watched(momentum, batches) for _ in range(seeds)]
    places = [s.found(trained(crops, seed, fill)) for seed, fill in enumerate(fills)]
    kept["views"].append(s.row(f"crops, momentum {momentum}, {batches} batches", places, base, ages=fills[0].ages))
results.keep("08_contrastive_views", "python recipes/contrastive_views.py", time.process_time() / 60, **kept)
