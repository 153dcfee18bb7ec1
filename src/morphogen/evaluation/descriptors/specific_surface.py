"""Specific surface: area of the interface of the phase in a volume of the body, as a planar section tells it.

The boundary length per area of the picture, L_A, is measured by Crofton's formula over 4 directions; equations, weights
and accuracy are in ``minkowski_functionals``. Stereology (Ohser and Muecklich 2000, sec. 2.4) turns it into the surface
per volume,

    S_V = 4/pi L_A = 2 P_L,

P_L the mean number of times that a test line in the section meets the boundary, per length. This is unbiased for an
isotropic body, and for any body over sections of random place and direction. For a section of an anisotropic body it is
4/pi times the boundary length per area, and no more.

The volume is that of the whole body, not of the solid or of the phase. Roughness below a pixel is not seen, and noise
that is segmented as phase is. A field of one phase has no boundary and the value 0.
"""

import math
from dataclasses import dataclass

from morphogen.evaluation.descriptors.descriptor import Readings, Scalar
from morphogen.evaluation.descriptors.minkowski_functionals import of_phase, too_small
from morphogen.evaluation.section import Section


@dataclass(frozen=True, slots=True)
class SpecificSurface:
    """S_V of the phase, 0 or above."""

    name: str = "specific surface"
    unit: str = "1/µm"
    definition: str = (
        "Area of the interface between the phase and the rest per volume of the body: 4/pi times the boundary length"
        " per area."
    )

    def __call__(self, section: Section) -> Readings:
        """See ``Descriptor``."""
        unit, small = f"1/{section.unit}", too_small(section)
        if small:
            return Readings({self.name: Scalar(unit, None, small)})
        return Readings({self.name: Scalar(unit, 4 / math.pi * float(of_phase(section).boundary[0]))})


DESCRIPTOR = SpecificSurface()
