"""Every way to a sentence vector from a BERT never trained for one: `python recipes/raw_bert.py`, about six minutes, on
the course's STS and on STS-B (folder SBERT_LAB_DATA). Writes `data/results/01_why_raw_bert_fails.json`."""

import time
from types import SimpleNamespace

import numpy as np
from transformers import BertModel, set_seed

from sbert_lab import data, evaluation, load, metrics, results, static

SETS = "BERT-base, table 1, mean of seven STS sets"  # Reimers & Gurevych 2019; the paper's word vectors are GloVe
PAPER = {"[CLS]": f"29.19 ({SETS})", "mean": f"54.81 ({SETS})", "word vectors": f"61.32 ({SETS})"}
MAIN = (*PAPER, "max", "mean, whitened", "layer 0, whitened", "first and last", "random weights", "all-MiniLM-L6-v2")


def way(pooling, depth):
    encoder = load("lab-bert")
    encoder.pooling, encoder.backbone.model.encoder.layer = pooling, encoder.backbone.model.encoder.layer[:depth]
    return encoder


def repaired(encoder, texts, whiten):
    known = encoder.encode(texts)  # (N, D)
    _, width, axes = np.linalg.svd(known - known.mean(0), full_matrices=False)
    real = width > 1e-3 * width[0]  # LayerNorm leaves a direction in which nothing varies but rounding
    return SimpleNamespace(encode=lambda x: (encoder.encode(x) - known.mean(0)) @ axes[real].T / width[real] ** whiten)


ways = {name: way(pooling, 4) for name, pooling in (("[CLS]", "cls"), ("mean", "mean"), ("max", "max"))}
ways |= {f"layer {n}": way("mean", n) for n in range(4)} | {f"[CLS] of layer {n}": way("cls", n) for n in (1, 2, 3)}
ways["first and last"] = SimpleNamespace(encode=lambda s: (ways["layer 1"].encode(s) + ways["mean"].encode(s)) / 2)
bert, kept = ways["mean"].backbone, {}
table = static.WordVectors(bert.tokenizer.backend_tokenizer, bert.model.get_input_embeddings().weight.detach().numpy())
ways |= {"word vectors": static.WordVectors.load("lab-vectors"), "input embeddings": table}
ways |= {f"{n}, whitened on 12,650": repaired(ways[n], data.sentences(), True) for n in ("mean", "layer 0")}
ways |= {"random weights": way("mean", 4), "all-MiniLM-L6-v2": load("all-MiniLM-L6-v2")}
set_seed(0)
ways["random weights"].backbone.model.load_state_dict(BertModel(bert.model.config).state_dict())
for source in ("course", "stsb"):  # repairs are fitted on the sentences of some 600 training pairs
    pairs, few = data.sts("test", source), data.sts("train", source)
    texts, gold = [text for pair in few[:: len(few) // 600] for text in pair.texts], [pair.label for pair in pairs]
    for name, how in [(name, how) for name in (*PAPER, "layer 0") for how in ("centred", "whitened")]:
        ways[f"{name}, {how}"] = repaired(ways[name], texts, how == "whitened")
    rows = {name: results.row(name, [way], source, PAPER.get(name, ""), "01") for name, way in ways.items()}
    d = {name: metrics.bootstrap(metrics.spearman, evaluation.cosines(way, pairs), gold) for name, way in ways.items()}
    gains = {f"{n} - {o}": np.percentile(d[n] - d[o], (2.5, 97.5)).round(3).tolist() for o in PAPER for n in d}
    kept[source] = {"rows": [rows.pop(name) for name in MAIN], "more": [*rows.values()], "gains": gains}
minutes = time.process_time() / 60
results.keep("01_why_raw_bert_fails", "python recipes/raw_bert.py", minutes, **kept["course"], public=kept["stsb"])
