"""Do instructions move what they name, and nothing else? (`python benchmarks/instructions.py -o FOLDER`).

InstructPix2Pix learns from --count rock triples of 64 x 64 (``phantoms.edits``), whose answer is known, and edits
--held-out others of specimens that it has not seen. Every image is segmented by one rule, fitted to the images before.
Printed for each row and each edit:

    right      share of the held-out triples in which the named reading moved in the asked direction
    size       mean absolute error of the move over the mean true move; 1 is what doing nothing scores
    of truth   slope of the move through the origin against the true move: 1 is all of it, 0 nothing
    others     how far the readings that the edit does not name lie from the truth, in units of how far two measured
               neighbours lie apart: other windows of the same specimens before the edit. The median over readings
               and triples; 1 is as far as a neighbour

The true move is that of the true image after, read by the same rule through the same camera; on the exact masks it is
in labels.csv of the triples. Rows: the trained run; identity (the image before); noise, of the image's mean and spread;
another held-out image before; and truth again, the same phantom after under other camera noise.
"""

import argparse
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table

from morphogen.editing.editor import Instruction, editor_class, editor_settings
from morphogen.evaluation.descriptors.descriptor import fitted_descriptor
from morphogen.evaluation.descriptors.phase_fraction import DESCRIPTOR as PHASE_FRACTION
from morphogen.evaluation.section import Section
from morphogen.evaluation.segmentation.segmentation import fit_segmentation
from morphogen.images.image_set import Pictures
from morphogen.images.picture import Picture
from morphogen.instructions.triples import KnownTriple, known_triples, neighbour, photographed_again, pictures_of
from morphogen.mathematics.randomness import numpy_generator
from morphogen.specimens.specimen import specimen as kind_of_specimen
from morphogen.training.train import train

SIZE = (64, 64)
DESCRIPTORS = {
    "rock": ("phase_fraction", "two_point_correlation", "chord_lengths", "specific_surface", "minkowski_functionals",
             "pore_sizes", "connectivity", "grey_levels", "noise_and_sharpness"),
    "fiber": ("phase_fraction", "two_point_correlation", "fiber_sections", "fiber_arrangement", "orientation",
              "specific_surface", "grey_levels", "noise_and_sharpness"),
    "root": ("phase_fraction", "two_point_correlation", "root_length", "root_diameters", "root_topology",
             "root_orientation", "grey_levels", "noise_and_sharpness"),
}  # fmt: skip
"""Those that are read quickly; each edit names a reading of one of them."""
LEARNT_SEED, HELD_OUT_SEED = 1, 2
Readings = dict[str, float]
"""A number for each reading; NaN where an image does not have it."""


@dataclass(frozen=True)
class Reader:
    """Readings of a picture, and in words how its phase is told."""

    words: str
    readings: Callable[[Picture], Readings]

    def __call__(self, images: Iterable[Picture]) -> list[Readings]:
        """Of each image."""
        return [self.readings(picture) for picture in images]


def reader(kind: str, measured: Pictures) -> Reader:
    """What reads the images of a kind, by one segmentation for all."""
    found = kind_of_specimen(kind)
    segmentation = fit_segmentation(found.segmentation, measured, found.phase_is)
    sections = [Section.of(p, segmentation) for p in measured]
    describe = [fitted_descriptor(name, sections) for name in DESCRIPTORS[kind]]

    def readings(picture: Picture) -> Readings:
        section, scalars = Section.of(picture, segmentation), {}
        for one in describe:
            for name, scalar in one(section).scalars.items():
                value = np.nan if scalar.value is None else scalar.value
                scalars[found.fraction if name == PHASE_FRACTION.name else name] = value
        return scalars

    return Reader(segmentation.words, readings)


def scores(
    held_out: Sequence[KnownTriple],
    before: Sequence[Readings],
    truth: Sequence[Readings],
    given: Sequence[Readings],
    neighbours: Sequence[Readings],
) -> dict[str, float]:
    """What a row scores on some triples."""
    moved, wanted, right, apart = [], [], [], []
    scale = spread(before, neighbours)
    for triple, old, true, new in zip(held_out, before, truth, given, strict=True):
        change = triple.triple.change
        move, want = new[change.reading] - old[change.reading], true[change.reading] - old[change.reading]
        right.append(bool(change.direction * move > 0))
        if np.isfinite(move) and np.isfinite(want):
            unit = abs(old[change.reading])  # moves of several readings in one table: shares of the value before
            moved.append(move / unit)
            wanted.append(want / unit)
        apart += [abs(new[n] - true[n]) / scale[n] for n in new if n != change.reading and scale.get(n, 0) > 0]
    m, w = np.array(moved), np.array(wanted)
    return {
        "right": float(np.mean(right)),
        "size": float(np.abs(m - w).mean() / np.abs(w).mean()),
        "of truth": float((m * w).sum() / (w * w).sum()),
        "others": float(np.nanmedian(apart)),
        "n": float(len(right)),
    }


def spread(before: Sequence[Readings], neighbours: Sequence[Readings]) -> Mapping[str, float]:
    """How far two measured neighbours lie apart in each reading: the mean over specimens."""
    found = {}
    for name in before[0]:
        apart = np.array([abs(a[name] - b[name]) for a, b in zip(before, neighbours, strict=True)])
        found[name] = float(np.nanmean(apart)) if np.isfinite(apart).any() else 0.0
    return found


