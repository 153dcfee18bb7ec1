"""Correlation functions of fields whose answer is known in closed form, or by counting every pair.

Overlapping discs: discs of radius R about the points of a Poisson process of density rho. Whether a pixel is in the
space between them is decided at its centre, so at lags between pixel centres the closed forms hold without any error of
discretisation, and tolerances are those of the finite number of fields.
"""

import math

import numpy as np
import pytest
from scipy import integrate, ndimage

from morphogen.evaluation.descriptors.chord_lengths import chord_lengths
from morphogen.evaluation.descriptors.descriptor import descriptor
from morphogen.evaluation.descriptors.lineal_path import lineal_path
from morphogen.evaluation.descriptors.two_point_cluster import two_point_cluster
from morphogen.evaluation.descriptors.two_point_correlation import (
    ALONG_X,
    ALONG_Y,
    ALONG_Z,
    RADIAL,
    Correlation,
    lags_of,
    pair_sums,
    two_point_correlation,
)
from morphogen.evaluation.section import ONE_PHASE, Section
from morphogen.images.picture import Origin, Picture

RADIUS, DENSITY = 5.0, math.log(2) / (math.pi * 25)  # half of the area is void
NAMES = ("two_point_correlation", "two_point_cluster", "lineal_path", "chord_lengths")


def section(phase, spacing=(math.nan, math.nan)):
    phase = np.asarray(phase, dtype=bool)
    return Section(Picture(np.zeros((1, *phase.shape), np.uint8), spacing, Origin("s")), phase)


def void_between_discs(shape, generator, radius=RADIUS, density=DENSITY):
    margin = math.ceil(radius)
    height, width = shape
    count = generator.poisson(density * (height + 2 * margin) * (width + 2 * margin))
    covered = np.zeros((height + 4 * margin + 2, width + 4 * margin + 2), dtype=bool)
    steps = np.arange(-margin, margin + 2)
    for cy, cx in generator.uniform((margin, margin), (height + 3 * margin, width + 3 * margin), (count, 2)):
        y, x = int(cy), int(cx)
        near = (steps[:, None] + y - cy) ** 2 + (steps + x - cx) ** 2 <= radius**2
        covered[y - margin : y + margin + 2, x - margin : x + margin + 2] |= near
    return ~covered[2 * margin :, 2 * margin :][:height, :width]


def lens(r, radius=RADIUS):
    """Area that two discs share whose centres are r apart."""
    t = np.clip(np.asarray(r, dtype=float) / (2 * radius), 0, 1)
    return 2 * radius**2 * (np.arccos(t) - t * np.sqrt(1 - t**2))


def disc_correlation(r):
    return np.exp(-DENSITY * (2 * math.pi * RADIUS**2 - lens(r)))


def disc_integral_range():
    """chi(r) = phi (exp(rho lens(r)) - 1) / (1 - phi), which is zero from 2 R on; by quadrature."""
    chi = lambda r: 0.5 * math.expm1(DENSITY * float(lens(r))) / 0.5  # noqa: E731
    return 2 * math.pi * integrate.quad(lambda r: chi(r) * r, 0, 2 * RADIUS)[0]


@pytest.fixture(scope="module")
def voids():
    generator = np.random.default_rng(11)
    return [void_between_discs((512, 512), generator) for _ in range(16)]


def pairs_counted(labels, reach):
    """Pairs of pixels of one label at each lag, each lag by itself."""
    height, width = labels.shape
    found = np.zeros((reach[0] + 1, 2 * reach[1] + 1))
    for dy in range(reach[0] + 1):
        for dx in range(-reach[1], reach[1] + 1):
            one = labels[: height - dy, max(0, -dx) : width - max(0, dx)]
            other = labels[dy:, max(0, dx) : width + min(0, dx)]
            found[dy, dx + reach[1]] = ((one == other) & (one > 0)).sum()
    return found


# Two-point correlation


def test_correlation_of_overlapping_discs_within_a_two_hundredth(voids):
    """16 fields of 512 x 512. The porosity of their mean has a deviation of 0.002, S2 at large lags about the same."""
    found = [two_point_correlation(void) for void in voids]
    for name in (RADIAL, ALONG_X, ALONG_Y):
        mean = np.mean([f[name].values for f in found], axis=0)
        assert np.abs(mean - disc_correlation(found[0][name].lags)).max() < 0.005


