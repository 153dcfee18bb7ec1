"""Noise: white Gaussian noise, its standard deviation given as a share of the declared grey range."""

import numpy as np

from morphogen.audit.defect import FieldDefect, Material, with_pixels
from morphogen.evaluation.section import Section
from morphogen.images.picture import Picture


def _degrade(section: Section, severity: float, generator: np.random.Generator, material: Material) -> Picture:
    grey = section.picture.pixels.astype(np.float64)
    noise = generator.standard_normal(grey.shape) * (severity / 100 * material.grey_range)
    return with_pixels(section.picture, grey + noise, material)


DEFECT = FieldDefect(
    name="noise",
    unit="% of the grey range",
    severities=(2.0, 5.0, 10.0),
    definition="White noise of this standard deviation is added.",
    degrade=_degrade,
)
