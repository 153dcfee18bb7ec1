"""What holds for every instrument: its file is its registration, the answer stays exact, chance is one image's own."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from morphogen.cli import cli
from morphogen.images.folders import read_images
from morphogen.mathematics.randomness import numpy_generator
from morphogen.phantoms.instruments.instrument import INSTRUMENTS, Subject, instrument, settings_of
from morphogen.phantoms.phantom import Phantom, phantom, phantoms
from morphogen.problems import Problem

QUICK = {"tomograph": {"angles": 24}}
KINDS = ("rock", "fiber", "root", "root_system")


def drawn(name: str, kind: str = "rock", **settings: float) -> Phantom:
    return phantom(kind, size=(64, 72), seed=4, camera=instrument(name, QUICK.get(name, {}) | settings))


@pytest.mark.parametrize("name", INSTRUMENTS.names())
@pytest.mark.parametrize("kind", KINDS)
def test_the_answer_is_the_same_through_every_instrument(name: str, kind: str) -> None:
    plain, seen = phantom(kind, size=(64, 72), seed=4), drawn(name, kind)
    np.testing.assert_array_equal(seen.labels, plain.labels)
    np.testing.assert_array_equal(seen.picture.mask, plain.labels == 1)
    assert seen.parameters == plain.parameters
    assert seen.caption.partition(" of ")[2] == plain.caption.partition(" of ")[2]
    assert seen.picture.size == (64, 72)
    assert seen.picture.labels["caption"] == seen.caption
    assert np.ptp(seen.picture.pixels.astype(float)) > 10
    if name == "camera":
        assert seen.picture.pixels.tobytes() == plain.picture.pixels.tobytes()
        assert "instrument" not in seen.picture.labels
    else:
        assert seen.picture.labels["instrument"] == name


@pytest.mark.parametrize("name", INSTRUMENTS.names())
def test_phantoms_are_the_same_alone_and_in_company(name: str) -> None:
    through = instrument(name, QUICK.get(name))
    three = phantoms("rock", count=3, size=(48, 48), seed=6, grain_radius_um=40, camera=through)
    one = phantoms("rock", count=1, size=(48, 48), seed=6, grain_radius_um=40, camera=through)
    assert one[0].picture.pixels.tobytes() == three[0].picture.pixels.tobytes()
    assert dict(one[0].picture.labels) == dict(three[0].picture.labels)
    assert three[0].picture.pixels.tobytes() != three[1].picture.pixels.tobytes()


@pytest.mark.parametrize("name", INSTRUMENTS.names())
def test_sixteen_bits_are_the_same_image_in_more_levels(name: str) -> None:
    through = instrument(name, QUICK.get(name))
    wide, narrow = (phantom("rock", size=(64, 64), seed=1, dtype=d, camera=through) for d in ("uint16", "uint8"))  # type: ignore[arg-type]
    assert wide.picture.pixels.dtype == np.uint16
    assert len(np.unique(wide.picture.pixels)) > 600
    np.testing.assert_allclose(wide.picture.pixels / 65535, narrow.picture.pixels / 255, atol=0.5 / 255 + 1e-4)


@pytest.mark.parametrize("name", INSTRUMENTS.names())
def test_every_setting_is_listed_with_its_range(name: str) -> None:
    listed = settings_of(name)
    assert len(listed) >= 6
    for setting in listed:
        assert setting.description
        assert setting.default is None or setting.low <= setting.default <= setting.high
        for value in (setting.low - 1e7, setting.high + 1e16):
            with pytest.raises(Problem, match=f"{setting.name}"):
                instrument(name, {setting.name: value})
    with pytest.raises(Problem, match="is not a known key"):
        instrument(name, {"photns": 3.0})


def test_an_unknown_instrument_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(Problem, match="choose one of camera, electron_microscope, scanner, tomograph"):
        instrument("microscope")
    bare = Subject(np.zeros((20, 20), np.uint8), (), 1.0, np.zeros((20, 20)))
    for name in ("tomograph", "scanner", "electron_microscope"):
        with pytest.raises(Problem, match="has to know what things are made of"):
            instrument(name).see([bare], "uint8", [numpy_generator(0)])


def test_the_tone_of_a_material_knows_nothing_of_its_neighbours() -> None:
    labels = np.zeros((30, 30), np.uint8)
    labels[:, 15:] = 1
    reflectance = np.where(labels == 1, 0.8, 0.2)
    reflectance[:, 14], reflectance[:, 15] = 0.5, 0.5  # an edge that both share
    reflectance[10, 22] = 0.96
    tone = Subject(labels, ("quartz",), 1.0, reflectance).tone
    np.testing.assert_allclose(tone[:, :15], 1.0)
    assert tone[10, 22] == pytest.approx(1.2, abs=0.01)
    np.testing.assert_allclose(tone[20:, 15:], 1.0, atol=0.001)


def test_the_command_names_an_instrument_and_its_settings(tmp_path) -> None:
    run = CliRunner().invoke
    asked = ["phantom", "rock", "-n", "2", "--size", "64", "64", "--bits", "16", "--out", str(tmp_path / "made")]
    told = ["--instrument", "tomograph", "--instrument-set", "angles=24", "--instrument-set", "noise=0.2"]
    assert run(cli, [*asked, *told], catch_exceptions=False).exit_code == 0
    found = read_images(tmp_path / "made")
    assert str(found[0].labels["caption"]).startswith("microCT slice of a rock phantom")
    assert found[0].pixels.dtype == np.uint16
    assert found[0].mask is not None
    entry = json.loads((tmp_path / "made/images/manifest.json").read_text())["pictures"][0]["labels"]
    grey = entry["attenuation_of_grey_0_per_cm"] + entry["attenuation_a_grey_level_per_cm"] * found[0].grey
    solid = grey[~found[0].mask].mean()
    assert solid == pytest.approx(entry["attenuation_of_quartz_per_cm"], rel=0.25)  # the beam hardens, edges are soft
    assert solid > 3 * abs(grey[found[0].mask].mean())
    listed = run(cli, ["phantom", "rock", "--list", "--instrument", "tomograph"], catch_exceptions=False).output
    assert "porosity" in listed
    assert "photons" in listed
    assert "chosen to suit" in listed
    with pytest.raises(Problem, match="exact masks are seen through no instrument"):
        run(cli, [*asked[:-1], str(tmp_path / "more"), *told, "--labels"], catch_exceptions=False)
    with pytest.raises(Problem, match="did you mean 'photons'"):
        run(
            cli,
            [*asked[:-1], str(tmp_path / "more"), *told[:2], "--instrument-set", "photon=3"],
            catch_exceptions=False,
        )
    with pytest.raises(Problem, match="name a new folder"):
        run(cli, asked[:-2], catch_exceptions=False)
