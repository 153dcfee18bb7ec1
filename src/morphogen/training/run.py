"""The run folder: everything that a trained model is, in files that a person can read or check.

    run.json             what was trained on what, how, by which versions (never changes after the start)
    state.safetensors    weights, averages, optimiser moments and counters: one file, whole or not at all
    weights.safetensors  the weights to sample from (averaged where the method averages)
    progress.jsonl       one line a report
    tensorboard/         the same for TensorBoard
    samples/             where asked, a few images every so often, as PNG files called by the images seen until then
    clip/                where vectors of a CLIP are told or learnt: its run.json and weights.safetensors

Nothing is a pickle.
"""

import hashlib
import json
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

import morphogen
from morphogen.command_line import command_line
from morphogen.images.conditions import Conditions
from morphogen.images.context import Context
from morphogen.images.intensity import IntensityMap
from morphogen.methods.method import GenerativeMethod, ImageLearner, ImageShape, Task, Trainable
from morphogen.problems import Problem
from morphogen.training.fit import Plan, TrainingState, new_state
from morphogen.understanding.learners import learner_class, learner_settings
from morphogen.whole_files import write_text_whole, write_whole

Learner = TypeVar("Learner", bound=ImageLearner)

CLIP_COPY = "clip"
"""Folder, in that of a run, with the run of CLIP whose vectors of images it is told, or learns."""

FORMAT = 1
"""Number of the run folder's layout; a folder of another number is refused."""


class Lineage(BaseModel):
    """Where a run comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    morphogen: str
    torch: str
    platform: str
    created: str
    command: str

    @classmethod
    def now(cls) -> "Lineage":
        """That of a run that starts now."""
        return cls(
            morphogen=morphogen.__version__,
            torch=torch.__version__,
            platform=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            command=command_line(),
        )


class TrainingImages(BaseModel):
    """What a run was trained on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fingerprint: str
    pictures: int
    specimens: tuple[str, ...]
    independent_fields: float
    symmetries: tuple[str, ...]
    spacing_um: tuple[float | None, float | None]


class Teacher(BaseModel):
    """The run that a run learnt from.

    Attributes:
        folder: where it was.
        weights: SHA-256 of the file of its weights.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: str
    weights: str

    @property
    def identity(self) -> str:
        """16 hex digits that stand for the weights where scores name who gave them."""
        return hashlib.sha256(self.weights.encode()).hexdigest()[:16]


class ImageVector(Teacher):
    """The run of CLIP whose vectors of images a run is told, or learns; a copy of it lies in ``clip/``.

    Attributes:
        length: of a vector.
    """

    length: int


class RunRecord(BaseModel):
    """Contents of ``run.json``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    method: str
    settings: dict[str, Any]
    plan: Plan
    shape: tuple[int, int, int]
    with_masks: bool = False  # the last channel is the mask
    intensity: IntensityMap
    images: TrainingImages
    conditions: Conditions = Conditions()
    context: Context | None = None  # the image in register that is told with each image
    augmentations: tuple[str, ...] = ()
    sources: TrainingImages | None = None  # what is translated, by a method that translates
    source_intensity: IntensityMap | None = None
    teacher: Teacher | None = None  # where the method learns from another run
    image_vector: ImageVector | None = None  # where it is told vectors of images, or learns them
    parameters: int
    lineage: Lineage


class Run:
    """A run folder.

    Args:
        folder: where it is.

    Raises:
        Problem: it is no run folder, is damaged, or belongs to another version.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.record = _read_record(self.folder)

    @classmethod
    def create(cls, folder: Path, record: RunRecord) -> "Run":
        """Start a run in a folder that exists and is empty."""
        write_text_whole(folder / "run.json", record.model_dump_json(indent=1))
        return cls(folder)

    @property
    def shape(self) -> ImageShape:
        """Shape of the images."""
        return ImageShape(*self.record.shape)

    @property
    def task(self) -> Task:
        """What the method is to learn."""
        record = self.record
        told = 0 if record.context is None else record.context.channels
        length = 0 if record.image_vector is None else record.image_vector.length
        masks = int(record.with_masks)
        return Task(self.shape, record.conditions, frozenset(record.augmentations), masks, told, length)

    def new_learner(self) -> ImageLearner:
        """What was trained with fresh weights, the same for the same seed; the caller's random state is not touched."""
        settings = learner_settings(self.record.method, self.record.settings)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.record.plan.seed)
            return learner_class(self.record.method)(settings, self.task)

    def new_method(self) -> GenerativeMethod:
        """The same, of a run that draws images.

        Raises:
            Problem: it draws none.
        """
        learner = self.new_learner()
        if not isinstance(learner, GenerativeMethod):
            raise Problem(f"{self.folder} is a run of {self.record.method}, which draws no images", do="name another")
        return learner

    def trained_learner(self) -> ImageLearner:
        """What was trained, with the weights to be used.

        Raises:
            Problem: training has not saved any yet, or the file is damaged.
        """
        return self._trained(self.new_learner())

    def trained_method(self) -> GenerativeMethod:
        """The method with the weights to sample from.

        Raises:
            Problem: training has not saved any yet, the file is damaged, or the run draws no images.
        """
        return self._trained(self.new_method())

    def _trained(self, learner: Learner) -> Learner:
        tensors, _ = _read_tensors(self.folder / "weights.safetensors")
        learner.load_state_dict(tensors)
        return learner.eval().requires_grad_(False)

    @property
    def as_teacher(self) -> Teacher:
        """What is recorded with a run that learns from this one.

        Raises:
            Problem: training has not saved any weights yet.
        """
        path = self.folder / "weights.safetensors"
        _require(path)
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return Teacher(folder=str(self.folder.absolute()), weights=digest)

    @property
    def has_state(self) -> bool:
        """Whether there is a checkpoint to go on from."""
        return (self.folder / "state.safetensors").exists()

    def save_state(self, method: Trainable, state: TrainingState) -> None:
        """Write the checkpoint and the weights to sample from; each is whole or not there."""
        write_state(self.folder / "state.safetensors", method, state)
        weights = {**method.state_dict(), **state.averaged.values}
        _write_tensors(self.folder / "weights.safetensors", weights, _counters(state))

    def load_state(self, method: Trainable) -> TrainingState:
        """Fill ``method`` and return the state as they were when saved.

        Raises:
            Problem: there is no checkpoint, or it is damaged.
        """
        return read_state(self.folder / "state.safetensors", method)

    @property
    def counters(self) -> dict[str, float]:
        """Steps, images seen, seconds and whether finished, as last saved.

        Raises:
            Problem: nothing was saved yet.
        """
        path = self.folder / "weights.safetensors"
        _require(path)
        with safe_open(path, framework="pt") as file:
            found: dict[str, float] = json.loads(file.metadata()["counters"])
        return found

    def progress(self) -> list[dict[str, Any]]:
        """The lines of ``progress.jsonl``; one that was cut off when a process was killed is left out."""
        path = self.folder / "progress.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        whole = (line for line in lines if line.endswith("}"))
        return [json.loads(line) for line in whole]


