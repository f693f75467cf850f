"""Lesson 06: temperature, batch size, hard negatives and duplicates under in-batch negatives; three seeds, bfloat16."""

import time
from itertools import combinations

import torch

from sbert_lab import Plan, Row, data, evaluation, load, losses, results, similarity, train

gold, cosines, base = [pair.label for pair in data.sts("test")], {}, "in-batch, NLI"


class Masked(losses.InBatchNegatives):  # leaves out the candidates whose label, the row's group, is the anchor's
    labels = "int"

    def value(self, anchor, positive, group):
        mates = (group[:, None] == group) & ~torch.eye(len(group), dtype=torch.bool)  # (B, B)
        scores = similarity.cosine_matrix(anchor, positive) / self.temperature
        return torch.nn.functional.cross_entropy(scores.masked_fill(mates, -torch.inf), torch.arange(len(group)))


def measure(name, rows, temperature=0.05, batch=32, rate=3e-4, epochs=1, loss=losses.InBatchNegatives, paper=""):
    made = [load("lab-bert", precision=torch.bfloat16) for _ in range(3)]
    for seed, encoder in enumerate(made):
        train(encoder, rows, loss(temperature), Plan(epochs, batch, rate, seed=seed))
    cosines[name] = [evaluation.cosines(encoder, data.sts("test")) for encoder in made]
    row = results.scored(name, gold, cosines[name], paper, "06")
    row |= {"temperature": temperature, "batch": batch, "rate": rate}
    row["dev"] = results.points([evaluation.sts(one, data.sts("dev"))["spearman"] for one in made])
    row["mining"] = results.points([evaluation.mining(one, data.questions("test")) for one in made])
    return row | {"gain": results.gain(gold, cosines[name], cosines[base])}  # over `base`, on the same pairs


nli, asked = data.nli("train"), combinations(data.questions("train"), 2)
pairs, asked = data.triplets(nli, hard=False), [Row(a.texts + b.texts, a.label) for a, b in asked if a.label == b.label]
paper = "81.57 (SimCSE, Table 5, BERT-base, mean of 7)"
found = {"rows": [measure(base, pairs), measure(f"{base}, hard negatives", data.triplets(nli), paper=paper)]}
found["temperatures"] = [measure(f"temperature {t}", pairs, t) for t in (0.01, 0.02, 0.1, 0.2, 0.5)]
rates = ((8, 1e-4), (8, 3e-4), (32, 1e-3), (128, 3e-4), (128, 1e-3), (512, 1e-3), (512, 2e-3))
found["batches"] = [measure(f"batch {size}, rate {rate}", pairs, batch=size, rate=rate) for size, rate in rates]
masked = measure("duplicates masked", asked, loss=Masked, batch=160, epochs=4)
found["duplicates"] = [measure("with duplicates", [Row(row.texts) for row in asked], batch=160, epochs=4), masked]
results.keep("06_in_batch_negatives", "python recipes/batches_and_temperatures.py", time.process_time() / 60, **found)
