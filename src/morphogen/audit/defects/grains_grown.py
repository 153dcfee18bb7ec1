"""Grains grown: all pore walls move into the pores by one distance, until the porosity has fallen by a share of itself.

The same loss of porosity as in "pores closed", elsewhere: no pore goes, all get narrower.
"""

import numpy as np

from morphogen.audit.defect import FieldDefect, Material
from morphogen.audit.defects.repainting import move_edges
from morphogen.evaluation.section import Section
from morphogen.images.picture import Picture


def _degrade(section: Section, severity: float, generator: np.random.Generator, material: Material) -> Picture:
    return move_edges(section, 1 - severity / 100, material)


DEFECT = FieldDefect(
    name="grains grown",
    unit="% of the porosity",
    severities=(10.0, 20.0, 30.0),
    definition="All pore walls move into the pores, until the porosity has fallen by this share of itself.",
    suits=lambda specimen: specimen.phase == "pore",
    degrade=_degrade,
)
