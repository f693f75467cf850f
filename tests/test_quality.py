"""The measures of a set, on small sets whose answer is known; the course's own are measured in test_course_data."""

import gzip
import json
import lzma
import random

import numpy as np
import pytest

from benchmarks import quality
from sbert_lab.data import Row


def test_overlap_is_shared_words_over_all_words():
    rows = [Row(("The cat sat.", "the CAT ran!")), Row(("up", "down")), Row(("same words", "Words, same."))]
    assert quality.overlap(rows).tolist() == [2 / 4, 0, 1]


WORDS = "river stone lamp road tree cloud door bread horse glass paper music".split()


def relations(marks: list[str], count: int = 300) -> list[Row]:
    """Hypotheses of random words, and of the word in `marks` that belongs to the label."""
    draw = random.Random(0)
    return [
        Row((" ".join(draw.sample(WORDS, 4)), " ".join([*draw.sample(WORDS, 5), marks[i % 3]])), i % 3)
        for i in range(count)
    ]


def test_a_word_that_gives_the_label_away_is_found_and_none_is_not():
    given_away, fair = relations(["nobody", "tall", "outdoors"]), relations(["there", "there", "there"])
    assert quality.hypothesis_alone(given_away[:200], given_away[200:]) == 1
    assert quality.hypothesis_alone(fair[:200], fair[200:]) < 0.5


def test_overlap_that_gives_the_label_away_is_found_and_none_is_not():
    fair = relations(["there", "there", "there"])
    told = [Row((row.texts[0], row.texts[0] + " so" if row.label == 0 else "what else"), row.label) for row in fair]
    assert quality.overlap_alone(told[:200], told[200:]) > 0.6  # the other two stay a guess
    assert quality.overlap_alone(fair[:200], fair[200:]) < 0.5


def test_negation_is_counted_by_relation():
    rows = [
        Row(("p", "It isn't so."), 0),
        Row(("p", "It is so."), 0),
        Row(("p", "No one came."), 1),
        Row(("p", "k"), 2),
    ]
    assert quality.negation(rows) == {"entailment": 0.5, "neutral": 1.0, "contradiction": 0.0}
    assert not quality.NEGATION.search("another notable knot")
    assert quality.NEGATION.search("It isn\u2019t so.")
    for label in (None, 3, 0.0):
        with pytest.raises(ValueError, match="label 0, 1 or 2"):
            quality.negation([Row(("p", "h"), label)])


def test_profile_counts_words():
    found = quality.profile(["one two three"] * 1000)
    assert found == pytest.approx({"texts": 1000, "words": 3.0, "vocabulary": 3, "type_token_ratio": 0.003})
    assert np.isnan(quality.profile(["one two"])["type_token_ratio"])  # too short for a thousand words


def test_a_repeated_text_is_named_with_file_line_and_column(tmp_path):
    for name in ("nli", "sentences"):
        (tmp_path / name).mkdir()
    line = "premise\thypothesis\tlabel\n{0}\tIt rains.\tneutral\n{0}\tIt snows.\tneutral\n"
    (tmp_path / "nli/test.tsv").write_text(line.format("A storm."))
    assert quality.repeats(quality.course_texts(tmp_path)) == []  # a premise stands with several hypotheses
    (tmp_path / "sentences/train.tsv").write_text("sentence\nNew.\nit RAINS\n")
    (tmp_path / "nli/train.tsv").write_text("premise\thypothesis\tlabel\nA storm!\tQuiet.\tneutral\n")
    premise, sentence = quality.repeats(quality.course_texts(tmp_path))
    assert "train.tsv, line 2, column premise: 'A storm!' is also in" in premise and "test.tsv, line 2" in premise
    assert "train.tsv, line 3, column sentence: 'it RAINS' is also in" in sentence and "hypothesis" in sentence


@pytest.mark.parametrize("columns", [("premise", "hypothesis"), ("hypothesis", "premise")])
def test_a_premise_that_is_also_a_hypothesis_is_a_repeat(columns):
    places = [(f"a.tsv, line {line}, column {column}", "A storm.") for line, column in enumerate(columns, 2)]
    assert len(quality.repeats(places)) == 1


EIGHT = "the ferry was late again on this morning"


@pytest.mark.parametrize(
    ("text", "other", "found"),
    [
        (f"Well, {EIGHT}.", f"{EIGHT.upper()}! Why?", True),
        (f"Well, {EIGHT}.", "the ferry was late again on this evening", False),
        ("Stop here.", "stop, HERE", True),
        ("Stop here.", "Please stop here.", False),
        ("?!", "...", False),
    ],
)
def test_borrowed_words_are_found(text, other, found):
    assert quality.borrowed(["Something else.", text], ["Nothing.", other]) == ([text] if found else [])


def test_every_text_that_shares_a_run_is_named():
    texts = [f"Anna said {EIGHT}.", f"Bob wrote {EIGHT}."]
    assert quality.borrowed(texts, [EIGHT]) == texts


def test_public_sets_are_read_whatever_their_format(tmp_path):
    (tmp_path / "a.tsv").write_text("one\ttwo\n")
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(json.dumps({"_id": 1, "text": "three"}).encode()))
    (tmp_path / "c").mkdir()
    (tmp_path / "c/c.txt.xz").write_bytes(lzma.compress(b"four\n"))
    (tmp_path / "README.md").write_text("five")
    assert [text.strip() for text in quality.public_texts(tmp_path)] == ["one", "two", "1", "three", "four"]
    with pytest.raises(FileNotFoundError, match="holds no tables"):
        next(quality.public_texts(tmp_path / "d"))
