"""Can the seam of a filled hole be found? Run as `python benchmarks/inpainting.py RUN --images FOLDER`.

Crops of held-out images, of the run's size, get a disc in their middle, which the run fills. All is paired: the same
pairs of pixels are read before and after, so that what crops differ by among themselves cancels. A phase is told by the
segmentation of --specimen, fitted to the crops as they were.

across   S2 over pairs of pixels of which one is known and one was filled in, at lags along both axes
inside   S2 over pairs that were both filled in: what the run itself does to the two-point correlation
step     root mean square difference of neighbours, of which one is known, in grey levels: an edge raises it, as a seam
         does; against the same inside the disc, it tells whether the seam is sharper than what was filled in

A difference across that is none inside is a seam. Controls: replacement alone (no passes, no restarts), the known part
held at its place and nothing more; of a run in a latent, what is drawn without the membrane that carries the decoder's
error at the border into the disc; and another crop's disc. Intervals are at 95 %, by the bootstrap over images.
"""

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from morphogen.editing.edit import edit
from morphogen.editing.editor import Instruction
from morphogen.evaluation.intervals import Replicates, mean_replicates
from morphogen.evaluation.random_streams import Use
from morphogen.evaluation.segmentation.segmentation import fit_segmentation
from morphogen.generation.reconstruct import crops_of
from morphogen.images.folders import read_images
from morphogen.images.image_set import Pictures
from morphogen.report.edit_figure import write_edits
from morphogen.specimens.specimen import specimen
from morphogen.training.run import Run

LAGS = (1, 2, 4, 8)
WAYS: Mapping[str, Mapping[str, float]] = {
    "told what is known": {},
    "replacement alone": {"passes": 0, "restarts": 0},
}


def pairs(values: NDArray[np.float64], chosen: NDArray[np.bool_], lag: int, across: bool) -> NDArray[np.float64]:
    """Values of both pixels of each pair at a lag, ``(2, pairs)``: across the border of the chosen ones, or inside."""
    found = []
    for axis in (0, 1):
        count = values.shape[axis] - lag
        one, other = (np.take(values, np.arange(count) + shift, axis) for shift in (0, lag))
        here, there = (np.take(chosen, np.arange(count) + shift, axis) for shift in (0, lag))
        wanted = here ^ there if across else here & there
        found.append(np.stack([one[wanted], other[wanted]]))
    return np.concatenate(found, axis=1)


def readings(
    images: Pictures, phases: list[NDArray[np.bool_]], disc: NDArray[np.bool_]
) -> dict[str, NDArray[np.float64]]:
    """What is read of each image, ``(images,)`` each."""
    found: dict[str, list[float]] = {}
    for picture, phase in zip(images, phases, strict=True):
        for across, where in ((True, "across"), (False, "inside")):
            for lag in LAGS:
                both = pairs(phase.astype(float), disc, lag, across).prod(axis=0)
                found.setdefault(f"S2 {where}, {lag} px", []).append(float(both.mean()))
            step = np.diff(pairs(picture.grey, disc, 1, across), axis=0)
            found.setdefault(f"step {where}, grey levels", []).append(float(np.sqrt(np.square(step).mean())))
    return {name: np.array(values) for name, values in found.items()}


def interval(differences: NDArray[np.float64], groups: list[str], seed: int) -> str:
    """A mean and its interval, in words."""
    draws = mean_replicates(differences, groups, 1000, seed, Use.WEIGHTS_OF_PAIRED)
    found = Replicates.around(float(differences.mean()), draws, len(differences), len(differences)).estimate
    mark = " *" if found.low > 0 or found.high < 0 else ""
    return f"{found.value:+.4f} [{found.low:+.4f}, {found.high:+.4f}]{mark}"


def main() -> None:
    """Fill, read, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--images", type=Path, required=True, help="held-out images like those of training")
    parser.add_argument("--specimen", default="rock")
    parser.add_argument("--count", type=int, default=32, help="crops")
    parser.add_argument("--radius", type=float, default=14.0, help="of the disc, in pixels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--out", type=Path, help="PNG file of the first edits")
    given = parser.parse_args()
    run, kind = Run(given.run), specimen(given.specimen)
    size = run.shape.height, run.shape.width
    measured = Pictures(c.picture for c in crops_of(read_images(given.images), size, given.count))
    measured = Pictures(replace(p, mask=None) for p in measured)
    y, x = np.mgrid[: size[0], : size[1]]
    disc = (y - size[0] / 2) ** 2 + (x - size[1] / 2) ** 2 < given.radius**2
    segmentation = fit_segmentation(kind.segmentation, measured, kind.phase_is)
    before = readings(measured, [segmentation.phase(p) for p in measured], disc)
    groups = [f"{k}" for k in range(len(measured))]
    shuffled = [
        replace(p, pixels=np.where(disc, measured[k - 1].pixels, p.pixels).astype(p.pixels.dtype))
        for k, p in enumerate(measured)
    ]
    after = {"another crop's disc": Pictures(shuffled)}
    latent = run.record.method == "latent_diffusion"
    ways = {**WAYS, **({"without the membrane": {"membrane": False}} if latent else {})}
    for name, settings in ways.items():
        found = edit("inpaint", measured, Instruction(mask=disc), model=given.run, settings=settings, seed=given.seed)
        after[name] = found.pictures
        if given.out is not None and name == next(iter(ways)):
            write_edits(measured, found.pictures, found.regions, given.out)
    read = {name: readings(images, [segmentation.phase(p) for p in images], disc) for name, images in after.items()}
    table = Table("after less before", "before", *ways, "another crop's disc")
    for reading, values in before.items():
        cells = [interval(read[name][reading] - values, groups, given.seed) for name in (*ways, "another crop's disc")]
        table.add_row(reading, f"{values.mean():.4f}", *cells)
    console = Console(width=140)
    console.print(table)
    console.print(f"* zero is outside of the 95 % interval; {len(measured)} crops, pixels {segmentation.words}")


if __name__ == "__main__":
    main()
