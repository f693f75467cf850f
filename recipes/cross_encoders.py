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
at_once, later = accuracy.graded(3e-4, (None, None)), accuracy.graded(3e-4, after_nli)
for before, models, figures in (("", at_once, (84.30, 84.67)), ("NLI, then ", later, (88.33, 85.35))):
    made, kept["gains"][f"{before}graded pairs"] = accuracy.compared(models, before, figures)
    kept["rows"] += made
slower = accuracy.graded(1e-4, (None, None), seeds=(0,))
kept["rates"] = [
    [rate, *accuracy.on_dev(judges[0], encoders[0])] for rate, (judges, encoders) in ((3e-4, at_once), (1e-4, slower))
]
pairs = reranking.training_rows()
ranker = cross(pairs, Plan(epochs=1, learning_rate=3e-4))
positives = [Row(row.texts) for row in pairs if row.label]
retriever = bi(positives, losses.InBatchNegatives(), Plan(epochs=2, learning_rate=3e-4))
kept["reranking"], vectors = reranking.measure(ranker, retriever)
kept["clustering"] = pair_costs.clustering(vectors)
results.keep("05_cross_encoders", "python recipes/cross_encoders.py", (time.process_time() - began) / 60, **kept)
