"""Distances agree with their definitions written out, and with other libraries."""

import numpy as np
import pytest
import torch
from scipy import linalg, stats
from scipy.spatial.distance import cdist

from morphogen.evaluation.distances.frechet import frechet_distance
from morphogen.evaluation.distances.kernel import kernel_distance
from morphogen.evaluation.distances.precision_recall import precision_and_recall
from morphogen.evaluation.feature_table import FeatureTable
from morphogen.evaluation.random_streams import Use


def table(values, groups=None, **more):
    values = np.asarray(values, dtype=np.float64)
    return FeatureTable("numbers", "e", "i", values, tuple(groups or ["s"] * len(values)), **more)


def two_sets(n=70, m=90, d=6, seed=0):
    generator = np.random.default_rng(seed)
    mix = generator.normal(size=(d, d))
    X = generator.normal(size=(n, d)) @ mix
    Y = generator.normal(size=(m, d)) @ (mix + 0.3 * generator.normal(size=(d, d))) + 0.4
    return X, Y


@pytest.mark.parametrize(("n", "m"), [(70, 90), (40, 12), (12, 40)])
def test_frechet_is_the_square_root_form(n, m):
    X, Y = two_sets(n, m)
    S1, S2 = np.cov(X.T), np.cov(Y.T)
    expected = np.sum((X.mean(0) - Y.mean(0)) ** 2) + np.trace(S1 + S2 - 2 * linalg.sqrtm(S1 @ S2).real)
    assert frechet_distance(measured=table(X), generated=table(Y)).value == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("n", "m", "d"), [(10, 14, 40), (30, 60, 40), (60, 30, 40)])
def test_frechet_of_fewer_rows_than_columns(n, m, d):
    """Singular covariances; the trace of the root is the sum of roots of the eigenvalues of S1 S2."""
    X, Y = two_sets(n, m, d)
    roots = np.sqrt(np.clip(np.linalg.eigvals(np.cov(X.T) @ np.cov(Y.T)).real, 0, None)).sum()
    expected = np.sum((X.mean(0) - Y.mean(0)) ** 2) + np.trace(np.cov(X.T)) + np.trace(np.cov(Y.T)) - 2 * roots
    # Eigenvalues that should be zero carry a square root of rounding each.
    assert frechet_distance(measured=table(X), generated=table(Y)).value == pytest.approx(expected, rel=1e-5)


def test_frechet_of_gaussians_is_the_closed_form():
    """For N(0, diag a) and N(c, diag b) it is |c|^2 + sum (sqrt a - sqrt b)^2."""
    generator = np.random.default_rng(1)
    a, b, c = np.array([1.0, 4.0, 9.0]), np.array([2.0, 1.0, 16.0]), np.array([1.0, 0.0, -1.0])
    X = generator.normal(size=(40_000, 3)) * np.sqrt(a)
    Y = generator.normal(size=(40_000, 3)) * np.sqrt(b) + c
    found = frechet_distance(measured=table(X), generated=table(Y))
    expected = c @ c + np.sum((np.sqrt(a) - np.sqrt(b)) ** 2)
    assert found.low < expected < found.high
    assert found.high - found.low < 0.2 * expected


def test_frechet_interval_is_that_of_resampled_rows_where_there_are_many():
    X, Y = two_sets(1500, 1200, 4)
    generator = np.random.default_rng(2)
    redrawn = [
        frechet_distance(
            measured=table(X[generator.integers(0, len(X), len(X))]),
            generated=table(Y[generator.integers(0, len(Y), len(Y))]),
            resamples=2,
        ).value
        for _ in range(400)
    ]
    found = frechet_distance(measured=table(X), generated=table(Y), resamples=2000)
    spread = np.subtract(*np.quantile(redrawn, (0.975, 0.025)))
    assert found.high - found.low == pytest.approx(spread, rel=0.15)


def cubic(x, y):
    return (float(np.dot(x, y)) / len(x) + 1) ** 3


