"""The plots of a comparison.

A set is told by colour, by shape and by name: the colours are those
of Okabe and Ito (Color universal design, 2008), which the colour-blind can tell apart.
"""

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from morphogen.evaluation.records import Curve
from morphogen.report.drawing import INK, MUTED, PAPER, RC, SERIES, SHADE, Colour, canvas, svg
from morphogen.report.notation import number, rounded
from morphogen.report.study_record import CurvePoint
from morphogen.report.verdict import Interval

_WIDTH = 372.0
_MARKERS = "osD^vP"
_DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
_POINTS_DRAWN = 300
_LONGEST_NAME = 18
_MOST_BEYOND = 10.0
"""An axis of ratios goes this many times beyond the farthest generated set: noise can be a million floors
away, and must not squeeze together what is to be compared. It then ends in an arrow."""
_LEAST_RATIO = -10.0
"""An axis of ratios goes no lower; what lies there ends in an arrow."""


@dataclass(frozen=True, slots=True)
class Style:
    """How a set is drawn everywhere on the page."""

    colour: Colour
    marker: str
    filled: bool

    @property
    def face(self) -> Colour:
        """Colour inside the marker."""
        return self.colour if self.filled else PAPER


@dataclass(frozen=True, slots=True)
class Row:
    """One line of an interval plot.

    Attributes:
        name: the set.
        style: how it is drawn.
        interval: value and interval.
        reference: what it is held against, drawn as a grey box in its line; None for nothing.
    """

    name: str
    style: Style
    interval: Interval
    reference: Interval | None = None


def styles(names: Mapping[str, str]) -> dict[str, Style]:
    """A style for every set.

    Args:
        names: the sets and their roles; "measured" is black, controls are hollow and grey, generated sets
            have the colours in their order.
    """
    generated = [name for name, role in names.items() if role == "generated"]
    fixed = {
        "measured": Style(INK, "|", True),
        "floor": Style(MUTED, "|", True),
        "identity": Style(MUTED, "d", False),
        "another": Style(MUTED, "s", False),
        "noise": Style(MUTED, "X", False),
    }
    found = {}
    for name, role in names.items():
        if role == "generated":
            turn = generated.index(name)
            colour = SERIES[turn % len(SERIES)]
            found[name] = Style(colour, _MARKERS[turn % len(_MARKERS)], turn < len(SERIES))
        else:
            found[name] = fixed[role]
    return found


def interval_plot(
    title: str,
    rows: Sequence[Row],
    *,
    axis: str,
    subtitle: str = "",
    logarithmic: bool = False,
    line: float | None = None,
    band: Interval | None = None,
) -> Markup:
    """A dot and its interval for every set, with the numbers at the right.

    Args:
        title: what is measured.
        rows: the sets, from top to bottom.
        axis: name and unit of the axis.
        subtitle: what it is measured over, in small type.
        logarithmic: whether the axis is, beyond one; between minus one and one it is linear, because an
            unbiased distance can be zero or below.
        line: where a reference line stands.
        band: interval that is shaded over all rows.
    """
    rows = [row for row in rows if row.interval.known]
    reach = [*_reach(rows), *_reach_of(band, line)]
    farthest = max((row.interval.high for row in rows if row.style.filled), default=1.0)
    limits = _ratio_limits(reach, _MOST_BEYOND * farthest) if logarithmic else _limits(reach, logarithmic=False)
    names = [_shortened(row.name) for row in rows]
    numbers = [str(rounded(row.interval.value, row.interval.low, row.interval.high)) for row in rows]
    left = min(max(74.0, 24 + 6.2 * max(map(len, names), default=0)), 132.0)
    right = min(max(118.0, 14 + 5.7 * max(map(len, numbers), default=0)), 158.0)
    top = 42.0 if subtitle else 28.0
    height = top + 34.0 + 21.0 * len(rows)
    with rc_context(RC):
        figure, axes = canvas(_WIDTH, height, left=left, right=right, top=top, bottom=34)
        _title(figure, title, height)
        if subtitle:
            figure.text(0, 1 - 25 / height, subtitle, va="center", fontsize=9.5, color=MUTED)
        if logarithmic:
            axes.set_xscale("symlog", linthresh=1.0, linscale=0.7)
        axes.set_xlim(*limits)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        if band is not None and band.known:
            axes.axvspan(max(band.low, limits[0]), min(band.high, limits[1]), color=SHADE, linewidth=0, zorder=0)
            axes.axvline(band.value, color=INK, linewidth=0.8, zorder=1)
        if line is not None:
            axes.axvline(line, color=INK, linewidth=0.8, zorder=1)
        for y, row in enumerate(rows):
            _draw_row(axes, y, row, limits)
            axes.text(1.04, y, numbers[y], transform=axes.get_yaxis_transform(), va="center", fontsize=9.5)
        axes.set_yticks(range(len(rows)), names)
        axes.tick_params(axis="y", length=0, pad=8, labelcolor=INK, labelsize=10.5)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(axis, labelpad=3)
        _ticks(axes, limits, logarithmic)
        return svg(figure, f"{title}. {_spoken(rows)}")


