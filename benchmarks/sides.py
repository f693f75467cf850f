"""The two sides of every comparison: the same weights as an encoder of this package and as a SentenceTransformer."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer
from torch import nn

from sbert_lab.encoder import Encoder
from sbert_lab.sources import find
from sbert_lab.storage import load

Side = Encoder | SentenceTransformer
Sides = tuple[Encoder, SentenceTransformer]


def both(name_or_folder: str | Path) -> Sides:
    """Ours and theirs, on the CPU in float32."""
    folder = find(name_or_folder)
    return load(folder, device="cpu"), SentenceTransformer(str(folder), device="cpu", local_files_only=True)


def transformer(side: Side) -> nn.Module:
    """The transformers model inside."""
    return side.backbone.model if isinstance(side, Encoder) else side[0].auto_model


@contextmanager
def padding(side: Side, count: Counter[str]) -> Iterator[None]:
    """Add to `count` the tokens that the model is given inside, all and real: their ratio is padding's price."""
    model = transformer(side)
    forward = model.forward  # sentence-transformers calls it by name, so that a hook would not see it

    def counted(*args: Any, **given: Any) -> Any:
        ids, mask = args[0] if args else given["input_ids"], given.get("attention_mask")
        count.update(all=ids.numel(), real=ids.numel() if mask is None else int(mask.sum()))
        return forward(*args, **given)

    model.forward = counted
    try:
        yield
    finally:
        del model.forward
