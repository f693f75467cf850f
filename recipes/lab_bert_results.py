"""Measure `lab-bert` and what the other recipes made of it: `python recipes/lab_bert_results.py`.

Writes `data/results/lab_bert.json` and prints it as the table of the datasheet. STS-B, TREC and SciFact come from the
folder SBERT_LAB_DATA, the trained models from runs/NAME/SEED; TREC is measured on seed 0, SciFact on a few of these. An
interval is that of a bootstrap over the pairs of STS-B test, paired for the gain over lab-bert's mean pooling. A model
trained from the same weights of lab-bert whose run is not in runs/ now keeps what was measured of it.
"""

import copy
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from transformers import BertForPreTraining

from sbert_lab import corpus, data, evaluation, load, metrics, pretraining, sources, static, tables
from sbert_lab.results import mean_spearman, points

RUNS, RESULTS = Path("runs"), Path("data/results/lab_bert.json")
TRAINED = ("softmax-nli-minute", "softmax-nli", "cosine-stsb", "in-batch-nli", "in-batch-nli-pairs", "simcse")


class Vectors:
    """Texts to vectors by any function: all that the measures ask of an encoder."""

    def __init__(self, encode: Callable[[list[str]], np.ndarray]) -> None:
        self.encode = lambda texts: encode(list(texts))


def raw(sentences: Sequence[str], text: corpus.Corpus) -> dict:
    """Every way to take a sentence vector from lab-bert and from word vectors, none of them trained for it."""
    ways: dict = {name: load("lab-bert") for name in ("cls", "mean", "max")}
    for name, encoder in ways.items():
        encoder.pooling = name
    mean = ways["mean"]
    layers = [copy.deepcopy(mean) for _ in range(len(mean.backbone.model.encoder.layer) + 1)]
    for number, encoder in enumerate(layers):
        encoder.backbone.model.encoder.layer = encoder.backbone.model.encoder.layer[:number]
        ways[f"layer {number}"] = encoder
    ways["first-last"] = Vectors(lambda texts: (layers[1].encode(texts) + layers[-1].encode(texts)) / 2)
    ways["whitened"] = whitened(mean, sentences)
    tokenizer = mean.backbone.tokenizer.backend_tokenizer
    table = mean.backbone.model.embeddings.word_embeddings.weight.detach().cpu().numpy()
    ways["input embeddings"] = static.WordVectors(tokenizer, table)
    ways["ppmi-svd"] = static.WordVectors(tokenizer, static.ppmi_svd(text.ids[:8_000_000], *table.shape))
    ways["lab-vectors"] = static.WordVectors.load("lab-vectors")
    return ways


def whitened(encoder, sentences: Sequence[str]) -> Vectors:
    """Centred and rescaled so that `sentences` have unit covariance: Su et al. 2021.

    Layer normalisation leaves one direction without variance; divided by its length it would be rounding noise.
    """
    known = encoder.encode(sentences)  # (N, D)
    centre = known.mean(axis=0)
    directions, variance, _ = np.linalg.svd(np.cov((known - centre).T))
    filled = variance > 1e-6 * variance.max()
    rescale = directions[:, filled] / np.sqrt(variance[filled])  # (D, kept)
    return Vectors(lambda texts: (encoder.encode(texts) - centre) @ rescale)


def sts(encoders: dict[str, list], reference: str) -> dict:
    """STS-B in points (Spearman x 100), the mean over the seeds, with intervals; the gain is over `reference`."""
    pairs = {split: data.sts(split, source="stsb") for split in ("dev", "test")}
    gold = np.array([row.label for row in pairs["test"]])
    found = {name: [evaluation.cosines(encoder, pairs["test"]) for encoder in some] for name, some in encoders.items()}
    spread = {name: metrics.bootstrap(mean_spearman, gold, *some) for name, some in found.items()}
    return {
        name: {
            "test": points(mean_spearman(gold, *some)),
            "interval": points(np.quantile(spread[name], [0.025, 0.975])),
            "gain": points(np.quantile(spread[name] - spread[reference], [0.025, 0.975])),  # of the same samples
            "seeds": points([metrics.spearman(cosines, gold) for cosines in some]),
            "dev": points(np.mean([evaluation.sts(encoder, pairs["dev"])["spearman"] for encoder in encoders[name]])),
            "mean_cosine": round(float(np.mean(some)), 2),
        }
        for name, some in found.items()
    }


