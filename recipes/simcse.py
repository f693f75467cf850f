"""Unsupervised SimCSE: a sentence and itself under another dropout, in-batch negatives (Gao et al. 2021, section 3).

`python recipes/simcse.py`: Wikipedia sentences from the folder `corpus` of SBERT_LAB_DATA. The paper trains an MLP head
on top and drops it at test; here the pooled vector is trained directly, which on mean pooling needs no head.
"""

import os
from pathlib import Path

from recipe import encoder, options, run

from sbert_lab import Row, corpus, losses

defaults = {"batch_size": 64, "learning_rate": 1e-4, "evaluate_every": 50}
parser = options(__doc__, "simcse", **defaults)
parser.add_argument("--temperature", type=float, default=0.05)
parser.set_defaults(rows=50_000)
given = parser.parse_args()
text = corpus.read_documents(Path(os.environ["SBERT_LAB_DATA"]) / "corpus" / "simplewiki.txt.xz")
found = [
    sentence for document in text for sentence in corpus.cut_sentences(document) if 5 <= len(sentence.split()) <= 40
]
run(
    given, encoder(given), [Row((sentence, sentence)) for sentence in found], losses.InBatchNegatives(given.temperature)
)
