"""Tiny random models and their tokenizer: every family the backbone runs, in milliseconds and without a download."""

from __future__ import annotations

import string

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoConfig, AutoModel, PreTrainedModel, PreTrainedTokenizerFast, T5EncoderModel

from sbert_lab.backbone import Backbone
from sbert_lab.encoder import Encoder

SPECIAL = ["[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]"]  # padding is 1, as in RoBERTa: nothing may assume 0
WORDS = [
    "the",
    "a",
    "cat",
    "dog",
    "sat",
    "ran",
    "on",
    "mat",
    "in",
    "rain",
    "red",
    "blue",
    "house",
    "tree",
    "old",
]
LETTERS = list(string.ascii_lowercase + string.digits) + ["##" + x for x in string.ascii_lowercase + string.digits]
VOCABULARY = {token: number for number, token in enumerate(dict.fromkeys(SPECIAL + WORDS + LETTERS))}

PACKED = ["bert", "roberta", "xlm-roberta", "distilbert", "electra", "albert", "modernbert"]
PADDED = ["mpnet", "t5"]

_SIZES = {
    "vocab_size": len(VOCABULARY),
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 80,
    "pad_token_id": 1,
    "initializer_range": 0.5,  # large enough that every position and neighbour shows in the result
}
_FAMILY_SIZES = {
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64},
    "electra": {"embedding_size": 16},
    "albert": {"embedding_size": 16},
    "modernbert": {"local_attention": 8, "num_hidden_layers": 4, "global_attn_every_n_layers": 2},
    "t5": {
        "d_model": 32,
        "d_kv": 8,
        "d_ff": 64,
        "num_layers": 2,
        "num_heads": 4,
        "relative_attention_num_buckets": 8,
    },
}


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """A lower-casing WordPiece of whole words and single letters."""
    tokenizer = Tokenizer(models.WordPiece(VOCABULARY, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, mask_token="[MASK]", model_max_length=64, **names)


def tiny_model(family: str = "bert", **changes: object) -> PreTrainedModel:
    """A random model of `family`, in evaluation mode; `changes` go into its config."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, **{**_SIZES, **_FAMILY_SIZES.get(family, {}), **changes})
    return (T5EncoderModel(config) if family == "t5" else AutoModel.from_config(config)).eval()


def tiny_encoder(family: str = "bert", **options: object) -> Encoder:
    """An encoder around `tiny_model`; `options` go to Encoder."""
    return Encoder(Backbone(tiny_model(family), tiny_tokenizer()), **options)


TEXTS = [
    "the cat sat on the mat",
    "",
    "a dog",
    "the old red house in the rain ran on",
    "blue",
    "a dog",
    "tree tree tree",
]
