"""Grey level shifted: every pixel is a little brighter, as when the dark current of a detector drifts. Harmless."""

import numpy as np

from morphogen.audit.defect import FieldDefect, Material, with_pixels
from morphogen.evaluation.section import Section
from morphogen.images.picture import Picture


def _degrade(section: Section, severity: float, generator: np.random.Generator, material: Material) -> Picture:
    grey = section.picture.pixels.astype(np.float64)
    return with_pixels(section.picture, grey + severity / 100 * material.grey_range, material)


DEFECT = FieldDefect(
    name="grey level shifted",
    unit="% of the grey range",
    severities=(1.0, 2.0),
    definition="Every pixel is brighter by this share of the grey range.",
    harmless=True,
    degrade=_degrade,
)
