"""Moments of the grey levels, on the scale of the instrument (8 bit, 16 bit or float).

    mean m;   standard deviation s = sqrt(mean (g - m)^2);   skewness mean (g - m)^3 / s^3;
    kurtosis mean (g - m)^4 / s^4 (3 for a normal distribution)

over all pixels of a picture; colour is read as luminance. Skewness and kurtosis of a picture of one grey
level do not exist.
"""

from dataclasses import dataclass

from morphogen.evaluation.descriptors.descriptor import Readings, Scalar
from morphogen.evaluation.segmentation import Segmentation
from morphogen.images.picture import Picture


@dataclass(frozen=True, slots=True)
class GreyLevels:
    """Mean, standard deviation, skewness and kurtosis of the pixels of a picture."""

    name: str = "grey levels"
    unit: str = "grey level"
    definition: str = "First four moments of the pixels' grey levels, on the scale of the instrument."

    def __call__(self, picture: Picture, segmentation: Segmentation) -> Readings:
        """See ``Descriptor``; the segmentation is not used."""
        grey = picture.grey
        mean = float(grey.mean())
        deviations = grey - mean
        deviation = float((deviations**2).mean() ** 0.5)
        flat = float(grey.max()) == float(grey.min())
        if flat:
            reason = "all pixels have the same grey level"
            third = fourth = Scalar("", None, reason)
        else:
            standard = deviations / deviation
            third = Scalar("", float((standard**3).mean()))
            fourth = Scalar("", float((standard**4).mean()))
        return Readings(
            {
                "grey level mean": Scalar(self.unit, mean),
                "grey level standard deviation": Scalar(self.unit, 0.0 if flat else deviation),
                "grey level skewness": third,
                "grey level kurtosis": fourth,
            }
        )


DESCRIPTOR = GreyLevels()
