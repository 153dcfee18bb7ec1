"""The page train: a set, a method and a budget; live curves and live samples; stop, and go on.

Training is ``morphogen train``, as work. The curves are what it writes into ``progress.jsonl`` of the run, the samples
what it draws into ``samples/``. A run that was started elsewhere is shown alike.
"""

import json
import os
import re
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from morphogen.catalogue import Catalogue
from morphogen.problems import Problem
from morphogen.specimens.specimen import specimen, specimen_names
from morphogen.studio.known_methods import KnownMethods
from morphogen.studio.studio import Studio
from morphogen.studio.work import AT_WORK, Work
from morphogen.studio.workspace import NAME, Missing, Thing

POINTS = 600
"""Points of a curve that are sent at most; each is the mean of the lines of the journal that it stands for."""

SAMPLES = "samples"
LARGEST_JOURNAL = 2**28
_JOURNALS = 4
LONGEST_BUDGET = 366 * 86_400.0
SAMPLES_A_RUN = 24
"""Times that samples are drawn in a budget in seconds, but not more often than ``SAMPLES_EVERY``."""
SAMPLES_EVERY = (2.0, 300.0)

_SAMPLE = re.compile(r"^\d{1,12}\.png$")
_SETTING = r"^[a-z][a-z0-9_]{0,63}$"

Name = Annotated[str, Query(min_length=1, max_length=4096)]
Text = Annotated[str, Field(max_length=256)]


class MethodShown(BaseModel):
    """A method that can be trained on a set: as ``morphogen methods --json`` tells it."""

    name: str
    title: str
    words: str
    draws_images: bool
    conditional: str
    reads_text: bool
    takes_context: bool
    needs_context: bool
    translates: bool
    multiple_of: int
    at_least: int
    settings: list[dict[str, Any]]


class MethodsShown(BaseModel):
    """All methods; ``ready`` is false while they are still being read."""

    ready: bool
    methods: list[MethodShown]


class ToTrain(BaseModel):
    """What ``train`` is to be told; one budget of the two."""

    model_config = ConfigDict(extra="forbid")

    set: str = Field(min_length=1, max_length=4096)
    method: str = Field(pattern=_SETTING)
    name: str = Field(pattern=NAME)
    seconds: float | None = Field(default=None, gt=0, le=LONGEST_BUDGET, allow_inf_nan=False)
    images_seen: int | None = Field(default=None, ge=1, le=10**12)
    crop: tuple[Annotated[int, Field(ge=1, le=8192)], Annotated[int, Field(ge=1, le=8192)]] = (64, 64)
    specimen: str = Field(default="", max_length=64)
    conditions: list[Annotated[str, Field(min_length=1, max_length=128)]] = Field(default=[], max_length=32)
    with_masks: bool = False
    context: str = Field(default="", pattern="^(|masks|edges)$")
    sources: str = Field(default="", max_length=4096)
    settings: dict[Annotated[str, Field(pattern=_SETTING)], Text] = Field(default={}, max_length=64)
    seed: int = Field(default=0, ge=0, le=2**31 - 1)
    pixel_size_um: float | None = Field(default=None, gt=0, le=1e9, allow_inf_nan=False)


class ToGoOn(BaseModel):
    """A new budget in all, of the kind that the work had; None for what is left of the old one."""

    model_config = ConfigDict(extra="forbid")

    seconds: float | None = Field(default=None, gt=0, le=LONGEST_BUDGET, allow_inf_nan=False)
    images_seen: int | None = Field(default=None, ge=1, le=10**12)


class CommandShown(BaseModel):
    """What would be typed."""

    command: str


class RunBrief(BaseModel):
    """A run in the list; ``work`` is the number of the latest work on it, 0 for none of the studio's."""

    name: str
    method: str
    changed: float
    images_seen: int
    sample: str
    work: int
    state: str


class RunShown(RunBrief):
    """A run: what it was asked, how its losses went, and the samples that were drawn on the way.

    ``curves`` has, by name of a loss, pairs of images seen and value; ``seconds_at`` pairs of images seen and seconds.
    """

    shape: list[int]
    settings: dict[str, Any]
    conditions: list[str]
    specimens: list[str]
    pictures: int
    parameters: int
    created: str
    command: str
    seconds: float
    has_weights: bool
    curves: dict[str, list[tuple[float, float]]]
    seconds_at: list[tuple[float, float]]
    samples: list[str]


