"""Descriptors as features: each field becomes a row of physics, for the distances between sets.

The row holds the phase fraction, the normalised autocovariance (S2(r) - phi^2)/(phi - phi^2) at eight
lags from one pitch to half of the shorter side in equal ratios, and mean, standard deviation,
skewness and kurtosis of the grey levels (the luminance of a colour image). The columns have different
units: distances standardise them by the measured set (``FeatureTable.units_differ``).

A field where a column does not exist keeps its row: leaving it out would flatter a set that makes such
fields. The missing autocovariance (one phase only) is set to 0, no correlation; missing skewness and
kurtosis (one grey level only) to 0 and 3, those of a normal distribution. The row still shows the
failure: its fraction is 0 or 1, its standard deviation 0.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from morphogen.evaluation.descriptors.grey_levels import grey_moments
from morphogen.evaluation.descriptors.two_point_correlation import (
    RADIAL,
    SMALLEST_SIDE,
    two_point_correlation,
)
from morphogen.evaluation.feature_table import FeatureTable
from morphogen.evaluation.section import Section
from morphogen.evaluation.segmentation.segmentation import Segmentation
from morphogen.images.image_set import ImageSet, common_size
from morphogen.images.intensity import IntensityMap
from morphogen.images.picture import Picture
from morphogen.problems import Problem

LAGS = 8
SKEWNESS, KURTOSIS = 0.0, 3.0  # of a normal distribution, where there are none


@dataclass(frozen=True, slots=True)
class DescriptorVector:
    """Physics of each field as a row of ``1 + lags + 4`` numbers.

    Attributes:
        segmentation: what separates the phases, fitted on the measured set.
        name: "descriptors".
    """

    segmentation: Segmentation
    name: str = "descriptors"

    @property
    def identity(self) -> str:
        """Hash of the segmentation and of what the columns are."""
        columns = f"fraction, autocovariance at {LAGS} lags, grey moments; fallbacks 0 {SKEWNESS} {KURTOSIS}"
        return hashlib.sha256(f"{self.segmentation} {columns}".encode()).hexdigest()[:16]

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
        section = Section.of(picture, self.segmentation)
        pixel = section.pixel
        S2 = two_point_correlation(section.phase, pixel)[RADIAL]
        farthest = min(picture.size[0] * pixel[0], picture.size[1] * pixel[1]) / 2
        lags = np.geomspace(min(pixel), farthest, LAGS)
        autocovariance = np.interp(lags, S2.lags, S2.autocovariance) if section.has_both_phases else np.zeros(LAGS)
        mean, deviation, skewness, kurtosis = grey_moments(picture.grey)
        moments = (
            mean,
            deviation,
            SKEWNESS if skewness is None else skewness,
            KURTOSIS if kurtosis is None else kurtosis,
        )
        return np.array([S2.fraction, *autocovariance, *moments])
