"""SBERT Lab: sentence encoders built, trained, measured and served in the open; the course is in `notebooks/`.

>>> from sbert_lab import load
>>> load("all-MiniLM-L6-v2").encode(["a cat", "a dog"]).shape
(2, 384)
"""

from sbert_lab import data, evaluation, gradients, losses, search, views
from sbert_lab.cross_encoder import CrossEncoder
from sbert_lab.data import Row
from sbert_lab.encoder import Dense, Encoder
from sbert_lab.storage import load, save
from sbert_lab.training import Plan, train

__all__ = [
    "CrossEncoder", "Dense", "Encoder", "Plan", "Row", "data", "evaluation", "gradients", "load", "losses", "save",
    "search", "train", "views",
]  # fmt: skip
