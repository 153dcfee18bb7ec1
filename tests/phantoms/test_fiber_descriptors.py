"""Fibers in cross-section whose sizes, places and numbers are known, and point patterns with a known Ripley's K."""

import math

import numpy as np
import pytest
from scipy.spatial import cKDTree

from morphogen.evaluation.descriptors.descriptor import descriptor
from morphogen.evaluation.descriptors.fiber_arrangement import nearest_neighbour_distance, ripley_k
from morphogen.evaluation.descriptors.fiber_sections import DESCRIPTOR as FIBERS
from morphogen.evaluation.descriptors.fiber_sections import diameter_grid, fiber_sections
from morphogen.evaluation.section import Section
from morphogen.images.picture import Origin, Picture
from morphogen.phantoms.phantom import phantom

ARRANGEMENT = descriptor("fiber_arrangement")
UNKNOWN = (math.nan, math.nan)


def section(phase, spacing=UNKNOWN):
    phase = np.asarray(phase, dtype=bool)
    return Section(Picture(phase[None].astype(np.uint8), spacing, Origin("s")), phase)


def scalars(describe, of):
    return {name: scalar.value for name, scalar in describe(of).scalars.items()}


def ellipses(size, centres, short, aspect=1.0, degrees=0.0, pixel=(1.0, 1.0)):
    """True where a pixel's centre lies in one of equal ellipses; lengths in the unit of the pixel."""
    y, x = ((np.arange(n) + 0.5) * p for n, p in zip(size, pixel, strict=True))
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    phase = np.zeros(size, dtype=bool)
    for cy, cx in centres:
        dy, dx = (y - cy)[:, None], (x - cx)[None]
        along, across = dx * cosine + dy * sine, dy * cosine - dx * sine
        phase |= (along / aspect) ** 2 + across**2 <= (short / 2) ** 2
    return phase


def lattice(size, step, jitter=0.0, generator=None):
    y, x = (np.arange(step / 2, n, step) for n in size)
    points = np.stack(np.meshgrid(y, x, indexing="ij"), axis=-1).reshape(-1, 2)
    return points if generator is None else points + generator.uniform(-jitter, jitter, points.shape)


@pytest.mark.parametrize(("aspect", "degrees"), [(1.0, 0.0), (1.4, 30.0), (2.0, 0.0), (2.0, 75.0)])
@pytest.mark.parametrize("pixel", [(1.0, 1.0), (0.5, 1.0)])
def test_ellipses_have_the_diameter_of_their_fiber_and_their_obliquity(aspect, degrees, pixel):
    """Twelve pixels wide: within 2 %, at which the outline on the grid makes a disc seem oblique."""
    generator = np.random.default_rng(0)
    size, step, diameter = (round(240 / pixel[0]), 240), 40.0, 12.0
    centres = lattice((240, 240), step, 6.0, generator)
    phase = ellipses(size, centres, diameter, aspect, degrees, pixel)
    found = scalars(FIBERS, section(phase, spacing=pixel))
    assert found["fiber diameter"] == pytest.approx(diameter, rel=0.02)
    assert found["fiber aspect ratio"] == pytest.approx(aspect, abs=0.03)
    assert found["fiber diameter spread"] < 0.2
    sections = fiber_sections(section(phase, spacing=pixel))
    assert sections.whole.sum() == len(centres)
    away, of = cKDTree(centres).query(sections.centres)
    assert away.max() < 0.2  # of a pixel
    assert sorted(of) == list(range(len(centres)))


def test_fibers_that_touch_are_told_apart():
    """Four discs that share several pixels of outline, and a rough one that stays whole."""
    discs = ellipses((64, 64), [(20, 20), (20, 35.5), (35.5, 20), (35.5, 35.5)], 16.0)
    assert section(discs).components[1] == 1
    of_discs = section(discs)
    found = fiber_sections(of_discs)
    assert fiber_sections(of_discs) is found  # both descriptors read the same sections
    assert found.whole.sum() == 4
    np.testing.assert_allclose(found.diameters, 16.0, rtol=0.03)  # what two discs share falls to one of them
    generator = np.random.default_rng(1)
    y, x = np.mgrid[:64, :64] - 31.5
    rough = np.hypot(y, x) <= 16 + generator.uniform(-1, 1, (64, 64))
    assert len(fiber_sections(section(rough)).whole) == 1


