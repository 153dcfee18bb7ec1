"""The contract of a distance between two sets. Each file beside this one holds one ``DISTANCE``."""

from dataclasses import dataclass
from typing import Protocol

from morphogen.catalogue import Catalogue
from morphogen.evaluation.feature_table import FeatureTable
from morphogen.evaluation.intervals import Replicates


@dataclass(frozen=True, slots=True)
class Metric:
    """One number of a distance.

    Attributes:
        name: "Frechet distance".
        higher_is_better: true for a share such as precision, false for a distance.
    """

    name: str
    higher_is_better: bool


class SetDistance(Protocol):
    """Compares two sets through their features; may find several metrics in one pass."""

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """What it gives, in order."""

    def __call__(
        self, *, measured: FeatureTable, generated: FeatureTable, seed: int = 0, resamples: int = 200
    ) -> tuple[Replicates, ...]:
        """One result a metric, each with bootstrap replicates (see ``morphogen.evaluation.intervals``).

        Args:
            measured: features of the reference set.
            generated: features of the compared set, from the same extractor.
            seed: of the bootstrap.
            resamples: replicates of the bootstrap.

        Raises:
            Problem: tables that cannot be compared, or too few rows.
        """


DISTANCES = Catalogue("morphogen.evaluation.distances", "distance", frozenset({"set_distance"}))


def distance_names() -> list[str]:
    """The distances that are known: the files of this folder."""
    return DISTANCES.names()


def set_distance(name: str) -> SetDistance:
    """The distance of that name.

    Raises:
        Problem: there is none of that name.
    """
    found: SetDistance = DISTANCES.module(name).DISTANCE
    return found
