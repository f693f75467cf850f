"""What every committed notebook keeps to, checked without running it; running them is nbval's part.

Each is what its lesson says, ran once from top to bottom without error or warning, can be read by those who
do not see its pictures, and holds nothing of the machine it was made on.
"""

import importlib.util
import json
import re
from pathlib import Path

import nbformat
import pytest
from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted(path for folder in ("notebooks", "solutions") for path in (ROOT / folder).rglob("*.ipynb"))
NOTEBOOKS = [path for path in NOTEBOOKS if ".ipynb_checkpoints" not in path.parts]
MARKDOWN = MarkdownIt("commonmark").enable("table")
MACHINE_PATH = re.compile(r"/(home|Users|root|tmp)/\w+|[A-Z]:\\\\Users")
# nbclient hangs on these now and then, and nbval always differs on them; the course has its Explorer instead
HANGS = re.compile(r"\binteract(ive|ive_output)?\s*\(|@\w*\.?interact\b|\.Output\(")

spec = importlib.util.spec_from_file_location("build", ROOT / "lessons" / "build.py")
build = importlib.util.module_from_spec(spec)
spec.loader.exec_module(build)


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem, scope="module")
def path(request):
    return request.param


@pytest.fixture(scope="module")
def notebook(path):
    read = nbformat.read(path, as_version=4)
    nbformat.validate(read)
    return read


def prose(notebook):
    """Every Markdown token of every prose cell: (cell number, token, the token after it)."""
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            tokens = MARKDOWN.parse(cell.source)
            yield from ((number, token, after) for token, after in zip(tokens, [*tokens[1:], None], strict=True))


def outputs(notebook):
    """(cell number, tags of the cell, output)"""
    for number, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            yield number, cell.metadata.get("tags", []), output


def test_there_are_notebooks():
    assert ROOT / "notebooks" / "00_start_here.ipynb" in NOTEBOOKS


def test_lessons_and_notebooks_are_the_same_set():
    notebooks = {path.stem for path in NOTEBOOKS if path.parent.name == "notebooks"}
    assert {lesson.stem for lesson in build.lessons()} == notebooks


BUILT = {target: built for lesson in build.lessons() for target, built in build.targets(lesson).items()}


@pytest.mark.parametrize("target", BUILT, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_notebook_is_what_its_source_says(target):
    stored = nbformat.read(target, as_version=4)
    assert build.structure(stored) == build.structure(BUILT[target]), "run: python3 course.py build"


def test_answers_of_a_student_are_not_overwritten(tmp_path):
    notebook = next(built for target, built in BUILT.items() if target.parent.name == "exercises").copy()
    target = tmp_path / "exercises" / "00.ipynb"
    assert build.build(notebook, target, anew=False) == "written"
    answered = nbformat.read(target, as_version=4)
    next(
        cell for cell in answered.cells if "solution" in cell.metadata.get("tags", [])
    ).source = "def cosines(q, s): ..."
    nbformat.write(answered, target)
    assert "holds answers" in build.build(notebook, target, anew=True)
    assert "def cosines(q, s): ..." in target.read_text()


def test_every_exercise_belongs_to_a_lesson():
    assert {path.name for path in (ROOT / "lessons/exercises").glob("*.py")} <= {path.name for path in build.lessons()}


def test_a_student_gets_the_task_and_the_check_but_not_the_solution():
    for target, notebook in BUILT.items():
        if target.parent.name == "exercises":
            assert "SOLUTION" not in json.dumps(notebook) and not list(outputs(notebook))
            graded = [cell for cell in notebook.cells if "nbgrader" in cell.metadata]
            for task, check in zip(graded[::2], graded[1::2], strict=True):
                assert task.metadata.nbgrader.solution and "raise NotImplementedError" in task.source
                assert check.metadata.nbgrader.locked and check.metadata.nbgrader.grade


LESSONS = [path for path in NOTEBOOKS if path.parent.name == "notebooks"]


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_has_a_readable_length(path):
    cells = nbformat.read(path, as_version=4).cells
    words = sum(len(cell.source.split()) for cell in cells if cell.cell_type == "markdown")
    assert 800 <= words <= 3_000, f"{words} words"
    assert {c.id: n for c in cells if c.cell_type == "code" and (n := len(c.source.splitlines())) > 25} == {}


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_shows_two_pictures_one_of_them_to_play_with(path):
    cells = nbformat.read(path, as_version=4).cells
    bundles = [output.data for cell in cells for output in cell.get("outputs", []) if "data" in output]
    assert sum("image/png" in data for data in bundles) >= 2
    assert any(data.get("text/plain", "").startswith("Explorer(") and "image/png" in data for data in bundles)


def test_one_title_and_no_heading_level_is_jumped(notebook):
    levels = [int(token.tag[1]) for _, token, _ in prose(notebook) if token.type == "heading_open"]
    assert levels[:1] == [1] and levels.count(1) == 1
    for upper, lower in zip(levels, levels[1:], strict=False):
        assert lower <= upper + 1, f"a heading of level {lower} follows one of level {upper}"


def test_links_lead_somewhere_and_images_have_alt_text(notebook, path):
    for number, token, _ in prose(notebook):
        for child in token.children or []:
            target = child.attrs.get("href") or child.attrs.get("src")
            if child.type == "image":
                assert child.content.strip(), f"cell {number}: the image {target} has no alt text"
            if target and not re.match(r"https?:|mailto:|#|attachment:", target):
                assert (path.parent / target.split("#")[0]).exists(), f"cell {number}: {target} does not exist"


def test_every_picture_among_the_outputs_has_alt_text(notebook):
    for number, _, output in outputs(notebook):
        if "image/png" in output.get("data", {}):
            alt = output.metadata.get("image/png", {}).get("alt", "")
            assert alt.strip(), f"cell {number}: display the figure with metadata={{'image/png': {{'alt': '…'}}}}"


def test_ran_once_from_top_to_bottom(notebook):
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))


def test_no_error_and_no_warning_is_stored(notebook):
    for number, tags, output in outputs(notebook):
        if output.output_type == "error":
            assert "raises-exception" in tags, f"cell {number}: {output.ename}: {output.evalue}"
        assert output.get("name") != "stderr", f"cell {number} wrote to stderr: {output.text[:200]}"


def test_holds_nothing_of_the_machine_it_was_made_on(notebook):
    text = json.dumps(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert "widgets" not in notebook.metadata and "version" not in notebook.metadata.language_info
    assert not any("execution" in cell.metadata for cell in notebook.cells), "times of the run"
    assert not MACHINE_PATH.search(text), MACHINE_PATH.search(text)
    assert len(text) < 2_000_000, "too large for GitHub to show"


def test_no_progress_bar_is_stored(notebook):
    assert not [number for number, _, output in outputs(notebook) if build.is_progress(output)]


def test_no_widget_that_hangs_the_tools(notebook):
    found = HANGS.search("\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code"))
    assert not found, f"{found[0]!r}: use sbert_lab.widgets.Explorer"
