"""pyproject.toml, constraints.txt and environment.yml name the same packages, and the versions fit."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
CARD = {"jupyterlab", "torch", "sentence-transformers", "matplotlib", "ipywidgets", "nbval"}


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def named(requirements):
    return {canonical(Requirement(line).name): Requirement(line) for line in requirements}


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
RUNTIME = named(PROJECT["dependencies"])
EXTRAS = {name: named(lines) for name, lines in PROJECT["optional-dependencies"].items()}
PIN_LINES = [
    line
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if line.strip() and not line.startswith("#")
]
PINS = {canonical(name): version for name, version in (line.split("==") for line in PIN_LINES)}
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
CONDA_PIP = next(entry["pip"] for entry in CONDA if isinstance(entry, dict))


def test_the_six_packages_of_the_course_are_runtime_dependencies():
    assert CARD <= set(RUNTIME)


@pytest.mark.parametrize("group", ["runtime", *EXTRAS])
def test_every_requirement_is_pinned_inside_its_range(group):
    for name, requirement in (RUNTIME if group == "runtime" else EXTRAS[group]).items():
        assert name in PINS, f"{name} has no version in constraints.txt"
        assert Version(PINS[name]) in requirement.specifier, f"{name} {PINS[name]} is outside {requirement}"


def test_every_pin_is_a_version_that_the_index_has():
    """No "+cpu", no path, no "-e": such lines resolve on the author's machine alone."""
    for line in PIN_LINES:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9a-z.]*", line), line
    assert len(PINS) == len(PIN_LINES), "a package is pinned twice"


def test_conda_users_get_the_same_six_packages_in_the_same_versions():
    pins = dict(entry.split("==") for entry in CONDA_PIP if not entry.startswith("-"))
    assert pins == {name: PINS[name] for name in CARD}


def test_conda_users_get_the_rest_from_the_same_two_files():
    assert CONDA_PIP[0] == "-c constraints.txt"
    assert CONDA_PIP[-1] == "-e .[test]" and "test" in EXTRAS


def test_conda_installs_a_python_that_the_package_accepts():
    python = next(entry for entry in CONDA if isinstance(entry, str) and entry.startswith("python"))
    assert Version(python.split("=")[1]) in Requirement("x" + PROJECT["requires-python"]).specifier
    assert "pip" in CONDA


def test_course_py_turns_away_the_pythons_that_the_package_does():
    lowest = re.search(r"sys\.version_info < \((\d+), (\d+)\)", (ROOT / "course.py").read_text(encoding="utf-8"))
    assert PROJECT["requires-python"] == f">={lowest[1]}.{lowest[2]}"
