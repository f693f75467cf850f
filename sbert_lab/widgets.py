"""Explorer: controls, a picture that follows them, and the picture in words.

Built from ipywidgets' Image and HTML alone: `interact` and `Output` make notebook runners hang now and then. Where
widgets do not work (a notebook on GitHub, a printed page) the stored picture takes its place.
"""

from collections.abc import Callable
from html import escape
from typing import Any

import ipywidgets as w

from sbert_lab import plots


class Explorer(w.VBox):
    """A panel that calls `draw(ax, **values)` with the value of every control, again whenever one changes.

    `draw` draws on `ax` and returns in plain words what the picture shows: they stand below it and are its alt text.
    An error in the first call is the author's and is raised; one in a later call is told in the panel. Where nothing
    is drawn, only the words are shown.

    >>> Explorer(draw, query=ipywidgets.Text("soup"))
    """

    def __init__(self, draw: Callable[..., str], size: tuple[float, float] = (8, 4), **controls: w.ValueWidget) -> None:
        self.draw, self.size, self.inputs = draw, size, controls
        self.picture = w.Image(
            format="png", width=f"{size[0] * plots.DPI / plots.SCALE:.0f}", layout=w.Layout(max_width="100%")
        )
        self.words = w.HTML()
        self._redraw()
        for control in controls.values():
            if hasattr(control, "continuous_update"):
                control.continuous_update = False  # a text counts when Enter is pressed, a slider when it is let go
            control.observe(self._follow, names="value")
        super().__init__([*controls.values(), self.picture, self.words])

    @property
    def values(self) -> dict[str, Any]:
        """The value of each control by its name."""
        return {name: control.value for name, control in self.inputs.items()}

    def _redraw(self) -> None:
        drawn, ax = plots.figure(*self.size)
        self._tell(self.draw(ax, **self.values), "status", seen=ax.has_data())
        self.picture.value = plots.png(drawn)

    def _follow(self, change: object) -> None:
        try:
            self._redraw()
        except Exception as error:  # whatever it is, the reader must see it: nothing else would show it
            self._tell(f"This could not be drawn: {type(error).__name__}: {error}", "alert", seen=False)

    def _tell(self, text: str, role: str, seen: bool) -> None:
        self.text = text
        self.picture.layout.display = None if seen else "none"  # the picture of the values before would mislead
        self.words.value = f'<div role="{role}" style="white-space: pre-wrap; line-height: 1.4">{escape(text)}</div>'

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        picture, metadata = plots.bundle(self.picture.value, self.text)
        shown = ", ".join(f"{name}={value!r}" for name, value in self.values.items())
        return {**super()._repr_mimebundle_(**kwargs), **picture, "text/plain": f"Explorer({shown})"}, metadata
