"""Labels that people keep beside their images: a table labels.csv, and folders named by class."""

import csv
import math
from pathlib import Path

from morphogen.images.picture import Label
from morphogen.problems import Problem

LABELS = "labels.csv"
"""A table with a column ``file`` and a column for each label, in the folder of the images or above images/."""

CLASS = "class"
"""Label that the name of a class folder gives to the images in it."""


def labels_beside(folder: Path) -> dict[str, dict[str, Label]]:
    """The labels of each file in a folder, by the file's name; none where there is no table.

    What reads as a number is one, all else is a word, and an empty field says nothing.

    Args:
        folder: where the images are; the table may also stand above it if it is called images.

    Raises:
        Problem: a table that is not one, without a column ``file``, or with two lines for one file.
    """
    places = [folder / LABELS, *([folder.parent / LABELS] if folder.name == "images" else [])]
    table = next((place for place in places if place.is_file()), None)
    if table is None:
        return {}
    found: dict[str, dict[str, Label]] = {}
    try:
        with open(table, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, skipinitialspace=True, strict=True)
            if "file" not in (reader.fieldnames or ()):
                raise Problem(f"{table} has no column 'file'", do="name the image files in one, with the labels beside")
            for line in reader:
                name = (line.pop("file") or "").strip()
                if None in line or None in line.values():
                    raise Problem(f"{table}, line {reader.line_num}: not as many fields as columns", do="mend it")
                if name in found:
                    raise Problem(f"{table} has two lines for {name}", do="leave one of them out")
                found[name] = {key.strip(): _label(value) for key, value in line.items() if value.strip()}
    except (csv.Error, UnicodeDecodeError) as error:
        raise Problem(f"{table} is not a table of comma-separated values ({error})", do="mend it") from None
    return found


def _label(text: str) -> Label:
    try:
        number = float(text)
    except ValueError:
        return text.strip()
    return number if math.isfinite(number) else text.strip()
