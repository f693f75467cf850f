"""Attention inside each text of a packed batch, offered to transformers under the name "packed".

transformers lets a model's attention be swapped by name (`AttentionInterface`). This one takes the tokens of all texts
in a single row, (1, T), and lets a token see only its own text. Neighbouring texts of equal length form a rectangle
without a hole, so one call of torch's scaled-dot-product attention serves them all: sort a batch by length and few
calls remain. Called without `tokens`, as in a plain call of the model on a padded batch, it is transformers' own
"sdpa", mask and all: the name can stay set for good.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from sbert_lab.tokens import Tokens


def packed_or_sdpa(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    tokens: Tokens | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Packed attention where the batch is packed, that is, where `tokens` says how; else "sdpa"."""
    if tokens is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **others)
    return packed_attention(module, query, key, value, attention_mask, tokens=tokens, **others)


def packed_attention(
    module: nn.Module,
    query: Tensor,  # (1, H, T, D)
    key: Tensor,  # (1, H, T, D)
    value: Tensor,  # (1, H, T, D)
    attention_mask: Tensor | None,
    *,
    tokens: Tokens,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Every token attends to the tokens of its own text: (1, T, H, D) and, as transformers asks, no weights.

    Raises ValueError for a mask, a position bias or a soft cap: leaving one out would be silently wrong.
    """
    unsupported = {"attention_mask": attention_mask} | {name: others.get(name) for name in ("position_bias", "softcap")}
    for name, given in unsupported.items():
        if given is not None:
            raise ValueError(f"packed attention has no {name}, which {type(module).__name__} passes: pad this model")
    sizes = [length * count for length, count in tokens.runs]
    parts = (x[0].split(sizes, dim=1) for x in (query, key, value))  # cut once: a slice per run is slow backwards
    outputs = []
    for (length, count), *run in zip(tokens.runs, *parts, strict=True):
        q, k, v = (x.unflatten(1, (count, length)).transpose(0, 1) for x in run)  # (count, H, length, D), views
        mask = _window(length, sliding_window, query.device)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout, scale=scaling)
        outputs.append(out.transpose(1, 2).flatten(0, 1))  # (count * length, H, D)
    return torch.cat(outputs)[None], None


def _window(length: int, sliding_window: int | None, device: torch.device) -> Tensor | None:
    """Which of `length` tokens may see which, (length, length); None where all may see all."""
    if sliding_window is None or length <= sliding_window:
        return None
    position = torch.arange(length, device=device)
    return (position[:, None] - position).abs() < sliding_window  # transformers passes the reach plus one


AttentionInterface.register("packed", packed_or_sdpa)
AttentionMaskInterface.register("packed", sdpa_mask)  # without an entry a padded batch would silently get no mask
