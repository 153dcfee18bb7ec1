"""What every kind of phantom with depth promises, and the files of volumes."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from morphogen.images.folders import read_images
from morphogen.phantoms.phantom import module_of, phantom
from morphogen.phantoms.solid import Solid
from morphogen.phantoms.volumes import solid_kinds, volume, volumes, write_volumes
from morphogen.problems import Problem

SMALL = {  # so that volumes of 24 x 48 x 48 show something
    "grain_pack": {"grain_radius_um": 25.0},
    "gaussian_rock": {"correlation_length_um": 20.0},
    "fiber_bundle": {},
    "weave": {"tow_spacing_um": 400.0, "tow_width_um": 300.0, "tow_thickness_um": 90.0, "fiber_volume_fraction": 0.4},
    "strands": {"bundle_width_um": 200.0, "bundle_length_um": 800.0, "loose_strands": 1},
}


@pytest.mark.parametrize("kind", sorted(SMALL))
def test_a_volume_is_the_same_for_its_seed_and_carries_its_answer(kind: str) -> None:
    assert set(SMALL) <= set(solid_kinds())
    first, again, other = (volume(kind, shape=(24, 48, 48), seed=s, dtype="uint16", **SMALL[kind]) for s in (1, 1, 2))
    assert first.pixels.tobytes() == again.pixels.tobytes()
    assert first.solid.labels.tobytes() == again.solid.labels.tobytes()
    assert (first.solid.labels != other.solid.labels).mean() > 0.05
    assert first.pixels.shape == first.solid.labels.shape == (24, 48, 48)
    module = module_of(kind)
    assert first.solid.parameters[module.FRACTION] == pytest.approx(first.mask.mean(), abs=1e-12)
    assert all(np.isfinite(value) for value in first.solid.parameters.values())
    assert f"{first.mask.mean():.2f}" in first.solid.caption
    assert "volume" in first.solid.caption
    inside, outside = first.pixels[first.mask].mean(), first.pixels[~first.mask].mean()
    assert (inside < outside) == (module.PHASE == ())  # pores are dark, fibers bright
    grey = first.pixels.astype(float)
    shifts = [np.corrcoef(grey.swapaxes(0, k)[1:].ravel(), grey.swapaxes(0, k)[:-1].ravel())[0, 1] for k in range(3)]
    assert min(shifts) > 0.4  # blurred along the depth as well


@pytest.mark.parametrize("kind", sorted(SMALL))
def test_a_section_is_a_phantom_like_any_other(kind: str) -> None:
    drawn, again = (phantom(kind, size=(64, 80), seed=3, parameters=SMALL[kind]) for _ in range(2))
    assert drawn.picture.pixels.tobytes() == again.picture.pixels.tobytes()
    assert drawn.picture.size == drawn.labels.shape == (64, 80)
    assert drawn.parameters[module_of(kind).FRACTION] == drawn.labels.mean()
    assert f"{drawn.labels.mean():.2f}" in drawn.caption
    assert "slice" in drawn.caption
    phantom(kind, size=(64, 80), seed=3, coupled=True, parameters=SMALL[kind])


def test_volumes_are_written_as_every_program_reads_them(tmp_path: Path) -> None:
    drawn = volumes("grain_pack", count=2, shape=(20, 32, 36), seed=4, grain_radius_um=20.0, second_mineral=0.2)
    first = drawn[0]()
    said = write_volumes(drawn, tmp_path / "out")
    assert said == first.solid.caption
    manifest = json.loads((tmp_path / "out/parameters.json").read_text())["volumes"]
    assert [entry["file"] for entry in manifest] == ["0000.tif", "0001.tif"]
    assert manifest[0]["caption"] == first.solid.caption
    assert manifest[0]["parameters"] == dict(first.solid.parameters)
    assert manifest[0]["materials"] == {"quartz": 1, "feldspar": 2, "dense mineral": 3}
    with tifffile.TiffFile(tmp_path / "out/images/0000.tif") as file:
        assert file.imagej_metadata["spacing"] == 5.0
        assert file.series[0].axes == "ZYX"
        np.testing.assert_array_equal(file.asarray(), first.pixels)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out/labels/0000.tif"), first.solid.labels)
    with np.load(tmp_path / "out/geometry/0000.npz", allow_pickle=False) as geometry:
        np.testing.assert_array_equal(geometry["centres"], first.solid.geometry["centres"])
    read = read_images(tmp_path / "out")
    assert len(read) == 40  # slices of both
    assert read[3].spacing_um == (5.0, 5.0)
    np.testing.assert_array_equal(read[3].pixels[0], first.pixels[3])
    np.testing.assert_array_equal(read[3].mask, first.mask[3])


def test_a_solid_says_what_it_is_made_of() -> None:
    labels = np.zeros((2, 3, 4), dtype=np.uint8)
    labels[1, 2] = 2
    solid = Solid(labels, ("a", "b"), 1.0, {}, "")
    assert dict(solid.fractions()) == {"a": 0.0, "b": 4 / 24}
    np.testing.assert_array_equal(solid.slice(1, 2), [[0] * 4, [2] * 4])
    np.testing.assert_array_equal(solid.slice(2, 0), labels[:, :, 0])
    np.testing.assert_array_equal(solid.painted({"a": 0.5, "b": 0.7}, 0.1)[1, 2], np.full(4, 0.7, np.float32))
    np.testing.assert_array_equal(solid.mask(()), labels == 0)
    np.testing.assert_array_equal(solid.mask(("b",)), labels == 2)
    with pytest.raises(ValueError, match="none of 1 materials"):
        Solid(labels, ("a",), 1.0, {}, "")


@pytest.mark.parametrize(
    ("kind", "shape", "words"),
    [
        ("rock", (32, 32, 32), "has no depth"),
        ("grain_pack", (4096, 16384, 16384), "of memory"),
        ("grain_pack", (32, 32, 8), "16 or more"),
        ("gaussian_rock", (32, 32, 32), "does not fit"),
    ],
)
def test_what_cannot_be_a_volume_is_said_in_one_line(
    kind: str, shape: tuple[int, int, int], words: str, tmp_path: Path
) -> None:
    more = {"correlation_length_um": 200.0} if kind == "gaussian_rock" else {}
    with pytest.raises(Problem, match=words) as caught:
        write_volumes(volumes(kind, count=1, shape=shape, seed=0, **more), tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())  # nothing half-written