def edited(folder: Path, sources: Pictures, orders: Sequence[str], settings: Mapping[str, object]) -> list[Picture]:
    """What the run makes of images."""
    editor = editor_class("instruct_pix2pix")(editor_settings("instruct_pix2pix", settings), folder, cpu=True)
    found = []
    for first in range(0, len(sources), 16):
        here = range(first, min(first + 16, len(sources)))
        told = [Instruction(words=orders[k]) for k in here]
        found += [e.picture for e in editor.edit([sources[k] for k in here], told, seed=0, first=first)]
    return found


def noise(picture: Picture, number: int) -> Picture:
    """White noise of the image's mean and spread."""
    drawn = numpy_generator(0, 1, number).normal(picture.pixels.mean(), picture.pixels.std(), picture.pixels.shape)
    return replace(picture, pixels=drawn.clip(0, 255).round().astype(picture.pixels.dtype))


def sheet(rows: Sequence[Sequence[Picture]], file: Path) -> None:
    """Triples downwards; before, after in truth, and as the run has it across; three pixels for one."""
    lines: list[NDArray[np.uint8]] = []
    for row in rows:
        lines.append(np.concatenate([np.pad(p.pixels[0], 1, constant_values=255) for p in row], axis=1))
    image = np.concatenate(lines, axis=0).repeat(3, axis=0).repeat(3, axis=1)
    Image.fromarray(image).save(file)


def main() -> None:
    """Train, edit, score, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, required=True, help="new folder")
    parser.add_argument("--kind", choices=sorted(DESCRIPTORS), default="rock")
    parser.add_argument("--count", type=int, default=4000, help="triples to learn from")
    parser.add_argument("--held-out", type=int, default=120, help="triples to be scored")
    parser.add_argument("--images-seen", type=int, default=60_000, help="budget of the training")
    parser.add_argument("--precision", choices=["fp32", "bf16"], help="of the training; bf16 where the CPU has it")
    parser.add_argument("--seed", type=int, default=0, help="of weights and noise")
    parser.add_argument("--edit", action="append", default=[], metavar="NAME", help="these edits only")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the method")
    parser.add_argument("--guidance", type=float, nargs="*", default=[1.0], help="of the instruction, a row each")
    parser.add_argument("--image-guidance", type=float, default=1.0)
    parser.add_argument("--run", type=Path, help="score this run, instead of training one")
    given = parser.parse_args()
    settings = {name: json.loads(value) for name, _, value in (item.partition("=") for item in given.set)}
    given.out.mkdir(parents=True, exist_ok=True)
    console = Console(width=150)
    folder = given.run
    kind, names = given.kind, tuple(given.edit)
    if folder is None:
        learnt = pictures_of(known_triples(kind, count=given.count, seed=LEARNT_SEED, names=names, size=SIZE))
        folder = train(
            "instruct_pix2pix", learnt.after, given.out / "run", context=learnt.before, conditions=["instruction"],
            images_seen=given.images_seen, size=SIZE, settings=settings, seed=given.seed,
            precision=given.precision, cpu=True,
            symmetries=kind_of_specimen(kind).symmetries if kind == "rock" else frozenset(),
        ).folder  # fmt: skip
    held_out = known_triples(kind, count=given.held_out, seed=HELD_OUT_SEED, names=names, size=SIZE)
    pairs = pictures_of(held_out)
    orders = [t.triple.instruction for t in held_out]
    read = reader(kind, pairs.before)
    before, truth = read(list(pairs.before)), read(list(pairs.after))
    neighbours = read([neighbour(t) for t in held_out])
    made = {
        f"edited, guidance {w:g}": edited(
            folder, pairs.before, orders, {"guidance": w, "image_guidance": given.image_guidance}
        )
        for w in given.guidance
    }
    controls = {
        "identity": list(pairs.before),
        "noise": [noise(p, k) for k, p in enumerate(pairs.before)],
        "another image": [*list(pairs.before)[1:], pairs.before[0]],
        "truth again": [photographed_again(t) for t in held_out],
    }
    table = Table("row", "edit", "n", "right", "size", "of truth", "others", title=f"{kind}, {read.words}")
    record = {}
    for row, images in (made | controls).items():
        found = read(images)
        edits = ["all", *dict.fromkeys(t.triple.change.name for t in held_out)] if row in made else ["all"]
        for edit in edits:
            chosen = [k for k, t in enumerate(held_out) if edit in ("all", t.triple.change.name)]
            parts = ([values[k] for k in chosen] for values in (held_out, before, truth, found, neighbours))
            result = record[f"{row}, {edit}"] = scores(*parts)
            numbers = (f"{result[name]:.2f}" for name in ("right", "size", "of truth", "others"))
            table.add_row(row, edit, f"{result['n']:.0f}", *numbers)
    console.print(table)
    (given.out / "scores.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    first = next(iter(made.values()))
    shown = range(min(8, len(held_out)))
    sheet([(pairs.before[k], pairs.after[k], first[k]) for k in shown], given.out / "instructions.png")
    for k in shown:
        console.print(f"{k}: {orders[k]}")
    console.print(f"{given.out / 'instructions.png'}: before, after in truth, as edited")


if __name__ == "__main__":
    main()
