"""The records of a study of editors: what was asked of which images, who was trained on what, and what came of it.

``study.json`` holds exactly these records, and the page is drawn from them and the pictures.
"""

from morphogen.evaluation.edits import EditComparison
from morphogen.evaluation.records import Record
from morphogen.report.study_record import MethodRecord, WholeStudy


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


class EditingRecord(WholeStudy):
    """A whole study of editors.

    Attributes:
        sets: what was edited.
        notes: what else a reader must know.
    """

    sets: tuple[EditedSetRecord, ...]
    notes: tuple[str, ...] = ()
