"""The command: python course.py bench [names] [--long] [--json PATH]. On the CPU, in float32.

Prints Markdown that can be pasted into a log: the machine, then each benchmark's texts and table. It takes a few
minutes on two cores, during which nothing else should run.
"""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is imported
os.environ["TOKENIZERS_PARALLELISM"] = "false"  # one thread is to mean one thread, on both sides
os.environ["TQDM_DISABLE"] = "1"

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks import encode, machine, training
from benchmarks.comparison import markdown
from benchmarks.sides import Sides, both
from benchmarks.texts import Texts, as_among_many, described, of_length, texts


@dataclass(frozen=True)
class Sizes:
    """How many texts (in windows of 32, out of the most there are), rows, rounds and tokens."""

    mixed: int = 256
    short: int = 384
    rows: int = 1_600
    rounds: int = 5
    other_batches: tuple[int, ...] = (8, 16)
    numbers: tuple[int, ...] = (500, 1_000)
    lengths: tuple[int, ...] = (8, 32, 128, 256)
    tokens: int = 1_024  # of each length


LONG = (1_000, 4_000, 16_000, 64_000)
Part = Callable[[Sides, Texts, Sizes], list[dict[str, Any]]]


def mixed(sides: Sides, some: Texts, sizes: Sizes) -> list[dict[str, Any]]:
    """Encode texts of mixed lengths."""
    chosen = as_among_many(some["mixed"], sizes.mixed)
    return encode.table("encode mixed", sides, chosen, sizes.rounds, 1, sizes.other_batches)


def short(sides: Sides, some: Texts, sizes: Sizes) -> list[dict[str, Any]]:
    """Encode short texts, in one thread and in all."""
    chosen = as_among_many(some["short"], sizes.short)
    rows = encode.table("encode short", sides, chosen, sizes.rounds, 1, sizes.other_batches)
    return rows + encode.table("encode short", sides, chosen, sizes.rounds, os.cpu_count() or 1)


def in_batch(sides: Sides, some: Texts, sizes: Sizes) -> list[dict[str, Any]]:
    """Train with in-batch negatives on pairs of mixed lengths."""
    return training.table("train in-batch", sides, some["pairs"][: sizes.rows], sizes.rounds)


def softmax(sides: Sides, some: Texts, sizes: Sizes) -> list[dict[str, Any]]:
    """Train softmax classification on short pairs."""
    return training.table("train softmax", sides, some["labelled"][: sizes.rows], sizes.rounds)


def number(sides: Sides, some: Texts, sizes: Sizes) -> list[dict[str, Any]]:
    """How the cost of a token grows with the number of short texts."""
    tables = [encode.table(f"encode {count:,}", sides, some["short"][:count], 1) for count in sizes.numbers]
    return [row for table in tables for row in table]


def length(sides: Sides, some: Texts, sizes: Sizes) -> list[dict[str, Any]]:
    """How the cost of a token grows with the length of the texts, where no side pads."""
    named = {f"{n} tokens each": [of_length(sides[0], n)] * (sizes.tokens // n) for n in sizes.lengths}
    return [row for name, chosen in named.items() for row in encode.table(name, sides, chosen, 3)]


PARTS: dict[str, Part] = {part.__name__: part for part in (mixed, short, in_batch, softmax, number, length)}


def run(names: Sequence[str], model: str, sizes: Sizes) -> dict[str, Any]:
    """Measure and print the benchmarks named; returns what JSON takes."""
    started, (origin, some) = time.perf_counter(), texts(max(sizes.rows, *sizes.numbers))
    facts, (encoder, _) = machine.facts() | {"model": model, "texts": origin}, both(model)
    facts |= {f"texts, {kind}": described(encoder, chosen) for kind, chosen in some.items()}
    print("\n".join(f"- {what}: {value}" for what, value in facts.items()), flush=True)
    tables = {}
    for name in names:
        tables[name] = PARTS[name](both(model), some, sizes)  # anew, since training changes the models
        print(f"\n**{name}**: {PARTS[name].__doc__}\n\n{markdown(tables[name])}", flush=True)
    print(f"\nRatios: median of the rounds (lowest to highest). {time.perf_counter() - started:.0f} s in all.")
    return {"machine": facts, "tables": tables}


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="course.py bench", description="Measure against sentence-transformers.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which, of {', '.join(PARTS)}; all without")
    parser.add_argument("--long", action="store_true", help=f"let the number of texts grow to {LONG[-1]:,}")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures to this file as well")
    given = parser.parse_args()
    for name in set(given.names) - set(PARTS):
        parser.error(f"there is no benchmark {name!r}: choose from {', '.join(PARTS)}")
    sizes = replace(Sizes(), numbers=LONG) if given.long else Sizes()
    results = run(given.names or [*PARTS], "all-MiniLM-L6-v2", sizes)
    if given.json:
        given.json.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
