"""The tomograph: discs come back with their attenuation, and every artefact where and as large as it was asked for."""

import numpy as np
import pytest

from morphogen.mathematics.attenuation import Spectrum
from morphogen.mathematics.randomness import numpy_generator
from morphogen.phantoms.instruments.instrument import Seen, Subject
from morphogen.phantoms.instruments.tomograph import Tomograph
from morphogen.phantoms.materials import QUARTZ
from morphogen.phantoms.solid import Solid

SIZE = 48
CLEAN = {
    "noise": 0.0,
    "blur_px": 0.0,
    "core": False,
    "hardening": False,
    "kilovolt": 60,
    "smoothing": 0.0,
    "angles": 80,
}
Y, X = np.indices((SIZE, SIZE)) - (SIZE - 1) / 2
RADIUS = np.hypot(Y, X)


def tomograph(**settings: float | None) -> Tomograph:
    return Tomograph(**(CLEAN | settings))


def disc(radius: float = 16.0, spacing_um: float = 100.0) -> Subject:
    return Subject.of_labels((radius >= RADIUS).astype(np.uint8), ("quartz",), spacing_um)


def attenuation_in(seen: Seen) -> np.ndarray:
    """By the recorded map of grey."""
    a, b = (float(seen.recorded[f"attenuation_{name}_per_cm"]) for name in ("of_grey_0", "a_grey_level"))
    return a + b * seen.pixels[0].astype(float)


def seen_by(instrument: Tomograph, subject: Subject, seed: int = 0) -> np.ndarray:
    return attenuation_in(instrument.see([subject], "uint16", [numpy_generator(seed)])[0])


class _OneWrongElement:
    """A stream of chance in which one element of the detector counts too much, by one standard deviation."""

    def __init__(self, element: int) -> None:
        self.element = element

    def standard_normal(self, shape: tuple[int, ...]) -> np.ndarray:
        errors = np.zeros(shape)
        errors[..., self.element] = 1.0
        return errors


def test_a_disc_comes_back_with_the_attenuation_of_its_material() -> None:
    energy = Spectrum.of_tube(60, 0.5).mean_kev
    exact = QUARTZ.attenuation_per_cm(np.array([energy]))[0]
    found = seen_by(tomograph(), disc())
    assert found[RADIUS < 13].mean() == pytest.approx(exact, rel=3e-3)
    assert found[(RADIUS > 19) & (RADIUS < 23)].mean() == pytest.approx(0, abs=0.01 * exact)
    twice = seen_by(tomograph(darkest_per_cm=-2, brightest_per_cm=9), disc())
    np.testing.assert_allclose(found, twice, atol=1e-3)  # another grey scale, the same attenuation


def test_hardening_makes_a_cup_and_one_energy_does_not() -> None:
    cups = {}
    for hardening in (True, False):
        found = seen_by(tomograph(hardening=hardening, filter_mm=0), disc(20.0, 300.0))
        cups[hardening] = 1 - found[RADIUS < 6].mean() / found[(RADIUS > 15) & (RADIUS < 18)].mean()
    assert cups[True] > 0.1
    assert abs(cups[False]) < 0.005


def test_the_variance_of_the_noise_is_that_of_the_closed_form_and_goes_with_the_photons() -> None:
    variance = {}
    for photons in (2_000.0, 8_000.0):
        instrument = tomograph(photons=photons, flats=0)
        subjects, chance = [disc(20.0)] * 8, [numpy_generator(k) for k in range(8)]
        found = np.stack([attenuation_in(s) for s in instrument.see(subjects, "uint16", chance)])
        told = float(instrument.see(subjects[:1], "uint16", [numpy_generator(0)])[0].recorded["noise_per_cm"])
        variance[photons] = (found - found.mean(0))[:, RADIUS < 8].var() * 8 / 7
        assert np.sqrt(variance[photons]) == pytest.approx(told, rel=0.08)
    assert variance[2_000.0] / variance[8_000.0] == pytest.approx(4, rel=0.2)


def test_the_exposure_is_set_so_that_the_noise_is_the_asked_share_of_the_contrast() -> None:
    half = Subject.of_labels((X > 0).astype(np.uint8), ("quartz",), 20.0)
    chance = [numpy_generator(0)]
    seen = tomograph(noise=0.05, core=True).see([half], "uint16", chance)[0]
    assert seen.recorded["noise_per_cm"] == pytest.approx(0.05 * float(seen.recorded["attenuation_of_quartz_per_cm"]))
    thick, thin = (
        tomograph(kilovolt=None).see([disc(20.0, um)], "uint16", chance)[0].recorded["kilovolt"] for um in (500.0, 5.0)
    )
    assert thick > thin == 40


