"""Volumes of every kind through the tomograph, and their sections through every instrument."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from morphogen.cli import cli
from morphogen.phantoms.instruments.instrument import INSTRUMENTS, instrument
from morphogen.phantoms.instruments.tomograph import Tomograph
from morphogen.phantoms.phantom import phantom
from morphogen.phantoms.volumes import volume
from morphogen.problems import Problem


@pytest.mark.parametrize("kind", ["grain_pack", "fiber_bundle", "root_system"])
def test_a_volume_is_the_same_through_camera_and_tomograph(kind: str) -> None:
    shape = (16, 48, 48)
    plain, seen = (volume(kind, shape=shape, seed=2, camera=through) for through in (None, Tomograph(angles=30)))
    np.testing.assert_array_equal(plain.solid.labels, seen.solid.labels)
    assert seen.recorded["instrument"] == "tomograph"
    assert not plain.recorded
    attenuation = {
        name: seen.recorded[f"attenuation_of_{name.replace(' ', '_')}_per_cm"] for name in seen.solid.materials
    }
    true = seen.solid.painted({name: float(level) for name, level in attenuation.items()})
    assert np.corrcoef(true.ravel(), seen.pixels.ravel())[0, 1] > 0.6


@pytest.mark.parametrize("name", INSTRUMENTS.names())
def test_a_section_knows_its_materials(name: str) -> None:
    settings = {"angles": 24} if name == "tomograph" else {}
    seen = phantom("grain_pack", size=(64, 64), seed=1, camera=instrument(name, settings))
    pores = seen.picture.mask
    assert pores is not None
    assert seen.picture.grey[~pores].mean() > 1.5 * seen.picture.grey[pores].mean()


def test_volumes_are_written_with_what_the_tomograph_recorded(tmp_path) -> None:
    asked = ["phantom", "root_system", "--depth", "16", "--size", "48", "48", "-n", "1", "-p", "tap_diameter_mm=0.4"]
    told = ["--out", str(tmp_path / "made"), "--instrument", "tomograph", "--instrument-set", "angles=24"]
    assert CliRunner().invoke(cli, [*asked, *told], catch_exceptions=False).exit_code == 0
    (entry,) = json.loads((tmp_path / "made/parameters.json").read_text())["volumes"]
    assert entry["instrument"]["instrument"] == "tomograph"
    assert entry["instrument"]["attenuation_a_grey_level_per_cm"] > 0
    with pytest.raises(Problem, match="a volume has no optical scan"):
        volume("grain_pack", shape=(16, 48, 48), seed=2, camera=instrument("scanner"))
