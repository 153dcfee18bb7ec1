"""Root tips removed: the ends of some roots, from the tip back to where they branch off, are taken away.

Tips are the free ends of the skeleton's graph (``skeleton_graph``: spurs pruned, ends that the edge of the field cuts
off left out). The pixels of the root that are nearest to the branch of a tip, save those in the disc that fills its
parent, are painted as what is behind the roots. Which tips go is drawn once, so the graver damage contains the lighter
one; how many is rounded up or down at random so that the share holds on average. A
field of 64 x 64 pixels has one or two tips, so the scale begins high.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from morphogen.audit.defect import FieldDefect, Material
from morphogen.audit.defects.repainting import repaint
from morphogen.evaluation.section import Section
from morphogen.evaluation.skeleton_graph import skeleton_graph
from morphogen.images.picture import Picture


def _degrade(section: Section, severity: float, generator: np.random.Generator, material: Material) -> Picture:
    rounding, order_seed = generator.random(), generator.spawn(1)[0]
    ends = terminal_parts(section)
    left = section.phase.copy()
    for k in order_seed.permutation(len(ends))[: int(severity / 100 * len(ends) + rounding)]:
        left[ends[k]] = False
    return repaint(section, left, generator, material)


def terminal_parts(section: Section) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Pixels of the phase, rows and columns, that belong to the end of each root with a tip inside the field."""
    if not section.has_both_phases:
        return []
    graph = skeleton_graph(section)
    free = (graph.degrees == 1) & ~graph.at_edge
    if not free.any():
        return []
    pixels = np.argwhere(section.phase)
    owner = np.concatenate([np.full(len(branch.points), k) for k, branch in enumerate(graph.branches)])
    points = np.concatenate([branch.points for branch in graph.branches])
    centres = (pixels + 0.5) * section.pixel
    nearest = owner[cKDTree(points).query(centres)[1]]
    parts = []
    for k, branch in enumerate(graph.branches):
        ends = [node for node in branch.nodes if node >= 0 and free[node]]
        if not ends:
            continue
        own = nearest == k
        for node in branch.nodes:
            if node not in ends and not graph.at_edge[node]:
                own &= np.hypot(*(centres - graph.places[node]).T) > graph.radii[node]
        if own.any():
            rows, columns = pixels[own].T
            # A root with two tips in the field goes with either of them.
            parts.extend([(rows, columns)] * len(ends))
    return parts


DEFECT = FieldDefect(
    name="root tips removed",
    unit="% of the tips",
    severities=(30.0, 60.0, 100.0),
    definition="The ends of this share of the roots, from the tip back to where they branch off, are taken away.",
    suits=lambda specimen: specimen.phase == "root",
    degrade=_degrade,
)
