"""Fibers thickened: their edges move outwards by one distance, until areas say that diameters have grown by a share.

The area of separate sections grows with the square of their diameter. Where fibers touch they cannot grow into each
other, and the others grow a little more.
"""

import numpy as np

from morphogen.audit.defect import FieldDefect, Material
from morphogen.audit.defects.repainting import move_edges
from morphogen.evaluation.section import Section
from morphogen.images.picture import Picture


def _degrade(section: Section, severity: float, generator: np.random.Generator, material: Material) -> Picture:
    return move_edges(section, (1 + severity / 100) ** 2, material)


DEFECT = FieldDefect(
    name="fibers thickened",
    unit="% of the diameter",
    severities=(2.0, 5.0, 10.0),
    definition="The edges of all fibers move outwards, until their diameters have grown by this share.",
    suits=lambda specimen: specimen.phase == "fiber",
    degrade=_degrade,
)