def double_loop(X, Y, k):
    n, m = len(X), len(Y)
    return (
        sum(k(X[i], X[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
        + sum(k(Y[i], Y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
        - 2 * sum(k(x, y) for x in X for y in Y) / (n * m)
    )


def test_kernel_is_the_double_loop():
    X, Y = two_sets(17, 23)
    found = kernel_distance(measured=table(X), generated=table(Y)).value
    assert found == pytest.approx(double_loop(X, Y, cubic), rel=1e-10)


def test_kernel_over_descriptors_is_the_double_loop_of_a_bounded_kernel():
    X, Y = (7.0 * values * np.arange(1, values.shape[1] + 1) for values in two_sets(17, 23))
    found = kernel_distance(measured=table(X, units_differ=True), generated=table(Y, units_differ=True)).value
    X, Y = ((values - X.mean(0)) / X.std(0, ddof=1) for values in (X, Y))
    squares = [float(np.sum((a - b) ** 2)) for i, a in enumerate(X) for b in X[:i]]
    middle = np.median(squares)
    expected = double_loop(X, Y, lambda x, y: 1 / (1 + float(np.sum((x - y) ** 2)) / middle))
    assert found == pytest.approx(expected, rel=1e-9)


def test_kernel_is_that_of_torchmetrics():
    kid = pytest.importorskip("torchmetrics.image.kid")
    X, Y = two_sets(60, 60, 8)
    expected = kid.poly_mmd(torch.from_numpy(X), torch.from_numpy(Y), degree=3, coef=1.0).item()
    assert kernel_distance(measured=table(X), generated=table(Y)).value == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("specimens", [None, 7])
def test_kernel_replicates_are_the_weighted_double_loop(specimens):
    """Every pair of different rows counts w_i w_j, or, within one specimen, once a copy of it."""
    from morphogen.evaluation.distances.kernel import DISTANCE
    from morphogen.evaluation.intervals import resampling_weights

    X, Y = two_sets(14, 18)
    groups_X = [str(i % specimens) for i in range(14)] if specimens else ["s"] * 14
    groups_Y = [str(i % specimens) for i in range(18)] if specimens else ["s"] * 18
    resamples = 5
    (found,) = DISTANCE(measured=table(X, groups_X), generated=table(Y, groups_Y), seed=3, resamples=resamples)
    w = resampling_weights(groups_X, resamples, 3, Use.WEIGHTS_OF_MEASURED)
    v = resampling_weights(groups_Y, resamples, 3, Use.WEIGHTS_OF_COMPARED)

    def within(x, groups, weights):
        top = bottom = 0.0
        for i in range(len(x)):
            for j in range(len(x)):
                if i != j:
                    same = specimens is not None and groups[i] == groups[j]
                    pair = weights[i] if same else weights[i] * weights[j]
                    top += pair * cubic(x[i], x[j])
                    bottom += pair
        return top / bottom

    expected = []
    for r in range(resamples):
        cross = sum(w[r, i] * v[r, j] * cubic(X[i], Y[j]) for i in range(14) for j in range(18))
        cross /= w[r].sum() * v[r].sum()
        expected.append(within(X, groups_X, w[r]) + within(Y, groups_Y, v[r]) - 2 * cross)
    np.testing.assert_allclose(found.draws - found.value, np.array(expected) - np.mean(expected), rtol=1e-9)


@pytest.mark.parametrize("neighbours", [1, 3, 5])
def test_precision_and_recall_are_their_definition(neighbours):
    X, Y = two_sets(50, 64, 3, seed=4)

    def manifold_holds(balls, points):
        radii = np.sort(cdist(balls, balls), axis=1)[:, neighbours]  # column 0 is the row itself
        return np.mean([(np.linalg.norm(balls - p, axis=1) <= radii).any() for p in points])

    precision, recall = precision_and_recall(measured=table(X), generated=table(Y), neighbours=neighbours)
    assert 0 < precision.value < 1
    assert precision.value == manifold_holds(X, Y)
    assert recall.value == manifold_holds(Y, X)


@pytest.mark.parametrize("count", [9, 60])
def test_a_share_of_none_or_all_has_the_exact_binomial_interval(count):
    """scipy's Clopper-Pearson interval of 0 and of all hits."""
    near = np.linspace(0, 1, count)[:, None]
    none = precision_and_recall(measured=table(near), generated=table(near + 99))
    every = precision_and_recall(measured=table(near), generated=table(near))
    for hits, found in ((0, none), (count, every)):
        exact = stats.binomtest(hits, count).proportion_ci(0.95, method="exact")
        for share in found:
            assert (share.low, share.value, share.high) == pytest.approx((exact.low, hits / count, exact.high))


def test_a_share_of_none_counts_specimens_where_specimens_are_resampled():
    near = np.linspace(0, 1, 70)[:, None]
    specimens = [f"specimen {i % 7}" for i in range(70)]
    precision, recall = precision_and_recall(measured=table(near, specimens), generated=table(near + 99))
    assert recall.high == pytest.approx(stats.binomtest(0, 7).proportion_ci(0.95, method="exact").high)
    assert precision.high == pytest.approx(stats.binomtest(0, 70).proportion_ci(0.95, method="exact").high)


def test_blocks_do_not_change_a_result(monkeypatch):
    from morphogen.evaluation.distances import kernel, precision_recall

    X, Y = two_sets(50, 33)
    whole = (
        kernel_distance(measured=table(X), generated=table(Y)),
        precision_and_recall(measured=table(X), generated=table(Y)),
    )
    monkeypatch.setattr(kernel, "ROWS", 7)
    monkeypatch.setattr(precision_recall, "ROWS", 7)
    in_blocks = kernel_distance(measured=table(X), generated=table(Y))
    assert in_blocks.value == pytest.approx(whole[0].value, rel=1e-10)
    assert in_blocks.low == pytest.approx(whole[0].low, rel=1e-10)
    assert precision_and_recall(measured=table(X), generated=table(Y)) == whole[1]
