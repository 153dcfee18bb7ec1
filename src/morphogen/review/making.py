"""Making a review: designing it, sealing what its images are, and writing its folder."""

import csv
import io
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

import morphogen
from morphogen.evaluation.fields import fields
from morphogen.images.image_set import ImageSet, common_size
from morphogen.images.picture import TRAINED_ON, Picture, stored_spacing
from morphogen.mathematics.randomness import numpy_generator
from morphogen.problems import Problem
from morphogen.report.figures import grey_scale
from morphogen.review.folder import LINKS, SEALED, STUDY
from morphogen.review.records import (
    KINDS,
    Design,
    Key,
    Kind,
    Rater,
    SetRecord,
    Source,
    Study,
    canonical,
    sha256,
)
from morphogen.review.schedule import fill, items, needed, schedule
from morphogen.review.sealing import seal
from morphogen.review.stimuli import Pipeline, Stack, require_one_kind, stacks
from morphogen.specimens.specimen import specimen as kind_of_specimen
from morphogen.whole_files import require_free_folder, require_space, write_folder_whole, write_text_whole

EVALUATED_FIELDS = 256
"""Fields of a set that ``evaluate`` compares by default, drawn by the seed 0."""
_FIELDS, _ORDER, _RATER, _SIDES = range(4)  # purposes of random streams


@dataclass(frozen=True, slots=True)
class Made:
    """A new review.

    Attributes:
        study: as it stands in ``study.json``.
        code: opens the key; it is stored nowhere.
        links: the path of each rater's personal link, by name.
        notes: what makes its answers worth less, a line each.
    """

    study: Study
    code: str
    links: dict[str, str]
    notes: tuple[str, ...] = ()


