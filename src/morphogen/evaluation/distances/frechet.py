"""Frechet distance between two sets of features.

Heusel et al., GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium, NeurIPS
2017; Dowson and Landau, J. Multivariate Analysis 12 (1982). With means mu and covariances S (divided by
n - 1) of the two sets,

    d^2 = |mu1 - mu2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2).

With the centred rows A = (X - mu1)/sqrt(n - 1) and B = (Y - mu2)/sqrt(m - 1), S1 = A'A and S2 = B'B, the
last trace is the sum of the singular values of A B', an (n, m) matrix, or a (d, d) one after a QR
factorisation where n > d. No matrix square root is taken: this is exact for singular covariances (n < d),
needs no regularisation and never becomes complex.

The estimate is biased upwards, by an amount that depends on n, m and the features: read it beside its
floor at the same n. Called "FID" only over Inception-v3 pool features; with other features it is a
Frechet distance of these features.

Interval: a bootstrap of the linearised statistic (infinitesimal jackknife). With A B' = U diag(s) V', the
derivative of the sum of s with respect to the weight of row i is (1/2) sum_k U_ik^2 s_k, because weights
only scale rows, so the influence of measured row i is

    I_i = |a_i|^2 - sum_k U_ik^2 s_k + (2/n) (mu1 - mu2).(x_i - mu1),      centred over i,

and of the generated rows alike. A replicate is d^2 + sum_i (w_i - 1) I_i + sum_j (v_j - 1) J_j. It costs
one decomposition in all. Redrawing rows and computing d^2 anew adds a second bias, up to the size of the
first, and spreads up to twice as far as d^2 truly does; the linear form stays within 1.0 to 1.4 of
the truth (on the wide side where the two sets agree).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from morphogen.evaluation.distances.set_distance import Metric
from morphogen.evaluation.feature_table import FeatureTable, comparable
from morphogen.evaluation.intervals import Replicates, resampling_weights
from morphogen.evaluation.random_streams import Use
from morphogen.evaluation.records import Estimate


@dataclass(frozen=True, slots=True)
class Frechet:
    """The Frechet distance (squared, as is the custom) as a set distance."""

    metrics: tuple[Metric, ...] = (Metric("Frechet distance", higher_is_better=False),)

    def __call__(
        self, *, measured: FeatureTable, generated: FeatureTable, seed: int = 0, resamples: int = 200
    ) -> tuple[Replicates, ...]:
        """See ``SetDistance``."""
        X, Y = comparable(measured=measured, generated=generated)
        value, influence_X, influence_Y = _distance_and_influences(X, Y)
        w = resampling_weights(measured.groups, resamples, seed, Use.WEIGHTS_OF_MEASURED)
        v = resampling_weights(generated.groups, resamples, seed, Use.WEIGHTS_OF_COMPARED)
        w *= len(X) / w.sum(axis=1, keepdims=True)
        v *= len(Y) / v.sum(axis=1, keepdims=True)
        draws = value + (w - 1) @ influence_X + (v - 1) @ influence_Y
        return (Replicates.around(value, draws, len(X), len(Y), limits=(0.0, np.inf)),)


DISTANCE = Frechet()


def frechet_distance(
    *, measured: FeatureTable, generated: FeatureTable, seed: int = 0, resamples: int = 200
) -> Estimate:
    """Frechet distance with its 95 % interval, in squared units of the features, 0 or above."""
    (result,) = DISTANCE(measured=measured, generated=generated, seed=seed, resamples=resamples)
    return result.estimate


def _distance_and_influences(
    X: NDArray[np.float64], Y: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    n, m = len(X), len(Y)
    shift = X.mean(axis=0) - Y.mean(axis=0)  # (d,)
    centred_X, centred_Y = X - X.mean(axis=0), Y - Y.mean(axis=0)
    A, B = centred_X / np.sqrt(n - 1), centred_Y / np.sqrt(m - 1)  # (n, d), (m, d)
    Q_A, R_A = _thin(A)
    Q_B, R_B = _thin(B)
    U, s, Vt = np.linalg.svd(R_A @ R_B.T, full_matrices=False)
    U = U if Q_A is None else Q_A @ U  # (n, k)
    V = Vt.T if Q_B is None else Q_B @ Vt.T  # (m, k)
    value = float(shift @ shift + (A**2).sum() + (B**2).sum() - 2 * s.sum())
    influence_X = (A**2).sum(axis=1) - U**2 @ s + 2 / n * (centred_X @ shift)
    influence_Y = (B**2).sum(axis=1) - V**2 @ s - 2 / m * (centred_Y @ shift)
    # Rounding may leave the distance of a set from itself a hair below zero.
    return max(value, 0.0), influence_X - influence_X.mean(), influence_Y - influence_Y.mean()


def _thin(rows: NDArray[np.float64]) -> tuple[NDArray[np.float64] | None, NDArray[np.float64]]:
    """Q and R with Q R = rows where there are more rows than columns; else the rows themselves."""
    if len(rows) <= rows.shape[1]:
        return None, rows
    Q, R = np.linalg.qr(rows)
    return Q, R
