"""Orientation, power spectrum, noise and sharpness of images for which they are known in closed form."""

import math

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.special import erf

from morphogen.evaluation.descriptors.descriptor import descriptor
from morphogen.evaluation.descriptors.noise_and_sharpness import TEN_TO_NINETY, edge_width, noise_level
from morphogen.evaluation.descriptors.orientation import axial_degrees, directions
from morphogen.evaluation.descriptors.power_spectrum import power_spectrum
from morphogen.evaluation.section import IN_COLOUR, Section
from morphogen.images.picture import Origin, Picture
from morphogen.phantoms.instruments.camera import Camera
from morphogen.phantoms.phantom import phantom

TEXTURE = ("orientation", "power_spectrum", "noise_and_sharpness")


def section(pixels, spacing=(math.nan, math.nan)):
    pixels = np.asarray(pixels)
    pixels = pixels if pixels.ndim == 3 else pixels[None].astype(np.float32)
    return Section(Picture(pixels, spacing, Origin("s")), pixels[0] > pixels[0].mean())


def coordinates(size, pixel=(1.0, 1.0)):
    """Upwards and to the right, from the middle of the field."""
    y, x = ((np.arange(n) - (n - 1) / 2) * p for n, p in zip(size, pixel, strict=True))
    return -y[:, None], x[None]


def stripes(degrees, size=(128, 160), pixel=(1.0, 1.0), period=9.0):
    """A wave whose crests climb to the right at this angle."""
    up, right = coordinates(size, pixel)
    angle = math.radians(degrees)
    return np.cos(2 * math.pi * (up * math.cos(angle) - right * math.sin(angle)) / period)


def apart(one, other):
    """Angle between two axes, degrees."""
    return abs((one - other + 90) % 180 - 90)


@pytest.mark.parametrize("pixel", [(1.0, 1.0), (1.0, 2.0), (3.0, 1.0)])
def test_stripes_have_the_angle_at_which_they_were_drawn(pixel):
    for degrees in np.arange(-88.0, 91.0, 11.0):
        found = directions(stripes(degrees, pixel=pixel, period=9 * max(pixel)), pixel)
        assert apart(found.mean, degrees) < 0.5
        assert found.anisotropy > 0.999
        assert found.spread < 1.0


def test_ninety_degrees_and_minus_ninety_are_one_direction():
    one, other = directions(stripes(89.0)), directions(stripes(-89.0))
    assert one.mean == pytest.approx(89.0, abs=0.1)
    assert other.mean == pytest.approx(-89.0, abs=0.1)
    # What is averaged over fields does not wrap: the mean of both is upright, and hardly less of one mind.
    C, S = (one.cos + other.cos) / 2, (one.sin + other.sin) / 2
    assert axial_degrees(S, C) == pytest.approx(90.0, abs=0.1)
    assert math.hypot(C, S) > 0.998
    assert directions(stripes(90.0)).mean == pytest.approx(90.0, abs=1e-6)
    assert axial_degrees(-0.0, -1.0) == 90.0


def test_components_are_the_cosine_and_sine_of_the_doubled_angle():
    for degrees in (0.0, 30.0, 45.0, 90.0, -60.0):
        found = directions(stripes(degrees))
        assert found.cos == pytest.approx(math.cos(math.radians(2 * degrees)), abs=0.005)
        assert found.sin == pytest.approx(math.sin(math.radians(2 * degrees)), abs=0.005)


def test_two_directions_side_by_side_add_as_axes():
    """Halves of the field at 20 and -40 degrees: mean -10, R = cos 60, half of the distribution at either."""
    readings = descriptor("orientation")(section(np.hstack([stripes(20.0), stripes(-40.0)])))
    found = {name: s.value for name, s in readings.scalars.items()}
    assert axial_degrees(found["orientation sin 2θ"], found["orientation cos 2θ"]) == pytest.approx(-10, abs=0.5)
    # The seam between the halves has directions of its own, 2 % of the field.
    assert found["orientation anisotropy"] == pytest.approx(0.5, abs=0.02)
    assert found["orientation spread"] == pytest.approx(math.degrees(math.sqrt(2 * 0.5) / 2), abs=0.6)
    curve = readings.curves["orientation distribution"]
    assert curve.y.sum() == pytest.approx(1.0)
    for degrees in (20.0, -40.0):  # on the border of two bins
        assert curve.y[np.abs(curve.x - degrees) < 6].sum() == pytest.approx(0.5, abs=0.02)
    crossed = directions(np.hstack([stripes(20.0), stripes(-70.0)]))
    assert crossed.anisotropy < 0.03
    assert crossed.mean is None


