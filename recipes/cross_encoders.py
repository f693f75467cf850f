"""Lesson 05: two kinds of model on the same rows, the price of pairs, reranking: `python recipes/cross_encoders.py`.

In bfloat16, some 20 minutes on one core. Writes `data/results/05_cross_encoders.json`.
"""

import time

import accuracy
import pair_costs
import reranking
from two_kinds import bi, cross

from sbert_lab import Plan, Row, losses, results

began = time.process_time()
kept = {"rows": [], "gains": {}, "times": pair_costs.times()}
kept["nli"], after_nli = accuracy.nli()
for before, figures, starts in (("", (84.30, 84.67), (None, None)), ("NLI, then ", (88.33, 85.35), after_nli)):
    made, kept["gains"][f"{before}graded pairs"] = accuracy.graded(before, figures, starts)
    kept["rows"] += made
kept["rates"] = accuracy.rates()
pairs = reranking.training_rows()
ranker = cross(pairs, Plan(epochs=1, learning_rate=3e-4))
positives = [Row(row.texts) for row in pairs if row.label]
retriever = bi(positives, losses.InBatchNegatives(), Plan(epochs=2, learning_rate=3e-4))
kept["reranking"], vectors = reranking.measure(ranker, retriever)
kept["clustering"] = pair_costs.clustering(vectors)
results.keep("05_cross_encoders", "python recipes/cross_encoders.py", (time.process_time() - began) / 60, **kept)
