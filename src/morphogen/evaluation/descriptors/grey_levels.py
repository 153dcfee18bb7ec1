"""Moments of the grey levels, on the scale of the instrument (8 bit, 16 bit or float).

    mean m;   standard deviation s = sqrt(mean (g - m)^2);   skewness mean (g - m)^3 / s^3;
    kurtosis mean (g - m)^4 / s^4 (3 for a normal distribution)

over all pixels of a picture. A colour image has no such scale: its readings are invalid. Skewness and
kurtosis of a picture of one grey level do not exist.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from morphogen.evaluation.descriptors.descriptor import Readings, Scalar
from morphogen.evaluation.section import IN_COLOUR, Section

NAMES = ("grey level mean", "grey level standard deviation", "grey level skewness", "grey level kurtosis")


def grey_moments(grey: NDArray[np.float64]) -> tuple[float, float, float | None, float | None]:
    """Mean, standard deviation, skewness and kurtosis; the last two are None where all values are equal."""
    mean = float(grey.mean())
    if float(grey.max()) == float(grey.min()):
        return mean, 0.0, None, None
    deviations = grey - mean
    squares = deviations * deviations
    variance = float(squares.mean())
    third, fourth = float((squares * deviations).mean()), float((squares * squares).mean())
    return mean, variance**0.5, third / variance**1.5, fourth / variance**2


@dataclass(frozen=True, slots=True)
class GreyLevels:
    """Mean, standard deviation, skewness and kurtosis of the pixels of a picture."""

    name: str = "grey levels"
    unit: str = "grey level"
    definition: str = "First four moments of the pixels' grey levels, on the scale of the instrument."

    def __call__(self, section: Section) -> Readings:
        """See ``Descriptor``; the phase is not used."""
        units = (self.unit, self.unit, "", "")
        if section.grey is None:
            return Readings({name: Scalar(unit, None, IN_COLOUR) for name, unit in zip(NAMES, units, strict=True)})
        return Readings(
            {
                name: Scalar(unit, value, "" if value is not None else "all pixels have the same grey level")
                for name, unit, value in zip(NAMES, units, grey_moments(section.grey), strict=True)
            }
        )


DESCRIPTOR = GreyLevels()
