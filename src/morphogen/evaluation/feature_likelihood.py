"""Feature likelihood divergence: a distance between sets that copying the training images makes worse.

Jiralerspong et al., Feature Likelihood Divergence: Evaluating the Generalization of Generative Models Using Samples,
NeurIPS 2023. Three sets of features in d dimensions: training rows t_1 ... t_n, held-out measured rows x, and generated
rows y_1 ... y_m. The generated rows become a density, one isotropic Gaussian about each:

    p(x) = 1/m sum_j N(x | y_j, s_j^2 I),        s^2 = argmax mean_i log p(t_i),
    FLD  = -(100/d) (mean over x of log p(x)  -  mean over x of log p_measured(x)),
    gap  = -(100/d) (mean over t of log p(t)  -  mean over x of log p(x)).

The bandwidths s_j are fitted to the TRAINING rows and the density is read at HELD-OUT rows. A generated row that
copies a training row gets a bandwidth of almost nothing, because that makes the training row infinitely likely; it
then gives held-out rows no likelihood at all. So FLD rises with copying, with wrong rows and with missing kinds of
rows. p_measured is the same density about one half of the training rows, fitted to the other: fresh measured rows
score about 0. The gap is negative, and the more so the more training rows were learned by heart. Bandwidths that are
fitted to rows make these more likely in any case, so read it beside the gap of fresh measured rows.

Bandwidths are found by expectation maximisation (Dempster, Laird and Rubin 1977), which never lowers the likelihood:

    r_ij = N(t_i | y_j, s_j^2) / sum_l N(t_i | y_l, s_l^2),      s_j^2 = sum_i r_ij |t_i - y_j|^2 / (d sum_i r_ij),

from s_j^2 = |nearest t - y_j|^2 / d, which a row that is responsible for no training row keeps.

Where we deviate. Columns are scaled by mean and deviation of all measured rows (training and held-out) rather than of
the held-out ones, which are fewer. The authors' program climbs by 50 steps of Adam, with one further Gaussian about
the mean of the training rows while it fits; we take the maximum of the definition as it stands. Variances stay above
1e-4 of the variance of a column (theirs above e^-40). Generated rows enter as many as half of the training rows at
most, so that both densities have equally many Gaussians; a set of nothing but copies then still has to stretch some of
them over the training rows that it does not copy, and its FLD is high rather than infinite. Halves are whole specimens
where there are two or more, and the mean over 4 random halvings is taken. So values are not those of the authors'
tables.

Valid for comparing sets at the same n and m. The gap is the sharper sign of copying. In many dimensions round
Gaussians about few rows are a poor density, and rows that lie too near the mean serve it better than fresh ones do: a
set of too little contrast between its images can have an FLD below 0. Read coverage beside it. Near twins among the
training rows of a single specimen, such as neighbouring slices, look like copies in p_measured too, and FLD loses its
zero; ``gap_of_measured`` is strongly negative then.

Interval: the held-out rows (and for the gap the training rows too) are resampled, with generated rows and bandwidths
held fixed. It so leaves out how another generated set of the same generator would score.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from morphogen.evaluation.distances.precision_recall import ROWS, squared_distances
from morphogen.evaluation.feature_table import FeatureTable, comparable
from morphogen.evaluation.intervals import Replicates, mean_replicates
from morphogen.evaluation.random_streams import Use
from morphogen.mathematics.randomness import numpy_generator

LEAST_VARIANCE = 1e-4
"""Of a Gaussian, in units of the variance of a feature: one hundredth of its standard deviation is a copy."""

HALVINGS = 4
"""Random halvings of the training rows over which the density of fresh measured rows is averaged."""

STEPS = 200
"""Of expectation maximisation at most."""

SETTLED = 1e-5
"""Gain in log likelihood, in each row and dimension, below which no further step is taken."""

FEWEST = 8
"""Rows of each set below which a density means nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class FeatureLikelihood:
    """How likely held-out measured images are, as far as the generated ones tell.

    Attributes:
        divergence: FLD, in hundredths of a nat for each dimension; about 0 for fresh measured images, lower is better.
        gap: generalisation gap in the same unit; more negative where training images were learned by heart.
        gap_of_measured: the gap of fresh measured images, for comparison.
    """

    divergence: Replicates
    gap: Replicates
    gap_of_measured: float


