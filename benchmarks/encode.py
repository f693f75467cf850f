"""Encoding: texts in, vectors out, tokenizing included, against `SentenceTransformer.encode`.

The library is measured at its default batch of 32 and, where another of a small sweep is faster on these texts, at that
one too. Both sides sort by length: the library by characters, this package by tokens.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from benchmarks.comparison import compare
from benchmarks.sides import Sides
from benchmarks.texts import count_tokens

DEFAULT_BATCH = 32


def table(
    name: str, sides: Sides, texts: list[str], rounds: int, cores: int = 1, other_batches: Sequence[int] = ()
) -> list[dict[str, Any]]:
    """One row a variant, with the largest difference between its vectors and this package's."""
    encoder, reference = sides
    torch.set_num_threads(cores)
    tokens, vectors = count_tokens(encoder, texts), {}

    def encoding(label: str, encode: Callable[..., np.ndarray], **options: int) -> Callable[[], int]:
        def work() -> int:
            vectors[label] = encode(texts, **options)
            return tokens

        return work

    def seconds(batch: int) -> float:
        start = time.process_time()
        reference.encode(texts, batch_size=batch)
        return time.process_time() - start

    if other_batches:
        reference.encode(texts)  # warmed up, or the first of the sweep would pay for all
    variants: dict[str, Any] = {"sbert_lab": (encoder, encoding("sbert_lab", encoder.encode))}
    best = min((DEFAULT_BATCH, *other_batches), key=seconds) if other_batches else DEFAULT_BATCH
    for batch in dict.fromkeys((DEFAULT_BATCH, best)):
        label = f"ST, batch {batch}" + " (its best)" * (batch == best and len(other_batches) > 0)
        variants[label] = (reference, encoding(label, reference.encode, batch_size=batch))
    rows = compare(name, variants, rounds)
    off = [np.abs(vectors[row["variant"]] - vectors["sbert_lab"]).max() for row in rows]
    return [row | {"agreement": f"{difference:.0e}"} for row, difference in zip(rows, off, strict=True)]
