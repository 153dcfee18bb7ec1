"""Images: make phantoms, describe, split and segment sets."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from morphogen.command_line import command_line
from morphogen.commands.options import (
    SIZE,
    as_number,
    name_value_pairs,
    only_number,
    read_set,
    reading_options,
    text_encoder_option,
)
from morphogen.problems import Problem

if TYPE_CHECKING:
    from morphogen.images.triples import ReadTriples


@click.command()
@click.argument("kind", metavar="KIND")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="New folder for the images.")
@click.option("-n", "--count", type=click.IntRange(min=1), default=8, show_default=True, help="Number of specimens.")
@click.option("--size", type=SIZE, default=(256, 256), show_default=True, help="Height and width in pixels.")
@click.option("--depth", type=click.IntRange(min=16), metavar="VOXELS",
              help="Make volumes of so many slices, of a kind that has depth.")  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Same seed, same images.")
@click.option("--bits", type=click.Choice(["8", "16"]), default="8", show_default=True, help="Bits a pixel.")
@click.option(
    "-p",
    "--set",
    "given",
    multiple=True,
    metavar="NAME=NUMBER",
    help="A parameter of the phantom, as 'porosity=0.3'; 'morphogen phantom KIND --list' shows them.",
)
@click.option(
    "--same",
    is_flag=True,
    help="Keep the parameters that are not given at their defaults, instead of"
    " letting specimens differ as real ones do.",
)
@click.option("--labels", is_flag=True, help="Draw the exact mask as the image, black and white.")
@click.option("--instrument", metavar="NAME",
              help="What the phantoms are seen through: camera (as by default), tomograph, scanner or"
              " electron_microscope; volumes through camera or tomograph.")  # fmt: skip
@click.option("--instrument-set", "of_instrument", multiple=True, metavar="NAME=NUMBER",
              help="A setting of the instrument, as 'photons=20000'; --list shows them.")  # fmt: skip
@click.option(
    "--list", "listing", is_flag=True, help="Show the parameters of KIND, and those of --instrument, and leave."
)
def phantom(kind: str, out: Path | None, count: int, size: tuple[int, int], depth: int | None, seed: int, bits: str,
            given: tuple[str, ...], same: bool, labels: bool, instrument: str | None, of_instrument: tuple[str, ...],
            listing: bool) -> None:  # fmt: skip
    """Make images whose answer is known: KIND is rock, fiber, root or root_system.

    Kinds that have depth too are grain_pack and gaussian_rock; fiber_bundle, weave and strands; root_system.

    Writes images/, the exact masks/ and captions with all parameters into a new folder; of volumes also labels/ (each
    material by its number), geometry/ and parameters.json.
    """
    from morphogen.images.folders import write_images
    from morphogen.phantoms.instruments.instrument import instrument as instrument_of
    from morphogen.phantoms.phantom import image_set, phantoms
    from morphogen.phantoms.volumes import volumes, write_volumes
    from morphogen.whole_files import require_free_folder

    if listing:
        _list_parameters(kind, instrument)
        return
    if out is None:
        raise Problem("it is not said where to write the phantoms", do="name a new folder with --out")
    if labels and instrument is not None:
        raise Problem("exact masks are seen through no instrument", do="leave out --labels or --instrument")
    require_free_folder(out, "the phantoms")
    parameters = {name: as_number(name, value) for name, value in name_value_pairs(given)}
    dtype: Literal["uint8", "uint16"] = "uint8" if bits == "8" else "uint16"
    settings = {name: as_number(name, value) for name, value in name_value_pairs(of_instrument)}
    seen_by = instrument_of(instrument or "camera", settings)
    if depth is not None:
        drawn = volumes(
            kind, count=count, shape=(depth, *size), seed=seed, vary=not same, dtype=dtype, camera=seen_by,
            parameters=parameters,
        )  # fmt: skip
        click.echo(f"{count} volumes in {out}, the first: {write_volumes(drawn, out, masks_only=labels)}")
        return
    made = phantoms(
        kind, count=count, size=size, seed=seed, vary=not same, dtype=dtype, camera=seen_by, parameters=parameters
    )
    write_images(image_set(made, labels=labels), out)
    click.echo(f"{count} phantoms in {out}, the first: {made[0].caption}")


@click.command()
@click.argument("kind", metavar="KIND")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="New folder for the triples.")
@click.option("-n", "--count", type=click.IntRange(min=1), default=200, show_default=True, help="Number of triples.")
@click.option("--size", type=SIZE, default=(96, 96), show_default=True, help="Height and width in pixels.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Same seed, same triples.")
@click.option("--bits", type=click.Choice(["8", "16"]), default="8", show_default=True, help="Bits a pixel.")
@click.option("--edit", "names", multiple=True, metavar="NAME", help="Only this edit, as --list names it; repeatable.")
@click.option("--list", "listing", is_flag=True, help="Show the edits of KIND with an order each, and leave.")
@click.option("--from", "run", type=click.Path(path_type=Path), metavar="RUN",
              help="Let a run that reads captions draw the images, by prompt-to-prompt between both captions of --count"
              " pairs of phantoms, and keep what passes --clip. Sizes and bits are the run's.")  # fmt: skip
@click.option("--clip", type=click.Path(path_type=Path), metavar="FOLDER", help="With --from: the CLIP that filters.")
@text_encoder_option
@click.option("--tries", type=click.IntRange(min=1), default=16, show_default=True,
              help="With --from: images that are drawn for a pair of captions.")  # fmt: skip
@click.option("--least", type=click.Tuple([float, float, float]), default=(0.2, 0.75, 0.2), show_default=True,
              metavar="DIRECTION IMAGE CAPTION",
              help="With --from: least cosines of the change of the image with that of the caption, of both images, and"
              " of each image with its caption.")  # fmt: skip
def triples(kind: str, out: Path | None, count: int, size: tuple[int, int], seed: int, bits: str,
            names: tuple[str, ...], listing: bool, run: Path | None, clip: Path | None,
            text_encoder: Path | None, tries: int, least: tuple[float, float, float]) -> None:  # fmt: skip
    """Make phantoms before and after an order in words: KIND is rock, fiber or root.

    Both images of a pair have one seed: what the order does not name stays where it is, as far as the geometry allows.
    Writes before/ and after/ with their exact masks, changed/ (where the masks differ), labels.csv (instruction, both
    captions, and the reading that had to move with its value before and after), and parameters.json. 'morphogen train
    instruct_pix2pix' learns from the folder.
    """
    from morphogen.instructions.triples import known_triples, write_triples
    from morphogen.phantoms.edits import changes_of, sentences
    from morphogen.whole_files import require_free_folder

    if listing:
        for change in changes_of(kind):
            moves = f"{change.reading} {'rises' if change.direction > 0 else 'falls'}"
            click.echo(f"{change.name:<24} {moves:<34} '{next(sentences(change))[0]}'")
        return
    if out is None:
        raise Problem("it is not said where to write the triples", do="name a new folder with --out")
    require_free_folder(out, "the triples")
    if (run is None) != (clip is None):
        raise Problem("a run draws the images and a CLIP filters them, and one is missing", do="give --from and --clip")
    if run is not None and clip is not None:
        found = _prompted(kind, run, clip, text_encoder, count, names, tries, least, seed)
        write_triples(found, out)
        click.echo(f"{len(found.after)} triples of {tries * count} pairs passed the filter: {out}")
        return
    made = known_triples(
        kind, count=count, seed=seed, names=names, size=size, dtype="uint8" if bits == "8" else "uint16"
    )
    write_triples(made, out)
    click.echo(f"{count} triples in {out}, the first: {made[0].triple.instruction}")


def _prompted(
    kind: str, run: Path, clip: Path, text_encoder: Path | None, count: int, names: tuple[str, ...], tries: int,
    least: tuple[float, float, float], seed: int,
) -> "ReadTriples":  # fmt: skip
    """Triples that a run draws and a CLIP filters."""
    from morphogen.instructions.prompted_triples import Filter, caption_pairs, prompted_triples
    from morphogen.training.image_text import open_image_text

    pairs = caption_pairs(kind, count, seed, names)
    # A CLIP of others reads by an encoder of its own.
    judge = open_image_text(clip, text_encoder if (clip / "run.json").exists() else None)
    return prompted_triples(run, judge, pairs, tries=tries, filter=Filter(*least), seed=seed, text_encoder=text_encoder)


def _list_parameters(kind: str, instrument: str | None) -> None:
    from morphogen.phantoms.instruments.instrument import settings_of
    from morphogen.phantoms.phantom import parameters_of

    listed = [*parameters_of(kind), *(settings_of(instrument) if instrument is not None else ())]
    for p in listed:
        default = "chosen to suit" if p.default is None else f"{p.default:g}"
        click.echo(f"{p.name:<22} {p.low:g} to {p.high:g}, by default {default}: {p.description}")


@click.command()
@click.argument("images", type=click.Path(path_type=Path))
@click.argument("against", type=click.Path(path_type=Path), required=False)
@click.option(
    "--specimen",
    "--kind",
    "specimen",
    metavar="KIND",
    help="rock, fiber, root or a kind of your own: reads its descriptors; without it those of the texture.",
)
@click.option(
    "--crop", type=SIZE, help="Height and width of a field; 64 64 by default, or what the images have room for."
)
@click.option(
    "--segmentation",
    metavar="HOW",
    help="How the phase of KIND is told; by default from masks, where all images have one, or as KIND says.",
)
@click.option("-o", "--out", type=click.Path(path_type=Path), help="New folder for the card as a page and as JSON.")
@click.option("--sheet", type=click.Path(path_type=Path), help="Write a contact sheet to this PNG file.")
@reading_options  # fmt: skip
def describe(images: Path, against: Path | None, specimen: str | None, crop: tuple[int, int] | None,
             segmentation: str | None, out: Path | None, sheet: Path | None, **reading: Any) -> None:  # fmt: skip
    """Say what is in IMAGES (a folder, a volume or an image), what is wrong with it, and what is sensible.

    Counts, sizes, types, pixel size, specimens, grey levels, descriptors with their spread, how far structures reach
    and how much is really independent; duplicates, also shifted or turned, empty and clipped images, stripes and rings.
    And from that: which crop, which method, how much training.

    With AGAINST, a second set, also whether both have something in common. A folder that 'split' made is described as
    its training/ against its held_out/.
    """
    from morphogen.report.card_page import write_card_page
    from morphogen.report.card_terminal import print_card
    from morphogen.report.describe import describe as describe_images
    from morphogen.report.figures import write_contact_sheet
    from morphogen.whole_files import require_free_folder, require_writable_file

    if sheet is not None:
        require_writable_file(sheet)
    if out is not None:
        require_free_folder(out, "the page")
    if against is None and (images / "training").is_dir() and (images / "held_out").is_dir():
        images, against = images / "training", images / "held_out"
    pictures = read_set(images, reading)
    other = read_set(against, reading) if against is not None else None
    card = describe_images(pictures, specimen=specimen, crop=crop, segmentation=segmentation, against=other)
    print_card(card)
    if out is not None:
        click.echo(f"Page: {write_card_page(card, pictures, out, against=other, command=command_line())}")
    if sheet is not None:
        write_contact_sheet(pictures, sheet)
        click.echo(f"Contact sheet: {sheet}")


@click.command()
@click.argument("images", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="New folder.")
@click.option(
    "--crop",
    type=SIZE,
    default=(64, 64),
    show_default=True,
    help="Height and width of the crops to be taken later: regions of one specimen lie as far apart.",
)
@click.option(
    "--held-out",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.3,
    show_default=True,
    help="Share of the area that no method is to see.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Chooses the specimens.")
@reading_options  # fmt: skip
def split(images: Path, out: Path, crop: tuple[int, int], held_out: float, seed: int, **reading: Any) -> None:
    """Split IMAGES into training/ and held_out/, by specimen and never by slice.

    One specimen alone is cut into regions with a gap as wide as a crop between them. Train on the one part,
    evaluate against the other.
    """
    from morphogen.images.folders import write_images
    from morphogen.whole_files import require_free_folder

    require_free_folder(out, "the two parts")
    pictures = read_set(
        images, reading
    )  # before what takes seconds to import: a file that cannot be read is told at once
    from morphogen.images.splitting import split as split_images

    parts = split_images(pictures, crop=crop, held_out=held_out, seed=seed)
    write_images(parts.training, out / "training")
    write_images(parts.held_out, out / "held_out")
    click.echo(f"{out / 'training'} and {out / 'held_out'}, {parts.how}")


@click.command()
@click.argument("images", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="New folder.")
@click.option("--specimen", default="rock", show_default=True, metavar="KIND", help="rock, fiber or root.")
@click.option("--segmentation", metavar="HOW", help="How the phase is told; by default as KIND says.")
@reading_options  # fmt: skip
def segment(images: Path, out: Path, specimen: str, segmentation: str | None, **reading: Any) -> None:
    """Write IMAGES with masks of their phase of interest, as a classical segmentation finds it.

    For 'train --with-masks' and '--condition porosity', where nobody drew masks. Look at the masks.
    """
    from morphogen.images.folders import write_images
    from morphogen.whole_files import require_free_folder

    require_free_folder(out, "images and masks")
    pictures = read_set(images, reading)  # before what takes seconds to import
    from morphogen.evaluation.segment import segment as with_masks

    masked, found = with_masks(pictures, specimen=specimen, segmentation=segmentation)
    write_images(masked, out)
    click.echo(f"{len(masked)} images with masks in {out}: pixels {found.words}")


@click.command()
@click.argument("images", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="New folder for the files.")
@click.option("--number", type=click.IntRange(min=0), metavar="K", help="Only image K of the set, counted from 0.")
@click.option("--as-stored", is_flag=True, help="Keep the type of the pixels, 8 bit, 16 bit or float.")
@click.option("--as-stack", is_flag=True, help="One file with all images as its slices.")
@reading_options
def tiff(images: Path, out: Path, number: int | None, as_stored: bool, as_stack: bool, **reading: Any) -> None:
    """Write IMAGES as 16 bit TIFF files with their pixel size, as ImageJ reads it.

    8 bit levels are multiplied by 257; levels that are no whole numbers are mapped linearly to 16 bit. Each file says
    how, and so does manifest.json.
    """
    from morphogen.images.sixteen_bit import tiff as write_tiff
    from morphogen.whole_files import require_free_folder

    require_free_folder(out, "the files")
    pictures = only_number(number, read_set(images, reading), images)
    write_tiff(pictures, out, as_stored=as_stored, as_stack=as_stack)
    click.echo(f"{len(pictures)} images of {pictures[0].size[0]} x {pictures[0].size[1]} in {out}")
