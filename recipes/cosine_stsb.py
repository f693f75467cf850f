"""SBERT-NLI-STSb: regression of the cosine on STS-B's grades, on top of NLI (Reimers & Gurevych 2019, section 4.2).

`python recipes/cosine_stsb.py --model runs/softmax-nli/0/model`; from `--model lab-bert` it is the paper's SBERT-STSb.
"""

from recipe import encoder, options, run

from sbert_lab import data, losses

defaults = {"batch_size": 16, "learning_rate": 1e-4, "epochs": 4}
given = options(__doc__, "cosine-stsb", **defaults).parse_args()
run(given, encoder(given), data.sts("train", source="stsb"), losses.CosineRegression())
