"""The forest plot of equivalence: every descriptor of every set, in units of its own margin.

A line a descriptor, a panel a set. Between minus one and one lies what the specimen's users call the same. A filled
dot is equivalent, a cross different, a ring undecided; what lies beyond the axis ends in an arrow.
"""

from collections.abc import Mapping, Sequence

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter

from morphogen.evaluation.records import Equivalence
from morphogen.report.drawing import INK, MUTED, PAPER, RC, RULE, SHADE, svg
from morphogen.report.notation import number
from morphogen.report.plots import Style

_LABELS, _PANEL, _GAP, _LINE, _TOP, _BOTTOM = 236.0, 150.0, 14.0, 17.0, 26.0, 40.0  # points
_FARTHEST = 8.0
"""Margins at which the axis ends; beyond two it is logarithmic."""


def forest_px(sets: int) -> int:
    """Natural width of the plot of so many sets, in pixels of the page."""
    return round(_LABELS + sets * (_PANEL + _GAP))


def equivalence_plot(found: Sequence[Equivalence], style: Mapping[str, Style]) -> Markup:
    """Draw the equivalences of one comparison.

    Args:
        found: of all sets that are to be shown; those of one descriptor in one line.
        style: how each set is drawn.
    """
    sets = list(dict.fromkeys(e.compared for e in found))
    descriptors = list(dict.fromkeys(e.descriptor for e in found))
    width = float(forest_px(len(sets)))
    height = _TOP + _LINE * len(descriptors) + _BOTTOM
    with rc_context(RC):
        figure = Figure(figsize=(width / 72, height / 72))
        figure.patch.set_visible(False)
        for turn, name in enumerate(sets):
            left = _LABELS + turn * (_PANEL + _GAP)
            axes = figure.add_axes((left / width, _BOTTOM / height, _PANEL / width, (height - _TOP - _BOTTOM) / height))
            of_set = {e.descriptor: e for e in found if e.compared == name}
            _panel(axes, name, [of_set.get(d) for d in descriptors], style[name])
            if turn == 0:
                axes.set_yticks(range(len(descriptors)), descriptors)
                axes.tick_params(axis="y", length=0, pad=8, labelcolor=INK, labelsize=10)
            else:
                axes.set_yticks([])
        figure.text(
            (_LABELS + (width - _LABELS - _GAP) / 2) / width,
            9 / height,
            "difference of means, in margins",
            ha="center",
            fontsize=9.5,
            color=MUTED,
        )
        return svg(figure, _spoken(found))


def _panel(axes: Axes, name: str, lines: Sequence[Equivalence | None], style: Style) -> None:
    axes.patch.set_visible(False)
    axes.set_xscale("symlog", linthresh=2.0, linscale=1.4)
    axes.set_xlim(-_FARTHEST, _FARTHEST)
    axes.set_ylim(len(lines) - 0.4, -0.6)
    axes.spines["left"].set_visible(False)
    axes.axvspan(-1, 1, color=SHADE, linewidth=0, zorder=0)
    axes.axvline(0, color=MUTED, linewidth=0.8, zorder=1)
    axes.hlines(range(len(lines)), -_FARTHEST, _FARTHEST, color=RULE, linewidth=0.5, zorder=0.5)
    axes.xaxis.set_major_locator(FixedLocator([-5, -1, 0, 1, 5]))
    axes.xaxis.set_minor_locator(FixedLocator([]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    axes.set_title(name, fontsize=11, weight="bold", color=INK, pad=8)
    for y, line in enumerate(lines):
        if line is not None:
            _draw(axes, y, line, style)


def _draw(axes: Axes, y: int, line: Equivalence, style: Style) -> None:
    if line.difference is None or line.difference_95 is None or not line.margin:
        words = "×  too few fields" if line.verdict == "different" else "too few fields"
        axes.text(0, y, words, ha="center", va="center", fontsize=8.5, color=MUTED)
        return
    value, low, high = (v / line.margin for v in (line.difference, *line.difference_95))
    start, end = (min(max(v, -_FARTHEST), _FARTHEST) for v in (low, high))
    axes.plot((start, end), (y, y), color=style.colour, linewidth=1.5, solid_capstyle="butt", zorder=2)
    for beyond, where, arrow in ((low < -_FARTHEST, -_FARTHEST, "<"), (high > _FARTHEST, _FARTHEST, ">")):
        if beyond:
            axes.plot(where, y, arrow, color=style.colour, markersize=5, clip_on=False, zorder=3)
    if abs(value) > _FARTHEST:
        return
    marker = {"equivalent": "o", "different": "X", "undecided": "o"}.get(line.verdict, "d")
    face = PAPER if line.verdict == "undecided" else style.colour
    axes.plot(
        value,
        y,
        marker,
        markersize=6.5,
        markerfacecolor=face,
        markeredgecolor=style.colour,
        markeredgewidth=1.3,
        zorder=3,
    )


def _spoken(found: Sequence[Equivalence]) -> str:
    """The plot for a reader who does not see it."""
    counts = {
        name: {
            v: sum(e.verdict == v for e in found if e.compared == name)
            for v in ("equivalent", "different", "undecided")
        }
        for name in dict.fromkeys(e.compared for e in found)
    }
    told = (f"{name}: {', '.join(f'{k} {v}' for v, k in of.items())}" for name, of in counts.items())
    return f"Differences of means from measured images in margins. {'; '.join(told)}"
