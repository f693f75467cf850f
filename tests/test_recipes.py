"""The recipes run from beginning to end, on a model and on sets of a few lines; at full size they are measured."""

import gzip
import json
import lzma
import random
import runpy
import sys
from pathlib import Path

import pytest
from tiny import tiny_encoder
from transformers import BertForPreTraining, T5ForConditionalGeneration

from sbert_lab import load, metrics, save, static

RECIPES = Path(__file__).resolve().parent.parent / "recipes"
NLI = "premise\thypothesis\tlabel\n" + "".join(
    f"the {a} cat\ta cat in the {b}\t{label}\n"
    for a, b in (("red", "rain"), ("blue", "house"), ("old", "tree"))
    for label in ("entailment", "neutral", "contradiction")
)
STS = "score\tsentence1\tsentence2\n" + "".join(f"{n}\tthe cat\tthe {'cat ' * n}dog\n" for n in range(6))


@pytest.fixture
def sets(tmp_path, monkeypatch) -> Path:
    """A folder of public sets, a handful of rows each, and a model to begin from."""
    draw = random.Random(0)
    words = ["".join(draw.choices("abcdefghijklmnop", k=draw.randint(2, 7))) for _ in range(900)]
    documents = ("".join(f"{' '.join(draw.choices(words, k=8)).capitalize()}. " for _ in range(4)) for _ in range(120))
    for folder in ("nli", "stsb", "corpus"):
        (tmp_path / folder).mkdir()
    for name in ("snli_train_part", "mnli_train_part", "lingnli_train", "cad_train"):
        with gzip.open(tmp_path / f"nli/{name}.tsv.gz", "wt") as file:
            file.write(NLI)
    for split in ("train", "dev", "test"):
        (tmp_path / f"stsb/sts-{split}.tsv").write_text(STS)
    with lzma.open(tmp_path / "corpus/simplewiki.txt.xz", "wt") as file:
        file.write("\n\n".join(documents))
    save(tiny_encoder(), tmp_path / "start")
    monkeypatch.setenv("SBERT_LAB_DATA", str(tmp_path))
    monkeypatch.syspath_prepend(RECIPES)
    return tmp_path


def run(monkeypatch, name: str, *arguments: object) -> dict:
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    return runpy.run_path(str(RECIPES / f"{name}.py"))


@pytest.mark.parametrize(
    ("name", "rows", "more"),
    [
        ("softmax_nli", 36, []),
        ("cosine_stsb", 6, ["--bfloat16"]),
        ("softmax_nli", 12, ["--rows", 12]),
        ("in_batch_nli", 12, []),
        ("in_batch_nli", 12, ["--without-hard-negatives"]),
        ("simcse", 40, ["--rows", 40]),
    ],
)
def test_a_recipe_leaves_a_model_and_its_history(sets, monkeypatch, name, rows, more):
    run(monkeypatch, name, "--model", sets / "start", "--folder", sets / "run", "--batch-size", 4, *more)
    record = json.loads((sets / "run/history.json").read_text())
    assert record["rows"] == rows and len(record["losses"]) == -(-rows // 4) * record["plan"]["epochs"]
    assert load(sets / "run/model").encode("a cat").shape == (32,)


def test_pretraining_leaves_a_bert(sets, monkeypatch, capsys):
    given = ["--folder", sets / "run", "--batch-size", 32]
    run(monkeypatch, "pretrain_lab_bert", *given)
    model = BertForPreTraining.from_pretrained(sets / "run/model")
    assert model.config.num_hidden_layers == 4 and "'accuracy'" in capsys.readouterr().out
    assert load(sets / "run/model").max_length == 512
    run(monkeypatch, "pretrain_lab_bert", *given)  # nothing is left to do
    assert "continuing after step" in "".join(capsys.readouterr())
    run(monkeypatch, "pretrain_lab_bert", "--start", sets / "run/model", "--folder", sets / "more", "--batch-size", 32)
    vocabularies = [load(sets / name / "model").backbone.tokenizer.get_vocab() for name in ("run", "more")]
    assert vocabularies[0] == vocabularies[1]


def test_pretraining_leaves_a_t5(sets, monkeypatch, capsys):
    run(monkeypatch, "pretrain_lab_t5", "--folder", sets / "run", "--batch-size", 8)
    model = T5ForConditionalGeneration.from_pretrained(sets / "run/model")
    assert (model.config.num_layers, model.config.num_decoder_layers) == (4, 2)
    assert "'accuracy'" in capsys.readouterr().out
    words, theirs = model.shared.weight.float(), load("lab-bert").backbone.model.get_input_embeddings().weight
    assert len(words) == len(theirs) + 32  # sentinels
    assert metrics.pearson(words[5:8192].detach().flatten(), theirs[5:].detach().flatten()) > 0.9  # it began there
    assert load(sets / "run/model").encode("a cat").shape == (256,)


def test_word_vectors_are_learnt(sets, monkeypatch):
    pytest.importorskip("gensim", reason="gensim, of the extra `vectors`, is not installed")
    run(monkeypatch, "word_vectors", "--folder", sets / "words")
    assert static.WordVectors.load(sets / "words").encode("anything").shape == (100,)


def test_recipes_are_short():
    lines = {path.name: len(path.read_text().splitlines()) for path in RECIPES.glob("*.py")}
    assert max(lines.pop(name) for name in ("lab_bert_results.py", "reranking.py", "the_field.py")) <= 150  # measures
    assert max(lines.values()) <= 50, lines
