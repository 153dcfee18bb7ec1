"""Mode collapse: a share of the set is repeats of a few of its images.

A repeat is the image, flipped where the kind allows it, with noise of ``NOISE`` of the grey range: what a collapsed
generator makes of one mode.
"""

import numpy as np

from morphogen.audit.defect import VERSIONS, Material, Places, SetDefect, with_pixels
from morphogen.evaluation.section import Section
from morphogen.images.picture import Picture

MODES = 3
"""How many images are repeated."""

NOISE = 0.005


def _repeat(section: Section, version: int, generator: np.random.Generator, material: Material) -> Picture:
    picture = section.picture
    flips = tuple(
        axis
        for axis, name, bit in ((2, "flip_horizontal", 1), (1, "flip_vertical", 2))
        if name in material.specimen.symmetries and version & bit
    )
    grey = np.flip(picture.pixels, flips).astype(np.float64)
    mask = None if picture.mask is None else np.flip(picture.mask, tuple(axis - 1 for axis in flips))
    return with_pixels(
        picture, grey + NOISE * material.grey_range * generator.standard_normal(grey.shape), material, mask
    )


def _places(count: int, training: int, severity: float, generator: np.random.Generator) -> Places:
    order = generator.permutation(count)
    modes, others = order[:MODES], order[MODES:]
    replaced = others[: min(round(severity / 100 * count), len(others))]
    image, version = np.arange(count), np.zeros(count, dtype=np.intp)
    turn = np.arange(len(replaced))
    image[replaced] = modes[turn % len(modes)]
    version[replaced] = 1 + turn // len(modes) % VERSIONS
    return Places(image, version)


DEFECT = SetDefect(
    name="mode collapse",
    unit="% of the images",
    severities=(25.0, 50.0, 90.0),
    definition=f"This share of the images is replaced by repeats of {MODES} of them, flipped where allowed.",
    places=_places,
    repeat=_repeat,
)