@pytest.mark.parametrize("tilt", [0.0, 10.0, 25.0])
def test_the_phantom_bundle_gets_back_its_parameters(tilt):
    """Fibers 11 pixels wide, packed to 55 %: diameters within 3 %, aspect ratios within 0.04, numbers within 5 %.

    The bundle is periodic and its field is not, so its edge cuts fibers: the count is unbiased, not exact.
    """
    means = []
    for seed in range(3):
        p = phantom("fiber", seed=seed, size=(256, 256), tilt_spread_deg=tilt)
        area = 256**2 * 0.65**2
        truth = (p.parameters["fiber_diameter_um"], p.parameters["fibers"] / area)
        found = scalars(FIBERS, Section(p.picture, p.labels.astype(bool)))
        means.append((found["fiber diameter"] / truth[0], found["fiber number density"] / truth[1]))
        spread = p.parameters["diameter_spread"] * truth[0]
        assert found["fiber diameter spread"] == pytest.approx(spread, rel=0.12)
    diameter, density = np.mean(means, axis=0)
    assert diameter == pytest.approx(1.0, abs=0.03)
    assert density == pytest.approx(1.0, abs=0.05)
    # Mean of 1 / cos(tilt) where both slopes are normal: sqrt(1 + t^2) over a Rayleigh t, in thousands of draws.
    slopes = np.tan(math.radians(tilt)) * np.random.default_rng(2).standard_normal((2, 20000))
    aspect = np.sqrt(1 + (slopes**2).sum(axis=0)).mean()
    assert found["fiber aspect ratio"] == pytest.approx(aspect, abs=0.04)


def test_means_are_unbiased_although_large_sections_are_cut_more_often():
    """Discs of two sizes, equally many, in fields of four large diameters; every place is as likely as any other.

    The plain mean of whole sections is pulled towards the small; the weighted one holds the true one. Weights are
    summed over the fields, as they are the number density of each size.
    """
    generator = np.random.default_rng(3)
    small, large, size = 6.0, 20.0, (80, 80)
    weights = np.zeros(2)
    counts = np.zeros(2)
    for _ in range(400):
        centres = lattice((280, 280), 40.0) + generator.uniform(0, 80, 2) - 80
        phase = np.zeros(size, dtype=bool)
        for k, diameter in enumerate((small, large)):
            phase |= ellipses(size, centres[(np.add(*np.divmod(np.arange(49), 7)) % 2) == k], diameter)
        found = fiber_sections(section(phase))
        big = found.diameters > (small + large) / 2
        weights += found.weights[~big].sum(), found.weights[big].sum()
        counts += (found.whole & ~big).sum(), (found.whole & big).sum()
    # A chessboard of cells of 40 x 40 has one of each per 3200 square pixels.
    np.testing.assert_allclose(weights / 400 * 3200, (1.0, 1.0), rtol=0.06)
    assert counts[1] / counts[0] < 0.8  # so that the line above can fail


def test_the_distribution_of_diameters_steps_where_the_diameters_are():
    phase = ellipses((128, 128), [(20, 20), (20, 60), (20, 100)], 10.0)
    phase |= ellipses((128, 128), [(70, 30), (70, 90)], 24.0)
    curve = FIBERS(section(phase, spacing=(0.5, 0.5))).curves["fiber diameters up to"]
    np.testing.assert_array_equal(curve.x, diameter_grid((128, 128), (0.5, 0.5)))
    assert curve.x_unit == "µm"
    weights = np.array([3 / (128 - 11) ** 2, 2 / (128 - 25) ** 2])
    share = weights[0] / weights.sum()
    assert np.interp([4.5, 8.0, 13.0], curve.x, curve.y) == pytest.approx([0.0, share, 1.0], abs=1e-12)


def test_too_few_sections_are_no_diameter_and_none_is_a_density_of_zero():
    one = FIBERS(section(ellipses((40, 40), [(20, 20)], 10.0))).scalars
    assert one["fiber diameter"].invalid == "fewer than two whole sections lie in the field"
    assert one["fiber number density"].value == pytest.approx(1 / (40 - 11) ** 2)
    empty = FIBERS(section(np.zeros((40, 40)))).scalars
    assert empty["fiber number density"].value == 0.0
    assert empty["fiber number density"].unit == "1/px²"
    full = FIBERS(section(np.ones((40, 40)))).scalars
    assert "wholly" in full["fiber number density"].invalid
    specks = np.zeros((40, 40), dtype=bool)
    specks[::6, ::6] = True
    assert FIBERS(section(specks)).scalars["fiber number density"].value == 0.0


def poisson(generator, window, density):
    return generator.uniform((0, 0), window, (generator.poisson(density * math.prod(window)), 2))


