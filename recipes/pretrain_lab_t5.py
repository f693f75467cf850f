"""Pretrain `lab-t5` on Wikipedia text: `python recipes/pretrain_lab_t5.py`, or the same under `torchrun`.

A T5 with the width of lab-bert, its WordPiece and as many encoder layers, and two decoder layers. The text is in the
folder `corpus` of SBERT_LAB_DATA; every hundredth document is held out. A run that was stopped goes on where it was.
"""

import argparse
import os
from pathlib import Path

import torch
from transformers import T5Config, T5ForConditionalGeneration

from sbert_lab import Plan, corpus, distributed, load, pretraining, spans, static

options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
options.add_argument("--folder", type=Path, default=Path("runs/lab-t5"), help="where text, checkpoint and model go")
options.add_argument("--start", help="a folder of such a model to go on from")
options.add_argument("--float32", action="store_true", help="compute in float32 instead of bfloat16")
defaults = {"epochs": 1, "batch_size": 64, "learning_rate": 2e-3, "tokens_at_once": 4_000}
for name, value in defaults.items():
    options.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
given = options.parse_args()

distributed.start()
file = Path(os.environ["SBERT_LAB_DATA"]) / "corpus" / "simplewiki.txt.xz"
wordpiece, text, held_out = corpus.Corpus.prepare(given.folder, [file], load("lab-bert").backbone.tokenizer)
tokenizer = spans.with_sentinels(wordpiece)
torch.manual_seed(0)
if given.start:
    t5 = T5ForConditionalGeneration.from_pretrained(given.start, dtype=torch.float32)
else:
    size = {"d_model": 256, "d_kv": 64, "num_heads": 4, "d_ff": 1024, "num_layers": 4, "num_decoder_layers": 2}
    ids = {"pad_token_id": 0, "decoder_start_token_id": 0, "eos_token_id": tokenizer.eos_token_id}
    t5 = T5ForConditionalGeneration(T5Config(vocab_size=len(tokenizer), dropout_rate=0.0, **size, **ids))
    words = static.ppmi_svd(text.ids[:8_000_000], len(tokenizer), size["d_model"])
    pretraining.put_words(t5.shared.weight, words, deviation=1.0)  # as T5's own embeddings begin
model = spans.SpanCorruption(t5, torch.float32 if given.float32 else torch.bfloat16)
model.to("cuda" if torch.cuda.is_available() else "cpu")
plan = Plan(**{name: getattr(given, name) for name in defaults}, warmup=0.02, evaluate_every=500, checkpoint_every=500)
spans.pretrain(model, tokenizer, text, plan, held_out=held_out, folder=given.folder)
if distributed.rank() == 0:
    pretraining.save(t5, tokenizer, given.folder / "model")
    print(spans.measure(model, tokenizer, held_out))
distributed.stop()
