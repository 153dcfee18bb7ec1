"""Pores closed: the smallest ones first, as cement fills a rock, until the porosity has fallen by a share of itself.

Pores are connected parts of the phase (8 neighbours). The last one to go is filled from its rim inwards as far as is
needed, so that the share is met in every field.
"""

import numpy as np
from scipy import ndimage

from morphogen.audit.defect import FieldDefect, Material
from morphogen.audit.defects.repainting import Mask, repaint
from morphogen.evaluation.section import Section
from morphogen.images.picture import Picture


def _degrade(section: Section, severity: float, generator: np.random.Generator, material: Material) -> Picture:
    return repaint(section, without_smallest(section, severity / 100), generator, material)


def without_smallest(section: Section, share: float) -> Mask:
    """The phase less this share of its pixels, those of the smallest connected parts."""
    labels, count = section.components
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    areas[0] = 0
    pixels = np.flatnonzero(section.phase)
    part = labels.ravel()[pixels]
    depth = ndimage.distance_transform_edt(section.phase).ravel()[pixels]
    # Whole pores in the order of their size, each from its rim inwards.
    order = np.lexsort((depth, part, areas[part]))
    left = section.phase.copy()
    left.ravel()[pixels[order[: round(share * len(pixels))]]] = False
    return left


DEFECT = FieldDefect(
    name="pores closed",
    unit="% of the porosity",
    severities=(2.0, 5.0, 10.0),
    definition="The smallest pores are filled until the porosity has fallen by this share of itself.",
    suits=lambda specimen: specimen.phase == "pore",
    degrade=_degrade,
)
