"""SBERT-NLI: softmax over (u, v, |u-v|) on premise and hypothesis, one epoch (Reimers & Gurevych 2019, section 3.1).

`python recipes/softmax_nli.py`; as in the paper with
`--model bert-base-uncased --learning-rate 2e-5 --head-learning-rate 2e-5 --batch-size 16`.
"""

from recipe import encoder, options, run

from sbert_lab import data, losses

defaults = {
    "batch_size": 32,
    "learning_rate": 5e-5,
    "head_learning_rate": 1e-3,
    "evaluate_every": 500,
    "checkpoint_every": 500,
}
given = options(__doc__, "softmax-nli", **defaults).parse_args()
model = encoder(given)
run(given, model, data.nli("train", source="allnli"), losses.SoftmaxClassification(model.dimension, classes=3))
