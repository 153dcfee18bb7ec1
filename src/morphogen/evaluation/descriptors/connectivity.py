"""Connectivity of the phase: how much of it hangs together, and whether it leads from side to side.

Torquato, Random Heterogeneous Materials (2002), ch. 9; Stauffer and Aharony, Introduction to Percolation Theory (1994).
A cluster is a set of pixels of the phase that touch by sides or corners (8 neighbours, as ``Section.components``).

    connected fraction           pixels of the largest cluster / pixels of the phase
    percolating fraction along x pixels of clusters that touch the left and the right side / pixels of the phase
    cluster density              clusters / area of the field

What is seen is the section. Pores that are apart in it may be connected in the body; and a phase that joins left and
right keeps the other one from joining top and bottom. A field cuts clusters and counts every part, so that the cluster
density is too high, the more the smaller the field. All readings depend on the size of the field: compare fields of
one size.

Of a phase that is absent there are no shares; it has 0 clusters.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from morphogen.evaluation.descriptors.descriptor import Readings, Scalar
from morphogen.evaluation.section import Section

CONNECTED, ALONG_X, ALONG_Y, CLUSTERS = (
    "connected fraction",
    "percolating fraction along x",
    "percolating fraction along y",
    "cluster density",
)

ABSENT = "the phase is absent"


@dataclass(frozen=True, slots=True)
class Connectivity:
    """Largest cluster, percolation along each axis, and number of clusters."""

    name: str = CONNECTED
    unit: str = ""
    definition: str = "Share of the phase that is in its largest cluster of pixels touching by sides or corners."

    def __call__(self, section: Section) -> Readings:
        """See ``Descriptor``."""
        labels, count = section.components
        height, width = section.phase.shape
        area = height * section.pixel[0] * width * section.pixel[1]
        density = Scalar(f"1/{section.unit}²", count / area)
        if count == 0:
            return Readings(
                {**{name: Scalar("", None, ABSENT) for name in (CONNECTED, ALONG_X, ALONG_Y)}, CLUSTERS: density}
            )
        sizes = np.bincount(labels.ravel(), minlength=count + 1)
        sizes[0] = 0  # the other phase
        shares = sizes / sizes.sum()
        return Readings(
            {
                CONNECTED: Scalar("", float(shares.max())),
                ALONG_X: Scalar("", float(shares[joining(labels[:, 0], labels[:, -1])].sum())),
                ALONG_Y: Scalar("", float(shares[joining(labels[0], labels[-1])].sum())),
                CLUSTERS: density,
            }
        )


def joining(one_side: NDArray[np.int32], other_side: NDArray[np.int32]) -> NDArray[np.int32]:
    """Numbers of the clusters that touch two sides, from the labels ``(k,)`` along each; 0 is no cluster."""
    both: NDArray[np.int32] = np.intersect1d(one_side, other_side)
    return both[both > 0]


DESCRIPTOR = Connectivity()
