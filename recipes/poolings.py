"""Four poolings after fine-tuning: `python recipes/poolings.py`, about ten minutes on one core.

Each begins at lab-bert and learns (a) the grades of the course's STS pairs by the regression of the cosine, (b) its NLI
triplets by in-batch negatives, with seeds 0, 1, 2; the weights best on STS dev are kept. Training computes in bfloat16,
measuring in float32. Writes `data/results/02_pooling.json`.
"""

import time

import torch

from sbert_lab import Plan, data, evaluation, load, losses, results, train

PAPER = "{} (BERT-base, {}, table 6: STS-B dev, 10 seeds)"  # Reimers & Gurevych 2019, mean, cls and max
STS, NLI = data.sts("train"), data.triplets(data.nli("train"))
OBJECTIVES = {  # name: rows, loss, epochs and batch size, the paper's objective and its figures
    "STS regression": (STS, losses.CosineRegression(), (4, 16), "STS-B regression", (87.44, 86.62, 69.92)),
    "NLI in-batch": (NLI, losses.InBatchNegatives(), (1, 64), "NLI softmax", (80.78, 79.80, 79.07)),
}
dev, test, started, rows, curves, gains = data.sts("dev"), data.sts("test"), time.process_time(), [], {}, {}
gold = [row.label for row in test]

for objective, (texts, loss, (epochs, batch), theirs, figures) in OBJECTIVES.items():
    for pooling, figure in zip(("mean", "cls", "max", "attention"), (*figures, None), strict=True):
        encoders, name = [load("lab-bert", precision=torch.bfloat16) for _ in range(3)], f"{pooling}, {objective}"
        for seed, encoder in enumerate(encoders):
            encoder.pooling = pooling
            plan = Plan(seed=seed, learning_rate=3e-4, epochs=epochs, batch_size=batch)
            history = train(encoder, texts, loss, plan, dev=lambda e: evaluation.sts(e, dev)["spearman"])
            encoder.backbone.precision = torch.float32
            curves.setdefault(name, []).append(results.points([score for _, score in history.scores]))
        mine = [evaluation.cosines(encoder, test) for encoder in encoders]
        means = mine if pooling == "mean" else means  # noqa: F821  the mean comes first
        rows.append(results.scored(name, gold, mine, PAPER.format(figure, theirs) if figure else "", "02"))
        gains[name] = results.gain(gold, mine, means)
        print(rows[-1], curves[name], gains[name], f"{(time.process_time() - started) / 60:.1f}", flush=True)
minutes = (time.process_time() - started) / 60
results.keep("02_pooling", "python recipes/poolings.py", minutes, rows=rows, gain_over_mean=gains, dev=curves)
