"""A transformers model that turns tokens into vectors, one a token.

The models whose attention can be swapped by name run over the packed batch as it is; the others (MPNet, T5, …) run over
its padded view, and the holes are dropped again. Either way the caller sees (T, D). Precision lives here and nowhere
else: under bfloat16 the model computes in autocast, and its vectors still leave as float32.
"""

from __future__ import annotations

import inspect

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

import sbert_lab.attention  # noqa: F401  registers "packed" with transformers
from sbert_lab.tokens import Tokens

# Families whose attention goes through transformers' interface with nothing but queries, keys and values.
PACKED_FAMILIES = {"bert", "roberta", "xlm-roberta", "distilbert", "electra", "albert", "modernbert"}
PRECISIONS = (torch.float32, torch.bfloat16)


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
        self.model, self.tokenizer, self.precision = model, tokenizer, precision
        self.family = model.config.model_type
        self.padded_attention = model.config._attn_implementation
        self.takes_segments = "token_type_ids" in inspect.signature(model.forward).parameters

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
        """The most tokens a text can have: what the position table, or else the tokenizer, allows."""
        positions = getattr(self.model.config, "max_position_embeddings", None)
        if positions is None or positions < 0:
            return self.tokenizer.model_max_length
        return positions - self.first_position

    @property
    def first_position(self) -> int:
        """The position id of a text's first token; RoBERTa and its kin count from padding_idx + 1."""
        return self.model.config.pad_token_id + 1 if "roberta" in self.family or self.family == "mpnet" else 0

    @property
    def packs(self) -> bool:
        """Whether batches run packed. On a GPU the padded view is used: one kernel a layer, not one a length."""
        return self.family in PACKED_FAMILIES and self.device.type == "cpu"

    def forward(self, tokens: Tokens) -> Tensor:
        """The last layer's vector of every token: (T, D) float32."""
        tokens = tokens.to(self.device)
        with torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32):
            hidden = self._packed(tokens) if self.packs else self._padded(tokens)
        return hidden.float()

    def _packed(self, tokens: Tokens) -> Tensor:
        self._use_attention("packed")
        segments = {"token_type_ids": tokens.segments[None]} if self.takes_segments else {}
        positions = tokens.positions[None] + self.first_position  # (1, T)
        return self.model(
            tokens.ids[None], position_ids=positions, tokens=tokens, **segments
        ).last_hidden_state[0]

    def _padded(self, tokens: Tokens) -> Tensor:
        self._use_attention(self.padded_attention)
        ids, mask, segments = tokens.padded(self.tokenizer.pad_token_id or 0)  # (B, L) each
        more = {"token_type_ids": segments} if self.takes_segments else {}
        return self.model(ids, attention_mask=mask.long(), **more).last_hidden_state[
            mask
        ]  # (B, L, D) -> (T, D)

    def _use_attention(self, name: str) -> None:
        # "packed" knows no padding mask, so a padded batch must never meet it: set the name before every forward.
        if self.model.config._attn_implementation != name:
            self.model.set_attn_implementation(name)
