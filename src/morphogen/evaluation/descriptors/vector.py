"""Descriptors as features: each field becomes a row of physics, for the distances between sets.

The row holds the phase fraction, the normalised autocovariance (S2(r) - phi^2)/(phi - phi^2) at eight
lags from one pitch to half of the shorter side in equal ratios, and mean, standard deviation,
skewness and kurtosis of the grey levels. The columns have different units: distances standardise them by
the measured set (``FeatureTable.units_differ``).

A field where a column does not exist keeps its row: leaving it out would flatter a set that makes such
fields. The missing autocovariance (one phase only) is set to 0, no correlation; missing skewness and
kurtosis (one grey level only) to 0 and 3, those of a normal distribution. The row still shows the
failure: its fraction is 0 or 1, its standard deviation 0.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from morphogen.evaluation.descriptors.descriptor import pixel_size
from morphogen.evaluation.descriptors.grey_levels import DESCRIPTOR as GREY_LEVELS
from morphogen.evaluation.descriptors.two_point_correlation import (
    RADIAL,
    SMALLEST_SIDE,
    two_point_correlation,
)
from morphogen.evaluation.feature_table import FeatureTable
from morphogen.evaluation.segmentation import Threshold
from morphogen.images.image_set import ImageSet, common_size
from morphogen.images.intensity import IntensityMap
from morphogen.images.picture import Picture
from morphogen.problems import Problem

LAGS = 8
FALLBACKS = {"grey level skewness": 0.0, "grey level kurtosis": 3.0}


@dataclass(frozen=True, slots=True)
class DescriptorVector:
    """Physics of each field as a row of ``1 + lags + 4`` numbers.

    Attributes:
        threshold: what separates the phases, found on the measured set.
        name: "descriptors".
    """

    threshold: Threshold
    name: str = "descriptors"

    @property
    def identity(self) -> str:
        """Hash of the threshold and of what the columns are."""
        columns = f"fraction, autocovariance at {LAGS} lags, grey moments; fallbacks 0 {FALLBACKS}"
        return hashlib.sha256(f"{self.threshold} {columns}".encode()).hexdigest()[:16]

    def __call__(self, images: ImageSet, intensity: IntensityMap) -> FeatureTable:
        """See ``FeatureExtractor``; grey levels stay on their own scale, so the intensity is not used.

        Raises:
            Problem: fields of different sizes, or too small for a two-point correlation.
        """
        size = common_size(images)
        if min(size) < SMALLEST_SIDE:
            raise Problem(
                f"fields of {size[0]} x {size[1]} pixels are too small for the two-point correlation",
                do=f"cut fields of at least {SMALLEST_SIDE} pixels",
            )
        return FeatureTable(
            features=self.name,
            extractor=self.identity,
            images=images.fingerprint,
            values=np.stack([self._row(picture) for picture in images]),
            groups=tuple(picture.origin.specimen for picture in images),
            units_differ=True,
        )

    def _row(self, picture: Picture) -> NDArray[np.float64]:
        pixel, _ = pixel_size(picture)
        S2 = two_point_correlation(self.threshold.phase(picture), pixel)[RADIAL]
        farthest = min(picture.size[0] * pixel[0], picture.size[1] * pixel[1]) / 2
        lags = np.geomspace(min(pixel), farthest, LAGS)
        both = 0.0 < S2.fraction < 1.0
        autocovariance = np.interp(lags, S2.lags, S2.autocovariance) if both else np.zeros(LAGS)
        moments = [
            FALLBACKS[name] if scalar.value is None else scalar.value
            for name, scalar in GREY_LEVELS(picture, self.threshold).scalars.items()
        ]
        return np.array([S2.fraction, *autocovariance, *moments])
