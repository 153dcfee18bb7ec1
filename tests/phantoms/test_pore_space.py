"""Descriptors of the pore space of shapes and random structures whose answer is known in closed form."""

import math

import numpy as np
import pytest
from scipy import ndimage, special

from morphogen.evaluation.descriptors.descriptor import descriptor
from morphogen.evaluation.descriptors.minkowski_functionals import EULER, minkowski_functionals
from morphogen.evaluation.descriptors.pore_sizes import DISTRIBUTION
from morphogen.evaluation.descriptors.transport import effective_diffusivity
from morphogen.evaluation.section import IN_COLOUR, Section
from morphogen.images.picture import Origin, Picture
from morphogen.mathematics.local_thickness import local_thickness

FILES = ("specific_surface", "minkowski_functionals", "pore_sizes", "connectivity", "transport")
UNKNOWN = (math.nan, math.nan)


def section(phase, spacing=UNKNOWN, grey=None):
    pixels = np.where(phase, 40, 200).astype(np.uint8) if grey is None else grey
    return Section(Picture(pixels.reshape(-1, *phase.shape), spacing, Origin("s")), np.asarray(phase, dtype=bool))


def scalars(file, phase, spacing=UNKNOWN):
    return {name: s.value for name, s in descriptor(file)(section(phase, spacing)).scalars.items()}


def surface(phase, spacing=UNKNOWN):
    return scalars("specific_surface", phase, spacing)["specific surface"]


def euler(phase, spacing=UNKNOWN):
    return scalars("minkowski_functionals", phase, spacing)[EULER]


def discs(size, centres, radius, pixel=(1.0, 1.0)):
    y, x = np.indices(size)
    phase = np.zeros(size, dtype=bool)
    for cy, cx in centres:
        phase |= np.hypot(y * pixel[0] - cy, x * pixel[1] - cx) <= radius
    return phase


def half_plane(size, degrees, pixel=(1.0, 1.0), offset=0.0):
    y, x = np.indices(size)
    away_y, away_x = (y - size[0] / 2) * pixel[0], (x - size[1] / 2) * pixel[1]
    return math.cos(math.radians(degrees)) * away_y + math.sin(math.radians(degrees)) * away_x <= offset


# Specific surface


@pytest.mark.parametrize("pixel", [(1.0, 1.0), (1.0, 2.0), (1.5, 0.5)])
@pytest.mark.parametrize("degrees", [0, 22.5, 45, 60, 90, 115, 160])
def test_a_straight_edge_has_the_length_that_four_directions_see(degrees, pixel):
    """Crofton's sum over 4 directions of an edge is known: pi/2 times the weighted mean of |cos| to its normal."""
    size = tuple(round(240 / side) for side in pixel)
    found = math.pi / 4 * surface(half_plane(size, degrees, pixel), pixel)
    fall = math.atan2(pixel[0], pixel[1])
    directions = np.array([0, fall, math.pi / 2, math.pi - fall])
    weights = np.array([fall / math.pi, 0.25, 0.5 - fall / math.pi, 0.25])
    assert weights.sum() == pytest.approx(1)
    # The normal is (sin, cos) along (x, y).
    normal = math.radians(90 - degrees)
    seen = math.pi / 2 * weights @ np.abs(np.cos(directions - normal))
    chord = 240 / max(abs(math.cos(normal)), abs(math.sin(normal)))
    # 1.5 %: the ends of the chord, and the position of the edge between pixels.
    assert found == pytest.approx(seen * chord / 240**2, rel=0.015)
    if pixel == (1.0, 1.0):
        assert -0.053 < seen - 1 < 0.027  # the tolerance that the docstring states


@pytest.mark.parametrize(
    ("pixel", "radius"), [((1.0, 1.0), 5.3), ((1.0, 1.0), 20.2), ((0.5, 1.0), 20.2), ((2.0, 1.0), 20.2)]
)
def test_a_disc_has_its_circumference(pixel, radius):
    size = round(64 / pixel[0]), round(64 / pixel[1])
    found = [
        math.pi / 4 * surface(discs(size, [(31 + a, 30.5 + b)], radius, pixel), pixel)
        for a, b in np.random.default_rng(0).random((8, 2))
    ]
    cells = (size[0] - 1) * (size[1] - 1) * pixel[0] * pixel[1]
    # All directions alike, so the mean over directions is right: 2 % for pixels.
    assert np.mean(found) * cells == pytest.approx(2 * math.pi * radius, rel=0.02)


