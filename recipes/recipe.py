"""What the fine-tuning recipes share: their options, and a run that leaves a model and its history in a folder."""

import argparse
import json
import random
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from sbert_lab import Plan, Row, data, distributed, evaluation, load, losses, save, train


def options(about: str, name: str, **defaults: float) -> argparse.ArgumentParser:
    """The options of a recipe called `name`: model, seed and folder, and those of `Plan` in `defaults`."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="lab-bert", help="lab-bert, bert-base-uncased, any name or folder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help=f"where checkpoint and model go, runs/{name}/SEED")
    parser.add_argument("--rows", type=int, default=0, help="how many rows to draw from all; 0: all of them")
    parser.add_argument("--bfloat16", action="store_true", help="compute in bfloat16, if the machine is faster in it")
    for option, value in defaults.items():
        parser.add_argument(f"--{option.replace('_', '-')}", type=type(value), default=value)
    parser.set_defaults(plan=list(defaults), name=name)
    return parser


def encoder(given: argparse.Namespace):
    """The encoder to begin from; torch is seeded, so that a head drawn next is the same again."""
    distributed.start()
    given.folder = given.folder or Path("runs") / given.name / str(given.seed)
    torch.manual_seed(given.seed)
    return load(given.model, precision=torch.bfloat16 if given.bfloat16 else torch.float32)


def run(given: argparse.Namespace, model, rows: Sequence[Row], loss: losses.Loss) -> None:
    """Train on `rows`, keep the weights best on STS-B dev, and write model and history to the folder."""
    pairs = data.sts("dev", source="stsb")
    if given.rows:
        rows = random.Random(given.seed).sample(rows, given.rows)
    plan = Plan(seed=given.seed, **{name: getattr(given, name) for name in given.plan})
    history = train(model, rows, loss, plan, dev=lambda e: evaluation.sts(e, pairs)["spearman"], folder=given.folder)
    if distributed.rank() == 0:
        save(model, given.folder / "model")
        record = asdict(history) | {"rows": len(rows), "plan": asdict(plan), "loss": str(loss)}
        (given.folder / "history.json").write_text(json.dumps(record), encoding="utf-8")
        print(f"STS-B dev: {history.scores[0][1]:.3f} before, {max(score for _, score in history.scores):.3f} at best")
    distributed.stop()
