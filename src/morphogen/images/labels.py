"""Labels that people keep beside their images: tables labels.csv and captions.csv, and folders named by class."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from morphogen.images.conditions import CAPTION
from morphogen.images.endings import is_image, stem_of
from morphogen.images.picture import Label
from morphogen.problems import Problem

LABELS = "labels.csv"
"""A table with a column ``file`` and a column for each label, in the folder of the images, above images/ or above class
folders."""

CAPTIONS = "captions.csv"
"""A table with the columns ``file`` and ``caption``, in the same places; a caption is words, also if it is a number."""

CLASS = "class"
"""Label that the name of a class folder gives to the images in it."""


def labels_of(files: Sequence[Path], folder: Path) -> dict[Path, dict[str, Label]]:
    """The labels that tables give to image files; a file that no table names has none.

    A table names a file with or without its ending, and one above class folders as "fine/0001.png", or as "0001.png"
    where one class alone has a file of that name. What a table in the class folder says goes before that.

    Args:
        files: those wanted; a table may name others beside them.
        folder: the path that they were found at, which may hold class folders.

    Raises:
        Problem: a table that is not one or may not be read, without a column ``file`` (or ``caption``, of captions),
            with two lines for one file, or with a line for no image or for images of several classes.
    """
    folders = list(dict.fromkeys(file.parent for file in files))
    found: dict[Path, dict[str, Label]] = {file: {} for file in files}
    above = [place for place in folders if place.parent == folder and place.name != "images"]
    there_above = [folder / name for name in (LABELS, CAPTIONS) if above and (folder / name).is_file()]
    tables = [(table, _classes(folder)) for table in there_above]
    for place in folders:
        tables += [(table, _images(place)) for table in _tables_beside(place)]
    for table, there in tables:
        for file, labels in _matched(table, _lines(table), there).items():
            if file in found:
                found[file] |= labels
    return found


def _tables_beside(folder: Path) -> list[Path]:
    """The tables of a folder of images; they may also stand above the folder if that is called images."""
    places = [folder, *([folder.parent] if folder.name == "images" else [])]
    beside = (next((p / name for p in places if (p / name).is_file()), None) for name in (LABELS, CAPTIONS))
    return [table for table in beside if table is not None]


def _images(folder: Path) -> dict[str, Path]:
    """All images of a folder, by how a table names them."""
    return {file.name: file for file in sorted(folder.iterdir()) if is_image(file)}


def _classes(folder: Path) -> dict[str, Path]:
    """All images of the class folders in a folder, by how a table names them: "fine/0001.png"."""
    below = [p for p in sorted(folder.iterdir()) if p.is_dir() and p.name != "masks" and not p.name.startswith(".")]
    return {f"{place.name}/{name}": file for place in below for name, file in _images(place).items()}


def _matched(
    table: Path, lines: Mapping[str, dict[str, Label]], there: Mapping[str, Path]
) -> dict[Path, dict[str, Label]]:
    """The lines of a table by the files that they name; the fuller name goes before the shorter one."""
    folders: dict[str, set[Path]] = {}  # that hold a file of that name
    for file in there.values():
        for known in (file.name, stem_of(file)):
            folders.setdefault(known, set()).add(file.parent)
    found: dict[Path, dict[str, Label]] = {}
    used: set[str] = set()
    second: dict[str, str] = {}
    for name, file in there.items():
        without_ending = name.removesuffix(file.name) + stem_of(file)
        names = dict.fromkeys((name, without_ending, file.name, stem_of(file)))
        named = [known for known in names if known in lines]
        for known in named:
            if known not in (name, without_ending) and len(folders[known]) > 1:
                classes = " and ".join(sorted(place.name for place in folders[known])[:2])
                raise Problem(f"{table} has a line for {known}, which is in {classes}", do=f"name it as {name}")
        if named:
            found[file] = lines[named[0]]
            used.add(named[0])
            second |= dict.fromkeys(named[1:], name)
    for known, name in second.items():
        if known not in used:
            raise Problem(f"{table} has two lines for {name}", do="leave one of them out")
    lost = [name for name in lines if name not in used]
    if lost:
        many = f"{len(lost)} lines that name" if len(lost) > 1 else "a line that names"
        raise Problem(f"{table} has {many} no image, the first {lost[0]}", do="mend the name or leave the line out")
    return found


def _lines(table: Path) -> dict[str, dict[str, Label]]:
    """The lines of a table by what is in its column ``file``. What reads as a number is one; an empty field is none."""
    found: dict[str, dict[str, Label]] = {}
    try:
        with open(table, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, skipinitialspace=True, strict=True)
            if "file" not in (reader.fieldnames or ()):
                raise Problem(f"{table} has no column 'file'", do="name the image files in one, with the labels beside")
            if table.name == CAPTIONS and CAPTION not in map(str.strip, reader.fieldnames or ()):
                raise Problem(f"{table} has no column '{CAPTION}'", do="say in one what each image shows")
            for line in reader:
                name = (line.pop("file") or "").strip().replace("\\", "/")
                if None in line or None in line.values():
                    raise Problem(f"{table}, line {reader.line_num}: not as many fields as columns", do="mend it")
                if name in found:
                    raise Problem(f"{table} has two lines for {name}", do="leave one of them out")
                named = {key.strip(): value.strip() for key, value in line.items() if value.strip()}
                found[name] = {key: value if key == CAPTION else _label(value) for key, value in named.items()}
    except (csv.Error, UnicodeDecodeError) as error:
        raise Problem(f"{table} is not a table of comma-separated values ({error})", do="mend it") from None
    except OSError as error:
        raise Problem(f"{table} cannot be read ({error.strerror})", do="ask for the right to read it") from None
    return found


def _label(text: str) -> Label:
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text
