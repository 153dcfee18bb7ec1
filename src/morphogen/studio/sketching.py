"""The process that holds a run open and draws a picture at once: ``python -m morphogen.studio.sketching``.

Opening a run takes seconds, drawing one picture far less. So this process opens a run once and keeps it, and reads one
request a line (JSON) from its standard input. On its standard output it answers each with a line of JSON and the bytes
that the line announces. What it draws comes from the calls that the commands make, so it is theirs to the bit.

A request can be dropped while it is drawn: ``{"drop": ID}`` is read by a thread of its own, and the next look at the
network ends the drawing. What goes wrong is answered in a line and leaves the process as it was. It ends when its input
ends, that is, with the server, however that ended.
"""

import hashlib
import io
import json
import os
import queue
import sys
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import nn

from morphogen.editing.editor import EditorSettings, editor_class, editor_names, editor_settings_kind
from morphogen.generation.generate import timed_generation
from morphogen.generation.translate import timed_translation
from morphogen.images.conditions import OUTSIDE
from morphogen.images.folders import read_images
from morphogen.images.image_set import Pictures
from morphogen.images.picture import Picture, stored_spacing
from morphogen.mathematics.solvers.solver import solver, solver_names
from morphogen.methods.denoising import DenoisingMethod
from morphogen.methods.method import GenerativeMethod, StyleBased
from morphogen.pretrained.image_service import ServiceSettings
from morphogen.problems import Problem
from morphogen.report.figures import png_bytes, shades
from morphogen.specimens.specimen import specimen, specimen_names
from morphogen.studio.drawing_wish import DrawingWish
from morphogen.training.run import Run
from morphogen.understanding.learners import learner_class

RUNS_OPEN = 2
"""Runs that are kept open; opening another closes the one that was used longest ago."""

EXAMPLES = 6
"""Captions of training images that a person is shown."""


class _Dropped(Exception):
    """The answer is not wanted any more."""


class OpenRun(Run):
    """A run whose method was opened once. Its weights are those of the moment: a new checkpoint is another run."""

    def __init__(self, folder: Path, heard: "Heard") -> None:
        super().__init__(folder)
        self._method: GenerativeMethod | None = None
        self._heard = heard

    def trained_method(self) -> GenerativeMethod:
        """The method, opened now or before; it asks whether it is still wanted whenever its network is asked."""
        if self._method is None:
            self._method = super().trained_method()
            for part in _networks(self._method):
                part.register_forward_pre_hook(self._still_wanted)
        return self._method

    def _still_wanted(self, part: nn.Module, given: Any) -> None:
        self._heard.require_wanted()


