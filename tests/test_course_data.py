"""The course's own data keeps what its datasheets promise: complete, clean, and neither too easy nor too hard."""

import os
import re
from collections import Counter
from hashlib import sha256
from pathlib import Path

import pytest
import torch

from benchmarks import quality
from sbert_lab import Plan, data, evaluation, load, losses, train
from sbert_lab.data import CARRIED, LANGUAGES, NLI_LABELS, REVIEW_LABELS, check_rows


@pytest.fixture(scope="module")
def report():
    """What `python -m benchmarks.quality` prints."""
    return quality.report()


def test_sts_has_all_grades_in_every_split():
    for split, least in {"train": 300, "dev": 200, "test": 400}.items():
        rows = data.sts(split)
        check_rows(rows)
        grades = Counter(round(5 * row.label) for row in rows)
        assert len(rows) >= least
        assert sorted(grades) == [0, 1, 2, 3, 4, 5] and min(grades.values()) > 0.1 * len(rows)


def test_nli_has_one_hypothesis_of_each_relation_for_every_premise():
    premises: dict[str, set[str]] = {}
    for split, least in {"train": 1100, "dev": 200, "test": 200}.items():
        rows = data.nli(split)
        check_rows(rows)
        found = Counter((row.texts[0], row.label) for row in rows)
        premises[split] = {row.texts[0] for row in rows}
        assert set(found.values()) == {1} and len(found) == 3 * len(premises[split])
        assert len(premises[split]) >= least
    assert sum(map(len, premises.values())) >= 1500
    assert len(set.union(*premises.values())) == sum(map(len, premises.values()))


def test_questions_come_in_groups_with_a_near_miss():
    rows = [row for split in data.SPLITS for row in data.questions(split)]
    assert len(rows) >= 1000
    for split in data.SPLITS:
        sizes = Counter(Counter(row.label for row in data.questions(split)).values())
        assert set(sizes) == {1, 3} and sizes[1] == sizes[3]  # three paraphrases, one near miss
    assert len(rows) // 4 >= 300


def test_queries_name_passages_of_a_small_encyclopedia():
    found = {split: data.retrieval(split) for split in data.SPLITS}
    passages = found["test"][1]
    documents = Counter(name.rpartition("-")[0] for name in passages)
    words = Counter()
    for name, text in passages.items():
        words[name.rpartition("-")[0]] += len(quality.words(text))
    assert len(passages) >= 1200 and len(documents) >= 600
    assert sum(words[name] >= 200 and count > 2 for name, count in documents.items()) >= 150
    for split, least in {"train": 1000, "dev": 150, "test": 250}.items():
        queries, _, relevant = found[split]
        assert len(queries) >= least and queries.keys() == relevant.keys()
        assert all(2 in grades.values() for grades in relevant.values())
        assert split != "train" or {len(grades) for grades in relevant.values()} == {1}


def test_half_of_the_queries_share_few_words_with_their_passage():
    queries, passages, relevant = data.retrieval("test")
    shared = []
    for query, text in queries.items():
        own = set(quality.words(text))
        best = max(relevant[query], key=relevant[query].get)
        shared.append(len(own & set(quality.words(passages[best]))) / len(own))
    assert 0.3 < sum(share < 0.5 for share in shared) / len(shared) < 0.8


def test_the_other_sets_are_complete():
    assert len(data.sentences()) >= 12_000
    for language in LANGUAGES:
        assert len(data.parallel("train", language)) + len(data.parallel("test", language)) >= 400
    reviews = [row for split in data.SPLITS for row in data.reviews(split)]
    assert len(reviews) >= 600 and len({row.label for row in reviews}) == len(REVIEW_LABELS) == 10
    terms = data.glossary()
    assert len(terms) >= 80 and all(term[column] for term in terms for column in ("definition", "ru", "ko", "zh"))


