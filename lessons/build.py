"""Makes notebooks/NN_name.ipynb from lessons/NN_name.py: the tool behind `course.py build`.

A lesson is text in jupytext's percent format. Its notebook holds the same cells, with stable ids, and the
outputs of one run. A lesson is run if its code differs from the notebook's, if it is named, or with --all; new prose
alone goes around the outputs that are there. What differs between two runs of the same code (times, widget states,
versions) is left out. Exercises are not made here.
"""

import argparse
import pathlib
import sys
import time

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

ROOT = pathlib.Path(__file__).resolve().parent.parent
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
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


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


def run(notebook: NotebookNode) -> None:
    """Execute in process, in the folder of the notebooks, and drop what differs from run to run."""
    where = {"metadata": {"path": str(ROOT / "notebooks")}}
    NotebookClient(notebook, timeout=600, resources=where, coalesce_streams=True).execute()
    notebook.metadata.pop("widgets", None)
    notebook.metadata.language_info = NotebookNode(name="python")
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)


def build(lesson: pathlib.Path, anew: bool) -> str:
    """Write a lesson's notebook; says what was done. Nothing is written if a cell fails."""
    target, started = ROOT / "notebooks" / f"{lesson.stem}.ipynb", time.perf_counter()
    new = from_text(lesson)
    old = nbformat.read(target, as_version=4) if target.exists() else NotebookNode(cells=[])
    kept = not anew and target.exists() and keep_outputs(new, old)
    if kept and structure(new) == structure(old):
        return "unchanged"
    if not kept:
        run(new)
    nbformat.validate(new)
    nbformat.write(new, target)
    return "prose renewed, outputs kept" if kept else f"run in {time.perf_counter() - started:.0f} s"


def main() -> int:
    parser = argparse.ArgumentParser(prog="course.py build", description="Make notebooks/ from lessons/.")
    parser.add_argument("names", nargs="*", help="lessons to run in any case, such as 02_pooling")
    parser.add_argument("--all", action="store_true", help="run every lesson")
    asked = parser.parse_args()
    known = {lesson.stem: lesson for lesson in lessons()}
    if unknown := set(asked.names) - set(known):
        parser.error(f"no lesson is called {', '.join(unknown)}; the lessons are {', '.join(known)}")
    for name in asked.names or known:
        try:
            print(f"{name}: {build(known[name], anew=asked.all or bool(asked.names))}", flush=True)
        except CellExecutionError as error:
            print(f"{name}: a cell failed, the notebook stays as it was\n{error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