def test_poisson_points_have_k_of_pi_r_squared_and_an_index_of_one():
    generator = np.random.default_rng(4)
    window, density = (60.0, 100.0), 0.01
    radii = np.arange(1.0, 21.0)
    patterns = [p for p in (poisson(generator, window, density) for _ in range(500)) if len(p) >= 10]
    K = np.array([ripley_k(p, window, radii) for p in patterns])
    error = K.std(axis=0, ddof=1) / math.sqrt(len(K))
    assert (np.abs(K.mean(axis=0) - math.pi * radii**2) < 4 * error).all()
    assert (error[5:] < 0.02 * math.pi * radii[5:] ** 2).all()  # so that the line above can fail
    index = [nearest_neighbour_distance(p, window) * 2 * math.sqrt(len(p) / 6000) for p in patterns]
    assert np.mean(index) == pytest.approx(1.0, abs=0.02)  # three standard errors; without correction 1.06


@pytest.mark.parametrize("window", [(30.0, 30.0), (20.0, 45.0)])
def test_k_equals_visiting_every_pair(window):
    points = np.random.default_rng(5).uniform((0, 0), window, (25, 2))
    radii = np.array([0.5, 2.0, 5.0, 9.5])
    expected = np.zeros(4)
    for i, (yi, xi) in enumerate(points):
        for j, (yj, xj) in enumerate(points):
            if i != j:
                shared = (window[0] - abs(yi - yj)) * (window[1] - abs(xi - xj))
                expected += (math.hypot(yi - yj, xi - xj) <= radii) / shared
    expected *= math.prod(window) ** 2 / (25 * 24)
    np.testing.assert_allclose(ripley_k(points, window, radii), expected, rtol=1e-12)


def discs_about(points, size):
    return section(ellipses(size, points, 5.0))


def test_a_lattice_keeps_apart_and_clusters_stick_together():
    generator = np.random.default_rng(6)
    size = (256, 256)
    square = ARRANGEMENT(discs_about(lattice(size, 16.0), size))
    values = {name: s.value for name, s in square.scalars.items()}
    assert values["nearest fiber distance"] == pytest.approx(16.0, abs=0.01)
    # A square lattice has R = 2 up to the count of centres in the window, which is not a whole number of cells.
    assert values["Clark-Evans index"] == pytest.approx(2.0, rel=0.05)
    curve = square.curves["Ripley's L(r) - r"]
    np.testing.assert_allclose(curve.y[:16], -curve.x[:16])  # nothing within the step: the hard core
    assert curve.x[-1] == 64.0

    parents = generator.uniform(20, 236, (14, 2))
    cells = lattice((30, 30), 6.0) - 15  # discs that almost touch, in clusters of 25
    clustered = np.concatenate([p + cells for p in parents])
    found = scalars(ARRANGEMENT, discs_about(clustered, size))
    hard_core = scalars(ARRANGEMENT, discs_about(lattice(size, 12.0, 2.0, generator), size))
    assert found["fiber clustering"] > 0.2
    assert hard_core["fiber clustering"] < -0.02
    assert found["Clark-Evans index"] < 1.0 < 1.4 < hard_core["Clark-Evans index"]
    assert found["nearest fiber distance"] == pytest.approx(6.0, rel=0.05)


def test_the_arrangement_scales_with_the_pixel_and_does_not_depend_on_its_shape():
    p = phantom("fiber", seed=1, size=(256, 256))
    phase = p.labels.astype(bool)
    in_um, in_px = ARRANGEMENT(section(phase, (0.65, 0.65))), ARRANGEMENT(section(phase))
    for name, factor in (("nearest fiber distance", 0.65), ("Clark-Evans index", 1.0), ("fiber clustering", 1.0)):
        assert in_um.scalars[name].value == pytest.approx(factor * in_px.scalars[name].value)
    wide = scalars(ARRANGEMENT, section(np.repeat(phase, 2, axis=1), (2.0, 1.0)))
    square = scalars(ARRANGEMENT, section(phase, (2.0, 2.0)))
    assert wide["nearest fiber distance"] == pytest.approx(square["nearest fiber distance"], rel=0.01)
    assert wide["Clark-Evans index"] == pytest.approx(square["Clark-Evans index"], rel=0.02)


def test_fields_with_too_few_or_too_thick_fibers_have_no_arrangement():
    few = ARRANGEMENT(section(ellipses((64, 64), [(20, 20), (40, 40), (20, 45)], 8.0)))
    assert few.scalars["fiber clustering"].invalid == "fewer than 10 centres lie in the field"
    assert few.curves["Ripley's L(r) - r"].y is None
    thick = ARRANGEMENT(section(ellipses((64, 64), [(32, 32)], 40.0)))
    assert "too thick" in thick.scalars["Clark-Evans index"].invalid
    long = ARRANGEMENT(section(ellipses((24, 120), [(12, 60)], 10.0, aspect=5.0)))  # longer than the field is high
    assert "too thick" in long.scalars["nearest fiber distance"].invalid
    for phase in (np.zeros((16, 16)), np.ones((16, 16))):
        assert "wholly" in ARRANGEMENT(section(phase)).scalars["nearest fiber distance"].invalid
