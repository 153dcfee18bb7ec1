"""Features once, then many statistics: the table that every distance between sets reads.

An extractor turns each image of a set into one row of numbers. The table remembers which images they
were, which weights and preprocessing made the numbers, and the specimen of each row, so that two tables
can only be compared when they belong together and intervals can resample whole specimens.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from morphogen.images.image_set import ImageSet
from morphogen.images.intensity import IntensityMap
from morphogen.problems import Problem


@dataclass(frozen=True, slots=True, eq=False)
class FeatureTable:
    """One row of features for each image of a set.

    Attributes:
        features: what they are, "VGG16 relu5_3 mean".
        extractor: hash of the weights and the preprocessing, resize included.
        images: fingerprint of the image set.
        values: ``(n, d)``, finite.
        groups: specimen of each image, ``n`` names.
        units_differ: the columns have different units (a fraction beside a grey level), so a distance
            over them means something only after standardisation; see ``comparable``.
        metric_names: what the field calls a metric over these features, where it has a name of its own:
            ``{"Frechet distance": "FID"}`` over those of the standard Inception network.

    Raises:
        ValueError: the shapes disagree or a value is not finite.
    """

    features: str
    extractor: str
    images: str
    values: NDArray[np.float64]
    groups: tuple[str, ...]
    units_differ: bool = False
    metric_names: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or len(self.values) != len(self.groups):
            raise ValueError(f"values {self.values.shape} do not fit {len(self.groups)} groups")
        if not np.isfinite(self.values).all():
            raise ValueError(f"{self.features}: a feature is not finite")

    def __len__(self) -> int:
        return len(self.groups)

    def first(self, count: int) -> "FeatureTable":
        """The first ``count`` rows; all of them where there are fewer."""
        return replace(self, values=self.values[:count], groups=self.groups[:count])


def comparable(
    *, measured: FeatureTable, generated: FeatureTable, at_least: int = 2
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The rows of two tables, after the check that a distance between them means something.

    Where the columns have different units, both tables are standardised by the mean and the standard
    deviation of the measured one, which so decides for every set that is compared with it, the floor
    included. A column that does not vary over the measured set keeps its own unit.

    Args:
        measured: the reference.
        generated: what is compared with it.
        at_least: rows that the distance needs in each.

    Returns:
        Rows of the measured and of the generated set, ``(n, d)`` and ``(m, d)``.

    Raises:
        Problem: different extractors, or too few rows.
    """
    if (measured.extractor, measured.values.shape[1]) != (generated.extractor, generated.values.shape[1]):
        raise Problem(
            f"features of '{measured.features}' ({measured.extractor}) cannot be compared with"
            f" '{generated.features}' ({generated.extractor})",
            do="extract both sets with the same extractor",
        )
    for name, table in (("measured", measured), ("generated", generated)):
        if len(table) < at_least:
            raise Problem(
                f"{len(table)} {name} images are too few for a distance over '{table.features}'",
                do=f"give at least {at_least}",
            )
    if not measured.units_differ:
        return measured.values, generated.values
    mean, deviation = measured.values.mean(axis=0), measured.values.std(axis=0, ddof=1)
    deviation[deviation == 0] = 1.0
    return (measured.values - mean) / deviation, (generated.values - mean) / deviation


class FeatureExtractor(Protocol):
    """From images to rows of features; owns its preprocessing.

    Attributes:
        name: what the features are, resize included, "VGG16 relu5_3 mean, no resize".
        identity: hash of weights and preprocessing; two tables are comparable only where it agrees.
    """

    @property
    def name(self) -> str:
        """What the features are."""

    @property
    def identity(self) -> str:
        """Hash of weights and preprocessing."""

    def __call__(self, images: ImageSet, intensity: IntensityMap) -> FeatureTable:
        """The features of a set.

        Args:
            images: the set.
            intensity: the declared grey range, that of the measured images: never guessed from
                ``images``, which may be generated.

        Returns:
            A table of ``len(images)`` rows.
        """


class Remembering:
    """An extractor that looks at every image set once: features first, then many statistics.

    Args:
        extractor: the one that does the work.
    """

    def __init__(self, extractor: FeatureExtractor) -> None:
        self._extractor = extractor
        self._tables: dict[tuple[str, IntensityMap], FeatureTable] = {}

    @property
    def name(self) -> str:
        """What the features are."""
        return self._extractor.name

    @property
    def identity(self) -> str:
        """Hash of weights and preprocessing."""
        return self._extractor.identity

    def __call__(self, images: ImageSet, intensity: IntensityMap) -> FeatureTable:
        """See ``FeatureExtractor``."""
        key = (images.fingerprint, intensity)
        if key not in self._tables:
            self._tables[key] = self._extractor(images, intensity)
        return self._tables[key]
