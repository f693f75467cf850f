"""Pictures: what is drawn is what was given, alt text is stored, the bytes repeat; read from matplotlib's artists."""

import base64
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.colors import to_hex

from sbert_lab import plots

TOPICS = ["sky", "sea", "sky"]
LOOKS = plots.styles(TOPICS)


@pytest.fixture
def shown(monkeypatch):
    """What `show` hands to the notebook: (data, metadata)."""
    calls = []
    monkeypatch.setattr(plots, "display", lambda data, metadata, raw: calls.append((data, metadata, raw)))
    return calls


def test_groups_differ_in_colour_and_in_shape():
    looks = plots.styles("abcdefga")
    assert list(looks) == list("abcdefg")
    colours, markers = zip(*looks.values(), strict=True)
    assert len(set(colours)) == len(set(markers)) == 7
    with pytest.raises(ValueError, match="8 groups .* at most 7"):
        plots.styles("abcdefgh")


def test_scatter_draws_every_point_in_the_look_of_its_group():
    _, ax = plots.figure()
    points = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])
    plots.scatter(ax, points, TOPICS, LOOKS)
    sky, sea = ax.collections
    assert sky.get_offsets().tolist() == [[0, 1], [4, 5]] and sea.get_offsets().tolist() == [[2, 3]]
    assert to_hex(sky.get_facecolor()[0]).upper() == LOOKS["sky"][0] != to_hex(sea.get_facecolor()[0]).upper()
    assert sky.get_paths()[0].vertices.tolist() != sea.get_paths()[0].vertices.tolist()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["sky", "sea"]


def test_ranking_puts_the_first_text_on_top_above_its_own_bar():
    _, ax = plots.figure()
    plots.ranking(ax, ["costs $5 or $6", "the sea", "a star"], [0.9, 0.5, -0.1], TOPICS, LOOKS)
    assert [bar.get_width() for bar in ax.patches] == [0.9, 0.5, -0.1]
    assert [to_hex(bar.get_facecolor()).upper() for bar in ax.patches] == [LOOKS[topic][0] for topic in TOPICS]
    heights = [ax.transData.transform((0, bar.get_y()))[1] for bar in ax.patches]  # on the page, upwards
    assert heights == sorted(heights, reverse=True)
    written = [text.get_text() for text in ax.texts]
    assert written == ["costs $5 or $6", "0.90  sky", "the sea", "0.50  sea", "a star", "-0.10  sky"]
    assert not ax.texts[0].get_parse_math()  # two dollar signs are no formula


def test_show_stores_png_alt_text_and_width(shown):
    drawn, _ = plots.figure(width=5, height=2)
    plots.show(drawn, alt="An empty frame.")
    ((data, metadata, raw),) = shown
    assert raw and base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
    assert metadata == {"image/png": {"alt": "An empty frame.", "width": 450}}
    assert data["text/plain"] == "Picture: An empty frame."


@pytest.mark.parametrize("alt", ["", " \n"])
def test_a_picture_without_alt_text_is_refused(shown, alt):
    with pytest.raises(ValueError, match="needs alt text"):
        plots.show(plots.figure()[0], alt=alt)
    assert not shown


def test_the_same_drawing_gives_the_same_bytes():
    def draw():
        drawn, ax = plots.figure()
        plots.ranking(ax, ["the sky"], [0.5], ["sky"], LOOKS)
        return plots.png(drawn)

    assert draw() == draw()
    assert b"Matplotlib" not in draw()


def test_pyplot_stays_out():
    code = "import sys; from sbert_lab import plots, widgets; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
