"""A checkpoint in one file: tensors as safetensors, everything else as JSON in the file's own header.

One file can be replaced in one step, so a reader finds the old checkpoint or the new one, never half of each, whenever
the writer is killed. Nothing in it is executable, unlike a pickle.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor


def save(path: Path, groups: Mapping[str, Mapping[str, Tensor]], facts: Mapping[str, Any]) -> None:
    """Write named groups of tensors, and `facts` that JSON can hold, to `path`, replacing what was there at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    flat = {
        f"{group}/{name}": tensor.detach().contiguous()
        for group, part in groups.items()
        for name, tensor in part.items()
    }
    unfinished = path.with_name(path.name + ".unfinished")
    save_file(flat, unfinished, metadata={"facts": json.dumps(facts)})
    with unfinished.open("rb") as file:
        os.fsync(file.fileno())  # the bytes are on the disk before the name points to them
    os.replace(unfinished, path)


def load(path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """The groups and the facts that `save` wrote; ValueError if the file is not such a checkpoint."""
    try:
        with safe_open(path, framework="pt") as file:
            facts = dict(json.loads((file.metadata() or {})["facts"]))
            groups: dict[str, dict[str, Tensor]] = {}
            for key in file.keys():  # noqa: SIM118  safe_open is not a mapping
                group, name = key.split("/", 1)
                groups.setdefault(group, {})[name] = file.get_tensor(key).clone()  # a copy, not a view of the file
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a checkpoint of this course ({error}): delete it to start anew") from None
    return groups, facts
