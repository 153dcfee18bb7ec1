"""Rocks in depth against closed forms: Boolean models, packs without overlap, Gaussian fields, beds, minerals, vugs."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from morphogen.mathematics.boolean_model import covariogram_of_ball, covariogram_of_ellipsoid, intensity, void_two_point
from morphogen.mathematics.gaussian_fields import matern, two_point_below
from morphogen.mathematics.randomness import numpy_generator
from morphogen.phantoms import gaussian_rocks, grain_packs
from morphogen.phantoms.solid import Solid
from morphogen.problems import Problem


def grains(count: int, shape: tuple[int, int, int], **settings: float) -> list[Solid]:
    asked = grain_packs.Settings(**({"exact": False} | settings))
    return [grain_packs.solid(asked, shape, 1.0, numpy_generator(21, k)) for k in range(count)]


def assert_two_points(pores: NDArray[np.bool_], axis: int, lags: Sequence[int], expected: NDArray[np.float64]) -> None:
    """S2 of many windows ``(n, ...)`` along an axis, within four standard errors, which are small."""
    for lag, wanted in zip(lags, expected, strict=True):
        moved = np.moveaxis(pores, axis + 1, 1)
        both = (moved[:, lag:] & moved[:, : moved.shape[1] - lag]).mean(tuple(range(1, pores.ndim)))
        error = both.std() / math.sqrt(len(both))
        assert error < 0.012
        assert both.mean() == pytest.approx(wanted, abs=4 * error)


LAGS = (0, 1, 3, 5, 8, 12)


@pytest.mark.parametrize(("count", "shape"), [(25, (40, 40, 40)), (60, (1, 112, 112))], ids=["volumes", "sections"])
def test_overlapping_spheres_are_a_boolean_model(count: int, shape: tuple[int, int, int]) -> None:
    settings = {"porosity": 0.35, "grain_radius_um": 5.0, "radius_spread": 0.0}
    pores = np.stack([one.labels == 0 for one in grains(count, shape, **settings)])
    rho = intensity(0.35, 4 / 3 * math.pi * 5**3)
    expected = void_two_point(rho, 4 / 3 * math.pi * 5**3, covariogram_of_ball(LAGS, 5.0, 3))
    for axis in (0, 1, 2) if shape[0] > 1 else (1, 2):
        assert_two_points(pores, axis, LAGS, expected)
    rim = pores[:, :, [0, -1]].mean((1, 2, 3))  # no edge effect
    assert rim.mean() == pytest.approx(0.35, abs=4 * rim.std() / math.sqrt(count))


def test_aligned_ellipsoids_are_a_boolean_model_that_knows_its_direction() -> None:
    settings = {"porosity": 0.4, "grain_radius_um": 6.0, "radius_spread": 0.0, "aspect_ratio": 3.0, "alignment": 1e4}
    pores = np.stack([one.labels == 0 for one in grains(60, (1, 112, 112), **settings)])
    volume = 4 / 3 * math.pi * 6**3
    half_axes = 6.0 * np.array([3 ** (-1 / 3), 3 ** (-1 / 3), 3 ** (2 / 3)])  # long along the width, without beds
    for axis in (1, 2):
        lags = np.zeros((len(LAGS), 3))
        lags[:, axis] = LAGS
        K = covariogram_of_ellipsoid(lags, half_axes, np.eye(3))
        assert_two_points(pores, axis, LAGS, void_two_point(intensity(0.4, volume), volume, K))


def test_radii_that_differ_and_beds_of_large_and_small_grains_keep_the_porosity() -> None:
    spread = {"porosity": 0.3, "grain_radius_um": 4.0, "radius_spread": 0.5}
    beds = {**spread, "bed_thickness_um": 24.0, "bed_grain_ratio": 1.6, "dip_deg": 30.0}
    for settings in (spread, beds):
        of_windows = np.array([(one.labels == 0).mean() for one in grains(60, (24, 48, 48), **settings)])
        error = of_windows.std() / math.sqrt(60)
        assert error < 0.012
        assert of_windows.mean() == pytest.approx(0.3, abs=4 * error)


def test_vugs_and_pores_together_are_the_porosity() -> None:
    settings = {"porosity": 0.35, "grain_radius_um": 3.0, "vug_fraction": 0.15, "vug_radius_um": 8.0}
    windows = grains(30, (32, 32, 32), **settings)
    of_windows = np.array([(one.labels == 0).mean() for one in windows])
    assert of_windows.mean() == pytest.approx(0.35, abs=4 * of_windows.std() / math.sqrt(30))
    one = grain_packs.solid(grain_packs.Settings(**settings), (48, 48, 48), 1.0, numpy_generator(2))
    assert one.parameters["porosity"] == pytest.approx(0.35, abs=0.002)
    z, y, x = np.indices(one.labels.shape) + 0.5
    for centre in one.geometry["vug centres"]:  # nothing grows into a vug
        inside = (z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2 < 8.0**2
        assert not one.labels[inside].any()


def surface_of(solid: Solid, grain: int) -> NDArray[np.float64]:
    """Points on the surface of a grain, 600 of a Fibonacci sphere."""
    k = np.arange(600) + 0.5
    polar, turn = np.arccos(1 - k / 300), math.pi * (1 + math.sqrt(5)) * k
    sphere = np.stack([np.cos(polar), np.sin(polar) * np.cos(turn), np.sin(polar) * np.sin(turn)], axis=1)
    u = solid.geometry["axes"][grain]
    first = np.cross(u, [0.3, -0.5, 0.8])
    first /= np.linalg.norm(first)
    frame = np.stack([u, first, np.cross(u, first)])
    points: NDArray[np.float64] = solid.geometry["centres"][grain] + sphere * solid.geometry["half axes"][grain] @ frame
    return points


PACKS = [
    {"porosity": 0.40, "radius_spread": 0.0},
    {"porosity": 0.36, "radius_spread": 0.0},
    {"porosity": 0.45, "radius_spread": 0.1, "aspect_ratio": 2.0},
    {"porosity": 0.45, "aspect_ratio": 0.5, "alignment": 10.0},
]


@pytest.mark.parametrize("settings", PACKS, ids=str)
def test_packed_grains_do_not_overlap_and_fill_what_was_asked(settings: dict[str, float]) -> None:
    asked = grain_packs.Settings(overlapping=False, grain_radius_um=5.0, **settings)
    pack = grain_packs.solid(asked, (40, 40, 40), 1.0, numpy_generator(3))
    assert pack.parameters["porosity"] == pytest.approx(settings["porosity"], abs=1.01 / 40**3)
    centres, half_axes, axes = (pack.geometry[name] for name in ("centres", "half axes", "axes"))
    least = math.inf
    for grain in range(len(centres)):
        points = surface_of(pack, grain)
        near = np.flatnonzero(np.linalg.norm(centres - centres[grain], axis=1) < 2.3 * half_axes.max())
        for other in near[near != grain]:
            away = points - centres[other]
            along = away @ axes[other]
            across = np.sqrt(np.maximum((away**2).sum(1) - along**2, 0))
            least = min(least, float(np.hypot(along / half_axes[other, 0], across / half_axes[other, 1]).min()))
    assert least >= 1 - 1e-9
    assert least < 1.1  # some nearly touch: the check sees them
    z, y, x = np.indices((40, 40, 40)) + 0.5  # labels are the voxels whose centres lie in a grain
    inside = np.zeros((40, 40, 40), dtype=bool)
    for centre, half, u in zip(centres, half_axes, axes, strict=True):
        away = np.stack([z - centre[0], y - centre[1], x - centre[2]])
        along = np.tensordot(u, away, 1)
        inside |= along**2 * (1 / half[0] ** 2 - 1 / half[1] ** 2) + (away**2).sum(0) / half[1] ** 2 < 1
    assert (inside != (pack.labels > 0)).sum() <= 5  # rounding of single precision


def test_a_section_of_a_pack_has_its_porosity_and_what_is_too_dense_is_refused() -> None:
    asked = grain_packs.Settings(overlapping=False, grain_radius_um=5.0, porosity=0.42)
    section = grain_packs.solid(asked, (1, 90, 90), 1.0, numpy_generator(4))
    assert section.parameters["porosity"] == pytest.approx(0.42, abs=0.005)
    with pytest.raises(Problem, match=r"random close packing is 0.640: ask for a porosity of 0.360 or more"):
        grain_packs.solid(asked.model_copy(update={"porosity": 0.34, "radius_spread": 0.0}), (40, 40, 40), 1.0,
                          numpy_generator(4))  # fmt: skip


def test_a_gaussian_rock_has_the_two_points_of_its_field_along_and_across_its_beds() -> None:
    settings = gaussian_rocks.Settings(porosity=0.3, correlation_length_um=4.0, stretch=2.0, exact=False)
    pores = np.stack(
        [gaussian_rocks.solid(settings, (1, 112, 112), 1.0, numpy_generator(5, k)).labels == 0 for k in range(60)]
    )
    for axis, length in ((1, 4.0), (2, 8.0)):
        assert_two_points(pores, axis, LAGS, two_point_below(0.3, matern(LAGS, length, 2.5)))
    shorter = settings.model_copy(update={"correlation_length_um": 1.5})
    volumes = [gaussian_rocks.solid(shorter, (32, 32, 32), 1.0, numpy_generator(6, k)).labels == 0 for k in range(20)]
    assert_two_points(np.stack(volumes), 0, LAGS, two_point_below(0.3, matern(LAGS, 3.0, 2.5)))  # depth is along


def test_a_gaussian_rock_is_exact_to_a_voxel_in_every_bed_and_mineral() -> None:
    settings = gaussian_rocks.Settings(
        porosity=0.3, correlation_length_um=3.0, bed_thickness_um=10.0, bed_contrast=0.2, dip_deg=25.0,
        second_mineral=0.2, third_mineral=0.07, mineral_length_um=6.0,
    )  # fmt: skip
    rock = gaussian_rocks.solid(settings, (40, 48, 56), 1.0, numpy_generator(7))
    count = rock.labels.size
    assert rock.parameters["porosity"] == pytest.approx(0.3, abs=2 / count)
    assert rock.parameters["bed_contrast"] == pytest.approx(0.2, abs=1e-4)
    assert rock.parameters["second_mineral"] == pytest.approx(0.2, abs=2 / count)
    assert rock.parameters["third_mineral"] == pytest.approx(0.07, abs=2 / count)
    assert rock.fractions()["feldspar"] == pytest.approx(0.7 * 0.2, abs=2 / count)
    # Beds dip to the right: porosity along them is even, across them it alternates every 10 voxels.
    y, x = np.indices(rock.labels.shape)[1:]
    across = (y + 0.5) * math.cos(math.radians(25)) - (x + 0.5) * math.sin(math.radians(25))
    bins = np.floor(across).astype(int) - int(across.min()) + 1
    profile = np.bincount(bins.ravel(), (rock.labels == 0).ravel()) / np.maximum(np.bincount(bins.ravel()), 1)
    middle = profile[15:-15] - profile[15:-15].mean()
    assert np.corrcoef(middle[20:], middle[:-20])[0, 1] > 0.5  # two beds on, it is as here
    assert np.corrcoef(middle[10:], middle[:-10])[0, 1] < -0.5  # one bed on, it is the other


def test_beds_of_grains_differ_as_asked_and_minerals_of_grains_are_within_half_a_grain() -> None:
    settings = grain_packs.Settings(
        porosity=0.3, grain_radius_um=2.5, radius_spread=0.0, bed_thickness_um=20.0, bed_contrast=0.2,
        second_mineral=0.3, third_mineral=0.1,
    )  # fmt: skip
    rock = grain_packs.solid(settings, (64, 80, 64), 1.0, numpy_generator(8))
    largest = 4 / 3 * math.pi * 2.5**3 * 1.4 / (rock.labels > 0).sum()
    assert rock.parameters["porosity"] == pytest.approx(0.3, abs=largest)
    assert rock.parameters["second_mineral"] == pytest.approx(0.3, abs=largest)
    assert rock.parameters["third_mineral"] == pytest.approx(0.1, abs=largest)
    # Grains reach into the next bed, which takes a little of the contrast.
    assert 0.13 < rock.parameters["bed_contrast"] < 0.21
