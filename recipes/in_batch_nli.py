"""Supervised SimCSE: in-batch negatives on NLI (Gao et al. 2021, section 4).

`python recipes/in_batch_nli.py` takes (premise, entailed, contradicted); with `--without-hard-negatives` the pairs
(premise, entailed) alone. For BERT-base the paper has `--batch-size 512 --learning-rate 5e-5 --epochs 3`.
"""

from recipe import encoder, options, run

from sbert_lab import data, losses

defaults = {"batch_size": 128, "learning_rate": 5e-4, "epochs": 1, "evaluate_every": 50}
parser = options(__doc__, "in-batch-nli", **defaults)
parser.add_argument("--temperature", type=float, default=0.05)
parser.add_argument("--without-hard-negatives", action="store_true")
parser.add_argument("--source", default="allnli", help="allnli, or course for the course's own premises")
given = parser.parse_args()
given.name += "-pairs" * given.without_hard_negatives + "-course" * (given.source == "course")  # a folder for each
rows = data.triplets(data.nli("train", given.source), hard=not given.without_hard_negatives)
run(given, encoder(given), rows, losses.InBatchNegatives(given.temperature))