def feature_likelihood(
    *,
    training: FeatureTable,
    measured: FeatureTable,
    generated: FeatureTable,
    seed: int = 0,
    resamples: int = 200,
) -> FeatureLikelihood:
    """Feature likelihood divergence and generalisation gap.

    Args:
        training: features of the images that the generator was trained on.
        measured: features of measured images that it was not trained on.
        generated: features of its images.
        seed: of the halvings and the bootstrap.
        resamples: replicates of the bootstrap.

    Raises:
        Problem: tables of different extractors, or fewer than ``FEWEST`` rows in one (16 for training).
    """
    comparable(measured=training, generated=generated, at_least=FEWEST)
    comparable(measured=measured, generated=generated, at_least=FEWEST)
    comparable(measured=training, generated=training, at_least=2 * FEWEST)
    T, X, Y = _scaled(training.values, measured.values, generated.values)
    halvings = list(_halvings(training.groups, seed))
    d = T.shape[1]
    # Equally many Gaussians in both densities: a mixture of more is the better one.
    Y = Y[: min(len(half) for half, _ in halvings)]

    of_training, of_measured = _log_densities(about=Y, fitted_to=T, at=(T, X))
    fresh = [_log_densities(about=T[a][: len(Y)], fitted_to=T[b], at=(T[b], X)) for a, b in halvings]
    rows = -100 / d * (of_measured - np.mean([at_measured for _, at_measured in fresh], axis=0))

    def replicates(of_rows: NDArray[np.float64], table: FeatureTable, use: Use) -> Replicates:
        draws = mean_replicates(of_rows, table.groups, resamples, seed, use)
        return Replicates.around(of_rows.mean(), draws, len(X), len(Y))

    memorised = replicates(-100 / d * of_training, training, Use.WEIGHTS_OF_TRAINING)
    held_out = replicates(-100 / d * of_measured, measured, Use.WEIGHTS_OF_MEASURED)
    return FeatureLikelihood(
        divergence=replicates(rows, measured, Use.WEIGHTS_OF_MEASURED),
        gap=replace(memorised, value=memorised.value - held_out.value, draws=memorised.draws - held_out.draws),
        gap_of_measured=float(np.mean([-100 / d * (inside.mean() - outside.mean()) for inside, outside in fresh])),
    )


def fitted_variances(squared: NDArray[np.float64], dimensions: int) -> NDArray[np.float64]:
    """Variances s_j^2 of isotropic Gaussians of equal weight that make rows most likely.

    Args:
        squared: ``(n, m)``, squared distance of each row to the centre of each Gaussian.
        dimensions: d of the space.

    Returns:
        ``(m,)``, ``LEAST_VARIANCE`` or above.
    """
    variances: NDArray[np.float64] = np.maximum(squared.min(axis=0) / dimensions, LEAST_VARIANCE)
    reached = -np.inf
    for _ in range(STEPS):
        total, shares, spread = 0.0, np.zeros(len(variances)), np.zeros(len(variances))
        for start in range(0, len(squared), ROWS):
            block = squared[start : start + ROWS]
            logs = _log_gaussians(block, variances, dimensions)
            of_rows = logsumexp(logs, axis=1, keepdims=True)
            responsibilities = np.exp(logs - of_rows)
            total += float(of_rows.sum())
            shares += responsibilities.sum(axis=0)
            spread += (responsibilities * block).sum(axis=0)
        if total - reached < SETTLED * squared.shape[0] * dimensions:
            break
        reached = total
        found = shares > 1e-12  # less of a row than this is rounding
        variances[found] = np.maximum(spread[found] / (dimensions * shares[found]), LEAST_VARIANCE)
    return variances


def log_density(squared: NDArray[np.float64], variances: NDArray[np.float64], dimensions: int) -> NDArray[np.float64]:
    """Logarithm of p at rows, ``(n,)``, under Gaussians of equal weight.

    Args:
        squared: ``(n, m)``, squared distance of each row to the centre of each Gaussian.
        variances: ``(m,)``.
        dimensions: d of the space.
    """
    blocks = [squared[start : start + ROWS] for start in range(0, len(squared), ROWS)]
    sums = [logsumexp(_log_gaussians(block, variances, dimensions), axis=1) for block in blocks]
    found: NDArray[np.float64] = np.concatenate(sums) - np.log(len(variances))
    return found


def _log_gaussians(
    squared: NDArray[np.float64], variances: NDArray[np.float64], dimensions: int
) -> NDArray[np.float64]:
    logs: NDArray[np.float64] = squared * (-0.5 / variances)
    logs -= 0.5 * dimensions * np.log(2 * np.pi * variances)
    return logs


def _log_densities(
    *, about: NDArray[np.float64], fitted_to: NDArray[np.float64], at: Sequence[NDArray[np.float64]]
) -> list[NDArray[np.float64]]:
    """Logarithm of p at the rows of each of ``at``, of the density about some rows that is fitted to others."""
    d = about.shape[1]
    variances = fitted_variances(squared_distances(fitted_to, about), d)
    return [log_density(squared_distances(rows, about), variances, d) for rows in at]


def _scaled(
    T: NDArray[np.float64], X: NDArray[np.float64], Y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """All rows in units of the deviation of each column over the measured ones, training and held-out."""
    both = np.concatenate([T, X])
    mean, deviation = both.mean(axis=0), both.std(axis=0, ddof=1)
    deviation[deviation == 0] = 1.0
    return (T - mean) / deviation, (X - mean) / deviation, (Y - mean) / deviation


def _halvings(groups: Sequence[str], seed: int) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Random halves of the training rows, by whole specimens where there are two or more."""
    names, specimen = np.unique(groups, return_inverse=True)
    rows = np.bincount(specimen)
    for number in range(HALVINGS):
        generator = numpy_generator(seed, Use.HALVES_OF_TRAINING, number)
        first = np.zeros(len(names), dtype=bool)
        for of_specimen in generator.permutation(len(names)):  # into the first half while that helps
            first[of_specimen] = rows[first].sum() <= len(groups) / 2 - rows[of_specimen] / 2
        halves = np.flatnonzero(first[specimen]), np.flatnonzero(~first[specimen])
        if min(map(len, halves)) < FEWEST:
            order = generator.permutation(len(groups))
            halves = order[: len(order) // 2], order[len(order) // 2 :]
        yield halves
