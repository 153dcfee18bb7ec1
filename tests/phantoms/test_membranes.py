"""Membranes: harmonic functions are their own, and what the equation says holds."""

import numpy as np
import pytest

from morphogen.mathematics.membranes import membrane

Y, X = np.mgrid[:14, :19].astype(float)
HOLE = (Y - 6) ** 2 + (X - 8) ** 2 < 20


@pytest.mark.parametrize("harmonic", [np.full_like(X, 3.0), 2 - 0.3 * X + Y, X**2 - Y**2, X * Y])
def test_a_harmonic_function_is_found_from_its_border(harmonic):
    seen = np.where(HOLE, np.nan, harmonic)  # what is not known is not read
    found = membrane(np.stack([seen, -seen]), ~HOLE)
    np.testing.assert_allclose(found, np.stack([harmonic, -harmonic]), atol=1e-6)


def test_nothing_flows_across_the_edge_and_what_touches_nothing_is_left():
    values = np.zeros((1, 5, 6))
    known = np.zeros((5, 6), bool)
    known[:, 0], values[0, :, 0] = True, 7.0
    np.testing.assert_allclose(membrane(values, known), 7.0, atol=1e-5)
    assert not membrane(values, np.zeros((5, 6), bool)).any()
    assert np.array_equal(membrane(values, np.ones((5, 6), bool)), values)


def test_each_pixel_is_the_mean_of_its_neighbours():
    random = np.random.default_rng(0)
    values = random.normal(size=(1, 14, 19))
    (found,) = membrane(values, ~HOLE)
    mean = (np.roll(found, 1, 0) + np.roll(found, -1, 0) + np.roll(found, 1, 1) + np.roll(found, -1, 1)) / 4
    np.testing.assert_allclose(found[HOLE], mean[HOLE], atol=1e-6)
    assert np.array_equal(found[~HOLE], values[0][~HOLE])