def router(studio: Studio) -> APIRouter:
    """The page and what it asks for."""
    routes = APIRouter()
    methods, journals = KnownMethods(studio.workspace), Journals()
    studio.beginnings.append(methods.begin)

    def known() -> list[MethodShown]:
        return [MethodShown(**_kept(told)) for told in methods.waited_for() if _can_be_offered(told)]

    def words_of(asked: ToTrain) -> tuple[list[str], list[str], str]:
        """The words of the command, the names of what it reads, and of what it makes."""
        thing = studio.workspace.find(asked.set, "set", "triples")
        found = next((method for method in known() if method.name == asked.method), None)
        if found is None:
            raise Missing(f"there is no method {asked.method} here", do="choose one of the list")
        if (asked.seconds is None) == (asked.images_seen is None):
            raise Problem("a budget is in time or in images", do="give one of the two")
        makes = studio.workspace.place_for("runs", asked.name)
        words, reads = ["train", asked.method, thing.typed, "--out", makes], [thing.name]
        words += _budget(asked.seconds, asked.images_seen)
        words += ["--crop", str(asked.crop[0]), str(asked.crop[1])]
        if asked.specimen:
            if asked.specimen not in specimen_names():
                raise Missing("there is no such kind of specimen", do=f"choose {', '.join(specimen_names())}")
            words += ["--specimen", asked.specimen]
        for condition in asked.conditions:
            words += ["--condition", condition]
        words += ["--with-masks"] * asked.with_masks
        if asked.context:
            words += ["--context", asked.context]
        if found.translates != bool(asked.sources):
            raise Problem(
                f"{found.title} translates {'images' if found.translates else 'nothing'}",
                do="choose the set that it starts from" if found.translates else "leave the sources out",
            )
        if asked.sources:
            other = studio.workspace.find(asked.sources, "set")
            words += ["--sources", other.typed]
            reads.append(other.name)
        settings = {told["name"] for told in found.settings}
        for name, value in asked.settings.items():
            if name not in settings:
                raise Missing(f"{asked.method} has no setting {name}", do=f"it has {', '.join(sorted(settings))}")
            if value.strip():
                words += ["--set", f"{name}={value.strip()}"]
        if asked.pixel_size_um is not None:
            words += ["--pixel-size", f"{asked.pixel_size_um:g}"]
        if asked.seed:
            words += ["--seed", str(asked.seed)]
        if found.draws_images:
            words += ["--samples-every", f"{_between_samples(asked.seconds):g}"]
        return words, reads, makes

    @routes.get("/train", include_in_schema=False)
    def page(request: Request) -> Response:
        fractions = {name: specimen(name).fraction for name in specimen_names()}
        return studio.page(request, "train", specimens=fractions)

    @routes.get("/api/methods")
    def all_methods() -> MethodsShown:
        found = methods.now()
        shown = [MethodShown(**_kept(told)) for told in found or [] if _can_be_offered(told)]
        return MethodsShown(ready=found is not None, methods=shown)

    @routes.post("/api/train")
    def train(asked: ToTrain) -> Work:
        words, reads, makes = words_of(asked)
        return studio.works.start("train", f"Train {asked.method} on {asked.set}", words, of=reads, makes=makes)

    @routes.post("/api/train/command")
    def command(asked: ToTrain) -> CommandShown:
        import shlex

        return CommandShown(command=shlex.join(["morphogen", *words_of(asked)[0]]))

    @routes.post("/api/work/{number}/go-on")
    def go_on(number: int, asked: ToGoOn) -> Work:
        work = studio.works.get(number)
        if work.record.task != "train" or not work.can_go_on:
            raise Problem(f"work {number} cannot be gone on with", do="start it anew")
        words = list(work.record.words)
        if asked.seconds is not None or asked.images_seen is not None:
            if asked.seconds is not None and asked.images_seen is not None:
                raise Problem("a budget is in time or in images", do="give one of the two")
            for option in ("--seconds", "--images-seen"):
                if option in words:
                    at = words.index(option)
                    del words[at : at + 2]
            words += _budget(asked.seconds, asked.images_seen)
        if "--continue" not in words and (studio.workspace.folder / work.record.makes / "run.json").exists():
            words.append("--continue")
        return studio.works.start(
            "train", work.record.title, words, of=work.record.of, makes=work.record.makes, after=number
        )

    @routes.get("/api/runs")
    def runs() -> list[RunBrief]:
        works = _works_by_run(studio)
        found = [_brief(thing, works) for thing in studio.workspace.all_of("run")]
        there = {run.name for run in found if run is not None}
        waiting = [
            RunBrief(
                name=work.record.makes, method=work.record.words[1], changed=0.0, images_seen=0, sample="",
                work=work.record.number, state=work.state,
            )
            for name, work in works.items()
            if name not in there and work.state in (*AT_WORK, "refused", "failed", "died")
        ]  # fmt: skip
        return [*waiting, *(run for run in found if run is not None)]

    @routes.get("/api/run")
    def run(name: Name) -> RunShown:
        thing = studio.workspace.find(name, "run")
        brief, record = _brief(thing, _works_by_run(studio)), read_record(thing)
        if brief is None or record is None:
            raise Problem(f"{name} is damaged", do="restore its run.json")
        lines = journals.of(thing.path)
        curves, seconds_at = thinned(lines)
        images, lineage = record.get("images") or {}, record.get("lineage") or {}
        conditions = record.get("conditions") or {}
        return RunShown(
            **brief.model_dump(),
            shape=list(record.get("shape") or []),
            settings=dict(record.get("settings") or {}),
            conditions=condition_names(conditions),
            specimens=[str(one) for one in (images.get("specimens") or [])][:200],
            pictures=int(images.get("pictures") or 0),
            parameters=int(record.get("parameters") or 0),
            created=str(lineage.get("created", "")),
            command=str(lineage.get("command", "")),
            seconds=lines[-1].seconds if lines else 0.0,
            has_weights=(thing.path / "weights.safetensors").exists(),
            curves=curves,
            seconds_at=seconds_at,
            samples=samples_of(thing.path),
        )

    @routes.get("/api/run/sample", response_class=Response, responses={200: {"content": {"image/png": {}}}})
    def sample(name: Name, file: Annotated[str, Query(max_length=64)]) -> Response:
        thing = studio.workspace.find(name, "run")
        if file not in samples_of(thing.path):
            raise Missing(f"{name} has no sample of that name", do="choose one of the list")
        return Response(
            (thing.path / SAMPLES / file).read_bytes(), media_type="image/png",
            headers={"Cache-Control": "private, max-age=86400"},
        )  # fmt: skip

    return routes


