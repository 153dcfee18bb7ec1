"""Formats keep what they are given, splits leak nothing, and bad input is one clear line."""

import math

import numpy as np
import pytest
import tifffile
from PIL import Image

from morphogen.images.cropping import RandomCrops, independent_fields
from morphogen.images.folders import read_images, write_images
from morphogen.images.image_set import Pictures
from morphogen.images.intensity import IntensityMap
from morphogen.images.picture import Origin, Picture
from morphogen.images.splitting import split
from morphogen.problems import Problem
from small_sets import NUMBERS, random_set

HOLDS = {".png": ("uint8", "uint16"), ".tif": tuple(NUMBERS)}


@pytest.mark.parametrize(
    ("extension", "dtype"), [(extension, dtype) for extension, types in HOLDS.items() for dtype in types]
)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pixels_types_and_pixel_sizes_survive_a_round_trip(tmp_path, extension, dtype, channels):
    images = random_set(dtype=dtype, channels=channels, size=(37, 53), spacing_um=0.65)
    write_images(images, tmp_path, extension=extension)
    read = read_images(tmp_path)
    assert read.fingerprint == images.fingerprint
    (tmp_path / "images" / "manifest.json").unlink()
    for before, after in zip(images, read_images(tmp_path), strict=True):
        assert after.pixels.dtype == before.pixels.dtype
        np.testing.assert_array_equal(after.pixels, before.pixels)
        np.testing.assert_allclose(after.spacing_um, (0.65, 0.65), rtol=1e-5)


def test_imagej_reads_scale_and_unit(tmp_path):
    write_images(random_set(dtype="uint16", spacing_um=8.0), tmp_path, extension=".tif")
    with tifffile.TiffFile(tmp_path / "images" / "0000.tif") as file:
        assert file.is_imagej
        assert file.imagej_metadata["unit"] == "micron"
        numerator, denominator = file.pages[0].tags["XResolution"].value
        assert numerator / denominator == pytest.approx(1 / 8.0)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_volume_is_cut_along_the_chosen_axis(tmp_path, axis):
    volume = np.arange(4 * 5 * 6, dtype=np.uint16).reshape(4, 5, 6)
    tifffile.imwrite(
        tmp_path / "volume.tif", volume, imagej=True, resolution=(1 / 2.0, 1 / 3.0),
        metadata={"axes": "ZYX", "unit": "micron", "spacing": 7.0},
    )  # fmt: skip
    slices = read_images(tmp_path / "volume.tif", axis=axis)
    spacing = [7.0, 3.0, 2.0]
    del spacing[axis]
    assert len(slices) == volume.shape[axis]
    assert slices.specimens == ("volume",)
    for k, picture in enumerate(slices):
        np.testing.assert_array_equal(picture.pixels[0], np.take(volume, k, axis=axis))
        np.testing.assert_allclose(picture.spacing_um, spacing)
        assert picture.origin.slice == k


def test_types_that_are_not_kept_go_without_loss_to_one_that_is(tmp_path):
    signed = np.array([[-1000, 0], [3000, 32767]], dtype=np.int16)
    tifffile.imwrite(tmp_path / "ct.tif", signed)
    picture = read_images(tmp_path / "ct.tif")[0]
    assert picture.pixels.dtype == np.float32
    np.testing.assert_array_equal(picture.pixels[0], signed)
    tifffile.imwrite(tmp_path / "many.tif", np.array([[2**31]], dtype=np.uint32))
    with pytest.raises(Problem, match="would lose digits"):
        read_images(tmp_path / "many.tif")


def test_sixteen_bit_colour_png_is_not_reduced(tmp_path):
    images = random_set(dtype="uint16", channels=3)
    write_images(images, tmp_path, extension=".png")
    assert read_images(tmp_path)[0].pixels.max() > 255


def test_screen_resolutions_are_no_pixel_size(tmp_path):
    Image.new("L", (8, 8), 7).save(tmp_path / "a.png", dpi=(72, 72))
    Image.new("L", (8, 8), 9).save(tmp_path / "b.jpg", dpi=(300, 300))
    for picture in read_images(tmp_path):
        assert all(math.isnan(s) for s in picture.spacing_um)
    assert read_images(tmp_path, pixel_size_um=4)[0].spacing_um == (4, 4)