def new_review(
    folder: Path,
    *,
    measured: ImageSet,
    generated: Mapping[str, ImageSet],
    specimen: str = "rock",
    raters: Sequence[str] | int = 4,
    kinds: Sequence[Kind] = ("one",),
    questions: int = 40,
    repeats: float = 0.1,
    training: int = 0,
    size: tuple[int, int] | None = None,
    slices: int = 1,
    criteria: Sequence[str] = (),
    title: str = "",
    key_place: str = "",
) -> Made:
    """Design a review, seal what its images are, and write its folder.

    Args:
        folder: new folder.
        measured: measured images, none of them shown to a method.
        generated: the generated sets by name.
        specimen: kind of specimen; words what raters are told and asked.
        raters: their names, or how many.
        kinds: what is asked, some of ``records.KINDS``.
        questions: how many of each kind a rater is asked, repeats not counted.
        repeats: share of them that is asked again.
        training: questions of the training round in front.
        size: height and width of what is shown; by default that of the generated images.
        slices: consecutive slices of a volume that are shown as one image.
        criteria: what is rated; by default as the specimen says.
        title: heading of the page.
        key_place: where the opening code will be written; the server will not start where it can read that.

    Raises:
        Problem: too few images, sets that can be told apart without looking, one class only, or a bad number.
    """
    require_free_folder(folder, "the review")
    kind = kind_of_specimen(specimen)
    names = [f"rater {k + 1}" for k in range(raters)] if isinstance(raters, int) else list(raters)
    kinds = tuple(k for k in KINDS if k in kinds)
    _require_numbers(names, questions, repeats, training, slices)
    sets = {"measured": measured, **generated}
    if len(sets) != len(generated) + 1:
        raise Problem("a generated set is called 'measured'", do="give its folder another name")
    require_one_kind(sets)
    _require_different(sets)
    seed = secrets.randbits(128)
    shown = items(kinds, questions, training, "measured", list(generated), numpy_generator(seed, _ORDER))
    size = size or _size_of(generated)
    wanted = needed(shown)
    cut = {name: stacks(images, size, slices, wanted[name] or 1, seed % 2**32 + k) for k, (name, images) in
           enumerate(sets.items())}  # fmt: skip
    for name, of_set in cut.items():
        if len(of_set) < wanted[name]:
            raise Problem(
                f"{wanted[name]} images of {name} are needed, each for one question, and {len(of_set)} of"
                f" {size[0]} x {size[1]} fit into it",
                do="give more images, ask fewer questions, or show smaller fields",
            )
    pipeline = Pipeline.of(
        cut["measured"], grey_scale(p for stack in cut["measured"] for p in stack), list(cut.values())
    )
    random = numpy_generator(seed, _FIELDS)
    opaque = {name: [random.bytes(8).hex() for _ in of_set] for name, of_set in cut.items()}
    pixels: dict[str, Stack] = {o: stack for name, of_set in cut.items()
                                for o, stack in zip(opaque[name], of_set, strict=True)}  # fmt: skip
    filled = fill(
        shown, {name: [of_set[i] for i in random.permutation(len(of_set))] for name, of_set in opaque.items()}
    )
    used = sorted({name for one in filled for name in one.images})
    tokens = {name: secrets.token_urlsafe(24) for name in names}
    first = pipeline.stored(pixels[used[0]])
    require_space(folder, 2 * first.nbytes * len(used), f"a review of {len(used)} images")
    seen = [name for name, images in generated.items() if _has_seen(images, measured)]
    source_of = {o: name for name, of_set in opaque.items() for o in of_set}
    design = Design(
        title=title or f"{kind.wording.subject[:1].upper()}{kind.wording.subject[1:]}: measured or generated?",
        kind_of_specimen=specimen,
        subject=kind.wording.subject,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        morphogen=morphogen.__version__,
        kinds=kinds,
        criteria=tuple(criteria or kind.criteria) if "rate" in kinds else (),
        shape=(first.shape[0], first.shape[1], first.shape[2], first.shape[3]),
        levels=pipeline.levels,
        grey_range=(pipeline.low, pipeline.high),
        spacing_um=stored_spacing(pixels[used[0]][0].spacing_um),
        images={name: sha256(pipeline.stored(pixels[name]).tobytes()) for name in used},
        raters=tuple(
            Rater(
                name=name,
                token_sha256=sha256(tokens[name].encode()),
                questions=schedule(
                    filled, kinds, k, repeats, "measured", numpy_generator(seed, _SIDES, k // 2),
                    numpy_generator(seed, _RATER, k),
                ),
            )
            for k, name in enumerate(names)
        ),
        key_place=key_place,
    )  # fmt: skip
    key = Key(
        salt=secrets.token_hex(32),
        seed=f"{seed:032x}",
        design_sha256=sha256(canonical(design)),
        sets={
            name: SetRecord(
                role="measured" if name == "measured" else "generated",
                fingerprint=images.fingerprint, fields_fingerprint=_of_fields(images), images=len(images),
                place=getattr(images, "name", ""), seen=name in seen,
            )
            for name, images in sets.items()
        },
        images={name: _source(source_of[name], pixels[name][0]) for name in used},
    )  # fmt: skip
    cipher, code, key_sha256 = seal(key)
    study = Study(design=design, key_sha256=key_sha256)
    links = {name: f"/r/{token}/" for name, token in tokens.items()}

    def write(place: Path) -> None:
        (place / "images").mkdir()
        for name in used:  # in the order of names, which are random, with one date: neither says when it was made
            (place / "images" / name).write_bytes(pipeline.stored(pixels[name]).tobytes())
            os.utime(place / "images" / name, (0, 0))
        write_text_whole(place / STUDY, study.model_dump_json(indent=1))
        write_text_whole(place / SEALED, cipher)
        write_text_whole(place / LINKS, _table(links))
        (place / LINKS).chmod(0o600)

    write_folder_whole(folder, write)
    return Made(study, code, links, tuple(_of_seen(name, measured) for name in seen))


def _require_numbers(names: Sequence[str], questions: int, repeats: float, training: int, slices: int) -> None:
    if not names or len(set(names)) != len(names) or not all(name.strip() for name in names):
        raise Problem(f"the raters are {', '.join(names) or 'nobody'}", do="give each a name of his own")
    if questions < 2 or training < 0 or slices < 1:
        raise Problem(f"{questions} questions, {training} for training, {slices} slices are not possible",
                      do="ask at least 2 questions, and show at least 1 slice")  # fmt: skip
    if not 0 <= repeats <= 0.5:
        raise Problem(f"a share of {repeats:g} repeats is not possible", do="give one from 0 to 0.5")


def _require_different(sets: Mapping[str, ImageSet]) -> None:
    """Refuse sets that have an image in common, to the bit: nobody can say which of the two it is."""
    seen: dict[str, str] = {}
    for name, images in sets.items():
        for picture in images:
            other = seen.setdefault(sha256(np.ascontiguousarray(picture.pixels).tobytes()), name)
            if other != name:
                raise Problem(
                    f"{other} and {name} share an image to the bit", do="give sets that have nothing in common"
                )


def _has_seen(images: ImageSet, measured: ImageSet) -> bool:
    """Whether a generated set says that its method was trained on the measured images."""
    return any(picture.labels.get(TRAINED_ON) == measured.fingerprint for picture in images)


def _of_seen(name: str, measured: ImageSet) -> str:
    """That a method has seen what it is compared with, and what to show in its place."""
    place = getattr(measured, "name", "")
    beside = Path(place).parent / "held_out"  # where 'morphogen split' puts them
    others = f"those in {beside}" if place and beside.is_dir() else "some that 'morphogen split' holds back"
    return f"{name} was trained on the measured images that are shown, and copies of them would win: show {others}"


def _size_of(generated: Mapping[str, ImageSet]) -> tuple[int, int]:
    sizes = {common_size(images, name) for name, images in generated.items()}
    return min(height for height, _ in sizes), min(width for _, width in sizes)


def _of_fields(images: ImageSet) -> str:
    """The fingerprint by which an evaluation of a set with its default options knows it; "" of images of many sizes."""
    if len({picture.size for picture in images}) > 1:
        return ""
    return fields(images, images[0].size, EVALUATED_FIELDS).fingerprint


def _source(name: str, picture: Picture) -> Source:
    origin = picture.origin
    region = tuple(int(v) for v in origin.region) if origin.region else None
    return Source(set=name, specimen=origin.specimen, source=origin.source, slice=origin.slice,
                  region=region)  # type: ignore[arg-type]  # fmt: skip


def _table(links: Mapping[str, str]) -> str:
    lines = io.StringIO()
    table = csv.writer(lines, lineterminator="\n")
    table.writerow(("rater", "link"))
    table.writerows(links.items())
    return lines.getvalue()
