"""Triples whose answer is known: phantoms before and after an edit, with what the edit does to a descriptor in truth.

The truth is measured on the exact masks (orientation on the image itself, as its definition is), by the descriptors
that evaluation uses. A pair that does not show what its instruction says is drawn again from another specimen: in a
small window one root may have no lateral to take away. What is then left is an instruction that is true of every pair.
"""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from morphogen.evaluation.descriptors.descriptor import Scalar, descriptor
from morphogen.evaluation.section import Section
from morphogen.images.conditions import CAPTION, INSTRUCTION
from morphogen.images.folders import write_images
from morphogen.images.image_set import Pictures
from morphogen.images.labels import LABELS
from morphogen.images.picture import Picture
from morphogen.images.triples import AFTER, BEFORE, ReadTriples
from morphogen.mathematics.randomness import numpy_generator
from morphogen.phantoms.edits import Change, Triple, changes_of, require_factor, triple
from morphogen.phantoms.instruments.camera import Camera
from morphogen.phantoms.instruments.instrument import PixelType
from morphogen.phantoms.phantom import phantom
from morphogen.problems import Problem
from morphogen.progress import track
from morphogen.whole_files import require_free_folder, write_folder_whole, write_text_whole

CAPTION_BEFORE = "caption before"
"""Label of the image after: what the one before shows."""

EDIT, READING, UNIT, READING_BEFORE, READING_AFTER, CHANGED = (
    "edit", "reading", "unit", "reading before", "reading after", "changed share",
)  # fmt: skip
"""Labels of the image after: the name of the change, the reading that had to move, and from where to where it did on
the
exact masks; and the share of the pixels whose phase changed."""

DIRECTIONAL, ALIKE, OF_CAPTION = "directional similarity", "image similarity", "caption similarity"
"""Labels of the image after, where a pair was made by prompts: what the filter saw."""

ATTEMPTS = 12
"""Specimens that are tried before a change is given up."""

LEAST_MOVE = 0.03
"""Share of its value that a reading has to move by at least, for its pair to show what is asked. Half of what the
smallest amounts do; less is within what one grain or one pixel at the border does."""


@dataclass(frozen=True, slots=True, eq=False)
class KnownTriple:
    """A triple and what it shows in truth.

    Attributes:
        triple: both phantoms, the instruction and the parameters.
        before: the reading that had to move, on the exact mask before.
        after: the same after.
    """

    triple: Triple
    before: Scalar
    after: Scalar

    @property
    def pictures(self) -> tuple[Picture, Picture]:
        """The images before and after; the latter carries the instruction and the truth as labels."""
        told = self.triple
        after = replace(
            told.after.picture,
            labels={
                **told.after.picture.labels,
                INSTRUCTION: told.instruction,
                CAPTION_BEFORE: told.before.caption,
                EDIT: told.change.name,
                READING: told.change.reading,
                UNIT: self.after.unit,
                READING_BEFORE: float(self.before.value or 0.0),
                READING_AFTER: float(self.after.value or 0.0),
                CHANGED: float(told.changed.mean()),
            },
        )
        return told.before.picture, after


def reading_of(section: Section, change: Change) -> Scalar:
    """The reading that a change is to move, of one section."""
    describe = descriptor(change.descriptor)
    return describe(section).scalars[describe.name if change.descriptor == "phase_fraction" else change.reading]


def known_triples(
    kind: str,
    *,
    count: int,
    seed: int,
    names: Sequence[str] = (),
    size: tuple[int, int] = (96, 96),
    spacing_um: float | None = None,
    dtype: PixelType = "uint8",
    camera: Camera | None = None,
    first: int = 0,
    factor: float | None = None,
) -> list[KnownTriple]:
    """Triples of a kind; number k depends on (seed, k) alone.

    Args:
        kind: "rock", "fiber" or "root".
        count: how many, at least 1.
        seed: of specimens, changes and words.
        names: of the changes; all of the kind if empty.
        size: height and width in pixels.
        spacing_um: side of a pixel; the kind's own where None.
        dtype: "uint8" or "uint16".
        camera: one camera for all.
        first: number of the first.
        factor: of all of them; any of the grammar's where None.

    Raises:
        Problem: a count below 1, an unknown kind or change, a factor that one never has, or a window in which the
            change cannot be shown.
    """
    if count < 1:
        raise Problem(f"cannot draw {count} triples", do="ask for at least 1")
    changes = changes_of(kind, tuple(names))
    if factor is not None:
        require_factor(changes, factor)  # at once, and not after many attempts
    drawn = partial(
        triple, kind, seed=seed, names=tuple(names), size=size, spacing_um=spacing_um, dtype=dtype, camera=camera,
        factor=factor,
    )  # fmt: skip
    numbers = range(first, first + count)
    return [_known(drawn, number, kind) for number in track(numbers, f"Drawing {count} triples")]


