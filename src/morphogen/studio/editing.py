"""The page edit: brush a mask over a picture, say what is to be done, and see before, after, and where it changed.

What can be done is read from the registry of editors and from their settings; the page knows none of them by name. An
edit is work: ``morphogen edit`` with a mask that is kept in the workspace, so that the command that is shown runs. What
came of it is held against the source before it is shown, pixel by pixel.
"""

import json
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import numpy as np
import yaml
from fastapi import APIRouter, Query, Request, Response
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from morphogen.images.formats import png
from morphogen.images.picture import Picture
from morphogen.problems import Problem
from morphogen.studio.drawing_wish import LARGEST_SEED, Number, ThingName, Value, Word, Words, exactly
from morphogen.studio.generating import Command, NewName, answered
from morphogen.studio.pictures import stamp_of
from morphogen.studio.studio import Studio
from morphogen.studio.work import AT_WORK, Work
from morphogen.studio.workspace import Missing
from morphogen.whole_files import write_text_whole, write_whole

LARGEST_MASK = 2**26
"""Pixels of a picture that can be edited here."""

MOST_RUNS = 400_000
"""Lengths of which a mask may be made; brushed ones have a few thousand."""

BODIES = {"/api/edit/": 4 * 2**20}
"""Bytes of a body, by the beginning of its path: a mask is sent along."""

Identifier = Annotated[str, StringConstraints(pattern="^[a-z][a-z0-9_]{0,39}$")]
Setting = (
    bool
    | Annotated[int, Field(ge=-(10**9), le=10**9)]
    | Number
    | Annotated[str, StringConstraints(max_length=200)]
    | tuple[Number, Number]
)


class Mask(BaseModel):
    """A mask as lengths: so many pixels outside, so many inside, and so on, row by row.

    Attributes:
        height: of the picture.
        width: of the picture.
        runs: the lengths; the first may be 0, and all together are height times width.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    height: int = Field(ge=1, le=2**16)
    width: int = Field(ge=1, le=2**16)
    runs: list[Annotated[int, Field(ge=0, le=LARGEST_MASK)]] = Field(max_length=MOST_RUNS)

    @model_validator(mode="after")
    def _fills_the_picture(self) -> "Mask":
        if self.height * self.width > LARGEST_MASK:
            raise ValueError(f"masks of at most {LARGEST_MASK} pixels are taken")
        if sum(self.runs) != self.height * self.width:
            raise ValueError("the lengths together are not height times width")
        return self

    @property
    def pixels(self) -> NDArray[np.bool_]:
        """``(height, width)``, true inside."""
        inside = np.arange(len(self.runs)) % 2 == 1
        return np.repeat(inside, self.runs).reshape(self.height, self.width)


class EditWish(BaseModel):
    """What is to be done to one picture.

    Attributes:
        editor: name of the editor.
        model: name of the run, or the set, that it works with; None where it works with none.
        set: name of the set with the picture.
        index: number of the picture in it.
        mask: where it may change.
        caption: what the picture is to show.
        before: what it shows now.
        words: what is to be done.
        emphasis: weights of words.
        numbers: conditions of a run that are numbers.
        classes: those that are classes.
        settings: of the editor.
        seed: same seed, same edit.
        name: of the new set.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    editor: Identifier
    model: ThingName | None = None
    set: ThingName
    index: int = Field(default=0, ge=0, le=10**9)
    mask: Mask | None = None
    caption: Words = ""
    before: Words = ""
    words: Words = ""
    emphasis: dict[Word, Number] = Field(default={}, max_length=64)
    numbers: dict[Word, Number] = Field(default={}, max_length=64)
    classes: dict[Word, Value] = Field(default={}, max_length=64)
    settings: dict[Identifier, Setting] = Field(default={}, max_length=64)
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED)
    name: NewName = "new"


