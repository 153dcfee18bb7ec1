"""The electron microscope: yields, edges, shadows, charging, noise and drift, each by itself."""

import numpy as np
import pytest

from morphogen.mathematics.randomness import numpy_generator
from morphogen.phantoms.instruments.electron_microscope import PIT, ElectronMicroscope
from morphogen.phantoms.instruments.instrument import Subject

PLAIN = {
    "edge": 0, "shadow": 0, "charging": 0, "charged_lines": 0, "beam_px": 0, "electrons": 1e12, "drift_px": 0,
    "offset": 0, "gain": 0.4,
}  # fmt: skip


def microscope(**settings: float) -> ElectronMicroscope:
    return ElectronMicroscope(**(PLAIN | settings))


def subject(labels: np.ndarray, *materials: str) -> Subject:
    return Subject.of_labels(labels.astype(np.uint8), materials or ("quartz",), 1.0)


def signal(instrument: ElectronMicroscope, of: Subject, seed: int = 0) -> np.ndarray:
    """Over a flat face of quartz."""
    found = instrument.see([of], "uint16", [numpy_generator(seed)])[0].pixels[0] / 65535
    return (found - instrument.offset) / instrument.gain


def block(size: int = 60) -> np.ndarray:
    labels = np.zeros((size, size))
    labels[20:40, 20:40] = 1
    return labels


def test_heavier_materials_are_brighter_and_pores_are_dark() -> None:
    stripes = np.repeat(np.arange(4), 10)[None].repeat(40, 0)
    found = signal(microscope(secondary=0), subject(stripes, "epoxy", "quartz", "iron oxide"))
    assert found[:, 2].mean() == pytest.approx(PIT, abs=1e-4)
    assert found[:, 25].mean() == pytest.approx(1, abs=1e-4)
    assert 0.4 < found[:, 15].mean() < 0.7
    assert found[:, 35].mean() > 1.5
    blind = signal(microscope(secondary=1), subject(stripes, "epoxy", "quartz", "iron oxide"))
    np.testing.assert_allclose(blind[:, 10:], 1, atol=1e-4)  # secondary electrons tell no materials apart


def test_edges_are_bright_and_only_edges() -> None:
    found = signal(microscope(edge=1.0), subject(block()))
    assert found[20, 25:35].min() > 1.15
    assert found[27:33, 27:33].max() == pytest.approx(1, abs=1e-3)
    flat = signal(microscope(edge=0.0), subject(block()))
    assert flat[20:40, 20:40].max() == pytest.approx(1, abs=1e-4)


def test_sides_that_face_the_detector_are_bright_and_the_others_in_shadow() -> None:
    for degrees, (lit, dark) in {0.0: ((30, 39), (30, 20)), 90.0: ((39, 30), (20, 30))}.items():
        found = signal(microscope(shadow=0.5, detector_deg=degrees), subject(block()))
        assert found[lit] > 1.1
        assert found[dark] < 0.9
        assert found[30, 30] == pytest.approx(1, abs=1e-3)


def test_charge_leaves_a_dark_tail_along_the_line() -> None:
    found = signal(microscope(charging=0.5, tail_px=8), subject(block()))
    without = signal(microscope(), subject(block()))
    change = found - without
    assert change[30, 42:48].max() < change[30, 55]  # darkest behind the block, and then it recovers
    assert change[30, 42:48].mean() < change[30, 10:18].mean() - 0.05
    beyond = change[5, 20:]
    np.testing.assert_allclose(change[50, 20:], beyond, atol=1e-3)  # lines that do not cross it know nothing of it


def test_some_lines_jump_from_a_place_on() -> None:
    even = subject(np.ones((600, 50)))
    found = signal(microscope(charged_lines=0.2, jump=0.2), even)
    jumps = np.abs(found[:, -1] - 1) > 1e-3
    assert jumps.mean() == pytest.approx(0.2, abs=4 * np.sqrt(0.2 * 0.8 / 600))
    assert (found[:, -1][jumps] - 1).std() == pytest.approx(0.2, rel=0.2)
    assert (np.abs(np.diff(found, axis=1)) > 1e-3).sum(1).max() == 1
    np.testing.assert_allclose(found[~jumps], 1, atol=1e-3)


def test_shot_noise_goes_with_the_electrons() -> None:
    found = signal(microscope(electrons=500), subject(np.ones((200, 200))))
    assert found.var() == pytest.approx(1 / 500, rel=0.03)


def test_lines_drift_by_no_more_than_is_stated() -> None:
    edge = np.zeros((80, 60))
    edge[:, 30:] = 1
    instrument = microscope(drift_px=1.5)
    seen = instrument.see([subject(edge)], "uint16", [numpy_generator(2)])[0]
    assert seen.recorded["largest_shift_px"] == pytest.approx(1.5)
    lines = seen.pixels[0] / 65535 / instrument.gain
    # A shift d to the right takes d (1 - PIT) of signal out of a line.
    shift = (30 * (1 + PIT) - lines.sum(1)) / (1 - PIT)
    assert np.abs(shift).max() == pytest.approx(1.5, abs=0.01)
    assert np.abs(np.diff(shift)).max() < 1.0  # a walk, and no jumps
    still = microscope().see([subject(edge)], "uint16", [numpy_generator(2)])[0]
    assert still.recorded["largest_shift_px"] == 0
    assert (np.diff(still.pixels[0] / 65535 / 0.4, axis=1).argmax(1) == 29).all()