def _known(drawn: "partial[Triple]", number: int, kind: str) -> KnownTriple:
    """The first attempt that shows what it says."""
    refused: Problem | None = None
    for attempt in range(ATTEMPTS):
        try:
            found = drawn(number=number, attempt=attempt)
        except Problem as problem:  # one packing that does not end is no reason to give up
            refused = problem
            continue
        one, other = (
            reading_of(Section(p.picture, p.labels.astype(np.bool_)), found.change) for p in (found.before, found.after)
        )
        if one.value is not None and other.value is not None:
            moved = found.change.direction * (other.value - one.value)
            if moved > LEAST_MOVE * abs(one.value):
                return KnownTriple(found, one, other)
    if refused is not None:
        raise refused
    raise Problem(f"no edit of {kind} can be seen in so small a window", do="choose a larger size")


_NEIGHBOUR = 7  # seeds further on
_AGAIN = 41  # purpose of the random streams of a second photograph


def neighbour(known: KnownTriple) -> Picture:
    """Another window of the specimen before: a homogeneous specimen is another draw with the same parameters."""
    told, picture = known.triple, known.triple.before.picture
    return phantom(told.kind, size=picture.size, seed=told.seed + _NEIGHBOUR, specimen=told.specimen, coupled=True,
                   spacing_um=picture.spacing_um[0], parameters=told.asked_before).picture  # fmt: skip


def photographed_again(known: KnownTriple) -> Picture:
    """The phantom after in another photograph by the same camera, a clean scan: same scene, other noise."""
    told, picture = known.triple, known.triple.after.picture
    still = Camera(blur_px=0, read_noise=0, shot_noise=0, shading=0, offset=0, gain=1)
    scene = phantom(told.kind, size=picture.size, seed=told.seed, specimen=told.specimen, coupled=True,
                    spacing_um=picture.spacing_um[0], dtype="uint16", camera=still,
                    parameters=told.asked_after).picture  # fmt: skip
    dtype: PixelType = "uint16" if picture.pixels.dtype == np.uint16 else "uint8"
    light = numpy_generator(told.seed, _AGAIN, told.specimen)
    pixels = Camera().photograph(scene.grey / np.iinfo(np.uint16).max, dtype, light)
    return replace(picture, pixels=pixels[None])


def pictures_of(triples: Sequence[KnownTriple]) -> ReadTriples:
    """The sets before and after."""
    before, after = zip(*(found.pictures for found in triples), strict=True)
    return ReadTriples(Pictures(before, BEFORE), Pictures(after, AFTER))


def write_triples(triples: Sequence[KnownTriple] | ReadTriples, folder: Path | str) -> Path:
    """Write triples: before/, after/ and labels.csv; of phantoms also masks, changed/ and parameters.json.

    Args:
        triples: what to write; phantoms, or images that were made in another way.
        folder: new or empty; made whole or not at all.

    Raises:
        Problem: there is something in the folder, or no room.
    """
    folder = require_free_folder(Path(folder), "the triples")
    write_folder_whole(folder, partial(_write_parts, triples))
    return folder


def _write_parts(triples: Sequence[KnownTriple] | ReadTriples, folder: Path) -> None:
    pairs = triples if isinstance(triples, ReadTriples) else pictures_of(triples)
    for part, images in ((BEFORE, pairs.before), (AFTER, pairs.after)):
        write_images(images, folder / part)
    names = sorted(f.name for f in (folder / AFTER / "images").iterdir() if f.suffix != ".json")
    write_text_whole(folder / LABELS, table(pairs.after, names))
    if isinstance(triples, ReadTriples):
        return
    changed = (
        replace(p, pixels=t.triple.changed[None].astype(np.uint8) * np.uint8(255), labels={}, mask=None)
        for p, t in zip(pairs.before, triples, strict=True)
    )
    write_images(Pictures(changed), folder / "changed")
    known = [
        {
            "file": name,
            "edit": t.triple.change.name,
            "factor": t.triple.factor,
            "seed": t.triple.seed,
            "specimen": t.triple.specimen,
            BEFORE: dict(t.triple.asked_before),
            AFTER: dict(t.triple.asked_after),
        }
        for name, t in zip(names, triples, strict=True)
    ]
    write_text_whole(folder / "parameters.json", json.dumps(known, indent=1) + "\n")


def table(after: Pictures, files: Sequence[str]) -> str:
    """The text of ``labels.csv``: instruction, captions, and the truth of each triple or what the filter saw."""
    known = (
        *(INSTRUCTION, CAPTION_BEFORE, CAPTION, EDIT, READING, UNIT, READING_BEFORE, READING_AFTER, CHANGED),
        *(DIRECTIONAL, ALIKE, OF_CAPTION),
    )
    names = [name for name in known if name in after[0].labels]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", *names])
    for file, picture in zip(files, after, strict=True):
        values = (picture.labels.get(name, "") for name in names)
        writer.writerow([file, *(f"{v:.6g}" if isinstance(v, float) else v for v in values)])
    return text.getvalue()
