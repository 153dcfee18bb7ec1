"""Connections cut: narrow throats between pores are closed, the narrowest first.

Pore bodies are basins of the distance to the grains (watershed of the smoothed distance from its maxima; Beucher and
Lantuejoul 1979). Where two basins meet is a throat; its half-width is the largest distance on it. From the widest
throat to the narrowest, two bodies are made one unless the throat is narrower than ``NARROW`` times the smaller body:
rough walls and even channels make no bodies. The throats that remain are necks. A neck is closed by a wall about
three pixels thick. How many: the asked share of the necks of a field, rounded up or down at random so that the share
holds on average.

A field of 64 x 64 pixels has a handful of necks, so the scale begins high: a tenth of the necks is half a neck a field.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import watershed

from morphogen.audit.defect import FieldDefect, Material
from morphogen.audit.defects.repainting import Mask, repaint
from morphogen.evaluation.section import Section
from morphogen.images.picture import Picture

NARROW = 0.75
"""Largest half-width of a neck over the half-width of the smaller body beside it."""

WALL_PX = 1.5
"""From the middle of a neck to the end of the wall that closes it."""


def _degrade(section: Section, severity: float, generator: np.random.Generator, material: Material) -> Picture:
    rounding = generator.random()
    found = necks(section.phase)
    away = np.ones(section.phase.shape, dtype=np.bool_)
    for pixels in found[: int(severity / 100 * len(found) + rounding)]:
        away.ravel()[pixels] = False
    cut = section.phase & (ndimage.distance_transform_edt(away) > WALL_PX) if not away.all() else section.phase
    return repaint(section, cut, generator, material)


def necks(phase: Mask) -> list[NDArray[np.intp]]:
    """The middle of each neck of a phase, as indices into the raveled field; the narrowest neck first."""
    distance = ndimage.distance_transform_edt(phase)
    smooth = ndimage.gaussian_filter(distance, 1.0)
    peaks = (smooth == ndimage.maximum_filter(smooth, 5)) & phase
    markers, _ = ndimage.label(peaks, structure=np.ones((3, 3)))
    bodies = watershed(-smooth, markers, mask=phase, connectivity=2)
    widths = ndimage.maximum(distance, bodies, np.arange(bodies.max() + 1))
    meeting: dict[tuple[int, int], list[int]] = {}
    index = np.arange(phase.size).reshape(phase.shape)
    for here, there in (
        (np.s_[:, :-1], np.s_[:, 1:]),
        (np.s_[:-1, :], np.s_[1:, :]),
        (np.s_[:-1, :-1], np.s_[1:, 1:]),
        (np.s_[1:, :-1], np.s_[:-1, 1:]),
    ):
        one, other = bodies[here], bodies[there]
        touch = (one != other) & (one > 0) & (other > 0)
        for a, b, p, q in zip(one[touch], other[touch], index[here][touch], index[there][touch], strict=True):
            meeting.setdefault((min(a, b), max(a, b)), []).extend((int(p), int(q)))
    throats = sorted(((float(distance.ravel()[pixels].max()), pair) for pair, pixels in meeting.items()), reverse=True)
    part_of = np.arange(len(widths))
    for half_width, (a, b) in throats:
        small, large = sorted((part_of[a], part_of[b]), key=lambda body: widths[body])
        if half_width > NARROW * widths[small]:
            part_of[part_of == small] = large
    found: dict[tuple[int, int], tuple[float, list[int]]] = {}
    for half_width, (a, b) in throats:
        pair = min(part_of[a], part_of[b]), max(part_of[a], part_of[b])
        if pair[0] != pair[1]:
            widest, pixels = found.get(pair, (half_width, []))
            found[pair] = widest, pixels + meeting[a, b]
    return [np.array(pixels) for _, pixels in sorted(found.values(), key=lambda neck: neck[0])]


DEFECT = FieldDefect(
    name="connections cut",
    unit="% of the necks",
    severities=(50.0, 75.0, 100.0),
    definition="The narrowest throats between pores are closed, this share of all necks.",
    suits=lambda specimen: specimen.phase == "pore",
    degrade=_degrade,
)
