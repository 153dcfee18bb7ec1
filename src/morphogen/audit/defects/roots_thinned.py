"""Roots thinned: their edges move inwards by one distance, until their area has fallen by a share of itself.

The length of the roots stays, so that their mean diameter falls by the same share.
"""

import numpy as np

from morphogen.audit.defect import FieldDefect, Material
from morphogen.audit.defects.repainting import move_edges
from morphogen.evaluation.section import Section
from morphogen.images.picture import Picture


def _degrade(section: Section, severity: float, generator: np.random.Generator, material: Material) -> Picture:
    return move_edges(section, 1 - severity / 100, material)


DEFECT = FieldDefect(
    name="roots thinned",
    unit="% of the diameter",
    severities=(5.0, 10.0, 20.0),
    definition="The edges of all roots move inwards, until their diameters have fallen by this share.",
    suits=lambda specimen: specimen.phase == "root",
    degrade=_degrade,
)
