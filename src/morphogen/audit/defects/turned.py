"""Turned: the whole field is turned in its plane, for kinds that have a direction (roots grow down).

Corners that come from outside of the field are its mirror image. Kinds that allow quarter turns have no direction
to lose, and are left out.
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
    dy, dx = rows - (height - 1) / 2, columns - (width - 1) / 2
    # Pixels may be oblong: the turn is one of lengths.
    oblong = section.pixel[0] / section.pixel[1]
    cosine, sine = math.cos(math.radians(severity)), math.sin(math.radians(severity))
    return resample(
        section,
        (height - 1) / 2 + cosine * dy + sine * dx / oblong,
        (width - 1) / 2 + cosine * dx - sine * dy * oblong,
        generator,
        material,
    )


DEFECT = FieldDefect(
    name="turned",
    unit="degrees",
    severities=(15.0, 30.0, 45.0),
    definition="The field is turned in its plane by this angle, always to the same side.",
    suits=lambda specimen: "quarter_turn" not in specimen.symmetries,
    degrade=_degrade,
)