def test_shrinking_is_the_mean_over_squares(tmp_path):
    pixels = np.array([[0, 2, 9], [4, 6, 9], [9, 9, 9]], dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    picture = read_images(tmp_path, shrink=2, pixel_size_um=5)[0]
    np.testing.assert_array_equal(picture.pixels, [[[3]]])
    assert picture.spacing_um == (10, 10)


def test_colour_becomes_grey_only_when_asked_for(tmp_path):
    Image.fromarray(np.array([[[255, 0, 0], [10, 10, 10]]], dtype=np.uint8)).save(tmp_path / "a.png")
    Image.new("L", (2, 1), 7).save(tmp_path / "b.png")
    with pytest.raises(Problem, match="channels differ"):
        read_images(tmp_path)
    colour, grey = read_images(tmp_path, grey=True)
    np.testing.assert_array_equal(colour.pixels, [[[76, 10]]])  # 0.299 of 255
    np.testing.assert_array_equal(grey.pixels, [[[7, 7]]])


def test_specimens_come_from_file_names_by_a_pattern(tmp_path):
    for name in ("T01_a.png", "T01_b.png", "T12_a.png"):
        Image.new("L", (8, 8), len(name)).save(tmp_path / name)
    assert read_images(tmp_path).specimens == ("T01_a", "T01_b", "T12_a")
    assert read_images(tmp_path, specimen_pattern="^(T[0-9]+)").specimens == ("T01", "T12")
    with pytest.raises(Problem, match="finds nothing in T01_a"):
        read_images(tmp_path, specimen_pattern="Q")
    with pytest.raises(Problem, match="is not a regular expression"):
        read_images(tmp_path, specimen_pattern="(")


def _text(folder):
    (folder / "a.png").write_text("this is not an image")


def _truncated_tiff(folder):
    tifffile.imwrite(folder / "a.tif", np.arange(40_000, dtype=np.uint16).reshape(200, 200))
    data = (folder / "a.tif").read_bytes()
    (folder / "a.tif").write_bytes(data[: len(data) // 2])


def _truncated_png(folder):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 90), dtype=np.uint8)).save(folder / "a.png")
    (folder / "a.png").write_bytes((folder / "a.png").read_bytes()[:900])


def _truncated_jpeg(folder):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 90), dtype=np.uint8)).save(folder / "a.jpg")
    (folder / "a.jpg").write_bytes((folder / "a.jpg").read_bytes()[:900])


def _mixed_channels(folder):
    Image.new("L", (8, 8)).save(folder / "a.png")
    Image.new("RGB", (8, 8)).save(folder / "b.png")


def _mixed_types(folder):
    Image.new("L", (8, 8)).save(folder / "a.png")
    tifffile.imwrite(folder / "b.tif", np.zeros((8, 8), np.uint16))


def _nan(folder):
    pixels = np.zeros((8, 8), np.float32)
    pixels[2, 3] = np.nan
    tifffile.imwrite(folder / "a.tif", pixels)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: None, "there are no images in .*: put .*png.* files there"),
        (_text, "a.png is not a PNG file, whatever its name says: replace or remove it"),
        (_truncated_tiff, "a.tif is a damaged TIFF file .*truncated"),
        (_truncated_png, "a.png is a damaged PNG file .*truncated"),
        (_truncated_jpeg, "a.jpg is a damaged JPEG file.*truncated"),
        (_mixed_channels, "channels differ, 1 in a.png and 3 in b.png"),
        (_mixed_types, "pixel type differ, uint8 in a.png and uint16 in b.tif"),
        (_nan, "a.tif has 1 pixels that are NaN or infinite: fill or crop them"),
    ],
)
def test_bad_images_are_one_clear_line(tmp_path, spoil, message):
    spoil(tmp_path)
    with pytest.raises(Problem, match=message) as raised:
        read_images(tmp_path)
    assert "\n" not in str(raised.value)


