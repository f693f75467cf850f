"""The check that opens the course: each fault made on purpose, and the line and remedy that it must bring."""

from collections import namedtuple
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from sbert_lab import doctor


def found(findings, name):
    return next(finding for finding in findings if finding.name == name)


def test_this_environment_is_well():
    findings = doctor.examine()
    assert [str(finding) for finding in findings if finding.remedy] == []
    assert [finding.name for finding in findings] == "Python packages model data memory device".split()


def test_lines_are_aligned_and_a_failure_brings_its_remedy():
    good, bad = doctor.Finding("data", "nothing missing"), doctor.Finding("packages", "torch is missing", "do this")
    assert str(good) == "[ OK ] data      nothing missing"
    assert str(bad) == "[FAIL] packages  torch is missing\n                 -> do this"


@pytest.mark.parametrize(
    "installed, told",
    [("0.1", "torch is 0.1, not >=2.11"), (None, "torch is missing")],
)
def test_a_package_that_does_not_fit(monkeypatch, installed, told):
    def version(name):
        if name == "torch" and installed is None:
            raise PackageNotFoundError
        return installed if name == "torch" else "2.11"

    wanted = ["torch>=2.11", "numpy>=2.2", "pytest>=99; extra == 'test'"]  # the extra's is nobody's business here
    monkeypatch.setattr(doctor, "requires", lambda name: wanted)
    monkeypatch.setattr(doctor, "version", version)
    finding = found(doctor.examine(), "packages")
    assert finding.found == told and finding.remedy


def test_the_course_itself_is_not_installed(monkeypatch):
    """As when the package is only on the path: nothing then says which versions it needs."""

    def no_metadata(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(doctor, "requires", no_metadata)
    findings = doctor.examine()
    assert found(findings, "packages").found == "sbert-lab is not installed" and found(findings, "packages").remedy
    assert not found(findings, "model").remedy  # the other checks go on


@pytest.mark.parametrize(
    "error",
    [ValueError("not the published file"), ModuleNotFoundError("pip install it"), PermissionError("not readable")],
    ids=lambda error: type(error).__name__,
)
def test_a_model_that_cannot_be_had(monkeypatch, error):
    def carried(name):
        raise error

    monkeypatch.setattr(doctor, "carried", carried)
    findings = doctor.examine()
    assert found(findings, "model").found == str(error)
    assert "python3 course.py lab" in found(findings, "model").remedy
    assert not found(findings, "data").remedy  # the other checks go on


def test_a_model_that_is_not_carried():
    assert found(doctor.examine(model="nonesuch"), "model").remedy


def test_missing_data(tmp_path):
    (tmp_path / "tour").mkdir()
    (tmp_path / "tour" / "queries.tsv").touch()
    finding = found(doctor.examine(data=tmp_path), "data")
    assert finding.found == "sentences.tsv missing" and finding.remedy
    assert found(doctor.examine(data=Path("nowhere")), "data").found == "sentences.tsv, queries.tsv missing"


def test_little_memory(monkeypatch):
    memory = namedtuple("memory", "available")
    monkeypatch.setattr(doctor.psutil, "virtual_memory", lambda: memory(0.4e9))
    finding = found(doctor.examine(), "memory")
    assert finding.found == "0.4 GB free" and finding.remedy