def curve_plot(title: str, curve: Curve, measured: Curve | None, style: Style, top: float) -> Markup:
    """A curve with its band over that of the measured set.

    Args:
        title: name of the set.
        curve: its curve.
        measured: the measured set's, drawn behind; None where this is it.
        style: how the set is drawn.
        top: upper end of the axis, shared by all panels.
    """
    height = 190.0
    with rc_context(RC):
        figure, axes = canvas(_WIDTH, height, left=52, right=12, top=26, bottom=36)
        _title(figure, title, height, style)
        for drawn, colour, dash in ((measured, INK, "-"), (curve, style.colour, _DASHES[1])):
            if drawn is None:
                continue
            axes.fill_between(drawn.x, drawn.low, drawn.high, color=colour, alpha=0.22, linewidth=0)
            axes.plot(drawn.x, drawn.mean, color=colour, linewidth=1.5, linestyle=dash if measured else "-")
        axes.set_xlim(min(curve.x), max(curve.x))
        axes.set_ylim(min(0.0, *curve.low), top)
        axes.set_xlabel(_with_unit(curve.x_name, curve.x_unit), labelpad=3)
        axes.set_ylabel(textwrap.fill(_with_unit(curve.descriptor, curve.y_unit), 22), labelpad=4)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        _plain_numbers(axes)
        return svg(figure, f"{curve.descriptor} of {title} against {curve.x_name}, with its 95 % band.")


