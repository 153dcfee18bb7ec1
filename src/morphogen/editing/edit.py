"""Edit measured images: the same seed gives the same edits at any batch size, and what was done goes on record.

Everything is checked before an editor begins: the instruction, the model, the masks, the place for the result. What is
written has the format, pixel type, grey scale and pixel size of the sources.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

import morphogen
from morphogen.editing.editor import Edit, EditingMethod, Instruction, editor_class, editor_settings, require_sound
from morphogen.images.conditions import ASKED, CAPTION
from morphogen.images.context import name_of
from morphogen.images.cropping import require_masks
from morphogen.images.endings import ending_of
from morphogen.images.folders import default_extension, require_format, write_images
from morphogen.images.formats import png
from morphogen.images.image_set import ImageSet, Pictures, of_equal_size
from morphogen.images.picture import EDITED_BY, TOLD_BY, TRAINED_ON, TRAINED_THROUGH, Label, Picture
from morphogen.problems import Problem
from morphogen.progress import console, track
from morphogen.whole_files import require_free_folder, require_space, write_folder_whole, write_text_whole

SOURCE = "source "
"""Prefix of the labels that the picture had before it was edited, which may no longer be true of it."""

ORDER = "instruction"
"""Label of an edited picture, behind ``ASKED``: the instruction in words."""

MODEL = "model"
"""Label of an edited picture: fingerprint of the model, if there is one."""

RECORD = "edits.jsonl"
"""One line an image: what was asked of whom, and where the image was to change."""

BEYOND = 1e-3
"""Share of the pixels of an image from which on it is told that they are beyond what the model learnt."""

_KEPT = (TRAINED_ON, TRAINED_THROUGH, TOLD_BY)  # of a generated picture: true of what is left of it, too
_NOT_THE_MODEL = ("state.safetensors", "progress.jsonl")  # of a run: what trains on, and what was told of it
_EACH_READ = 1 << 22  # bytes


@dataclass(frozen=True)
class Edits:
    """What became of a set.

    Attributes:
        each: the edits, in the order of the images.
        pictures: the edited pictures, with labels that say so.
    """

    each: tuple[Edit, ...]
    pictures: Pictures

    @property
    def sources(self) -> Pictures:
        """The pictures as they were."""
        return Pictures((edit.source for edit in self.each), "sources")

    @property
    def regions(self) -> list[NDArray[np.bool_]]:
        """Of each picture, true where it was to change, ``(height, width)``."""
        return [edit.region for edit in self.each]


def edit(
    editor: str,
    images: ImageSet,
    instruction: Instruction | Sequence[Instruction] = Instruction(),  # noqa: B008  # it is frozen
    *,
    model: Path | str | None = None,
    masks: ImageSet | Literal["masks"] | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    batch_size: int = 8,
    folder: Path | str | None = None,
    extension: str | None = None,
    cpu: bool = False,
) -> Edits:
    """Edit every picture of a set, in its order.

    Args:
        editor: name of a file in editing/, such as "inpaint".
        images: what to edit. They are not changed.
        instruction: what is asked, of all images or of each.
        model: folder of the editor's model, where it works with one.
        masks: where each image may change: "masks" for the pictures' own masks, or a set of images called as those that
            they go with, brighter than half of their brightest pixel where the image may change; one alone is for all.
        settings: of the editor, that differ from its defaults.
        seed: image k depends on the seed and on k alone (and on what is asked of it).
        batch_size: images at a time, where their sizes are equal; changes memory and not content.
        folder: where to write images/, regions/, maps/ and the record ``edits.jsonl``; not written if left out.
        extension: an ending, as ".tif" or ".nrrd"; by default that of each source, and where it cannot be written, as
            JPEG, PNG for 8 bit and TIFF for the rest.
        cpu: stay on the CPU even where there is a GPU.

    Returns:
        The edits, one an image.

    Raises:
        Problem: an instruction that the editor cannot follow, a model that it cannot work with, images that the model
            cannot take, or no room to write; before anything is edited.
    """
    kind, chosen = editor_class(editor), editor_settings(editor, settings)
    if batch_size < 1:
        raise Problem(f"{batch_size} images at a time are none", do="give a number from 1 up")
    target = require_free_folder(Path(folder), "the edits") if folder is not None else None
    extensions = [extension or _extension_of(picture) for picture in images]
    for one in dict.fromkeys(extensions):
        require_format(one, images[0].pixels.dtype.name)
    if target is not None:
        require_space(target, 3 * sum(p.pixels.nbytes for p in images), f"writing {len(images)} edited images")
    asked = _with_masks(_one_each(instruction, images), masks, images)
    for picture, wish in zip(images, asked, strict=True):
        require_sound(editor, picture, wish)
    place = _place_of_model(editor, kind, model)
    works = kind(chosen, place, cpu=cpu)
    for picture, wish in zip(images, asked, strict=True):
        works.check(picture, wish)
    _tell_of_beyond(works, images)
    found: list[Edit] = []
    for group in track(list(of_equal_size(images, batch_size)), f"Editing {len(images)} images"):
        first = len(found)
        wishes = asked[first : first + len(group)]
        found += works.edit(group, wishes, seed=seed, first=first)
    of_model = fingerprint_of_model(place) if place is not None else ""
    labelled = []
    for k, (done, wish) in enumerate(zip(found, asked, strict=True)):
        own: dict[str, Label] = {EDITED_BY: editor, "seed": float(seed), "number": float(k)}
        labelled.append(_labelled(done, wish, own | _if_any(MODEL, of_model)))
    if not all(picture.mask is not None for picture in labelled):
        labelled = [replace(picture, mask=None) for picture in labelled]  # a set has masks of all or of none
    found = [replace(done, picture=picture) for done, picture in zip(found, labelled, strict=True)]
    edits = Edits(tuple(found), Pictures(labelled, f"edits by {editor}"))
    if target is not None:
        what = {"editor": editor, "settings": chosen.model_dump(mode="json"), "seed": seed,
                "model": None if place is None else str(place), "model_fingerprint": of_model,
                "morphogen": morphogen.__version__}  # fmt: skip
        _write(edits, asked, what, target, extensions)
    return edits


def _tell_of_beyond(works: EditingMethod, images: ImageSet) -> None:
    """Warn of grey values that the model cannot tell apart: where it changes an image, they come back cut off."""
    if works.sees is None:
        return
    shares = [works.sees.share_beyond(picture.pixels) for picture in images]
    many = sum(share > BEYOND for share in shares)
    if many:
        worst = images[int(np.argmax(shares))].pixels
        console().print(
            f"Warning: {many} of {len(images)} images have grey values beyond {works.sees.low:g} to"
            f" {works.sees.high:g}, which the model learnt (up to {100 * max(shares):.2g} % of one, of"
            f" {worst.min():g} to {worst.max():g}): where it changes an image, they come back cut off",
            highlight=False,
        )


def fingerprint_of_model(folder: Path) -> str:
    """SHA-256 of all that makes a model, names and contents of its files; 16 hex digits.

    Files that a run only needs to go on training, or in which it tells of its training, do not count.
    """
    digest = hashlib.sha256()
    for file in sorted(f for f in folder.rglob("*") if f.is_file()):
        name = file.relative_to(folder)
        if name.name in _NOT_THE_MODEL or name.parts[0] == "tensorboard" or name.name.startswith("."):
            continue
        digest.update(f"{name.as_posix()}\n{file.stat().st_size}\n".encode())
        with open(file, "rb") as opened:
            while part := opened.read(_EACH_READ):
                digest.update(part)
    return digest.hexdigest()[:16]


def _place_of_model(editor: str, kind: type[EditingMethod], model: Path | str | None) -> Path | None:
    if kind.model and model is None:
        raise Problem(f"{editor} works with {kind.model}", do="name the folder of one, as its model")
    if not kind.model and model is not None:
        raise Problem(f"{editor} works without a model", do="leave it out")
    if model is None:
        return None
    place = Path(model)
    if not place.is_dir():
        raise Problem(f"there is no folder {place}", do=f"name one with {kind.model}")
    return place


def _extension_of(picture: Picture) -> str:
    """That of the source's file, where such files are written; else as new images get it."""
    name = str(picture.labels.get("file") or picture.origin.source)
    extension, pixel_type = ending_of(name), picture.pixels.dtype.name
    try:
        require_format(extension, pixel_type)
    except Problem:
        return default_extension(pixel_type)
    return extension


