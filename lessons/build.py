"""Makes notebooks/, solutions/ and exercises/ from the texts in lessons/: the tool behind `course.py build`.

A lesson is text in jupytext's percent format. Its notebook holds the same cells, with stable ids, and the
outputs of one run. A lesson is run if its code differs from the notebook's, if it is named, or with --all; new prose
alone goes around the outputs that are there. What differs between two runs of the same code (times, widget states,
versions) is left out.

The exercises of a lesson, lessons/exercises/NN_name.py, give two notebooks in nbgrader's format: in solutions/, run
like a lesson, and in exercises/, where the part between BEGIN and END SOLUTION is left to the student. Cells tagged
"cases" belong to the checks and are in neither.
"""

import argparse
import pathlib
import re
import sys
import time

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOLUTION = re.compile(r"( *)### BEGIN SOLUTION\n.*?### END SOLUTION", re.DOTALL)
GAP = "raise NotImplementedError  # your code here"
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def lessons() -> list[pathlib.Path]:
    """The lesson files in order: those whose names begin with a number or, as in C1, a capital."""
    return sorted((ROOT / "lessons").glob("[0-9A-Z]*_*.py"))


def from_text(lesson: pathlib.Path) -> NotebookNode:
    """The notebook of a lesson, without outputs."""
    notebook = jupytext.reads(lesson.read_text(encoding="utf-8"), fmt="py:percent")
    notebook.metadata = NotebookNode(kernelspec=KERNEL, language_info={"name": "python"})
    for index, cell in enumerate(notebook.cells):
        cell.id = f"cell-{index:02d}"
        cell.metadata.pop("lines_to_next_cell", None)  # jupytext's note on blank lines
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def from_exercises(source: pathlib.Path, solved: bool) -> NotebookNode:
    """The notebook of a lesson's exercises, with the solutions or with gaps in their place."""
    notebook = from_text(source)
    notebook.cells = [cell for cell in notebook.cells if "cases" not in cell.metadata.get("tags", [])]
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if "solution" in tags:
            name = re.search(r"^def (\w+)", cell.source, re.MULTILINE)[1]
            cell.metadata.nbgrader = nbgrader(name, solution=True)
            if solved:
                cell.source = re.sub(r" *### (BEGIN|END) SOLUTION\n?", "", cell.source).rstrip()
            else:
                cell.source = SOLUTION.sub(rf"\1{GAP}", cell.source)
        if "check" in tags:
            cell.metadata.nbgrader = nbgrader(f"check_{name}", grade=True, locked=True, points=1)
    return notebook


def nbgrader(grade_id: str, **facts: bool | int) -> NotebookNode:
    cell = {"schema_version": 3, "grade": False, "solution": False, "locked": False, "task": False}
    return NotebookNode(cell | {"grade_id": grade_id, "cell_type": "code"} | facts)


def holds_answers(notebook: NotebookNode) -> bool:
    """Whether a student has written something where the gaps were."""
    gaps = [cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("solution")]
    return any(GAP not in cell.source for cell in gaps)


def targets(lesson: pathlib.Path) -> dict[pathlib.Path, NotebookNode]:
    """The notebooks that a lesson and its exercises make, without outputs, by where they go."""
    name, exercises = f"{lesson.stem}.ipynb", lesson.parent / "exercises" / lesson.name
    made = {ROOT / "notebooks" / name: from_text(lesson)}
    if exercises.exists():
        made[ROOT / "solutions" / name] = from_exercises(exercises, solved=True)
        made[ROOT / "exercises" / name] = from_exercises(exercises, solved=False)
    return made


def structure(notebook: NotebookNode) -> list[tuple]:
    """What lesson and notebook must agree on: each cell's id, type, metadata and text."""
    return [(cell.id, cell.cell_type, dict(cell.metadata), cell.source) for cell in notebook.cells]


def code(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def keep_outputs(new: NotebookNode, old: NotebookNode) -> bool:
    """Take over the outputs of the same code; False if the code differs or has not been run."""
    same = [cell.source for cell in code(new)] == [cell.source for cell in code(old)]
    if not same or any(cell.execution_count is None for cell in code(old)):
        return False
    for cell, before in zip(code(new), code(old), strict=True):
        cell.outputs, cell.execution_count = before.outputs, before.execution_count
    return True


def run(notebook: NotebookNode, folder: pathlib.Path) -> None:
    """Execute in process, in its folder, and drop what differs from run to run."""
    where = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=600, resources=where, coalesce_streams=True).execute()
    notebook.metadata.pop("widgets", None)
    notebook.metadata.language_info = NotebookNode(name="python")
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not is_progress(output)]


def is_progress(output: NotebookNode) -> bool:
    """Whether an output is a library's progress bar: a widget that is no Explorer."""
    data = output.get("data", {})
    return "application/vnd.jupyter.widget-view+json" in data and not data["text/plain"].startswith("Explorer(")


def build(new: NotebookNode, target: pathlib.Path, anew: bool) -> str:
    """Write a notebook; says what was done. Nothing is written if a cell fails. Exercises are for students to run."""
    started = time.perf_counter()
    old = nbformat.read(target, as_version=4) if target.exists() else NotebookNode(cells=[])
    for_students = target.parent.name == "exercises"
    if for_students and holds_answers(old):
        return "left alone: it holds answers; delete it to have it made anew"
    kept = for_students or not anew and target.exists() and keep_outputs(new, old)
    if kept and structure(new) == structure(old):
        return "unchanged"
    target.parent.mkdir(exist_ok=True)
    if not kept:
        run(new, target.parent)
    nbformat.validate(new)
    nbformat.write(new, target)
    return "written" if kept else f"run in {time.perf_counter() - started:.0f} s"


def main() -> int:
    parser = argparse.ArgumentParser(prog="course.py build", description="Make notebooks/ from lessons/.")
    parser.add_argument("names", nargs="*", help="lessons to run in any case, such as 02_pooling")
    parser.add_argument("--all", action="store_true", help="run every lesson")
    asked = parser.parse_args()
    known = {lesson.stem: lesson for lesson in lessons()}
    if unknown := set(asked.names) - set(known):
        parser.error(f"no lesson is called {', '.join(unknown)}; the lessons are {', '.join(known)}")
    for name in asked.names or known:
        for target, notebook in targets(known[name]).items():
            place = target.relative_to(ROOT)
            try:
                print(f"{place}: {build(notebook, target, anew=asked.all or bool(asked.names))}", flush=True)
            except CellExecutionError as error:
                print(f"{place}: a cell failed, the notebook stays as it was\n{error}", file=sys.stderr)
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
