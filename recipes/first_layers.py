"""A student of all-MiniLM-L6-v2 made of lab-bert's first layers: a part of `students.py` and `the_field.py`."""

from sbert_lab import Dense, Encoder, load


def student(layers: int) -> Encoder:
    """The first `layers` of lab-bert, a dense layer to the width of the teacher, and unit length, as it has."""
    backbone = load("lab-bert").backbone
    backbone.model.encoder.layer = backbone.model.encoder.layer[:layers]
    return Encoder(backbone, dense=[Dense(backbone.dimension, 384, "identity")], normalize=True)
