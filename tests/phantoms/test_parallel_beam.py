"""Parallel-beam tomography: sinograms and reconstructions of discs, shadows of single pixels, noise, batches."""

import math

import numpy as np
import pytest

from morphogen.mathematics.parallel_beam import ParallelBeam, ramp
from morphogen.mathematics.randomness import numpy_generator


def disc(size: int, radius: float, centre: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """Share of each pixel that a disc covers, by 16 x 16 points; y and x from the middle of the image."""
    fine = (np.arange(16 * size) + 0.5) / 16 - size / 2
    covered = np.hypot(fine[:, None] - centre[0], fine[None] - centre[1]) <= radius
    return covered.reshape(size, 16, size, 16).mean((1, 3))


def chord_over_element(radius: float, s: np.ndarray) -> np.ndarray:
    """Mean of 2 sqrt(r^2 - s^2) over elements one wide, from its integral s sqrt(r^2 - s^2) + r^2 asin(s / r)."""

    def integral(t: np.ndarray) -> np.ndarray:
        t = np.clip(t, -radius, radius)
        return t * np.sqrt(radius**2 - t**2) + radius**2 * np.arcsin(t / radius)

    return integral(s + 0.5) - integral(s - 0.5)


@pytest.mark.parametrize("centre", [(0.0, 0.0), (5.3, -3.1)])
def test_the_sinogram_of_a_disc_is_its_chords(centre: tuple[float, float]) -> None:
    beam = ParallelBeam.around((41, 41), 30)
    found = beam.project(disc(41, 12.4, centre)[None])[0]
    s = np.arange(beam.detectors) - (beam.detectors - 1) / 2
    middle = centre[1] * np.cos(beam.theta()) + centre[0] * np.sin(beam.theta())
    exact = np.stack([chord_over_element(12.4, s - m) for m in middle])
    assert np.sqrt(((found - exact) ** 2).mean()) < 0.008 * exact.max()  # what squares differ from a disc by
    np.testing.assert_allclose(found.sum(1), math.pi * 12.4**2, rtol=1e-3)


def test_the_shadow_of_a_pixel_is_exact() -> None:
    image = np.zeros((9, 9))
    image[2, 6] = 1.0
    beam = ParallelBeam.around((9, 9), 12)
    found = beam.project(image[None])[0]
    inside = (np.arange(400) + 0.5) / 400 - 0.5
    y, x = -2 + inside[:, None], 2 + inside[None]
    edges = np.arange(beam.detectors + 1) - beam.detectors / 2
    for angle, of_angle in zip(beam.theta(), found, strict=True):
        counted, _ = np.histogram(x * math.cos(angle) + y * math.sin(angle), edges)
        np.testing.assert_allclose(of_angle, counted / 400**2, atol=0.004)
    np.testing.assert_allclose(found.sum(1), 1.0, rtol=1e-6)


def test_a_disc_is_reconstructed_with_its_value() -> None:
    beam = ParallelBeam.around((41, 41), 90)
    image = 0.7 * disc(41, 12.4, (2.0, 3.0))
    for smoothing in (0.0, 1.0):
        found = beam.reconstruct(beam.project(image[None]), smoothing)[0]
        within = disc(41, 9.0, (2.0, 3.0)) == 1
        assert found[within].mean() == pytest.approx(0.7, rel=2e-3)
        assert np.abs(found[within] - 0.7).max() < 0.03
        y, x = np.indices(found.shape) - 20
        weight = np.clip(found, 0, None) * (np.hypot(y - 2, x - 3) < 16)
        assert (weight * y).sum() / weight.sum() == pytest.approx(2.0, abs=0.05)  # where it was, and not mirrored
        assert (weight * x).sum() / weight.sum() == pytest.approx(3.0, abs=0.05)


def test_the_ramp_has_no_mean_and_the_window_tames_it() -> None:
    sharp, soft = ramp(400), ramp(400, 1.0)
    assert sharp.sum() == pytest.approx(0, abs=1 / (math.pi**2 * 200))  # what is cut off of sum 1 / (pi n)^2
    assert np.abs(np.fft.rfft(np.fft.ifftshift(soft))[-1]) < 1e-3 * np.abs(np.fft.rfft(np.fft.ifftshift(sharp))[-1])
    frequency = np.fft.rfftfreq(799)
    np.testing.assert_allclose(np.fft.rfft(np.fft.ifftshift(sharp)).real[20:], frequency[20:], atol=2e-3)


@pytest.mark.parametrize("smoothing", [0.0, 0.6])
def test_white_noise_is_passed_on_with_the_variance_of_the_closed_form(smoothing: float) -> None:
    beam = ParallelBeam.around((24, 24), 60)
    level = 1 + np.arange(60) / 60  # another one at every angle
    noise = numpy_generator(1).standard_normal((60, 60, beam.detectors)) * np.sqrt(level)[:, None]
    found = beam.reconstruct(noise, smoothing)
    assert found.var() == pytest.approx(beam.noise_variance(level, smoothing), rel=0.03)


def test_an_image_is_the_same_to_the_bit_in_any_batch() -> None:
    beam = ParallelBeam((21, 30), 17, 40)
    images = numpy_generator(2).uniform(size=(5, 21, 30))
    images[3, :, 4:] = 0
    together = beam.project(images)
    back = beam.reconstruct(together, 0.3)
    for k in range(5):
        alone = beam.project(images[k : k + 1])
        np.testing.assert_array_equal(alone[0], together[k])
        np.testing.assert_array_equal(beam.reconstruct(alone, 0.3)[0], back[k])
