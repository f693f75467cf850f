"""The README's picture is the one that the first lesson draws, light enough to load, and described where it stands."""

import re
import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_the_picture_is_the_lessons_own():
    picture = runpy.run_path(str(ROOT / "docs" / "picture.py"))["picture"]
    stored = (ROOT / "docs" / "map.png").read_bytes()
    assert stored == picture(), "the lesson draws another map now: run python docs/picture.py"
    assert len(stored) < 200_000


def test_the_readme_shows_it_with_alt_text():
    images = dict(re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", (ROOT / "README.md").read_text(encoding="utf-8")))
    alt = next(alt for alt, target in images.items() if target == "docs/map.png")
    assert len(alt) > 40