def test_specific_surface_is_physical_and_shared_by_both_phases():
    phase = discs((48, 48), [(20, 22)], 9)
    assert surface(phase, (2.5, 2.5)) == pytest.approx(surface(phase) / 2.5)
    assert surface(~phase) == surface(phase)
    assert descriptor("specific_surface")(section(phase, (2.5, 2.5))).scalars["specific surface"].unit == "1/µm"
    assert surface(np.ones((20, 20), bool)) == 0.0


# Minkowski functionals


def test_euler_number_counts_pieces_minus_holes():
    size = (80, 120)
    separate = discs(size, [(15, 15), (20, 60), (55, 30), (60, 90)], 8)
    rings = separate & ~discs(size, [(15, 15), (55, 30)], 4)
    for phase, expected in ((separate, 4), (rings, 2), (~separate, 1 - 4)):
        cells = (size[0] - 1) * (size[1] - 1)
        # The field is no object: without what it cuts off from the plane, the outside counts for 0.
        outside = 1 if phase[0, 0] else 0
        assert euler(phase) * cells == pytest.approx(expected - outside, abs=1e-9)
        assert euler(phase, (2.0, 3.0)) * cells * 6 == pytest.approx(expected - outside, abs=1e-9)


def test_corners_join_the_phase_and_part_the_rest():
    board = np.add.outer(np.arange(10), np.arange(10)) % 2 == 0
    # Each cell has two pixels of the phase that touch by a corner: 1/2 - 0 - 1 pieces minus holes.
    assert euler(board) == pytest.approx(-0.5)
    lonely = np.zeros((9, 9), bool)
    lonely[4, 4] = lonely[5, 5] = True
    assert euler(lonely) * 64 == pytest.approx(1)


def test_densities_are_unbiased_at_the_edges():
    """Of independent pixels of share p = 1 - q a pair is touched with 1 - q^2 and a cell with 1 - q^4."""
    generator = np.random.default_rng(1)
    p, q = 0.3, 0.7
    found = np.array([(euler(f), surface(f)) for f in generator.random((3000, 6, 9)) < p])
    error = found.std(axis=0) / math.sqrt(len(found))
    crossing = 2 * p * q  # chance that two pixels differ
    expected = p - 2 * (1 - q**2) + 1 - q**4, 2 * crossing * (0.5 + 0.5 / math.sqrt(2))
    assert (np.abs(found.mean(axis=0) - expected) < 4 * error).all()
    assert error[0] < 0.002  # so that the line above can fail
    assert error[1] < 0.004


def boolean_model(size, radius, covered, generator):
    """Discs about the points of a Poisson process, and the number of them per area."""
    density = -math.log(1 - covered) / (math.pi * radius**2)
    low, high = -radius - 1, np.array(size) + radius + 1
    count = generator.poisson(density * (high - low).prod())
    centres = generator.uniform(low, high, (count, 2))
    phase = np.zeros(size, dtype=bool)
    reach = math.ceil(radius) + 1
    for cy, cx in centres:
        top, left = max(0, int(cy) - reach), max(0, int(cx) - reach)
        part = phase[top : max(0, int(cy) + reach + 2), left : max(0, int(cx) + reach + 2)]
        y, x = np.indices(part.shape)
        part |= np.hypot(y + top - cy, x + left - cx) <= radius
    return phase, density


@pytest.mark.parametrize("covered", [0.2, 0.5, 0.8])
def test_overlapping_discs_have_the_densities_of_the_boolean_model(covered):
    """Miles: L_A = 2 pi R rho (1 - p), chi_A = rho (1 - rho pi R^2)(1 - p); the space between has - chi_A."""
    radius, generator = 12.0, np.random.default_rng(3)
    found = []
    for _ in range(24):
        grains, density = boolean_model((256, 256), radius, covered, generator)
        found.append((math.pi / 4 * surface(~grains), -euler(~grains) / density))
    mean, error = np.mean(found, axis=0), np.std(found, axis=0) / math.sqrt(len(found))
    length = 2 * math.pi * radius * density * (1 - covered)
    # 4 standard errors; and what pixels do to wedges, 5 % of the length and 0.07 pieces a disc (see the module).
    assert abs(mean[0] - length) < 4 * error[0] + 0.05 * length
    assert abs(mean[1] - (1 - density * math.pi * radius**2) * (1 - covered)) < 4 * error[1] + 0.07
    assert error[0] < 0.03 * length
    assert error[1] < 0.025