def test_the_spread_of_many_fields_of_stripes_is_that_of_their_angles():
    angles = np.random.default_rng(0).normal(15.0, 8.0, 30)
    mosaic = np.vstack([np.hstack([stripes(a, (96, 96)) for a in row]) for row in angles.reshape(5, 6)])
    found = directions(mosaic)
    assert found.mean == pytest.approx(angles.mean(), abs=1.0)
    assert found.spread == pytest.approx(angles.std(), rel=0.15)  # the seams widen it


def test_noise_has_no_direction():
    generator = np.random.default_rng(1)
    found = [directions(generator.standard_normal((64, 64))) for _ in range(200)]
    assert abs(np.mean([f.cos for f in found])) < 0.04  # three standard errors, of 0.17 / sqrt(200)
    assert abs(np.mean([f.sin for f in found])) < 0.04
    assert sum(f.mean is not None for f in found) <= 8  # at the 1 % level 2 are expected
    assert directions(generator.standard_normal((256, 256))).anisotropy < 0.12


def test_noise_leaves_the_direction_of_stripes():
    noisy = stripes(30.0) + 2 * np.random.default_rng(2).standard_normal((128, 160))
    assert directions(noisy).mean == pytest.approx(30.0, abs=1.5)


def test_a_colour_image_is_read_by_its_phase():
    bright = stripes(25.0) > 0
    colour = np.stack([bright, bright, ~bright]).astype(np.uint8) * 200
    readings = descriptor("orientation")(section(colour)).scalars
    angle = axial_degrees(readings["orientation sin 2θ"].value, readings["orientation cos 2θ"].value)
    assert angle == pytest.approx(25.0, abs=0.5)


@pytest.mark.parametrize("pixel", [(1.0, 1.0), (2.0, 1.0)])
def test_white_noise_has_a_flat_spectrum_of_the_right_level(pixel):
    """P = s^2 p_y p_x; ring 1 lies next to the mean that is taken away."""
    generator = np.random.default_rng(3)
    found = [power_spectrum(100 + 5 * generator.standard_normal((64, 96)), pixel) for _ in range(200)]
    power = np.array([f.power for f in found])
    error = power.std(axis=0, ddof=1) / math.sqrt(len(power))
    expected = 25 * math.prod(pixel)
    assert (np.abs(power.mean(axis=0) - expected)[2:] < 4 * error[2:]).all()
    assert error[4:].max() < 0.03 * expected  # so that the line above can fail
    assert np.mean([f.slope for f in found]) == pytest.approx(0.0, abs=0.06)
    if pixel == (1.0, 1.0):  # the quarter disc of radius Nyquist / 2 in a square
        assert np.mean([f.high_share for f in found]) == pytest.approx(1 - math.pi / 16, abs=0.003)


@pytest.mark.parametrize(("pixel", "periods"), [((1.0, 1.0), 9), ((0.5, 0.5), 20), ((1.0, 2.0), 12)])
def test_a_wave_stands_at_its_frequency_with_its_variance(pixel, periods):
    size = (64, 64)
    length = size[1] * pixel[1]
    wave = 7 + 3 * np.sin(2 * math.pi * periods * np.arange(64) / 64) * np.ones((64, 1))
    found = power_spectrum(wave, pixel)
    shorter = min(n * p for n, p in zip(size, pixel, strict=True))
    assert found.frequencies[np.argmax(found.power)] == pytest.approx(periods / length, abs=0.5 / shorter)
    assert found.high_share == pytest.approx(float(periods / length > 0.25 / max(pixel)), abs=1e-3)
    if pixel[0] == pixel[1]:
        # Parseval: members of ring k times its mean, times the area of a cell of the spectrum.
        k = np.rint(np.hypot(*np.meshgrid(np.fft.fftfreq(64, 1 / 64), np.fft.fftfreq(64, 1 / 64))))
        members = np.bincount(k.astype(int).ravel())[1:33]
        assert (members * found.power).sum() / length**2 == pytest.approx(9 / 2, rel=0.01)


