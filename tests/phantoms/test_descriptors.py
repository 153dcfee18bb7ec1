"""Descriptors of images whose answer is known in closed form, or by counting every pair."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from morphogen.evaluation.descriptors.descriptor import descriptor, descriptor_names
from morphogen.evaluation.descriptors.two_point_correlation import (
    ALONG_X,
    ALONG_Y,
    RADIAL,
    two_point_correlation,
)
from morphogen.evaluation.descriptors.vector import DescriptorVector
from morphogen.evaluation.section import Section
from morphogen.evaluation.segmentation.threshold import Threshold
from morphogen.images.image_set import Pictures
from morphogen.images.intensity import IntensityMap
from morphogen.images.picture import Origin, Picture
from morphogen.problems import Problem

DARK = Threshold(0.5, "dark")


def picture(pixels, spacing=(math.nan, math.nan), specimen="s"):
    pixels = np.asarray(pixels)
    return Picture(pixels if pixels.ndim == 3 else pixels[None], spacing, Origin(specimen))


def of_phase(phase, **more):
    """A picture whose dark pixels are the phase."""
    return picture(np.where(phase, 0, 1).astype(np.float32), **more)


def overlapping_discs(shape: Sequence[int], radius: float, density: float, generator) -> np.ndarray:
    """Boolean model: discs about the points of a Poisson process; True inside any of them."""
    height, width = shape
    margin = math.ceil(radius)
    count = generator.poisson(density * (height + 2 * margin) * (width + 2 * margin))
    phase = np.zeros(shape, dtype=bool)
    y, x = np.mgrid[:height, :width]
    for cy, cx in generator.uniform((-margin, -margin), (height + margin, width + margin), (count, 2)):
        rows, columns = (slice(max(0, int(c - radius) - 1), max(0, int(c + radius) + 2)) for c in (cy, cx))
        phase[rows, columns] |= (y[rows, columns] - cy) ** 2 + (x[rows, columns] - cx) ** 2 <= radius**2
    return phase


def union_of_two_discs(r, radius):
    r = np.asarray(r, dtype=float)
    t = np.clip(r / (2 * radius), 0, 1)
    shared = 2 * radius**2 * (np.arccos(t) - t * np.sqrt(1 - t**2))
    return 2 * math.pi * radius**2 - shared


def counted_correlation(phase, dy, dx):
    """S2 of one lag by visiting every pair."""
    height, width = phase.shape
    both = pairs = 0
    for y in range(height):
        for x in range(width):
            if 0 <= y + dy < height and 0 <= x + dx < width:
                pairs += 1
                both += int(phase[y, x]) * int(phase[y + dy, x + dx])
    return both / pairs


@pytest.mark.parametrize(("size", "pixel"), [((13, 17), (1.0, 1.0)), ((20, 12), (1.0, 2.5)), ((12, 14), (3.0, 1.0))])
def test_correlation_equals_counting_every_pair(size, pixel):
    phase = np.random.default_rng(1).random(size) < 0.4
    found = two_point_correlation(phase, pixel)
    farthest = min(size[0] * pixel[0], size[1] * pixel[1]) / 2

    along_x = [counted_correlation(phase, 0, k) for k in range(int(farthest / pixel[1]) + 1)]
    along_y = [counted_correlation(phase, k, 0) for k in range(int(farthest / pixel[0]) + 1)]
    np.testing.assert_array_equal(found[ALONG_X].values, along_x)  # exact: no rounding is left
    np.testing.assert_array_equal(found[ALONG_Y].values, along_y)
    np.testing.assert_allclose(found[ALONG_X].lags, np.arange(len(along_x)) * pixel[1])

    rings = {}
    for dy in range(-size[0] + 1, size[0]):
        for dx in range(-size[1] + 1, size[1]):
            r = math.hypot(dy * pixel[0], dx * pixel[1])
            ring = math.floor(r / min(pixel) + 0.5)
            if ring * min(pixel) <= farthest:
                rings.setdefault(ring, []).append((r, counted_correlation(phase, dy, dx)))
    expected = np.array([np.mean(rings[k], axis=0) for k in range(len(rings))])
    np.testing.assert_allclose(found[RADIAL].lags, expected[:, 0], rtol=1e-12)
    np.testing.assert_allclose(found[RADIAL].values, expected[:, 1], rtol=1e-12)


def test_correlation_of_overlapping_discs_is_the_closed_form():
    """The space between the discs of a Boolean model has S2(r) = exp(-density * area of two discs)."""
    radius, density = 8.0, 0.0035  # a void fraction of about one half
    generator = np.random.default_rng(2)
    curves = []
    for _ in range(40):
        void = ~overlapping_discs((192, 256), radius, density, generator)
        curves.append(two_point_correlation(void)[RADIAL])
    lags = curves[0].lags
    values = np.array([c.values for c in curves])
    error = values.std(axis=0, ddof=1) / math.sqrt(len(values))
    expected = np.exp(-density * union_of_two_discs(lags, radius))
    # 3.5 standard errors, and half a per cent for discs drawn on pixels.
    assert (np.abs(values.mean(axis=0) - expected) < 3.5 * error + 0.005 * expected).all()
    assert error.max() < 0.01  # so that the line above can fail
    assert values.mean(axis=0)[0] == pytest.approx(math.exp(-density * math.pi * radius**2), abs=0.02)


def test_correlation_is_unbiased_at_long_lags():
    """Independent pixels of fraction p have S2(r) = p^2 at every lag but zero; nothing wraps or fades."""
    generator = np.random.default_rng(3)
    found = [two_point_correlation(generator.random((24, 40)) < 0.3) for _ in range(400)]
    for name in (RADIAL, ALONG_X, ALONG_Y):
        values = np.array([f[name].values for f in found])
        error = values.std(axis=0, ddof=1) / math.sqrt(len(values))
        assert (np.abs(values.mean(axis=0)[1:] - 0.09) < 4 * error[1:]).all()
        assert values.mean(axis=0)[0] == pytest.approx(0.3, abs=0.005)


def test_stripes_are_correlated_along_one_axis_only():
    period, height, width = 8, 32, 48
    stripes = np.tile(np.arange(width) % period < period // 2, (height, 1))  # vertical, of width 4
    found = two_point_correlation(stripes)
    np.testing.assert_array_equal(found[ALONG_Y].values, 0.5)  # constant along a stripe
    lag = np.arange(len(found[ALONG_X].values))
    hits = [(stripes[0, : width - k] & stripes[0, k:]).mean() for k in lag]
    np.testing.assert_allclose(found[ALONG_X].values, hits, rtol=1e-14)
    assert found[ALONG_X].values[period] == 0.5
    assert found[ALONG_X].values[period // 2] == 0.0
    assert found[ALONG_Y].length is None
    # chi falls from 1 at 0 to 0 at a quarter period: linearly, in steps that the hits give.
    assert found[ALONG_X].length == pytest.approx(2 * (1 - 1 / math.e), rel=0.1)


def test_checkerboard_alternates():
    board = np.add.outer(np.arange(16), np.arange(20)) % 2 == 0
    found = two_point_correlation(board)
    for name in (ALONG_X, ALONG_Y):
        np.testing.assert_allclose(found[name].values[0::2], 0.5)
        np.testing.assert_array_equal(found[name].values[1::2], 0.0)


def test_transposing_swaps_the_axes_and_keeps_the_rings():
    phase = np.random.default_rng(4).random((20, 30)) < 0.5
    one, other = two_point_correlation(phase, (1.0, 2.0)), two_point_correlation(phase.T, (2.0, 1.0))
    np.testing.assert_array_equal(one[ALONG_X].values, other[ALONG_Y].values)
    np.testing.assert_allclose(one[RADIAL].values, other[RADIAL].values, rtol=1e-12)


def test_lengths_are_physical_where_the_pixel_size_is_known():
    phase = overlapping_discs((96, 96), 6, 0.005, np.random.default_rng(5))
    describe = descriptor("two_point_correlation")
    in_pixels = describe(Section.of(of_phase(phase), DARK))
    in_um = describe(Section.of(of_phase(phase, spacing=(2.5, 2.5)), DARK))
    length = in_pixels.scalars["correlation length"]
    assert length.unit == "px"
    assert in_um.scalars["correlation length"].unit == "µm"
    assert in_um.scalars["correlation length"].value == pytest.approx(2.5 * length.value)
    # Stretching every pixel to 1 x 3 and telling so leaves the lengths along each axis as they were.
    wide = describe(Section.of(of_phase(np.repeat(phase, 2, axis=1), spacing=(2.0, 1.0)), DARK))
    square = describe(Section.of(of_phase(phase, spacing=(2.0, 2.0)), DARK))
    for name in ("correlation length along x", "correlation length along y"):
        assert wide.scalars[name].value == pytest.approx(square.scalars[name].value, rel=0.06)


def test_phase_fraction_is_counted_and_zero_is_a_number():
    describe = descriptor("phase_fraction")
    phase = np.zeros((10, 10), dtype=bool)
    phase[:3, :] = True
    assert describe(Section.of(of_phase(phase), DARK)).scalars["phase fraction"].value == pytest.approx(0.3)
    assert describe(Section.of(of_phase(phase), Threshold(0.5, "bright"))).scalars[
        "phase fraction"
    ].value == pytest.approx(0.7)
    assert describe(Section.of(of_phase(np.zeros((10, 10), bool)), DARK)).scalars["phase fraction"].value == 0.0


def test_what_does_not_exist_is_invalid_and_says_why():
    describe = descriptor("two_point_correlation")
    empty = describe(Section.of(of_phase(np.zeros((32, 32), bool)), DARK))
    assert empty.scalars["correlation length"].value is None
    assert empty.scalars["correlation length"].invalid == "only one phase is present"
    np.testing.assert_array_equal(empty.curves[RADIAL].y, 0.0)  # the probability itself is known: none
    small = describe(Section.of(of_phase(np.eye(6, dtype=bool)), DARK))
    assert small.curves[RADIAL].y is None
    assert "too small" in small.scalars["correlation length"].invalid
    half = np.zeros((32, 32), dtype=bool)
    half[:16] = True
    assert "reaches beyond" in describe(Section.of(of_phase(half), DARK)).scalars["correlation length along x"].invalid
    flat = descriptor("grey_levels")(Section.of(of_phase(np.zeros((9, 9), bool)), DARK)).scalars
    assert flat["grey level skewness"].value is None
    assert flat["grey level standard deviation"].value == 0.0


def test_grey_moments_of_known_distributions():
    generator = np.random.default_rng(6)
    describe = descriptor("grey_levels")
    levels = generator.exponential(2000.0, (400, 400)) + 1000
    found = describe(Section.of(picture(levels.astype(np.uint16)), DARK)).scalars
    assert found["grey level mean"].value == pytest.approx(3000, rel=0.01)
    assert found["grey level standard deviation"].value == pytest.approx(2000, rel=0.02)
    assert found["grey level skewness"].value == pytest.approx(2, rel=0.05)
    assert found["grey level kurtosis"].value == pytest.approx(9, rel=0.12)
    assert found["grey level mean"].unit == "grey level"
    two_levels = describe(Section.of(picture(np.array([[0, 255] * 8] * 16, dtype=np.uint8)), DARK)).scalars
    assert two_levels["grey level kurtosis"].value == pytest.approx(1.0)
    red = np.zeros((3, 8, 8), dtype=np.uint8)
    red[0] = 200
    coloured = describe(Section.of(picture(red), DARK)).scalars
    assert all(scalar.value is None and "colour" in scalar.invalid for scalar in coloured.values())


@pytest.mark.parametrize(
    ("dtype", "low", "high"), [("uint8", 60, 180), ("uint16", 9000, 40000), ("float32", -0.5, 2.0)]
)
def test_one_threshold_separates_two_peaks_over_the_pooled_set(dtype, low, high):
    generator = np.random.default_rng(7)
    width = (high - low) / 12
    pictures, truths = [], []
    for share in (0.1, 0.3, 0.8):
        truth = generator.random((64, 64)) < share
        levels = np.where(truth, low, high) + generator.normal(0, width, truth.shape)
        pictures.append(picture(levels.astype(dtype)))
        truths.append(truth)
    threshold = Threshold.otsu(Pictures(pictures), "dark")
    assert low + 3 * width < threshold.value < high - 3 * width
    for one, truth in zip(pictures, truths, strict=True):
        assert (threshold.phase(one) == truth).mean() > 0.999


def test_rows_of_physics_stay_finite_and_show_an_empty_field():
    generator = np.random.default_rng(8)
    full = [of_phase(overlapping_discs((32, 32), 4, 0.01, generator)) for _ in range(5)]
    empty = of_phase(np.zeros((32, 32), dtype=bool))
    extract = DescriptorVector(DARK)
    table = extract(Pictures([*full, empty]), IntensityMap(low=0, high=1, dtype="float32"))
    assert table.units_differ
    assert np.isfinite(table.values).all()
    np.testing.assert_array_equal(table.values[-1], [0] + [0] * 8 + [1, 0, 0, 3])
    S2 = two_point_correlation(DARK.phase(full[0]))[RADIAL]
    phi = S2.fraction
    assert table.values[0, 0] == phi
    assert table.values[0, 8] == pytest.approx((S2.at(16) - phi**2) / (phi - phi**2))
    assert extract.identity != DescriptorVector(Threshold(0.6, "dark")).identity


def test_every_descriptor_names_the_same_readings_for_every_picture():
    generator = np.random.default_rng(9)
    for name in descriptor_names():
        describe = descriptor(name)
        assert describe.name
        assert describe.definition.endswith(".")
        ordinary = describe(Section.of(of_phase(generator.random((32, 32)) < 0.5), DARK))
        for odd in (np.zeros((32, 32), bool), np.ones((32, 32), bool), np.eye(4, dtype=bool)):
            readings = describe(Section.of(of_phase(odd), DARK))
            assert list(readings.scalars) == list(ordinary.scalars)
            assert list(readings.curves) == list(ordinary.curves)
            for scalar in readings.scalars.values():
                assert (scalar.value is None) == bool(scalar.invalid)


def test_the_threshold_of_two_separate_levels_lies_midway():
    found = Threshold.otsu(Pictures([picture(np.array([[0, 255] * 8] * 16, dtype=np.uint8))]), "dark")
    assert found.value == 127.5


def test_images_of_one_level_have_no_threshold():
    with pytest.raises(Problem, match="no phase"):
        Threshold.otsu(Pictures([picture(np.full((8, 8), 7, dtype=np.uint8))]), "dark")
