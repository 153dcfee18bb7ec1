"""Contrast: all grey levels are drawn towards the mean of their field, m + (1 - severity)(g - m)."""

import numpy as np

from morphogen.audit.defect import FieldDefect, Material, with_pixels
from morphogen.evaluation.section import Section
from morphogen.images.picture import Picture


def _degrade(section: Section, severity: float, generator: np.random.Generator, material: Material) -> Picture:
    grey = section.picture.pixels.astype(np.float64)
    mean = grey.mean(axis=(1, 2), keepdims=True)
    return with_pixels(section.picture, mean + (1 - severity / 100) * (grey - mean), material)


DEFECT = FieldDefect(
    name="contrast lost",
    unit="% of the contrast",
    severities=(5.0, 10.0, 20.0),
    definition="Grey levels are drawn towards the mean of their field by this share.",
    degrade=_degrade,
)
