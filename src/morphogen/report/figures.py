"""Pictures of image sets: pixel for pixel, on one grey scale, chosen by a seed and not by eye.

All images of a figure go through the map of the measured set, so that a set that is too dark or too flat
looks too dark or too flat. Enlarging repeats pixels and never interpolates: a smoothed crop would hide the
very checkerboards and blurs that one looks for.
"""

import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from matplotlib import get_data_path
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from morphogen.evaluation.fields import fields
from morphogen.evaluation.random_streams import Use
from morphogen.images.image_set import ImageSet, Pictures
from morphogen.images.intensity import IntensityMap
from morphogen.images.picture import Picture
from morphogen.mathematics.randomness import numpy_generator
from morphogen.problems import Problem
from morphogen.whole_files import write_whole

CLIPPED_PERCENT = 0.1
"""Share of the measured pixels at each end that may be drawn pure black or white: a few hot pixels must
not turn a whole figure grey."""

SHEET_TILE_PX = 128
"""About how wide an image stands on a contact sheet that is written to a file."""

_PAPER, _INK, _MUTED = (255, 255, 255), (26, 26, 26), (96, 96, 96)
_OUTLINE = (255, 140, 0)


@dataclass(frozen=True, slots=True)
class ScaleBar:
    """A bar of a round physical length.

    Attributes:
        pixels: its length in pixels of the image.
        label: its length in words, "200 µm", or "20 px" where the spacing is unknown.
    """

    pixels: float
    label: str


def scale_bar(width_px: int, spacing_um: float, at_most: float = 0.6) -> ScaleBar:
    """The longest bar of length 1, 2 or 5 times a power of ten that fits into a share of the width.

    Args:
        width_px: width of the image in pixels.
        spacing_um: width of a pixel in micrometres; NaN where unknown, and then the bar counts pixels.
        at_most: share of the width that it may take.
    """
    known = math.isfinite(spacing_um) and spacing_um > 0
    room = width_px * at_most * (spacing_um if known else 1.0)
    decade = 10.0 ** math.floor(math.log10(room))
    length = max(step * decade for step in (1.0, 2.0, 5.0) if step * decade <= room * (1 + 1e-9))
    if not known:
        return ScaleBar(length, f"{length:g} px")
    for unit, size in (("m", 1e6), ("mm", 1e3), ("µm", 1.0), ("nm", 1e-3)):
        if length >= size * (1 - 1e-9) or unit == "nm":
            return ScaleBar(length / spacing_um, f"{length / size:g} {unit}")
    raise AssertionError("every length has a unit")


def grey_scale(measured: Iterable[Picture]) -> IntensityMap:
    """The grey scale of a figure: the range of the measured images, less a few extreme pixels."""
    pictures = list(measured)
    try:
        return IntensityMap.of(pictures, clip_percent=CLIPPED_PERCENT)
    except Problem:
        pass  # nearly all pixels are equal: the few others are what there is to see
    try:
        return IntensityMap.of(pictures)
    except Problem:
        level = float(pictures[0].pixels.flat[0])
        return IntensityMap(low=level - 1, high=level + 1, dtype=pictures[0].pixels.dtype.name)


def shades(picture: Picture, scale: IntensityMap) -> NDArray[np.uint8]:
    """The picture as it is shown, ``(height, width)`` or ``(height, width, 3)``; 0 is black."""
    channels = picture.pixels[:3] if picture.channels >= 3 else picture.pixels[:1]
    shown = np.rint((scale.to_unit(np.nan_to_num(channels)) + 1) * 127.5).astype(np.uint8)
    return shown[0] if len(shown) == 1 else np.ascontiguousarray(np.moveaxis(shown, 0, -1))


def outlined(picture: Picture, phase: NDArray[np.bool_], scale: IntensityMap, factor: int = 1) -> Image.Image:
    """The picture with a line round its phase, drawn just inside it.

    Args:
        picture: what is shown.
        phase: ``(height, width)``, true in the phase.
        scale: grey scale.
        factor: how many times each pixel is repeated; the line is one of the enlarged pixels wide.
    """
    shown = np.array(_enlarged(shades(picture, scale), factor).convert("RGB"))
    inside = phase.repeat(factor, axis=0).repeat(factor, axis=1)
    shown[inside & ~ndimage.binary_erosion(inside, np.ones((3, 3)), border_value=1)] = _OUTLINE
    return Image.fromarray(shown)


def chosen(images: ImageSet, count: int, seed: int, size: tuple[int, int]) -> tuple[Picture, ...]:
    """Crops of a set, drawn by a seed: without overlap, spread over its specimens and images.

    Args:
        images: the set.
        count: how many; a set with less room gives fewer.
        seed: equal seeds draw equal images.
        size: height and width of a crop in pixels. Where an image is smaller, whole images are drawn.
    """
    pictures = list(images)
    if any(have < want for p in pictures for have, want in zip(p.size, size, strict=True)):
        order = numpy_generator(seed, Use.SHOWN_IMAGES).permutation(len(pictures))[:count]
        return tuple(pictures[int(index)] for index in order)
    return tuple(fields(Pictures(pictures), size, count, seed))


