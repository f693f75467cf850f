"""The Explorer, driven from Python as a browser drives it: set a control's value, look at picture and words."""

import base64
from html import unescape

import ipywidgets as w
import pytest

from sbert_lab.widgets import Explorer


def draw(ax, query, height=1):
    if query == "boom":
        raise RuntimeError("no <such> word")
    ax.bar([0], [height * len(query)])
    return f"{len(query)} letters in {query}"


@pytest.fixture
def explorer():
    return Explorer(draw, query=w.Text("soup"))


def test_a_control_changes_picture_and_words(explorer):
    before = explorer.picture.value
    explorer.inputs["query"].value = "broth and more"
    assert explorer.text == "14 letters in broth and more"
    assert explorer.text in explorer.words.value and 'role="status"' in explorer.words.value
    assert explorer.picture.value != before
    explorer.inputs["query"].value = "soup"
    assert explorer.picture.value == before


def test_every_control_reaches_the_drawing_under_its_name():
    explorer = Explorer(draw, query=w.Text("soup"), height=w.IntSlider(2))
    assert explorer.values == {"query": "soup", "height": 2}
    assert explorer.children == (*explorer.inputs.values(), explorer.picture, explorer.words)
    before = explorer.picture.value
    explorer.inputs["height"].value = 3
    assert explorer.picture.value != before


def test_it_waits_for_enter_and_for_the_slider_to_be_let_go():
    explorer = Explorer(draw, query=w.Text("soup"), height=w.IntSlider(2))
    assert not any(control.continuous_update for control in explorer.inputs.values())


def test_what_the_reader_types_is_shown_and_never_run(explorer):
    query = "<script>alert(1)</script> & <b>soup</b>"
    explorer.inputs["query"].value = query
    assert "<script" not in explorer.words.value and "<b>" not in explorer.words.value
    assert query in unescape(explorer.words.value)


def test_an_error_is_told_in_the_panel_and_the_next_value_works(explorer):
    explorer.inputs["query"].value = "boom"
    assert explorer.text == "This could not be drawn: RuntimeError: no <such> word"
    assert 'role="alert"' in explorer.words.value and "&lt;such&gt;" in explorer.words.value
    assert explorer.picture.layout.display == "none"  # it shows the value before
    explorer.inputs["query"].value = "soup"
    assert explorer.picture.layout.display is None and "alert" not in explorer.words.value


def test_where_nothing_is_drawn_only_the_words_are_shown():
    explorer = Explorer(lambda ax, query: draw(ax, query) if query else "Type a word.", query=w.Text("soup"))
    explorer.inputs["query"].value = ""
    assert explorer.picture.layout.display == "none" and "Type a word." in explorer.words.value


def test_an_error_in_the_first_drawing_is_raised():
    with pytest.raises(RuntimeError, match="no <such> word"):
        Explorer(draw, query=w.Text("boom"))


def test_stored_form_is_picture_with_alt_text_and_stable_words():
    forms = [Explorer(draw, query=w.Text("soup"))._repr_mimebundle_() for _ in range(2)]
    data, metadata = forms[0]
    assert data["text/plain"] == "Explorer(query='soup')"
    assert metadata["image/png"]["alt"] == "4 letters in soup"
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
    assert "application/vnd.jupyter.widget-view+json" in data
    assert data["image/png"] == forms[1][0]["image/png"] and data["text/plain"] == forms[1][0]["text/plain"]


def test_a_drawing_that_says_nothing_has_no_stored_form():
    silent = Explorer(lambda ax, query: "", query=w.Text("soup"))
    with pytest.raises(ValueError, match="needs alt text"):
        silent._repr_mimebundle_()
