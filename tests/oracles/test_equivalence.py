"""Wasserstein distances, Welch's interval and the splits of measured fields against SciPy and against enumeration."""

import itertools

import numpy as np
import pytest
from scipy import stats

from morphogen.evaluation.equivalence import (
    Difference,
    FieldReadings,
    equivalence,
    natural_spread,
    wasserstein_distances,
)
from morphogen.specimens.specimen import Margin


def fields(values, groups=None, **more):
    values = np.asarray(values, dtype=np.float64)
    return FieldReadings(values, tuple(groups or ["s"] * len(values)), **more)


def test_wasserstein_is_that_of_scipy_with_weights_and_ties():
    generator = np.random.default_rng(0)
    x, y = generator.integers(0, 9, 40) / 4, generator.exponential(size=25)
    u, v = np.zeros((30, 65)), np.zeros((30, 65))
    u[:, :40], v[:, 40:] = generator.integers(0, 4, (30, 40)), generator.integers(0, 4, (30, 25))
    expected = [stats.wasserstein_distance(x, y, a[:40], b[40:]) for a, b in zip(u, v, strict=True)]
    np.testing.assert_allclose(wasserstein_distances(np.concatenate([x, y]), u, v), expected, rtol=1e-12)


def test_interval_over_fields_is_that_of_welchs_test():
    generator = np.random.default_rng(1)
    x, y = generator.normal(size=30), 3 * generator.normal(size=12) + 1
    found = Difference.of(fields(x), fields(y))
    expected = stats.ttest_ind(y, x, equal_var=False)
    for level in (0.90, 0.95):
        np.testing.assert_allclose(found.interval(level), tuple(expected.confidence_interval(level)), rtol=1e-12)


def test_interval_over_specimens_of_one_size_is_welchs_of_their_means():
    generator = np.random.default_rng(2)
    x, y = generator.normal(size=(7, 5)), generator.normal(size=(9, 4)) + 0.3
    found = Difference.of(
        fields(x.ravel(), np.repeat([f"m{i}" for i in range(7)], 5).tolist()),
        fields(y.ravel(), np.repeat([f"c{i}" for i in range(9)], 4).tolist()),
    )
    expected = stats.ttest_ind(y.mean(axis=1), x.mean(axis=1), equal_var=False)
    np.testing.assert_allclose(found.interval(0.95), tuple(expected.confidence_interval(0.95)), rtol=1e-12)


def test_equivalence_is_two_one_sided_tests_at_five_percent():
    """The verdict changes where the larger of both one-sided p values crosses 0.05."""
    generator = np.random.default_rng(3)
    x, y, floor = (generator.normal(size=40) for _ in range(3))

    def p_value(margin):
        one = stats.ttest_ind(y + margin, x, equal_var=False, alternative="greater").pvalue
        other = stats.ttest_ind(y - margin, x, equal_var=False, alternative="less").pvalue
        return max(one, other)

    verdicts = []
    for margin in np.linspace(0.05, 1, 40):
        found = equivalence(
            measured=fields(x), floor=fields(floor), compared=fields(y), descriptor="porosity", unit="", name="vae",
            role="generated", margin=Margin(float(margin), "value"), resamples=2,
        )  # fmt: skip
        assert (found.verdict == "equivalent") is bool(p_value(margin) < 0.05)
        verdicts.append(found.verdict)
    assert {"equivalent", "undecided"} <= set(verdicts)


def test_natural_spread_is_the_mean_over_all_splits_of_the_specimens():
    """All 15 splits of six specimens; 3000 random ones that scatter by half their mean leave 1 %."""
    generator = np.random.default_rng(4)
    names = ["a", "b", "c", "d", "e", "f"]
    values = {name: generator.normal() + 0.3 * generator.normal(size=5) for name in names}

    def of(part):
        return fields(np.concatenate([values[n] for n in part]), np.repeat(part, 5).tolist())

    expected = np.mean(
        [
            stats.wasserstein_distance(of(part).values, of([n for n in names if n not in part]).values)
            for part in itertools.combinations(names, 2)
        ]
    )
    found = natural_spread(measured=of(names[:2]), floor=of(names[2:]), n_compared=20, splits=3000)
    assert found.mean() == pytest.approx(expected, rel=0.03)
