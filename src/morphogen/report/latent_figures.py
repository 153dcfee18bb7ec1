"""Pictures of a latent space: lines between images, a matrix of mixed styles, and measured images beside projections.

Pixel for pixel and on one grey scale, as all figures of image sets (``morphogen.report.figures``). What is drawn comes
in as pictures and words: nothing here knows a model.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from morphogen.images.image_set import ImageSet
from morphogen.images.intensity import IntensityMap
from morphogen.images.picture import Picture
from morphogen.report.drawing import INK, MUTED, RC, on_paper, png
from morphogen.report.figures import SHEET_TILE_PX, grey_scale, outlined, scale_bar, shades
from morphogen.whole_files import write_whole

MOST_PROJECTIONS = 24
"""How many projections one picture shows; the first ones."""

_DPI = 100  # a figure's length in inches times this is its length in pixels, so that images stay pixel for pixel
_GAP, _LINE, _FOOT = 6, 18, 64
_COLOURS = "RdBu_r"
_DIFFERENCE = "grey levels, projection − measured"
_SEEN_PERCENT = 99.5  # of differences within the ends of the colour bar: a few pixels must not hide all others


class Sheet:
    """A white sheet measured in pixels from its top left corner.

    Args:
        width: of the sheet.
        height: of the sheet.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)

    def tile(self, shown: NDArray[np.uint8], left: int, top: int) -> None:
        """An image, ``(height, width)`` or ``(height, width, 3)``, as it is."""
        coloured = shown if shown.ndim == 3 else np.repeat(shown[..., None], 3, axis=2)
        self.figure.figimage(coloured, left, self.height - top - len(shown))

    def words(self, text: str, left: float, top: float, anchor: str = "lt", colour: str = INK, size: float = 9) -> None:
        """Words; the anchor says where of them the point is: l, c or r, and t, m or b (base line)."""
        sides = {"l": "left", "c": "center", "r": "right", "t": "top", "m": "center", "b": "baseline"}
        self.figure.text(
            left / self.width, 1 - top / self.height, text, ha=sides[anchor[0]], va=sides[anchor[1]],
            color=on_paper(colour), fontsize=size, linespacing=1.35,
        )  # fmt: skip

    def foot(self, first: Picture, factor: int, left: int, top: int) -> None:
        """A scale bar and what it means."""
        bar = scale_bar(first.size[1], first.spacing_um[1])
        self.tile(np.full((4, max(1, round(bar.pixels * factor)), 3), 26, np.uint8), left, top)
        self.words(bar.label, left, top + 9)

    def png(self) -> bytes:
        """The sheet as a PNG file."""
        return png(self.figure, _DPI)


def strips_png(
    lines: Sequence[Sequence[Picture]],
    ends: Sequence[tuple[str, str]],
    measured: Sequence[tuple[Picture, Picture]] = (),
) -> bytes:
    """Each line between two images as a strip, with the share of the way above.

    Args:
        lines: pictures of each line, its two ends included; as many in each.
        ends: what stands at the left and at the right of each line.
        measured: where a line goes between measured images, these, of the size of the pictures; set a little apart.
    """
    beyond = [picture for pair in measured for picture in pair]
    grey, factor, (height, width) = _common([*(picture for line in lines for picture in line), *beyond])
    left, right = (_room(["share", *(pair[side] for pair in ends)]) for side in (0, 1))
    columns, step = len(lines[0]), height + _GAP
    apart = width + 3 * _GAP if measured else 0
    first_at = left + apart
    last_at = first_at + columns * (width + _GAP) + (2 * _GAP if measured else 0)  # where the measured one is, if any
    names_at = last_at + (width + _GAP if measured else 0)
    with rc_context(paper_rc()):
        sheet = Sheet(names_at + right, _LINE + 2 * _GAP + len(lines) * step + _FOOT)
        for place in (left, last_at) if measured else ():
            sheet.words("measured", place + width / 2, _LINE, "cb", MUTED)
        if not measured:
            sheet.words("share", left - _GAP, _LINE, "rb", MUTED)
        for column in range(columns):
            share = f"{column / max(1, columns - 1):.3g}"
            sheet.words(share, first_at + column * (width + _GAP) + width / 2, _LINE, "cb", MUTED)
        for row, (line, (first, last)) in enumerate(zip(lines, ends, strict=True)):
            top = _LINE + 2 * _GAP + row * step
            sheet.words(first, left - _GAP, top + height / 2, "rm")
            sheet.words(last, names_at, top + height / 2, "lm")
            for column, picture in enumerate(line):
                sheet.tile(_shown(picture, grey, factor), first_at + column * (width + _GAP), top)
            for picture, place in zip(measured[row], (left, last_at), strict=True) if measured else ():
                sheet.tile(_shown(picture, grey, factor), place, top)
        sheet.foot(lines[0][0], factor, left, sheet.height - _FOOT + 2 * _GAP)
        return sheet.png()


