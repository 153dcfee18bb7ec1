"""The figure of obedience: what the images show against what was asked for, with the line where they agree.

A dot is an image; a ring one that was asked for something beyond what training saw. Two short rules at the foot mark
the range that training saw, where that is known; the band is one mean error wide to either side. The key below says all
of this, and the scores stand above, so that no word lies on a dot. Both axes are alike, so that the line stands at 45
degrees.
"""

import io
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from textwrap import wrap

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from morphogen.evaluation.asked import AskedAndGiven
from morphogen.evaluation.records import Estimate
from morphogen.problems import Problem
from morphogen.report.drawing import INK, MUTED, RC, RULE, SERIES, Colour, canvas, on_paper, png, svg
from morphogen.report.notation import number, rounded
from morphogen.whole_files import write_whole

_SIDE = 308.0  # of the square, in points
_LEFT, _RIGHT, _EDGE, _TICKS = 56.0, 16.0, 8.0, 24.0
_TITLE_LINE, _LINE = 18.0, 15.0  # heights of lines
_TITLE_CHARACTERS, _LABEL_CHARACTERS = 44, 52  # that fit above and beside the square
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
            figure.patch.set_visible(True)  # white, and not the colour of whatever lies behind
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


def _draw(
    found: AskedAndGiven, colour: Callable[[Colour], Colour], left: float = _LEFT, right: float = _RIGHT
) -> Figure:
    """The figure with these margins, or with as much more as its numbers and names need."""
    unit = f" ({found.unit})" if found.unit else ""
    title = wrap(f"{found.name}: given against asked", _TITLE_CHARACTERS)
    names = {what: wrap(f"{found.name} {what}{unit}", _LABEL_CHARACTERS) for what in ("asked", "given")}
    scores = _lines(found)
    top = _EDGE + _TITLE_LINE * len(title) + _LINE * len(scores) + 6
    under = _TICKS + _LINE * len(names["asked"])
    key_rows = 2 + bool(found.outside_asked)  # of two entries each
    bottom = under + _LINE * key_rows + _EDGE
    width, height = left + _SIDE + right, top + _SIDE + bottom
    figure, axes = canvas(width, height, left=left, right=right, top=top, bottom=bottom)
    axes.set_aspect("equal")
    figure.text(
        left / width, 1 - _EDGE / height, "\n".join(title), va="top", weight="bold", fontsize=11, color=colour(INK)
    )
    figure.text(
        left / width, 1 - (_EDGE + _TITLE_LINE * len(title)) / height, "\n".join(scores), va="top", fontsize=9.5,
        linespacing=1.35, color=colour(INK),
    )  # fmt: skip
    everything = (*found.asked, *found.given, *found.outside_asked, *found.outside_given)
    low, high = min(everything), max(everything)
    air = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    limits = (low - air, high + air)
    axes.set_xlim(*limits)
    axes.set_ylim(*limits)
    opaque = 0.85 if found.n < _DOTS_FAINT_FROM else 0.55
    (images,) = axes.plot(
        found.asked, found.given, "o", markersize=4.2, color=colour(SERIES[0]), alpha=opaque, markeredgewidth=0,
        zorder=2, clip_on=False,
    )  # fmt: skip
    (line,) = axes.plot(limits, limits, color=colour(MUTED), linewidth=0.9, zorder=1)
    error = found.mean_absolute_error.value
    band = axes.fill_between(
        limits, [end - error for end in limits], [end + error for end in limits], color=colour(RULE), linewidth=0,
        zorder=0.4,
    )  # fmt: skip
    key: list[tuple[Artist, str]] = [(images, "an image"), (line, "given = asked"), (band, "mean error to either side")]
    if found.outside_asked:
        (rings,) = axes.plot(
            found.outside_asked, found.outside_given, "o", markersize=4.2, markerfacecolor="none",
            markeredgecolor=colour(SERIES[1]), markeredgewidth=0.9, zorder=2, clip_on=False,
        )  # fmt: skip
        key.insert(1, (rings, "beyond what training saw"))
    if found.seen is not None:
        for end in found.seen:
            axes.axvline(end, ymax=0.05, color=colour(INK), linewidth=1.2, zorder=0.5)
        rule = Line2D([], [], linestyle="none", marker="|", markersize=8, markeredgewidth=1.2, color=colour(INK))
        key.append((rule, "range that training saw"))
    for axis, what in ((axes.xaxis, "asked"), (axes.yaxis, "given")):
        axis.set_major_locator(MaxNLocator(5))
        axis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
        axis.set_label_text("\n".join(names[what]))
    figure.legend(
        *zip(*key, strict=True), ncols=2, loc="upper left", bbox_to_anchor=(left / width, (bottom - under) / height),
        frameon=False, fontsize=9.5, labelcolor=colour(INK), borderpad=0, borderaxespad=0, handlelength=1.4,
        handletextpad=0.6, columnspacing=1.4, labelspacing=0.4,
    )  # fmt: skip
    taken = axes.get_tightbbox()
    assert taken is not None
    missing = [_EDGE - taken.x0 * 72 / figure.dpi, _EDGE + taken.x1 * 72 / figure.dpi - width]
    if max(missing) < 0.1:
        return figure
    return _draw(found, colour, left + max(0.0, missing[0]), right + max(0.0, missing[1]))


def _lines(found: AskedAndGiven) -> list[str]:
    unit = f" {found.unit}" if found.unit else ""
    scores = [f"R² = {_words(found.r2)}"] if found.r2 is not None else []
    error = f"mean error {_words(found.mean_absolute_error)}{unit}"
    return [*scores, error, f"{found.n} images, 95 % intervals in brackets"]


def _words(estimate: Estimate) -> str:
    """A value with its interval, to the digits that the interval allows, and no more than a float has to say."""
    return str(rounded(*(float(f"{value:.6g}") for value in (estimate.value, estimate.low, estimate.high))))


def _spoken(found: AskedAndGiven) -> str:
    """The figure for a reader who does not see it."""
    return f"{found.name} given against asked. {', '.join(_lines(found))}."
