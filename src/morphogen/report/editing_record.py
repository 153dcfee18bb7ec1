"""The records of a study of editors: what was asked of which images, who was trained on what, and what came of it.

``study.json`` holds exactly these records, and the page is drawn from them and the pictures.
"""

import json

from morphogen.evaluation.edits import EditComparison
from morphogen.evaluation.records import Record
from morphogen.report.study_record import MethodRecord, Plain, plain


class EditedSetRecord(Record):
    """Images of one kind, and what editors made of them.

    Attributes:
        name: "rock phantoms".
        kind: kind of specimen.
        about: what they are and where they come from.
        images: name of the folder, or "phantom".
        size_px: height and width of an image.
        spacing_um: height and width of a pixel in micrometres, NaN where unknown.
        comparison: what was found.
        runs: what was trained for it.
    """

    name: str
    kind: str
    about: str
    images: str
    size_px: tuple[int, int]
    spacing_um: tuple[float, float]
    comparison: EditComparison
    runs: tuple[MethodRecord, ...]


class EditingRecord(Record):
    """A whole study of editors.

    Attributes:
        title: heading of the page.
        created: when, ISO 8601.
        morphogen: version of Morphogen.
        recipe: the recipe that was run.
        command: the command that was typed.
        machine: what it ran on.
        budget: what each training was given, in words.
        seconds_total: time of the whole study.
        sets: what was edited.
        notes: what else a reader must know.
    """

    title: str
    created: str
    morphogen: str
    recipe: Plain
    command: str
    machine: str
    budget: str
    seconds_total: float
    sets: tuple[EditedSetRecord, ...]
    notes: tuple[str, ...] = ()

    def to_json(self) -> str:
        """The record as JSON that ``from_json`` turns into an equal record."""
        return json.dumps(plain(self.model_dump()), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "EditingRecord":
        """The record that ``to_json`` wrote.

        Raises:
            pydantic.ValidationError: the text is no such record.
        """
        return cls.model_validate_json(text)
