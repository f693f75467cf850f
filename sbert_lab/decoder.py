"""A sentence vector from an encoder-decoder: the decoder's first step (encoder-decoder first of Ni et al. 2022).

Nothing is written: the decoder is given its start token alone, looks at all token vectors of the encoder, and what
stands in that one place after its last layer is the vector. It is a pooling, with weights of its own.
"""

from typing import Any

import torch
from torch import Tensor, nn

from sbert_lab.backbone import Backbone
from sbert_lab.encoder import Encoder
from sbert_lab.tokens import Tokens


class DecoderFirst(Encoder):
    """An encoder whose pooling is `decoder`, that of the T5 whose encoder is the backbone.

    Both read the same word embeddings. `options` are those of `Encoder`, without the pooling. Raises TypeError for
    anything but a decoder.

    >>> DecoderFirst(load("lab-t5").backbone, T5Model.from_pretrained(find("lab-t5")).decoder)
    """

    decoder: Any  # transformers' T5Stack

    def __init__(self, backbone: Backbone, decoder: nn.Module, **options: Any) -> None:
        super().__init__(backbone, **options)
        if not getattr(getattr(decoder, "config", None), "is_decoder", False):
            raise TypeError(f"decoder is a {type(decoder).__name__}: give the decoder of a T5, t5.decoder")
        self.decoder = decoder.float()
        self.decoder.set_input_embeddings(backbone.model.get_input_embeddings())

    def _pool(self, hidden: Tensor, tokens: Tokens) -> Tensor:
        _, mask, _ = tokens.padded(0)  # (B, L)
        seen = hidden.new_zeros(*mask.shape, hidden.shape[1])  # (B, L, D)
        seen[mask] = hidden
        start = torch.full_like(mask[:, :1], self.decoder.config.decoder_start_token_id, dtype=torch.int64)  # (B, 1)
        with self.backbone.autocast():
            step = self.decoder(start, encoder_hidden_states=seen, encoder_attention_mask=mask.long(), use_cache=False)
        return step.last_hidden_state[:, 0].float()  # (B, 1, D) -> (B, D)
