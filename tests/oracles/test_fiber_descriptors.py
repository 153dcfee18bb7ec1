"""scikit-image and SciPy agree on sections, directions and spectra."""

import math

import numpy as np
import pytest
from scipy import signal, stats
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree
from skimage.feature import structure_tensor
from skimage.measure import regionprops

from morphogen.evaluation.descriptors.fiber_arrangement import nearest_neighbour_distance
from morphogen.evaluation.descriptors.fiber_sections import fiber_sections
from morphogen.evaluation.descriptors.noise_and_sharpness import noise_level
from morphogen.evaluation.descriptors.orientation import directions
from morphogen.evaluation.descriptors.power_spectrum import power_spectrum
from morphogen.evaluation.section import Section
from morphogen.phantoms.phantom import phantom


def test_sections_are_measured_as_by_scikit_image():
    """Centres, areas and second moments to rounding; what touches the edge to the pixel."""
    p = phantom("fiber", seed=0, size=(160, 200), tilt_spread_deg=20)
    found = fiber_sections(Section(p.picture, p.labels.astype(bool)))
    regions = regionprops(found.labels)
    assert len(regions) == len(found.diameters) > 100
    pixel = p.picture.spacing_um[0]
    centres = np.array([r.centroid for r in regions]) + 0.5
    large = np.array([r.num_pixels > 20 for r in regions])
    long, short, areas = np.array([(*r.inertia_tensor_eigvals, r.num_pixels) for r in regions])[large].T
    np.testing.assert_allclose(found.centres, centres * pixel, rtol=1e-10)
    np.testing.assert_allclose(found.aspect_ratios[large], np.sqrt(long / short), rtol=1e-8)
    area = math.pi / 4 * found.diameters * found.long_axes
    np.testing.assert_allclose(area[large], areas * pixel**2, rtol=1e-10)
    boxes = np.array([r.bbox for r in regions])
    whole = (boxes[:, :2].min(axis=1) > 0) & (boxes[:, 2] < 160) & (boxes[:, 3] < 200)
    np.testing.assert_array_equal(found.whole, whole)


def test_the_mean_direction_is_that_of_scikit_images_structure_tensor():
    """Its gradients are Sobel's and not Gaussian ones; on an image that is smooth already they agree to a degree."""
    grey = gaussian_filter(phantom("root", seed=3).picture.grey, 3.0)
    inside = (slice(5, -5), slice(5, -5))  # ours looks at nothing that a filter made up beyond the edge
    rr, rc, cc = (part[inside].mean() for part in structure_tensor(grey, sigma=0.1, mode="nearest", order="rc"))
    angle = math.degrees(math.atan2(2 * rc, rr - cc)) / 2  # rows count downwards
    found = directions(grey)
    assert found.preferred
    assert abs((math.degrees(math.atan2(found.sin, found.cos)) / 2 - angle + 90) % 180 - 90) < 1.0


def test_the_spectrum_of_a_row_pattern_is_scipys_periodogram():
    """An image that varies along x only: a periodogram along x times what the window leaves along y."""
    row = np.cumsum(np.random.default_rng(0).standard_normal(64))
    image = np.tile(row, (64, 1))
    window = np.sin(math.pi * (np.arange(64) + 0.5) / 64) ** 2
    centred = row - np.average(row, weights=window)
    _, of_row = signal.periodogram(centred, window=window, detrend=False, scaling="density", return_onesided=False)
    _, along_y = signal.periodogram(np.ones(64), window=window, detrend=False, scaling="density", return_onesided=False)
    P = np.outer(along_y, of_row)
    f = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.fftfreq(64))
    ring = np.floor(f * 64 + 0.5 + 1e-9).astype(int)
    expected = [P[ring == k].mean() for k in range(1, 33)]
    found = power_spectrum(image)
    np.testing.assert_allclose(found.power, expected, rtol=1e-9)
    assert found.high_share == pytest.approx(P[f > 0.25].sum() / P.sum(), rel=1e-9)


def test_the_noise_is_scipys_deviation_of_immerkaers_filter():
    grey = phantom("rock", seed=0).picture.grey + np.random.default_rng(1).random((256, 256))  # no whole numbers
    response = signal.convolve2d(grey, np.outer([1, -2, 1], [1, -2, 1]) / 6, mode="valid")
    expected = stats.median_abs_deviation(response, axis=None, center=lambda values, axis: 0.0, scale="normal")
    assert noise_level(grey) == pytest.approx(expected, rel=1e-5)


def test_neighbours_are_those_of_a_torus_of_copies():
    """On a torus there is no edge: Hanisch's correction finds the same mean within what a field can tell."""
    generator = np.random.default_rng(2)
    ratios = []
    for _ in range(200):
        points = generator.uniform(0, 50, (60, 2))
        true = cKDTree(points, boxsize=50).query(points, k=2)[0][:, 1].mean()
        ratios.append(nearest_neighbour_distance(points, (50.0, 50.0)) / true)
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.015)  # about three standard errors
