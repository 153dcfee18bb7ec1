"""Fibers turned: the bundle leans out of the normal of the section by an angle, all fibers towards the right.

An oblique section through straight parallel fibers is the normal section stretched by 1 / cos(angle) along the
direction in which they lean: circles become ellipses that all point the same way. In the plane of a section a
bundle seen end on has no direction, and turning it there changes nothing; see "turned" for kinds that have one.
"""

import math

import numpy as np

from morphogen.audit.defect import FieldDefect, Material
from morphogen.audit.defects.repainting import resample
from morphogen.evaluation.section import Section
from morphogen.images.picture import Picture


def _degrade(section: Section, severity: float, generator: np.random.Generator, material: Material) -> Picture:
    height, width = section.phase.shape
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    middle = (width - 1) / 2
    stretched = middle + (columns - middle) * math.cos(math.radians(severity))
    return resample(section, rows, stretched, generator, material)


DEFECT = FieldDefect(
    name="fibers turned",
    unit="degrees",
    severities=(15.0, 30.0, 45.0),
    definition="All fibers lean out of the normal of the section by this angle, towards one side.",
    suits=lambda specimen: specimen.phase == "fiber",
    degrade=_degrade,
)
