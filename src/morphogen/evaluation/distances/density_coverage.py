"""Density and coverage.

Naeem et al., Reliable Fidelity and Diversity Metrics for Generative Models, ICML 2020. About each measured row x_i
stands a ball B_i that reaches to its k-th nearest other measured row (k = 5). With n measured rows x and m
generated rows y,

    density  = 1/(k m) sum_j sum_i 1[y_j in B_i]      in how many measured neighbourhoods is a generated row?
    coverage = 1/n sum_i 1[some y_j in B_i]           how many measured neighbourhoods hold a generated row?

Precision asks whether a generated row is in any ball at all, so one measured outlier with a large ball admits many
wrong rows; density counts the balls. Recall builds balls about generated rows, so a few wild ones cover
everything; coverage has balls about measured rows only. For two samples of one continuous distribution, whatever it
is, the expected density is 1 and the expected coverage

    1 - prod_{l=1..k} (n - l)/(n + m - l),            about 1 - 2^-k = 0.97 where n = m.

Density has no upper limit: far above 1 the generated rows crowd where measured rows are densest, which is no merit. A
measured set against itself has the density (k + 1)/k, since each row is in its own ball too.

Interval: the rows that are counted are resampled (generated ones for density, measured ones for coverage) with the
balls held fixed, as for precision and recall. It so leaves out how the balls would vary, which matters in many
dimensions, where a few balls hold many rows. Where no ball or every ball is covered, the interval of coverage is the
exact binomial one (``precision_recall``). Where density is 0 it reaches up to the share of rows inside that this many
units could have missed, each with the density 1 of a measured row.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from morphogen.evaluation.distances.precision_recall import (
    ROWS,
    neighbour_radii,
    share_replicates,
    squared_distances,
    unseen_share,
)
from morphogen.evaluation.distances.set_distance import Metric
from morphogen.evaluation.feature_table import FeatureTable, comparable
from morphogen.evaluation.intervals import Replicates, resampling_weights
from morphogen.evaluation.random_streams import Use
from morphogen.evaluation.records import Estimate


@dataclass(frozen=True, slots=True)
class DensityCoverage:
    """Density and coverage in one pass.

    Attributes:
        neighbours: k, the neighbour whose distance is the radius.
    """

    neighbours: int = 5
    metrics: tuple[Metric, ...] = (
        Metric("density", higher_is_better=True),
        Metric("coverage", higher_is_better=True),
    )

    def __call__(
        self, *, measured: FeatureTable, generated: FeatureTable, seed: int = 0, resamples: int = 200
    ) -> tuple[Replicates, ...]:
        """See ``SetDistance``."""
        X, Y = comparable(measured=measured, generated=generated, at_least=self.neighbours + 2)
        centre = X.mean(axis=0)  # distances do not change, and small ones lose fewer digits
        X, Y = X - centre, Y - centre
        # Equal rows (blank fields) are at distance 0 up to rounding; six of them make a ball of radius 0.
        radii = neighbour_radii(X, self.neighbours) + 1e-12 * (X**2).sum(axis=1).max()
        balls, covered = _balls(X, Y, radii)
        w = resampling_weights(generated.groups, resamples, seed, Use.WEIGHTS_OF_COMPARED)
        of_rows = balls / self.neighbours
        draws = w @ of_rows / w.sum(axis=1)
        density = Replicates.around(of_rows.mean(), draws, len(X), len(Y), limits=(0.0, np.inf))
        if not balls.any():
            density = replace(density, reaches=(0.0, unseen_share(generated)))
        coverage = share_replicates(covered, measured, len(X), len(Y), resamples, seed, Use.WEIGHTS_OF_MEASURED)
        return density, coverage


DISTANCE = DensityCoverage()


def density_and_coverage(
    *,
    measured: FeatureTable,
    generated: FeatureTable,
    neighbours: int = 5,
    seed: int = 0,
    resamples: int = 200,
) -> tuple[Estimate, Estimate]:
    """Density (0 or above) and coverage (0 to 1) with their 95 % intervals."""
    density, coverage = DensityCoverage(neighbours)(
        measured=measured, generated=generated, seed=seed, resamples=resamples
    )
    return density.estimate, coverage.estimate


def _balls(
    X: NDArray[np.float64], Y: NDArray[np.float64], radii: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """In how many balls about rows of X each row of Y lies, ``(m,)``, and which balls hold any, ``(n,)``."""
    balls, covered = np.zeros(len(Y), dtype=np.intp), np.zeros(len(X), dtype=bool)
    for start in range(0, len(X), ROWS):
        block = slice(start, start + ROWS)
        inside = squared_distances(X[block], Y) <= radii[block, None]
        balls += inside.sum(axis=0)
        covered[block] = inside.any(axis=1)
    return balls, covered