def test_sentences_hold_nothing_of_a_dev_or_test_split():
    known = set(data.sentences())
    for split in ("dev", "test"):
        held_out = [
            text
            for read in (data.sts, data.nli, data.questions, data.reviews)
            for row in read(split)
            for text in row.texts
        ]
        held_out += [*data.retrieval(split)[0].values(), *(row.texts[0] for row in data.parallel("test", "de"))]
        assert not known & set(held_out)


def test_no_text_occurs_twice():
    assert quality.repeats(quality.course_texts()) == []


@pytest.mark.slow
def test_no_text_is_borrowed_from_a_public_set():
    folder = os.environ.get("SBERT_LAB_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("SBERT_LAB_DATA names no folder: nothing to compare with")
    texts = [text for _, text in quality.course_texts()]
    assert quality.borrowed(texts, quality.public_texts(Path(folder))) == []


@pytest.mark.slow
def test_what_nli_teaches_holds_on_the_public_benchmark():
    if not os.environ.get("SBERT_LAB_DATA"):
        pytest.skip("SBERT_LAB_DATA names no folder: STS-B is not measured")
    benchmark = data.sts("test", source="stsb")
    torch.manual_seed(0)
    encoder = load("lab-bert")
    before = evaluation.sts(encoder, benchmark)["spearman"]
    plan = Plan(epochs=3, batch_size=64, learning_rate=3e-4)
    train(encoder, data.triplets(data.nli("train")), losses.InBatchNegatives(), plan)
    assert evaluation.sts(encoder, benchmark)["spearman"] >= before + 0.03


def test_graded_pairs_are_neither_trivial_nor_hopeless(report):
    assert 0.78 <= report["sts"]["all-MiniLM-L6-v2, Spearman"] <= 0.92
    assert report["sts"]["word overlap alone, Spearman"] <= 0.65


def test_relations_are_not_told_by_a_shortcut(report):
    assert report["nli"]["hypothesis alone, accuracy"] <= 0.5
    assert report["nli"]["overlap and lengths alone, accuracy"] <= 0.5
    negations = [report["nli"][f"share of {name} with a negation word, all splits"] for name in NLI_LABELS]
    assert max(negations) - min(negations) <= 0.1


def test_queries_need_more_than_words(report):
    words, meaning = report["queries"]["BM25, nDCG@10"], report["queries"]["all-MiniLM-L6-v2, nDCG@10"]
    assert 0.35 <= words <= 0.75
    assert words + 0.1 <= meaning < 0.97


def test_paraphrases_are_found_but_not_all(report):
    assert 0.7 <= report["questions"]["all-MiniLM-L6-v2, average precision"] <= 0.97


@pytest.mark.parametrize("name", quality.TEXTS)
def test_the_datasheet_names_every_file_with_rows_and_hash(name):
    sheet = (CARRIED / name / "README.md").read_text(encoding="utf-8")
    for path in sorted((CARRIED / name).glob("*.tsv")):
        content = path.read_bytes()
        lines = content.count(b"\n") - 1
        row = f"| `{path.name}` | {lines:,} | `{sha256(content).hexdigest()}` |"
        assert row in sheet, f"{name}: the datasheet needs the line {row}"
    assert "CC BY 4.0" in sheet


def test_the_datasheets_print_what_is_measured(report):
    for name, values in report.items():
        sheet = (CARRIED / name / "README.md").read_text(encoding="utf-8")
        for what, value in values.items():
            (printed,) = re.findall(rf"^\| {re.escape(what)} \| ([\d.]+) \|", sheet, flags=re.MULTILINE)
            assert float(printed) == pytest.approx(value, abs=0.003), f"{name}: {what}"


@pytest.mark.parametrize("name", ["sts", "nli"])
def test_the_datasheets_print_the_lengths_and_the_vocabulary(name):
    sheet = (CARRIED / name / "README.md").read_text(encoding="utf-8")
    found = quality.profiles(public=False)[f"{name}, course"]
    for what, form in {"texts": ",d", "words": ".1f", "vocabulary": ",d", "type_token_ratio": ".3f"}.items():
        assert f" | {found[what]:{form}} | " in sheet, f"{name}: {what}"
