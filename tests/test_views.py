"""Views: what each must keep and what it may change, read off its results."""

from collections import Counter
from random import Random

import pytest

from sbert_lab import views
from sbert_lab.data import Row

LONG = " ".join(f"w{number}" for number in range(200))
DOCUMENT = "The tap drips. It drips all night! Who will mend it? Nobody knows."


def test_twice_is_each_text_beside_itself() -> None:
    assert views.twice(["a cat", ""]) == [Row(("a cat", "a cat")), Row(("", ""))]


def test_a_crop_is_a_span_of_the_text_from_shortest_to_longest() -> None:
    lengths: Counter = Counter()
    for first, second in (row.texts for row in views.crops([LONG] * 500, seed=0, deletion=0)):
        for crop in (first, second):
            assert f" {crop} " in f" {LONG} "
            lengths[len(crop.split())] += 1
    assert min(lengths) == 10 and max(lengths) == 100  # 5 % and 50 % of 200 words
    assert 50 < sum(length * count for length, count in lengths.items()) / 1000 < 60  # uniform: 55 in the mean


def test_crops_of_a_text_are_drawn_apart_and_begin_anywhere() -> None:
    rows = views.crops([LONG] * 300, seed=0)
    assert sum(a == b for a, b in (row.texts for row in rows)) < 3
    overlap = [bool(set(a.split()) & set(b.split())) for a, b in (row.texts for row in rows)]
    assert 0.3 < sum(overlap) / 300 < 0.9  # neither the same span twice nor two halves
    starts = [int(row.texts[0].split()[0][1:]) for row in rows]
    assert min(starts) < 10 and max(starts) > 150


def test_a_tenth_of_a_crops_words_is_deleted_and_their_order_kept() -> None:
    kept = whole = 0
    for row in views.crops([LONG] * 400, seed=1, shortest=0.5, longest=0.5):
        numbers = [int(word[1:]) for word in row.texts[0].split()]
        assert numbers == sorted(set(numbers))
        kept, whole = kept + len(numbers), whole + 100
    assert 0.88 < kept / whole < 0.92


def test_short_texts_keep_a_word_and_texts_without_one_are_left_out() -> None:
    assert views.crops(["cat", " ", ""], seed=0, deletion=0.9) == [Row(("cat", "cat"))]


@pytest.mark.parametrize("shares", [(0, 0.5, 0.1), (0.6, 0.5, 0.1), (0.1, 1.1, 0.1), (0.1, 0.5, 1)])
def test_impossible_shares_are_named(shares) -> None:
    with pytest.raises(ValueError, match=f"shortest={shares[0]}, longest={shares[1]}, deletion={shares[2]}"):
        views.crops([LONG], 0, *shares)


def test_inverse_cloze_takes_one_sentence_out_of_the_rest() -> None:
    sentences = ["The tap drips.", "It drips all night!", "Who will mend it?", "Nobody knows."]
    rows = views.inverse_cloze([DOCUMENT, "A single sentence.", ""] * 400, seed=0)
    assert len(rows) == 400  # of a single sentence there is no rest
    assert {row.texts[0] for row in rows} == set(sentences)
    left_in = 0
    for query, rest in (row.texts for row in rows):
        left_in += rest == DOCUMENT
        assert rest in (DOCUMENT, " ".join(s for s in sentences if s != query))
    assert 0.05 < left_in / 400 < 0.15


def test_prefixes_go_before_each_text_and_labels_stay() -> None:
    rows = [Row(("how?", "so"), 0.5)]
    assert views.prefixed(rows, "query: ", "passage: ") == [Row(("query: how?", "passage: so"), 0.5)]
    with pytest.raises(ValueError, match="1 prefixes for 2 texts"):
        views.prefixed(rows, "query: ")


def test_augmented_rows_follow_the_rows_and_keep_their_labels() -> None:
    rows = [Row(("a b", "c"), 1), Row(("d", "e f"), 0)]
    found = views.augmented(rows, lambda text, random: text.upper(), seed=0, copies=2)
    upper = [Row(("A B", "C"), 1), Row(("D", "E F"), 0)]
    assert found == [*rows, upper[0], upper[0], upper[1], upper[1]]


def test_typos_change_about_as_many_long_words_as_asked_by_one_slip_each() -> None:
    words = "the lantern on a harbour wall flickers".split()
    changed: Counter = Counter()
    for number in range(2000):
        mistyped = views.typos(" ".join(words), Random(number), rate=0.3).split(" ")
        for word, typed in zip(words, mistyped, strict=True):
            changed[word] += word != typed
            shorter = {word[:i] + word[i + 1 :] for i in range(1, len(word))}
            swapped = {word[:i] + word[i + 1] + word[i] + word[i + 2 :] for i in range(1, len(word) - 1)}
            assert typed in {word} | shorter | swapped
    assert changed["the"] == changed["on"] == changed["a"] == 0
    for word in ("lantern", "harbour", "flickers"):
        assert 0.25 < changed[word] / 2000 < 0.35


def test_typos_leave_the_punctuation_around_a_word_where_it_is() -> None:
    seen = {views.typos('"Stair?" (its) here...', Random(number), rate=1.0) for number in range(200)}
    assert {text.split(" ")[1] for text in seen} == {"(its)"}  # three letters
    assert {text.split(" ")[0] for text in seen} == {
        f'"{slip}?"' for slip in ("Sair", "Stir", "Star", "Satir", "Stiar", "Stari")
    }
    assert {text.split(" ")[2] for text in seen} == {"hre...", "hee...", "hree...", "heer..."}


def test_synonyms_replace_whole_words_and_keep_capitals_and_punctuation() -> None:
    change = views.synonyms({"big": ("large", "huge"), "fast": ("quick",)}, rate=1.0)
    seen = {change('Big dogs, "big" bigger: fast.', Random(number)) for number in range(30)}
    assert seen == {f'{a} dogs, "{b}" bigger: quick.' for a in ("Large", "Huge") for b in ("large", "huge")}
    never = views.synonyms({"big": ("large",)}, rate=0.0)
    assert never("big big", Random(0)) == "big big"


def test_a_seed_decides_everything() -> None:
    for view in (views.crops, views.inverse_cloze):
        assert view([DOCUMENT] * 5, seed=3) == view([DOCUMENT] * 5, seed=3) != view([DOCUMENT] * 5, seed=4)


@pytest.mark.parametrize(("given", "words"), [("a cat", "the str 'a cat'"), (["a", None], "text 1 is None")])
def test_what_is_no_list_of_texts_is_named(given, words: str) -> None:
    for view in (views.twice, lambda texts: views.crops(texts, 0), lambda texts: views.inverse_cloze(texts, 0)):
        with pytest.raises(TypeError, match=words):
            view(given)
