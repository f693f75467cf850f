"""Rows, and readers of public sets: files written here, the Hub through a stand-in, the real sets where they are."""

import gzip
import math
import os
import re
import sys
from collections import Counter
from functools import partial
from numbers import Integral
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from sbert_lab import data
from sbert_lab.data import NLI_LABELS, Row, check_rows

PAIR = ("a cat sleeps", "a cat is asleep")
stsb, allnli = partial(data.sts, source="stsb"), partial(data.nli, source="allnli")  # the public ones


def test_a_row_is_texts_and_a_label_and_never_changes():
    row = Row(PAIR, 0.9)
    assert (row.texts, row.label) == (PAIR, 0.9)
    assert Row(list(PAIR), 0.9) == row and hash(Row(list(PAIR), 0.9)) == hash(row)  # a list is copied to a tuple
    assert Row(("",)).label is None  # an empty text is a text, no label is allowed
    with pytest.raises(AttributeError):
        row.label = 0.1


@pytest.mark.parametrize("label", [0, 1, -2, 0.5, np.int64(3), np.float32(0.25)])
def test_whole_and_broken_numbers_are_labels(label):
    kept = Row(PAIR, label).label
    assert kept == label
    assert isinstance(kept, Integral) == isinstance(label, Integral)  # a class number stays one


BAD_ROWS = {
    "a str, not a tuple of one": (lambda: Row("a cat"), TypeError, "'a cat'"),
    "None": (lambda: Row(None), TypeError, "None"),
    "bytes": (lambda: Row(b"a cat"), TypeError, ""),
    "a number": (lambda: Row(3), TypeError, "3"),
    "a dict": (lambda: Row({"text": "a cat"}), TypeError, "{'text'"),
    "a set, which has no order": (lambda: Row({"a", "b"}), TypeError, "{'"),
    "a generator": (lambda: Row(text for text in PAIR), TypeError, "generator"),
    "an empty tuple": (lambda: Row(()), ValueError, "at least one text"),
    "None among the texts": (lambda: Row(("a", None)), TypeError, "None"),
    "bytes among the texts": (lambda: Row(("a", b"b")), TypeError, "b'b'"),
    "a number among the texts": (lambda: Row(("a", 3)), TypeError, "3 (int)"),
    "NaN among the texts": (lambda: Row(("a", math.nan)), TypeError, "nan (float)"),
    "nested texts": (lambda: Row((PAIR, PAIR)), TypeError, "tuple"),
    "half a surrogate pair": (lambda: Row(("a", "\ud83d")), ValueError, "surrogate"),
    "NaN": (lambda: Row(PAIR, math.nan), ValueError, "is nan"),
    "NaN of numpy": (lambda: Row(PAIR, np.float32("nan")), ValueError, "nan"),
    "a number beyond all floats": (lambda: Row(PAIR, 10**400), ValueError, "finite"),
    "infinity": (lambda: Row(PAIR, -math.inf), ValueError, "is -inf"),
    "True": (lambda: Row(PAIR, True), TypeError, "not True"),
    "a number in quotes": (lambda: Row(PAIR, "0.9"), TypeError, "'0.9'"),
    "a complex number": (lambda: Row(PAIR, 1j), TypeError, "1j"),
    "a tuple with a text": (lambda: Row(PAIR, (0, "1")), TypeError, "(0, '1')"),
    "a tuple with NaN": (lambda: Row(PAIR, (0.5, math.nan)), ValueError, "is nan"),
    "a list of labels": (lambda: Row(PAIR, [0, 1]), TypeError, "[0, 1]"),
    "an array": (lambda: Row(PAIR, np.ones(1)), TypeError, "array"),
}


