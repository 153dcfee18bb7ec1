"""The formulas behind phantoms with depth: covariograms, Gaussian fields, directions, contacts."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from morphogen.mathematics.boolean_model import covariogram_of_ball, covariogram_of_ellipsoid
from morphogen.mathematics.contacts import between_ellipsoids, between_segments
from morphogen.mathematics.directions import (
    fisher_directions,
    fisher_orientation_tensor,
    fisher_second_moment,
    orientation_tensor,
)
from morphogen.mathematics.gaussian_fields import level_of, matern, stationary_field, two_point_below
from morphogen.mathematics.randomness import numpy_generator


@pytest.mark.parametrize("dimensions", [2, 3])
def test_the_covariogram_of_a_ball_integrates_to_its_volume_squared(dimensions: int) -> None:
    R = 1.7
    volume, shadow = (math.pi * R**2, 2 * R) if dimensions == 2 else (4 / 3 * math.pi * R**3, math.pi * R**2)
    r = np.linspace(0, 2 * R, 20_001)
    K = covariogram_of_ball(r, R, dimensions)
    assert K[0] == pytest.approx(volume)
    assert K[-1] == pytest.approx(0, abs=1e-12)
    assert (K[1] - K[0]) / r[1] == pytest.approx(-shadow, rel=1e-3)  # Cauchy and Matheron: minus the projection
    shells = 2 * math.pi * r if dimensions == 2 else 4 * math.pi * r**2
    assert np.trapezoid(K * shells, r) == pytest.approx(volume**2, rel=1e-6)
    assert covariogram_of_ball(3 * R, R, dimensions) == 0


def test_the_covariogram_of_an_ellipsoid_is_what_points_count() -> None:
    numbers = numpy_generator(1)
    directions = np.linalg.qr(numbers.standard_normal((3, 3)))[0]
    half_axes = np.array([2.0, 1.0, 0.6])
    ball = numbers.standard_normal((200_000, 3))
    ball *= (numbers.uniform(size=(len(ball), 1)) ** (1 / 3)) / np.linalg.norm(ball, axis=1, keepdims=True)
    inside = ball * half_axes @ directions  # uniform in the ellipsoid
    for moved in np.array([[0.3, 0.5, -0.2], [0.4, -0.2, 0.1]]):
        share = (np.linalg.norm((inside + moved) @ directions.T / half_axes, axis=1) <= 1).mean()
        expected = covariogram_of_ellipsoid(moved, half_axes, directions) / (4 / 3 * math.pi * np.prod(half_axes))
        assert share == pytest.approx(float(expected), abs=4 * math.sqrt(0.25 / len(ball)))
        assert 0.05 < expected < 0.8


def test_materns_covariance_joins_its_closed_forms_and_its_limit() -> None:
    r = np.linspace(0, 5, 50)
    for nu in (0.5, 1.5, 2.5):  # beside these, Bessel functions are taken
        np.testing.assert_allclose(matern(r, 1.3, nu + 1e-9), matern(r, 1.3, nu), atol=1e-7)
    np.testing.assert_allclose(matern(r, 1.3, 49.9), np.exp(-(r**2) / 2 / 1.3**2), atol=0.01)
    np.testing.assert_allclose(matern(r, 1.3, 60), np.exp(-(r**2) / 2 / 1.3**2), atol=1e-15)


def test_two_points_below_a_level_are_as_the_bivariate_normal_distribution_says() -> None:
    C = np.array([0.95, 0.5, 0.1, -0.4])
    np.testing.assert_allclose(two_point_below(0.5, C), 0.25 + np.arcsin(C) / (2 * math.pi), rtol=1e-12)
    for p in (0.1, 0.3, 0.8):
        h = level_of(p)
        expected = [multivariate_normal.cdf([h, h], cov=[[1, c], [c, 1]]) for c in C]
        np.testing.assert_allclose(two_point_below(p, C), expected, atol=1e-5)
        np.testing.assert_allclose(two_point_below(p, [1.0, 0.0]), [p, p * p], atol=1e-6)


def test_a_field_has_the_asked_covariance_along_every_axis() -> None:
    def covariance(steps: tuple[np.ndarray, ...]) -> np.ndarray:
        return matern(np.sqrt(steps[0] ** 2 + (steps[1] / 2) ** 2), 4.0, 1.5)

    fields = np.stack(
        [stationary_field((64, 96), covariance, (24, 48), numpy_generator(3, k))[0] for k in range(150)],
        dtype=np.float64,
    )
    of_fields = fields.mean((1, 2))
    assert of_fields.mean() == pytest.approx(0, abs=4 * of_fields.std() / math.sqrt(len(fields)))
    for lag in (0, 2, 5, 10):
        for axis, stretch in ((1, 1.0), (2, 2.0)):
            first = fields[:, lag:] if axis == 1 else fields[:, :, lag:]
            second = fields[:, : 64 - lag] if axis == 1 else fields[:, :, : 96 - lag]
            products = (first * second).mean((1, 2))
            error = products.std() / math.sqrt(len(fields))
            assert products.mean() == pytest.approx(float(matern(lag / stretch, 4.0, 1.5)), abs=4 * error)
            assert error < 0.02


@pytest.mark.parametrize("kappa", [0.0, 2.0, 50.0, math.inf])
def test_directions_have_fishers_moments(kappa: float) -> None:
    mean = np.array([1.0, -2.0, 0.5])
    u = fisher_directions(mean, kappa, 40_000, numpy_generator(4))
    np.testing.assert_allclose(np.linalg.norm(u, axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(orientation_tensor(u), fisher_orientation_tensor(mean, kappa), atol=0.007)
    w = u @ mean / np.linalg.norm(mean)
    L = {0.0: 0.0, math.inf: 1.0}.get(kappa) if kappa in (0.0, math.inf) else 1 / math.tanh(kappa) - 1 / kappa
    assert w.mean() == pytest.approx(L, abs=4 * 0.58 / 200)
    assert (w**2).mean() == pytest.approx(fisher_second_moment(kappa), abs=4 * 0.3 / 200)
    assert fisher_second_moment(0.0999) == pytest.approx(fisher_second_moment(0.1001), abs=2e-6)


def test_the_way_between_segments_is_the_shortest() -> None:
    numbers = numpy_generator(5)
    R, first, second = numbers.standard_normal((3, 400, 3))
    second[:50] = first[:50] * 1.5  # parallel
    second[50:60] = 0.0  # a point
    found = np.linalg.norm(between_segments(R, first, second), axis=1)
    s = np.linspace(-1, 1, 61)
    best = np.full(400, np.inf)
    for t in s:  # every point of one against every point of the other
        apart = R[:, None] + t * second[:, None] - s[None, :, None] * first[:, None]
        best = np.minimum(best, np.linalg.norm(apart, axis=2).min(1))
    assert (found <= best + 1e-9).all()
    np.testing.assert_allclose(found, best, atol=0.09)  # as far as the grid lets it come
    assert (best - found).mean() < 0.005


def test_ellipsoids_touch_when_they_are_scaled_by_the_factor() -> None:
    numbers = numpy_generator(6)
    Q = np.linalg.qr(numbers.standard_normal((2, 6, 3, 3)))[0]
    half_axes = numbers.uniform(0.5, 2, (2, 6, 3))
    A, B = np.einsum("knij,knj,knlj->knil", Q, half_axes**2, Q)
    R = 3 * numbers.standard_normal((6, 3))
    mu, slope = between_ellipsoids(R, A, B)
    for k in range(6):  # the point that is in both at the least factor
        inverses = np.linalg.inv(A[k]), np.linalg.inv(B[k])

        def factors(x: np.ndarray, k: int = k, inverses: tuple[np.ndarray, ...] = inverses) -> list[float]:
            return [x @ inverses[0] @ x, (x - R[k]) @ inverses[1] @ (x - R[k])]

        found = minimize(
            lambda v: v[3], [*(R[k] / 2), 50.0], method="SLSQP", options={"maxiter": 300, "ftol": 1e-12},
            constraints=[{"type": "ineq", "fun": lambda v, f=factors: v[3] - np.array(f(v[:3]))}],
        )  # fmt: skip
        assert mu[k] == pytest.approx(math.sqrt(found.x[3]), rel=1e-4)
    for axis in range(3):
        moved = R.copy()
        moved[:, axis] += 1e-5
        np.testing.assert_allclose((between_ellipsoids(moved, A, B)[0] - mu) / 1e-5, slope[:, axis], atol=1e-3)
    radii = numbers.uniform(0.5, 2, (2, 6))
    spheres = radii[..., None, None] ** 2 * np.eye(3)
    mu, _ = between_ellipsoids(R, *spheres)
    np.testing.assert_allclose(mu, np.linalg.norm(R, axis=1) / radii.sum(0), rtol=1e-7)
