"""Every format gives back what it was given and says what it knows of pixel sizes; measured files can be followed."""

import json
import math
import shutil
from pathlib import Path

import h5py
import numpy as np
import psutil
import pytest
import tifffile
import zarr

from morphogen.generation.generate import generate
from morphogen.images.endings import (
    ending_of,
    format_of,
    formats,
    is_image,
    place_of,
    readable_extensions,
    stem_of,
    writable_extensions,
)
from morphogen.images.folders import read_images, write_images
from morphogen.images.formats.volume import Volume
from morphogen.images.likeness import storing
from morphogen.images.picture import PIXEL_TYPES
from morphogen.problems import Problem, printable
from morphogen.training.train import train
from small_sets import SMALL, random_set

WITHOUT_SIZES = (".npy", ".npz")
VOLUME = np.arange(4 * 7 * 9, dtype=np.uint16).reshape(4, 7, 9) * 91
BLOCK_FORMATS = [m for m in formats() if hasattr(m, "write_volume") and hasattr(m, "open_volume")]
BLOCKS = [(module, ending) for module in BLOCK_FORMATS for ending in module.EXTENSIONS[:1] + module.EXTENSIONS[-1:]]


def _written(ending: str, folder: Path, volume: np.ndarray = VOLUME, spacing=(2.0, 3.0, 5.0)) -> Path:
    path = folder / f"scan{ending}"
    format_of(ending).write_volume(path, volume[None] if volume.ndim == 3 else volume, spacing)
    return path


def _each_once(endings: list[str]) -> list[str]:
    """Without the second names of formats whose files do not depend on them."""
    return [e for e in endings if e not in (".hdf5", ".hdf", ".nxs", ".tiff", ".tf8", ".btf", ".zarr")]


@pytest.mark.parametrize(("channels", "dtype"), [(1, "uint8"), (3, "uint16"), (1, "float32")])
def test_pixels_types_sizes_and_specimens_survive_a_round_trip(tmp_path, dtype, channels):
    images = random_set(dtype=dtype, channels=channels, size=(13, 17), spacing_um=0.65)
    for ending in _each_once(writable_extensions(dtype)):
        folder = tmp_path / ending.strip(".").replace(".", "_")
        write_images(images, folder, extension=ending)
        assert read_images(folder).fingerprint == images.fingerprint, ending
        (folder / "images" / "manifest.json").unlink()
        read = read_images(folder)
        assert read.specimens == ("0000", "0001"), ending
        for before, after in zip(images, read, strict=True):
            assert after.pixels.dtype == before.pixels.dtype
            np.testing.assert_array_equal(after.pixels, before.pixels, ending)
            expected = math.nan if ending in WITHOUT_SIZES else 0.65
            np.testing.assert_allclose(after.spacing_um, (expected, expected), rtol=1e-5, err_msg=ending)


@pytest.mark.parametrize(("module", "ending"), BLOCKS, ids=lambda x: x if isinstance(x, str) else "")
def test_a_volume_is_read_whole_and_in_blocks(tmp_path, module, ending):
    path = _written(ending, tmp_path)
    for axis in range(3):
        slices = read_images(path, axis=axis)
        sizes = [2.0, 3.0, 5.0]
        del sizes[axis]
        for k, picture in enumerate(slices):
            np.testing.assert_array_equal(picture.pixels[0], np.take(VOLUME, k, axis=axis))
            assert picture.origin.slice == k
        if ending not in WITHOUT_SIZES:
            np.testing.assert_allclose(slices[0].spacing_um, sizes, rtol=1e-6)
    volume: Volume = module.open_volume(path)
    assert (volume.shape, volume.channels, volume.dtype) == (VOLUME.shape, 1, np.uint16)
    block = slice(1, 3), slice(2, 7), slice(0, 4)
    np.testing.assert_array_equal(volume.read(block), VOLUME[block][None])
    volume.close()


def test_a_mapped_file_takes_no_more_memory_than_the_block_that_is_read(tmp_path):
    with open(tmp_path / "scan.raw", "wb") as file:
        file.truncate(2**27)  # a hole: no byte of it is on the disk
    (tmp_path / "scan.json").write_text('{"shape": [128, 1024, 1024], "type": "uint8"}')
    volume = format_of(".raw").open_volume(tmp_path / "scan.raw")
    before = psutil.Process().memory_info().rss
    for z in range(0, 128, 8):
        assert volume.read((slice(z, z + 8), slice(None), slice(None))).nbytes == 2**23
    assert psutil.Process().memory_info().rss - before < 2**25
    assert volume.chunk == (1, 1, 1024)