def test_grey_thresholds_of_a_gaussian_field_follow_adler():
    """Adler, The Geometry of Random Fields (1981): area, boundary length and Euler number of {Z <= t}."""
    smooth, generator = 4.0, np.random.default_rng(4)
    scale = 2 * math.sqrt(math.pi) * smooth
    fields = [
        scale * ndimage.gaussian_filter(generator.standard_normal((200, 260)), smooth, mode="wrap", truncate=6)
        for _ in range(30)
    ]
    sections = [section(z > 0, (2.0, 2.0), z.astype(np.float32)) for z in fields]
    describe = descriptor("minkowski_functionals").fitted(sections)
    curves = [list(describe(s).curves.values()) for s in sections]
    t = curves[0][0].x
    assert len(t) == 32
    assert -3.5 < t[0] < -2
    slope = 1 / (2 * smooth**2)  # variance of a derivative, with the covariance exp(-r^2 / 4 smooth^2)
    density = np.exp(-(t**2) / 2)
    expected = (
        special.ndtr(t),
        math.sqrt(slope) / 2 * density / 2.0,
        -slope * t * density / (2 * math.pi) ** 1.5 / 4.0,
    )
    for k, values in enumerate(expected):
        y = np.array([c[k].y for c in curves])
        error = y.std(axis=0, ddof=1) / math.sqrt(len(y))
        # 4.5 standard errors, and 2 % of the largest value for pixels.
        assert (np.abs(y.mean(axis=0) - values) < 4.5 * error + 0.02 * np.abs(values).max()).all()
        assert error.max() < 0.03 * np.abs(values).max()


def test_curves_at_a_threshold_are_those_of_the_phase_below_it():
    grey = np.random.default_rng(5).integers(0, 50, (40, 60)).astype(np.uint16)
    levels = np.array([3.0, 10.0, 10.5, 40.0])
    found = minkowski_functionals(np.searchsorted(levels, grey).astype(np.uint8), len(levels), (1.0, 2.0))
    for k, level in enumerate(levels):
        below = grey <= level
        assert found.area[k] == below.mean()
        assert found.boundary[k] == pytest.approx(math.pi / 4 * surface(below, (1.0, 2.0)))
        assert found.euler[k] == pytest.approx(euler(below, (1.0, 2.0)))


def test_thresholds_are_those_of_the_measured_images_for_every_picture():
    generator = np.random.default_rng(6)
    dark, bright = (generator.integers(low, low + 300, (32, 32)).astype(np.uint16) for low in (100, 700))
    plain = descriptor("minkowski_functionals")
    describe = plain.fitted([section(grey > 0, grey=grey) for grey in (dark, bright)])
    assert 100 < describe.thresholds[0] < 130
    assert 970 < describe.thresholds[-1] < 1000
    for grey in (dark, bright):
        curve = describe(section(grey > 0, grey=grey)).curves["area fraction over grey threshold"]
        np.testing.assert_array_equal(curve.x, describe.thresholds)
        np.testing.assert_allclose(curve.y, [(grey <= t).mean() for t in curve.x])
    flat = np.full((16, 16), 7, np.uint8)
    for one, reason in (
        (plain(section(dark > 200, grey=dark)), "no grey thresholds"),
        (plain.fitted([section(flat > 0, grey=flat)])(section(flat > 0, grey=flat)), "no grey thresholds"),
        (describe(section(dark > 200, grey=np.zeros((3, 32, 32), np.uint8))), IN_COLOUR),
    ):
        for curve in one.curves.values():
            assert curve.y is None
            assert reason in curve.invalid


# Local thickness


def thickness_of(phase, pixel=(1.0, 1.0)):
    return local_thickness(ndimage.distance_transform_edt(phase, sampling=pixel), pixel)


@pytest.mark.parametrize("width", [1, 2, 3, 6, 9, 20])
@pytest.mark.parametrize("pixel", [(1.0, 1.0), (1.0, 2.0), (0.3, 0.3)])
def test_a_strip_along_an_axis_is_as_wide_as_it_is(width, pixel):
    phase = np.zeros((60, 70), bool)
    phase[20 : 20 + width] = True
    expected = (width + width % 2) * pixel[0]
    np.testing.assert_allclose(thickness_of(phase, pixel)[phase], expected)
    assert (thickness_of(phase, pixel)[~phase] == 0).all()


