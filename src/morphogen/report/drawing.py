"""Drawings as SVG that stand in the page, in its colours, light or dark.

matplotlib draws them with placeholder colours, which are then swapped for the custom properties of the page's style
sheet; text stays text.
"""

import hashlib
import io
import re
from html import escape
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

Colour = str

_PLACEHOLDERS = {
    "#fe0100": "var(--ink)",
    "#fe0200": "var(--muted)",
    "#fe0300": "var(--rule)",
    "#fe0400": "var(--shade)",
    "#fe0500": "var(--paper)",
    "#fe1100": "var(--series-1)",
    "#fe1200": "var(--series-2)",
    "#fe1300": "var(--series-3)",
    "#fe1400": "var(--series-4)",
    "#fe1500": "var(--series-5)",
    "#fe1600": "var(--series-6)",
    "#fe2100": "var(--seen-1)",
    "#fe2200": "var(--seen-2)",
    "#fe2300": "var(--seen-3)",
    "#fe2400": "var(--seen-4)",
}
INK, MUTED, RULE, SHADE, PAPER = list(_PLACEHOLDERS)[:5]
SERIES = list(_PLACEHOLDERS)[5:11]
SEEN = list(_PLACEHOLDERS)[11:]
"""From what is hardly seen to what is seen at once."""

_ON_PAPER = {
    INK: "#1b1f24", MUTED: "#5a636d", RULE: "#d8dce0", SHADE: "#e7eaed", PAPER: "#ffffff",
    **dict(zip(SERIES, ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"), strict=True)),
    **dict(zip(SEEN, ("#cfe3f2", "#86b9dc", "#2f7fbc", "#0b3c6f"), strict=True)),
}  # fmt: skip
"""The page's colours on white, for a file."""

RC: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "morphogen",  # the same records give the same page
    "text.parse_math": False,  # a name with dollar signs is a name
    "font.family": "DejaVu Sans",
    "font.size": 10.5,
    "axes.titlesize": 11.5,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "axes.labelsize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "xtick.major.width": 0.8,
    "ytick.major.width": 0.8,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "path.simplify": True,
}
_NOT_FOR_THE_PAGE = re.compile(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", re.DOTALL)


def canvas(width: float, height: float, *, left: float, right: float, top: float, bottom: float) -> tuple[Figure, Axes]:
    """A figure whose points are the page's pixels, with axes inside these margins."""
    figure = Figure(figsize=(width / 72, height / 72))
    figure.patch.set_visible(False)
    axes = figure.add_axes(
        (left / width, bottom / height, (width - left - right) / width, (height - top - bottom) / height)
    )
    axes.patch.set_visible(False)
    return figure, axes


def svg(figure: Figure, label: str) -> Markup:
    """The figure as an element of the page: its own ids, the page's colours and type, any width."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    drawn = buffer.getvalue()
    width, height = (value * 72 for value in figure.get_size_inches())
    body = drawn[drawn.index(">", drawn.index("<svg")) + 1 :]
    body = _NOT_FOR_THE_PAGE.sub("", body)
    own = f"p{hashlib.sha256(drawn.encode()).hexdigest()[:10]}-"
    body = re.sub(r'\bid="', f'id="{own}', body)
    body = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{own}", body)
    body = re.sub(r"'DejaVu Sans'[^;\"]*", "var(--sans)", body)
    body = re.sub("#fe[012][0-9]00", lambda found: _PLACEHOLDERS[found.group()], body)
    body = re.sub(r"\s*\n\s*", "\n", body)
    spoken = f'role="img" aria-label="{escape(label)}"' if label else 'aria-hidden="true"'
    return Markup(f'<svg class="plot" viewBox="0 0 {width:g} {height:g}" {spoken}>{body}')


def on_paper(colour: Colour) -> Colour:
    """The colour that a placeholder has on white paper, for a figure that goes into a file of its own."""
    return _ON_PAPER[colour]


def png(figure: Figure, dots_per_inch: int = 200) -> bytes:
    """A figure that was drawn in colours for paper, as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dots_per_inch, facecolor="white")
    return buffer.getvalue()
