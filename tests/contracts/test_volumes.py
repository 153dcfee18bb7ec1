"""Volumes that stay on disk: the pixels, crops, fields and grey scale are those of the same volume in memory."""

from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch

from morphogen.evaluation.evaluate import evaluate
from morphogen.evaluation.fields import fields, halves
from morphogen.images import folders, volume_file
from morphogen.images.cropping import RandomCrops, independent_fields, require_room
from morphogen.images.folders import read_images, write_images
from morphogen.images.formats import tiff
from morphogen.images.image_set import Pictures
from morphogen.images.intensity import IntensityMap
from morphogen.images.mask_channel import MASK_MARGIN_PX, channel_of_mask
from morphogen.images.picture import Origin, Picture
from morphogen.images.splitting import split
from morphogen.images.stored_pixels import stored
from morphogen.images.volume_file import GreyLevels, VolumeFile
from morphogen.mathematics.randomness import numpy_generator, uniforms
from morphogen.problems import Problem
from morphogen.report.describe import describe
from morphogen.training.train import train
from small_sets import SMALL, random_set

SHAPE = (24, 40, 50)
WHOLE = (slice(None), slice(None), slice(None))


@pytest.fixture(autouse=True)
def _a_cache_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def on_disk(monkeypatch):
    monkeypatch.setattr(folders, "IN_MEMORY_BYTES", 0)


def places(shape=SHAPE, dtype="uint16"):
    """A volume whose pixels count their own place."""
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def a_volume(folder, name="volume.tif", **options):
    """Smooth noise with a pixel size, as ImageJ would write it."""
    smooth = np.random.default_rng(4).random(SHAPE).cumsum(0).cumsum(1).cumsum(2) % 5 / 5
    options = options or {"imagej": True, "resolution": (0.5, 0.5), "metadata": {"axes": "ZYX", "unit": "um"}}
    tifffile.imwrite(folder / name, (smooth * 60_000).astype(np.uint16), **options)
    return folder / name


GREY = {
    "ImageJ": {"imagej": True, "metadata": {"axes": "ZYX"}},
    "big-endian": {"byteorder": ">"},
    "BigTIFF": {"bigtiff": True},
    "pages apart": {"contiguous": False, "metadata": None, "rowsperstrip": 7},
    "tiles": {"tile": (16, 32)},
    "tiles, Deflate": {"tile": (16, 32), "compression": "zlib", "predictor": True},
    "strips, LZW": {"compression": "lzw", "rowsperstrip": 9},
    "tiles, Zstandard, big-endian": {"tile": (32, 16), "compression": "zstd", "byteorder": ">"},
    "LZMA": {"compression": "lzma"},
    "JPEG XL": {"compression": "jpegxl", "compressionargs": {"lossless": True}},
    "OME": {"ome": True, "metadata": {"axes": "ZYX"}},
}
COLOUR = {
    "samples together": {"photometric": "rgb"},
    "samples together, tiles": {"photometric": "rgb", "tile": (16, 16), "compression": "zlib"},
    "samples apart": {"photometric": "rgb", "planarconfig": "separate"},
    "samples apart, tiles": {"photometric": "rgb", "planarconfig": "separate", "tile": (16, 16), "compression": "lzw"},
    "ImageJ hyperstack": {"imagej": True, "metadata": {"axes": "ZCYX"}},
    "OME, channels first": {"ome": True, "photometric": "minisblack", "metadata": {"axes": "CZYX"}},
}