def test_directional_correlations_tell_layers():
    """Noise smoothed 16 times further along x than along y: layers along x."""
    noise = np.random.default_rng(12).normal(size=(256, 256))
    layers = ndimage.gaussian_filter(noise, (1.5, 24), mode="wrap") > 0
    found = descriptor("two_point_correlation")(section(layers)).scalars
    along_x, along_y = (found[f"correlation length along {axis}"].value for axis in "xy")
    # (2/pi) arcsin(exp(-r^2 / 4 s^2)) = 1/e at r = 1.55 s: 2.3 and 37; the second from some forty layers' pieces.
    assert along_y == pytest.approx(2.3, rel=0.1)
    assert along_x > 10 * along_y


def test_integral_range_of_the_closed_form_is_its_quadrature():
    """The curve itself, at the lags of a field: what is left is the interpolation between lags."""
    lags = np.arange(65.0)
    exact = Correlation(lags, disc_correlation(lags))
    assert exact.integral_range == pytest.approx(disc_integral_range(), rel=0.01)
    fine = Correlation(lags / 4, disc_correlation(lags / 4))
    assert fine.integral_range == pytest.approx(disc_integral_range(), rel=0.001)


def test_integral_range_of_overlapping_discs(voids):
    """Fields of 512 x 512 differ by 6 %, so 1.5 % for 16; and it may end a little before or after 2 R."""
    found = [descriptor("two_point_correlation")(section(v, (2.0, 2.0))).scalars["integral range"] for v in voids]
    assert {reading.unit for reading in found} == {"µm²"}
    mean = np.mean([reading.value for reading in found])
    assert mean == pytest.approx(4 * disc_integral_range(), rel=0.05)


def test_integral_range_is_the_variance_of_the_porosity():
    """var(phi) V = phi (1 - phi) A over 1024 windows of 64 x 64: 4.4 % scatter; 3 % less for V not >> A."""
    generator = np.random.default_rng(13)
    fields = [void_between_discs((512, 512), generator) for _ in range(16)]
    porosities = [f.reshape(8, 64, 8, 64).mean(axis=(1, 3)).ravel() for f in fields]
    found = np.var(porosities) * 64**2 / 0.25
    assert found == pytest.approx(disc_integral_range(), rel=0.15)


@pytest.mark.parametrize("pixel", [(1.0, 1.0, 1.0), (2.0, 1.0, 1.5)])
def test_correlation_of_a_volume_equals_counting_every_pair(pixel):
    shape = (9, 12, 10)
    volume = np.random.default_rng(14).random(shape) < 0.4
    found = two_point_correlation(volume, pixel)
    rings = {}
    farthest = min(n * side for n, side in zip(shape, pixel, strict=True)) / 2
    for lag in np.ndindex(*(2 * n - 1 for n in shape)):
        d = [step - n + 1 for step, n in zip(lag, shape, strict=True)]
        ring = math.floor(math.hypot(*(k * side for k, side in zip(d, pixel, strict=True))) / min(pixel) + 0.5)
        if ring * min(pixel) <= farthest:
            here = volume[tuple(slice(max(0, -k), n - max(0, k)) for k, n in zip(d, shape, strict=True))]
            there = volume[tuple(slice(max(0, k), n - max(0, -k)) for k, n in zip(d, shape, strict=True))]
            share = (here & there).sum() / here.size
            rings.setdefault(ring, []).append(share)
            for axis, name in enumerate((ALONG_Z, ALONG_Y, ALONG_X)):
                k = d[axis]
                if sum(map(abs, d)) == k < len(found[name].values):
                    assert found[name].values[k] == share  # exact
                    assert found[name].lags[k] == k * pixel[axis]
    np.testing.assert_allclose(found[RADIAL].values, [np.mean(rings[k]) for k in range(len(rings))], rtol=1e-12)


