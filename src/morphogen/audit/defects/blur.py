"""Blur: a Gaussian point spread function, as of a scan out of focus or of a generator's averaging."""

import numpy as np
from scipy import ndimage

from morphogen.audit.defect import FieldDefect, Material, with_pixels
from morphogen.evaluation.section import Section
from morphogen.images.picture import Picture


def _degrade(section: Section, severity: float, generator: np.random.Generator, material: Material) -> Picture:
    grey = section.picture.pixels.astype(np.float64)
    return with_pixels(section.picture, ndimage.gaussian_filter(grey, severity, axes=(1, 2)), material)


DEFECT = FieldDefect(
    name="blur",
    unit="px",
    severities=(0.5, 1.0, 2.0),
    definition="The image is blurred by a Gaussian of this standard deviation.",
    degrade=_degrade,
)