@pytest.mark.parametrize("ending", [".h5", ".zarr", ".nrrd", ".mha", ".nii", ".npy", ".raw"])
def test_other_types_of_number_go_without_loss_to_one_that_is_kept(tmp_path, ending):
    signed = (VOLUME.astype(np.int32) - 9000).astype(np.int16)
    volume = format_of(ending).open_volume(_written(ending, tmp_path, signed))
    assert volume.dtype == np.float32
    assert volume.dtype in PIXEL_TYPES
    np.testing.assert_array_equal(volume.read((slice(None),) * 3)[0], signed)
    volume.close()


@pytest.mark.parametrize(("channels", "dtype"), [(1, "uint16"), (3, "uint8")])
def test_a_stack_in_one_file_remembers_each_image(tmp_path, channels, dtype):
    images = random_set(3, dtype=dtype, channels=channels, size=(13, 17), spacing_um=0.65)
    for ending in _each_once(writable_extensions(dtype, as_stack=True)):
        folder = tmp_path / ending.strip(".").replace(".", "_")
        write_images(images, folder, extension=ending, as_stack=True)
        read = read_images(folder)
        assert read.fingerprint == images.fingerprint, ending
        assert [p.labels["brightness"] for p in read] == [p.labels["brightness"] for p in images]
        (folder / "images" / "manifest.json").unlink()
        across = read_images(folder, axis=1)[0].spacing_um
        assert math.isnan(across[0]), ending  # nobody knows how far apart images are that are no slices
        assert math.isnan(across[1]) if ending in WITHOUT_SIZES else across[1] == pytest.approx(0.65)


def test_masks_are_stacked_too(tmp_path):
    images = random_set(3, size=(13, 17))
    masked = type(images)([type(p)(p.pixels, p.spacing_um, p.origin, p.labels, p.pixels[0] > 100) for p in images])
    write_images(masked, tmp_path, extension=".h5", as_stack=True)
    assert [f.name for f in (tmp_path / "masks").glob("*.tif")] == ["stack.tif"]
    assert read_images(tmp_path).fingerprint == masked.fingerprint


@pytest.mark.parametrize("ending", [".nii", ".mha"])
def test_a_format_that_must_know_how_far_slices_are_apart_is_refused_for_stacks(tmp_path, ending):
    with pytest.raises(Problem, match=r"must say how far apart slices are.*\.nrrd"):
        write_images(random_set(), tmp_path / "out", extension=ending, as_stack=True)
    assert list(tmp_path.iterdir()) == []


def test_endings_are_the_longest_that_a_format_has():
    assert (ending_of("a.b.nii.gz"), stem_of("a.b.nii.gz")) == (".nii.gz", "a.b")
    assert (ending_of("A.OME.ZARR"), stem_of("A.OME.ZARR")) == (".ome.zarr", "A")
    assert (ending_of("a.tar.gz"), stem_of("a.tar.gz")) == (".gz", "a.tar")
    assert (ending_of("scan"), stem_of("scan")) == ("", "scan")
    assert {".tif", ".png", ".jpg", ".h5", ".zarr", ".nii.gz", ".nrrd", ".mhd", ".raw", ".npy"} <= readable_extensions()


def test_data_exchange_has_its_pixel_size_where_the_unit_is_told(tmp_path):
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file["exchange/data"] = VOLUME
        file["exchange/data_white"] = VOLUME
        file["measurement/instrument/detector/pixel_size_x"] = 6.5  # of the detector, not of the specimen
        file["measurement/instrument/detector/pixel_size_x"].attrs["units"] = "um"
    assert math.isnan(read_images(tmp_path / "scan.h5")[0].spacing_um[1])
    with h5py.File(tmp_path / "scan.h5", "a") as file:
        file["measurement/instrument/detector/actual_pixel_size_x"] = [1.2e-6]
    assert math.isnan(read_images(tmp_path / "scan.h5")[0].spacing_um[1])
    with h5py.File(tmp_path / "scan.h5", "a") as file:
        file["measurement/instrument/detector/actual_pixel_size_x"].attrs["units"] = "m"
    np.testing.assert_allclose(read_images(tmp_path / "scan.h5")[0].spacing_um, (1.2, 1.2))


