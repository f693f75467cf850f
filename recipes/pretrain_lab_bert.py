"""Pretrain `lab-bert` on Wikipedia text: `python recipes/pretrain_lab_bert.py`, or the same under `torchrun`.

The text is in the folder `corpus` of SBERT_LAB_DATA; every hundredth document of the first file is held out. A run that
was stopped goes on where it was. On a GPU, for example: `--text simplewiki enwiki_core enwiki_2008pages --epochs 15
--batch-size 1024 --tokens-at-once 8192 --learning-rate 2e-3`.
"""

import argparse
import os
from pathlib import Path

import numpy as np
import torch
from transformers import AutoTokenizer, BertConfig, BertForPreTraining

from sbert_lab import Plan, corpus, distributed, pretraining, static

options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
options.add_argument("--folder", type=Path, default=Path("runs/lab-bert"), help="where text, checkpoint and model go")
options.add_argument("--text", nargs="+", default=["simplewiki"], help="files of the corpus, by name")
options.add_argument("--start", help="a folder of such a model to go on from, with its tokenizer")
options.add_argument("--float32", action="store_true", help="compute in float32 instead of bfloat16")
defaults = {"epochs": 1, "batch_size": 64, "learning_rate": 1e-3, "tokens_at_once": 4_000}
for name, value in defaults.items():
    options.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
given = options.parse_args()

distributed.start()
files = [Path(os.environ["SBERT_LAB_DATA"]) / "corpus" / f"{name}.txt.xz" for name in given.text]
vocabulary = AutoTokenizer.from_pretrained(given.start) if given.start else 8192
tokenizer, text, held_out = corpus.Corpus.prepare(given.folder, files, vocabulary)
torch.manual_seed(0)
size = {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 1024}
no_dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}  # text is read once or twice
if given.start:
    bert = BertForPreTraining.from_pretrained(given.start, **no_dropout)
else:
    bert = BertForPreTraining(BertConfig(vocab_size=len(tokenizer), **size, **no_dropout))
    words = static.ppmi_svd(text.ids[:8_000_000], len(tokenizer), size["hidden_size"])
    pretraining.start_from_words(bert, words, np.bincount(text.ids, minlength=len(tokenizer)))
model = pretraining.Pretraining(bert, tokenizer, torch.float32 if given.float32 else torch.bfloat16)
model.to("cuda" if torch.cuda.is_available() else "cpu")
chosen = {name: getattr(given, name) for name in defaults}
plan = Plan(**chosen, warmup=0.02, evaluate_every=1_000, checkpoint_every=500)
longest = (64, 64, 128, 512)  # in tokens; the long windows teach the late positions
pretraining.pretrain(model, text, plan, longest=longest, held_out=held_out, folder=given.folder)
if distributed.rank() == 0:
    pretraining.save(bert, tokenizer, given.folder / "model", hidden_dropout_prob=0.1)  # attention's would be slow
    print(pretraining.measure(model, held_out))
distributed.stop()
