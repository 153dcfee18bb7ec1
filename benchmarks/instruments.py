"""Phantoms through each instrument, as a figure (`python benchmarks/instruments.py -o docs/figures/instruments.png`).

Above, a row a kind and a column an instrument: the same phantom, its exact mask first. Below, a root system in depth:
slices across and along gravity, materials first and then the tomograph's volume. Grey images are each stretched to
their own range less 0.2 % at either end, as one looks at them; colours are as they are.

--real FOLDER writes a second figure beside it, NAME-real.png, of crops of real images for comparison; the folder holds
rock/carbonate_s1.png, fiber/cfrp_*.jpg and root/images.
"""

import argparse
import io
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from morphogen.images.folders import read_images
from morphogen.mathematics.randomness import numpy_generator
from morphogen.phantoms import root_systems
from morphogen.phantoms.instruments.instrument import INSTRUMENTS, instrument
from morphogen.phantoms.instruments.tomograph import Tomograph
from morphogen.phantoms.phantom import phantom
from morphogen.report.drawing import png
from morphogen.report.figures import scale_bar

KINDS = {"rock": 128, "fiber": 128, "root_system": 256}
"""Size of each."""

REAL = (("rock/carbonate_s1.png", 256, True), ("fiber/cfrp_C1*.jpg", 128, True), ("root/images/*.jpg", 512, False))
"""Files, size of a crop, and whether they are looked at in grey."""

Tile = tuple[str, NDArray[np.generic], float]
"""Title, pixels ``(height, width)`` or ``(height, width, 3)``, side of a pixel in micrometres."""


def stretched(pixels: NDArray[np.generic]) -> NDArray[np.float64]:
    """Grey from 0 to 1; colours as they are."""
    if pixels.ndim == 3:
        return pixels / np.iinfo(pixels.dtype).max
    low, high = np.percentile(pixels, (0.2, 99.8))
    return np.clip((pixels - low) / max(high - low, 1e-9), 0, 1)


def tiles_of(kind: str, seed: int) -> list[Tile]:
    """One phantom, its mask and what every instrument makes of it."""
    tiles: list[Tile] = []
    names = ["camera", *(name for name in INSTRUMENTS.names() if name != "camera")]
    for name in names:
        made = phantom(kind, size=(KINDS[kind],) * 2, seed=seed, dtype="uint16", camera=instrument(name))
        spacing = made.picture.spacing_um[0]
        if not tiles:
            tiles.append((f"{kind.replace('_', ' ')}: exact mask", made.labels, spacing))
        pixels = np.moveaxis(made.picture.pixels, 0, -1)
        tiles.append((name.replace("_", " "), pixels[..., 0] if pixels.shape[-1] == 1 else pixels, spacing))
        told = {k: v for k, v in made.picture.labels.items() if k in ("photons", "kilovolt", "noise_per_cm")}
        print(kind, name, *(f"{k} {v:.3g}" for k, v in told.items()))
    return tiles


def tiles_in_depth(seed: int) -> list[Tile]:
    """A root system in a block of soil, cut across and along gravity."""
    settings = root_systems.Settings(plants=1, sand_mm=0.6, aggregate_mm=2.4)
    solid = root_systems.solid(settings, (96, 128, 128), 60.0, numpy_generator(seed))
    seen = Tomograph().scan(solid, "uint16", numpy_generator(seed, 1))
    print(solid.caption, *(f"{k} {v:.3g}" for k, v in seen.recorded.items() if not isinstance(v, str)))
    tiles: list[Tile] = []
    column = int(np.argmax((solid.labels == root_systems.ROOT).sum((0, 2))))
    for words, axis, index in (("across", 0, 48), ("along", 1, column)):
        tiles.append((f"{words} gravity: materials", solid.slice(axis, index), solid.spacing_um))
        tiles.append((f"{words} gravity: tomograph", np.moveaxis(seen.pixels, axis, 0)[index], solid.spacing_um))
    return tiles


def real_tiles(folder: Path) -> list[list[Tile]]:
    """Crops of real images, as large in pixels as the phantoms."""
    rows = []
    for files, size, grey in REAL:
        row: list[Tile] = []
        for path in sorted(folder.glob(files))[:2]:
            picture = read_images(path, grey=grey)[0]
            for k in range(2):
                crop = picture.crop(60, 60 + k * (picture.size[1] // 2 - 60), size, min(size, picture.size[1] // 2))
                pixels = np.moveaxis(crop.pixels, 0, -1)
                row.append((path.name[:24], pixels[..., 0] if grey else pixels, float("nan")))
        rows.append(row)
    return rows


def draw(rows: list[list[Tile]], path: Path) -> None:
    """The tiles with their titles, and a scale bar under the first of each row."""
    columns = max(map(len, rows))
    figure = Figure(figsize=(1.9 * columns, 2.15 * len(rows)))
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for line, tiles in zip(axes, rows, strict=True):
        for axis in line:
            axis.axis("off")
        for k, (axis, (title, pixels, spacing)) in enumerate(zip(line, tiles, strict=False)):
            axis.imshow(stretched(pixels), cmap="gray", interpolation="nearest", vmin=0, vmax=1)
            axis.set_title(title, fontsize=8, pad=3)
            if k == 0 and np.isfinite(spacing):
                bar, (height, width) = scale_bar(pixels.shape[1], spacing, 0.4), pixels.shape[:2]
                axis.plot([0, bar.pixels], [1.05 * height] * 2, color="black", lw=2, clip_on=False)
                axis.text(bar.pixels + 0.03 * width, 1.05 * height, bar.label, fontsize=7, va="center")
                axis.set_xlim(-0.5, width - 0.5)
                axis.set_ylim(height - 0.5, -0.5)
    figure.subplots_adjust(left=0.01, right=0.99, top=0.96, bottom=0.03, wspace=0.05, hspace=0.22)
    # Noise does not compress: few shades keep the file small.
    drawn = Image.open(io.BytesIO(png(figure, 110))).convert("RGB").quantize(128, dither=Image.Dither.NONE)
    drawn.save(path, optimize=True)


def main() -> None:
    """Draw what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, required=True, help="PNG file")
    parser.add_argument("--seed", type=int, default=3, help="of the phantoms")
    parser.add_argument("--real", type=Path, help="folder with real images, for a second figure")
    given = parser.parse_args()
    draw([*(tiles_of(kind, given.seed) for kind in KINDS), tiles_in_depth(given.seed)], given.out)
    if given.real is not None:
        draw(real_tiles(given.real), given.out.with_name(f"{given.out.stem}-real.png"))


if __name__ == "__main__":
    main()
