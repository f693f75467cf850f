"""Pretrain `lab-t5` on Wikipedia text: `python recipes/pretrain_lab_t5.py`, or the same under `torchrun`.

A T5 with the width of lab-bert, its WordPiece, its word embeddings and as many encoder layers, and two decoder layers.
It learns to write spans that were cut out, and its encoder to give the vectors of lab-bert besides (`spans.pretrain`
says why). The text is in the folder `corpus` of SBERT_LAB_DATA; a sixth of it is read, every hundredth document is
held out. A run that was stopped goes on where it was.
"""

import argparse
import os
from pathlib import Path

import torch
from transformers import T5Config, T5ForConditionalGeneration

from sbert_lab import Plan, corpus, distributed, load, pretraining, spans

options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
options.add_argument("--folder", type=Path, default=Path("runs/lab-t5"), help="where text, checkpoint and model go")
options.add_argument("--float32", action="store_true", help="compute in float32 instead of bfloat16")
defaults = {"epochs": 1, "batch_size": 64, "learning_rate": 1e-3, "tokens_at_once": 4_000}
for name, value in defaults.items():
    options.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
given = options.parse_args()

distributed.start()
file = Path(os.environ["SBERT_LAB_DATA"]) / "corpus" / "simplewiki.txt.xz"
precision = torch.float32 if given.float32 else torch.bfloat16
teacher = load("lab-bert", precision=precision).backbone
wordpiece, text, held_out = corpus.Corpus.prepare(given.folder, [file], teacher.tokenizer)
text.documents = text.documents[: len(text.documents) // 6]
tokenizer = spans.with_sentinels(wordpiece)
torch.manual_seed(0)
size = {"d_model": 256, "d_kv": 64, "num_heads": 4, "d_ff": 1024, "num_layers": 4, "num_decoder_layers": 2}
ids = {"pad_token_id": 0, "decoder_start_token_id": 0, "eos_token_id": tokenizer.eos_token_id}
t5 = T5ForConditionalGeneration(T5Config(vocab_size=len(tokenizer), dropout_rate=0.0, **size, **ids))
words = teacher.model.get_input_embeddings().weight.detach()
pretraining.put_words(t5.shared.weight[: len(words)], words.numpy(), deviation=1.0)  # as T5's own embeddings begin
model = spans.SpanCorruption(t5, precision)
for part in (model, teacher):
    part.to("cuda" if torch.cuda.is_available() else "cpu")
plan = Plan(**{name: getattr(given, name) for name in defaults}, warmup=0.05, evaluate_every=500, checkpoint_every=500)
spans.pretrain(model, tokenizer, text, plan, teacher=teacher, held_out=held_out, folder=given.folder)
if distributed.rank() == 0:
    pretraining.save(t5, tokenizer, given.folder / "model")
    print(spans.measure(model, tokenizer, held_out))
distributed.stop()