@pytest.mark.parametrize("beta", [0.0, 1.0, 2.0, 3.0])
def test_fields_of_a_power_law_have_its_slope(beta):
    """Fields cut out of larger periodic ones, so that their edges do not fit together."""
    generator = np.random.default_rng(4)
    f = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.rfftfreq(256))
    f[0, 0] = np.inf
    amplitude = f ** (-beta / 2) if beta else np.ones_like(f)
    slopes = []
    for _ in range(12):
        spectrum = np.fft.rfft2(generator.standard_normal((256, 256))) * amplitude
        slopes.append(power_spectrum(np.fft.irfft2(spectrum)[:128, :128]).slope)
    assert np.mean(slopes) == pytest.approx(-beta, abs=0.12)  # three standard errors of about 0.035


def test_a_checkerboard_in_the_texture_raises_the_high_frequencies():
    smooth = gaussian_filter(np.random.default_rng(5).standard_normal((128, 128)), 3.0)
    board = np.add.outer(np.arange(128), np.arange(128)) % 2
    clean, tainted = (power_spectrum(g).high_share for g in (smooth, smooth + 0.1 * smooth.std() * (2 * board - 1)))
    assert clean < 1e-6
    hann = np.sin(math.pi * (np.arange(128) + 0.5) / 128) ** 2
    seen = np.average(
        (smooth - np.average(smooth, weights=np.outer(hann, hann))) ** 2, weights=np.outer(hann, hann) ** 2
    )
    share = 0.01 * smooth.var() / (0.01 * smooth.var() + seen)  # all of the board's variance is there
    assert tainted == pytest.approx(share, rel=1e-3)


@pytest.mark.parametrize("kind", ["rock", "fiber", "root"])
@pytest.mark.parametrize("noise", [0.015, 0.05])
def test_known_noise_on_a_phantom_is_recovered(kind, noise):
    """Within 15 %: what thin edges leave in the filter adds to the noise, in squares."""
    camera = Camera(read_noise=noise, shot_noise=0.0)
    for dtype, full_scale in (("uint8", 255), ("uint16", 65535)):
        grey = phantom(kind, seed=0, dtype=dtype, camera=camera).picture.grey
        assert noise_level(grey) == pytest.approx(noise * camera.gain * full_scale, rel=0.15)


def test_noise_level_of_noise_alone_and_of_what_is_smooth():
    generator = np.random.default_rng(6)
    noise = generator.standard_normal((256, 256))
    assert noise_level(3.0 * noise) == pytest.approx(3.0, rel=0.02)  # three standard errors of the median
    assert noise_level(np.rint(100 + 1.5 * noise)) == pytest.approx(math.sqrt(1.5**2 + 1 / 12), rel=0.03)
    y, x = np.mgrid[:64, :64] * 0.1
    assert noise_level(y * y + 3 * x - x * x) < 1e-12
    assert noise_level(np.full((32, 32), 9.0)) == 0.0


def step(blur, degrees, offset, size=(96, 96), pixel=(1.0, 1.0)):
    up, right = coordinates(size, pixel)
    distance = right * math.cos(math.radians(degrees)) + up * math.sin(math.radians(degrees)) - offset
    return 50 + 100 * 0.5 * (1 + erf(distance / (math.sqrt(2) * blur)))


