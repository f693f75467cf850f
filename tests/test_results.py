"""The growing table: rows are measured truly, stored rows are found by lesson, the worst stands first."""

import json

import numpy as np
import pytest
import scipy.stats
from tiny import tiny_encoder

from sbert_lab import data, evaluation, results


def test_a_row_holds_every_seed_and_an_interval_around_their_mean():
    encoders = [tiny_encoder(), tiny_encoder(pooling="cls")]
    row = results.row("two", encoders, paper="29.19", lesson="01")
    pairs = data.sts("test")
    gold = [pair.label for pair in pairs]
    scores = [100 * scipy.stats.spearmanr(evaluation.cosines(e, pairs), gold).statistic for e in encoders]
    draw, samples = np.random.default_rng(0), []
    found = [evaluation.cosines(e, pairs) for e in encoders]
    for _ in range(1000):
        some = draw.integers(len(gold), size=len(gold))
        samples.append(np.mean([scipy.stats.spearmanr(c[some], np.array(gold)[some]).statistic for c in found]))
    assert row == {
        "name": "two",
        "lesson": "01",
        "paper": "29.19",
        "seeds": np.round(scores, 1).tolist(),
        "interval": np.round(100 * np.quantile(samples, [0.025, 0.975]), 1).tolist(),
    }
    with pytest.raises(ValueError, match="'none' has no encoders"):
        results.row("none", [])


def test_a_gain_is_the_interval_of_the_difference_on_the_same_pairs():
    draw = np.random.default_rng(1)
    gold = draw.random(60)
    better, worse = ([gold + draw.normal(0, noise, 60) for _ in range(2)] for noise in (0.2, 0.5))
    again, samples = np.random.default_rng(0), []
    for _ in range(1000):
        some = again.integers(60, size=60)
        means = [
            np.mean([scipy.stats.spearmanr(one[some], gold[some]).statistic for one in seeds])
            for seeds in (better, worse[:1])
        ]
        samples.append(means[0] - means[1])
    low, high = results.gain(gold, better, worse[:1])
    assert [low, high] == np.round(100 * np.quantile(samples, [0.025, 0.975]), 1).tolist() and 0 < low < high
    assert results.points(0.12345) == 12.3 and results.points([0.5, 1]) == [50.0, 100.0]


def test_stored_rows_are_those_of_the_lessons_so_far(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    scores = {"01": 9, "02": 5}
    made = [{"name": n, "lesson": n, "paper": "", "seeds": [s], "interval": [s, s]} for n, s in scores.items()]
    results.keep("some", "python some.py", 1.23, rows=made)
    assert results.read("some")["minutes"] == 1.2 and results.read("some")["command"] == "python some.py"
    (tmp_path / "other.json").write_text(json.dumps({"sts": {}}))
    assert [row["name"] for row in results.rows("01")] == ["01"]
    lines = results.table(results.rows("02")).data.splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| 02", "| 01"]
    assert lines[3] == "| 01 | 9.0 | 9.0\u00a0to\u00a09.0 | 1 | 01 |  |"
    assert results.table([made[0] | {"name": "|u-v|"}]).data.splitlines()[2].startswith("| \\|u-v\\| | 9.0")
    for wrong in ("2", 2, "two"):
        with pytest.raises(ValueError, match="give the two digits"):
            results.rows(wrong)
    with pytest.raises(FileNotFoundError, match="run its recipe; there are other, some"):
        results.read("none")