def test_a_path_inside_is_named_behind_a_colon(tmp_path):
    (tmp_path / "scans").mkdir()
    for name in ("a", "b"):
        with h5py.File(tmp_path / "scans" / f"{name}.h5", "w") as file:
            file["raw/one"], file["raw/two"] = VOLUME, VOLUME[::-1]
            file["link"] = h5py.SoftLink("/raw/two")
    with pytest.raises(Problem, match=r"several data sets: /raw/one .* and /raw/two .*: choose one, as a\.h5:/raw/one"):
        read_images(tmp_path / "scans" / "a.h5")
    one = read_images(f"{tmp_path}/scans/a.h5:/raw/one")
    np.testing.assert_array_equal(one[0].pixels[0], VOLUME[0])
    assert one[0].origin.source == "a.h5:/raw/one"
    of_all = read_images(f"{tmp_path}/scans:/link")
    assert of_all.specimens == ("a", "b")
    np.testing.assert_array_equal(of_all[0].pixels[0], VOLUME[-1])
    assert place_of(tmp_path / "scans" / "a.h5") == (tmp_path / "scans" / "a.h5", None)


@pytest.mark.parametrize("form", [2, 3])
def test_the_finest_resolution_of_an_image_is_read_with_its_unit(tmp_path, form):
    group = zarr.open_group(tmp_path / "scan.ome.zarr", mode="w", zarr_format=form)
    group.create_array("coarse", data=VOLUME[None, :2, :3, :4])
    group.create_array("fine", data=VOLUME[None], chunks=(1, 2, 3, 4))
    scales = {"coarse": [1, 4, 6, 8], "fine": [1, 2, 3, 4]}
    image = {
        "axes": [{"name": "c", "type": "channel"}, {"name": "z", "type": "space", "unit": "nanometer"},
                 {"name": "y", "type": "space", "unit": "millimeter"}, {"name": "x", "type": "space"}],
        "datasets": [
            {"path": path, "coordinateTransformations": [{"type": "scale", "scale": s}]} for path, s in scales.items()
        ],
        "coordinateTransformations": [{"type": "scale", "scale": [1, 10, 10, 10]}],
    }  # fmt: skip
    if form == 2:
        group.attrs["multiscales"] = [image | {"version": "0.4"}]
    else:
        group.attrs["ome"] = {"version": "0.5", "multiscales": [image]}
    volume = format_of(".zarr").open_volume(tmp_path / "scan.ome.zarr")
    np.testing.assert_array_equal(volume.read((slice(None),) * 3)[0], VOLUME)
    np.testing.assert_allclose(volume.spacing_um, (0.02, 30_000, math.nan))
    assert read_images(tmp_path).specimens == ("scan",)  # a store is one of the files of a folder


def test_a_chunk_that_is_not_there_is_the_fill_value(tmp_path):
    array = zarr.open_array(
        tmp_path / "scan.zarr", mode="w", shape=(2, 6, 8), chunks=(1, 6, 8), dtype="u1", fill_value=7
    )
    array[1] = 9
    first, second = read_images(tmp_path / "scan.zarr")
    assert set(first.pixels.ravel()) == {7}
    assert set(second.pixels.ravel()) == {9}


@pytest.mark.parametrize(
    ("ending", "header"),
    [
        (
            ".json",
            '{"shape": [4, 7, 9], "type": "uint16", "byte_order": "big", "offset": 5, "pixel_size_um": [7, 3, 3]}',
        ),
        (".yaml", "shape: [4, 7, 9]\ntype: uint16\nbyte_order: big\noffset: 5\npixel_size_um: [7, 3.0, 3]\n"),
        (".txt", "shape: [4, 7, 9]\ntype: uint16\nbyte_order: big\noffset: 5\npixel_size_um: 3\n"),
    ],
)
def test_raw_pixels_are_what_their_header_says(tmp_path, ending, header):
    (tmp_path / "scan.raw").write_bytes(b"12345" + VOLUME.astype(">u2").tobytes())
    (tmp_path / f"scan{ending}").write_text(header)
    pictures = read_images(tmp_path)
    np.testing.assert_array_equal([p.pixels[0] for p in pictures], VOLUME)
    assert pictures[0].spacing_um == (3, 3)