def training_plot(title: str, points: Sequence[CurvePoint], style: Style) -> Markup:
    """Every part of the loss against training time."""
    parts = list(dict.fromkeys(name for point in points for name in point.losses))
    stride = math.ceil(len(points) / _POINTS_DRAWN)
    shown = [*points[::-stride]][::-1]  # the last one always
    height = 208.0 + 14.0 * ((len(parts) - 1) // 3)
    with rc_context(RC):
        figure, axes = canvas(_WIDTH, height, left=46, right=12, top=26, bottom=height - 150)
        _title(figure, title, height, style)
        values = []
        for turn, part in enumerate(parts):
            line = [(p.seconds, p.losses[part]) for p in shown if math.isfinite(p.losses.get(part, math.nan))]
            values += [value for _, value in line]
            axes.plot(
                *zip(*line, strict=True) if line else ((), ()),
                label=part,
                color=style.colour if turn == 0 else (INK, MUTED)[turn % 2 == 0],
                linestyle=_DASHES[turn % len(_DASHES)],
                linewidth=1.3,
            )
        if values and min(values) > 0 and max(values) > 30 * min(values):
            axes.set_yscale("log")
            limits = _limits(values, logarithmic=True)
            axes.set_ylim(*limits)
            axes.yaxis.set_major_locator(FixedLocator(_decades(limits)))
            axes.yaxis.set_minor_locator(NullLocator())
        else:
            axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.set_xlim(left=0)
        axes.set_xlabel("training time (s)", labelpad=3)
        axes.set_ylabel("loss", labelpad=4)
        _plain_numbers(axes)
        figure.legend(
            loc="lower left",
            bbox_to_anchor=(38 / _WIDTH, 0),
            ncols=3,
            frameon=False,
            fontsize=9.5,
            handlelength=2.4,
            columnspacing=1.4,
            labelcolor=INK,
        )
        return svg(figure, f"Loss of {title} against training time: {', '.join(parts)}.")


def key(style: Style) -> Markup:
    """The marker of a set on a short interval, as in the plots."""
    with rc_context(RC):
        figure = Figure(figsize=(26 / 72, 12 / 72))
        figure.patch.set_visible(False)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set_xlim(0, 26)
        axes.set_ylim(-6, 6)
        axes.plot((2, 24), (0, 0), color=style.colour, linewidth=1.6)
        axes.plot(13, 0, **_marker(style))
        return svg(figure, "")


def _title(figure: Figure, title: str, height: float, style: Style | None = None) -> None:
    indent = 0.0
    if style is not None:
        figure.add_axes((0, 1 - 16 / height, 26 / _WIDTH, 12 / height)).set_axis_off()
        mark = figure.axes[-1]
        mark.set_xlim(0, 26)
        mark.set_ylim(-6, 6)
        mark.plot((2, 24), (0, 0), color=style.colour, linewidth=1.6)
        mark.plot(13, 0, **_marker(style))
        indent = 32.0
    figure.text(indent / _WIDTH, 1 - 10 / height, title, va="center", weight="bold", fontsize=11)


def _draw_row(axes: Axes, y: int, row: Row, limits: tuple[float, float]) -> None:
    low, high = limits
    if row.reference is not None and row.reference.known:
        start, end = (min(max(v, low), high) for v in (row.reference.low, row.reference.high))
        axes.fill_between((start, end), y - 0.36, y + 0.36, color=SHADE, linewidth=0, zorder=0)
    start, end = (min(max(v, low), high) for v in (row.interval.low, row.interval.high))
    axes.plot((start, end), (y, y), color=row.style.colour, linewidth=1.6, zorder=2, solid_capstyle="butt")
    for beyond, where, arrow in ((row.interval.low < low, low, "<"), (row.interval.high > high, high, ">")):
        if beyond:
            axes.plot(where, y, arrow, color=row.style.colour, markersize=5, clip_on=False, zorder=3)
    if low <= row.interval.value <= high:
        axes.plot(row.interval.value, y, clip_on=False, zorder=3, **_marker(row.style))


def _marker(style: Style) -> dict[str, Any]:
    size = 10 if style.marker == "|" else 6.5
    return {
        "marker": style.marker,
        "markersize": size,
        "markerfacecolor": style.face,
        "markeredgecolor": style.colour,
        "markeredgewidth": 2.0 if style.marker == "|" else 1.3,
        "linestyle": "none",
    }


def _reach(rows: Iterable[Row]) -> list[float]:
    found = []
    for row in rows:
        found += [row.interval.value, row.interval.low, row.interval.high]
        if row.reference is not None and row.reference.known:
            found += [row.reference.low, row.reference.high]
    return found


def _reach_of(band: Interval | None, line: float | None) -> list[float]:
    found = [] if line is None else [line]
    return found + ([band.low, band.high] if band is not None and band.known else [])


def _limits(values: Sequence[float], logarithmic: bool) -> tuple[float, float]:
    """An axis that holds all values with some air; a logarithmic one those above zero."""
    if logarithmic:
        held = [v for v in values if math.isfinite(v) and v > 0] or [1.0]
        bottom, top = min(held), max(held)
        if top / bottom < 10:  # at least a decade, so that its ticks say where one is
            middle = math.sqrt(top * bottom)
            bottom, top = middle / math.sqrt(10), middle * math.sqrt(10)
        air = (top / bottom) ** 0.06
        return bottom / air, top * air
    held = [v for v in values if math.isfinite(v)]
    low, high = min(held, default=0.0), max(held, default=1.0)
    air = 0.07 * (high - low) or 0.05 * abs(high) or 1.0
    return low - air, high + air


def _ratio_limits(values: Sequence[float], most: float) -> tuple[float, float]:
    """From zero, or below where something lies there, to beyond the largest; at least ten, at most ``most``."""
    held = [v for v in values if math.isfinite(v)]
    low, high = max(min(held, default=0.0), _LEAST_RATIO), max(min(max(held, default=10.0), most), 10.0)
    return (1.3 * low - 0.15 if low < 0 else -0.15), 1.35 * high


def _decades(limits: tuple[float, float]) -> list[float]:
    exponents = range(math.ceil(math.log10(limits[0]) - 1e-9), math.floor(math.log10(limits[1]) + 1e-9) + 1)
    step = max(1, math.ceil(len(exponents) / 5))
    ticks = [10.0**e for e in exponents if e % step == 0]
    return ticks or [10.0 ** round(math.log10(math.sqrt(limits[0] * limits[1])))]


def _ticks(axes: Axes, limits: tuple[float, float], logarithmic: bool) -> None:
    if logarithmic:
        decades = [10.0**e for e in range(math.floor(math.log10(max(limits[1], 1.0))) + 1)]
        every = math.ceil(len(decades) / 3)
        ticks = [-10.0, 0.0, *decades[::every]]
        axes.xaxis.set_major_locator(FixedLocator([t for t in ticks if limits[0] <= t <= limits[1]]))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))


def _plain_numbers(axes: Axes) -> None:
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))


def _with_unit(name: str, unit: str) -> str:
    return f"{name} ({unit})" if unit and unit != "1" else name


def _shortened(name: str) -> str:
    """A name that fits beside a plot; the whole one stands in the table."""
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME // 2]}…{name[-_LONGEST_NAME // 2 + 1 :]}"


def _spoken(rows: Iterable[Row]) -> str:
    """The plot for a reader who does not see it."""
    return "; ".join(f"{row.name} {rounded(row.interval.value, row.interval.low, row.interval.high)}" for row in rows)
