"""Rock phantoms against the closed forms of overlapping discs, and what every kind of phantom promises."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from morphogen.mathematics.randomness import numpy_generator
from morphogen.phantoms.grains import Settings, narrowest, throw_grains
from morphogen.phantoms.instruments.camera import Camera
from morphogen.phantoms.phantom import (
    Phantom,
    image_set,
    parameters_of,
    phantom,
    phantom_kinds,
    phantoms,
)
from morphogen.problems import Problem

KINDS = ("fiber", "rock", "root")


def union_of_two_discs(distance: NDArray[np.float64], radius: float) -> NDArray[np.float64]:
    half = np.minimum(distance / (2 * radius), 1.0)
    lens = 2 * radius**2 * (np.arccos(half) - half * np.sqrt(1 - half**2))
    return 2 * math.pi * radius**2 - lens


@pytest.fixture(scope="module")
def poisson_pores() -> NDArray[np.bool_]:
    """240 windows of 160 px; grains of radius 8 px, intended porosity 0.3."""
    settings = Settings(porosity=0.3, grain_radius_um=8.0, radius_spread=0.0, exact=False)
    return np.stack([throw_grains(settings, (160, 160), 1.0, numpy_generator(11, k))[1] for k in range(240)])


def test_poisson_grains_have_the_porosity_of_the_boolean_model(poisson_pores: NDArray[np.bool_]) -> None:
    of_windows = poisson_pores.mean((1, 2))
    assert of_windows.std() > 0.01  # a Poisson number of grains fluctuates
    assert of_windows.mean() == pytest.approx(0.3, abs=4 * of_windows.std() / math.sqrt(len(of_windows)))
    # No edge effect: the rim of the window is as porous as its middle.
    rim = np.concatenate([poisson_pores[:, :6].ravel(), poisson_pores[:, :, -6:].ravel()])
    assert rim.mean() == pytest.approx(0.3, abs=0.01)


def test_poisson_grains_have_the_two_point_correlation_of_overlapping_discs(
    poisson_pores: NDArray[np.bool_],
) -> None:
    lags = np.array([1, 2, 4, 6, 8, 10, 12, 14, 16, 20, 30])
    intensity = -math.log(0.3) / (math.pi * 8.0**2)
    expected = np.exp(-intensity * union_of_two_discs(lags.astype(float), 8.0))
    for pores in (poisson_pores, poisson_pores.swapaxes(1, 2)):  # down and across
        measured = [(pores[:, lag:] & pores[:, :-lag]).mean() for lag in lags]
        np.testing.assert_allclose(measured, expected, atol=0.0085)  # 4 standard errors
    assert expected[0] - expected[-1] > 0.15  # so the tolerance is a small part of the curve


def test_polydisperse_grains_have_the_porosity_that_their_second_moment_gives() -> None:
    settings = Settings(porosity=0.4, grain_radius_um=6.0, radius_spread=0.6, exact=False)
    of_windows = [throw_grains(settings, (128, 128), 1.0, numpy_generator(7, k))[1].mean() for k in range(200)]
    error = np.std(of_windows) / math.sqrt(len(of_windows))
    assert error < 0.008
    assert np.mean(of_windows) == pytest.approx(0.4, abs=4 * error)


def test_radii_of_grains_in_the_window_are_lognormal() -> None:
    settings = Settings(porosity=0.3, grain_radius_um=5.0, radius_spread=0.4, exact=False)
    radii = []
    for k in range(40):
        grains, _ = throw_grains(settings, (200, 200), 1.0, numpy_generator(3, k))
        centre_inside = ((grains[:, :2] >= 0) & (grains[:, :2] < 200)).all(1)
        radii.append(grains[centre_inside, 2])  # those are not chosen by their size
    drawn = np.concatenate(radii)
    error = 2.0 / math.sqrt(len(drawn))
    assert drawn.mean() == pytest.approx(5.0, abs=4 * error)
    assert drawn.std() / drawn.mean() == pytest.approx(0.4, abs=0.02)


@pytest.mark.parametrize("porosity", [0.1, 0.24, 0.45, 0.8])
@pytest.mark.parametrize("size", [(256, 256), (96, 240)])
def test_exact_porosity_is_within_half_a_grain(porosity: float, size: tuple[int, int]) -> None:
    settings = Settings(porosity=porosity, grain_radius_um=36.0)
    for k in range(3):
        grains, pores = throw_grains(settings, size, 5.0, numpy_generator(5, k))
        largest = math.pi * (grains[:, 2].max() / 5.0 + 1) ** 2 / pores.size
        assert abs(pores.mean() - porosity) <= largest / 2
        assert abs(pores.mean() - porosity) <= 0.012


def test_labels_are_the_pixels_whose_centres_lie_in_no_grain() -> None:
    settings = Settings()
    grains, pores = throw_grains(settings, (60, 90), 5.0, numpy_generator(2))
    y, x = (np.indices((60, 90)) + 0.5) * 5.0
    brute = np.ones((60, 90), dtype=bool)
    for centre_y, centre_x, radius in grains:
        brute &= np.hypot(y - centre_y, x - centre_x) >= radius
    np.testing.assert_array_equal(pores, brute)


def test_pores_are_dark_and_fibers_and_roots_are_bright() -> None:
    for kind in KINDS:
        drawn = phantom(kind, seed=4)
        inside, outside = (drawn.picture.grey[drawn.labels == value] for value in (1, 0))
        darker, brighter = (inside, outside) if kind == "rock" else (outside, inside)
        assert np.percentile(darker, 75) + 20 < np.percentile(brighter, 25)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_bytes(kind: str) -> None:
    first, again, other = (phantom(kind, size=(96, 128), seed=seed) for seed in (1, 1, 2))
    assert first.picture.pixels.tobytes() == again.picture.pixels.tobytes()
    assert first.labels.tobytes() == again.labels.tobytes()
    assert dict(first.parameters) == dict(again.parameters)
    assert (first.labels != other.labels).mean() > 0.05
    assert first.picture.size == first.labels.shape == (96, 128)


@pytest.mark.parametrize("kind", KINDS)
def test_specimens_vary_and_do_not_depend_on_how_many_are_drawn(kind: str) -> None:
    three = phantoms(kind, count=3, size=(96, 96), seed=6)
    two = phantoms(kind, count=2, size=(96, 96), seed=6)
    for short, long in zip(two, three, strict=False):
        assert short.picture.pixels.tobytes() == long.picture.pixels.tobytes()
    assert image_set(three).specimens == (f"{kind}-6-00", f"{kind}-6-01", f"{kind}-6-02")
    assert len({specimen.caption for specimen in three}) == 3
    alike = phantoms(kind, count=2, size=(96, 96), seed=6, vary=False)
    defaults = {p.name: p.default for p in parameters_of(kind) if p.default is not None}
    for drawn in alike:
        for name, default in defaults.items():
            asked = drawn.parameters.get(f"{name}_asked", drawn.parameters.get(name, default))
            assert asked == default
    assert alike[0].labels.tobytes() != alike[1].labels.tobytes()


def test_a_given_parameter_holds_for_all_specimens_and_leaves_the_others_as_they_were() -> None:
    free = phantoms("rock", count=3, size=(96, 96), seed=8)
    fixed = phantoms("rock", count=3, size=(96, 96), seed=8, porosity=0.3)
    written = phantoms("rock", count=3, size=(96, 96), seed=8, parameters={"porosity": 0.3})
    assert {p.parameters["porosity_asked"] for p in fixed} == {0.3}
    assert [p.labels.tobytes() for p in fixed] == [p.labels.tobytes() for p in written]
    assert [p.parameters["grain_radius_um"] for p in free] == [p.parameters["grain_radius_um"] for p in fixed]


@pytest.mark.parametrize("kind", KINDS)
def test_another_camera_photographs_the_same_geometry(kind: str) -> None:
    sharp = phantom(kind, size=(96, 96), seed=1)
    blurred = phantom(kind, size=(96, 96), seed=1, camera=Camera(blur_px=3.0))
    assert sharp.labels.tobytes() == blurred.labels.tobytes()
    assert np.abs(np.diff(sharp.picture.grey)).mean() > 1.3 * np.abs(np.diff(blurred.picture.grey)).mean()


@pytest.mark.parametrize("kind", KINDS)
def test_the_picture_carries_its_answer(kind: str) -> None:
    drawn = phantom(kind, size=(96, 96), seed=1, specimen=3, spacing_um=None)
    fraction = {"rock": "porosity", "fiber": "fiber_volume_fraction", "root": "root_area_fraction"}[kind]
    assert drawn.parameters[fraction] == drawn.labels.mean() == drawn.picture.labels[fraction]
    assert drawn.picture.labels["caption"] == drawn.caption
    assert drawn.picture.origin.specimen == f"{kind}-1-03"
    assert drawn.picture.origin.source == f"phantom {kind} seed 1"
    np.testing.assert_array_equal(drawn.picture.mask, drawn.labels == 1)


def fibers_at(spacing_um: float, size: int) -> Phantom:
    return phantom("fiber", size=(size, size), seed=9, spacing_um=spacing_um)


def test_a_finer_spacing_shows_the_same_thing_in_more_pixels() -> None:
    coarse, fine = fibers_at(0.6, 100), fibers_at(0.2, 300)
    # With an odd factor every coarse pixel centre is a fine one: the labels agree to the last pixel.
    np.testing.assert_array_equal(coarse.labels, fine.labels[1::3, 1::3])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"kind": "rok"}, "rock, root"),
        ({"kind": "rock", "porosty": 0.2}, "'porosity'"),
        ({"kind": "rock", "porosity": 1.2}, "0.95"),
        ({"kind": "rock", "porosity": math.nan}, "0.95"),
        ({"kind": "rock", "parameters": {"size": 3.0}}, "'size' is not a known key"),
        ({"kind": "fiber", "fiber_volume_fraction": 0.9}, "0.7"),
        ({"kind": "fiber", "size": (32, 200)}, "a quarter of the window"),
        ({"kind": "rock", "grain_radius_um": 2.0}, "between one pixel"),
        ({"kind": "root", "total_length_mm": 5000.0}, "at most 819 mm"),
        ({"kind": "rock", "size": (8, 8)}, "16 or more"),
        ({"kind": "rock", "dtype": "float32"}, "uint8 or uint16"),
        ({"kind": "rock", "seed": -1}, "from 0 up"),
        ({"kind": "rock", "spacing_um": 0.0}, "above 0"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_one_line(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(Problem) as caught:
        phantom(**({"seed": 0} | arguments))  # type: ignore[arg-type]
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_kind_lists_parameters_that_it_accepts_at_both_ends() -> None:
    assert set(KINDS) < set(phantom_kinds())
    listed = parameters_of("rock")
    assert {"porosity", "grain_radius_um"} <= {p.name for p in listed}
    for parameter in listed:
        assert parameter.description
        for value in (parameter.low, parameter.high):
            Settings(**{parameter.name: value})


def test_brine_fills_the_narrowest_pores_first_to_a_pixel_and_nothing_else_changes() -> None:
    """In a cross of two slits, 6 and 14 pixels wide, brine fills the narrow one before the wide one; a gas is left in
    discs. In a phantom it has the share that was asked, and grains stay as they are."""
    pores = np.zeros((60, 60), np.bool_)
    pores[:, 10:16], pores[:, 30:44] = True, True
    narrow = np.zeros_like(pores)
    narrow[:, 10:16] = True
    assert np.array_equal(narrowest(pores, 0.3), narrow)
    assert narrowest(pores, 0.25).sum() == 0.25 * pores.sum()
    assert not (narrowest(pores, 0.25) & ~narrow).any()
    assert np.array_equal(narrowest(pores, 1.0), pores)
    assert not narrowest(pores, 0.0).any()
    assert narrowest(np.ones((8, 8), np.bool_), 0.5).sum() == 32

    quiet = Camera(blur_px=0, read_noise=0, shot_noise=0, shading=0)
    dry, half = (
        phantom("rock", size=(96, 96), seed=5, coupled=True, camera=quiet, porosity=0.4, brine_saturation=saturation)
        for saturation in (0.0, 0.5)
    )
    assert dry.picture.mask is not None
    assert half.picture.mask is not None
    assert np.array_equal(dry.picture.mask, half.picture.mask)
    brightened = half.picture.grey > dry.picture.grey + 20
    pores = dry.picture.mask
    assert half.picture.labels["brine_saturation"] == pytest.approx(0.5, abs=1 / pores.sum())
    assert (brightened & pores).sum() / pores.sum() == pytest.approx(0.5, abs=0.02)
    inside = distance_transform_edt(~dry.picture.mask) > 2  # of grains, past their soft edges
    assert np.array_equal(half.picture.grey[inside], dry.picture.grey[inside])
    assert str(half.picture.labels["caption"]).endswith("brine saturation 0.50")