def read_record(thing: Thing) -> dict[str, Any] | None:
    """What ``run.json`` says; None where it is damaged."""
    try:
        found = json.loads((thing.path / "run.json").read_text(encoding="utf-8"), parse_constant=lambda _: None)
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def draws(thing: Thing) -> bool:
    """Whether it is a run that draws images; those of a CLIP and of a prior over its vectors do not."""
    if thing.kind != "run":
        return False
    method = (read_record(thing) or {}).get("method")
    return method not in Catalogue("morphogen.understanding", "network", frozenset({"learners"})).names()


def condition_names(conditions: dict[str, Any]) -> list[str]:
    """Names of what a run is conditioned on, from its record."""
    found: list[str] = []
    for value in conditions.values():
        several = value if isinstance(value, list) else [value]
        found += [str(one["name"]) for one in several if isinstance(one, dict) and "name" in one]
    return found


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a journal."""

    images_seen: float
    seconds: float
    losses: dict[str, float]


class Journals:
    """Journals of runs, of which only what is new is read: that of a day's training has a hundred thousand lines."""

    def __init__(self) -> None:
        self._read: OrderedDict[Path, tuple[int, int, list[Line]]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, folder: Path) -> list[Line]:
        """The lines of ``progress.jsonl`` that are whole, of its first ``LARGEST_JOURNAL`` bytes."""
        file = folder / "progress.jsonl"
        with self._lock:
            try:
                with open(file, "rb") as opened:
                    told = os.fstat(opened.fileno())
                    number, offset, lines = self._read.pop(folder, (told.st_ino, 0, []))
                    if number != told.st_ino or offset > told.st_size:  # gone on with: it was written anew
                        offset, lines = 0, []
                    opened.seek(offset)
                    new = opened.read(max(0, min(told.st_size, LARGEST_JOURNAL) - offset))
            except OSError:
                return []
            whole = new[: new.rfind(b"\n") + 1]
            lines = [*lines, *(line for text in whole.splitlines() if (line := _line(text)) is not None)]
            self._read[folder] = (told.st_ino, offset + len(whole), lines)
            while len(self._read) > _JOURNALS:
                self._read.popitem(last=False)
            return lines


