"""Pretrain `lab-bert` on Wikipedia text: `python recipes/pretrain_lab_bert.py`, or the same under `torchrun`.

Text: the Wikipedia files in the folder `corpus` of SBERT_LAB_DATA, every hundredth document of the first held out. A
run that was stopped goes on where it was. On 2 cores one epoch of Simple English Wikipedia takes about an hour.
"""

import argparse
import os
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from transformers import BertConfig, BertForPreTraining, BertTokenizerFast

from sbert_lab import Plan, corpus, distributed, pretraining, static

options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
options.add_argument("--folder", type=Path, default=Path("runs/lab-bert"), help="where text, checkpoint and model go")
options.add_argument("--text", nargs="+", default=["simplewiki"], help="simplewiki, enwiki_core, enwiki_2008pages")
options.add_argument("--epochs", type=int, default=1)
options.add_argument("--batch-size", type=int, default=48, help="windows of text a step, in all processes together")
options.add_argument("--learning-rate", type=float, default=1e-3)
options.add_argument("--tokens-at-once", type=int, default=2_000, help="in one forward pass")
options.add_argument("--float32", action="store_true", help="compute in float32 instead of bfloat16")
given = options.parse_args()

distributed.start()
tokens = given.folder / "tokens"
if distributed.rank() == 0 and not (tokens / "held-out").exists():
    files = [Path(os.environ["SBERT_LAB_DATA"]) / "corpus" / f"{name}.txt.xz" for name in given.text]
    first, others = list(corpus.documents(files[0])), chain.from_iterable(map(corpus.documents, files[1:]))
    texts = [document for number, document in enumerate(first) if number % 100] + list(others)
    tokenizer = corpus.learn_wordpiece((paragraph for document in texts for paragraph in document), 8192)
    tokenizer.save_pretrained(given.folder / "tokenizer")
    corpus.Corpus.write(tokens / "train", texts, tokenizer)
    corpus.Corpus.write(tokens / "held-out", first[::100], tokenizer)
distributed.wait()
tokenizer = BertTokenizerFast.from_pretrained(given.folder / "tokenizer")
text, held_out = corpus.Corpus(tokens / "train"), corpus.Corpus(tokens / "held-out")

torch.manual_seed(0)
size = {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 1024}
no_dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}  # one pass over the text cannot overfit
bert = BertForPreTraining(BertConfig(vocab_size=len(tokenizer), **size, **no_dropout))
words = static.ppmi_svd(text.ids[:8_000_000], len(tokenizer), bert.config.hidden_size)
pretraining.start_from_words(bert, words, np.bincount(text.ids, minlength=len(tokenizer)))
model = pretraining.Pretraining(bert, tokenizer, torch.float32 if given.float32 else torch.bfloat16)
model.to("cuda" if torch.cuda.is_available() else "cpu")

plan = Plan(
    epochs=given.epochs, batch_size=given.batch_size, learning_rate=given.learning_rate, warmup=0.02,
    tokens_at_once=given.tokens_at_once, evaluate_every=1_000, checkpoint_every=500,
)  # fmt: skip
history = pretraining.pretrain(model, text, plan, longest=(64,) * 7 + (512,), held_out=held_out, folder=given.folder)
if distributed.rank() == 0:
    pretraining.save(bert, tokenizer, given.folder / "model")
    print(pretraining.measure(model, held_out), history, sep="\n")
distributed.stop()
