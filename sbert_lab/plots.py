"""Pictures for the lessons: a figure, its PNG with alt text, and the drawings that more than one lesson uses.

A figure here is a matplotlib Figure of its own; pyplot and its list of open figures are not used. The same drawing
gives the same bytes. Colours are those of Okabe & Ito 2008, which colour-blind readers tell apart, and nothing is left
to colour alone: points differ in shape too, bars carry the name of their group.
"""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = ("#D55E00", "#0072B2", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#000000")  # Okabe & Ito 2008
MARKERS = ("o", "^", "s", "D", "v", "P", "X")
DPI, SCALE = 180, 2  # pixels an inch in the file, and how many of them make one on the page: sharp on any screen

Styles = Mapping[str, tuple[str, str]]


def figure(width: float = 8, height: float = 4) -> tuple[Figure, Axes]:
    """An empty figure with one axes; width and height in inches, 90 pixels each on the page."""
    drawn = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    ax = drawn.add_subplot()
    ax.spines[["top", "right"]].set_visible(False)
    return drawn, ax


def png(drawn: Figure) -> bytes:
    """The figure as PNG, without the name and version of the program that made it."""
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def bundle(data: bytes, alt: str) -> tuple[dict[str, str], dict[str, Any]]:
    """What a notebook stores of a PNG: data and metadata by MIME type, alt text among them.

    Raises ValueError for an empty `alt`: without it the picture is lost to those who cannot see it.
    """
    if not alt.strip():
        raise ValueError("a picture needs alt text: say in a sentence what it shows")
    width = int.from_bytes(data[16:20], "big") // SCALE  # a PNG's header holds its width there
    picture = {"image/png": base64.b64encode(data).decode(), "text/plain": f"Picture: {alt}"}
    return picture, {"image/png": {"alt": alt, "width": width}}


def show(drawn: Figure, alt: str) -> None:
    """Display the figure in a notebook and store its alt text with it; ValueError where `alt` is empty."""
    picture, metadata = bundle(png(drawn), alt)
    display(picture, metadata=metadata, raw=True)


def styles(groups: Iterable[str]) -> dict[str, tuple[str, str]]:
    """A colour and a marker for each different group, in order of appearance; ValueError for more than seven."""
    names = list(dict.fromkeys(groups))
    if len(names) > len(COLOURS):
        raise ValueError(f"{len(names)} groups are more than a reader can tell apart: at most {len(COLOURS)}")
    return dict(zip(names, zip(COLOURS, MARKERS, strict=True), strict=False))


def scatter(ax: Axes, points: np.ndarray, groups: Sequence[str], looks: Styles) -> None:
    """Points (N, 2), each group in its colour and marker, a legend beside them, one unit as long both ways."""
    for name, (colour, marker) in looks.items():
        x, y = points[[group == name for group in groups]].T  # (n,), (n,)
        ax.scatter(x, y, c=colour, marker=marker, s=30, alpha=0.8, linewidths=0, label=name)
    ax.set_aspect("equal", adjustable="datalim")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)


def ranking(ax: Axes, texts: Sequence[str], scores: Sequence[float], groups: Sequence[str], looks: Styles) -> None:
    """Search results, best on top: each text above a bar of its score, in its group's colour and with its name."""
    ax.barh([i + 0.25 for i in range(len(texts))], scores, height=0.34, color=[looks[group][0] for group in groups])
    for i, (text, score, group) in enumerate(zip(texts, scores, groups, strict=True)):
        ax.text(0, i - 0.02, text, va="bottom", fontsize=9, parse_math=False)
        ax.annotate(f"{score:.2f}  {group}", (max(score, 0), i + 0.25), (4, 0), textcoords="offset points", va="center")
    ax.set(ylim=(len(texts) - 0.4, -0.6), yticks=[])
    ax.spines["left"].set_visible(False)