def write_state(path: Path, method: Trainable, state: TrainingState) -> None:
    """Write a checkpoint: weights, averages, moments of the optimisers and counters, whole or not at all."""
    tensors = {f"weights/{name}": value for name, value in method.state_dict().items()}
    tensors |= {f"averaged/{name}": value for name, value in state.averaged.values.items()}
    for owned, optimiser in state.optimisers.items():
        for index, moments in optimiser.state_dict()["state"].items():
            for name, value in moments.items():
                tensors[f"optimiser/{'+'.join(owned)}/{index}/{name}"] = value
    _write_tensors(path, tensors, _counters(state))


def read_state(path: Path, method: Trainable) -> TrainingState:
    """Fill ``method`` and return the state as they were when ``write_state`` wrote them.

    Raises:
        Problem: there is no checkpoint, or it is damaged.
    """
    tensors, counters = _read_tensors(path)
    groups: dict[str, dict[str, Tensor]] = {"weights": {}, "averaged": {}, "optimiser": {}}
    for key, value in tensors.items():
        kind, _, name = key.partition("/")
        groups[kind][name] = value
    method.load_state_dict(groups["weights"])
    state = new_state(method)
    device = next(method.parameters()).device
    state.averaged.values = {name: value.to(device) for name, value in groups["averaged"].items()}
    for owned, optimiser in state.optimisers.items():
        prefix = "+".join(owned) + "/"
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in groups["optimiser"].items():
            if key.startswith(prefix):
                index, name = key.removeprefix(prefix).split("/")
                moments.setdefault(int(index), {})[name] = value
        optimiser.load_state_dict({"state": moments, "param_groups": optimiser.state_dict()["param_groups"]})
    state.step, state.images_seen = int(counters["step"]), int(counters["images_seen"])
    state.seconds, state.finished = float(counters["seconds"]), bool(counters["finished"])
    return state


def _counters(state: TrainingState) -> dict[str, Any]:
    return {
        "step": state.step,
        "images_seen": state.images_seen,
        "seconds": state.seconds,
        "finished": state.finished,
    }


def _read_record(folder: Path) -> RunRecord:
    path = folder / "run.json"
    if not folder.exists():
        raise Problem(f"there is no folder {folder}", do="check the path")
    if not path.exists():
        raise Problem(
            f"{folder} is not a run folder: it has no run.json",
            do="give a folder made by 'morphogen train'",
        )
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        number = found.get("format") if isinstance(found, dict) else None
        if number == FORMAT:
            return RunRecord.model_validate(found)
    except (ValueError, ValidationError):
        raise Problem(f"{path} is damaged", do="restore it, or train again") from None
    version = str(found.get("lineage", {}).get("morphogen", "another version")) if isinstance(found, dict) else "?"
    raise Problem(
        f"{folder} was written by Morphogen {version} in run format {number}, and this one reads format {FORMAT}",
        do="open it with that version, or train again",
    )


def _require(path: Path) -> None:
    if not path.exists():
        raise Problem(f"{path.parent} has no {path.name} yet", do="let the training run until it has saved once")


def _write_tensors(path: Path, tensors: dict[str, Tensor], counters: dict[str, Any]) -> None:
    on_cpu = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    metadata = {"format": str(FORMAT), "counters": json.dumps(counters)}
    # Through memory: what safetensors raises when it writes itself does not say that a disk is full.
    data = save(on_cpu, metadata=metadata)
    write_whole(path, lambda temporary: temporary.write_bytes(data))


def _read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    _require(path)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            counters = json.loads(file.metadata()["counters"])
    except (SafetensorError, ValueError, KeyError):
        raise Problem(f"{path} is damaged", do="restore it, or train again") from None
    return tensors, counters
