"""Improved precision and recall.

Kynkaanniemi et al., Improved Precision and Recall Metric for Assessing Generative Models, NeurIPS 2019. The
manifold of a set is the union of balls, one about each of its rows, with the distance to the row's k-th
nearest other row as radius (k = 3).

    precision   share of the generated rows inside the manifold of the measured set: is it realistic?
    recall      share of the measured rows inside the manifold of the generated set: is it complete?

So a generated set that shows only one kind of image keeps its precision and loses recall. Both depend
on n and on the features: read them beside their floor at the same n.

Interval: the rows that are counted are resampled, with both manifolds held fixed. Resampled manifolds would
have balls of radius zero around copied rows. The interval so leaves out how the manifolds themselves would
vary. Where no row is inside, or every row is, all replicates agree and the bootstrap has nothing to say; there the
interval is the exact binomial one for 0 or u hits of the u resampled units (Clopper and Pearson, Biometrika 26, 404,
1934): [0, 1 - 0.025^(1/u)] or [0.025^(1/u), 1].
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from morphogen.evaluation.distances.set_distance import Metric
from morphogen.evaluation.feature_table import FeatureTable, comparable
from morphogen.evaluation.intervals import Replicates, clopper_pearson_of_none, resampling_weights, units
from morphogen.evaluation.random_streams import Use
from morphogen.evaluation.records import Estimate

ROWS = 1024  # rows of the distance matrix that are held at a time


@dataclass(frozen=True, slots=True)
class PrecisionRecall:
    """Precision and recall in one pass.

    Attributes:
        neighbours: k, the neighbour whose distance is the radius.
    """

    neighbours: int = 3
    metrics: tuple[Metric, ...] = (
        Metric("precision", higher_is_better=True),
        Metric("recall", higher_is_better=True),
    )

    def __call__(
        self, *, measured: FeatureTable, generated: FeatureTable, seed: int = 0, resamples: int = 200
    ) -> tuple[Replicates, ...]:
        """See ``SetDistance``."""
        X, Y = comparable(measured=measured, generated=generated, at_least=self.neighbours + 2)
        centre = X.mean(axis=0)  # distances do not change, and small ones lose fewer digits
        X, Y = X - centre, Y - centre
        # Equal rows (blank fields) are at distance 0 up to rounding; four of them make a ball of radius 0.
        rounding = 1e-12 * (X**2).sum(axis=1).max()
        radii_X, radii_Y = (neighbour_radii(rows, self.neighbours) + rounding for rows in (X, Y))
        realistic, covered = _inside(X, Y, radii_X, radii_Y)
        return (
            share_replicates(realistic, generated, len(X), len(Y), resamples, seed, Use.WEIGHTS_OF_COMPARED),
            share_replicates(covered, measured, len(X), len(Y), resamples, seed, Use.WEIGHTS_OF_MEASURED),
        )


DISTANCE = PrecisionRecall()


def precision_and_recall(
    *,
    measured: FeatureTable,
    generated: FeatureTable,
    neighbours: int = 3,
    seed: int = 0,
    resamples: int = 200,
) -> tuple[Estimate, Estimate]:
    """Precision and recall with their 95 % intervals, each from 0 to 1."""
    precision, recall = PrecisionRecall(neighbours)(
        measured=measured, generated=generated, seed=seed, resamples=resamples
    )
    return precision.estimate, recall.estimate


def share_replicates(
    hits: NDArray[np.bool_], table: FeatureTable, n: int, m: int, resamples: int, *key: int
) -> Replicates:
    """Replicates of the share of rows of a table that are hits.

    Args:
        hits: ``(len(table),)``.
        table: says which rows belong to one specimen.
        n: size of the measured sample.
        m: size of the other sample.
        resamples: how many replicates.
        key: names the random stream.
    """
    weights = resampling_weights(table.groups, resamples, *key)
    draws = weights @ hits / weights.sum(axis=1)
    around = Replicates.around(hits.mean(), draws, n, m, limits=(0.0, 1.0))
    if hits.any() and not hits.all():
        return around
    # All replicates agree. What may have been missed among so many units is then all there is to say.
    missed = unseen_share(table)
    return replace(around, reaches=(1 - missed, 1.0) if hits.all() else (0.0, missed))


def unseen_share(table: FeatureTable) -> float:
    """The share of hits that as many units as a table has could have without showing one."""
    return clopper_pearson_of_none(int(units(table.groups).max()) + 1)


def neighbour_radii(rows: NDArray[np.float64], neighbours: int) -> NDArray[np.float64]:
    """Squared distance of each row to its k-th nearest other row, ``(n,)``."""
    radii = np.empty(len(rows))
    for start in range(0, len(rows), ROWS):
        squared = squared_distances(rows[start : start + ROWS], rows)
        squared[np.arange(len(squared)), np.arange(start, start + len(squared))] = np.inf  # not itself
        radii[start : start + ROWS] = np.partition(squared, neighbours - 1, axis=1)[:, neighbours - 1]
    return radii


def _inside(
    X: NDArray[np.float64],
    Y: NDArray[np.float64],
    radii_X: NDArray[np.float64],
    radii_Y: NDArray[np.float64],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which rows of Y lie in the manifold of X, ``(m,)``, and which of X in that of Y, ``(n,)``."""
    Y_in_X, X_in_Y = np.zeros(len(Y), dtype=bool), np.zeros(len(X), dtype=bool)
    for start in range(0, len(X), ROWS):
        block = slice(start, start + ROWS)
        squared = squared_distances(X[block], Y)
        Y_in_X |= (squared <= radii_X[block, None]).any(axis=0)
        X_in_Y[block] = (squared <= radii_Y).any(axis=1)
    return Y_in_X, X_in_Y


def squared_distances(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """|x_i - y_j|^2, ``(n, m)``."""
    squared: NDArray[np.float64] = x @ y.T
    squared *= -2
    squared += (x**2).sum(axis=1)[:, None]
    squared += (y**2).sum(axis=1)
    return np.maximum(squared, 0.0, out=squared)