def test_a_missing_folder_is_said():
    with pytest.raises(Problem, match="there is no file or folder /nowhere"):
        read_images("/nowhere")


@pytest.mark.parametrize("dtype", NUMBERS)
def test_the_intensity_map_is_inverted_without_loss(dtype):
    images = random_set(dtype=dtype)
    intensity = IntensityMap.of(images)
    for picture in images:
        unit = intensity.to_unit(picture.pixels)
        assert unit.min() >= -1
        assert unit.max() <= 1
        back = intensity.to_grey(unit)
        assert back.dtype == picture.pixels.dtype
        if dtype == "float32":
            np.testing.assert_allclose(back, picture.pixels, atol=1e-6)
        else:
            np.testing.assert_array_equal(back, picture.pixels)


def test_nothing_wraps_on_the_way_out():
    intensity = IntensityMap(low=0, high=255, dtype="uint8")
    out = intensity.to_grey(np.array([-7.0, -1.0, 1.0, 7.0], dtype=np.float32))
    np.testing.assert_array_equal(out, [0, 0, 255, 255])


def test_a_constant_image_is_refused():
    picture = Picture(np.full((1, 8, 8), 7, np.uint8), (1, 1), Origin("s", "flat.png"))
    with pytest.raises(Problem, match=r"all pixels of flat\.png have the value 7"):
        IntensityMap.of([picture])


def test_crops_lie_in_the_images_and_cover_them_evenly():
    """Pixels count their own place, so that a crop says where it was taken."""
    size, crop = (12, 17), (4, 6)
    places = np.arange(size[0] * size[1], dtype=np.uint16).reshape(1, *size)
    images = Pictures([Picture(places, (1, 1), Origin("s"))])
    intensity = IntensityMap.of(images)
    crops = RandomCrops(images, crop, intensity, seed=1)
    corners = np.zeros((9, 12))
    for unit in crops(0, 4000).numpy():
        grey = intensity.to_grey(unit)[0]
        top, left = divmod(int(grey[0, 0]), size[1])
        np.testing.assert_array_equal(grey, places[0, top : top + 4, left : left + 6])
        corners[top, left] += 1
    expected = 4000 / corners.size
    # Chi-squared over 108 corners: mean 107, standard deviation 14.6.
    assert ((corners - expected) ** 2 / expected).sum() < 107 + 5 * 14.6


def test_only_the_allowed_symmetries_are_used():
    pixels = np.arange(36, dtype=np.uint8).reshape(1, 6, 6)
    images = Pictures([Picture(pixels, (1, 1), Origin("s"))])
    intensity = IntensityMap.of(images)

    def seen(*symmetries):
        crops = RandomCrops(images, (6, 6), intensity, frozenset(symmetries))
        return {tuple(intensity.to_grey(unit).ravel()) for unit in crops(0, 200).numpy()}

    flipped = {tuple(p.ravel()) for p in (pixels, pixels[:, :, ::-1])}
    assert seen() == {tuple(pixels.ravel())}
    assert seen("flip_horizontal") == flipped
    assert seen("quarter_turn") == {tuple(np.rot90(pixels, k, axes=(1, 2)).ravel()) for k in range(4)}
    assert len(seen("flip_horizontal", "flip_vertical")) == 4
    assert len(seen("flip_horizontal", "flip_vertical", "quarter_turn")) == 8


def test_a_crop_does_not_depend_on_the_batch():
    images = random_set(3)
    crops = RandomCrops(images, (8, 8), IntensityMap.of(images), seed=2)
    np.testing.assert_array_equal(crops(0, 6)[4:], crops(4, 2))


def test_overlaps_are_counted_once():
    whole = random_set(1, size=(40, 60))[0]
    assert independent_fields([whole], (20, 20)) == 6
    overlapping = [whole.crop(0, 0, 20, 40), whole.crop(10, 0, 20, 40), whole.crop(0, 0, 20, 40)]
    assert independent_fields(overlapping, (20, 20)) == 3  # 30 x 40 pixels are covered
    random = np.random.default_rng(0)
    many = [whole.crop(*random.integers(0, (21, 41)), 20, 20) for _ in range(300)]
    assert 5.5 < independent_fields(many, (20, 20)) <= 6


