"""Phase fraction: porosity of a rock, fiber volume fraction of a composite, root cover of a scan.

The number of pixels of the phase divided by the number of all pixels. On a planar section this is an
unbiased estimate of the volume fraction (Delesse's principle). It is valid for every picture: a field
without any pore does have the porosity 0.
"""

from dataclasses import dataclass

from morphogen.evaluation.descriptors.descriptor import Readings, Scalar
from morphogen.evaluation.section import Section


@dataclass(frozen=True, slots=True)
class PhaseFraction:
    """Area fraction of the phase of interest, 0 to 1."""

    name: str = "phase fraction"
    unit: str = ""
    definition: str = "Pixels of the phase divided by all pixels."

    def __call__(self, section: Section) -> Readings:
        """See ``Descriptor``."""
        return Readings({self.name: Scalar("", section.fraction)})


DESCRIPTOR = PhaseFraction()
