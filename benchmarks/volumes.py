"""Crops out of a 16-bit volume of 8 GiB on disk, against whole pages read by tifffile, in the same run.

    python benchmarks/volumes.py [--folder FOLDER] [--depth PLANES] [--seconds S]

The volume is 1024 x 2048 x 2048 and is made in FOLDER (a temporary one by default), twice:

uncompressed   One BigTIFF of 8 GiB, planes behind each other. A texture is written into every 16th plane and the rest
               is a hole in a sparse file: it takes 0.5 GiB of disk, and is read as zeros through the same pages.
tiled, Deflate A BigTIFF with tiles of 256 x 256. Every plane has a directory of its own, but only 16 planes of tiles
               are there, which the directories share; each is decoded as if it were its own.

First one pass is made over each, as training makes it for the fingerprint and the grey scale; so the pages that fit
into memory are there afterwards, as they are in training. Crops of 64 x 64 are taken in batches of 32 at random places,
as training takes them, and come as numbers in [-1, 1]. tifffile reads each page that a crop lies in, whole, and cuts
it out. Memory is the peak of VmRSS while crops are taken, mapped pages included, of the whole program with torch in it.

Last, the smallest network learns from the uncompressed volume: what share of the time it waits for its images, with the
next batch prepared ahead and without.
"""

import argparse
import os
import struct
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
import tifffile
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from morphogen.images.cropping import Batch, Batches, RandomCrops
from morphogen.images.folders import read_images
from morphogen.images.image_set import Pictures
from morphogen.images.intensity import IntensityMap
from morphogen.mathematics.randomness import numpy_generator
from morphogen.methods.method import ImageShape, Task, method_class, method_settings
from morphogen.studies.memory import PeakMemory
from morphogen.training.ahead import Ahead
from morphogen.training.fit import Plan, fit, new_state

SIDE, TILE, CROP, BATCH = 2048, 256, 64, 32
TEXTURES = 16
SMALLEST = "vae"


def texture(number: int) -> NDArray[np.uint16]:
    """Smooth blobs with noise on them, of a 16-bit detector with some twelve bits of signal."""
    draw = numpy_generator(number)
    y, x = np.mgrid[:SIDE, :SIDE]
    waves = sum(np.sin(x * np.cos(a) * f + y * np.sin(a) * f + p) for a, f, p in draw.uniform(0, (3, 0.3, 6), (6, 3)))
    grey = 20_000 + 3_000 * waves + draw.normal(0, 200, (SIDE, SIDE))
    return np.clip(np.rint(grey), 0, 65_535).astype(np.uint16)


