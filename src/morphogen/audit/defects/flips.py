"""Flipped: images are mirrored in the ways that their kind allows. Harmless.

Where only left and right may change places every image is mirrored so; where up and down may as well, each image
is mirrored in one of the three ways, drawn at random.
"""

import numpy as np

from morphogen.audit.defect import FieldDefect, Material, with_pixels
from morphogen.evaluation.section import Section
from morphogen.images.picture import Picture


def _degrade(section: Section, severity: float, generator: np.random.Generator, material: Material) -> Picture:
    picture = section.picture
    allowed = tuple(
        axis for axis, name in ((2, "flip_horizontal"), (1, "flip_vertical")) if name in material.specimen.symmetries
    )
    ways = (allowed[:1], allowed[1:], allowed) if len(allowed) == 2 else (allowed,)
    axes = ways[int(generator.integers(len(ways)))]
    mask = None if picture.mask is None else np.flip(picture.mask, tuple(axis - 1 for axis in axes))
    return with_pixels(picture, np.flip(picture.pixels, axes).astype(np.float64), material, mask)


DEFECT = FieldDefect(
    name="flipped",
    unit="% of the images",
    severities=(100.0,),
    definition="Every image is mirrored, in ways that its kind allows.",
    suits=lambda specimen: bool({"flip_horizontal", "flip_vertical"} & specimen.symmetries),
    harmless=True,
    degrade=_degrade,
)
