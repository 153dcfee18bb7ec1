"""The scanner: its blur, its noise and its light are those that were set, and its colours those of the materials."""

import numpy as np
import pytest

from morphogen.mathematics.randomness import numpy_generator
from morphogen.phantoms.instruments.instrument import Subject
from morphogen.phantoms.instruments.scanner import EMPTY, Scanner, demosaicked, srgb_curve
from morphogen.phantoms.materials import QUARTZ

IDEAL = {"mtf50": 10, "white_electrons": 1e12, "read_electrons": 0, "falloff": 0, "shading": 0, "srgb": False}


def scanner(**settings: float) -> Scanner:
    return Scanner(**(IDEAL | settings))


def even(size: int = 64, label: int = 1) -> Subject:
    return Subject.of_labels(np.full((size, size), label, np.uint8), ("quartz",), 10.0)


def seen_by(instrument: Scanner, subject: Subject, seed: int = 0) -> np.ndarray:
    return instrument.see([subject], "uint16", [numpy_generator(seed)])[0].pixels / 65535


def test_materials_have_their_colours_and_pores_are_dark() -> None:
    for label, colour in ((1, QUARTZ.colour), (0, EMPTY)):
        found = seen_by(scanner(), even(label=label))
        assert found.shape == (3, 64, 64)
        for channel, expected in zip(found, colour, strict=True):
            np.testing.assert_allclose(channel, expected, atol=2e-5)
        np.testing.assert_allclose(
            seen_by(scanner(srgb=True), even(label=label))[0], srgb_curve(np.array(colour[0])), atol=2e-5
        )
    assert srgb_curve(np.array(0.5)) == pytest.approx(0.735357, abs=1e-6)  # IEC 61966-2-1
    assert srgb_curve(np.array(0.0031308)) == pytest.approx(0.04045, abs=1e-5)


@pytest.mark.parametrize("mtf50", [0.1, 0.2])
def test_the_modulation_transfer_is_a_half_where_it_is_said(mtf50: float) -> None:
    x = np.arange(120)
    wave = np.tile(0.5 + 0.3 * np.cos(2 * np.pi * mtf50 * (x - 60)), (16, 1))
    subject = Subject(np.ones(wave.shape, np.uint8), ("quartz",), 10.0, wave)
    found = seen_by(scanner(mtf50=mtf50, exposure=0.5), subject)[0, 8, 30:91]
    sharp = seen_by(scanner(exposure=0.5), subject)[0, 8, 30:91]
    assert np.ptp(found) / np.ptp(sharp) == pytest.approx(0.5, abs=0.01)
    assert found[30] == pytest.approx(found.max(), abs=1e-4)  # the crest stays where it was


def test_shot_noise_has_the_variance_of_counts() -> None:
    found = seen_by(scanner(white_electrons=4000, read_electrons=20), even(200))
    for channel, colour in zip(found, QUARTZ.colour, strict=True):
        # Of 40 000 pixels the variance is known to 4 sqrt(2 / 40000) = 3 %.
        assert channel.var() == pytest.approx((colour * 4000 + 20**2) / 4000**2, rel=0.03)


def test_light_falls_off_to_the_corners_and_across_and_keeps_its_mean() -> None:
    corners = seen_by(scanner(falloff=0.3), even())[0] / QUARTZ.colour[0]
    assert corners.mean() == pytest.approx(1, abs=1e-3)
    assert corners[31, 31] - corners[0, 0] == pytest.approx(0.3, abs=0.002)
    np.testing.assert_allclose(corners, corners[::-1, ::-1], atol=1e-4)
    across = seen_by(scanner(shading=0.2), even(), seed=3)[0] / QUARTZ.colour[0]
    assert np.ptp(across) == pytest.approx(0.2, abs=1e-3)
    assert np.abs(np.diff(across, n=2, axis=0)).max() < 1e-4  # a plane


def test_a_mosaic_of_colours_is_undone_where_they_change_evenly() -> None:
    y, x = np.indices((20, 24)) / 24
    full = np.stack([0.2 + x, 0.5 + 0.3 * y, 0.7 - 0.2 * x + 0.1 * y])
    np.testing.assert_allclose(demosaicked(full)[:, 1:-1, 1:-1], full[:, 1:-1, 1:-1], atol=1e-12)
    checks = np.zeros((3, 20, 24))
    checks[0, ::2, ::2] = 1  # of red where red is measured
    assert demosaicked(checks)[0].min() == 1
    assert demosaicked(checks)[1:].max() == 0
    plain, mosaic = (seen_by(scanner(bayer=bayer), even()) for bayer in (False, True))
    np.testing.assert_allclose(mosaic, plain, atol=3e-5)


def test_an_edge_is_where_the_label_changes() -> None:
    labels = np.zeros((40, 40), np.uint8)
    labels[:, 17:] = 1
    subject = Subject.of_labels(labels, ("quartz",), 10.0)
    for bayer in (False, True):
        found = seen_by(scanner(mtf50=0.2, bayer=bayer), subject)
        for channel, colour, dark in zip(found, QUARTZ.colour, EMPTY, strict=True):
            half = (colour + dark) / 2
            line = channel.mean(0)
            assert line[16] < half < line[17]
