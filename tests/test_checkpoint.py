"""Checkpoints: what is written comes back bit by bit, and neither a kill nor a strange file costs or runs anything."""

import json
import math
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from sbert_lab import checkpoint

GROUPS = {
    "weights": {
        "encoder.layer.0.weight": torch.linspace(-1, 1, 12).view(3, 4),
        "half": torch.tensor([1.5, -2.0], dtype=torch.float16),
        "brain": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
        "double": torch.tensor([math.pi], dtype=torch.float64),
        "special": torch.tensor([math.inf, -math.inf, -0.0, 1e-45]),
        "a/name/with/slashes": torch.ones(1),
        "nothing": torch.empty(0, 4),
    },
    "adam.weights": {"step": torch.tensor(7.0), "count": torch.tensor(2**62), "flags": torch.tensor([True, False])},
}
FACTS = {"step": 12, "loss": 0.1 + 0.2, "name": 'a "café" 🪁', "history": [[1, None], [2, 0.5]], "plan": {"seed": 0}}


def assert_equal(groups, expected):
    assert groups.keys() == expected.keys()
    for group, part in expected.items():
        assert groups[group].keys() == part.keys()
        for name, tensor in part.items():
            ours = groups[group][name]
            assert (ours.dtype, ours.shape) == (tensor.dtype, tensor.shape), name
            assert torch.equal(ours.flatten().view(torch.uint8), tensor.flatten().view(torch.uint8)), name


def test_tensors_and_facts_come_back_bit_by_bit(tmp_path):
    path = tmp_path / "new" / "folders" / "run.safetensors"
    checkpoint.save(path, GROUPS, FACTS)
    groups, facts = checkpoint.load(path)
    assert_equal(groups, GROUPS)
    assert facts == FACTS
    assert os.listdir(path.parent) == ["run.safetensors"]  # nothing is left beside it


VIEWS = {"turned": lambda x: x.T, "a column": lambda x: x[:, 1], "every other row": lambda x: x[::2]}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_views_of_other_tensors_are_written(tmp_path, view):
    tensor = view(torch.arange(12.0).view(4, 3))
    checkpoint.save(tmp_path / "run", {"weights": {"w": tensor}}, {})
    assert torch.equal(checkpoint.load(tmp_path / "run")[0]["weights"]["w"], tensor)


def test_training_on_changes_the_tensors_but_not_the_file(tmp_path):
    path = tmp_path / "run"
    checkpoint.save(path, GROUPS, FACTS)
    groups, _ = checkpoint.load(path)
    for part in groups.values():
        for tensor in part.values():
            tensor.zero_()
    assert_equal(checkpoint.load(path)[0], GROUPS)


def test_loaded_tensors_do_not_hang_on_the_file(tmp_path):
    path = tmp_path / "run"
    checkpoint.save(path, GROUPS, FACTS)
    groups, _ = checkpoint.load(path)
    path.write_bytes(bytes(path.stat().st_size))  # on Windows it could not even be replaced while it is in use
    assert_equal(groups, GROUPS)


def test_a_new_checkpoint_takes_the_place_of_the_old(tmp_path):
    path = tmp_path / "run.safetensors"
    for step in (1, 2, 3):
        checkpoint.save(path, {"weights": {f"of step {step}": torch.full((step,), float(step))}}, {"step": step})
    groups, facts = checkpoint.load(path)
    assert facts == {"step": 3}
    assert_equal(groups, {"weights": {"of step 3": torch.full((3,), 3.0)}})


