"""The closing table of the course: what each method asks for, costs and brings: `python recipes/the_field.py`.

Every method begins from lab-bert, one from lab-t5, learns from the course's own data with three seeds, and is measured
alike: STS test, the same pairs with typos, search among the passages. Writes `data/results/the_field.json` and prints
the table of the README. The learning rates are those of the lessons; nothing was chosen on a test set.
"""

import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from random import Random

import first_layers
import numpy as np
import torch

from sbert_lab import (
    Plan,
    Row,
    data,
    evaluation,
    gradients,
    load,
    losses,
    results,
    static,
    train,
    views,
)

NLI, ENTAILED, TRIPLETS = (
    data.nli("train"),
    data.triplets(data.nli("train"), hard=False),
    data.triplets(data.nli("train")),
)
GRADED, SENTENCES = data.sts("train"), data.sentences()
CLEAN = data.sts("test")
MISTYPED = [Row(tuple(views.typos(t, Random(i), 0.3) for t in row.texts), row.label) for i, row in enumerate(CLEAN)]
PLAN, GRADED_PLAN = Plan(batch_size=32, learning_rate=3e-4), Plan(epochs=3, batch_size=16, learning_rate=3e-4)


def measured(
    method: str, needs: str, encoders: Sequence, prefixes=("", ""), paper: str = "", seconds: float = 0
) -> dict:
    """A row of the table; scores in points, one a seed. Speed is that of one thread or two, as torch is set."""
    row: dict = {"method": method, "needs": needs, "train_seconds": round(seconds), "paper": paper}
    for name, pairs in (("sts", CLEAN), ("typos", MISTYPED)):
        asked = views.prefixed(pairs, prefixes[0], prefixes[0])
        row[name] = results.points([evaluation.sts(encoder, asked)["spearman"] for encoder in encoders])
    queries, passages, right = data.retrieval("test")
    queries, passages = ({k: p + t for k, t in x.items()} for p, x in zip(prefixes, (queries, passages), strict=True))
    started = time.process_time()
    row["ndcg"] = results.points([evaluation.retrieval(e, queries, passages, right)["ndcg@10"] for e in encoders])
    row["texts_a_second"] = round(len(encoders) * (len(queries) + len(passages)) / (time.process_time() - started))
    print(row, flush=True)
    return row


def trained(
    method: str, needs: str, rows, loss, plan=PLAN, fill=gradients.plain, make=lambda: load("lab-bert"), **more
):
    """The same of three seeds, with the CPU seconds that one training took."""
    encoders, started = [], time.process_time()
    for seed in range(3):
        torch.manual_seed(seed)
        encoder = make()
        encoder.backbone.precision = torch.bfloat16  # of the training alone
        train(encoder, rows, deepcopy(loss), replace(plan, seed=seed), gradients=deepcopy(fill))
        encoder.backbone.precision = torch.float32
        encoders.append(encoder)
    return measured(method, needs, encoders, seconds=(time.process_time() - started) / 3, **more)


def field() -> list[dict]:
    """All methods, in the order of the lessons."""
    torch.manual_seed(0)  # of the softmax head
    words, first, teacher = static.WordVectors.load("lab-vectors"), load("lab-bert"), load("all-MiniLM-L6-v2")
    in_batch, gentle = losses.InBatchNegatives(), replace(PLAN, learning_rate=3e-5)
    first.pooling = "cls"
    queries, passages, right = data.retrieval("train")
    asked = [Row((queries[query], passages[passage])) for query, found in right.items() for passage in found]
    spoken = views.prefixed(asked, "query: ", "passage: ")
    crops = [row for seed in range(2) for row in views.crops(passages.values(), seed)]
    taught = [Row((text,), tuple(v)) for text, v in zip(SENTENCES, teacher.encode(SENTENCES).tolist(), strict=True)]
    noisy = views.augmented(ENTAILED, lambda text, random: views.typos(text, random, 0.3), seed=0)
    return [
        measured("word vectors, averaged", "plain text", [words], paper="58.02 (GloVe)"),
        measured("raw BERT, [CLS]", "plain text", [first], paper="16.50"),
        measured("raw BERT, mean", "plain text", [load("lab-bert")], paper="46.35"),
        trained("softmax classification", "NLI", NLI, losses.SoftmaxClassification(256, 3),
                Plan(learning_rate=5e-5, head_learning_rate=1e-3), paper="77.03"),
        trained("cosine regression", "graded pairs", GRADED, losses.CosineRegression(), GRADED_PLAN, paper="84.67"),
        trained("CoSENT", "graded pairs", GRADED, losses.CoSENT(), GRADED_PLAN),
        trained("triplet margin", "NLI", TRIPLETS, losses.TripletMargin(), replace(PLAN, learning_rate=1e-4)),
        trained("in-batch negatives", "NLI, entailed pairs", ENTAILED, in_batch),
        trained("in-batch, hard negatives", "NLI", TRIPLETS, in_batch),
        trained("SimCSE, unsupervised", "sentences", views.twice(SENTENCES), in_batch, gentle),
        trained("Contriever: crops, queue", "passages", crops, in_batch, fill=gradients.Momentum()),
        trained("E5: prefixes, 0.01", "queries with passages", spoken, losses.InBatchNegatives(0.01),
                prefixes=("query: ", "passage: ")),
        trained("Sentence-T5: encoder mean", "NLI", TRIPLETS, in_batch, make=lambda: load("lab-t5")),
        trained("in-batch, typos added", "NLI, entailed pairs", noisy, in_batch),
        trained("in-batch, FGM 0.5", "NLI, entailed pairs", ENTAILED, in_batch, fill=gradients.Adversarial(0.5)),
        trained("two layers, distilled", "sentences, a teacher", taught, losses.VectorDistillation(),
                Plan(epochs=3, batch_size=64, learning_rate=1e-3), make=lambda: first_layers.student(2)),
        measured("the teacher, all-MiniLM-L6-v2", "a billion pairs", [teacher]),
    ]  # fmt: skip


def table(methods: Sequence[dict]) -> str:
    """The methods as Markdown, the worst on STS first."""
    lines = [
        "| method | learns from | STS | with typos | search, nDCG@10 | training, s | texts a second | paper |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for row in sorted(methods, key=lambda row: np.mean(row["sts"])):
        scores = [f"{np.mean(row[name]):.1f}" for name in ("sts", "typos", "ndcg")]
        cells = [row["method"], row["needs"], *scores, str(row["train_seconds"] or ""), str(row["texts_a_second"])]
        lines.append(f"| {' | '.join([*cells, row['paper']])} |")
    return "\n".join(lines)


if __name__ == "__main__":
    methods = field()
    results.keep("the_field", "python recipes/the_field.py", time.process_time() / 60, methods=methods)
    print(table(methods))