@pytest.mark.parametrize("blur", [0.7, 1.0, 2.0, 3.0])
@pytest.mark.parametrize("pixel", [(1.0, 1.0), (2.0, 1.0)])
def test_the_width_of_a_blurred_step_is_that_of_its_blur(blur, pixel):
    """Wherever the edge lies between the pixels, and however it is turned; the Gaussians are cut off, hence 3 %."""
    s = blur * max(pixel)
    size = (round(96 / pixel[0]), 96)
    for degrees, offset in ((0, 0.0), (0, 0.5), (20, 0.25), (45, 0.1), (90, 0.3), (110, 0.0)):
        found = edge_width(step(s, degrees, offset, size, pixel), pixel)
        assert found == pytest.approx(TEN_TO_NINETY * s, rel=0.03)


def test_noise_leaves_the_width_of_a_step():
    generator = np.random.default_rng(7)
    widths = [edge_width(step(1.5, 25, 0.0) + 5 * generator.standard_normal((96, 96))) for _ in range(20)]
    assert np.mean(widths) == pytest.approx(TEN_TO_NINETY * 1.5, rel=0.03)


@pytest.mark.parametrize("kind", ["rock", "fiber", "root"])
def test_blur_widens_edges_and_contrast_does_not(kind):
    scenes = [phantom(kind, seed=1, dtype="uint16", camera=Camera(blur_px=b)).picture.grey for b in (0.5, 1, 1.5, 2, 3)]
    widths = [edge_width(grey) for grey in scenes]
    assert (np.diff(widths) > 0.1).all()
    assert edge_width(0.4 * scenes[1] + 3000) == pytest.approx(widths[1], rel=1e-9)
    assert noise_level(0.5 * scenes[1] + 3000.25) == pytest.approx(0.5 * noise_level(scenes[1]), rel=0.01)


def test_what_does_not_exist_is_invalid_and_says_why():
    def reasons(name, of):
        readings = descriptor(name)(of)
        curves = {n: c.invalid for n, c in readings.curves.items()}
        assert all(s.value is None or math.isfinite(s.value) for s in readings.scalars.values())
        return {n: s.invalid for n, s in readings.scalars.items()} | curves

    colour = section(np.random.default_rng(8).integers(0, 255, (3, 32, 32)).astype(np.uint8))
    constant, tiny = section(np.full((64, 64), 5.0)), section(np.eye(6))
    for name in ("power_spectrum", "noise_and_sharpness"):
        assert set(reasons(name, colour).values()) == {IN_COLOUR}
    assert set(reasons("power_spectrum", constant).values()) == {"all pixels have the same grey level"}
    assert set(reasons("orientation", constant).values()) == {"the image has no gradient"}
    assert reasons("noise_and_sharpness", constant)["noise level"] == ""
    assert "fewer than 20 edges" in reasons("noise_and_sharpness", constant)["edge width"]
    for name in TEXTURE:
        assert all("too small" in reason for reason in reasons(name, tiny).values())
    sixteen = section(np.random.default_rng(9).standard_normal((16, 16)))
    assert reasons("power_spectrum", sixteen) == {
        "spectral slope": "the field is too small for a slope",
        "high-frequency power": "",
        "power spectrum": "",
    }
    noise = section(np.random.default_rng(10).standard_normal((128, 128)))
    assert "stand out from the noise" in reasons("noise_and_sharpness", noise)["edge width"]


def test_lengths_are_physical():
    grey = phantom("rock", seed=2).picture.grey
    for name in TEXTURE:
        one, four = (descriptor(name)(section(grey, (s, s))) for s in (1.0, 4.0))
        for key, scalar in one.scalars.items():
            factor = 4.0 if scalar.unit == "µm" else 1.0
            assert four.scalars[key].value == pytest.approx(factor * scalar.value, rel=1e-9)
    spectrum, four_times = (
        descriptor("power_spectrum")(section(grey, (s, s))).curves["power spectrum"] for s in (1, 4)
    )
    np.testing.assert_allclose(four_times.x, spectrum.x / 4)
    np.testing.assert_allclose(four_times.y, spectrum.y + math.log10(16))
    assert (spectrum.x_unit, spectrum.unit) == ("1/µm", "log10 grey level² µm²")
