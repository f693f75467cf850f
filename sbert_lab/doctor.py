"""Is everything in place? A line each for Python, the packages, the model, the data, the memory and the device.

The check that opens the course, and what `course.py doctor` prints. It downloads nothing and asks no other machine.
"""

import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import torch
from packaging.requirements import Requirement

from sbert_lab.sources import COURSE, carried

DATA = COURSE / "data"
LEAST_MEMORY = 1.0  # GB: the model takes 0.1, PyTorch and a batch the rest
AGAIN = "close JupyterLab and start it again with: python3 course.py lab"


@dataclass(frozen=True)
class Finding:
    """What was looked at and found, and what to do about it; without a remedy all is well."""

    name: str
    found: str
    remedy: str = ""

    def __str__(self) -> str:
        line = f"{'[FAIL]' if self.remedy else '[ OK ]'} {self.name:<9} {self.found}"
        return f"{line}\n{'':6} {'':9} -> {self.remedy}" if self.remedy else line


def examine(model: str = "all-MiniLM-L6-v2", data: Path = DATA) -> list[Finding]:
    """Every check of this file, in order; no missing package and no damaged file stops the next."""
    unfit = "; ".join(_unfit("sbert-lab"))
    missing = [name for name in ("sentences.tsv", "queries.tsv") if not (data / "tour" / name).is_file()]
    free = psutil.virtual_memory().available / 1e9
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    return [
        Finding("Python", platform.python_version()),
        Finding("packages", unfit or f"all there, PyTorch {torch.__version__}", AGAIN if unfit else ""),
        _model(model),
        Finding("data", f"{', '.join(missing) or 'nothing'} missing", "fetch the whole repository" if missing else ""),
        Finding("memory", f"{free:.1f} GB free", "close other programs" if free < LEAST_MEMORY else ""),
        Finding("device", gpu or f"CPU, {torch.get_num_threads()} threads: all that the course needs"),
    ]


def _unfit(package: str) -> Iterator[str]:
    """What `package` requires and is missing, or of a version outside the range that the course was made for."""
    try:
        requirements = requires(package) or []
    except PackageNotFoundError:
        yield f"{package} is not installed"
        return
    for requirement in map(Requirement, requirements):
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue  # belongs to an extra, such as the tests
        try:
            installed = version(requirement.name)
        except PackageNotFoundError:
            yield f"{requirement.name} is missing"
            continue
        if installed not in requirement.specifier:
            yield f"{requirement.name} is {installed}, not {requirement.specifier}"


def _model(name: str) -> Finding:
    try:
        folder = carried(name)
    except (ImportError, OSError, ValueError) as error:
        return Finding("model", str(error), f"delete the folder .venv, {AGAIN}")
    if folder is None:
        return Finding("model", f"{name} does not come with the course", "check the spelling")
    return Finding("model", f"{name}, every file with the published SHA-256")


if __name__ == "__main__":
    findings = examine()
    print(*findings, sep="\n")
    sys.exit(any(finding.remedy for finding in findings))
