"""Lesson 09: lab-t5 read in three places, raw and trained on NLI, beside untrained twins; three seeds, bfloat16."""

import time

import torch
from transformers import T5Model

from sbert_lab import Encoder, Plan, data, evaluation, load, losses, results, sources, train
from sbert_lab.decoder import DecoderFirst

began, TEST, DEV = time.process_time(), data.sts("test"), data.sts("dev")
GRADES, ROWS, RATES = [row.label for row in TEST], data.triplets(data.nli("train")), (1e-4, 3e-4)
FULL, WORDS, NOTHING = "lab-t5", "its words, layers untrained", "all untrained"


def made(start, reading):
    """The T5, or a twin of random weights with its word vectors or without, read in one of three places."""
    torch.manual_seed(0)
    t5 = T5Model.from_pretrained(sources.find("lab-t5"), dtype=torch.float32)
    backbone, words = load("lab-t5", precision=torch.bfloat16).backbone, t5.shared.weight.detach()
    if start != FULL:
        t5 = T5Model(t5.config)
        if start == WORDS:
            t5.shared.weight.data.copy_(words)
        backbone.model.load_state_dict(t5.state_dict(), strict=False)  # without the decoder
    pooling = {"encoder mean": "mean", "encoder first": "cls"}.get(reading)
    return Encoder(backbone, pooling) if pooling else DecoderFirst(backbone, t5.decoder)


def trained(start, reading, rate, seed):
    train(encoder := made(start, reading), ROWS, losses.InBatchNegatives(), Plan(1, 32, rate, seed=seed))
    return encoder


def measured(start, reading):
    raw = results.points(evaluation.sts(made(start, reading), TEST)["spearman"])
    tried = {rate: trained(start, reading, rate, seed=0) for rate in RATES}
    rate = max(RATES, key=lambda r: evaluation.sts(tried[r], DEV)["spearman"])
    encoders = [tried[rate], *(trained(start, reading, rate, seed) for seed in (1, 2))]
    ndcg = results.points([evaluation.retrieval(e, *data.retrieval("test"))["ndcg@10"] for e in encoders])
    row = {"start": start, "reading": reading, "raw": raw, "rate": rate, "ndcg": ndcg}
    found = [evaluation.cosines(encoder, TEST) for encoder in encoders]
    return row | results.scored(f"{start}, {reading}, in-batch on NLI", GRADES, found, "", "09"), found


pairs = [(FULL, "encoder mean"), (FULL, "encoder first"), (FULL, "decoder first")]
both = [measured(*pair) for pair in pairs + [(start, pairs[i][1]) for start in (WORDS, NOTHING) for i in (0, 2)]]
runs = [row | {"gain": results.gain(GRADES, found, both[0][1])} for row, found in both]  # over the first
minutes = (time.process_time() - began) / 60
results.keep("09_sentence_t5", "python recipes/sentence_t5.py", minutes, runs=runs, rows=runs[:3])