def test_a_crop_of_a_crop_knows_its_place():
    picture = random_set(1)[0].crop(10, 5, 20, 20).crop(3, 4, 8, 8)
    assert picture.origin.region == (13, 9, 8, 8)


def test_a_split_by_specimen_shares_none():
    images = random_set(12, specimens=5)
    parts = split(images, crop=(8, 8), seed=3)
    assert not set(parts.training.specimens) & set(parts.held_out.specimens)
    assert len(parts.training) + len(parts.held_out) == 12
    assert "by specimen" in parts.how


def test_a_split_by_region_leaves_a_gap_as_wide_as_a_crop():
    images = random_set(2, size=(60, 50), specimens=1)
    parts = split(images, crop=(9, 7), seed=1)
    for training, held_out in zip(parts.training, parts.held_out, strict=True):
        assert training.origin.source == held_out.origin.source
        (top, _, height, _), (below, *_) = sorted((training.origin.region, held_out.origin.region))
        assert below - (top + height) == 9
        share = held_out.size[0] / (held_out.size[0] + training.size[0])
        assert share == pytest.approx(0.3, abs=0.03)


def test_pictures_of_one_specimen_are_all_split_at_the_same_end(tmp_path):
    """They may be neighbouring slices of one volume, whether they came as one file or as a folder of files."""
    for k in range(9):
        Image.fromarray(random_set(1, size=(60, 50), seed=k)[0].pixels[0]).save(tmp_path / f"s{k:03d}.png")
    for seed in range(4):
        parts = split(read_images(tmp_path, specimen_pattern="^(s)"), crop=(8, 8), seed=seed)
        assert len({p.origin.region for p in parts.held_out}) == 1


def test_files_that_look_like_slices_are_not_silently_specimens(tmp_path):
    for k in range(8):
        Image.fromarray(random_set(1, seed=k)[0].pixels[0]).save(tmp_path / f"scan_{k:03d}.png")
    assert "if these are slices of one volume" in split(read_images(tmp_path), crop=(8, 8)).how
    (tmp_path / "scan_007.png").rename(tmp_path / "other.png")
    assert "slices" not in split(read_images(tmp_path), crop=(8, 8)).how


def test_a_written_set_remembers_where_its_pictures_come_from(tmp_path):
    volume = Picture(random_set(1, size=(60, 50))[0].pixels, (2.0, 2.0), Origin("v", "v.tif", slice=3))
    crops = Pictures([volume.crop(0, 0, 20, 20), volume.crop(10, 0, 20, 20)])
    write_images(crops, tmp_path)
    read = read_images(tmp_path)
    assert [p.origin for p in read] == [p.origin for p in crops]
    assert [p.labels["file"] for p in read] == ["0000.png", "0001.png"]
    assert independent_fields(read, (20, 20)) == independent_fields(crops, (20, 20)) == 1.5
    # Regions are told in pixels of the source, which are no longer those of a smaller picture.
    assert independent_fields(read_images(tmp_path, shrink=2), (10, 10)) == 1


def test_a_set_that_cannot_be_finished_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("morphogen.images.folders.write_text_whole", _full)
    with pytest.raises(Problem, match="free some space"):
        write_images(random_set(), tmp_path / "out" / "set")
    assert list(tmp_path.iterdir()) == []


def _full(path, text):
    raise OSError(28, "No space left on device")


def test_too_little_to_split_is_said():
    with pytest.raises(Problem, match=r"is the only specimen and too small to hold back .* crop of at most"):
        split(random_set(1, size=(30, 20)), crop=(16, 16))


def test_a_damaged_manifest_is_said(tmp_path):
    write_images(random_set(), tmp_path)
    (tmp_path / "images" / "manifest.json").write_text("{")
    with pytest.raises(Problem, match="is not a manifest that this version reads"):
        read_images(tmp_path)
