"""A folder replaced whole or not at all: what is written appears under its name complete, and nobody's files go.

The new content is written beside the old and takes its name in the end, so a full disk or an interrupt on the way
leaves the old as it was. This file knows nothing of what is written (`storage` does).
"""

import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replaced(folder: Path, mark: str, known: re.Pattern[str]) -> Iterator[Path]:
    """A new folder to write to, which takes the place of `folder` on leaving, unless an error comes first.

    What is there may be replaced only if it holds the file `mark` and nothing but names that are `known`. Raises
    FileExistsError where it does not or is a file, PermissionError where the system forbids writing.
    """
    _check_replaceable(folder, mark, known)
    fresh, old = (folder.with_name(f".{folder.name}-{word}-{secrets.token_hex(4)}") for word in ("new", "old"))
    try:
        fresh.mkdir(parents=True)
        yield fresh
        _swap(folder, fresh, old)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise PermissionError(f"{folder} cannot be written: {error.strerror}") from error
        raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _check_replaceable(folder: Path, mark: str, known: re.Pattern[str]) -> None:
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file: give a folder")
    names = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    if names and mark not in names:
        raise FileExistsError(f"{folder} is not empty and holds no saved model ({mark}): give a new folder")
    for name in names:
        if not known.fullmatch(name):
            raise FileExistsError(
                f"{folder} holds {name}, which is not part of a saved model: move it or save elsewhere"
            )


def _swap(folder: Path, fresh: Path, old: Path) -> None:
    """Put `fresh` where `folder` is; if that fails, `folder` is again what it was."""
    try:
        if folder.exists():
            os.rename(folder, old)
        os.rename(fresh, folder)
    except BaseException:
        if old.exists():
            os.rename(old, folder)
        raise
    shutil.rmtree(old, ignore_errors=True)
