"""The camera: what it blurs keeps its mean, its noise has the variance that was set, nothing wraps."""

import numpy as np
import pytest
from pydantic import ValidationError

from morphogen.mathematics.randomness import numpy_generator
from morphogen.phantoms.instruments.camera import Camera

IDEAL = Camera(blur_px=0, read_noise=0, shot_noise=0, shading=0, offset=0, gain=1)


def with_only(**settings: float) -> Camera:
    return Camera(**(IDEAL.model_dump() | settings))


def test_an_ideal_camera_gives_the_scene_in_full_scale() -> None:
    scene = np.linspace(0, 1, 256).reshape(16, 16)
    np.testing.assert_array_equal(
        IDEAL.photograph(scene, "uint8", numpy_generator(0)), np.arange(256, dtype=np.uint8).reshape(16, 16)
    )
    wide = IDEAL.photograph(scene, "uint16", numpy_generator(0))
    np.testing.assert_array_equal(wide, (np.arange(256) * 257).astype(np.uint16).reshape(16, 16))


def test_blur_keeps_the_mean_and_has_the_width_that_was_set() -> None:
    scene = (numpy_generator(1).uniform(size=(90, 70)) > 0.7).astype(float)
    for blur in (0.7, 2.0, 6.0):
        pixels = with_only(blur_px=blur).photograph(scene, "uint16", numpy_generator(0))
        assert pixels.mean() / 65535 == pytest.approx(scene.mean(), abs=1e-5)
    point = np.zeros((41, 41))
    point[20, 20] = 1.0
    spread = with_only(blur_px=2.5).photograph(point, "uint16", numpy_generator(0)).astype(float)
    variance = (spread.sum(1) * (np.arange(41) - 20) ** 2).sum() / spread.sum()
    assert variance == pytest.approx(2.5**2, rel=0.02)


def test_fringes_overshoot_an_edge_by_half_of_their_strength_on_both_sides_and_keep_the_rest() -> None:
    scene = np.repeat([[0.3] * 60 + [0.7] * 60], 9, axis=0)
    grey = with_only(fringes=0.5, fringe_px=4.0).photograph(scene, "uint16", numpy_generator(0)) / 65535
    half_a_pixel = 0.5 / 4.0 / np.sqrt(2 * np.pi)  # the edge lies between the centres of two pixels
    assert grey[4, 60] - 0.7 == pytest.approx(0.5 * 0.4 * (0.5 - half_a_pixel), abs=1e-3)
    assert 0.3 - grey[4, 59] == pytest.approx(0.5 * 0.4 * (0.5 - half_a_pixel), abs=1e-3)
    np.testing.assert_allclose(grey[:, [0, 119]], scene[:, [0, 119]], atol=1e-4)
    assert grey.mean() == pytest.approx(0.5, abs=1e-5)


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9])
@pytest.mark.parametrize(("read", "shot"), [(0.02, 0.0), (0.0, 0.03), (0.01, 0.02)])
def test_noise_has_the_variance_that_was_set(level: float, read: float, shot: float) -> None:
    scene = np.full((300, 300), level)
    pixels = with_only(read_noise=read, shot_noise=shot, gain=0.8, offset=0.1).photograph(
        scene, "uint16", numpy_generator(2)
    )
    grey = pixels / 65535
    # The variance of 90 000 pixels is known to 4 * sqrt(2 / 90000) = 2 %.
    assert grey.var() == pytest.approx(0.8**2 * (read**2 + shot**2 * level), rel=0.02)
    assert grey.mean() == pytest.approx(0.1 + 0.8 * level, abs=0.0005)


def test_shading_is_a_ramp_of_the_size_that_was_set_and_keeps_the_mean() -> None:
    scene = np.full((60, 100), 0.5)
    for seed in range(4):
        grey = with_only(shading=0.3).photograph(scene, "uint16", numpy_generator(seed)) / 65535
        assert np.ptp(grey) == pytest.approx(0.3 * 0.5, abs=1e-4)
        assert grey.mean() == pytest.approx(0.5, abs=1e-5)
        assert np.abs(np.diff(grey, n=2, axis=0)).max() < 5e-5  # a plane, to the rounding
        assert np.abs(np.diff(grey, n=2, axis=1)).max() < 5e-5
    directions = [with_only(shading=0.3).photograph(scene, "uint8", numpy_generator(k)) for k in (0, 1)]
    assert (directions[0] != directions[1]).any()


@pytest.mark.parametrize(("dtype", "full_scale"), [("uint8", 255), ("uint16", 65535)])
def test_nothing_wraps(dtype: str, full_scale: int) -> None:
    noisy = Camera(read_noise=0.5, shot_noise=0.5, gain=2.0)
    bright = noisy.photograph(np.ones((64, 64)), dtype, numpy_generator(3))  # type: ignore[arg-type]
    dark = noisy.photograph(np.zeros((64, 64)), dtype, numpy_generator(3))  # type: ignore[arg-type]
    assert bright.dtype == dtype
    # Wrapped, half of the dark noise would be white. Clipped, it is black.
    assert (dark == 0).mean() == pytest.approx(0.484, abs=0.04)  # P(n < -0.02), n of standard deviation 0.5
    assert (bright == full_scale).mean() > 0.7
    assert np.median(bright) == full_scale


def test_sixteen_bits_are_used_and_not_only_eight_shifted() -> None:
    scene = numpy_generator(4).uniform(size=(128, 128))
    wide = Camera().photograph(scene, "uint16", numpy_generator(5))
    narrow = Camera().photograph(scene, "uint8", numpy_generator(5))
    assert len(np.unique(wide)) > 5000
    assert wide.max() > 40_000
    np.testing.assert_allclose(wide / 65535, narrow / 255, atol=0.5 / 255 + 1e-4)  # the same image


def test_settings_are_frozen_and_checked() -> None:
    with pytest.raises(ValidationError):
        Camera(blur=1.0)  # type: ignore[call-arg]
    with pytest.raises(ValidationError):
        Camera(read_noise=-0.1)
    with pytest.raises(ValidationError):
        Camera().gain = 2.0  # type: ignore[misc]
