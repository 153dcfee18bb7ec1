"""Density, coverage and the feature likelihood divergence against their definitions written out, and closed forms."""

import itertools

import numpy as np
import pytest
from scipy import optimize, stats
from scipy.spatial.distance import cdist

from morphogen.evaluation.distances.density_coverage import density_and_coverage
from morphogen.evaluation.feature_likelihood import LEAST_VARIANCE, feature_likelihood, fitted_variances, log_density
from morphogen.evaluation.feature_table import FeatureTable


def table(values, groups=None):
    values = np.asarray(values, dtype=np.float64)
    return FeatureTable("numbers", "e", "i", values, tuple(groups or ["s"] * len(values)))


def test_density_and_coverage_are_their_definitions():
    generator = np.random.default_rng(0)
    X, Y = generator.normal(size=(40, 3)), 1.3 * generator.normal(size=(55, 3)) + 0.4
    for k in (1, 5):
        radii = [sorted(np.linalg.norm(x - X, axis=1))[k] for x in X]  # the nearest is the row itself
        pairs = itertools.product(range(40), range(55))
        inside = np.array([np.linalg.norm(X[i] - Y[j]) <= radii[i] for i, j in pairs]).reshape(40, 55)
        density, coverage = density_and_coverage(measured=table(X), generated=table(Y), neighbours=k)
        assert density.value == pytest.approx(inside.sum() / (k * 55), rel=1e-12)
        assert coverage.value == inside.any(axis=1).mean()


def test_density_and_coverage_of_one_distribution_are_the_closed_forms():
    """1 and 1 - prod (n - l)/(n + m - l), whatever the distribution; 400 draws leave 1.4 % and 0.3 % (twice that)."""
    generator = np.random.default_rng(1)
    n, m, k = 30, 20, 5
    found = np.array(
        [
            [
                e.value
                for e in density_and_coverage(
                    measured=table(generator.exponential(size=(n, 2))),
                    generated=table(generator.exponential(size=(m, 2))),
                    resamples=2,
                )
            ]
            for _ in range(400)
        ]
    ).mean(axis=0)
    lag = np.arange(1, k + 1)
    np.testing.assert_allclose(found, [1, 1 - np.prod((n - lag) / (n + m - lag))], atol=0.03)


def test_variance_about_a_single_centre_is_the_mean_squared_distance():
    generator = np.random.default_rng(2)
    T, centre, d = generator.normal(size=(50, 4)) + 1, np.array([[0.5, 0, -1, 2]]), 4
    squared = cdist(T, centre, "sqeuclidean")
    variances = fitted_variances(squared, d)
    assert variances == pytest.approx(squared.mean() / d, rel=1e-12)
    normal = stats.multivariate_normal(centre[0], variances[0] * np.eye(d))
    np.testing.assert_allclose(log_density(squared, variances, d), normal.logpdf(T), rtol=1e-12)


def test_variances_have_the_highest_likelihood_that_a_general_optimiser_finds():
    """Groups of rows about five centres that lie apart; expectation maximisation stops at a gain of 1e-5 a row."""
    generator = np.random.default_rng(3)
    centres = 3 * generator.normal(size=(5, 2))
    T = np.repeat(centres, 12, axis=0) + generator.normal(size=(60, 2)) * np.repeat([0.3, 1, 2, 0.5, 0.8], 12)[:, None]
    squared = cdist(T, centres, "sqeuclidean")

    def negative(logarithms):
        return -log_density(squared, np.exp(logarithms), 2).mean()

    found = fitted_variances(squared, 2)
    best = optimize.minimize(negative, np.log(found) + 0.1 * generator.normal(size=5), tol=1e-10)
    assert negative(np.log(found)) == pytest.approx(best.fun, abs=2e-4)
    np.testing.assert_allclose(found, np.exp(best.x), rtol=0.03)


def test_divergence_is_the_mixture_of_normals_written_out():
    """With 16 training rows and one dimension: densities of SciPy's normal, scaled to the measured deviation."""
    generator = np.random.default_rng(4)
    T, X, Y = generator.normal(5, 2, (16, 1)), generator.normal(5, 2, (30, 1)), generator.normal(5, 2, (9, 1))
    found = feature_likelihood(training=table(T), measured=table(X), generated=table(Y))
    both = np.concatenate([T, X])
    t, x, y = ((rows[:, 0] - both.mean()) / both.std(ddof=1) for rows in (T, X, Y[:8]))

    def log_p(at, centres, rows):
        deviations = np.sqrt(fitted_variances((rows[:, None] - centres) ** 2, 1))
        assert deviations.min() ** 2 >= LEAST_VARIANCE
        return np.log(stats.norm(centres, deviations).pdf(at[:, None]).mean(axis=1))

    assert found.gap.value == pytest.approx(-100 * (log_p(t, y, t).mean() - log_p(x, y, t).mean()), rel=1e-9)
    # Of the divergence only what does not depend on the random halves: its change from one set to another.
    other = feature_likelihood(training=table(T), measured=table(X), generated=table(T[:8] + 0.5))
    z = t[:8] + 0.5 / both.std(ddof=1)
    expected = -100 * (log_p(x, z, t).mean() - log_p(x, y, t).mean())
    assert other.divergence.value - found.divergence.value == pytest.approx(expected, rel=1e-9)