def _line(text: bytes) -> Line | None:
    try:
        told = json.loads(text, parse_constant=lambda _: None)
        losses = {str(name): float(value) for name, value in told["losses"].items() if value is not None}
        return Line(float(told["images_seen"]), float(told["seconds"]), losses)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def thinned(
    lines: list[Line], points: int = POINTS
) -> tuple[dict[str, list[tuple[float, float]]], list[tuple[float, float]]]:
    """The curves of a journal by the name of a loss, and the seconds over the images seen, at most so many points."""
    together = max(1, -(-len(lines) // points))
    curves: dict[str, list[tuple[float, float]]] = {}
    seconds: list[tuple[float, float]] = []
    for first in range(0, len(lines), together):
        group = lines[first : first + together]
        seen = group[-1].images_seen
        seconds.append((seen, group[-1].seconds))
        for name in dict.fromkeys(name for line in group for name in line.losses):
            values = [line.losses[name] for line in group if name in line.losses]
            curves.setdefault(name, []).append((seen, sum(values) / len(values)))
    return curves, seconds


def samples_of(folder: Path) -> list[str]:
    """Names of the files of samples, the first drawn first."""
    place = folder / SAMPLES
    try:
        return sorted(f.name for f in place.iterdir() if _SAMPLE.match(f.name) and not f.is_symlink())
    except OSError:
        return []


def _works_by_run(studio: Studio) -> dict[str, Work]:
    """The latest work on each run."""
    found: dict[str, Work] = {}
    for work in studio.works.all():
        if work.record.task == "train" and work.record.makes:
            found.setdefault(work.record.makes, work)
    return found


def _brief(thing: Thing, works: dict[str, Work]) -> RunBrief | None:
    record = read_record(thing)
    if record is None:
        return None
    samples, work = samples_of(thing.path), works.get(thing.name)
    return RunBrief(
        name=thing.name, method=str(record.get("method", "")), changed=thing.changed,
        images_seen=_last_seen(thing.path), sample=samples[-1] if samples else "",
        work=work.record.number if work else 0, state=work.state if work else "",
    )  # fmt: skip


def _last_seen(folder: Path) -> int:
    """Images seen, as the last line of the journal says."""
    try:
        with open(folder / "progress.jsonl", "rb") as file:
            file.seek(max(0, (folder / "progress.jsonl").stat().st_size - 8192))
            for line in reversed(file.read().splitlines()):
                if line.startswith(b"{") and line.endswith(b"}"):
                    return int(json.loads(line)["images_seen"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return 0


def _budget(seconds: float | None, images_seen: int | None) -> list[str]:
    return ["--seconds", f"{seconds:g}"] if seconds is not None else ["--images-seen", str(images_seen)]


def _between_samples(seconds: float | None) -> float:
    return min(max((seconds or 720.0) / SAMPLES_A_RUN, SAMPLES_EVERY[0]), SAMPLES_EVERY[1])


def _can_be_offered(told: dict[str, Any]) -> bool:
    """Whether a method learns from a set alone: students and priors need a run, and have commands of their own."""
    return not told["learns_from"] and not told["learns_image_vectors"]


def _kept(told: dict[str, Any]) -> dict[str, Any]:
    return {name: told[name] for name in MethodShown.model_fields}
