"""Text files of records, read so that a fault in one is named with its file and line.

Tab-separated with a header line and no quoting, or JSON lines as BEIR has them; UTF-8, plain or gzip. What the fields
mean is decided in `data.py`.
"""

import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sbert_lab.tokens import check_text


def records(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Place and fields of every line of a tab-separated file.

    Raises FileNotFoundError where it is missing, ValueError for a damaged line, naming it.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: the course's own sets lie in its folder data, public ones where SBERT_LAB_DATA says"
        )
    header: list[str] = []
    number = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, 1):
                fields = line.decode("utf-8-sig").rstrip("\r\n").split("\t")
                header = header or fields
                if len(set(header)) != len(header):
                    raise ValueError(f"{path}: a column stands twice in the header, {', '.join(header)}")
                if len(fields) != len(header):
                    raise ValueError(f"{path}, line {number}: {len(fields)} fields, but the header has {len(header)}")
                if number > 1:
                    yield f"{path}, line {number}", dict(zip(header, fields, strict=True))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}, line {number}: not UTF-8 ({error.reason})") from None
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    if number < 2:
        raise ValueError(f"{path} has no rows")


def texts_by_id(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Place and record of every line of a gzipped JSON-lines file in BEIR's layout: "_id", "text", and "title" or "".

    Raises FileNotFoundError where it is missing, ValueError for a damaged line, naming it.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: give a folder in BEIR's layout")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                record = json.loads(line)
                texts = {"_id": str(record["_id"]), "text": record["text"], "title": record.get("title") or ""}
                for name, text in texts.items():
                    check_text(text, name)
            except (ValueError, KeyError, TypeError):
                raise ValueError(f"{path}, line {number}: {line!r:.60} is no record of texts with _id") from None
            yield f"{path}, line {number}", texts


@contextmanager
def named(place: str) -> Iterator[None]:
    """Errors inside begin with `place`."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise type(error)(f"{place}: {error}") from None