@pytest.mark.parametrize("width", [4.0, 9.0, 17.0])
def test_oblique_strips_are_up_to_a_pixel_too_wide(width):
    generator = np.random.default_rng(7)
    errors = []
    for degrees, offset, more in generator.uniform((0, -3, 0), (180, 3, 1), (40, 3)):
        size = (90, 90)
        phase = half_plane(size, degrees, offset=offset + (width + more) / 2)
        phase &= ~half_plane(size, degrees, offset=offset - (width + more) / 2)
        middle = thickness_of(phase)[25:65, 25:65]  # away from where the field cuts the strip
        errors.append(middle[middle > 0].mean() - width - more)
    assert np.mean(errors) == pytest.approx(0.5, abs=0.25)
    assert np.abs(errors).max() < 1.4


@pytest.mark.parametrize("radius", [2.0, 4.5, 10.0, 25.0])
def test_round_pores_are_half_a_pixel_too_narrow(radius):
    errors = []
    for centre in np.random.default_rng(8).uniform(40, 41, (12, 2)):
        phase = discs((80, 80), [centre], radius)
        errors.append(thickness_of(phase)[phase].mean() - 2 * radius)
    assert np.mean(errors) == pytest.approx(-0.5, abs=0.35)


@pytest.mark.parametrize("pixel", [(1.0, 1.0), (1.0, 2.5), (2.0, 0.7)])
@pytest.mark.parametrize(("smooth", "share"), [(0.0, 0.8), (1.0, 0.5), (2.5, 0.3), (2.5, 0.9)])
def test_local_thickness_equals_painting_every_disc(smooth, share, pixel):
    noise = ndimage.gaussian_filter(np.random.default_rng(9).standard_normal((34, 45)), smooth)
    distance = ndimage.distance_transform_edt(noise < np.quantile(noise, share), sampling=pixel)
    y, x = np.indices(distance.shape)
    painted = np.zeros_like(distance)
    for row, column in np.argwhere(distance > 0):
        radius = distance[row, column]
        inside = np.hypot((y - row) * pixel[0], (x - column) * pixel[1]) < radius - 1e-9
        painted[inside] = np.maximum(painted[inside], 2 * radius)
    np.testing.assert_array_equal(local_thickness(distance, pixel), painted)


def test_two_pores_of_known_sizes_share_the_distribution_by_area():
    phase = np.zeros((64, 96), bool)
    phase[8:12, 4:44] = True  # 40 x 4: 160 pixels
    phase[30:50, 5:85] = True  # 80 x 20: 1600 pixels
    readings = descriptor("pore_sizes")(section(phase, (0.5, 0.5)))
    curve = readings.curves[DISTRIBUTION]
    assert curve.x[-1] == pytest.approx(15.75)
    between = curve.y[(curve.x > 2.1) & (curve.x < 5)]
    assert (between > 160 / 1760 - 0.01).all()
    assert (between < 160 / 1760 + 0.06).all()  # the corners of the wide one belong to smaller discs
    assert curve.y[-1] == 1.0
    assert readings.scalars["median local thickness"].value == 10.0
    assert readings.scalars["median local thickness"].unit == "µm"


# Connectivity


def test_clusters_are_counted_weighed_and_followed_from_side_to_side():
    phase = np.zeros((20, 30), bool)
    phase[5] = True  # 30 pixels, left to right
    phase[np.arange(10, 20), np.arange(10)] = True  # a diagonal of 10, joined by corners
    phase[12:17, 20:24] = True  # 20 pixels inside
    found = scalars("connectivity", phase, (2.0, 0.5))
    assert found == pytest.approx(
        {
            "connected fraction": 0.5,
            "percolating fraction along x": 0.5,
            "percolating fraction along y": 0.0,
            "cluster density": 3 / (40 * 15),
        }
    )
    turned = scalars("connectivity", phase.T)
    assert turned["percolating fraction along y"] == 0.5
    assert turned["percolating fraction along x"] == 0.0


def test_touching_both_sides_apart_is_not_percolating():
    phase = np.zeros((12, 12), bool)
    phase[2, :5] = phase[2, 7:] = True
    assert scalars("connectivity", phase)["percolating fraction along x"] == 0.0


# Transport


@pytest.mark.parametrize("pixel", [(1.0, 1.0), (1.0, 3.0)])
def test_channels_in_parallel_add_and_an_open_field_is_free(pixel):
    channels = np.zeros((30, 17), bool)
    channels[3:8] = channels[20:21] = True
    assert effective_diffusivity(channels, pixel) == pytest.approx(6 / 30, rel=1e-12)
    assert effective_diffusivity(np.ones((13, 21), bool), pixel) == pytest.approx(1, rel=1e-12)
    found = scalars("transport", channels, pixel)
    assert found["formation factor along x"] == pytest.approx(5)
    assert found["diffusive tortuosity along x"] == pytest.approx(1)
    assert found["effective diffusivity along y"] == 0.0
    assert found["formation factor along y"] is None


