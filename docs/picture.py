"""Takes the README's picture, docs/map.png, from the stored output of the first lesson: python docs/picture.py

So the picture is one that the lesson has drawn, and nobody draws it twice. The cell carries the tag readme-picture.
"""

import base64
import json
from pathlib import Path

HERE = Path(__file__).resolve().parent
LESSON = HERE.parent / "notebooks" / "00_start_here.ipynb"
TARGET = HERE / "map.png"


def picture() -> bytes:
    """The PNG that the tagged cell has stored."""
    cells = json.loads(LESSON.read_text(encoding="utf-8"))["cells"]
    (cell,) = (cell for cell in cells if "readme-picture" in cell["metadata"].get("tags", []))
    (output,) = cell["outputs"]
    return base64.b64decode(output["data"]["image/png"])


if __name__ == "__main__":
    TARGET.write_bytes(picture())