@pytest.mark.parametrize("layout", [*GREY, *COLOUR])
def test_blocks_of_any_layout_are_the_pixels_that_were_written(tmp_path, layout):
    grey = places()
    truth = grey[None] if layout in GREY else np.stack([grey, grey // 2, 60_000 - grey])  # (c, z, y, x)
    options = {"photometric": "minisblack"} | (GREY | COLOUR)[layout]
    separate = options.get("planarconfig") == "separate" or "ZCYX" in str(options)
    axes = 0 if layout in GREY or "CZYX" in str(options) else 1 if separate else 3
    tifffile.imwrite(tmp_path / "a.tif", np.moveaxis(truth, 0, axes) if layout in COLOUR else grey, **options)
    volume = tiff.open_volume(tmp_path / "a.tif")
    assert (volume.shape, volume.channels, volume.dtype) == (SHAPE, len(truth), np.uint16)
    random = np.random.default_rng(1)
    blocks = [tuple(slice(*sorted(random.integers(0, n + 1, 2).tolist())) for n in SHAPE) for _ in range(12)]
    for block in [
        WHOLE,
        (slice(2, 20), slice(3, 30), slice(5, 6)),
        (slice(2, 20), slice(9, 10), slice(7, 40)),
        *blocks,
    ]:
        np.testing.assert_array_equal(volume.read(block), truth[(slice(None), *block)])
    for axis in (0, 1, 2):
        planes = tiff.read(tmp_path / "a.tif", axis)
        np.testing.assert_array_equal(np.stack([p.pixels for p in planes], axis + 1), truth)
    volume.close()


def test_types_that_are_not_kept_go_to_one_that_is_block_by_block(tmp_path):
    for dtype, kept in (("int16", "float32"), ("float64", "float32"), ("int32", "float32"), ("bool", "uint8")):
        truth = places((3, 20, 17), "int32") % 2 if dtype == "bool" else places((3, 20, 17), "int32") - 400
        tifffile.imwrite(tmp_path / "a.tif", truth.astype(dtype), photometric="minisblack")
        volume = tiff.open_volume(tmp_path / "a.tif")
        assert volume.dtype == kept
        found = volume.read((slice(1, 3), slice(2, 19), slice(3, 9)))
        assert found.dtype == kept
        np.testing.assert_array_equal(found[0], truth[1:3, 2:19, 3:9] * (255 if dtype == "bool" else 1))


def test_an_imagej_stack_beyond_4_gib_is_read_behind_the_end_of_tiffs_offsets(tmp_path):
    """A sparse file: ImageJ's one directory, and planes behind each other for 4.5 GiB."""
    shape = (36, 8192, 8192)
    tifffile.imwrite(tmp_path / "a.tif", shape=shape, dtype=np.uint16, imagej=True, truncate=True, bigtiff=False)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        start = file.pages[0].dataoffsets[0]
    with open(tmp_path / "a.tif", "r+b") as file:
        file.truncate(start + 2 * int(np.prod(shape)))
        file.seek(start + 2 * ((35 * 8192 + 8191) * 8192 + 8000))
        file.write(np.arange(192, dtype="<u2").tobytes())
    volume = tiff.open_volume(tmp_path / "a.tif")
    assert volume.shape == shape
    np.testing.assert_array_equal(
        volume.read((slice(35, 36), slice(8191, 8192), slice(8000, 8192))).ravel(), range(192)
    )
    with open(tmp_path / "a.tif", "r+b") as file:
        file.truncate(2**32)
    with pytest.raises(Problem, match="that declares 36 planes and holds 1; it may be truncated"):
        read_images(tmp_path / "a.tif")


def test_pixel_sizes_of_ome_have_units(tmp_path):
    sizes = {"PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "mm", "PhysicalSizeY": 0.4, "PhysicalSizeZ": 3000.0}
    tifffile.imwrite(
        tmp_path / "a.tif", places(), ome=True, metadata={"axes": "ZYX", "PhysicalSizeZUnit": "nm", **sizes}
    )
    np.testing.assert_allclose(tiff.open_volume(tmp_path / "a.tif").spacing_um, (3.0, 0.4, 500.0))
    np.testing.assert_allclose(read_images(tmp_path / "a.tif", axis=1)[0].spacing_um, (3.0, 500.0))


def test_ome_of_another_program_without_prefixes_and_with_pixels_as_unit(tmp_path):
    told = (
        '<?xml version="1.0"?><o:OME xmlns:o="http://www.openmicroscopy.org/Schemas/OME/2013-06"><o:Image ID="Image:0">'
        '<o:Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="50" SizeY="40" SizeZ="24" SizeC="1"'
        ' SizeT="1" PhysicalSizeX="{}" PhysicalSizeY="2.5" PhysicalSizeXUnit="{}"><o:TiffData/></o:Pixels>'
        "</o:Image></o:OME>"
    )
    for size, unit, expected in (("25", "Å", 0.0025), ("1", "pixel", np.nan), ("-1", "µm", np.nan)):
        text = told.format(size, unit).encode()
        tifffile.imwrite(tmp_path / "a.ome.tif", places(), description=text, metadata=None, photometric="minisblack")
        volume = tiff.open_volume(tmp_path / "a.ome.tif")
        assert volume.shape == SHAPE
        np.testing.assert_allclose(volume.spacing_um[2], expected)


def test_planes_in_other_files_of_an_ome_set_are_theirs(tmp_path):
    planes = "".join(
        f'<TiffData FirstZ="{k}" FirstC="0" FirstT="0" IFD="0" PlaneCount="1"><UUID FileName="{name}.ome.tif">'
        f"urn:uuid:{name}</UUID></TiffData>"
        for k, name in enumerate("ab")
    )
    for k, name in enumerate("ab"):
        text = (
            '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"'
            f' UUID="urn:uuid:{name}"><Image ID="Image:0">'
            '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="50" SizeY="40"'
            f' SizeZ="2" SizeC="1" SizeT="1">{planes}</Pixels></Image></OME>'
        )
        tifffile.imwrite(
            tmp_path / f"{name}.ome.tif", places()[k], description=text, metadata=None, photometric="minisblack"
        )
    volume = tiff.open_volume(tmp_path / "a.ome.tif")
    np.testing.assert_array_equal(volume.read(WHOLE)[0], places()[:2])
    np.testing.assert_array_equal(np.stack([p.pixels[0] for p in tiff.read(tmp_path / "a.ome.tif", 0)]), places()[:2])


def test_pixel_sizes_of_electron_microscopes(tmp_path):
    fei = b"[Scan]\r\nPixelWidth=2.5e-08\r\nPixelHeight=3e-08\r\n"
    tifffile.imwrite(tmp_path / "fei.tif", places()[0], extratags=[(34682, 2, 0, fei, True)])
    np.testing.assert_allclose(read_images(tmp_path / "fei.tif")[0].spacing_um, (0.03, 0.025))
    zeiss = b"AP_IMAGE_PIXEL_SIZE\r\nImage Pixel Size = 12.5 nm\r\n"
    tifffile.imwrite(tmp_path / "zeiss.tif", places()[0], extratags=[(34118, 2, 0, zeiss, True)])
    np.testing.assert_allclose(read_images(tmp_path / "zeiss.tif")[0].spacing_um, (0.0125, 0.0125))


def test_what_a_file_cannot_hold_is_refused_before_memory_is_taken(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", places((1, 300, 300))[0], compression="zlib", rowsperstrip=300)
    data = bytearray((tmp_path / "a.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        where = {name: file.pages[0].tags[name].valueoffset for name in ("ImageLength", "ImageWidth", "RowsPerStrip")}
    for offset in where.values():
        data[offset : offset + 4] = (700_000 if data[offset : offset + 2] else 0).to_bytes(4, "little")
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(Problem, match=r"a\.tif (is a damaged|lacks)"):
        read_images(tmp_path / "a.tif")
    with tifffile.TiffWriter(tmp_path / "b.tif") as file:
        file.write(places((1, 20, 20))[0], contiguous=False)
        file.write(places((1, 20, 21))[0].astype(np.uint8), contiguous=False)
    with pytest.raises(Problem, match="holds images of different kinds"):
        read_images(tmp_path / "b.tif")


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("tiled", [False, True])
def test_crops_fields_and_grey_scale_are_those_in_memory(tmp_path, monkeypatch, axis, tiled):
    options = {"tile": (16, 16), "compression": "zlib", "photometric": "minisblack"} if tiled else {}
    path = a_volume(tmp_path, **options)
    before = read_images(path, axis=axis)
    monkeypatch.setattr(folders, "IN_MEMORY_BYTES", 0)
    after = read_images(path, axis=axis)
    assert all(stored(p.pixels) is not None for p in after)
    for one, other in zip(before, after, strict=True):
        assert (one.size, one.origin, dict(one.labels)) == (other.size, other.origin, dict(other.labels))
        np.testing.assert_array_equal(one.spacing_um, other.spacing_um)
    for clip in (0.0, 3.0):
        one, other = IntensityMap.of(before, clip), IntensityMap.of(after, clip)
        assert (one.low, one.high) == pytest.approx((other.low, other.high), rel=1e-12)
    symmetries = frozenset({"flip_horizontal", "flip_vertical", "quarter_turn"})
    intensity = IntensityMap.of(before)
    crops = [RandomCrops(images, (12, 16), intensity, symmetries, seed=5)(0, 40) for images in (before, after)]
    np.testing.assert_array_equal(*crops)
    for one, other in zip(
        (*fields(before, (12, 12), 9), *halves(before, (8, 8))[1]),
        (*fields(after, (12, 12), 9), *halves(after, (8, 8))[1]),
        strict=True,
    ):
        assert one.origin == other.origin
        np.testing.assert_array_equal(one.pixels, other.pixels)
    assert all(stored(p.pixels) is None for p in fields(after, (12, 12), 9))
    shrunk = read_images(path, axis=axis, shrink=2)
    monkeypatch.setattr(folders, "IN_MEMORY_BYTES", 2**30)
    for one, other in zip(shrunk, read_images(path, axis=axis, shrink=2), strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)
        np.testing.assert_array_equal(one.crop(2, 3, 5, 6).pixels, other.crop(2, 3, 5, 6).pixels)


def test_what_needs_no_pixels_reads_none(tmp_path, monkeypatch, on_disk):
    images = read_images(a_volume(tmp_path), axis=1)
    monkeypatch.setattr(VolumeFile, "read", lambda *_: pytest.fail("pixels were read"))
    require_room(images, (12, 12))
    parts = split(images, crop=(6, 6))
    assert independent_fields(parts.training, (6, 6)) > 10
    assert len({p.size for p in parts.held_out}) == 1
    labelled = Pictures(replace(p, labels={"caption": "a rock"}) for p in images)
    RandomCrops(labelled, (12, 12), IntensityMap(low=0, high=1, dtype="uint16"))
    assert sum(p.pixels.nbytes for p in labelled) == 2 * np.prod(SHAPE)


def test_only_the_block_of_a_crop_is_read(tmp_path, monkeypatch, on_disk):
    images = read_images(a_volume(tmp_path))
    read, honest = [], VolumeFile.read
    monkeypatch.setattr(VolumeFile, "read", lambda self, block: read.append(block) or honest(self, block))
    crops = RandomCrops(images, (6, 7), IntensityMap(low=0, high=65535, dtype="uint16"))
    crops(0, 5)
    assert [tuple(s.stop - s.start for s in block) for block in read] == 5 * [(1, 6, 7)]


def test_a_pass_over_a_volume_knows_all_grey_levels_and_is_made_once(tmp_path, monkeypatch):
    plain, tiled = a_volume(tmp_path), a_volume(tmp_path, "tiled.tif", tile=(16, 32), compression="lzw")
    truth = tifffile.imread(plain)
    monkeypatch.setattr(volume_file, "KEPT_FROM_BYTES", 0)
    monkeypatch.setattr(volume_file, "SCANNED_AT_ONCE", 3000)
    one, other = VolumeFile(plain, tiff), VolumeFile(tiled, tiff)
    assert one.contents == other.contents
    found = one.grey_levels((slice(3, 20), slice(5, 33), slice(2, 49)))
    box = truth[3:20, 5:33, 2:49]
    assert (found.low, found.high, found.counts.sum()) == (box.min(), box.max(), box.size)
    for percent in (0, 0.1, 3, 50, 99.9, 100):
        assert found.percentiles(percent)[0] == pytest.approx(np.percentile(box, percent))
    with monkeypatch.context() as patched:
        patched.setattr(VolumeFile, "blocks", lambda *_: pytest.fail("looked again"))
        assert VolumeFile(plain, tiff).contents == one.contents
        assert VolumeFile(plain, tiff).grey_levels((slice(3, 20), slice(5, 33), slice(2, 49))).high == found.high
    truth[-1, -1, -1] ^= 1
    tifffile.imwrite(plain, truth)
    assert VolumeFile(plain, tiff).contents != one.contents


def test_the_fingerprint_is_of_contents_axis_and_place(tmp_path, on_disk):
    plain, tiled = a_volume(tmp_path), a_volume(tmp_path, "b/volume.tif") if (tmp_path / "b").mkdir() is None else None
    images = read_images(plain)
    assert images.fingerprint == read_images(tiled).fingerprint
    whole = Pictures(images)
    cut = Pictures(p.crop(0, 0, 30, 50) for p in images)
    moved = Pictures(p.crop(1, 0, 30, 50) for p in images)
    others = {read_images(plain, axis=1).fingerprint, cut.fingerprint, moved.fingerprint}
    assert len(others | {whole.fingerprint}) == 4


def test_floats_that_are_no_numbers_are_refused_on_disk_too(tmp_path, on_disk):
    volume = places((3, 20, 17), "float32")
    volume[1, 2, 3] = np.nan
    tifffile.imwrite(tmp_path / "a.tif", volume, photometric="minisblack")
    with pytest.raises(Problem, match=r"a\.tif has 1 pixels that are NaN or infinite: fill or crop them"):
        read_images(tmp_path / "a.tif")
    volume[1, 2, 3] = 7
    tifffile.imwrite(tmp_path / "a.tif", volume, photometric="minisblack")
    found = IntensityMap.of(read_images(tmp_path / "a.tif"))
    assert (found.low, found.high) == (volume.min(), volume.max())


def test_a_folder_of_slices_stays_on_disk_too(tmp_path, monkeypatch):
    images = random_set(6, dtype="uint16")
    write_images(images, tmp_path)
    monkeypatch.setattr(folders, "IN_MEMORY_BYTES", 10_000)
    after = read_images(tmp_path)
    assert all(stored(p.pixels) is not None for p in after)
    assert [p.origin for p in after] == [p.origin for p in images]
    write_images(split(after, crop=(8, 8)).training, tmp_path / "parts")
    for one in read_images(tmp_path / "parts"):
        (source,) = (p for p in images if p.origin.source == one.origin.source)
        np.testing.assert_array_equal(one.pixels, source.pixels)


@pytest.mark.parametrize("axis", [0, 2])
def test_masks_stay_on_disk_and_their_channel_is_that_in_memory(tmp_path, monkeypatch, axis):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    path = a_volume(tmp_path / "images")
    mask = tifffile.imread(path) > 30_000
    mask[:, :20] = False
    tifffile.imwrite(tmp_path / "masks" / "volume.tif", 255 * mask.astype(np.uint8), tile=(16, 16), compression="zlib")
    before = read_images(tmp_path, axis=axis)
    monkeypatch.setattr(folders, "IN_MEMORY_BYTES", 0)
    after = read_images(tmp_path, axis=axis)
    symmetries = frozenset({"quarter_turn", "flip_vertical"})
    crops = [
        RandomCrops(images, (8, 12), IntensityMap.of(before), symmetries, seed=5, with_masks=True)
        for images in (before, after)
    ]
    np.testing.assert_array_equal(crops[0](0, 60), crops[1](0, 60))
    np.testing.assert_array_equal(crops[0].crop(7).mask, crops[1].crop(7).mask)
    assert before.fingerprint != after.fingerprint
    np.testing.assert_array_equal(after[3].in_memory().mask, before[3].mask)


def test_the_channel_of_a_mask_is_known_from_a_margin_around_a_crop():
    mask = np.random.default_rng(0).random((60, 60)).cumsum(0).cumsum(1) % 9 < 3
    margin = MASK_MARGIN_PX
    of_part = channel_of_mask(mask[20 - margin : 40 + margin, 20 - margin : 40 + margin])
    np.testing.assert_array_equal(of_part[:, margin:-margin, margin:-margin], channel_of_mask(mask)[:, 20:40, 20:40])


def test_many_streams_at_once_draw_what_each_would_draw_alone():
    for key in ((0, 1), (3, 2), (2**40 + 7, 1), (2**70 + 1, 1000), (5,)):
        for first in (0, 7, 2**31, 2**32 - 5, 2**32 - 2):
            alone = np.stack([numpy_generator(*key, first + i).random(6) for i in range(5)])
            np.testing.assert_array_equal(uniforms(key, first, 5, 6), alone)


def test_crops_are_taken_where_they_always_were():
    """The places that version 0.1 drew, one generator a crop, written out once more."""
    sizes = [(30, 41), (25, 60), (22, 20)]
    pictures = [Picture(places((1, *size)), (1, 1 + (k == 1)), Origin(f"s{k}")) for k, size in enumerate(sizes)]
    intensity = IntensityMap(low=0, high=65535, dtype="uint16")
    symmetries = frozenset({"flip_horizontal", "flip_vertical", "quarter_turn"})
    size = (16, 21 - 3)
    crops = RandomCrops(Pictures(pictures), size, intensity, symmetries, seed=11)
    room = np.array([(h - size[0] + 1) * (w - size[1] + 1) for h, w in sizes], dtype=np.float64)
    cumulative = np.cumsum(room) / room.sum()
    for index in [*range(300), 2047, 2048, 10_000]:
        which, down, right, *coins = numpy_generator(11, 1, index).random(6)
        number = int(np.searchsorted(cumulative, which, side="right"))
        (height, width), (rows, columns) = size, sizes[number]
        turns = int(coins[0] * 4)
        if turns % 2 and (rows < width or columns < height or number == 1):
            turns -= 1
        if turns % 2:
            height, width = width, height
        top, left = int(down * (rows - height + 1)), int(right * (columns - width + 1))
        expected = np.rot90(pictures[number].pixels[:, top : top + height, left : left + width], turns, axes=(1, 2))
        expected = expected[:, :: -1 if coins[2] < 0.5 else 1, :: -1 if coins[1] < 0.5 else 1]
        np.testing.assert_array_equal(crops.crop(index).pixels, expected)
    np.testing.assert_array_equal(crops(2040, 20)[13], crops(2053, 1)[0])


def test_a_volume_on_disk_is_trained_on_described_and_evaluated(tmp_path, on_disk):
    """And to the bit the weights that the same pixels in memory train."""
    images = read_images(a_volume(tmp_path))
    options = {"images_seen": 24, "size": (16, 24), "settings": SMALL["vae"], "seed": 3, "cpu": True}
    run = train("vae", images, tmp_path / "run", **options)
    other = train("vae", Pictures(p.in_memory() for p in images), tmp_path / "other", **options)
    one, two = (r.trained_method().state_dict() for r in (run, other))
    assert all(torch.equal(value, two[name]) for name, value in one.items())
    assert train("vae", images, tmp_path / "run", go_on=True, **options | {"images_seen": 32}).record == run.record
    card = describe(images, crop=(16, 16))
    assert (card.images, card.grey[:2]) == (24, (run.record.intensity.low, run.record.intensity.high))
    generated = fields(images, (12, 12), 12, seed=5)
    parts = split(images, crop=(12, 12))
    found = evaluate(
        measured=parts.held_out, generated=generated, training=parts.training, features=("descriptors",), resamples=20
    )
    assert any("stay on disk" in note for note in found.comparison.notes)


def test_grey_levels_stand_for_all():
    found = GreyLevels(0, 9, np.array([0.0, 5.0, 9.0]), np.array([10**7, 3 * 10**7, 1]))
    drawn = found.standing_for_all(1000)
    assert set(drawn) == {0, 5, 9}
    assert (drawn == 5).mean() == pytest.approx(0.75, abs=0.01)
