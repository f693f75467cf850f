"""A batch of texts as tokens, without padding.

Three sentences of 3, 7 and 4 tokens are 14 tokens, not a 3 x 7 rectangle with seven holes. `Tokens` keeps them as one
row of ids and remembers where each text ends; the padded rectangle that most models want is a view made on request.
This file knows nothing of models: it only holds, cuts, reorders and joins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedTokenizerFast

TOKENS_AT_ONCE = 2_000  # in one forward pass: measured best on a CPU, where more costs page faults; a GPU wants more
ENCODINGS_AT_ONCE = 1024  # a tokenizer's Encoding is a hundred times its ids: hold only so many of them


@dataclass(frozen=True, eq=False)
class Tokens:
    """B texts of T tokens in all: `ids` (T,), `lengths` (B,), and `segments` (T,), the token types of BERT.

    `lengths` stays on the CPU, so that asking for a shape never waits for a GPU; the rest moves with `to`.
    """

    ids: Tensor  # (T,) int64
    lengths: Tensor  # (B,) int64, on the CPU
    segments: Tensor  # (T,) int64

    @classmethod
    def from_texts(
        cls, tokenizer: PreTrainedTokenizerFast, texts: Sequence[str | tuple[str, str]], max_length: int
    ) -> tuple[Tokens, int]:
        """The texts, or pairs of texts, as tokens, each at most `max_length` long, and how many had to be cut to fit.

        >>> tokens, cut = Tokens.from_texts(tokenizer, ["a cat", "a cat sat"], max_length=256)
        >>> tokens.lengths
        tensor([4, 5])

        Raises ValueError where the tokenizer makes no token at all of a text.
        """
        backend = tokenizer.backend_tokenizer
        backend.no_padding()  # some saved tokenizers, all-MiniLM's among them, carry a fixed padding
        backend.enable_truncation(max_length, direction=tokenizer.truncation_side)
        ids: list[int] = []
        segments: list[int] = []
        lengths: list[int] = []
        cut = 0
        for start in range(0, len(texts), ENCODINGS_AT_ONCE):
            for encoding in backend.encode_batch_fast(texts[start : start + ENCODINGS_AT_ONCE]):
                ids += encoding.ids
                segments += encoding.type_ids
                lengths.append(len(encoding.ids))
                cut += bool(encoding.overflowing)
        if 0 in lengths:
            raise ValueError(f"text {lengths.index(0)} has no tokens: this tokenizer adds no [CLS] or end token")
        return cls(*(torch.tensor(x, dtype=torch.int64) for x in (ids, lengths, segments))), cut

    @classmethod
    def concat(cls, batches: Sequence[Tokens]) -> Tokens:
        """The batches one after the other: (T1 + T2 + …,) tokens of B1 + B2 + … texts."""
        return cls(
            torch.cat([batch.ids for batch in batches]),
            torch.cat([batch.lengths for batch in batches]),
            torch.cat([batch.segments for batch in batches]),
        )

    def __len__(self) -> int:
        """The number of texts, B."""
        return len(self.lengths)

    def __getitem__(self, rows: slice) -> Tokens:
        """Texts `rows.start` to `rows.stop`; no token is copied."""
        if not isinstance(rows, slice):
            raise TypeError(f"Tokens are sliced: tokens[{rows!r}:…], not tokens[{rows!r}]")
        first, last, step = rows.indices(len(self))
        if step != 1:
            raise ValueError(f"Tokens are sliced by neighbours, got the step {step}: use take for any other order")
        start, stop = int(self.lengths[:first].sum()), int(self.lengths[:last].sum())
        return Tokens(self.ids[start:stop], self.lengths[first:last], self.segments[start:stop])

    def take(self, order: Tensor) -> Tokens:
        """The texts numbered in `order` (B',), in that order."""
        starts, lengths = self.offsets.cpu()[:-1][order], self.lengths[order]
        shift = starts - (lengths.cumsum(0) - lengths)  # (B',) how far each text moves
        index = torch.arange(int(lengths.sum())) + shift.repeat_interleave(lengths)  # (T',)
        index = index.to(self.ids.device)
        return Tokens(self.ids[index], lengths, self.segments[index])

    def split(self, budget: int) -> list[Tokens]:
        """Neighbouring texts in groups of at most `budget` tokens; a longer text is a group of its own."""
        parts, first, total = [], 0, 0
        for row, length in enumerate(self.lengths.tolist()):
            if total and total + length > budget:
                parts.append(self[first:row])
                first, total = row, 0
            total += length
        return [*parts, self[first:]] if len(self) else []

    def to(self, device: torch.device | str) -> Tokens:
        """The same batch with ids and segments on `device`."""
        return Tokens(self.ids.to(device, non_blocking=True), self.lengths, self.segments.to(device, non_blocking=True))

    def padded(self, pad_id: int) -> tuple[Tensor, Tensor, Tensor]:
        """The rectangle: ids (B, L) filled up with `pad_id`, mask (B, L) true on tokens, segments (B, L)."""
        longest = max(self.lengths.tolist(), default=0)
        mask = torch.arange(longest) < self.lengths[:, None]  # (B, L)
        mask = mask.to(self.ids.device)
        ids = self.ids.new_full(mask.shape, pad_id).masked_scatter_(mask, self.ids)
        segments = self.segments.new_zeros(mask.shape).masked_scatter_(mask, self.segments)
        return ids, mask, segments

    @cached_property
    def offsets(self) -> Tensor:
        """Where each text begins, and the end of the last: (B + 1,)."""
        return F.pad(self.lengths.cumsum(0), (1, 0)).to(self.ids.device)

    @cached_property
    def rows(self) -> Tensor:
        """The text each token belongs to: (T,), 0 to B - 1."""
        return torch.arange(len(self)).repeat_interleave(self.lengths).to(self.ids.device)

    @cached_property
    def positions(self) -> Tensor:
        """The place of each token in its own text: (T,), beginning at 0."""
        return torch.arange(len(self.ids), device=self.ids.device) - self.offsets[self.rows]

    @cached_property
    def runs(self) -> list[tuple[int, int]]:
        """Neighbours of equal length, as (length, how many): one rectangle each, with nothing to pad."""
        return [(length, len(list(group))) for length, group in groupby(self.lengths.tolist())]


def check_text(text: object, name: str) -> None:
    """Raise TypeError if `text`, called `name` in the message, is not a str; ValueError if it is not valid Unicode."""
    if not isinstance(text, str):
        raise TypeError(f"{name} is {text!r:.60} ({type(text).__name__}): a text must be a str")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} holds half of a surrogate pair, {text!r:.60}: it is not valid Unicode text") from None
