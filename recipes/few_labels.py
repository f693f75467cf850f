"""Lesson 10, act 1: what 50, 200 and 600 graded pairs teach, with and without augmentation; three seeds, bfloat16."""

import time
from random import Random

import torch

from sbert_lab import CrossEncoder, Plan, Row, data, evaluation, load, losses, results, similarity, train, views

began, GOLD, TEST, BFLOAT = time.process_time(), data.sts("train"), data.sts("test"), torch.bfloat16
GRADES, POOL = [row.label for row in TEST], [text for row in GOLD for text in row.texts]
VECTORS, TEACHER = torch.from_numpy(load("lab-bert").encode(POOL)), load("all-MiniLM-L6-v2")
NEAREST = similarity.cosine_matrix(VECTORS, VECTORS).fill_diagonal_(-2).topk(5).indices.tolist()  # (1200, 5)


def unlabeled(count, seed):  # pairs: half of texts near each other as raw lab-bert sees it, half drawn blindly
    draw = Random(seed)
    near = [(i, draw.choice(NEAREST[i])) for i in draw.sample(range(len(POOL)), count // 2)]
    return [(POOL[i], POOL[j]) for i, j in near + [draw.sample(range(len(POOL)), 2) for _ in near]]


def judged(size, half, seed):
    """Scores on the test pairs by method; every run sees 2 * half * size pairs once."""
    gold, pairs, plan = Random(seed).sample(GOLD, size), unlabeled(size * half, seed), Plan(1, 16, 3e-4, seed=seed)
    torch.manual_seed(seed)  # of the grader's new layer
    cross = CrossEncoder(load("lab-bert", precision=BFLOAT).backbone)
    train(cross, gold * 2 * half, losses.PairScores(), plan)
    u, v = (TEACHER.encode(side) for side in zip(*pairs, strict=True))
    graders = {"Augmented SBERT": cross.predict(pairs), "all-MiniLM": (u * v).sum(axis=1)}
    rows, found = {"gold alone": gold * 2 * half}, {"grader": cross.predict([row.texts for row in TEST])}
    for name, change in (("synonyms", views.synonyms(data.synonyms())), ("typos", views.typos)):
        rows[name] = gold * (half - 1) + views.augmented(gold, change, seed, copies=half)
    for name, said in graders.items():
        rows[name] = gold * half + [Row(p, min(max(float(s), 0), 1)) for p, s in zip(pairs, said, strict=True)]
    for name in rows:
        train(encoder := load("lab-bert", precision=BFLOAT), rows[name], losses.CosineRegression(), plan)
        found[name] = evaluation.cosines(encoder, TEST)
    return found


labels = []
for size, half in ((50, 6), (200, 3), (600, 1)):
    made = [judged(size, half, seed) for seed in range(3)]
    for name in made[0]:
        scores, alone = ([one[key] for one in made] for key in (name, "gold alone"))
        row = results.scored(f"{size} graded pairs: {name}", GRADES, scores, "", "10")
        labels.append(row | {"method": name, "size": size, "gain": results.gain(GRADES, scores, alone)})
kept = {"labels": labels, "rows": [row for row in labels if row["method"] in ("gold alone", "Augmented SBERT")]}
results.keep("10_few_labels", "python recipes/few_labels.py", (time.process_time() - began) / 60, **kept)