def contact_sheet(
    images: ImageSet | Sequence[Picture],
    columns: int = 8,
    scale: int = 1,
    *,
    grey: IntensityMap | None = None,
) -> Image.Image:
    """All images in rows, left to right and top to bottom.

    Args:
        images: at least one; of any sizes, each stands in the top left corner of its cell.
        columns: images a row.
        scale: how many times each pixel is repeated.
        grey: grey scale; that of the images themselves where None.
    """
    pictures = [images[index] for index in range(len(images))]
    grey = grey or grey_scale(pictures)
    tiles = [_enlarged(shades(picture, grey), scale) for picture in pictures]
    height, width = (max(tile.size[axis] for tile in tiles) for axis in (1, 0))
    gap = max(2, round(0.03 * min(height, width)))
    columns = min(columns, len(tiles))
    rows = math.ceil(len(tiles) / columns)
    sheet = Image.new("RGB", (columns * (width + gap) + gap, rows * (height + gap) + gap), _PAPER)
    for index, tile in enumerate(tiles):
        row, column = divmod(index, columns)
        sheet.paste(tile, (gap + column * (width + gap), gap + row * (height + gap)))
    return sheet if any(tile.mode == "RGB" for tile in tiles) else sheet.convert("L")


def specimen_figure(
    rows: Mapping[str, Sequence[Picture]], grey: IntensityMap, spacing_um: float, tile_px: int = 256
) -> Image.Image:
    """A figure for a paper: one row a set, the name at its left, one scale bar under the first column.

    Args:
        rows: the name of each row and its crops, measured first.
        grey: the grey scale of all of them.
        spacing_um: width of a pixel in micrometres; NaN where unknown.
        tile_px: about how wide a crop is drawn; a whole multiple of its own size.
    """
    first = next(iter(rows.values()))[0]
    factor = max(1, round(tile_px / first.size[1]))
    tiles = {name: [_enlarged(shades(p, grey), factor) for p in crops] for name, crops in rows.items()}
    height, width = (max(t.size[axis] for row in tiles.values() for t in row) for axis in (1, 0))
    gap = max(4, width // 32)
    type_size = max(14, width // 8)
    font = _font(type_size)
    margin = math.ceil(max(font.getlength(name) for name in tiles)) + 4 * gap
    columns = max(map(len, tiles.values()))
    bar = scale_bar(first.size[1], spacing_um)
    scale, small = f"grey values {grey.low:g} (black) to {grey.high:g} (white)", _font(type_size * 3 // 4)
    across = max(margin + columns * (width + gap), math.ceil(small.getlength(scale)) + 2 * gap)
    # The grey scale stands beside the length of the bar, or below it where a narrow figure leaves no room.
    below = margin + font.getlength(bar.label) + small.getlength(scale) + 3 * gap > across
    foot = (3 if below else 2) * type_size + (5 if below else 4) * gap
    figure = Image.new("RGB", (across, len(tiles) * (height + gap) + foot), _PAPER)
    draw = ImageDraw.Draw(figure)
    for row, (name, shown) in enumerate(tiles.items()):
        top = row * (height + gap)
        draw.text((margin - 2 * gap, top + height // 2), name, fill=_INK, font=font, anchor="rm")
        for column, tile in enumerate(shown):
            figure.paste(tile, (margin + column * (width + gap), top))
    top = len(tiles) * (height + gap) + gap
    length = round(bar.pixels * factor)
    draw.rectangle((margin, top, margin + length - 1, top + max(4, gap // 2)), fill=_INK)
    draw.text((margin, top + 2 * gap), bar.label, fill=_INK, font=font, anchor="lt")
    down = top + 2 * gap + (type_size + gap if below else 0)
    draw.text((figure.width - gap, down), scale, fill=_MUTED, font=small, anchor="rt")
    return figure


def write_contact_sheet(images: ImageSet | Sequence[Picture], path: Path, columns: int = 8) -> Path:
    """Write a contact sheet as a PNG file: small images enlarged, large ones as they are.

    Raises:
        Problem: the file cannot be written.
    """
    scale = max(1, round(SHEET_TILE_PX / images[0].size[1]))
    sheet = contact_sheet(images, columns, scale)
    write_whole(path, lambda temporary: temporary.write_bytes(png_bytes(sheet)))
    return path


def png_bytes(image: Image.Image | NDArray[np.uint8]) -> bytes:
    """The image as a PNG file."""
    buffer = io.BytesIO()
    picture = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    picture.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _enlarged(shown: NDArray[np.uint8], factor: int) -> Image.Image:
    return Image.fromarray(shown.repeat(factor, axis=0).repeat(factor, axis=1))


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which matplotlib carries: the same figure on every machine."""
    return ImageFont.truetype(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)
