"""What a pair costs and what a sentence, and clustering with vectors in hand: a part of `cross_encoders.py`.

All seconds are processor seconds, in bfloat16, the fastest that this machine has.
"""

import time
from itertools import combinations

import torch
from scipy.cluster.hierarchy import linkage

from sbert_lab import CrossEncoder, data, load


def seconds(work, *given):
    start = time.process_time()
    work(*given)
    return round(time.process_time() - start, 4)


def times():
    """Of (sentences, pairs, seconds for all pairs, seconds for all sentences, tokens) a line each."""
    rows = data.sts("train") + data.sts("test")
    short = [text for row in rows for text in row.texts if len(text.split()) <= 9][:512]
    encoder = load("lab-bert", precision=torch.bfloat16)
    judge = CrossEncoder(load("lab-bert", precision=torch.bfloat16).backbone)
    judge.predict(list(combinations(short[:16], 2))), encoder.encode(short[:64])  # the first call warms up
    found = []
    for n in (32, 32, 32, 64, 64, 64, 128, 128, 256, 512):
        pairs, tokens = list(combinations(short[:n], 2)), encoder.tokenize(short[:n])[0]
        spent = seconds(judge.predict, pairs), seconds(encoder.encode, short[:n])
        found.append([n, len(pairs), *spent, len(tokens.ids)])
    return found


def clustering(vectors):
    """Of (vectors, seconds of an agglomerative clustering) a line each."""
    return [[n, seconds(linkage, vectors[:n], "average", "cosine")] for n in (2000, 5000, 10_000)]
