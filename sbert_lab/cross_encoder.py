"""Two texts read together: the cross-encoder, which answers with scores instead of vectors.

The pair is one input, `[CLS] a [SEP] b [SEP]`, so that every word of one text sees every word of the other; [CLS], a
dense layer and a linear one give the scores (Devlin et al. 2019, section 4.1). Nothing can be computed beforehand for
a text by itself: N texts are N (N - 1) / 2 inputs (Reimers & Gurevych 2019, section 1). It trains by the same loop as
the encoder: `train(cross_encoder, rows, losses.PairScores(), plan)`.
"""

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from sbert_lab.backbone import Backbone, inference, longest_first
from sbert_lab.settings import whole
from sbert_lab.tokens import TOKENS_AT_ONCE, Tokens, check_text

DROPOUT = 0.1  # in front of the scores while training, as in BERT


class CrossEncoder(nn.Module):
    """Backbone -> [CLS] -> dense and tanh -> `classes` scores; `max_length` cuts longer pairs, in tokens.

    The dense layer is the backbone's pooler where it has one: BERT's has learnt to judge two texts, by next-sentence
    prediction. The last layer is drawn at random: seed torch before.

    Training it trains this backbone: an encoder that shares it changes too.

    >>> ranker = CrossEncoder(load("lab-bert").backbone)
    >>> train(ranker, rows, losses.PairScores(), plan)
    >>> ranker.predict([("a cat", "a feline"), ("a cat", "a car")]).shape
    (2,)
    """

    def __init__(self, backbone: Backbone, classes: int = 1, max_length: int | None = None) -> None:
        super().__init__()
        if not isinstance(backbone, Backbone):
            raise TypeError(f"backbone is a {type(backbone).__name__}: give a Backbone, such as load(name).backbone")
        self.backbone, self.classes = backbone, whole("classes", classes)
        _check_template(backbone)
        width = backbone.dimension
        self.max_length = backbone.longest if max_length is None else max_length
        self.dense = nn.Linear(width, width)
        pooler = getattr(backbone.model, "pooler", None)
        pooler = getattr(pooler, "dense", pooler)  # ALBERT's is the layer itself
        if isinstance(pooler, nn.Linear):
            self.dense.load_state_dict(pooler.state_dict())
        self.dropout = nn.Dropout(DROPOUT)
        self.head = nn.Linear(width, self.classes)
        self.to(backbone.device)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.backbone.device

    @property
    def max_length(self) -> int:
        """The most tokens of a pair that are read; what is longer is cut. Raises ValueError when set out of range."""
        return self._max_length

    @max_length.setter
    def max_length(self, tokens: int) -> None:
        special = self.backbone.tokenizer.num_special_tokens_to_add(pair=True)
        self._max_length = self.backbone.allowed(tokens, least=special + 2)  # a token of each text

    @property
    def settings(self) -> dict[str, object]:
        """What makes the scores, beside the weights; a checkpoint must agree with it."""
        return {"classes": self.classes, "max_length": self.max_length}

    def tokenize(self, pairs: Sequence[Sequence[str]]) -> tuple[Tokens, int]:
        """Each pair as one text of tokens, the second one's in segment 1, and how many were cut at `max_length`.

        The longer text of a pair is cut first. Raises TypeError or ValueError for anything but pairs of texts.
        """
        if isinstance(pairs, str) or not isinstance(pairs, Sequence):  # an iterator would be used up by the checks
            raise TypeError(f"a cross-encoder reads a list of pairs of texts, not a {type(pairs).__name__}")
        for number, pair in enumerate(pairs):
            if isinstance(pair, str) or not isinstance(pair, Sequence) or len(pair) != 2:
                raise ValueError(f"a cross-encoder reads pairs of texts, but row {number} is {pair!r:.80}")
            for text in pair:
                check_text(text, f"a text of pair {number}")
        return Tokens.from_texts(self.backbone.tokenizer, [(a, b) for a, b in pairs], self.max_length)

    def columns(self, rows: Sequence[Sequence[str]]) -> tuple[list[Tokens], int]:
        """The rows' pairs as the one column that the training loop reads, and how many pairs were cut."""
        tokens, cut = self.tokenize(rows)
        return [tokens], cut

    def forward(self, tokens: Tokens) -> Tensor:
        """The scores of each pair before any sigmoid or softmax, with gradients: (B, classes) float32."""
        tokens = tokens.to(self.device)
        first = self.backbone(tokens)[tokens.offsets[:-1]]  # (T, D) -> (B, D), the vector of each pair's [CLS]
        return self.head(self.dropout(self.dense(first).tanh()))

    def predict(self, pairs: Sequence[tuple[str, str]], tokens_at_once: int = TOKENS_AT_ONCE) -> np.ndarray:
        """The score of each pair, 0 to 1: (N,); of several classes their probabilities, (N, classes).

        Pairs cut at `max_length` are counted in one warning; long work shows a progress bar. Raises TypeError or
        ValueError for anything but pairs of texts, naming it.
        """
        tokens, cut = self.tokenize(pairs)
        if not len(tokens):
            return np.empty(0 if self.classes == 1 else (0, self.classes), np.float32)
        with inference(self), tqdm(total=len(tokens), desc="predict", unit="pair", delay=3) as bar:
            scores = longest_first(self, tokens, tokens_at_once, bar.update)  # (N, classes)
        if cut:
            warnings.warn(f"{cut} of {len(tokens)} pairs were cut at {self.max_length} tokens", stacklevel=2)
        return (scores[:, 0].sigmoid() if self.classes == 1 else scores.softmax(dim=1)).numpy()


def _check_template(backbone: Backbone) -> None:
    """Refuse a tokenizer that does not write [CLS] a [SEP] b [SEP]: the scores are read from the first token."""
    first, *_ = backbone.tokenizer.backend_tokenizer.encode("a", "b").ids
    special = backbone.tokenizer.num_special_tokens_to_add(pair=True)
    if first != backbone.tokenizer.cls_token_id or special < 3:
        raise ValueError("this tokenizer does not join a pair as [CLS] a [SEP] b [SEP]: choose a model of BERT's kind")