def matrix_png(
    rows: ImageSet, columns: ImageSet, images: ImageSet, *, row_names: Sequence[str], column_names: Sequence[str],
    corner: str,
) -> bytes:  # fmt: skip
    """The matrix of mixed styles, with the sources in the first row and column (Karras et al. 2019, figure 3).

    Args:
        rows: sources of the rows.
        columns: sources of the columns.
        images: the mixed ones, row after row.
        row_names: what stands at the left of each row.
        column_names: what stands above each column.
        corner: what is told in the corner, such as which layers the columns give.
    """
    grey, factor, (height, width) = _common([*rows, *columns, *images])
    apart = 3 * _GAP  # between the sources and what is mixed of them
    left = _room(row_names)
    across = [left, *(left + width + apart + k * (width + _GAP) for k in range(len(columns)))]
    head = _LINE + 2 * _GAP
    down = [head, *(head + height + apart + k * (height + _GAP) for k in range(len(rows)))]
    with rc_context(paper_rc()):
        sheet = Sheet(across[-1] + width + 2 * _GAP, down[-1] + height + _FOOT)
        sheet.words(corner, across[0], down[0] + height / 2, "lm", MUTED)
        for k, (source, name) in enumerate(zip(columns, column_names, strict=True), start=1):
            sheet.words(name, across[k] + width / 2, _LINE, "cb")
            sheet.tile(_shown(source, grey, factor), across[k], down[0])
        for k, (source, name) in enumerate(zip(rows, row_names, strict=True), start=1):
            sheet.words(name, left - _GAP, down[k] + height / 2, "rm")
            sheet.tile(_shown(source, grey, factor), across[0], down[k])
        for k, picture in enumerate(images):
            row, column = divmod(k, len(columns))
            sheet.tile(_shown(picture, grey, factor), across[column + 1], down[row + 1])
        sheet.foot(rows[0], factor, left, sheet.height - _FOOT + 2 * _GAP)
        return sheet.png()


def projections_png(measured: ImageSet, projected: ImageSet, captions: Sequence[str]) -> bytes:
    """A row an image: measured, projection, their difference in grey levels, and its figures.

    Args:
        measured: the images that were projected.
        projected: their projections, in the same order.
        captions: what is told of each.
    """
    count = min(len(measured), MOST_PROJECTIONS)
    truth, made = ([images[k] for k in range(count)] for images in (measured, projected))
    grey, factor, (height, width) = _common(truth)
    differences = [found.grey - one.grey for one, found in zip(truth, made, strict=True)]
    end = _round_up(float(np.percentile(np.abs(np.stack(differences)), _SEEN_PERCENT)))
    scale = ScalarMappable(Normalize(-end, end), colormaps[_COLOURS])
    across = [2 * _GAP + k * (width + _GAP) for k in range(4)]
    more = f"the first {count} of {len(measured)}" if len(measured) > count else ""
    text = _room([line for caption in [*captions[:count], more] for line in caption.splitlines()])
    head = _LINE + 2 * _GAP
    with rc_context(paper_rc()):
        sheet = Sheet(max(across[3] + text, across[2] + _room([_DIFFERENCE])), head + count * (height + _GAP) + _FOOT)
        for left, title in zip(across, ("measured", "projection", "difference"), strict=False):
            sheet.words(title, left + width / 2, _LINE, "cb", MUTED)
        for row, (one, found, difference) in enumerate(zip(truth, made, differences, strict=True)):
            top = head + row * (height + _GAP)
            sheet.tile(_shown(one, grey, factor), across[0], top)
            sheet.tile(_shown(found, grey, factor), across[1], top)
            colours = scale.to_rgba(difference, bytes=True)[..., :3]
            sheet.tile(_enlarged(colours, factor), across[2], top)
            sheet.words(captions[row], across[3] + _GAP, top + height / 2, "lm")
        top = sheet.height - _FOOT + 2 * _GAP
        sheet.foot(truth[0], factor, across[0], top)
        bar = sheet.figure.add_axes(
            (across[2] / sheet.width, 1 - (top + 8) / sheet.height, width / sheet.width, 8 / sheet.height)
        )
        drawn = sheet.figure.colorbar(scale, cax=bar, orientation="horizontal", ticks=[-end, 0, end])
        drawn.outline.set_visible(False)
        sheet.words(_DIFFERENCE, across[2], top + 30, "lt", MUTED)
        sheet.words(more, across[3] + _GAP, _LINE, "lb", MUTED)
        return sheet.png()


def write_png(path: Path, data: bytes) -> Path:
    """Write the picture whole or not at all.

    Raises:
        Problem: the file cannot be written.
    """
    write_whole(path, lambda temporary: temporary.write_bytes(data))
    return path


def paper_rc() -> dict[str, object]:
    """The settings of matplotlib for a sheet."""
    return {name: on_paper(value) if value in (INK, MUTED) else value for name, value in RC.items()}


def _common(pictures: Sequence[Picture]) -> tuple[IntensityMap, int, tuple[int, int]]:
    """The grey scale of these pictures, how often their pixels are repeated, and how large they are drawn."""
    height, width = pictures[0].size
    factor = max(1, round(SHEET_TILE_PX / width))
    return grey_scale(pictures), factor, (height * factor, width * factor)


def _shown(picture: Picture, grey: IntensityMap, factor: int) -> NDArray[np.uint8]:
    if picture.mask is not None:
        return np.asarray(outlined(picture, picture.mask, grey, factor))
    return _enlarged(shades(picture, grey), factor)


def _enlarged(shown: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    return shown.repeat(factor, axis=0).repeat(factor, axis=1)


def _room(texts: Sequence[str]) -> int:
    """Pixels that the widest of these takes, about."""
    return 4 * _GAP + math.ceil(7.2 * max(map(len, texts), default=0))


def _round_up(value: float) -> float:
    """To the next 1, 2 or 5 times a power of ten."""
    if value <= 0:
        return 1.0
    decade = 10.0 ** math.floor(math.log10(value))
    return next(step * decade for step in (1.0, 2.0, 5.0, 10.0) if step * decade >= value * (1 - 1e-9))
