"""Independent readers see the type, the values, the scale and the unit of what Morphogen writes."""

import math

import h5py
import numpy as np
import pytest
import SimpleITK
import tifffile
import zarr

from morphogen.images.endings import format_of
from morphogen.images.folders import read_images

SPACING = (7.0, 2.0, 3.0)
NUMBERS = ["uint8", "uint16", "int16", "float32"]


def _volume(dtype: str) -> np.ndarray:
    random = np.random.default_rng(3).integers(0, 200, (4, 6, 9))
    return (random - 90 if dtype in ("int16", "float32") else random).astype(dtype)


@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("ending", [".nrrd", ".nhdr", ".mha", ".mhd", ".nii", ".nii.gz"])
def test_simpleitk_reads_what_is_written(tmp_path, ending, dtype):
    volume = _volume(dtype)
    format_of(ending).write_volume(tmp_path / f"v{ending}", volume[None], SPACING)
    seen = SimpleITK.ReadImage(str(tmp_path / f"v{ending}"))
    found = SimpleITK.GetArrayFromImage(seen)
    assert found.dtype == volume.dtype
    np.testing.assert_array_equal(found, volume)
    np.testing.assert_allclose(np.array(seen.GetSpacing()) * 1000, SPACING[::-1], rtol=1e-6)  # ITK has millimetres
    format_of(ending).write(tmp_path / f"p{ending}", volume[:1], SPACING[1:])
    seen = SimpleITK.ReadImage(str(tmp_path / f"p{ending}"))
    assert SimpleITK.GetArrayFromImage(seen).dtype == volume.dtype
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(seen).squeeze(), volume[0])
    np.testing.assert_allclose(np.array(seen.GetSpacing())[:2] * 1000, SPACING[:0:-1], rtol=1e-6)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("ending", [".nrrd", ".nhdr", ".mha", ".mhd", ".nii", ".nii.gz"])
def test_what_simpleitk_writes_is_read(tmp_path, ending, compressed):
    volume = _volume("int16")
    image = SimpleITK.GetImageFromArray(volume)
    image.SetSpacing((0.003, 0.002, 0.007))
    SimpleITK.WriteImage(image, str(tmp_path / f"v{ending}"), useCompression=compressed)
    pictures = read_images(tmp_path / f"v{ending}")
    np.testing.assert_array_equal([p.pixels[0] for p in pictures], volume)
    expected = (2.0, 3.0) if ending.startswith(".nii") else (math.nan, math.nan)  # only NIfTI's has a unit
    np.testing.assert_allclose(pictures[0].spacing_um, expected, rtol=1e-6)


@pytest.mark.parametrize("ending", [".nrrd", ".mha", ".nii"])
def test_colour_is_read_by_simpleitk_and_from_it(tmp_path, ending):
    colour = np.random.default_rng(1).integers(0, 256, (3, 6, 9), dtype=np.uint8)
    format_of(ending).write(tmp_path / f"a{ending}", colour, (2.0, 3.0))
    seen = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(tmp_path / f"a{ending}")))
    np.testing.assert_array_equal(np.moveaxis(seen.squeeze(), -1, 0), colour)
    image = SimpleITK.GetImageFromArray(np.moveaxis(colour, 0, -1), isVector=True)
    SimpleITK.WriteImage(image, str(tmp_path / f"b{ending}"))
    np.testing.assert_array_equal(read_images(tmp_path / f"b{ending}")[0].pixels, colour)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_imagej_sees_a_stack_with_scale_and_unit(tmp_path, dtype):
    volume = _volume(dtype)
    format_of(".tif").write_volume(tmp_path / "v.tif", volume[None], SPACING)
    with tifffile.TiffFile(tmp_path / "v.tif") as file:
        assert file.is_imagej
        told = file.imagej_metadata
        assert (told["unit"], told["spacing"], told["slices"]) == ("micron", 7.0, 4)
        x, y = (file.pages[0].tags[f"{axis}Resolution"].value for axis in "XY")
        assert (x[1] / x[0], y[1] / y[0]) == pytest.approx((3.0, 2.0))
        found = file.asarray()
    assert found.dtype == volume.dtype
    np.testing.assert_array_equal(found, volume)


@pytest.mark.parametrize("dtype", ["int16", "float64"])
def test_tiff_keeps_types_that_imagej_has_not(tmp_path, dtype):
    volume = _volume("int16").astype(dtype)
    format_of(".tif").write_volume(tmp_path / "v.tif", volume[None], SPACING)
    format_of(".tif").write(tmp_path / "p.tif", volume[:1], SPACING[1:])
    for name, expected in (("v", volume), ("p", volume[0])):
        found = tifffile.imread(tmp_path / f"{name}.tif")
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, expected)
        assert format_of(".tif").stored_type(tmp_path / f"{name}.tif") == dtype
        np.testing.assert_allclose(read_images(tmp_path / f"{name}.tif")[0].spacing_um, SPACING[1:], rtol=1e-6)


@pytest.mark.parametrize("dtype", NUMBERS)
def test_h5py_and_zarr_see_the_same(tmp_path, dtype):
    volume = _volume(dtype)
    format_of(".h5").write_volume(tmp_path / "v.h5", volume[None], SPACING)
    with h5py.File(tmp_path / "v.h5") as file:
        assert file["implements"][()] == b"exchange"
        stored = file["exchange/data"]
        assert (stored.dtype, stored.attrs["axes"]) == (dtype, "z:y:x")
        np.testing.assert_array_equal(stored, volume)
        np.testing.assert_array_equal(stored.attrs["element_size_um"], SPACING)
    format_of(".ome.zarr").write_volume(tmp_path / "v.ome.zarr", volume[None], SPACING)
    group = zarr.open_group(tmp_path / "v.ome.zarr", mode="r")
    (image,) = group.attrs["multiscales"]
    assert [(a["name"], a["unit"]) for a in image["axes"]] == [(a, "micrometer") for a in "zyx"]
    (level,) = image["datasets"]
    assert level["coordinateTransformations"] == [{"type": "scale", "scale": list(SPACING)}]
    assert group[level["path"]].dtype == dtype
    np.testing.assert_array_equal(group[level["path"]][:], volume)