class Kept(BaseModel):
    """What is remembered of an edit beside its mask: where its source is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    set: str
    index: int


class Result(BaseModel):
    """What came of an edit.

    Attributes:
        set: name of the set with the source.
        index: number of the source in it.
        before: height and width of the source.
        after: those of the edited picture.
        spacing_um: height and width of a pixel; None where unknown.
        offset: row and column where the source stands in the edited picture.
        region_share: share of the picture that was to change.
        changed_share: share of it that did.
        outside_same: whether every pixel outside of the region is the source's, to the bit.
        window: grey levels that are shown black and white, before and after alike.
        maps: titles of the maps that the editor made.
    """

    set: str
    index: int
    before: tuple[int, int]
    after: tuple[int, int]
    spacing_um: list[float | None]
    offset: tuple[int, int]
    region_share: float
    changed_share: float
    outside_same: bool
    window: tuple[float, float]
    maps: list[str]


EditName = Annotated[str, Query(min_length=1, max_length=100)]


def router(studio: Studio) -> APIRouter:
    """The page and what it asks for."""
    routes = APIRouter()
    kept_edits = studio.workspace.own / "edits"
    known: dict[tuple[str, str], list[dict[str, Any]]] = {}

    def offered(model: str | None) -> list[dict[str, Any]]:
        """The editors, and why not where one cannot work with a model."""
        thing = studio.workspace.find(model, "run", "set") if model is not None else None
        key = ("", "") if thing is None else (thing.name, stamp_of(thing.path))
        if key not in known:
            asked = {"what": "editors", "run": thing.typed if thing is not None else ""}
            while len(known) > 20:
                known.pop(next(iter(known)))
            known[key] = answered(studio, f"editors {uuid4()}", asked).said["editors"]
        return known[key]

    def words_of(wish: EditWish) -> list[str]:
        thing, gallery = studio.workspace.find(wish.set, "set", "triples"), studio.gallery(wish.set)
        if wish.index >= len(gallery):
            raise Missing(f"{wish.set} has no picture {wish.index}", do=f"choose one of {len(gallery)}")
        place = gallery.places[wish.index]  # a file, or a slice of one
        typed = thing.typed if place.file == thing.path else _typed(place.file, studio.workspace.folder)
        words = ["edit", wish.editor, typed, *(["--number", str(place.slice)] if place.slice is not None else [])]
        if wish.model is not None:
            words += ["--model", studio.workspace.find(wish.model, "run", "set").typed]
        if wish.mask is not None:
            words += ["--mask", _typed(kept_edits / wish.name / "mask.png", studio.workspace.folder)]
        for option, text in (("--caption", wish.caption), ("--before", wish.before), ("--words", wish.words)):
            words += [option, text] if text else []
        for word, weight in wish.emphasis.items():
            words += ["--emphasis", f"{word}={exactly(weight)}"]
        for name, value in wish.numbers.items():
            words += ["--ask", f"{name}={exactly(value)}"]
        for name, text in wish.classes.items():
            words += ["--ask", f"{name}={text}"]
        for name, setting in wish.settings.items():
            words += ["--set", f"{name}={_written(setting)}"]
        return [*words, "--seed", str(wish.seed), "--out", f"edited/{wish.name}"]

    @routes.get("/edit", include_in_schema=False)
    def page(request: Request) -> Response:
        return studio.page(request, "edit")

    @routes.get("/api/editors")
    def editors(model: Annotated[str | None, Query(min_length=1, max_length=4096)] = None) -> list[dict[str, Any]]:
        return offered(model)

    @routes.post("/api/edit/command")
    def command(wish: EditWish) -> Command:
        return Command(command=shlex.join(["morphogen", *words_of(wish)]))

    @routes.post("/api/edit/make")
    def make(wish: EditWish) -> Work:
        makes = studio.workspace.place_for("edited", wish.name)
        picture = studio.gallery(wish.set).picture(wish.index)
        _require_offered(offered(wish.model), wish)
        words = words_of(wish)
        if wish.mask is not None:
            _require_fit(wish.mask, picture)
        if any(work.record.makes == makes and work.state in AT_WORK for work in studio.works.all()):
            raise Problem(f"{makes} is being made", do="wait for it, or choose another name")
        place = kept_edits / wish.name
        place.mkdir(parents=True, exist_ok=True)
        write_text_whole(place / "edit.json", Kept(set=wish.set, index=wish.index).model_dump_json())
        if wish.mask is not None:
            pixels = wish.mask.pixels[None].astype(np.uint8) * np.uint8(255)
            write_whole(place / "mask.png", lambda path: png.write(path, pixels, picture.spacing_um))
        reads = [wish.set, *([wish.model] if wish.model is not None else [])]
        title = f"{wish.editor} of picture {wish.index} of {wish.set}"
        try:
            return studio.works.start("edit", title, words, of=reads, makes=makes)
        except Problem:
            shutil.rmtree(place)
            raise

    @routes.get("/api/edit/result")
    def result(name: EditName) -> Result:
        kept, place = _kept(studio, kept_edits, name)
        gallery = studio.gallery(kept.set)
        before, after = gallery.picture(kept.index), studio.gallery(name).picture(0)
        region = _region(place)
        top, left = _corner(region, before)
        known = ~region[top : top + before.size[0], left : left + before.size[1]]
        there = after.pixels[:, top : top + before.size[0], left : left + before.size[1]]
        same = (there == before.pixels).all(axis=0)
        changed = region.copy()
        changed[top : top + before.size[0], left : left + before.size[1]] &= ~same
        spacing = [s if np.isfinite(s) else None for s in after.spacing_um]
        return Result(
            set=kept.set, index=kept.index, before=before.size, after=after.size, spacing_um=spacing,
            offset=(top, left), region_share=float(region.mean()), changed_share=float(changed.mean()),
            outside_same=bool(same[known].all()), window=(gallery.window.low, gallery.window.high),
            maps=list(_maps(place)),
        )  # fmt: skip

    @routes.get("/api/edit/region", response_class=Response, responses={200: {"content": {"image/png": {}}}})
    def region(name: EditName) -> Response:
        _, place = _kept(studio, kept_edits, name)
        return Response((place / "regions" / "0000.png").read_bytes(), media_type="image/png")

    @routes.get("/api/edit/map", response_class=Response, responses={200: {"content": {"image/png": {}}}})
    def shown_map(name: EditName, title: Annotated[str, Query(min_length=1, max_length=200)]) -> Response:
        _, place = _kept(studio, kept_edits, name)
        known = _maps(place)
        if title not in known:
            raise Missing(f"{name} has no map '{title}'", do="choose one of the list")
        return Response(known[title].read_bytes(), media_type="image/png")

    return routes


def _kept(studio: Studio, edits: Path, name: str) -> tuple[Kept, Path]:
    """Where the source of an edit is, and the folder of what came of it."""
    place = studio.workspace.find(name, "set").path
    try:
        text = (edits / place.name / "edit.json").read_text(encoding="utf-8")
        if place.parent == studio.workspace.folder / "edited" and (place / "regions" / "0000.png").is_file():
            return Kept.model_validate_json(text), place
    except (OSError, ValidationError):
        pass
    raise Missing(f"{name} is no edit that was made here", do="choose one of the list")


def _written(setting: Setting) -> str:
    """A setting as the command line reads it, which is YAML."""
    try:
        as_it_is = isinstance(setting, str) and setting.strip() == setting and yaml.safe_load(setting) == setting
    except yaml.YAMLError:
        as_it_is = False
    return str(setting) if as_it_is else json.dumps(setting)


def _typed(path: Path, folder: Path) -> str:
    """A path as it is typed in the workspace, so that no option can be mistaken for it."""
    typed = str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)
    return f"./{typed}" if typed.startswith("-") else typed


def _require_offered(offered: Sequence[dict[str, Any]], wish: EditWish) -> None:
    """Refuse editors and settings that the page would not offer: names of places on the disk among them."""
    known = {one["name"]: one for one in offered}
    if wish.editor not in known:
        raise Problem(f"there is no editor '{wish.editor}' here", do=f"choose among {', '.join(known)}")
    editor = known[wish.editor]
    if editor["problem"]:
        raise Problem(editor["problem"], do="choose another editor or model")
    fields = {field["name"] for field in editor["settings"]}
    for name in wish.settings:
        if name not in fields:
            raise Problem(f"'{name}' is no setting of {wish.editor} that can be chosen here",
                          do=f"choose among {', '.join(fields) or 'none'}")  # fmt: skip
    if bool(editor["model"]) != (wish.model is not None):
        what = f"works with {editor['model']}" if editor["model"] else "works without a model"
        raise Problem(f"{wish.editor} {what}", do="choose one" if editor["model"] else "leave it out")
    if "mask" in editor["needs"] and wish.mask is None:
        raise Problem(f"{wish.editor} changes what is masked", do="brush a mask over the picture")


def _require_fit(mask: Mask, picture: Picture) -> None:
    if (mask.height, mask.width) != picture.size:
        raise Problem(
            f"a mask of {mask.height} x {mask.width} does not fit a picture of {picture.size[0]} x {picture.size[1]}",
            do="load the page anew",
        )
    if not 0 < mask.pixels.sum() < mask.height * mask.width:
        raise Problem("the mask lets all or nothing of the picture change", do="brush over the part that is to change")


def _region(place: Path) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = png.read(place / "regions" / "0000.png", 0)[0].pixels[0] > 0
    return inside


def _corner(region: NDArray[np.bool_], before: Picture) -> tuple[int, int]:
    """Where the source stands in a picture that may have grown: at the first row and column that did not change."""
    if region.shape == before.size:
        return 0, 0
    rows, columns = np.flatnonzero((~region).any(axis=1)), np.flatnonzero((~region).any(axis=0))
    return int(rows[0]), int(columns[0])


def _maps(place: Path) -> dict[str, Path]:
    """The maps of the edit of a folder by title, from its record."""
    try:
        line = (place / "edits.jsonl").read_text(encoding="utf-8").splitlines()[0]
        told: dict[str, Any] = json.loads(line)["maps"]
    except (OSError, ValueError, KeyError, IndexError):
        return {}
    files = {title: place / "maps" / Path(str(one["file"])).name for title, one in told.items()}
    return {title: file for title, file in files.items() if file.is_file()}