CLASSES = ("ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM")  # of TREC's questions


def trec(folder: Path, split: str) -> list[data.Row]:
    """Questions and the number of their class."""
    records = tables.records(folder / "clustering" / f"trec_{split}.tsv.gz")
    return [data.Row((record["question"],), CLASSES.index(record["coarse"])) for _, record in records]


def held_out(text: corpus.Corpus) -> dict[str, float]:
    """The two objectives on documents that lab-bert has not read."""
    folder = sources.find("lab-bert")
    model = pretraining.Pretraining(BertForPreTraining.from_pretrained(folder), load(folder).backbone.tokenizer)
    found = pretraining.measure(model, text)
    return {name: round(value, 3) for name, value in found.items()}


def table(results: dict) -> str:
    """The results as Markdown, the worst on STS-B first."""
    lines = [
        "| vectors | STS-B test | 95 % | gain over mean | mean cosine | TREC | SciFact |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for name, row in sorted(results["sts"].items(), key=lambda item: item[1]["test"]):
        ranges = [f"{low:.1f} to {high:.1f}" for low, high in (row["interval"], row["gain"])]
        others = [results[task].get(name, "") for task in ("trec_accuracy", "scifact_ndcg10")]
        cells = [name, f"{row['test']:.1f}", *ranges, f"{row['mean_cosine']:.2f}", *map(str, others)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    folder = Path(os.environ["SBERT_LAB_DATA"])
    tokenizer = load("lab-bert").backbone.tokenizer
    files = [folder / "corpus" / "simplewiki.txt.xz"]
    _, read, unread = corpus.Corpus.prepare(RUNS / "lab-bert-results", files, tokenizer)
    ways = raw([text for row in data.sts("train", source="stsb") for text in row.texts], read)
    runs = {name: sorted(RUNS.glob(f"{name}/[0-9]")) for name in TRAINED}
    trained = {name: [load(run / "model") for run in some] for name, some in runs.items() if some}
    histories = {name: json.loads((runs[name][0] / "history.json").read_text("utf-8")) for name in trained}
    few = {name: ways[name] for name in ("cls", "mean", "lab-vectors")} | {name: e[0] for name, e in trained.items()}
    searching = {name: few[name] for name in ("mean", "lab-vectors", "in-batch-nli") if name in few}
    questions, scifact = (trec(folder, "train"), trec(folder, "test")), data.beir(folder / "retrieval" / "scifact")
    results = {
        "held_out": held_out(unread),
        "sts": sts({name: [encoder] for name, encoder in ways.items()} | trained, reference="mean"),
        "trec_accuracy": {name: points(evaluation.classification(e, *questions)) for name, e in few.items()},
        "scifact_ndcg10": {name: points(evaluation.retrieval(e, *scifact)["ndcg@10"]) for name, e in searching.items()},
        "curves": {name: [[step, points(score)] for step, score in h["scores"]] for name, h in histories.items()},
        "runs": {name: {key: h[key] for key in ("rows", "loss", "plan")} for name, h in histories.items()},
    }
    weights = sources.CARRIED["lab-bert"][2]["model.safetensors"]  # their SHA-256
    before = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    if before.get("weights") == weights:
        results = {part: before[part] | found for part, found in results.items()}
    results["weights"] = weights
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(results["held_out"], table(results), sep="\n")


if __name__ == "__main__":
    main()
