"""Lesson 04: losses for grades, pairs and triplets; lab-bert, three seeds, bfloat16; rates chosen on STS dev."""

import time

import numpy as np
import torch

from sbert_lab import Plan, Row, data, evaluation, load, losses, results, similarity, train

PAPER = {"cosine regression, STS": "84.67 (Table 2, STS-B test, SBERT-STSb-base, 10 seeds)"}
sts, nli, test, few, full = data.sts("train"), data.nli("train"), data.sts("test"), (1, 32, 1e-4), (3, 16, 3e-4)
triplets, new = data.triplets(nli), [text for row in data.triplets(data.nli("dev")) for text in row.texts]
gold, raw, rows = np.array([row.label for row in test]), evaluation.cosines(load("lab-bert"), test), []


class Hardest(losses.TripletMargin):  # the negative is the nearest of the other rows' positives
    columns = ("anchor", "positive")

    def value(self, anchor, positive):
        others = similarity.euclidean_matrix(anchor.detach(), positive.detach()).fill_diagonal_(torch.inf)
        return super().value(anchor, positive, positive[others.argmin(dim=1)])


for name, texts, loss, plan in (
    ("cosine regression, STS", sts, losses.CosineRegression(), full),
    ("CoSENT, STS", sts, losses.CoSENT(), full),
    ("regression, labels cubed", [Row(r.texts, r.label**3) for r in sts], losses.CosineRegression(), full),
    ("contrastive, NLI", [Row(r.texts, 1 - r.label // 2) for r in nli if r.label != 1], losses.PairContrastive(), few),
    ("triplet, Euclidean, NLI", triplets, losses.TripletMargin(), few),
    ("triplet, cosine, NLI", triplets, losses.TripletMargin(1.0, "cosine"), few),
    ("triplet, others' positives", [Row((*r.texts[:2], triplets[i - 577].texts[1])) for i, r in enumerate(triplets)],
     losses.TripletMargin(), few),
    ("triplet, hardest of the batch", [Row(r.texts[:2]) for r in triplets], Hardest(), few),
    ("in-batch, NLI triplets", triplets, losses.InBatchNegatives(), (1, 32, 3e-4)),
):  # fmt: skip
    made, looks = [load("lab-bert", precision=torch.bfloat16) for _ in range(3)], []
    for seed, one in enumerate(made):
        lost = train(one, texts, loss, Plan(*plan, seed=seed)).losses
        one.backbone.precision = torch.float32
        a, p, n = torch.from_numpy(one.encode(new)).view(-1, 3, 256).unbind(1)
        right = (similarity.cosine(a, p) > similarity.cosine(a, n)).double().mean()  # of the new triplets
        dev, found = evaluation.sts(one, data.sts("dev"))["spearman"], evaluation.cosines(one, test)
        ends = np.mean(lost[:8]), np.mean(lost[-8:]), np.sqrt(np.mean((found - gold) ** 2))
        looks.append([*np.round([100 * dev, 100 * right, *ends], 3).tolist(), found])
    mine = [look.pop() for look in looks]
    more = {"gain": results.gain(gold, mine, [raw]), "dev, ordered, loss at first and last, error": looks}
    rows.append(results.scored(name, gold, mine, PAPER.get(name, ""), "04") | more)
    print(f"{time.process_time() / 60:.1f} min", rows[-1], flush=True)
results.keep("04_cosine_and_triplet_losses", "python recipes/losses_compared.py", time.process_time() / 60, rows=rows)
