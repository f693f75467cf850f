"""Variants side by side, A B A B, in process CPU time.

A shared machine slows whoever happens to run, and a warm one is slower than a cold one. So the variants take turns, the
figure is the CPU time of this process (all its threads together), and a ratio is formed within each round. Wall time
stands beside it for what it is worth.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

import torch

from benchmarks.machine import products
from benchmarks.sides import Side, padding

Variant = tuple[Side, Callable[[], int]]  # whose model works, and the work, which returns how many tokens it was


def compare(benchmark: str, variants: Mapping[str, Variant], rounds: int, passes: int = 1) -> list[dict[str, Any]]:
    """One row a variant; `passes` is how often the work goes through the matrix products: 1 to encode, 3 to train."""
    encoder, _ = variants["sbert_lab"]
    works = {**variants, "limit": (encoder, products(encoder))}
    counts = {name: Counter[str]() for name in works}
    cpu, wall = {name: [] for name in works}, {name: [] for name in works}  # microseconds a token
    for turn in range(rounds + (rounds > 1)):
        for name, (side, work) in works.items():
            with padding(side, counts[name]):
                start = time.process_time(), time.perf_counter()
                tokens = work()
                times = time.process_time() - start[0], time.perf_counter() - start[1]
            if turn or rounds == 1:  # the first of several warms up
                cpu[name].append(times[0] / tokens * 1e6)
                wall[name].append(times[1] / tokens * 1e6)
    return [
        {
            "benchmark": benchmark,
            "threads": torch.get_num_threads(),
            "variant": name,
            "CPU µs/token": median(cpu[name]),
            "wall µs/token": median(wall[name]),
            "padded/real": counts[name]["all"] / counts[name]["real"],
            "of the GEMM limit": passes * median(cpu["limit"]) / median(cpu[name]),
            "CPU time / sbert_lab": _ratio(cpu[name], cpu["sbert_lab"]) if name != "sbert_lab" else "1",
        }
        for name in variants
    ]


def markdown(rows: list[dict[str, Any]]) -> str:
    """The rows as a Markdown table; a float has three digits."""
    lines = [list(rows[0]), ["---"] * len(rows[0])]
    lines += [[f"{x:.3g}" if isinstance(x, float) else str(x) for x in row.values()] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _ratio(times: list[float], ours: list[float]) -> str:
    ratios = [time / our for time, our in zip(times, ours, strict=True)]
    return f"**{median(ratios):.2f}** ({min(ratios):.2f} to {max(ratios):.2f})"
