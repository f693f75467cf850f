"""Lesson 08: E5's steps on the course's passages: prefixes, noisy pairs and their filter, temperature, second stage.

Three seeds; one for the temperatures and the second stage. In bfloat16, some 17 minutes on one core.
"""

import time

import noisy_pairs
import numpy as np
import search_lengths
import search_scores as s
import second_stage
from noisy_pairs import BOTH, trained

from sbert_lab import load, losses, results, search

NONE = ("", "")
WAYS = {"both": BOTH, "query only": (BOTH[0], ""), "passage only": ("", BOTH[1]), "neither": NONE}
pairs, raw, mini = s.rows(s.right), load("lab-bert"), load("all-MiniLM-L6-v2")
clean, bare = ([trained(pairs, seed, prefixes=before) for seed in range(3)] for before in (BOTH, NONE))
base = [s.found(one, *BOTH) for one in clean]
first = search.BM25(s.texts).search(s.wanted, 10)[1]
kept = {"searches": [s.row("BM25", [first]), s.row("all-MiniLM-L6-v2", [s.found(mini)])], "prefixes": []}
for name, made in {"raw": [raw], "trained with": clean, "trained without": bare}.items():
    usual = base if made is clean else [s.found(one) for one in made]
    for way, before in WAYS.items():
        kept["prefixes"].append(s.row(f"{name}: {way}", [s.found(one, *before) for one in made], usual))
kept |= noisy_pairs.run(clean, raw)
models = {"raw": (raw, *NONE), "all-MiniLM-L6-v2": (mini, *NONE), "0.05": (clean[0], *BOTH)}
starts = {"0.01": (0.01, None), "0.2": (0.2, None), "0.05, then 0.01": (0.01, clean[0])}
for name, (temperature, start) in starts.items():
    models[name] = (trained(pairs, 0, losses.InBatchNegatives(temperature), start), *BOTH)
kept["temperatures"] = []
for name, (encoder, *before) in models.items():
    cosines, spread = s.cosines(encoder, s.wanted, *before), {}
    for key, mask in (("unrelated", ~s.matching), ("matching", s.matching)):
        spread[key] = np.quantile(cosines[mask], (0.025, 0.5, 0.975)).round(3).tolist()
    kept["temperatures"].append(s.row(name, [s.found(encoder, *before)], base[:1], **spread))
lengths = {"BM25": search_lengths.of_words(), "raw": search_lengths.of_encoder(raw)}
kept["lengths"] = lengths | {"supervised": search_lengths.of_encoder(clean[0], *BOTH)}
kept["stages"] = second_stage.run(clean[0], mini)
results.keep("08_e5_and_contriever", "python recipes/search_training.py", time.process_time() / 60, **kept)
