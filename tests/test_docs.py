"""The README: its picture is the one that the first lesson draws, its tree and its closing table are true."""

import json
import re
import runpy
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def test_the_picture_is_the_lessons_own():
    picture = runpy.run_path(str(ROOT / "docs" / "picture.py"))["picture"]
    stored = (ROOT / "docs" / "map.png").read_bytes()
    assert stored == picture(), "the lesson draws another map now: run python docs/picture.py"
    assert len(stored) < 200_000


def test_the_readme_shows_it_with_alt_text():
    images = dict(re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", (ROOT / "README.md").read_text(encoding="utf-8")))
    alt = next(alt for alt, target in images.items() if target == "docs/map.png")
    assert len(alt) > 40


def test_the_closing_table_is_what_was_measured(monkeypatch):
    methods = json.loads((ROOT / "data/results/the_field.json").read_text(encoding="utf-8"))["methods"]
    monkeypatch.syspath_prepend(ROOT / "recipes")  # it imports one beside it
    table = runpy.run_path(str(ROOT / "recipes" / "the_field.py"))["table"](methods)
    assert table in (ROOT / "README.md").read_text(encoding="utf-8")


def tree() -> tuple[list[str], list[str]]:
    """The paths that the README's tree names: at the top, and in the package."""
    block = re.search(r"## The tree\n\n```\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)[1]
    entries = [re.match(r"( *)(\S+(?:, \S+)*)  ", line) for line in block.splitlines() if line]
    top = [name for entry in entries if not entry[1] for name in entry[2].split(", ")]
    return top, [entry[2] for entry in entries if entry[1]]


def test_the_tree_names_what_is_there():
    top, package = tree()
    ignored = {"__pycache__", ".git", ".gitignore", ".gitattributes"}
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split("\n")
    if tracked == [""]:
        pytest.skip("not a git checkout: what belongs to the repository is not known")
    there = {name.split("/")[0] for name in tracked if name} - ignored
    assert {name.rstrip("/") for name in top} == there
    assert sorted(package) == sorted(path.name for path in (ROOT / "sbert_lab").glob("*.py") if path.stem != "__init__")


def test_in_the_tree_a_file_stands_below_all_that_it_imports():
    _, package = tree()
    for place, name in enumerate(package):
        text = (ROOT / "sbert_lab" / name).read_text(encoding="utf-8")
        imported = re.findall(r"^from sbert_lab\.(\w+) import|^import sbert_lab\.(\w+)", text, re.M)
        imported += [
            (word,) for line in re.findall(r"^from sbert_lab import (.+)$", text, re.M) for word in line.split(", ")
        ]
        for module in filter(None, (word for words in imported for word in words)):
            assert f"{module}.py" in package[:place], f"{name} imports {module}: list it below"


def test_the_readmes_samples_run(capsys):
    """As a reader would paste them, one after the other."""
    samples = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)
    names = {}
    for sample in samples:
        exec(sample, names)
    assert capsys.readouterr().out == "Ladybirds eat the aphids.\n" and len(names["history"].losses) == 1
