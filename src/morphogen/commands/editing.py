"""Editing measured images, and the editors there are."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from morphogen.commands.options import (
    as_number,
    name_value_pairs,
    only_number,
    read_set,
    reading_options,
    tell_of,
    wishes_of,
)
from morphogen.problems import Problem

if TYPE_CHECKING:
    from morphogen.images.image_set import Pictures


@click.command()
@click.argument("editor", metavar="EDITOR")
@click.argument("images", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="New folder for the edits.")
@click.option("--model", type=click.Path(path_type=Path), help="Folder of the editor's model, as of a run.")
@click.option("--caption", metavar="TEXT", help="What the edited image is to show.")
@click.option("--before", metavar="TEXT", help="What the image shows now.")
@click.option("--words", metavar="TEXT", help="What is to be done: 'make the pores larger'.")
@click.option(
    "--mask",
    metavar="masks|FOLDER",
    help="Where an image may change: its own mask, or the one of its name in a folder, white where it may. One file is"
    " for all images.",
)
@click.option(
    "--emphasis",
    multiple=True,
    metavar="WORD=WEIGHT",
    help="Weight of a word of the caption, 1 as it is: 'pores=1.5'. May be repeated.",
)
@click.option(
    "--ask",
    "asked",
    multiple=True,
    metavar="NAME=VALUE",
    help="Of a conditioned run: 'porosity=0.3', or 'porosity=0.1..0.3' to go through the images evenly. May be"
    " repeated.",
)
@click.option(
    "-p",
    "--set",
    "given",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting of the editor, as 'strength=0.6'; 'morphogen editors EDITOR' shows them.",
)
@click.option("--number", type=click.IntRange(min=0), metavar="K", help="Only image K of the set, counted from 0.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Same seed, same edits.")
@click.option(
    "--batch-size", type=click.IntRange(min=1), default=8, show_default=True, help="Images at a time: memory, speed."
)
@click.option(
    "--format", "extension", metavar="ENDING", help="As .tif or .nrrd. [default: that of each image; of a JPEG .png]"
)
@click.option("--cpu", is_flag=True, help="Stay on the CPU even where there is a GPU.")
@click.option(
    "--sheet",
    type=click.Path(path_type=Path),
    metavar="PNG",
    help="Write the picture of the edits here. [default: edits.png in --out]",
)
@reading_options  # fmt: skip
def edit(editor: str, images: Path, out: Path, model: Path | None, caption: str | None, before: str | None,
         words: str | None, mask: str | None, emphasis: tuple[str, ...], asked: tuple[str, ...],
         given: tuple[str, ...], number: int | None, seed: int, batch_size: int, extension: str | None, cpu: bool,
         sheet: Path | None, **reading: Any) -> None:  # fmt: skip
    """Change IMAGES with EDITOR as they are asked to be; 'morphogen editors' lists the editors.

    Writes the images in the format, bit depth, grey scale and pixel size that they had; regions/, white where each was
    to change (everything else is as it was, to the bit); maps/, where the editor has any; edits.jsonl, what was asked
    of each; and a picture of the first: before, after, difference, region.
    """
    import yaml

    from morphogen.editing.edit import edit as edit_images
    from morphogen.editing.editor import Instruction, editor_settings
    from morphogen.generation.generate import asked_of
    from morphogen.report.edit_figure import write_edits
    from morphogen.whole_files import require_free_folder, require_writable_file

    for name, text in (("caption", caption), ("before", before), ("words", words)):
        if text is not None and not text.strip():
            raise Problem(f"--{name} is empty", do="say something, or leave it out")
    settings = {name: yaml.safe_load(value) for name, value in name_value_pairs(given)}
    editor_settings(editor, settings)
    require_free_folder(out, "the edits")
    if sheet is not None:
        require_writable_file(sheet, made=out)
    weights = {word: as_number(f"the weight of '{word}'", value)
               for word, value in name_value_pairs(emphasis, underscores=False)}  # fmt: skip
    wishes, pictures = wishes_of(asked), only_number(number, read_set(images, reading), images)
    instructions = [
        Instruction(caption=caption or "", before=before or "", words=words or "", emphasis=weights,
                    asked=asked_of(wishes, k, len(pictures)))
        for k in range(len(pictures))
    ]  # fmt: skip
    found = edit_images(editor, pictures, instructions, model=model, masks=_masks(mask, reading), settings=settings,
                        seed=seed, batch_size=batch_size, folder=out, extension=extension, cpu=cpu)  # fmt: skip
    tell_of(found.pictures, out, None)
    picture = sheet or out / "edits.png"
    end = write_edits([e.source for e in found.each], [e.picture for e in found.each], found.regions, picture)
    click.echo(f"Picture: {picture} (differences from {-end:g}, black, to {end:g} grey levels, white)")


def _masks(given: str | None, reading: dict[str, Any]) -> 'Literal["masks"] | Pictures | None':
    """Where images may change; a folder called masks is ./masks."""
    if given is None or given == "masks":
        return "masks" if given else None
    from morphogen.images.folders import read_images

    return read_images(Path(given), shrink=reading["shrink"], axis=reading["axis"])


@click.command()
@click.argument("editor", required=False)
def editors(editor: str | None) -> None:
    """List the editors, or what EDITOR takes and its settings."""
    from morphogen.editing.editor import DEMANDS, editor_class, editor_names, editor_settings_kind

    if editor is None:
        for name in editor_names():
            click.echo(f"{name:<16} {editor_class(name).title}")
        return
    kind = editor_class(editor)
    click.echo(f"{kind.title}; its model: {kind.model or 'none'}")
    for part in sorted(kind.takes):
        click.echo(f"--{OPTIONS[part]:<18} {DEMANDS[part]}{' (needed)' if part in kind.needs else ''}")
    for name, field in editor_settings_kind(editor).model_fields.items():
        default = "needed" if field.is_required() else f"by default {field.default!r}"
        click.echo(f"-p {name + '=...':<17} {default}: {field.description or ''}")


OPTIONS = {
    "caption": "caption", "before": "before", "words": "words", "mask": "mask", "emphasis": "emphasis", "asked": "ask",
}  # fmt: skip
"""The option of each part of an instruction."""
