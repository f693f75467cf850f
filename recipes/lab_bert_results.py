"""Measure `lab-bert` and what the other recipes made of it: `python recipes/lab_bert_results.py`.

Writes `data/results/lab_bert.json` and prints its tables. STS-B, TREC and SciFact come from the folder SBERT_LAB_DATA;
runs that are not there are left out. An interval is that of a paired bootstrap over the pairs of STS-B test.
"""

import copy
import json
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from transformers import BertForPreTraining

from sbert_lab import corpus, data, evaluation, load, metrics, pretraining, sources, static

RUNS = Path("runs")
TRAINED = ("softmax-nli", "cosine-stsb", "in-batch-nli", "in-batch-nli-pairs", "simcse")
FOLDER = Path(os.environ["SBERT_LAB_DATA"])
PAIRS = {split: data.sts(split, source="stsb") for split in ("train", "dev", "test")}
GOLD = np.array([row.label for row in PAIRS["test"]])


def raw() -> dict[str, SimpleNamespace]:
    """Every way to take a sentence vector from lab-bert and from word vectors, none of them trained for it."""
    ways = {name: load("lab-bert") for name in ("cls", "mean", "max")}
    for name, encoder in ways.items():
        encoder.pooling = name
    layers = [copy.deepcopy(ways["mean"]) for _ in range(len(ways["mean"].backbone.model.encoder.layer) + 1)]
    for number, encoder in enumerate(layers):
        encoder.backbone.model.encoder.layer = encoder.backbone.model.encoder.layer[:number]
    tokenizer = ways["mean"].backbone.tokenizer.backend_tokenizer
    table = ways["mean"].backbone.model.embeddings.word_embeddings.weight.detach().numpy()
    text = corpus.Corpus(RUNS / "lab-bert" / "train")
    counted = static.ppmi_svd(text.ids[:8_000_000], *table.shape)
    more = {
        "first-last": both(layers[1], layers[-1]),
        "whitened": whitened(ways["mean"]),
        "input embeddings": static.WordVectors(tokenizer, table),
        "ppmi-svd": static.WordVectors(tokenizer, counted),
        "lab-vectors": static.WordVectors.load("lab-vectors"),
    }
    return ways | {f"layer {number}": encoder for number, encoder in enumerate(layers)} | more


def both(first, last) -> SimpleNamespace:
    """The average of two layers: of mean pooling it is the mean of the two vectors."""
    return SimpleNamespace(encode=lambda texts: (first.encode(list(texts)) + last.encode(list(texts))) / 2)


def whitened(encoder) -> SimpleNamespace:
    """Centred and rescaled so that STS-B's training sentences have unit covariance: Su et al. 2021."""
    known = encoder.encode([text for row in PAIRS["train"] for text in row.texts])  # (N, D)
    centre = known.mean(axis=0)
    u, variance, _ = np.linalg.svd(np.cov((known - centre).T))
    return SimpleNamespace(encode=lambda texts: (encoder.encode(list(texts)) - centre) @ (u / np.sqrt(variance)))


def score(encoders: list, reference: list[np.ndarray]) -> dict:
    """STS-B in points (Spearman x 100), mean over the seeds, with intervals; the gain is over mean pooling."""
    found = [evaluation.cosines(encoder, PAIRS["test"]) for encoder in encoders]
    dev = [evaluation.sts(encoder, PAIRS["dev"])["spearman"] for encoder in encoders]
    spread = metrics.bootstrap(mean_spearman, GOLD, *found)
    gain = spread - metrics.bootstrap(mean_spearman, GOLD, *reference)  # the same samples: the seed is the same
    seeds = [metrics.spearman(cosines, GOLD) for cosines in found]
    return {
        "test": points(np.mean(seeds)), "interval": points(np.quantile(spread, [0.025, 0.975])),
        "gain_interval": points(np.quantile(gain, [0.025, 0.975])), "dev": points(np.mean(dev)),
        "seeds": points(seeds), "mean_cosine": round(float(np.mean(found)), 2),
    }  # fmt: skip


def mean_spearman(gold, *found) -> float:
    return float(np.mean([metrics.spearman(cosines, gold) for cosines in found]))


def points(x):
    return np.round(100 * np.asarray(x, dtype=float), 1).tolist()


def trec(split: str) -> list[data.Row]:
    """Questions and the number of their coarse class."""
    records = [record for _, record in data.records(FOLDER / "clustering" / f"trec_{split}.tsv.gz")]
    names = sorted({record["coarse"] for record in records})
    return [data.Row((record["question"],), names.index(record["coarse"])) for record in records]


def main() -> None:
    ways = raw()
    runs = {name: sorted(RUNS.glob(f"{name}/[0-9]/model")) for name in TRAINED}
    trained = {name: [load(folder) for folder in folders] for name, folders in runs.items() if folders}
    reference = [evaluation.cosines(ways["mean"], PAIRS["test"])]
    every = {name: [encoder] for name, encoder in ways.items()} | trained
    sts = {name: score(encoders, reference) for name, encoders in every.items()}

    few = {name: every[name][0] for name in ("cls", "mean", "lab-vectors", *trained) if name != "cosine-stsb"}
    train_rows, test_rows = trec("train"), trec("test")
    accuracy = {name: points(evaluation.classification(e, train_rows, test_rows)) for name, e in few.items()}
    scifact = data.beir(FOLDER / "retrieval" / "scifact")
    ndcg = {name: points(evaluation.retrieval(e, *scifact)["ndcg@10"]) for name, e in few.items() if name != "cls"}

    bert = BertForPreTraining.from_pretrained(sources.find("lab-bert"))
    held_out = corpus.Corpus(RUNS / "lab-bert" / "held-out")
    model = pretraining.Pretraining(bert.eval(), ways["mean"].backbone.tokenizer)
    history = {name: json.loads((runs[name][0].parent / "history.json").read_text()) for name in trained}
    results = {
        "held_out": {name: round(value, 4) for name, value in pretraining.measure(model, held_out).items()},
        "sts": sts, "trec_accuracy": accuracy, "scifact_ndcg10": ndcg,
        "curves": {name: [[step, points(value)] for step, value in h["scores"]] for name, h in history.items()},
        "runs": {name: {key: h[key] for key in ("rows", "loss", "plan")} for name, h in history.items()},
    }  # fmt: skip
    Path("data/results").mkdir(exist_ok=True)
    Path("data/results/lab_bert.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    for name, row in sorted(sts.items(), key=lambda item: item[1]["test"]):
        print(f"{name:20} {row['test']:5}  {row['interval']}  gain {row['gain_interval']}  seeds {row['seeds']}")
    print(results["held_out"], accuracy, ndcg, sep="\n")


if __name__ == "__main__":
    main()