class Heard:
    """What was read from the input: requests in their order, and which of them are not wanted any more."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._waiting: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._dropped: set[int] = set()
        self._now = -1
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in self._source:
            said = json.loads(line)
            if "drop" in said:
                self._dropped.add(said["drop"])
            else:
                self._waiting.put(said)
        os._exit(0)  # nothing of this process is worth waiting for: all it made was asked for by who is gone

    def requests(self) -> Iterator[dict[str, Any]]:
        """Each request, when its turn has come."""
        while True:
            said = self._waiting.get()
            self._now = said["id"]
            yield said
            self._dropped.discard(self._now)

    def require_wanted(self) -> None:
        """End here what is not wanted any more."""
        if self._now in self._dropped:
            raise _Dropped


class Sketcher:
    """Answers requests, and keeps what was opened for them."""

    def __init__(self, heard: Heard) -> None:
        self._heard = heard
        self._runs: OrderedDict[tuple[str, int], OpenRun] = OrderedDict()
        self._sets: tuple[tuple[str, int], Pictures] | None = None

    def answer(self, said: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        """What is answered to one request, and the bytes behind it."""
        self._heard.require_wanted()
        if said["what"] == "about":
            return about(self._run(said["run"])), []
        if said["what"] == "editors":
            return {"editors": editors_of(Path(said["run"]) if said["run"] else None)}, []
        return self._drawn(said)

    def _run(self, folder: str) -> OpenRun:
        weights = Path(folder) / "weights.safetensors"
        key = (folder, weights.stat().st_mtime_ns if weights.exists() else 0)
        if key not in self._runs:
            for old in [known for known in self._runs if known[0] == folder]:
                del self._runs[old]  # it has learnt more meanwhile
            self._runs[key] = OpenRun(Path(folder), self._heard)
        self._runs.move_to_end(key)
        while len(self._runs) > RUNS_OPEN:
            self._runs.popitem(last=False)
        return self._runs[key]

    def _set(self, folder: str) -> Pictures:
        place = Path(folder) / "images" if (Path(folder) / "images").is_dir() else Path(folder)
        key = (folder, place.stat().st_mtime_ns)
        if self._sets is None or self._sets[0] != key:
            self._sets = (key, read_images(Path(folder)))
        return self._sets[1]

    def _drawn(self, said: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        wish, run = DrawingWish.model_validate(said["wish"]), self._run(said["run"])
        started, cpu = time.perf_counter(), bool(said["cpu"])
        scale = run.record.intensity
        if wish.sources is not None:
            sources = Pictures(list(self._set(said["sources"]))[: wish.count])
            found = timed_translation(run, sources, reverse=wish.reverse, seed=wish.seed, cpu=cpu)
            scale = run.record.source_intensity if wish.reverse and run.record.source_intensity else scale
        else:
            context = self._set(said["context"]) if wish.context is not None else None
            prior = self._run(said["prior"]) if wish.prior is not None else None
            found = timed_generation(run, context=context, prior=prior, cpu=cpu, **wish.arguments())
        shown = [png_bytes(shades(picture, scale)) for picture in found.images]
        return {
            "seconds": time.perf_counter() - started,
            "black": scale.low,
            "white": scale.high,
            "pictures": [_said_of(picture, png) for picture, png in zip(found.images, shown, strict=True)],
        }, shown  # fmt: skip


def _said_of(picture: Picture, png: bytes) -> dict[str, Any]:
    return {
        "size": picture.size,
        "spacing_um": stored_spacing(picture.spacing_um),
        "pixel_type": picture.pixels.dtype.name,
        "sha256": hashlib.sha256(picture.pixels.tobytes()).hexdigest(),
        "labels": {name: value for name, value in picture.labels.items() if name.startswith("asked ")},
        "warning": picture.labels.get(OUTSIDE, ""),
        "bytes": len(png),
    }


def about(run: Run) -> dict[str, Any]:
    """What a run is, and what can be asked of it."""
    record = run.record
    kind = learner_class(record.method)
    conditions, shape = record.conditions, run.shape
    found: dict[str, Any] = {
        "method": record.method,
        "title": kind.title,
        "size": (shape.height, shape.width),
        "channels": shape.channels - record.with_masks,
        "masks": record.with_masks,
        "pixel_type": record.intensity.dtype,
        "spacing_um": record.images.spacing_um,
        "training_images": record.images.pictures,
        "numbers": [
            {"name": n.name, "low": n.low, "high": n.high, "unit": unit_of(n.name, of_mask=n.of_mask)}
            for n in conditions.numbers
        ],
        "classes": [{"name": c.name, "values": c.values} for c in conditions.classes],
        "text": None if conditions.text is None else conditions.text.name,
        "texts": list(dict.fromkeys(conditions.seen_texts))[:EXAMPLES],
        "context": None if record.context is None else record.context.kind,
        "vector": record.image_vector is not None,
        "translates": kind.translates,
        "problem": "",
        "denoiser": None,
        "truncation": None,
    }
    if not issubclass(kind, GenerativeMethod):
        return found | {"problem": f"A run of {record.method} draws no images."}
    try:
        found |= {"images_seen": run.counters["images_seen"], "finished": bool(run.counters["finished"])}
        method = run.trained_method()
    except Problem as problem:
        return found | {"problem": str(problem)}
    if isinstance(method, StyleBased):
        found["truncation"] = getattr(method.settings, "truncation", 1.0)
    if isinstance(method, DenoisingMethod):
        found["denoiser"] = _of_denoiser(method)
        if not method.begun:
            found["problem"] = "The run was stopped before its denoiser began to learn."
    return found


def _of_denoiser(method: DenoisingMethod) -> dict[str, Any]:
    """What can be asked of how a denoiser is followed, and what it is by default."""
    # What steers a run draws as that run does; a student has learnt its steps, and nothing of it can be asked.
    inner = next((part for part in method.children() if isinstance(part, DenoisingMethod)), method)
    student = "steps" in type(method.settings).model_fields
    guided = method.task.tells and bool(method.settings.condition_dropout) and not student
    known = {name: solver(name) for name in solver_names()}
    return {
        "solvers": [] if student else [{"name": n, "title": s.TITLE, "noisy": s.STOCHASTIC} for n, s in known.items()],
        "solver": None if student else inner.settings.solver,
        "steps": None if student else inner.settings.sample_steps,
        "guidance": inner.settings.guidance if guided else None,
        "image_guidance": getattr(inner.settings, "image_guidance", None) if guided else None,
        "multiple_of": method.pixels_inside,
    }


def _networks(method: nn.Module) -> Iterator[nn.Module]:
    """The networks that a method asks, its own and those of the method that it holds."""
    for part in method.children():
        if isinstance(part, GenerativeMethod):
            yield from _networks(part)
        else:
            yield part


def unit_of(name: str, *, of_mask: bool) -> str:
    """The unit of a condition, where its name says it; "" where it does not, for units are not guessed."""
    fractions = {specimen(kind).fraction for kind in specimen_names()}
    words = name.replace("_", " ")
    if of_mask or words in fractions:
        return "area fraction"
    return next((unit for end, unit in (("um", "µm"), ("nm", "nm"), ("mm", "mm"), ("deg", "°"), ("degrees", "°"),
                                        ("percent", "%")) if words.endswith(f" {end}")), "")  # fmt: skip


def editors_of(run: Path | None) -> list[dict[str, Any]]:
    """Every editor, what it takes and its settings; and why not, where it cannot work with the run.

    Services are left out: what costs money and needs a key is agreed to on a terminal.
    """
    found = []
    for name in editor_names():
        kind, settings = editor_class(name), editor_settings_kind(name)
        if issubclass(settings, ServiceSettings):
            continue
        found.append(
            {
                "name": name, "title": kind.title, "takes": sorted(kind.takes), "needs": sorted(kind.needs),
                "model": kind.model, "settings": settings_of(settings),
                "problem": _why_not(name, run) if kind.model and run is not None else "",
            }
        )  # fmt: skip
    return found


def _why_not(editor: str, run: Path) -> str:
    """Why an editor cannot work with a run; "" where it can."""
    try:
        # Without validation: a setting that is needed says nothing of whether the model fits.
        editor_class(editor)(editor_settings_kind(editor).model_construct(), run)
    except Problem as problem:
        return str(problem)
    except Exception as error:  # one editor that stumbles over a folder takes none of the others away
        return f"it cannot be opened ({type(error).__name__}: {error})"
    return ""


PLACES = ("folder", "file")
"""First words of what is said of a setting that names a place on the disk, which no browser may."""


def settings_of(kind: type[EditorSettings]) -> list[dict[str, Any]]:
    """The settings of an editor, as the fields of a form: what stands in pydantic's schema of each, in few words."""
    fields = []
    properties = kind.model_json_schema().get("properties", {})
    for name, schema in properties.items():
        said = schema.get("description", "")
        parts = [part for part in schema.get("anyOf", [schema]) if part.get("type") != "null"]
        part = {**schema, **parts[0]} if parts else schema
        if said.startswith(PLACES) or "path" in str(part.get("format", "")):
            continue
        choices = list(part["enum"]) if "enum" in part else solver_names() if name == "solver" else []
        form = {"array": "pair"}.get(str(part.get("type")), str(part.get("type", "string")))
        if form == "pair" and part.get("minItems") != 2:
            continue
        fields.append(
            {
                "name": name, "type": form, "description": said, "default": schema.get("default"),
                "optional": len(parts) < len(schema.get("anyOf", parts)), "choices": choices,
                "least": part.get("minimum", part.get("exclusiveMinimum")),
                "most": part.get("maximum", part.get("exclusiveMaximum")),
            }
        )  # fmt: skip
    return fields


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Answer until the input ends."""
    heard = Heard(source)
    sketcher = Sketcher(heard)
    for said in heard.requests():
        blocks: list[bytes] = []
        try:
            found, blocks = sketcher.answer(said)
        except _Dropped:
            found = {"dropped": True}
        except Problem as problem:
            found = {"refused": [problem.what, problem.do]}
        except (MemoryError, torch.OutOfMemoryError):
            found = {"refused": ["this needs more memory than there is", "ask for fewer or smaller images"]}
        except Exception as error:  # it stays, and says so; what happened stands in the log
            traceback.print_exc()
            found = {"fault": f"{type(error).__name__}: {error}"}
        line = json.dumps({"id": said["id"], "blocks": [len(block) for block in blocks], **found}, allow_nan=False)
        sink.write(line.encode() + b"\n" + b"".join(blocks))
        sink.flush()


@contextmanager
def _alone_on_output() -> Iterator[BinaryIO]:
    """The standard output for answers alone: what libraries print goes to the log."""
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = io.TextIOWrapper(os.fdopen(1, "wb", closefd=False), line_buffering=True)
    yield sink


if __name__ == "__main__":
    with _alone_on_output() as answers:
        serve(sys.stdin.buffer, answers)