def write_plain(path: Path, depth: int) -> None:
    """The uncompressed volume, sparse."""
    tifffile.imwrite(path, shape=(depth, SIDE, SIDE), dtype=np.uint16, bigtiff=True, photometric="minisblack")
    with tifffile.TiffFile(path) as file:
        start = file.series[0].dataoffset
    with open(path, "r+b") as opened:
        for plane in range(0, depth, TEXTURES):
            opened.seek(start + 2 * plane * SIDE**2)
            opened.write(texture(plane // TEXTURES).tobytes())


def write_tiled(path: Path, depth: int) -> None:
    """The tiled volume: BigTIFF directories by hand, since tifffile writes no tile that two of them share."""
    count = (SIDE // TILE) ** 2
    with open(path, "wb") as file:
        file.write(struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0))
        tables = []
        for number in range(TEXTURES):
            plane = texture(number).reshape(SIDE // TILE, TILE, SIDE // TILE, TILE).swapaxes(1, 2)
            tiles = [zlib.compress(tile.tobytes(), 6) for tile in plane.reshape(-1, TILE, TILE)]
            offsets = []
            for tile in tiles:
                offsets.append(file.tell())
                file.write(tile)
            for numbers in (offsets, [len(tile) for tile in tiles]):
                tables.append(file.tell())
                file.write(struct.pack(f"<{count}Q", *numbers))
        link = 8  # where the place of the next directory is told
        for plane in range(depth):
            place = file.tell()
            file.seek(link)
            file.write(struct.pack("<Q", place))
            file.seek(place)
            offsets_at, counts_at = tables[2 * (plane % TEXTURES) : 2 * (plane % TEXTURES) + 2]
            entries = (  # tag, type, number of values, value: TIFF 6.0
                (256, 4, 1, SIDE), (257, 4, 1, SIDE), (258, 3, 1, 16), (259, 3, 1, 8), (262, 3, 1, 1), (277, 3, 1, 1),
                (322, 4, 1, TILE), (323, 4, 1, TILE), (324, 16, count, offsets_at), (325, 16, count, counts_at),
                (339, 3, 1, 1),
            )  # fmt: skip
            file.write(struct.pack("<Q", len(entries)))
            for entry in entries:
                file.write(struct.pack("<HHQQ", *entry))
            link = file.tell()
            file.write(struct.pack("<Q", 0))


def by_pages(path: Path, axis: int, depth: int, number: int) -> int:
    """Take one crop by tifffile: each page that it lies in, whole."""
    size = [depth, SIDE, SIDE]
    size[axis] += CROP - 1
    corner = [int(n) for n in numpy_generator(1, axis, number).integers(0, np.array(size) - CROP + 1)]
    lengths = [1 if i == axis else CROP for i in range(3)]
    z, y, x = (slice(c, c + n) for c, n in zip(corner, lengths, strict=True))
    with tifffile.TiffFile(path) as file:
        return len([np.stack([file.pages[k].asarray()[y, x] for k in range(z.start, z.stop)])])


def rate(call: Callable[[int], int], seconds: float) -> tuple[float, float]:
    """Crops a second, and a second of processor time, of a call that takes the next ones and says how many."""
    call(0)
    taken, number = 0, 1
    started, worked = time.perf_counter(), time.process_time()
    while time.perf_counter() - started < seconds:
        taken += call(number)
        number += 1
    return taken / (time.perf_counter() - started), taken / (time.process_time() - worked)


def resident(name: str) -> float:
    """MiB of what /proc says of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:"))


def crops_of(images: Pictures, intensity: IntensityMap) -> Callable[[int], int]:
    """Takes batch after batch."""
    crops = RandomCrops(images, (CROP, CROP), intensity, frozenset({"flip_horizontal"}))
    return lambda number: len(crops(number * BATCH, BATCH))


class Inline(Ahead):
    """Batches that are made when they are asked for."""

    def __call__(self, first: int, count: int, *, last: bool = False) -> Batch:
        """See ``Ahead``."""
        started = time.perf_counter()
        batch = self._batches(first, count)
        self.waited += time.perf_counter() - started
        return batch


def waiting(images: Pictures, intensity: IntensityMap, seconds: float) -> Iterator[tuple[str, float, float]]:
    """Share of the time that the smallest network waits, and its steps a second, ahead and inline."""
    for name, kind in (("prepared ahead", Ahead), ("made when asked for", Inline)):
        torch.manual_seed(0)
        method = method_class(SMALLEST)(method_settings(SMALLEST), Task(ImageShape(1, CROP, CROP)))
        crops = Batches(RandomCrops(images, (CROP, CROP), intensity))
        with patch("morphogen.training.fit.Ahead", kind):
            reports = list(fit(method, crops, Plan(seconds=seconds), new_state(method), Accelerator(cpu=True)))
        took = reports[-1].seconds - reports[0].seconds
        yield name, sum(r.waited for r in reports[1:]) / took, (len(reports) - 1) / took


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where the volumes are made; a temporary folder by default")
    parser.add_argument("--depth", type=int, default=1024, help="planes of 8 MiB; 1024 by default")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each row; 3 by default")
    given = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        os.environ["XDG_CACHE_HOME"] = folder  # every run makes its pass
        size = given.depth * SIDE**2 * 2 / 2**30
        console.print(
            f"Crops of {CROP} x {CROP} out of {given.depth} x {SIDE} x {SIDE} voxels of 16 bit ({size:g} GiB),"
            f" {os.cpu_count()} cores; {resident('VmRSS'):.0f} MiB are resident before"
        )
        for storage, write in (("uncompressed", write_plain), ("tiled, Deflate", write_tiled)):
            path = Path(folder) / "volume.tif"
            write(path, given.depth)
            with PeakMemory() as memory:
                started, worked = time.perf_counter(), time.process_time()
                intensity = IntensityMap.of(read_images(path))
            passed = f"{time.perf_counter() - started:.0f} s ({time.process_time() - worked:.0f} s of processor)"
            table = Table(title=f"{storage}; one pass: {passed}, peak {memory.mib:.0f} MiB", title_justify="left")
            for column in ("axis", "crops / s", "/ s of processor", "peak MiB", "tifffile / s", "times faster"):
                table.add_column(column, justify="right")
            for axis in (0, 1, 2):
                take = crops_of(read_images(path, axis=axis), intensity)
                with PeakMemory() as memory:
                    wall, cpu = rate(take, given.seconds)
                theirs, _ = rate(partial(by_pages, path, axis, given.depth), given.seconds)
                table.add_row(
                    str(axis), f"{wall:,.0f}", f"{cpu:,.0f}", f"{memory.mib:.0f}", f"{theirs:,.2g}",
                    f"{wall / theirs:,.0f}",
                )  # fmt: skip
            console.print(table)
            if storage == "uncompressed":
                for name, share, steps in waiting(read_images(path), intensity, 3 * given.seconds):
                    console.print(
                        f"{SMALLEST} on it, batches {name}: {share:.1%} of the time waiting, {steps:.1f} steps a"
                        f" second, {torch.get_num_threads()} threads"
                    )


if __name__ == "__main__":
    main()
