"""Sets as TIFF files of 16 bit: what is kept, what is scaled, and what the files say of it."""

from dataclasses import replace

import numpy as np
import pytest
import tifffile

from morphogen.cli import cli
from morphogen.images.folders import read_images, write_images
from morphogen.images.image_set import Pictures
from morphogen.images.picture import SCALED
from morphogen.images.sixteen_bit import tiff
from small_sets import random_set


def of_type(kind: str, channels: int = 1) -> Pictures:
    """Pictures of a pixel type, or whole numbers as of signed 16 bit."""
    if kind != "whole":
        return random_set(2, dtype=kind, channels=channels)
    return Pictures(replace(p, pixels=np.rint(p.pixels * 4000 - 1024)) for p in random_set(2, dtype="float32"))


@pytest.mark.parametrize("as_stack", [False, True])
@pytest.mark.parametrize(
    ("kind", "channels", "says"),
    [
        ("uint16", 1, ""),
        ("uint8", 1, "257 x"),
        ("uint8", 3, "257 x"),
        ("whole", 1, "16 bit level - "),
        ("float32", 1, "x 16 bit level, rounded"),
    ],
)
def test_levels_can_be_had_back_and_files_say_how(tmp_path, kind, channels, says, as_stack):
    images = of_type(kind, channels)
    tiff(images, tmp_path / "out", as_stack=as_stack)
    back = read_images(tmp_path / "out")
    assert [p.spacing_um for p in back] == [p.spacing_um for p in images]
    low, high = min(float(p.pixels.min()) for p in images), max(float(p.pixels.max()) for p in images)
    for before, after in zip(images, back, strict=True):
        assert after.pixels.dtype == np.uint16
        levels = after.pixels.astype(float)
        # The formulas of the module, the other way round.
        again = {"uint16": levels, "uint8": levels / 257, "whole": levels + low,
                 "float32": low + levels * (high - low) / 65535}[kind]  # fmt: skip
        most = 0.5001 * (high - low) / 65535 if kind == "float32" else 0
        assert np.abs(again - before.pixels).max() <= most
        assert says in str(after.labels.get(SCALED, ""))
    first = next((tmp_path / "out" / "images").glob("*.tif"))
    with tifffile.TiffFile(first) as file:
        assert (file.imagej_metadata or {}).get("unit", "micron") == "micron"
        told = (file.imagej_metadata or {}).get("Info", "") or file.pages[0].description
        assert says in told
        numerator, denominator = file.pages[0].tags["XResolution"].value
        per_unit = numerator / denominator
        assert per_unit == pytest.approx(1 / 2.5 if file.is_imagej else 1e4 / 2.5, rel=1e-4)


def test_the_command_writes_one_or_all_and_keeps_types_where_asked(tmp_path, capsys):
    images = of_type("uint8")
    write_images(images, tmp_path / "set")
    cli.main(
        ["tiff", str(tmp_path / "set"), "--number", "1", "--as-stored", "-o", str(tmp_path / "one")],
        standalone_mode=False,
    )
    (only,) = read_images(tmp_path / "one")
    assert only.pixels.dtype == np.uint8
    assert (only.pixels == images[1].pixels).all()
    assert SCALED not in only.labels