def test_a_wrong_gain_draws_a_ring_where_its_element_looks() -> None:
    subject = Subject.of_labels(np.zeros((SIZE, SIZE), np.uint8), ("quartz",), 100.0)
    around = tomograph().see([subject], "uint16", [numpy_generator(0)])[0]
    rings = []
    for ring, away in ((0.05, 12), (0.10, 12), (0.05, 18)):
        elements = 70  # hypot(48, 48) and a pixel on either side
        instrument = tomograph(ring=ring, darkest_per_cm=-20, brightest_per_cm=20)
        wrong = instrument.see([subject], "uint16", [_OneWrongElement(elements // 2 + away)])[0]  # type: ignore[list-item]
        found = attenuation_in(wrong)
        profile = np.array([found[(r - 0.5 <= RADIUS) & (r + 0.5 > RADIUS)].mean() for r in range(1, 23)])
        assert np.argmin(profile) + 1 == pytest.approx(away + 0.5, abs=0.6)  # too many photons: too little attenuation
        sector = np.floor(np.degrees(np.arctan2(Y, X)) / 20)  # 0 to 8 below the axis, where half a turn looks
        near = np.abs(RADIUS - away - 0.5) < 1
        deepest = [found[near & (sector == k)].min() for k in range(9)]
        assert max(deepest) < 0.6 * min(deepest) < 0
        assert np.abs(found[near & (Y < -4)]).max() < 0.2 * abs(min(deepest))  # half a turn, half a ring
        rings.append(profile.min())
    assert rings[1] / rings[0] == pytest.approx(np.log(1.10) / np.log(1.05), rel=0.02)
    assert np.abs(attenuation_in(around)).max() < 1e-3


def test_the_less_the_gains_are_known_the_stronger_are_the_rings() -> None:
    def of_rings(flats: float) -> float:
        found = seen_by(tomograph(photons=1e5, flats=flats), disc(23.0)) - seen_by(tomograph(), disc(23.0))
        shells = [found[(r <= RADIUS) & (r + 1 > RADIUS)].mean() for r in range(3, 20)]
        return float(np.std(shells))

    assert of_rings(1.0) > 3 * of_rings(0)


def test_the_picture_is_in_register_with_the_labels() -> None:
    rng = numpy_generator(4)
    labels = (rng.uniform(size=(12, 10)) > 0.5).repeat(4, 0).repeat(4, 1).astype(np.uint8)  # 48 x 40, no symmetry
    subject = Subject.of_labels(labels, ("quartz",), 20.0)
    found = seen_by(tomograph(core=True, hardening=True, blur_px=0.5, noise=0.05, smoothing=0.5), subject)
    phase = found > found.mean()
    assert (phase == labels).mean() > 0.97
    for shift, axis in ((1, 0), (-1, 0), (1, 1), (-1, 1)):
        assert (np.roll(phase, shift, axis) == labels).mean() < 0.9


def test_the_core_goes_on_beyond_the_field() -> None:
    full = Subject.of_labels(np.ones((SIZE, SIZE), np.uint8), ("quartz",), 100.0)
    found = seen_by(tomograph(core=True), full)
    assert found.std() < 0.02 * found.mean()  # no border of the field is to be seen
    corner = seen_by(tomograph(core=False, hardening=True), full)
    assert corner.std() > 2 * found.std()


def test_slices_are_the_same_alone_and_in_company(monkeypatch: pytest.MonkeyPatch) -> None:
    subjects = [disc(r, um) for r, um in ((10.0, 100.0), (14.0, 100.0), (8.0, 50.0), (12.0, 50.0))]
    instrument = Tomograph(angles=30)
    together = instrument.see(subjects, "uint8", [numpy_generator(k) for k in range(4)])
    monkeypatch.setattr(f"{Tomograph.__module__}.PIXELS", SIZE**2)  # and large images by ones
    by_ones = instrument.see(subjects, "uint8", [numpy_generator(k) for k in range(4)])
    for one, other in zip(together, by_ones, strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)
    for k, subject in enumerate(subjects):
        alone = instrument.see([subject], "uint8", [numpy_generator(k)])[0]
        np.testing.assert_array_equal(alone.pixels, together[k].pixels)
        assert alone.recorded == together[k].recorded


def test_an_ore_saturates_and_leaves_the_other_minerals_their_contrast() -> None:
    labels = np.zeros((SIZE, SIZE), np.uint8)
    labels[10:20, 10:38], labels[30:36, 20:26] = 1, 2
    seen = tomograph().see([Subject.of_labels(labels, ("quartz", "iron oxide"), 5.0)], "uint8", [numpy_generator(0)])[0]
    assert seen.pixels[0, 32:34, 22:24].min() == 255
    grey = seen.pixels[0, 12:18, 12:36].mean() - seen.pixels[0, 2:6, 2:6].mean()
    assert 100 < grey < 180


def test_a_solid_is_scanned_slice_by_slice_and_blurred_across_them() -> None:
    labels = np.zeros((9, 32, 32), np.uint8)
    labels[:5, 8:24, 4:28] = 1
    solid = Solid(labels, ("quartz",), 50.0, {}, "a block")
    volume = tomograph(angles=40).scan(solid, "uint16", numpy_generator(0)).pixels
    subject = Subject.of_slice(solid, 0, 2)
    slice_ = tomograph(angles=40).see([subject], "uint16", [numpy_generator(0)])[0].pixels[0]
    np.testing.assert_array_equal(volume[2], slice_)
    blurred = tomograph(angles=40, blur_px=1.0).scan(solid, "uint16", numpy_generator(0)).pixels.astype(int)
    assert blurred[3, 16, 16] > blurred[4, 16, 16] > blurred[5, 16, 16] > blurred[6, 16, 16]