@pytest.mark.parametrize("shape", [(1024, 1023), (1500, 1500), (64, 120, 90)])
def test_sums_over_pairs_are_exact_in_large_fields(shape):
    """A full field is the worst case of an FFT, with (H - |dy|)(W - |dx|) pairs; the second needs double precision."""
    reach = (40, 50, 30)[: len(shape)]
    expected = 1
    for axis, (n, lag) in enumerate(zip(shape, reach, strict=True)):
        line = n - np.abs(np.arange(0 if axis == 0 else -lag, lag + 1))
        expected = np.multiply.outer(expected, line)
    np.testing.assert_array_equal(pair_sums(np.ones(shape, dtype=bool), reach), expected)


# Two-point cluster function


@pytest.mark.parametrize("share", [0.2, 0.4, 0.7])
@pytest.mark.parametrize("blocks", [1, 6])
@pytest.mark.parametrize("single_pairs", [0, 60, 10**9])  # all clusters by FFT, some, none
def test_cluster_function_equals_counting_every_pair(monkeypatch, share, blocks, single_pairs):
    place = "morphogen.evaluation.descriptors.two_point_cluster"
    monkeypatch.setattr(f"{place}.PAIRS_PER_FFT", single_pairs)
    monkeypatch.setattr(f"{place}.PAIRS_PER_POINT", 0)
    monkeypatch.setattr(f"{place}.PAIRS_AT_ONCE", 64)
    phase = np.kron(
        np.random.default_rng(15).random((6 * 6 // blocks, 9 * 6 // blocks)) < share, np.ones((blocks,) * 2)
    )
    labels, count = section(phase).components
    for pixel in ((1.0, 1.0), (1.0, 2.0)):
        lags = lags_of(labels.shape, pixel)
        expected = lags.average(pairs_counted(labels, lags.reach))
        found = two_point_cluster(labels, count, pixel)
        for direction, curve in expected.items():
            np.testing.assert_array_equal(found[f"two-point cluster function{direction}"].values, curve.values)


def test_cluster_function_is_at_most_the_correlation_and_equals_it_in_one_cluster(voids):
    for void in voids[:2]:
        found = two_point_cluster(*section(void).components)
        S2 = two_point_correlation(void)
        largest = np.bincount(section(void).components[0][void]).argmax() == section(void).components[0]
        one = two_point_cluster(largest.astype(np.int32), 1)
        of_one = two_point_correlation(largest)
        for direction in ("", " along x", " along y"):
            C2 = found[f"two-point cluster function{direction}"].values
            assert (S2[f"{RADIAL}{direction}"].values >= C2).all()
            assert C2[0] == void.mean()
            np.testing.assert_array_equal(
                one[f"two-point cluster function{direction}"].values, of_one[f"{RADIAL}{direction}"].values
            )


def test_cutting_a_channel_is_seen_by_the_cluster_function_and_not_by_the_correlation():
    channel = np.zeros((64, 128), dtype=bool)
    channel[24:40] = True
    cut = channel.copy()
    cut[:, 63] = False
    describe = {name: descriptor(name) for name in ("two_point_correlation", "two_point_cluster")}
    whole, apart = ({n: d(section(p)) for n, d in describe.items()} for p in (channel, cut))
    name = "two-point correlation at 16 px"
    S2 = [found["two_point_correlation"].scalars[name].value for found in (whole, apart)]
    assert S2[1] == pytest.approx(S2[0], rel=0.02)
    connected = [found["two_point_cluster"].scalars["connectivity at 16 px"].value for found in (whole, apart)]
    assert connected[0] == 1.0
    # Along x 15 of the 112 - 2 pairs a row that have both ends in the phase lie across the cut; 0.64 |dx| on average.
    assert 0.88 < connected[1] < 0.94


def test_cluster_length_of_stripes_is_a_share_of_their_width():
    """Stripes 8 wide: C2 = (8 - k) stripes / (W - k), phi = stripes 8 / W."""
    stripes = np.tile(np.arange(64) % 16 < 8, (48, 1))
    found = descriptor("two_point_cluster")(section(stripes, (0.5, 0.5)))
    k = np.arange(25)
    expected = np.clip(8 - k, 0, None) * 4 / (64 - k)
    np.testing.assert_allclose(found.curves["two-point cluster function along x"].y, expected, rtol=1e-14)
    at = np.interp(-0.5 / math.e, -expected, k) / 2
    assert found.scalars["cluster length along x"].value == pytest.approx(at)
    assert found.scalars["cluster length along x"].unit == "µm"
    assert "reach beyond" in found.scalars["cluster length along y"].invalid


# Lineal path


def test_lineal_path_equals_trying_every_segment():
    phase = np.random.default_rng(16).random((20, 26)) < 0.8
    found = lineal_path(phase, (2.0, 1.0))
    for name, lines, side in (("lineal path along x", phase, 1.0), ("lineal path along y", phase.T, 2.0)):
        expected = [
            np.mean([row[at : at + k + 1].all() for row in lines for at in range(len(row) - k)])
            for k in range(len(found[name].values))
        ]
        np.testing.assert_allclose(found[name].values, expected, rtol=1e-14)
        np.testing.assert_array_equal(found[name].lengths, np.arange(len(expected)) * side)
        assert found[name].lengths[-1] == 13 // side * side  # half of the width, in whole pixels
    halfway = (found["lineal path along y"].values[1] + found["lineal path along y"].values[2]) / 2
    mean = (found["lineal path along x"].values[3] + halfway) / 2
    assert found["lineal path"].values[3] == pytest.approx(mean)


def test_lineal_path_between_overlapping_discs_is_the_closed_form(voids):
    """k + 1 pixel centres in a row are in the void with exp(-rho (pi R^2 + k (pi R^2 - lens(1))))."""
    found = [lineal_path(void) for void in voids]
    swept = math.pi * RADIUS**2 - float(lens(1))
    assert swept == pytest.approx(2 * RADIUS * (1 - 1 / (24 * RADIUS**2)), rel=1e-4)  # as the module says
    for name in ("lineal path", "lineal path along x", "lineal path along y"):
        z = found[0][name].lengths
        values = np.array([f[name].values for f in found])
        error = values.std(axis=0, ddof=1) / 4
        expected = 0.5 * np.exp(-DENSITY * swept * z)
        seen = z < 80  # longer ones are too rare to have an error
        assert (np.abs(values.mean(axis=0) - expected) < 4 * error + 1e-4)[seen].all()
        assert error.max() < 0.004
        # The continuous form, phi^(1 + 2 z / (pi R)).
        np.testing.assert_allclose(values.mean(axis=0), 0.5 ** (1 + 2 * z / (math.pi * RADIUS)), atol=0.006)
        lengths = [f[name].decay for f in found]
        assert np.mean(lengths) == pytest.approx(math.pi * RADIUS / (2 * math.log(2)), rel=0.03)


# Chord lengths


def test_mean_chord_between_overlapping_discs_is_the_closed_form(voids):
    """Seen at pixel centres chords are geometric, with q = exp(-rho swept); 1.5 % is three errors of 16 fields."""
    found = [chord_lengths(void) for void in voids]
    q = math.exp(-DENSITY * (math.pi * RADIUS**2 - float(lens(1))))
    mean = math.pi * RADIUS / (2 * math.log(2))
    assert 1 / (1 - q) == pytest.approx(mean + 1 / 2, rel=0.003)
    for end in ("", " along x", " along y"):
        assert np.mean([f[end].mean for f in found]) == pytest.approx(1 / (1 - q), rel=0.015)
        density = np.mean([f[end].density for f in found], axis=0)
        n = found[0][end].lengths
        assert (density * n).sum() == pytest.approx(1 / (1 - q), rel=0.02)  # two ways to the mean
        # 40 000 to 80 000 chords: the share of each length has a deviation below 0.0015.
        np.testing.assert_allclose(density, (1 - q) * q ** (n - 1), atol=0.004)


def test_chords_are_unbiased_in_windows_hardly_longer_than_they(voids):
    """Windows of 24 x 24 and chords of 12: whole chords alone would have a mean of about half."""
    windows = [void[y : y + 24, x : x + 24] for void in voids for y in range(0, 504, 24) for x in range(0, 504, 24)]
    assert len(windows) == 16 * 441
    q = math.exp(-DENSITY * (math.pi * RADIUS**2 - float(lens(1))))
    found = [chord_lengths(window)[" along x"] for window in windows]
    number = np.mean([chords.number for chords in found])
    assert np.mean([w.mean() for w in windows]) / number == pytest.approx(1 / (1 - q), rel=0.02)
    density = np.mean([chords.number_density for chords in found], axis=0) / number
    n = found[0].lengths
    np.testing.assert_allclose(density, (1 - q) * q ** (n - 1), atol=0.004)
    assert density.sum() == pytest.approx(1 - q ** n[-1], rel=0.02)  # the longer ones are missing, and not made up for


def test_chords_of_stripes_have_their_width():
    """5 wide, 7 apart; at the left edge one is cut to 3. Pixels of 2 x 3 µm."""
    stripes = np.tile((np.arange(125) + 2) % 12 < 5, (40, 1))
    found = descriptor("chord_lengths")(section(stripes, (2.0, 3.0)))
    # phi and N are each those of 125 pixels and 124 pairs: 53 pixels, 10 whole chords and one end.
    assert found.scalars["mean chord length along x"].value == pytest.approx(3 * 53 / 125 / (21 / 2 / 124))
    assert found.scalars["mean chord length along x"].value == pytest.approx(15, rel=0.02)
    density = found.curves["chord length density along x"]
    assert density.unit == "1/µm"
    assert np.flatnonzero(density.y).tolist() == [4]
    assert density.x[4] == 15
    assert density.y[4] * 3 == pytest.approx(10 / (125 - 6) / (21 / 2 / 124))
    assert found.scalars["mean chord length along y"].invalid == "no chord along y ends inside the field"
    # Both directions together: half as many chords per length of line.
    assert found.scalars["mean chord length"].value == pytest.approx(
        2 * found.scalars["mean chord length along x"].value
    )


# All of them


@pytest.mark.parametrize("name", NAMES)
def test_tiny_and_odd_fields_have_a_reading_or_a_reason(name):
    generator = np.random.default_rng(17)
    describe = descriptor(name)
    ordinary = describe(section(generator.random((64, 64)) < 0.5))
    odd = [
        (np.zeros((32, 32)), (1.0, 1.0)),
        (np.ones((32, 32)), (1.0, 1.0)),
        (np.eye(4), (1.0, 1.0)),
        (generator.random((16, 16)) < 0.5, (1.0, 1.0)),
        (generator.random((8, 300)) < 0.5, (1.0, 1.0)),
        (generator.random((9, 9)) < 0.5, (1.0, 20.0)),
        (generator.random((32, 32)) < 0.5, (0.25, 1.0)),
    ]
    for phase, spacing in odd:
        found = describe(section(phase, spacing))
        assert list(found.scalars) == list(ordinary.scalars)
        assert list(found.curves) == list(ordinary.curves)
        for reading in found.scalars.values():
            assert (reading.value is None) == bool(reading.invalid)
            assert reading.value is None or math.isfinite(reading.value)
        for curve in found.curves.values():
            assert (curve.y is None) == bool(curve.invalid)
            assert curve.y is None or (curve.x.shape == curve.y.shape and np.isfinite(curve.y).all())
        if phase.shape == (4, 4):
            assert all("too small" in reading.invalid for reading in found.scalars.values())
    lengths = [n for n in ordinary.scalars if "length" in n or n == "integral range"]
    for phase in (np.zeros((32, 32)), np.ones((32, 32))):
        assert {describe(section(phase)).scalars[n].invalid for n in lengths} == {ONE_PHASE}


@pytest.mark.parametrize("name", NAMES)
def test_turning_a_field_swaps_the_axes(name):
    phase = np.random.default_rng(18).random((40, 52)) < 0.5
    phase = ndimage.median_filter(phase, 3)
    one = descriptor(name)(section(phase, (1.0, 2.0))).scalars
    turned = descriptor(name)(section(np.rot90(phase), (2.0, 1.0))).scalars
    swapped = {"x": "y", "y": "x"}
    compared = 0
    for reading, scalar in one.items():
        other = f"{reading[:-1]}{swapped[reading[-1]]}" if reading.endswith((" x", " y")) else reading
        assert (scalar.value is None) == (turned[other].value is None)
        if scalar.value is not None:
            assert turned[other].value == pytest.approx(scalar.value, rel=1e-9)
            compared += 1
    assert compared >= 3
