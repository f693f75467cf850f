"""The house keeps its floors: imports only downwards, nothing heavy at the door, small files, small functions."""

from __future__ import annotations

import ast
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "sbert_lab"
FILES = sorted(PACKAGE.glob("*.py"))
FLOORS = [  # from the ground up
    {"settings", "tokens", "similarity", "distributed", "checkpoint", "folders", "sources"},
    {"attention", "pooling", "losses", "metrics", "static", "tables"},
    {"backbone", "corpus", "loop"},
    {"encoder", "cross_encoder", "data", "pretrained", "pretraining"},
    {"decoder", "gradients", "search", "spans", "views"},
    {"storage", "training", "evaluation"},
    {"plots", "doctor", "results"},
    {"widgets", "exercises"},
    {"checks"},
]
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}
HEAVY = ["matplotlib", "ipywidgets", "faiss", "datasets", "sentence_transformers"]
PUBLIC = ["load", "save", "train", "Plan", "Row", "data", "losses", "evaluation", "search"]


def imported(tree: ast.Module) -> Iterator[str]:
    """The full names a file imports, wherever in the file; "from a import b" is a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written in full"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def of_the_package(tree: ast.Module) -> set[str]:
    return {name.split(".")[1] for name in imported(tree) if name.startswith("sbert_lab.")}


def functions() -> dict[str, int]:
    """Every function and method of the package with its number of lines, docstring included."""
    return {
        f"{file.name}:{node.lineno} {node.name}": node.end_lineno - node.lineno + 1
        for file in FILES
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def run(code: str) -> list[str]:
    """The words that `code` prints in a fresh process."""
    done = subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def heavy_after(code: str) -> list[str]:
    return run(f"{code}\nimport sys\nprint(*[name for name in {HEAVY} if name in sys.modules])")


def test_the_reader_of_imports_sees_every_form() -> None:
    source = "import sbert_lab.a\nfrom sbert_lab.b import x\ndef f():\n    from sbert_lab import c\nimport torch"
    assert of_the_package(ast.parse(source)) == {"a", "b", "c"}


@pytest.mark.parametrize("file", [file for file in FILES if file.stem != "__init__"], ids=lambda file: file.stem)
def test_a_file_imports_only_from_floors_below(file: Path) -> None:
    assert file.stem in FLOOR, f"{file.name} has no floor: give it one here and in the design"
    for name in of_the_package(ast.parse(file.read_text())):
        assert FLOOR[name] < FLOOR[file.stem], f"{file.name} imports {name}, which is not below it"


def test_the_package_is_flat() -> None:
    assert [path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"] == []


def test_every_file_says_what_it_is() -> None:
    silent = [file.name for file in FILES if not ast.get_docstring(ast.parse(file.read_text()))]
    assert silent == []


def test_importing_the_package_pulls_in_nothing_heavy() -> None:
    assert heavy_after("import sbert_lab") == []
    assert heavy_after("import json, matplotlib") == ["matplotlib"]  # the question itself works


def test_the_public_names_are_there_and_light() -> None:
    assert heavy_after(f"from sbert_lab import {', '.join(PUBLIC)}") == []


def lines_of_code(file: Path) -> int:
    """Lines that hold code: without blank lines, comments and docstrings."""
    text = file.read_text()
    prose: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            prose.update(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    lines = enumerate(text.splitlines(), 1)
    return sum(bool(line.strip()) and line.strip()[0] != "#" and number not in prose for number, line in lines)


def test_size() -> None:
    code = {file.name: lines_of_code(file) for file in FILES}
    assert sum(code.values()) <= 3400, code


def test_functions_are_short() -> None:
    lines = functions()
    assert len(lines) > 50
    assert {name: length for name, length in lines.items() if length > 60} == {}
    assert statistics.median(lines.values()) <= 12
