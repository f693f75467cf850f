"""The benchmark runs end to end on a tiny model and measures what it says; no time is asserted."""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections import Counter

import pytest
import torch
from tiny import tiny_model, tiny_tokenizer

from benchmarks.__main__ import PARTS, Sizes, run
from benchmarks.sides import both, padding
from sbert_lab.backbone import Backbone
from sbert_lab.encoder import Encoder
from sbert_lab.storage import save

TINY = Sizes(mixed=40, short=40, rows=128, rounds=1, other_batches=(8,), numbers=(10, 20), lengths=(8, 16), tokens=64)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("benchmark") / "model"
    save(Encoder(Backbone(tiny_model(vocab_size=100), tiny_tokenizer())), folder)
    return str(folder)


@pytest.fixture(scope="module")
def report(model):
    """What is printed, and the figures, on generated texts."""
    printed, threads = io.StringIO(), torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.delenv("SBERT_LAB_DATA", raising=False)
        results = run(list(PARTS), model, TINY)
    torch.set_num_threads(threads)
    return printed.getvalue(), results


@pytest.mark.filterwarnings("ignore:.*were cut at")
def test_every_benchmark_prints_a_table_with_both_sides(report):
    printed, results = report
    assert list(results["tables"]) == list(PARTS)
    for name, rows in results["tables"].items():
        assert f"**{name}**" in printed
        assert rows[0]["variant"] == "sbert_lab" and rows[1]["variant"].startswith("ST")
        cells = " | ".join(str(rows[1][key]) for key in ("benchmark", "threads", "variant"))
        assert f"| {cells} |" in printed
    assert re.search(r"- processor: .+\n- versions: Python .+torch .+sentence-transformers", printed)
    assert "- texts: generated" in printed
    json.dumps(results)


def test_both_sides_compute_the_same(report):
    numbers = re.compile(r"\d(?:\.\d+)?e[+-]\d+")
    for rows in report[1]["tables"].values():
        for row in rows[1:]:
            differences = [float(number) for number in numbers.findall(row["agreement"])]
            assert len(differences) == (2 if "train" in row["benchmark"] else 1)
            assert max(differences) < 1e-4, row


def test_padding_counts_what_the_models_are_given(model):
    """Texts of 4 and 6 tokens: 10 packed, a rectangle of 12 padded."""
    texts = ["cat sat", "the cat sat on"]
    for side, expected in zip(both(model), ({"all": 10, "real": 10}, {"all": 12, "real": 10}), strict=True):
        count = Counter()
        with padding(side, count):
            side.encode(texts)
        side.encode(texts)  # not counted any more
        assert count == expected
