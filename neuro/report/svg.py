"""matplotlib figures as small inline SVG that takes the page's text colour, in light and dark. Knows nothing of what is drawn."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

WIDTH_IN, HEIGHT_IN = 4.8, 3.0
INK = "#010203"  # drawn with, then replaced by the page's own text colour
COLOURS = ("#2f7fd1", "#e07b28", "#3a9d5d", "#b5519c", "#8a7a2a", "#c8473f", "#5c6ac4", "#1d9aa0")
ABOVE: dict[str, Any] = {  # where a legend hides nothing
    "loc": "lower left",
    "bbox_to_anchor": (0, 1),
    "ncols": 4,
    "fontsize": 8,
    "borderaxespad": 0.1,
    "columnspacing": 1.2,
}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "neuro",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}


def draw(name: str, title: str, paint: Callable[[Axes], None], *, height_in: float = HEIGHT_IN) -> str:
    """An `<svg>` element 4.8 inches wide on which `paint(axes)` has drawn.

    `name` begins every id inside, so that several figures share a page; `title` is what a screen reader says.
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
        paint(figure.add_subplot())
        buffer = io.StringIO()
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})
    return _inline(buffer.getvalue(), name, title)


def _inline(text: str, name: str, title: str) -> str:
    body = text[text.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->\s*", "", body, flags=re.DOTALL)
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", body)
    body = re.sub(r' (width|height)="[0-9.]+pt"', "", body, count=2)
    body = re.sub(r'xmlns:\w+="[^"]*" ?', "", body).replace("xlink:href", "href")
    body = re.sub(r" font-family: [^;]*;", "", body).replace(INK, "currentColor")
    body = re.sub(r"<[^>]*>", lambda tag: re.sub(r"(\d\.\d)\d+", r"\1", tag[0]), body)
    body = re.sub(r"\s*\n\s*", " ", body).replace("> <", "><")
    label = title.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return body.replace("<svg ", f'<svg role="img" aria-label="{label}" class="figure" ', 1)


def alone(drawn: str, ink: str = "#768390") -> str:
    """A figure as the text of a file of its own, in an ink that is legible on white and on black."""
    return drawn.replace("currentColor", ink).replace("<svg ", '<svg font-family="sans-serif" ', 1) + "\n"