def test_pixels_in_a_file_of_their_own_are_no_second_image(tmp_path):
    for ending in (".mhd", ".nhdr"):
        _written(ending, tmp_path)
        assert sorted(p.name for p in tmp_path.iterdir()) == [
            "scan.raw" if p == ".raw" else f"scan{p}" for p in (ending, ".raw")
        ]
        assert len(read_images(tmp_path)) == 4
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()


@pytest.mark.parametrize(
    ("ending", "old", "new"),
    [(".mha", b"DistanceUnits = mm\n", b""), (".nrrd", b'units: "mm" "mm" "mm"\n', b""), (".nii", b"\x03", b"\x00")],
)
def test_a_pixel_size_without_a_unit_is_unknown(tmp_path, ending, old, new):
    path = _written(ending, tmp_path)
    data = path.read_bytes()
    place = 123 if ending == ".nii" else data.index(old)
    assert data[place : place + len(old)] == old
    path.write_bytes(data[:place] + new + data[place + len(old) :])
    assert all(math.isnan(s) for p in read_images(path) for s in p.spacing_um)


def test_a_linked_image_within_the_folder_is_read_and_control_characters_are_shown_as_escapes(tmp_path):
    write_images(random_set(1), tmp_path / "set")
    (tmp_path / "set" / "images" / "0001.png").symlink_to("0000.png")
    assert len(read_images(tmp_path / "set")) == 2
    assert printable("Röhre\x1b[2J\u202e") == r"Röhre\x1b[2J\u202e"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on what a scanner stored as signed 16 bit."""
    folder = tmp_path_factory.mktemp("run")
    images = random_set(2, dtype="float32", spacing_um=8.0)
    for k, picture in enumerate(images):
        signed = np.rint(picture.pixels * 4000 - 1000).astype(np.int16)
        format_of(".nrrd").write(folder / f"ct_{k}.nrrd", signed, picture.spacing_um)
    run = train(
        "vae", read_images(folder), folder / "run", cpu=True, images_seen=8, size=(16, 24), settings=SMALL["vae"]
    )
    return folder, run


def test_what_is_generated_is_stored_like_what_was_measured(run, tmp_path):
    measured, trained = run
    made = generate(trained, count=3, folder=tmp_path / "made", like=measured / "ct_0.nrrd", cpu=True)
    files = sorted((tmp_path / "made" / "images").glob("*.nrrd"))
    assert len(files) == 3
    volume = format_of(".nrrd").open_volume(files[1])
    assert (volume.stored, volume.spacing_um[1:]) == (np.int16, (8.0, 8.0))
    np.testing.assert_allclose(volume.read((slice(None),) * 3)[:, 0], made[1].pixels, atol=0.501)
    generate(trained, count=3, folder=tmp_path / "stack", like=measured, as_stack=True, cpu=True)
    assert (
        json.loads((tmp_path / "stack" / "images" / "manifest.json").read_text())["pictures"][2]["file"] == "stack.nrrd"
    )
    assert format_of(".nrrd").open_volume(tmp_path / "stack" / "images" / "stack.nrrd").shape == (3, 16, 24)
    read = read_images(tmp_path / "stack")
    np.testing.assert_allclose([p.pixels for p in read], [p.pixels for p in made], atol=0.501)


def test_a_likeness_that_cannot_be_is_refused_before_anything_is_drawn(run, tmp_path):
    measured, trained = run
    tifffile.imwrite(tmp_path / "eight.tif", np.zeros((9, 9), np.uint8))
    with pytest.raises(Problem, match=r"eight\.tif has uint8 pixels and what the run makes has float32"):
        generate(trained, folder=tmp_path / "made", like=tmp_path / "eight.tif", cpu=True)
    with pytest.raises(Problem, match="give the one or the other"):
        storing("float32", extension=".tif", like=measured)
    with pytest.raises(Problem, match=r"\.jpg files cannot hold uint8 pixels: choose \.tif"):
        storing("uint8", extension=".jpg")
    assert not (tmp_path / "made").exists()


def test_a_folder_of_a_format_of_files_is_no_image(tmp_path):
    (tmp_path / "a.png").mkdir()
    assert not is_image(tmp_path / "a.png")
    with pytest.raises(Problem, match="there are no images"):
        read_images(tmp_path)