# Children of one program, so that torch is imported once: each replaces a good checkpoint and dies of kill -9 at one
# moment of the writing.
PROGRAM = """
import os, signal, sys
from pathlib import Path
import torch
from safetensors.torch import save_file
from sbert_lab import checkpoint

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def half(tensors, path, metadata):
    save_file(tensors, path, metadata)
    os.truncate(path, os.path.getsize(path) // 2)
    die()

moments = {
    "before a byte is written": (checkpoint, "save_file", die),
    "with half of the file written": (checkpoint, "save_file", half),
    "before the disk has all": (os, "fsync", die),
    "before it is in place": (os, "replace", die),
}
groups = {"weights": {"w": torch.zeros(1000)}}
for name, (module, function, deadly) in moments.items():
    child = os.fork()
    if not child:
        setattr(module, function, deadly)
        checkpoint.save(Path(sys.argv[1]) / name / "run.safetensors", groups, {"step": 13})
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
MOMENTS = re.findall(r'^    "(.+)": \(', PROGRAM, re.MULTILINE)


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A folder for each moment, with a checkpoint in it and what the dead left."""
    folder = tmp_path_factory.mktemp("killed")
    for moment in MOMENTS:
        checkpoint.save(folder / moment / "run.safetensors", GROUPS, FACTS)
    root = Path(checkpoint.__file__).parents[1]
    command = [sys.executable, "-c", PROGRAM, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, timeout=300)
    assert done.stdout.split() == ["-9"] * 4, done.stderr
    return folder


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no kill -9 here")
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_kill_while_writing_leaves_the_old_checkpoint(killed, moment):
    path = killed / moment / "run.safetensors"
    groups, facts = checkpoint.load(path)
    assert_equal(groups, GROUPS)
    assert facts == FACTS
    checkpoint.save(path, {}, {"step": 14})  # the leavings of the dead do not stand in the way
    assert checkpoint.load(path)[1] == {"step": 14}
    assert os.listdir(path.parent) == ["run.safetensors"]


@pytest.mark.parametrize("fact", [{1, 2}, torch.ones(1), Path("folder")], ids=["a set", "a tensor", "a path"])
def test_facts_that_json_cannot_hold_leave_the_old_checkpoint(tmp_path, fact):
    path = tmp_path / "run.safetensors"
    checkpoint.save(path, GROUPS, FACTS)
    with pytest.raises(TypeError, match="JSON"):
        checkpoint.save(path, {}, {"fact": fact})
    assert_equal(checkpoint.load(path)[0], GROUPS)


def test_a_disk_error_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "run.safetensors"
    checkpoint.save(path, GROUPS, FACTS)

    def full(*_, **__):
        raise OSError("No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(OSError, match="No space"):
        checkpoint.save(path, {}, {})
    assert checkpoint.load(path)[1] == FACTS


class Bomb:
    """Leaves a file where it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


def truncated(path, share):
    checkpoint.save(path, GROUPS, FACTS)
    os.truncate(path, int(path.stat().st_size * share))


def foreign(path, tensors, metadata):
    save_file(tensors, path, metadata)


BAD_FILES = {
    "empty": lambda path: path.write_bytes(b""),
    "cut in the length of the header": lambda path: path.write_bytes(b"\x10\0\0"),
    "cut in the header": lambda path: truncated(path, 0.1),
    "cut in the tensors": lambda path: truncated(path, 0.95),
    "noise": lambda path: path.write_bytes(bytes(range(256)) * 4),
    "text": lambda path: path.write_text("step 12 of 100\n" * 20),
    "JSON": lambda path: path.write_text(json.dumps(FACTS) * 20),
    "a pickle": lambda path: path.write_bytes(pickle.dumps(Bomb(path.with_name("exploded")))),
    "torch.save": lambda path: torch.save({"weights": torch.ones(3)}, path),
    "a model without metadata": lambda path: foreign(path, {"layer/weight": torch.ones(3)}, None),
    "a model with other metadata": lambda path: foreign(path, {"layer/weight": torch.ones(3)}, {"format": "pt"}),
    "facts that are no JSON": lambda path: foreign(path, {"w/a": torch.ones(3)}, {"facts": "{'step': 1}"}),
    "facts that are a list": lambda path: foreign(path, {"w/a": torch.ones(3)}, {"facts": "[1]"}),
    "facts that are null": lambda path: foreign(path, {"w/a": torch.ones(3)}, {"facts": "null"}),
    "tensors of no group": lambda path: foreign(path, {"weight": torch.ones(3)}, {"facts": "{}"}),
}


@pytest.mark.parametrize("write", BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_is_named_and_nothing_in_it_runs(tmp_path, write):
    path = tmp_path / "run.safetensors"
    write(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="is not a checkpoint of this course") as caught:
        checkpoint.load(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["run.safetensors"]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="run.safetensors"):
        checkpoint.load(tmp_path / "run.safetensors")
