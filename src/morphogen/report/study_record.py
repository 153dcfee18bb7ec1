"""The records of a study: what was trained on what, at which cost, and what the comparison found.

``study.json`` holds exactly these records, and the page is drawn from them alone. JSON has no NaN, and a
spacing may be unknown, so numbers that are not finite are written as the strings "NaN", "Infinity" and
"-Infinity", which pydantic reads back as floats: what is read equals what was written.
"""

import json
import math
from pathlib import PurePath
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, JsonValue

from morphogen.evaluation.records import Comparison, Record, Usefulness


def plain(value: Any) -> Any:
    """The same value in JSON's types, so that reading it back gives an equal one."""
    match value:
        case dict():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case set() | frozenset():
            return sorted(plain(item) for item in value)
        case float() if not math.isfinite(value):
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        case None | bool() | int() | float() | str():
            return value
        case PurePath():
            return str(value)
        case _:
            raise ValueError(f"{value!r} cannot be written as JSON")


Plain = Annotated[dict[str, JsonValue], BeforeValidator(plain)]
"""Settings as a person typed them: names to numbers, words, lists and further settings."""


class CurvePoint(Record):
    """Training progress at one moment.

    Attributes:
        seconds: training time so far.
        images_seen: training images shown so far.
        losses: mean of each part of the loss since the point before.
    """

    seconds: float
    images_seen: int
    losses: dict[str, float]


class MethodRecord(Record):
    """One method trained on one specimen.

    Attributes:
        method: name on the command line, and the name under which the comparison scored its images.
        title: in words, "Denoising diffusion".
        settings: its settings.
        parameters: trainable parameters.
        seconds: training time.
        images_seen: training images shown, repeats counted.
        steps: steps of the optimiser.
        peak_memory_mib: peak memory of the training.
        seconds_per_image: time that generation took, an image.
        device: where it ran, "CPU, 2 threads".
        note: what a reader must know, such as that it diverged; empty where nothing.
        curve: training progress.
    """

    method: str
    title: str
    settings: Plain
    parameters: int
    seconds: float
    images_seen: int
    steps: int
    peak_memory_mib: float
    seconds_per_image: float
    device: str
    note: str = ""
    curve: tuple[CurvePoint, ...] = ()


class SpecimenRecord(Record):
    """One specimen, the methods that were trained on it, and how they compare.

    Attributes:
        name: what to call it, "rock".
        kind: kind of specimen (a file of ``morphogen.specimens``).
        about: what it is and where it comes from, in a sentence.
        images: name of the folder, or "phantom".
        training_fields_independent: how many non-overlapping crops fit into the training images.
        held_out_fields_independent: the same for the held-out images.
        crop_px: height and width of a crop in pixels.
        spacing_um: height and width of a pixel in micrometres, NaN where unknown.
        split: how training and held-out images were kept apart, in a sentence.
        comparison: what was found.
        methods: the methods, in the order of the rows.
        usefulness: what the generated images are worth for training a segmentation network, where that was asked.
    """

    name: str
    kind: str
    about: str
    images: str
    training_fields_independent: float
    held_out_fields_independent: float
    crop_px: tuple[int, int]
    spacing_um: tuple[float, float]
    split: str
    comparison: Comparison
    methods: tuple[MethodRecord, ...]
    usefulness: Usefulness | None = None


class WholeStudy(Record):
    """What every study says of itself.

    Attributes:
        title: heading of the page.
        created: when, ISO 8601.
        morphogen: version of Morphogen.
        recipe: the recipe that was run; its ``seed``, where it has one, also chooses the shown crops.
        command: the command that was typed.
        machine: what it ran on.
        budget: what each method was given, in words, "ten minutes of training".
        seconds_total: time of the whole study.
    """

    title: str
    created: str
    morphogen: str
    recipe: Plain
    command: str
    machine: str
    budget: str
    seconds_total: float

    def to_json(self) -> str:
        """The record as JSON that ``from_json`` turns into an equal record."""
        return json.dumps(plain(self.model_dump()), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The record that ``to_json`` wrote.

        Raises:
            pydantic.ValidationError: the text is no such record.
        """
        return cls.model_validate_json(text)


class StudyRecord(WholeStudy):
    """A whole study of methods.

    Attributes:
        specimens: the specimens.
        notes: what else a reader must know.
    """

    specimens: tuple[SpecimenRecord, ...]
    notes: tuple[str, ...] = ()
