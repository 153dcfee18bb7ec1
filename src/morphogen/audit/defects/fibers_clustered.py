"""Fibers clustered: whole fibers are moved a share of the way to the nearest of a few centres; resin is left between.

Fibers are told apart as the descriptors do (``fiber_sections``). They are cut out with their own pixels, the hole is
painted with matrix, and they are set down again at whole pixels, so no pixel of a fiber changes. Fibers that would
overlap push each other apart, as discs of equal area with a gap of a pixel, for ``STEPS`` steps. Fibers cut off by the
edge of the field stay. Centres lie at random, ``BETWEEN`` mean distances of fibers apart. The fiber volume fraction
stays what it is, up to pixels.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from morphogen.audit.defect import FieldDefect, Material, with_pixels
from morphogen.audit.defects.repainting import look, repaint
from morphogen.evaluation.descriptors.fiber_sections import fiber_sections
from morphogen.evaluation.section import Section
from morphogen.images.picture import Picture

STEPS = 60
BETWEEN = 3.0
"""Distance of cluster centres over that of neighbouring fibers."""

GAP_PX = 0.5


def _degrade(section: Section, severity: float, generator: np.random.Generator, material: Material) -> Picture:
    size = section.phase.shape
    found = fiber_sections(section)
    count = len(found.centres)
    share_of_centres = generator.random((max(1, count), 2))
    if count < 3 or not found.whole.any():
        return section.picture
    labels = found.labels
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    centres = np.array(ndimage.center_of_mass(labels > 0, labels, np.arange(1, count + 1)))
    radii = np.sqrt(areas / math.pi)
    spacing = math.sqrt(section.phase.size / count)
    clusters = share_of_centres[: max(1, round(section.phase.size / (BETWEEN * spacing) ** 2))] * size
    moved = _pulled(centres, radii, found.whole, clusters, severity / 100, size)
    steps = np.rint(moved - centres).astype(np.intp)
    going = np.flatnonzero((steps != 0).any(axis=1))
    staying = section.phase & ~np.isin(labels, going + 1)
    canvas = repaint(section, staying, generator, material)
    grey, phase = canvas.pixels.astype(np.float64), staying.copy()
    original = section.picture.pixels.astype(np.float64)
    seen = look(section)
    for fiber in going:
        own = labels == fiber + 1
        reach = ndimage.binary_dilation(own, iterations=2)
        rows, columns = np.nonzero(reach)
        to_rows, to_columns = rows + steps[fiber, 0], columns + steps[fiber, 1]
        inside = (to_rows >= 0) & (to_rows < size[0]) & (to_columns >= 0) & (to_columns < size[1])
        rows, columns, to_rows, to_columns = (a[inside] for a in (rows, columns, to_rows, to_columns))
        soft = ndimage.gaussian_filter(own.astype(np.float64), seen.blur)[rows, columns]
        hard = own[rows, columns]
        under = grey[:, to_rows, to_columns]
        rim = under + soft * np.maximum(seen.inside[:, rows, columns] - under, 0)  # blur of the edge, on what is there
        grey[:, to_rows, to_columns] = np.where(hard, original[:, rows, columns], rim)
        phase[to_rows[hard], to_columns[hard]] = True
    return with_pixels(section.picture, grey, material, phase)


def _pulled(
    centres: NDArray[np.float64],
    radii: NDArray[np.float64],
    free: NDArray[np.bool_],
    clusters: NDArray[np.float64],
    share: float,
    size: tuple[int, ...],
) -> NDArray[np.float64]:
    """Centres after whole fibers went this share of the way to the nearest cluster, without overlap."""
    goal = clusters[cKDTree(clusters).query(centres)[1]]
    placed: NDArray[np.float64] = centres + share * (goal - centres) * free[:, None]
    reach = 2 * float(radii.max()) + GAP_PX
    low, high = radii[:, None] + 0.5, np.array(size) - 1 - radii[:, None] - 0.5
    for _ in range(STEPS):
        first, second = cKDTree(placed).query_pairs(reach, output_type="ndarray").T
        apart = placed[second] - placed[first]
        distance = np.maximum(np.hypot(*apart.T), 1e-6)
        # Pairs that overlap already where they were keep that distance: sections are not quite discs.
        allowed = np.minimum(radii[first] + radii[second] + GAP_PX, np.hypot(*(centres[second] - centres[first]).T))
        short = np.maximum(allowed - distance, 0)
        if short.max(initial=0) < 0.1:
            break
        push = (short / distance / np.maximum(free[first].astype(int) + free[second], 1))[:, None] * apart
        np.add.at(placed, second, push * free[second, None])
        np.subtract.at(placed, first, push * free[first, None])
        placed = np.where(free[:, None], np.clip(placed, np.minimum(low, centres), np.maximum(high, centres)), placed)
    return placed


DEFECT = FieldDefect(
    name="fibers clustered",
    unit="% of the way",
    severities=(10.0, 25.0, 50.0),
    definition="Whole fibers are moved this share of the way to the nearest of a few centres.",
    suits=lambda specimen: specimen.phase == "fiber",
    degrade=_degrade,
)
