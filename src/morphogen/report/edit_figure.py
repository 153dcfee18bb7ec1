"""Edits as a person judges them: before, after, their difference, and the region that was set out to change.

Pixel for pixel and on the grey scale of the images before, as all figures of image sets. What is drawn comes in as
pictures and masks: nothing here knows an editor.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from morphogen.images.intensity import IntensityMap
from morphogen.images.picture import Picture
from morphogen.report.figures import SHEET_TILE_PX, grey_scale, png_bytes, specimen_figure
from morphogen.whole_files import write_whole

SHOWN = 6
"""Edits in the picture; the first ones."""

_SEEN_PERCENT = 99.5  # of differences in the region within the scale: a few pixels must not hide all others
_UNPAINTED = 0.85  # shade, 0 black to 1 white, of what was not there before


def write_edits(
    before: Sequence[Picture], after: Sequence[Picture], regions: Sequence[NDArray[np.bool_]], path: Path
) -> float:
    """Draw the first edits, a column each: before, after, difference about mid grey, region in white.

    An image that was painted beyond its border stands, before, where it stands in the image that it became.

    Args:
        before: the sources.
        after: as many edited pictures.
        regions: ``(height, width)`` of each edited picture, true where it was to change.
        path: of the PNG file.

    Returns:
        The difference in grey levels that is drawn white; its negative is drawn black.

    Raises:
        Problem: the file cannot be written.
    """
    count = min(SHOWN, len(before))
    sources, edited = ([row[k] for k in range(count)] for row in (before, after))
    areas = [regions[k] for k in range(count)]
    grey = grey_scale(sources)
    middle, half = (grey.low + grey.high) / 2, (grey.high - grey.low) / 2
    there = [_in_place(source, area, grey) for source, area in zip(sources, areas, strict=True)]
    differences = [
        np.where(was.size == source.size or ~area, now.grey - was.grey, 0.0)
        for source, was, now, area in zip(sources, there, edited, areas, strict=True)
    ]
    changed = np.concatenate([np.abs(d[area]) for d, area in zip(differences, areas, strict=True)])
    end = float(np.percentile(changed, _SEEN_PERCENT)) if len(changed) else 0.0
    end = float(f"{end:.2g}") if end > 0 else 1.0
    rows = {
        "before": there,
        "after": edited,
        f"difference ±{end:g}": [_drawn(p, middle + d / end * half) for p, d in zip(edited, differences, strict=True)],
        "region": [_drawn(p, np.where(a, grey.high, grey.low)) for p, a in zip(edited, areas, strict=True)],
    }
    figure = specimen_figure(rows, grey, edited[0].spacing_um[1], SHEET_TILE_PX)
    write_whole(path, lambda temporary: temporary.write_bytes(png_bytes(figure)))
    return end


def _in_place(source: Picture, region: NDArray[np.bool_], grey: IntensityMap) -> Picture:
    """The source where it stands in a larger picture, outside of the region."""
    if source.size == region.shape:
        return replace(source, mask=None)
    top, left = (int(np.flatnonzero((~region).any(axis=1 - axis))[0]) for axis in (0, 1))
    blank = grey.low + _UNPAINTED * (grey.high - grey.low)
    pixels = np.full((source.channels, *region.shape), blank).astype(source.pixels.dtype)
    pixels[:, top : top + source.size[0], left : left + source.size[1]] = source.pixels
    return replace(source, pixels=pixels, mask=None)


def _drawn(like: Picture, grey: NDArray[np.float64]) -> Picture:
    return replace(like, pixels=grey[None].astype(np.float32), mask=None)
