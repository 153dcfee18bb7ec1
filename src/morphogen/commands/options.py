"""Options that several commands share, and how what was typed is read."""

import importlib.util
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from morphogen.problems import Problem

if TYPE_CHECKING:
    from morphogen.images.image_set import Pictures
    from morphogen.pretrained.clip import PretrainedClip
    from morphogen.training.image_text import ClipRun

SIZE = click.Tuple([click.IntRange(min=1), click.IntRange(min=1)])


def reading_options(command: Callable[..., None]) -> Callable[..., None]:
    """Options of every command that reads images."""
    for option in (
        click.option("--grey", is_flag=True, help="Take the luminance of colour images."),
        click.option("--shrink", type=click.IntRange(min=1), default=1, show_default=True,
                     help="Make images smaller by this whole factor (mean over squares of pixels)."),
        click.option("--specimen-pattern", metavar="REGEX",
                     help="Finds the specimen's name in the file name, as '^(T[0-9]+)'. Without it every file"
                          " is a specimen of its own."),
        click.option("--pixel-size", "pixel_size_um", type=float, metavar="UM",
                     help="Pixel size in micrometres, where the files don't say it."),
        click.option("--axis", type=click.IntRange(0, 2), default=0, show_default=True,
                     help="Axis along which a volume is cut into slices."),
        click.option("--files", default="*", metavar="GLOB", help="Only files whose names match, as 'slice_*.tif'."),
    ):  # fmt: skip
        command = option(command)
    return command


def serving_options(port: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Where a server listens, and what its addresses begin with: options of every command that serves.

    Args:
        port: where it listens unless it is told.
    """

    def options(command: Callable[..., None]) -> Callable[..., None]:
        for option in (
            click.option("--token", default="", metavar="TEXT",
                         help="What every address begins with; needed for any but loopback. 16 letters or more."),
            click.option("--port", type=click.IntRange(0, 65535), default=port, show_default=True,
                         help="0 for any that is free."),
            click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at."),
        ):  # fmt: skip
            command = option(command)
        return command

    return options


def require_libraries(what: str, *names: str) -> None:
    """Refuse what needs libraries of the extra "review" where they are not installed.

    Raises:
        Problem: one of them is missing.
    """
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise Problem(f"{what} needs {' and '.join(missing)}", do="pip install 'morphogen[review]'")


text_encoder_option = click.option(
    "--text-encoder",
    type=click.Path(path_type=Path),
    help="Folder of the run's text encoder, where that is no longer where it was.",
)
"""Option of every command that opens a run which reads captions."""


def open_clips(folders: Iterable[Path], text_encoder: Path | None) -> "list[ClipRun | PretrainedClip]":
    """The CLIPs in folders; the text encoder is for those that are runs."""
    from morphogen.training.image_text import open_image_text

    runs = {folder: (folder / "run.json").exists() for folder in folders}
    if text_encoder is not None and not any(runs.values()):
        raise Problem("a text encoder is given, and no run of 'train clip' that reads by it", do="leave it out")
    return [open_image_text(folder, text_encoder if is_run else None) for folder, is_run in runs.items()]


READING = ("grey", "shrink", "specimen_pattern", "pixel_size_um", "axis", "files")
OF_SOURCES = ("grey", "shrink", "axis")
"""Reading options that the images to train on share with the sources: those that make both sets of one kind. How files
are called and how large their pixels are, each set has of its own."""


def read_set(path: Path, reading: dict[str, Any]) -> "Pictures":
    """The images at a path, by the reading options."""
    from morphogen.images.folders import read_images

    return read_images(path, **reading)


def only_number(number: int | None, images: "Pictures", path: Path) -> "Pictures":
    """One image of a set, as a set; all where none is named."""
    from morphogen.images.image_set import Pictures

    if number is None:
        return images
    if number >= len(images):
        raise Problem(f"{path} has {len(images)} images and no number {number}", do="choose a smaller one")
    return Pictures([images[number]], images.name)


def given_options(names: Iterable[str]) -> str:
    """Which of these parameters were typed rather than left at their defaults, as "--count, --ask"."""
    ctx = click.get_current_context()
    options = {option.name: max(option.opts, key=len) for option in ctx.command.params}
    return ", ".join(options[name] for name in names if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT)


def tell_of(images: "Pictures", out: Path, sheet: Path | None) -> None:
    """Say what was made, and write a contact sheet where one is wanted."""
    click.echo(f"{len(images)} images of {images[0].size[0]} x {images[0].size[1]} in {out}")
    if sheet is not None:
        from morphogen.report.figures import write_contact_sheet

        write_contact_sheet(images, sheet)
        click.echo(f"Contact sheet: {sheet}")


def is_main_process() -> bool:
    """Whether this process is the one that talks, of those that train together."""
    return os.environ.get("RANK", "0") == "0"


def wishes_of(asked: tuple[str, ...], caption: str | None = None) -> "dict[str, float | str | tuple[float, float]]":
    """What is asked of images, by name; a caption is a text, whatever it looks like."""
    wishes = {name: _wish(value) for name, value in name_value_pairs(asked, underscores=False)}
    if caption is not None:
        if "caption" in wishes:
            raise Problem("the caption is given twice, and asked for", do="give it once")
        wishes["caption"] = caption
    return wishes


def _wish(value: str) -> "float | str | tuple[float, float]":
    """A number, two ends of a range, or a word."""
    low, dots, high = value.partition("..")
    try:
        return (float(low), float(high)) if dots else float(value)
    except ValueError:
        return value


def name_value_pairs(given: tuple[str, ...], underscores: bool = True) -> list[tuple[str, str]]:
    """What was typed as NAME=VALUE, each name once."""
    pairs: list[tuple[str, str]] = []
    for item in given:
        name, equals, value = item.partition("=")
        if not equals or not name or not value:
            raise Problem(f"'{item}' is not of the form NAME=VALUE", do="write it like 'batch_size=16'")
        name = name.strip().replace("-", "_") if underscores else name.strip()
        if name in dict(pairs):
            raise Problem(f"'{name}' is given twice", do="give it once")
        pairs.append((name, value.strip()))
    return pairs


def as_number(name: str, value: str) -> float:
    """A value that has to be a number."""
    try:
        return float(value)
    except ValueError:
        raise Problem(f"{name} is '{value}'", do="give a number") from None