def _one_each(instruction: Instruction | Sequence[Instruction], images: ImageSet) -> list[Instruction]:
    if isinstance(instruction, Instruction):
        return [instruction] * len(images)
    if len(instruction) != len(images):
        raise Problem(f"{len(instruction)} instructions are given for {len(images)} images", do="give one for each")
    return list(instruction)


def _with_masks(
    asked: Sequence[Instruction], masks: ImageSet | Literal["masks"] | None, images: ImageSet
) -> list[Instruction]:
    """The instructions with the mask of each image."""
    if masks is None:
        return list(asked)
    if any(wish.mask is not None for wish in asked):
        raise Problem("masks are given twice, alone and in an instruction", do="give them once")
    if isinstance(masks, str):
        require_masks(images)
        return [replace(wish, mask=picture.mask) for wish, picture in zip(asked, images, strict=True)]
    brightest = max(float(mask.pixels.max()) for mask in masks)
    drawn: dict[str, NDArray[np.bool_]] = {}
    for mask in masks:
        if name_of(mask) in drawn:
            raise Problem(f"two masks are called {name_of(mask)}", do="give one for each image")
        drawn[name_of(mask)] = mask.pixels.max(axis=0) > brightest / 2
    if len(drawn) == 1:
        (only,) = drawn.values()
        return [replace(wish, mask=only) for wish in asked]
    for picture in images:
        if name_of(picture) not in drawn:
            raise Problem(f"no mask is called {name_of(picture)}", do="call masks as the images that they are for")
    return [replace(wish, mask=drawn[name_of(picture)]) for wish, picture in zip(asked, images, strict=True)]


