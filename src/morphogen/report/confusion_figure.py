"""Which class was put to which caption: a matrix of counts, true classes downwards, captions across."""

from pathlib import Path
from textwrap import wrap

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from morphogen.evaluation.records import Classification
from morphogen.problems import Problem
from morphogen.report.drawing import INK, MUTED, PAPER, RC, RULE, SEEN, canvas, on_paper, png
from morphogen.whole_files import write_whole

_CELL, _LABEL, _HEAD, _EDGE = 62.0, 190.0, 92.0, 12.0  # points
_LABEL_CHARACTERS, _HEAD_CHARACTERS = 30, 11


def write_confusion(found: Classification, path: Path) -> Path:
    """Write the matrix as a PNG file.

    Raises:
        Problem: of no image the class is known, another ending, or the file cannot be written.
    """
    if found.confusion is None:
        raise Problem("of no image it is known what it shows, and nothing can be confused", do="leave the figure out")
    colours = {name: on_paper(value) if value in (INK, MUTED) else value for name, value in RC.items()}
    with rc_context(colours):
        data = png(_draw(found), 200)
    write_whole(path, lambda temporary: temporary.write_bytes(data))
    return path


def require_png(path: Path) -> None:
    """Refuse a name that is no PNG file's.

    Raises:
        Problem: it is not.
    """
    if path.suffix.lower() != ".png":
        raise Problem(f"a picture cannot be written as {path.name}", do="end its name in .png")


def _draw(found: Classification) -> Figure:
    assert found.confusion is not None
    count = len(found.captions)
    side = count * _CELL
    figure, axes = canvas(
        _LABEL + side + _EDGE, _HEAD + side + _EDGE, left=_LABEL, right=_EDGE, top=_HEAD, bottom=_EDGE
    )
    axes.set_xlim(0, count)
    axes.set_ylim(count, 0)
    axes.axis("off")
    axes.text(-0.12, -0.1, "known to be ↓   put to →", ha="right", va="bottom", fontsize=8, color=on_paper(MUTED))
    for row, (caption, counts) in enumerate(zip(found.captions, found.confusion, strict=True)):
        total = sum(counts)
        axes.text(
            -0.12, row + 0.5, "\n".join(wrap(caption, _LABEL_CHARACTERS)), ha="right", va="center", fontsize=9.5,
            color=on_paper(INK),
        )  # fmt: skip
        axes.text(
            row + 0.5, -0.1, "\n".join(wrap(caption, _HEAD_CHARACTERS)[:5]), ha="center", va="bottom", fontsize=8,
            color=on_paper(MUTED),
        )  # fmt: skip
        for column, number in enumerate(counts):
            share = number / total if total else 0.0
            shade = on_paper(PAPER) if not number else on_paper(SEEN[min(3, int(4 * share))])
            axes.add_patch(_cell(column, row, shade))
            dark = number and share >= 0.5
            axes.text(
                column + 0.5, row + 0.5, str(number), ha="center", va="center", fontsize=11,
                weight="bold" if row == column else "normal", color=on_paper(PAPER if dark else INK),
            )  # fmt: skip
    return figure


def _cell(column: int, row: int, shade: str) -> Rectangle:
    return Rectangle((column, row), 1, 1, facecolor=shade, edgecolor=on_paper(RULE), linewidth=0.8)
