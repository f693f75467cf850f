"""A transformers model that turns tokens into vectors, one per token.

The models whose attention can be swapped by name run over the packed batch as it is; the others (MPNet, T5, …) run over
its padded view, and the holes are dropped again. Either way the caller sees (T, D). Precision lives here and nowhere
else: under bfloat16 the model computes in autocast, and its vectors still leave as float32.
"""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from numbers import Integral
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

import sbert_lab.attention  # noqa: F401  registers "packed" with transformers
from sbert_lab.tokens import Tokens

# Families whose attention goes through transformers' interface with nothing but queries, keys and values.
PACKED_FAMILIES = {"bert", "roberta", "xlm-roberta", "distilbert", "electra", "albert", "modernbert"}
PRECISIONS = (torch.float32, torch.bfloat16)
NO_LIMIT = 2**31 - 1  # tokens; some tokenizers say 10^30 where they mean none


class Backbone(nn.Module):
    """The model and its tokenizer; `precision` is torch.float32 or torch.bfloat16."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerFast,
        precision: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        if precision not in PRECISIONS:
            raise ValueError(f"precision is {precision}: choose torch.float32 or torch.bfloat16")
        self.model, self.tokenizer, self.precision = model.float(), tokenizer, precision
        self.takes_segments = "token_type_ids" in inspect.signature(model.forward).parameters
        self.first_position = _first_position(model)
        if model.config.model_type in PACKED_FAMILIES and not getattr(model.config, "is_decoder", False):
            model.set_attn_implementation("packed")

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.device

    @property
    def dimension(self) -> int:
        """The width D of a token's vector."""
        return self.model.config.hidden_size

    @property
    def longest(self) -> int:
        """The most tokens a text can have: what the positions and the tokenizer allow."""
        positions = getattr(self.model.config, "max_position_embeddings", None) or 0
        limit = positions - self.first_position if positions > 0 else NO_LIMIT  # -1 means none, as in XLNet
        return int(min(limit, self.tokenizer.model_max_length))

    @property
    def packs(self) -> bool:
        """Whether batches run packed. On a GPU the padded view is used: one kernel per layer, not one per length."""
        return self.model.config._attn_implementation == "packed" and self.device.type == "cpu"

    def allowed(self, max_length: int, least: int = 3) -> int:
        """`max_length` in tokens, if texts may be that long; ValueError for one out of range.

        The least is two tokens, [CLS] and [SEP], and one of the text.
        """
        whole = isinstance(max_length, Integral) and not isinstance(max_length, bool)
        if not whole or not least <= max_length <= self.longest:
            raise ValueError(f"max_length is {max_length!r}: this model takes {least} to {self.longest} tokens")
        return int(max_length)

    def autocast(self) -> torch.autocast:
        """The context in which the model computes at its precision."""
        return torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32)

    def forward(self, tokens: Tokens) -> Tensor:
        """The last layer's vector of every token: (T, D) float32."""
        tokens = tokens.to(self.device)
        with self.autocast():
            hidden = self._packed(tokens) if self.packs else self._padded(tokens)
        return hidden.float()

    def _packed(self, tokens: Tokens) -> Tensor:
        more: dict[str, Any] = {"token_type_ids": tokens.segments[None]} if self.takes_segments else {}
        if self.model.config.model_type == "modernbert":  # it would build a mask for its window; packed has its own
            more["attention_mask"] = {"full_attention": None, "sliding_attention": None}
        output = self.model(tokens.ids[None], position_ids=self._positions(tokens)[None], tokens=tokens, **more)
        return output.last_hidden_state[0]  # (1, T, D) -> (T, D)

    def _padded(self, tokens: Tokens) -> Tensor:
        ids, mask, segments = tokens.padded(self.tokenizer.pad_token_id or 0)  # (B, L) each
        more = {"token_type_ids": segments} if self.takes_segments else {}
        return self.model(ids, attention_mask=mask.long(), **more).last_hidden_state[mask]  # (B, L, D) -> (T, D)

    def _positions(self, tokens: Tokens) -> Tensor:
        """The position id of every token, as transformers numbers them in a padded batch: (T,)."""
        if self.first_position == 0:
            return tokens.positions
        padding = self.first_position - 1
        real = tokens.ids != padding  # a text that spells out the padding token: it counts for none
        counted = F.pad(real.cumsum(0), (1, 0))  # (T + 1,)
        return (counted[1:] - counted[tokens.offsets[tokens.rows]]) * real + padding


def _first_position(model: PreTrainedModel) -> int:
    """RoBERTa's kin, known by the padding row in their position table, number positions from the row after it."""
    table = getattr(getattr(model, "embeddings", None), "position_embeddings", None)
    padding = getattr(table, "padding_idx", None)
    return 0 if padding is None else padding + 1


@contextmanager
def inference(model: nn.Module) -> Iterator[None]:
    """No gradients and evaluation mode; afterwards every part is in the mode that it was in (some may be frozen)."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for module in training:
            module.training = True


def longest_first(
    model: Callable[[Tokens], Tensor], tokens: Tokens, at_once: int, done: Callable[[int], Any]
) -> Tensor:
    """`model` over all texts, `at_once` tokens at a time, in the given order: (N, D) on the CPU.

    Texts of like length meet in a batch, and one too large for the memory is met at once. `done` is told the number of
    texts of each batch.
    """
    order = tokens.lengths.argsort(descending=True, stable=True)
    found = []
    for batch in tokens.take(order).split(at_once):
        found.append(model(batch))
        done(len(batch))
    return torch.cat(found).cpu()[order.argsort()]
