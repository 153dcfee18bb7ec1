"""The figure of obedience: what the images show against what was asked for, with the line where they agree.

A dot is an image; a ring one that was asked for something beyond what training saw. Two short rules at the foot mark
the range that training saw, where that is known; the band is one mean error wide to either side. Both axes are alike,
so that the line stands at 45 degrees.
"""

import io
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from morphogen.evaluation.asked import AskedAndGiven
from morphogen.evaluation.records import Estimate
from morphogen.problems import Problem
from morphogen.report.drawing import INK, MUTED, RC, SERIES, SHADE, Colour, canvas, on_paper, png, svg
from morphogen.report.notation import number, rounded
from morphogen.whole_files import write_whole

_WIDTH, _HEIGHT = 372.0, 372.0  # points
_LEFT, _RIGHT, _TOP, _BOTTOM = 52.0, 12.0, 26.0, 38.0
_DOTS_FAINT_FROM = 100
"""From so many dots on they are drawn so that their density shows."""


def asked_figure(found: AskedAndGiven) -> Markup:
    """The scatter as an element of a page, in the page's colours."""
    with rc_context(RC):
        return svg(_draw(found, lambda colour: colour), _spoken(found))


def write_asked_figures(found: Sequence[AskedAndGiven], path: Path) -> list[Path]:
    """Write the scatter of each condition to a file of its own, on white.

    Args:
        found: what was asked and given; where it is more than one condition, each name goes into its file's name.
        path: ends in ".png" or ".svg".

    Returns:
        The files.

    Raises:
        Problem: another ending, or a file cannot be written.
    """
    require_figure_name(path)
    files = []
    colours = {name: on_paper(value) if value in (INK, MUTED) else value for name, value in RC.items()}
    for one in found:
        file = path if len(found) == 1 else path.with_stem(f"{path.stem}-{one.name.replace(' ', '_')}")
        with rc_context(colours):
            figure = _draw(one, on_paper)
            data = png(figure, 300) if path.suffix.lower() == ".png" else _svg_file(figure)
        write_whole(file, partial(_put, data))
        files.append(file)
    return files


def _put(data: bytes, file: Path) -> None:
    file.write_bytes(data)


def require_figure_name(path: Path) -> None:
    """Refuse a file that is no figure.

    Raises:
        Problem: it ends in neither ".png" nor ".svg".
    """
    if path.suffix.lower() not in (".png", ".svg"):
        raise Problem(f"a figure cannot be written as {path.name}", do="end its name in .png or .svg")


def _svg_file(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None}, facecolor="white")
    return buffer.getvalue()


def _draw(found: AskedAndGiven, colour: Callable[[Colour], Colour]) -> Figure:
    figure, axes = canvas(_WIDTH, _HEIGHT, left=_LEFT, right=_RIGHT, top=_TOP, bottom=_BOTTOM)
    figure.text(
        0, 1 - 10 / _HEIGHT, f"{found.name}: given against asked", va="center", weight="bold", fontsize=11,
        color=colour(INK),
    )  # fmt: skip
    everything = (*found.asked, *found.given, *found.outside_asked, *found.outside_given)
    low, high = min(everything), max(everything)
    air = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    limits = (low - air, high + air)
    axes.set_xlim(*limits)
    axes.set_ylim(*limits)
    if found.seen is not None:
        for end in found.seen:
            axes.axvline(end, ymax=0.06, color=colour(INK), linewidth=0.9, zorder=0.5)
    axes.fill_between(
        limits,
        [end - found.mean_absolute_error.value for end in limits],
        [end + found.mean_absolute_error.value for end in limits],
        color=colour(SHADE), linewidth=0, zorder=0.4,
    )  # fmt: skip
    axes.plot(limits, limits, color=colour(MUTED), linewidth=0.9, zorder=1)
    opaque = 0.85 if found.n < _DOTS_FAINT_FROM else 0.55
    axes.plot(
        found.asked, found.given, "o", markersize=4.2, color=colour(SERIES[0]), alpha=opaque, markeredgewidth=0,
        zorder=2, clip_on=False,
    )  # fmt: skip
    axes.plot(
        found.outside_asked, found.outside_given, "o", markersize=4.2, markerfacecolor="none",
        markeredgecolor=colour(SERIES[1]), markeredgewidth=0.9, zorder=2, clip_on=False,
    )  # fmt: skip
    for axis, what in ((axes.xaxis, "asked"), (axes.yaxis, "given")):
        axis.set_major_locator(MaxNLocator(5))
        axis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
        axis.set_label_text(f"{found.name} {what}" + (f" ({found.unit})" if found.unit else ""))
    words = "\n".join(_lines(found))
    axes.text(0.03, 0.97, words, transform=axes.transAxes, va="top", fontsize=9.5, linespacing=1.5, color=colour(INK))
    if found.outside_asked:
        axes.text(
            0.97, 0.04, "○ asked beyond what training saw", transform=axes.transAxes, ha="right", fontsize=9.5,
            color=colour(SERIES[1]),
        )  # fmt: skip
    return figure


def _lines(found: AskedAndGiven) -> list[str]:
    unit = f" {found.unit}" if found.unit else ""
    lines = [f"R² = {_words(found.r2)}"] if found.r2 is not None else []
    return [*lines, f"mean error {_words(found.mean_absolute_error)}{unit}", f"{found.n} images"]


def _words(estimate: Estimate) -> str:
    """A value with its interval, to the digits that the interval allows."""
    return str(rounded(estimate.value, estimate.low, estimate.high))


def _spoken(found: AskedAndGiven) -> str:
    """The figure for a reader who does not see it."""
    return f"{found.name} given against asked. {', '.join(_lines(found))}."
