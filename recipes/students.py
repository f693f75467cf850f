"""Lesson 10, acts 3 and 4: all-MiniLM-L6-v2 teaches a smaller model, and then four languages; bfloat16, one seed."""

import time

import first_layers
import torch

from sbert_lab import Encoder, Plan, Row, data, evaluation, load, losses, results, similarity, train

began, teacher, TEST, TEXTS = time.process_time(), load("all-MiniLM-L6-v2"), data.sts("test"), data.sentences()
VECTORS, LEARN = dict(zip(TEXTS, map(tuple, teacher.encode(TEXTS).tolist()), strict=True)), losses.VectorDistillation()


def student(layers):
    torch.manual_seed(0)
    encoder = first_layers.student(layers)
    encoder.backbone.precision = torch.bfloat16
    return encoder


def measured(name, encoder):
    row, start = results.row(name, [encoder], lesson="10"), time.process_time()
    encoder.encode(TEXTS[:1000])
    row |= {"speed": 1000 // (time.process_time() - start), "weights": sum(map(torch.numel, encoder.parameters()))}
    return row | {"ndcg": results.points(evaluation.retrieval(encoder, *data.retrieval("test"))["ndcg@10"])}


def own_first(encoder, split, language):  # share of translations nearest to their own English sentence
    texts = zip(*[row.texts for row in data.parallel(split, language)], strict=True)
    english, other = (torch.from_numpy(encoder.encode(side)) for side in texts)
    right = similarity.cosine_matrix(other, english).argmax(dim=1) == torch.arange(len(other))
    return results.points(right.float().mean())


def found(encoder):
    return {split: {name: own_first(encoder, split, name) for name in data.LANGUAGES} for split in ("train", "test")}


models = [measured("all-MiniLM-L6-v2", teacher), measured("first 2 layers, untrained", Encoder(student(2).backbone))]
nli, taught = data.triplets(data.nli("train"), hard=False), [Row((text,), vector) for text, vector in VECTORS.items()]
train(pupil := Encoder(student(2).backbone), nli, losses.InBatchNegatives(), Plan(2, 32, 5e-4))
models.append(measured("2 layers, in-batch, NLI, no teacher", pupil))
for layers in (4, 1, 2):
    train(pupil := student(layers), taught, LEARN, Plan(3, 64, 1e-3))
    models.append(measured(f"{layers}-layer student of all-MiniLM", pupil))
kept = {"models": models, "rows": models[-1:], "teacher": found(teacher), "before": found(pupil)}
pairs = [row for language in data.LANGUAGES for row in data.parallel("train", language)]
train(pupil, [Row(row.texts, VECTORS[row.texts[0]]) for row in pairs], LEARN, Plan(10, 32, 5e-4))
kept |= {"after": found(pupil), "english": results.points(evaluation.sts(pupil, TEST)["spearman"])}
results.keep("10_students", "python recipes/students.py", (time.process_time() - began) / 60, **kept)