@pytest.mark.parametrize(("make", "kind", "words"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_a_bad_row_is_named(make, kind, words):
    with pytest.raises(kind) as caught:
        make()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_rows_of_one_kind_pass():
    check_rows([Row(PAIR, 0), Row(PAIR, 0.5)])  # label 0 is a label
    check_rows((Row(("a", "b", "c")),))
    check_rows([Row(PAIR, (0.5, 1)), Row(PAIR, (2, np.float32(0.25)))])


BAD_LISTS = {
    "an empty list": ([], ValueError, "no rows"),
    "a str": ("a cat", TypeError, "str"),
    "None": (None, TypeError, "NoneType"),
    "one Row": (Row(PAIR), TypeError, "Row"),
    "a dict": ({0: Row(PAIR)}, TypeError, "dict"),
    "a set": ({Row(PAIR)}, TypeError, "set"),
    "a generator, gone after one look": ((Row(PAIR) for _ in "ab"), TypeError, "generator"),
    "a first tuple": ([PAIR, Row(PAIR)], TypeError, "row 0"),
    "a later tuple": ([Row(PAIR), Row(PAIR), PAIR], TypeError, "row 2"),
    "None among the rows": ([Row(PAIR), None], TypeError, "row 1 is None"),
    "a pair and a triplet": ([Row(PAIR), Row((*PAIR, "c"))], ValueError, "row 1 has 3 texts but row 0 has 2"),
    "a label missing": ([Row(PAIR, 0), Row(PAIR, 1), Row(PAIR)], ValueError, "row 2 has the label None"),
    "another number of labels": ([Row(PAIR, (1, 2)), Row(PAIR, (1,))], ValueError, "row 1 has the label (1.0,)"),
    "a label where there were two": ([Row(PAIR, (1, 2)), Row(PAIR, 1)], ValueError, "row 1 has the label 1"),
    "a label too many": ([Row(PAIR), Row(PAIR, 0)], ValueError, "row 1 has the label 0"),
}


@pytest.mark.parametrize(("rows", "kind", "words"), BAD_LISTS.values(), ids=BAD_LISTS)
def test_a_bad_list_of_rows_is_named(rows, kind, words):
    with pytest.raises(kind) as caught:
        check_rows(rows)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


# Readers of files. The columns stand in another order than the code asks for them, as in the real files.

STS_HEADER = "genre\tscore\tsentence1\tsentence2\n"
NLI_HEADER = "premise\thypothesis\tlabel\tsource\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty data folder, named by the variable."""
    monkeypatch.setenv("SBERT_LAB_DATA", str(tmp_path))
    for name in ("stsb", "nli"):
        (tmp_path / name).mkdir()
    return tmp_path


def write(path: Path, content: str | bytes) -> Path:
    content = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_sts_reads_pairs_and_divides_grades_by_five(folder, split):
    content = STS_HEADER + 'x\t2.5\tA "red kite\tein Milan 🪁\nx\t0\tup\tdown\nx\t5.000\tthe same\tthe same\n'
    write(folder / f"stsb/sts-{split}.tsv", content)
    assert stsb(split) == [
        Row(('A "red kite', "ein Milan 🪁"), 0.5),  # a quotation mark is a character like any other
        Row(("up", "down"), 0.0),
        Row(("the same", "the same"), 1.0),
    ]


@pytest.mark.parametrize("end", ["\r\n", ""], ids=["Windows line ends", "no end of the last line"])
def test_line_ends_do_not_matter(folder, end):
    content = STS_HEADER + "x\t5\tup\tdown\nx\t0\tleft\tright"
    write(folder / "stsb/sts-test.tsv", content.replace("\n", end) + end if end else content)
    assert stsb("test") == [Row(("up", "down"), 1.0), Row(("left", "right"), 0.0)]


TRAIN = ("snli_train_part", "mnli_train_part", "lingnli_train", "cad_train")


def test_nli_reads_compressed_files_one_after_the_other(folder):
    for name, label in zip(TRAIN, (*NLI_LABELS, "neutral"), strict=True):
        write(folder / f"nli/{name}.tsv.gz", NLI_HEADER + f"{name}\tit rains\t{label}\tx\n")
    assert allnli("train") == [
        Row(("snli_train_part", "it rains"), 0),
        Row(("mnli_train_part", "it rains"), 1),
        Row(("lingnli_train", "it rains"), 2),
        Row(("cad_train", "it rains"), 1),
    ]
    write(folder / "nli/snli_test.tsv.gz", NLI_HEADER + "he runs\the sits\tcontradiction\tx\n")
    assert allnli("test") == [Row(("he runs", "he sits"), 2)]


GOOD = "x\t5\tup\tdown\n"
BAD_FILES = {
    "no such column": (STS_HEADER.replace("score", "grade") + GOOD, ["'score'", "grade"]),
    "empty": ("", ["no rows"]),
    "a header alone": (STS_HEADER, ["no rows"]),
    "a field too few": (STS_HEADER + GOOD + "x\t5\tup\n", ["line 3", "3", "4"]),
    "a field too many": (STS_HEADER + "x\t5\tup\tdown\tleft\n", ["line 2", "5", "4"]),
    "an empty line": (STS_HEADER + GOOD + "\n" + GOOD, ["line 3"]),
    "a grade too high": (STS_HEADER + GOOD + "x\t5.1\tup\tdown\n", ["line 3", "score", "5.1", "0 to 5"]),
    "a negative grade": (STS_HEADER + "x\t-1\tup\tdown\n", ["line 2", "score", "-1", "0 to 5"]),
    "a grade that is no number": (STS_HEADER + "x\thigh\tup\tdown\n", ["line 2", "score", "high"]),
    "a grade left out": (STS_HEADER + "x\t\tup\tdown\n", ["line 2", "score"]),
    "NaN for a grade": (STS_HEADER + "x\tnan\tup\tdown\n", ["line 2", "score", "nan"]),
    "not UTF-8": ((STS_HEADER + "x\t5\tcafé\tdown\n").encode("latin-1"), ["line", "UTF-8"]),
}


@pytest.mark.parametrize(("content", "words"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_is_named_with_line_and_column(folder, content, words):
    path = write(folder / "stsb/sts-test.tsv", content)
    with pytest.raises(ValueError) as caught:
        stsb("test")
    for word in [str(path), *words]:
        assert word in str(caught.value)


def test_an_unknown_nli_label_is_named(folder):
    path = write(folder / "nli/snli_test.tsv.gz", NLI_HEADER + "a\tb\tneutral\tx\na\tb\t-\tx\n")
    with pytest.raises(ValueError) as caught:
        allnli("test")
    for words in (f"{path}, line 3", "label", "'-'", ", ".join(NLI_LABELS)):
        assert words in str(caught.value)


DAMAGE = {
    "never compressed": lambda content: content,
    "cut short": lambda content: gzip.compress(content)[:-12],
    "one byte changed": lambda content: gzip.compress(content)[:40] + b"!" + gzip.compress(content)[41:],
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_named(folder, damage):
    content = NLI_HEADER + "".join(f"premise {i}\thypothesis {i * i}\tneutral\tx\n" for i in range(100))
    path = folder / "nli/snli_test.tsv.gz"
    path.write_bytes(damage(content.encode()))
    with pytest.raises(ValueError, match=f"{re.escape(str(path))}.* cannot be read"):
        allnli("test")


def test_strange_characters_in_a_text_stay(folder):
    text = "a\u2028b\rc\x0cd\x85" + "e" * 200_000  # all of them end a line for one library function or another
    write(folder / "stsb/sts-test.tsv", b"\xef\xbb\xbf" + f"sentence1\tsentence2\tscore\n{text}\tup\t5\n".encode())
    assert stsb("test") == [Row((text, "up"), 1.0)]  # the first three bytes are a mark that Windows editors write


def test_a_missing_file_is_named_with_the_variable_to_set(folder):
    with pytest.raises(FileNotFoundError, match="SBERT_LAB_DATA") as caught:
        stsb("dev")
    assert str(folder / "stsb/sts-dev.tsv") in str(caught.value)


@pytest.mark.parametrize("read", [stsb, allnli])
def test_unknown_splits_and_sources_are_named_with_the_known_ones(read):
    with pytest.raises(ValueError, match="'validation' is not one of train, dev, test"):
        read("validation")
    with pytest.raises(ValueError, match="'glue' is not one of"):
        read("test", source="glue")
    with pytest.raises(ValueError, match="is not one of"):
        read(["test"])


# The Hub, through a stand-in for the package `datasets`.


@pytest.fixture
def hub(monkeypatch):
    """Put a function in the place of `datasets.load_dataset`; the data folder is not set."""
    monkeypatch.delenv("SBERT_LAB_DATA", raising=False)

    def install(load_dataset):
        module = ModuleType("datasets")
        module.load_dataset = load_dataset
        monkeypatch.setitem(sys.modules, "datasets", module)

    return install


STS_RECORD = {"sentence1": "up", "sentence2": "down", "score": 0.25}
NLI_RECORD = {"premise": "he runs", "hypothesis": "he sits", "label": 2}


@pytest.mark.parametrize(
    ("read", "split", "asked"),
    [
        (stsb, "train", ("sentence-transformers/stsb", "train")),
        (stsb, "dev", ("sentence-transformers/stsb", "validation")),
        (allnli, "dev", ("sentence-transformers/all-nli", "pair-class", "dev")),
        (allnli, "test", ("sentence-transformers/all-nli", "pair-class", "test")),
    ],
)
def test_the_hub_gives_the_same_rows(hub, read, split, asked):
    record = STS_RECORD if read is stsb else NLI_RECORD
    row = Row(("up", "down"), 0.25) if read is stsb else Row(("he runs", "he sits"), 2)
    calls = []

    def load_dataset(*names, split):
        calls.append((*names, split))
        return [dict(reversed(record.items()))]

    hub(load_dataset)
    assert read(split) == [row]
    assert calls == [asked]


def test_the_folder_goes_before_the_hub(hub, folder):
    hub(lambda *_, **__: pytest.fail("the Hub was asked"))
    write(folder / "stsb/sts-test.tsv", STS_HEADER + GOOD)
    assert len(stsb("test")) == 1


@pytest.mark.parametrize("record", [STS_RECORD | {"sentence2": None}, STS_RECORD | {"sentence1": 7}])
def test_a_record_of_the_hub_without_text_is_refused(hub, record):
    hub(lambda *_, **__: [record])
    with pytest.raises(TypeError, match="must be a str"):
        stsb("test")


@pytest.mark.parametrize("score", [3.5, -0.1, math.nan, None, "high"])
def test_a_score_of_the_hub_is_checked(hub, score):
    hub(lambda *_, **__: [STS_RECORD | {"score": score}])
    with pytest.raises((TypeError, ValueError)):
        stsb("test")


@pytest.mark.parametrize("label", [-1, 3, 1.5, None, "maybe"])
def test_a_label_of_the_hub_is_checked(hub, label):
    hub(lambda *_, **__: [NLI_RECORD | {"label": label}])  # -1 stands for "no agreement" there
    with pytest.raises((TypeError, ValueError)):
        allnli("test")


@pytest.mark.parametrize("error", [ConnectionError("refused"), FileNotFoundError("not in the cache")])
def test_offline_says_what_to_do(hub, error):
    def load_dataset(*_, **__):
        raise error

    hub(load_dataset)
    with pytest.raises(ConnectionError, match="SBERT_LAB_DATA") as caught:
        allnli("test")
    assert "nli/snli_test.tsv.gz" in str(caught.value)


def test_without_the_package_datasets_says_what_to_do(hub, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)  # what Python does with a package that cannot be imported
    with pytest.raises(ModuleNotFoundError, match="SBERT_LAB_DATA.*stsb/sts-dev.tsv.*`hub`"):
        stsb("dev")


# The real sets, where their folder is at hand.


@pytest.fixture
def real_sets():
    folder = os.environ.get("SBERT_LAB_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("SBERT_LAB_DATA names no folder: the real STS-B and NLI sets are not read")


@pytest.mark.parametrize(("split", "count"), [("train", 5749), ("dev", 1500), ("test", 1379)])
def test_the_real_sts_benchmark_is_complete(real_sets, split, count):
    rows = stsb(split)
    check_rows(rows)
    labels = [row.label for row in rows]
    assert len(rows) == count
    assert (min(labels), max(labels)) == (0.0, 1.0)
    assert all(len(row.texts) == 2 and all(row.texts) for row in rows)


def test_the_real_nli_test_set_is_complete(real_sets):
    rows = allnli("test")
    check_rows(rows)
    counts = Counter(row.label for row in rows)
    assert len(rows) == 9824
    assert counts.keys() == {0, 1, 2} and min(counts.values()) > 3000  # the three are about equally frequent


# What is made of rows, and BEIR's layout.


def test_triplets_pair_each_entailed_with_a_contradicted_hypothesis():
    rows = [
        Row(("p", "e1"), 0), Row(("q", "n"), 1), Row(("p", "c1"), 2), Row(("p", "e2"), 0), Row(("q", "e3"), 0),
        Row(("p", "e4"), 0), Row(("p", "c2"), 2), Row(("r", "c3"), 2),
    ]  # fmt: skip
    assert data.triplets(rows) == [Row(("p", "e1", "c1")), Row(("p", "e2", "c2")), Row(("p", "e4", "c1"))]
    assert data.triplets(rows, hard=False) == [
        Row(("p", "e1")), Row(("p", "e2")), Row(("p", "e4")), Row(("q", "e3")),
    ]  # fmt: skip


def beir_folder(folder: Path, query: str = '{"_id": "1", "text": "why"}') -> Path:
    lines = {
        "queries": [query],
        "corpus": ['{"_id": "7", "title": "T", "text": "x"}', '{"_id": 8, "title": null, "text": "y"}'],
    }
    for name, some in lines.items():
        with gzip.open(folder / f"{name}.jsonl.gz", "wt", encoding="utf-8") as file:
            file.write("\n".join([*some, '{"_id": "9", "text": "nobody asks"}']))
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n1\t7\t2\n1\t8\t1\n")
    return folder


def test_a_beir_folder_is_read_as_retrieval_takes_it(tmp_path):
    queries, passages, relevant = data.beir(beir_folder(tmp_path))
    assert queries == {"1": "why"}  # a query that nobody judged is left out
    assert passages == {"7": "T x", "8": "y", "9": "nobody asks"}
    assert relevant == {"1": {"7": 2.0, "8": 1.0}}


@pytest.mark.parametrize("query", ["no json", '{"text": "why"}', '{"_id": "1"}', "[]", "", '{"_id": "1", "text": 5}'])
def test_a_damaged_beir_line_is_named(tmp_path, query):
    with pytest.raises(ValueError, match=r"queries.jsonl.gz, line 1: .*is no record of texts with _id"):
        data.beir(beir_folder(tmp_path, query))


@pytest.mark.parametrize(
    ("lines", "message"),
    [("1\t7\thigh", "line 2.*high"), ("2\t7\t1", "line 2: the query '2' has no text"), ("1\t7", "line 2: 2 fields")],
)
def test_a_damaged_judgement_is_named(tmp_path, lines, message):
    (beir_folder(tmp_path) / "qrels.tsv").write_text(f"query-id\tcorpus-id\tscore\n{lines}\n")
    with pytest.raises(ValueError, match=f"qrels.tsv, {message}"):
        data.beir(tmp_path)


@pytest.mark.parametrize("row", [Row(("p",), 0), Row(("p", "h")), Row(("p", "h"), 0.0), Row(("p", "h"), 3)])
def test_triplets_of_other_rows_are_refused(row):
    with pytest.raises(ValueError, match="made of labelled pairs"):
        data.triplets([row])


def test_a_missing_beir_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="queries.jsonl.gz is missing: give a folder in BEIR's layout"):
        data.beir(tmp_path)


def test_the_real_nli_training_set_is_complete(real_sets):
    rows = allnli("train")
    triplets = data.triplets(rows)
    assert len(rows) == 197_713 and len({row.texts[0] for row in triplets}) == 33_164


# The course's own sets; what is in them is the business of test_course_data.


@pytest.fixture
def carried(tmp_path, monkeypatch):
    """A folder in the place of the course's data: write(name, lines) puts a file there."""
    monkeypatch.setattr(data, "CARRIED", tmp_path)
    monkeypatch.delenv("SBERT_LAB_DATA", raising=False)  # the course's own need neither folder nor Hub

    def put(name: str, *lines: str) -> Path:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        return write(tmp_path / name, "".join(line.replace(" | ", "\t") + "\n" for line in lines))

    return put


def test_the_courses_pairs_come_in_the_form_of_the_public_ones(carried):
    carried("sts/dev.tsv", "genre | sentence1 | sentence2 | score", "news | up | down | 2.5")
    carried("nli/dev.tsv", "genre | premise | hypothesis | label", "talk | he runs | he sits | contradiction")
    carried("reviews/dev.tsv", "text | label | stars", "It rattles. | train | 2")
    assert data.sts("dev") == [Row(("up", "down"), 0.5)]
    assert data.nli("dev") == [Row(("he runs", "he sits"), 2)]
    assert data.reviews("dev") == [Row(("It rattles.",), data.REVIEW_LABELS.index("train"))]


def test_questions_share_a_number_where_they_ask_the_same(carried):
    lines = [
        "a | paraphrase | 1?",
        "b | near-miss | 2?",
        "a | paraphrase | 3?",
        "a | near-miss | 4?",
        "b | paraphrase | 5?",
    ]
    carried("questions/test.tsv", "group | kind | question", *lines)
    found = {row.texts[0]: row.label for row in data.questions("test")}
    assert found["1?"] == found["3?"] and len(set(found.values())) == 4
    carried("questions/test.tsv", "group | kind | question", "a | near-miss | 1?", "a | near-miss | 2?")
    assert len({row.label for row in data.questions("test")}) == 2  # each its own
    path = carried("questions/test.tsv", "group | kind | question", "a | near miss | 1?")
    with pytest.raises(ValueError, match="'near miss' is not one of paraphrase, near-miss") as caught:
        data.questions("test")
    assert f"{path}, line 2, column kind" in str(caught.value)


def test_parallel_sentences_come_with_one_language(carried):
    carried("parallel/test.tsv", "en | de | ru | ko | zh", "Yes. | Ja. | Да. | 네. | 是。")
    assert data.parallel("test", "ko") == [Row(("Yes.", "네."))]
    with pytest.raises(ValueError, match="'fr' is not one of de, ru, ko, zh"):
        data.parallel("test", "fr")
    with pytest.raises(ValueError, match="'dev' is not one of train, test"):
        data.parallel("dev", "ko")


def test_queries_come_as_retrieval_takes_them(carried):
    carried(
        "passages/passages.tsv",
        "id | topic | title | text",
        "ice-1 | cold | Ice | It floats.",
        "ice-2 | cold | Ice | It melts.",
    )
    path = carried("queries/dev.tsv", "query | kind | relevant", "why | plain | ice-2=2 ice-1=1")
    queries, passages, relevant = data.retrieval("dev")
    assert queries == {"dev-1": "why"}
    assert passages == {"ice-1": "Ice It floats.", "ice-2": "Ice It melts."}
    assert relevant == {"dev-1": {"ice-2": 2.0, "ice-1": 1.0}}
    carried("queries/dev.tsv", "query | kind | relevant", "why | plain | ice-2=2 ice-2=1")
    with pytest.raises(ValueError, match="line 2: 'ice-2' is there already"):
        data.retrieval("dev")
    for wrong in ("ice-3=2", "ice-1=3", "ice-1", "ice-1 = 2"):
        carried("queries/dev.tsv", "query | kind | relevant", f"why | plain | {wrong}")
        with pytest.raises(ValueError) as caught:
            data.retrieval("dev")
        assert f"{path}, line 2, column relevant: {wrong.split()[0]!r}" in str(caught.value)


def test_a_public_collection_is_read_by_its_name(folder):
    (folder / "retrieval/tiny").mkdir(parents=True)
    beir_folder(folder / "retrieval/tiny")
    assert data.retrieval(source="tiny") == data.beir(folder / "retrieval/tiny")
    with pytest.raises(ValueError, match="'tiny' is read from the folder SBERT_LAB_DATA, split 'test' only: got 'dev'"):
        data.retrieval("dev", source="tiny")


def test_a_column_that_is_missing_is_named(carried):
    path = carried("questions/test.tsv", "group | question", "a | 1?")
    with pytest.raises(ValueError, match="there is no column 'kind', only group, question") as caught:
        data.questions("test")
    assert f"{path}, line 2" in str(caught.value)


def test_sentences_are_each_once_and_of_the_training_parts(carried):
    carried("sts/train.tsv", "sentence1 | sentence2 | score", "A. | B. | 5")
    carried("nli/train.tsv", "premise | hypothesis | label", "P. | H. | neutral", "P. | I. | neutral")
    carried("questions/train.tsv", "group | kind | question", "a | paraphrase | Q?")
    carried("reviews/train.tsv", "text | label | stars", "R. | book | 1")
    carried("parallel/train.tsv", "en | de", "E. | D.")
    carried("sentences/train.tsv", "sentence", "S.", "A.")
    carried("passages/passages.tsv", "id | title | text", "x-1 | X | First one. Second one.")
    assert data.sentences() == ["A.", "B.", "P.", "H.", "I.", "Q?", "R.", "E.", "S.", "First one.", "Second one."]


def test_the_synonyms_are_read_word_by_word(carried):
    carried("synonyms/synonyms.tsv", "word | synonyms", "big | large, huge", "fast | quick")
    assert data.synonyms() == {"big": ["large", "huge"], "fast": ["quick"]}


def test_the_glossary_is_read_term_by_term(carried):
    carried("glossary/glossary.tsv", "term | definition | ru", "token | A piece. | токен")
    assert data.glossary() == [{"term": "token", "definition": "A piece.", "ru": "токен"}]
