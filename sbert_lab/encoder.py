"""Texts to vectors: backbone, pooling, dense layers if there are any, unit length if asked.

This is the bi-encoder of Reimers & Gurevych 2019 (section 3): one encoder, applied to each text by itself. It knows no
file format (`storage`) and no loss (`losses`): the loop calls `forward` on tokens, people call `encode` on texts.
"""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set, Sized
from itertools import islice

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from sbert_lab.backbone import Backbone, inference, longest_first
from sbert_lab.pooling import POOLINGS, attention
from sbert_lab.similarity import unit
from sbert_lab.tokens import TOKENS_AT_ONCE, Tokens, check_text

ACTIVATIONS = {
    "tanh": nn.Tanh,
    "identity": nn.Identity,
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "sigmoid": nn.Sigmoid,
}
TEXTS_AT_ONCE = 16_384  # sorted by length among themselves: enough to fill batches, little to hold


class Dense(nn.Module):
    """A linear layer and an activation after the pooling: (B, in) -> (B, out)."""

    def __init__(self, in_features: int, out_features: int, activation: str = "tanh", bias: bool = True) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation {activation!r} is not one of {', '.join(ACTIVATIONS)}")
        self.linear = nn.Linear(in_features, out_features, bias=bias)
        self.activation, self.activate = activation, ACTIVATIONS[activation]()

    def forward(self, vectors: Tensor) -> Tensor:
        """(B, in) -> (B, out)."""
        return self.activate(self.linear(vectors))


class Encoder(nn.Module):
    """Backbone -> pooling -> [dense …] -> [unit length]; `max_length` cuts longer texts, in tokens.

    `pooling` is one of `POOLINGS`, or "attention": the mean weighted by a score that a linear layer, `scorer`, learns
    to give each token. It begins as the plain mean, and is lost when another pooling is set.
    """

    def __init__(
        self,
        backbone: Backbone,
        pooling: str = "mean",
        dense: Sequence[Dense] = (),
        normalize: bool = False,
        max_length: int | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(backbone, Backbone):
            raise TypeError(f"backbone is a {type(backbone).__name__}: give a Backbone, such as load(name).backbone")
        if isinstance(dense, nn.Module) or not all(isinstance(layer, Dense) for layer in dense):
            raise TypeError(f"dense is a {type(dense).__name__}: give a list of Dense layers and of nothing else")
        width = backbone.dimension
        for layer in dense:
            if layer.linear.in_features != width:
                raise ValueError(f"a dense layer takes {layer.linear.in_features} numbers but is given {width}")
            width = layer.linear.out_features
        self.backbone, self.pooling, self.normalize = backbone, pooling, normalize
        self.dense = nn.ModuleList(dense)
        self.dimension = width
        self.max_length = backbone.longest if max_length is None else max_length

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.backbone.device

    @property
    def pooling(self) -> str:
        """The name of the pooling. Raises ValueError when set to one that is not known."""
        return self._pooling

    @pooling.setter
    def pooling(self, name: str) -> None:
        known = [*POOLINGS, "attention"]
        if name not in known:
            raise ValueError(f"pooling {name!r} is not one of {', '.join(known)}")
        if name == getattr(self, "_pooling", None):
            return  # what the scorer has learnt stays
        self._pooling, self.scorer = name, None
        if name == "attention":
            self.scorer = nn.Linear(self.backbone.dimension, 1, bias=False, device=self.device)
            nn.init.zeros_(self.scorer.weight)

    @property
    def max_length(self) -> int:
        """The most tokens of a text that are read; what is longer is cut. Raises ValueError when set out of range."""
        return self._max_length

    @max_length.setter
    def max_length(self, tokens: int) -> None:
        self._max_length = self.backbone.allowed(tokens)

    def tokenize(self, texts: Sequence[str]) -> tuple[Tokens, int]:
        """The texts as tokens, and how many were cut at `max_length`; TypeError for a single str."""
        if isinstance(texts, str):
            raise TypeError(f"tokenize takes a list of texts, not the str {texts!r:.40}")
        return Tokens.from_texts(self.backbone.tokenizer, texts, self.max_length)

    def columns(self, rows: Sequence[Sequence[str]]) -> tuple[list[Tokens], int]:
        """The texts of each column of `rows` as tokens, for the training loop, and how many texts were cut."""
        found = [self.tokenize(texts) for texts in zip(*rows, strict=True)]
        return [tokens for tokens, _ in found], sum(cut for _, cut in found)

    @property
    def settings(self) -> dict[str, object]:
        """What makes this encoder's vectors, beside its weights; a checkpoint must agree with it."""
        return {name: getattr(self, name) for name in ("pooling", "normalize", "max_length", "dimension")}

    def forward(self, tokens: Tokens) -> Tensor:
        """One vector a text, with gradients where they are on: (B, dimension) float32."""
        if not isinstance(tokens, Tokens):
            raise TypeError(
                f"an encoder called directly takes Tokens, not a {type(tokens).__name__}: use encode(texts)"
            )
        tokens = tokens.to(self.device)
        vectors = self._pool(self.backbone(tokens), tokens)  # (T, D) -> (B, D)
        for layer in self.dense:
            vectors = layer(vectors)
        return unit(vectors) if self.normalize else vectors

    def _pool(self, hidden: Tensor, tokens: Tokens) -> Tensor:
        if self.scorer is not None:
            return attention(hidden, tokens, self.scorer(hidden).squeeze(1))  # (T, 1) -> (T,)
        return POOLINGS[self.pooling](hidden, tokens)

    def encode(self, texts: str | Iterable[str], tokens_at_once: int = TOKENS_AT_ONCE) -> np.ndarray:
        """The vectors of `texts`, in their order: (D,) for one str, (N, D) for many, float32.

        Texts cut at `max_length` are counted in one warning; a progress bar appears on long work. There is no gradient
        here: training goes through `forward`. Raises TypeError for anything that is not text, naming it.

        >>> encoder.encode(["a cat", "a dog"]).shape
        (2, 384)
        """
        if isinstance(texts, str):
            return self.encode([texts])[0]
        unordered = isinstance(texts, bytes | Mapping | Set) or not isinstance(texts, Iterable)
        if unordered or getattr(texts, "ndim", 1) != 1:  # iterating a data frame gives its column names
            raise TypeError(f"encode takes a str or an ordered iterable of str, not a {type(texts).__name__}")
        vectors, cut, count = [np.empty((0, self.dimension), np.float32)], 0, 0
        with inference(self), self._progress(texts) as bar:
            for block in _blocks(texts):
                tokens, block_cut = self.tokenize(block)
                vectors.append(longest_first(self, tokens, tokens_at_once, bar.update).numpy())
                cut, count = cut + block_cut, count + len(block)
        if cut:
            warnings.warn(f"{cut} of {count} texts were cut at {self.max_length} tokens (max_length)", stacklevel=2)
        return np.concatenate(vectors)

    def _progress(self, texts: Iterable[str]) -> tqdm:
        total = len(texts) if isinstance(texts, Sized) else None
        return tqdm(total=total, desc="encode", unit="text", delay=3)  # seconds: short work shows no bar


def _blocks(texts: Iterable[str]) -> Iterator[list[str]]:
    """Lists of at most TEXTS_AT_ONCE texts, each checked to be text; an iterable need not fit in memory."""
    source, count = iter(texts), 0
    while block := list(islice(source, TEXTS_AT_ONCE)):
        for number, text in enumerate(block, count):
            check_text(text, f"text {number}")
        yield block
        count += len(block)
