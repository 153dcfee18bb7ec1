"""A picture of where words act: each image, and beside it the attention to each word of its caption.

Each word has its own scale, from its lowest to its highest share over all images that are shown, which stands under it:
how a word compares from place to place can be seen, and how much attention it gets can be read.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps, rc_context
from numpy.typing import NDArray

from morphogen.images.picture import Picture
from morphogen.report.drawing import MUTED
from morphogen.report.figures import SHEET_TILE_PX, grey_scale, shades
from morphogen.report.latent_figures import Sheet, paper_rc, write_png

MOST_IMAGES = 12
"""How many images one picture shows; the first ones."""

_COLOURS = "viridis"
_GAP, _LINE, _FOOT = 6, 18, 64
_ACROSS = 8  # maps in a row; of longer captions the rest stands below
_LETTER = 7.2  # pixels of a letter, about


def attention_png(images: Sequence[Picture], words: Sequence[str], maps: NDArray[np.float32]) -> bytes:
    """A row an image, or several where the caption is long.

    Args:
        images: of one size.
        words: of the caption.
        maps: ``(images, words, height, width)``.
    """
    images = list(images)[:MOST_IMAGES]
    maps = maps[: len(images)]
    grey = grey_scale(images)
    height, width = images[0].size
    factor = max(1, round(SHEET_TILE_PX / width))
    high, wide = height * factor, width * factor
    low, top = maps.min((0, 2, 3)), maps.max((0, 2, 3))  # (words,)
    column = max(wide, math.ceil(_LETTER * max(map(len, [*words, "0.000 – 0.000"])))) + 2 * _GAP
    bands = math.ceil(len(words) / _ACROSS)  # rows of maps that each image has
    band = 2 * _LINE + len(images) * (high + _GAP) + 3 * _GAP
    with rc_context(paper_rc()):
        sheet = Sheet((min(len(words), _ACROSS) + 1) * column + 2 * _GAP, bands * band + _FOOT)
        for first in range(bands):
            head = first * band
            here = range(first * _ACROSS, min(len(words), (first + 1) * _ACROSS))
            for row, picture in enumerate(images):
                down = head + 2 * _LINE + row * (high + _GAP)
                sheet.tile(_enlarged(shades(picture, grey), factor), 2 * _GAP, down)
                for k, word in enumerate(here):
                    share = (maps[row, word] - low[word]) / max(float(top[word] - low[word]), 1e-12)
                    coloured = np.asarray(colormaps[_COLOURS](share, bytes=True))[..., :3]
                    sheet.tile(_enlarged(coloured, factor), 2 * _GAP + (k + 1) * column, down)
            for k, word in enumerate(here):
                middle = 2 * _GAP + (k + 1) * column + wide / 2
                sheet.words(words[word], middle, head + _LINE - 2, "cb")
                ends = f"{low[word]:.3f} – {top[word]:.3f}"
                sheet.words(ends, middle, head + 2 * _LINE - 4, "cb", MUTED, size=7.5)
        sheet.foot(images[0], factor, 2 * _GAP, sheet.height - _FOOT + 2 * _GAP)
        told = "share of each place's attention that goes to the word: dark least, yellow most, on the word's own scale"
        sheet.words(told, 2 * _GAP + column, sheet.height - _FOOT + 2 * _GAP, "lt", MUTED, size=7.5)
        return sheet.png()


def write_attention(images: Sequence[Picture], words: Sequence[str], maps: NDArray[np.float32], path: Path) -> Path:
    """Write the picture as a PNG file.

    Raises:
        Problem: the file cannot be written.
    """
    return write_png(path, attention_png(images, words, maps))


def _enlarged(shown: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    return shown.repeat(factor, axis=0).repeat(factor, axis=1)
