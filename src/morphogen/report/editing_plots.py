"""The plots of a study of editors: places by every score side by side, and moves asked against moves made."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from morphogen.evaluation.edits import LEAST, MOST, EditScore
from morphogen.report.drawing import INK, MUTED, PAPER, RC, RULE, SERIES, SHADE, canvas, svg
from morphogen.report.notation import number
from morphogen.report.plots import Style

_COLUMN, _STEP = 118.0, 23.0  # points between two scores, and between two places
_LEFT, _RIGHT, _TOP, _FOOT = 60.0, 172.0, 50.0, 14.0
_PANEL, _MARGIN = 168.0, 46.0
_MARKERS = "osD^vP"
_MOST_SHOWN = 2.5
"""Moves are drawn up to so many times the largest wanted one; what lies beyond stands at the edge as an arrow."""


@dataclass(frozen=True, slots=True)
class Ladder:
    """The places of all rows by one score.

    Attributes:
        title: the score, in a line or two.
        ours: whether it is that of this program, and not one that papers report.
        places: of each row by its name; None where it has none.
    """

    title: str
    ours: bool
    places: Mapping[str, int | None]


def places_plot(ladders: Sequence[Ladder], style: Mapping[str, Style], stressed: str) -> Markup:
    """A line for each row from place to place, the scores that papers report at the left and ours at the right.

    Rows of equal place are drawn below each other.

    Args:
        ladders: the scores.
        style: of the rows.
        stressed: the row whose line is thick.
    """
    names = list(style)
    width, height = _LEFT + _COLUMN * (len(ladders) - 1) + _RIGHT, _TOP + _STEP * len(names) + _FOOT
    heights = [_heights(ladder, names) for ladder in ladders]
    with rc_context(RC):
        figure, axes = canvas(width, height, left=_LEFT, right=_RIGHT, top=_TOP, bottom=_FOOT)
        axes.set_xlim(0, max(len(ladders) - 1, 1))
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_axis_off()
        for x, ladder in enumerate(ladders):
            axes.text(x, -0.95, ladder.title, ha="center", va="bottom", fontsize=9.5,
                      weight="bold" if ladder.ours else "normal", color=INK if ladder.ours else MUTED)  # fmt: skip
            axes.axvline(x, color=RULE, linewidth=0.8, zorder=0)
            for name in names:
                place = ladder.places.get(name)
                if x == 0 and place is not None:
                    axes.text(-0.13, heights[x][name], ordinal(ladder, name), ha="right", va="center", fontsize=9.5,
                              color=MUTED)  # fmt: skip
        for name in [n for n in names if n != stressed] + [n for n in names if n == stressed]:
            known = [(x, heights[x][name]) for x, ladder in enumerate(ladders) if ladder.places.get(name) is not None]
            if not known:
                continue
            bold, one = name == stressed, style[name]
            axes.plot(*zip(*known, strict=True), color=INK if bold else one.colour, linewidth=3.2 if bold else 1.4,
                      alpha=1.0 if bold else 0.75, zorder=3 if bold else 1, clip_on=False)  # fmt: skip
            axes.plot(*zip(*known, strict=True), one.marker, color=INK if bold else one.colour,
                      markerfacecolor=INK if bold else one.face, markersize=7, markeredgewidth=1.3, zorder=4,
                      clip_on=False)  # fmt: skip
            axes.text(len(ladders) - 1 + 0.13, heights[-1].get(name, known[-1][1]),
                      f"{ordinal(ladders[-1], name)}  {name}", va="center", fontsize=10.5,
                      weight="bold" if bold else "normal", color=INK)  # fmt: skip
        return svg(figure, "; ".join(f"{ladder.title}: {_spoken(ladder)}".replace("\n", " ") for ladder in ladders))


def ordinal(ladder: Ladder, name: str) -> str:
    """The place of a row, "3.", or the places that it shares with equal ones, "7.–9."."""
    place = ladder.places.get(name)
    if place is None:
        return ""
    last = place - 1 + sum(other == place for other in ladder.places.values())
    return f"{place}." if last == place else f"{place}.–{last}."


def _heights(ladder: Ladder, names: Sequence[str]) -> dict[str, float]:
    """Where each row stands: from the best down, equal ones in the order of the rows."""
    order = sorted((n for n in names if ladder.places.get(n) is not None), key=lambda n: ladder.places[n] or 0)
    return {name: float(k) for k, name in enumerate(order)}


def _spoken(ladder: Ladder) -> str:
    found = sorted(((p, n) for n, p in ladder.places.items() if p is not None))
    return ", ".join(f"{n} {ordinal(ladder, n)}" for _, n in found)


def moves_plot(title: str, edits: Sequence[EditScore], prompts: Sequence[str], largest: float) -> Markup:
    """What one row moved against what was wanted, an edit a dot, in per cent of the reading before.

    Between the rules an edit did what was asked; the diagonal is all of it.

    Args:
        title: of the row.
        edits: its edits.
        prompts: all prompts, each with a marker and a colour of its own.
        largest: the largest wanted move of all rows, in per cent: the axes are the same for all.
    """
    high = _MOST_SHOWN * largest
    with rc_context(RC):
        figure, axes = canvas(_PANEL + 62, _PANEL + 26 + _MARGIN, left=50, right=12, top=26, bottom=_MARGIN)
        figure.text(0, 1 - 11 / (_PANEL + 26 + _MARGIN), title, va="center", weight="bold", fontsize=10.5)
        axes.set_xlim(0, 1.08 * largest)
        axes.set_ylim(-high, high)
        ends = (0.0, 1.08 * largest)
        axes.fill_between(ends, [LEAST * e for e in ends], [MOST * e for e in ends], color=SHADE, linewidth=0, zorder=0)
        axes.plot(ends, ends, color=INK, linewidth=0.9, zorder=1)
        axes.axhline(0, color=RULE, linewidth=0.9, zorder=0.5)
        for turn, prompt in enumerate(prompts):
            colour, marker = prompt_style(turn).colour, prompt_style(turn).marker
            for e in (e for e in edits if e.prompt == prompt and e.moved is not None):
                wanted, moved = _percent(e)
                beyond = abs(moved) > high
                axes.plot(wanted, math.copysign(high, moved) if beyond else moved,
                          ("^" if moved > 0 else "v") if beyond else marker, color=colour, markersize=4.6,
                          markerfacecolor=colour if e.succeeded else PAPER, markeredgewidth=1.1, clip_on=False,
                          zorder=2)  # fmt: skip
        _percents(axes)
        axes.set_xlabel("wanted move, % of the reading", labelpad=3)
        axes.set_ylabel("move made, %", labelpad=1)
        done = sum(e.succeeded for e in edits)
        return svg(figure, f"{title}: moves made against moves wanted; {done} of {len(edits)} edits succeeded.")


def prompt_style(turn: int) -> Style:
    """How the edits of a prompt are drawn, by its number."""
    return Style(SERIES[turn % len(SERIES)], _MARKERS[turn % len(_MARKERS)], True)


def largest_wanted(edits: Sequence[EditScore]) -> float:
    """The largest wanted move, in per cent of the reading before."""
    return max((_percent(e)[0] for e in edits), default=1.0)


def _percent(e: EditScore) -> tuple[float, float]:
    """Wanted and made, in per cent of the reading before, both the way that was wanted."""
    unit = 100 * math.copysign(1, e.wanted) / max(abs(e.before), 1e-12)
    return e.wanted * unit, (e.moved or 0.0) * unit


def _percents(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