def test_a_bent_channel_is_as_long_as_its_pixels():
    """Resistances in series: n square pixels one after the other let through 1/n of one."""
    phase = np.zeros((11, 9), bool)
    phase[0, :5] = phase[:, 4] = phase[10, 4:] = True
    pixels = int(phase.sum())
    found = scalars("transport", phase)
    assert pixels == 19
    assert found["effective diffusivity along x"] == pytest.approx(1 / pixels * 9 / 11)
    # A dead end changes the tortuosity alone, by its area.
    phase[5, 5:8] = True
    dead_end = scalars("transport", phase)
    assert dead_end["effective diffusivity along x"] == pytest.approx(1 / pixels * 9 / 11)
    assert dead_end["diffusive tortuosity along x"] == pytest.approx(22 / 99 * pixels * 11 / 9)


@pytest.mark.parametrize(("pixel", "size"), [((1.0, 1.0), 128), ((1.0, 2.0), 128)])
@pytest.mark.parametrize("area", [0.05, 0.2, 0.4])
def test_a_square_array_of_insulating_discs_conducts_as_rayleigh_found(area, pixel, size):
    """Perrins, McKenzie and McPhedran (1979); for a small share c it is Maxwell's (1 - c)/(1 + c)."""
    rows, columns = round(size / pixel[0]), round(size / pixel[1])
    y, x = (np.indices((rows, columns)) + 0.5) * np.reshape(pixel, (2, 1, 1))
    phase = np.hypot(y - size / 2, x - size / 2) > size * math.sqrt(area / math.pi)
    c = 1 - phase.mean()
    expected = 1 - 2 * c / (1 + c - 0.305827 * c**4 / (1 - 1.402958 * c**8) - 0.013362 * c**8)
    found = effective_diffusivity(phase, pixel)
    # Staircases hinder a little: 1.2 % for square pixels of 1/128 of the field, twice for longer ones.
    assert -0.012 * max(pixel) * expected < found - expected < 0
    if area == 0.05:
        assert expected == pytest.approx((1 - c) / (1 + c), rel=1e-4)


def test_only_sides_let_through():
    corners = np.eye(12, dtype=bool)
    assert effective_diffusivity(corners) == 0.0
    assert scalars("connectivity", corners)["percolating fraction along x"] == 1.0
    found = descriptor("transport")(section(corners)).scalars
    assert "along x" in found["diffusive tortuosity along x"].invalid
    assert found["effective diffusivity along x"].value == 0.0


# All of them


@pytest.mark.parametrize("file", FILES)
def test_what_does_not_exist_is_invalid_with_its_reason_and_never_a_number(file):
    describe = descriptor(file)
    ordinary = describe(section(np.random.default_rng(10).random((32, 32)) < 0.4))
    for odd in (
        np.zeros((16, 16), bool),
        np.ones((16, 16), bool),
        np.eye(4, dtype=bool),
        np.ones((1, 5), bool),
        np.ones((1, 1), bool),
        np.arange(40 * 16).reshape(40, 16) > 3,
    ):
        readings = describe(section(odd))
        assert list(readings.scalars) == list(ordinary.scalars)
        assert list(readings.curves) == list(ordinary.curves)
        for name, scalar in readings.scalars.items():
            assert scalar.unit == ordinary.scalars[name].unit
            assert (scalar.value is None) == bool(scalar.invalid)
            assert scalar.value is None or math.isfinite(scalar.value)
        for curve in readings.curves.values():
            assert (curve.y is None) == bool(curve.invalid)


def test_reasons_of_absent_phases_and_small_fields():
    empty, narrow = np.zeros((16, 16), bool), np.ones((40, 16), bool)
    narrow[0, 0] = False
    thickness = descriptor("pore_sizes")
    assert thickness(section(empty)).scalars["mean local thickness"].invalid == "only one phase is present"
    assert "wider than the field" in thickness(section(narrow)).scalars["mean local thickness"].invalid
    assert "absent" in descriptor("connectivity")(section(empty)).scalars["connected fraction"].invalid
    assert scalars("connectivity", empty)["cluster density"] == 0.0
    assert scalars("minkowski_functionals", empty)[EULER] == 0.0
    assert (
        "too small"
        in descriptor("specific_surface")(section(np.ones((1, 9), bool))).scalars["specific surface"].invalid
    )