def _labelled(edit: Edit, wish: Instruction, own: dict[str, Label]) -> Picture:
    """The edited picture with labels that say so, and without a mask that may no longer be true."""
    before, picture = edit.source.labels, edit.picture
    labels: dict[str, Label] = {
        name if name in _KEPT or name.startswith(SOURCE) else SOURCE + name: value for name, value in before.items()
    }
    added = {name: value for name, value in picture.labels.items() if before.get(name) != value}
    through = dict.fromkeys(str(found[TRAINED_THROUGH]) for found in (before, added) if TRAINED_THROUGH in found)
    labels |= added | _if_any(TRAINED_THROUGH, ", ".join(through)) | own
    labels |= {ASKED + name: value for name, value in wish.asked.items()}
    labels |= _if_any(ASKED + CAPTION, wish.caption) | _if_any(ASKED + ORDER, wish.words)
    stale = picture.mask is edit.source.mask and (edit.region.any() or picture.size != edit.source.size)
    return replace(picture, labels=labels, mask=None if stale else picture.mask)


def _if_any(name: str, value: str) -> dict[str, Label]:
    return {name: value} if value else {}


def _write(
    edits: Edits, asked: Sequence[Instruction], what: Mapping[str, Any], folder: Path, extensions: Sequence[str]
) -> None:
    digits = max(4, len(str(len(edits.each) - 1)))
    names = [f"{k:0{digits}d}" for k in range(len(edits.each))]
    write_images(edits.pictures, folder, extension=extensions)
    write_folder_whole(folder / "regions", partial(_write_regions, edits, names))
    if any(edit.maps for edit in edits.each):
        write_folder_whole(folder / "maps", partial(_write_maps, edits, names))
    lines = []
    for edit, wish, name, extension in zip(edits.each, asked, names, extensions, strict=True):
        maps = {
            title: {"file": _map_file(name, title), "black": float(shown.min()), "white": float(shown.max())}
            for title, shown in edit.maps.items()
        }
        line = {
            "file": name + extension,
            "source": edit.source.origin.source,
            "specimen": edit.source.origin.specimen,
            **what,
            "instruction": {
                "caption": wish.caption, "before": wish.before, "words": wish.words, "emphasis": dict(wish.emphasis),
                "asked": dict(wish.asked), "masked": wish.mask is not None,
            },
            "region_share": float(edit.region.mean()),
            "maps": maps,
        }  # fmt: skip
        lines.append(json.dumps(line, ensure_ascii=False))
    write_text_whole(folder / RECORD, "\n".join(lines) + "\n")


def _write_regions(edits: Edits, names: Sequence[str], folder: Path) -> None:
    for edit, name in zip(edits.each, names, strict=True):
        png.write(folder / f"{name}.png", np.uint8(255) * edit.region[None].astype(np.uint8), edit.picture.spacing_um)


def _write_maps(edits: Edits, names: Sequence[str], folder: Path) -> None:
    """Each from its lowest value, black, to its highest, white, in 16 bit; the record has both."""
    for edit, name in zip(edits.each, names, strict=True):
        for title, shown in edit.maps.items():
            low, high = float(shown.min()), float(shown.max())
            share = (shown.astype(np.float64) - low) / (high - low) if high > low else np.zeros(shown.shape)
            pixels = np.rint(65535 * share).astype(np.uint16)
            png.write(folder / _map_file(name, title), pixels[None], edit.picture.spacing_um)


def _map_file(name: str, title: str) -> str:
    return f"{name}-{re.sub(r'[^A-Za-z0-9]+', '-', title).strip('-') or 'map'}.png"
