"""The command line. Every command that makes something is a plain Python call, ``morphogen.NAME``.

It has the name of the command, except ``make_phantoms``, ``asked_and_given`` and ``audit_metrics``; ``translate`` is
what ``generate --sources`` calls. Nothing heavy is imported before a command runs, so that ``--help`` answers at once.
"""

import errno
import os
import sys
import traceback
from collections.abc import Callable, Iterable
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
from click.core import ParameterSource

import morphogen
from morphogen.problems import Problem

if TYPE_CHECKING:
    from morphogen.generation.latent_space import Space
    from morphogen.images.image_set import Pictures

_SIZE = click.Tuple([click.IntRange(min=1), click.IntRange(min=1)])


class _Commands(click.Group):
    """Commands in the order of the work, not of the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


def _reading(command: Callable[..., None]) -> Callable[..., None]:
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
                     help="Axis along which a TIFF volume is cut into slices."),
        click.option("--files", default="*", metavar="GLOB", help="Only files whose names match, as 'slice_*.tif'."),
    ):  # fmt: skip
        command = option(command)
    return command


_READING = ("grey", "shrink", "specimen_pattern", "pixel_size_um", "axis", "files")
_OF_SOURCES = ("grey", "shrink", "axis")
"""Reading options that the images to train on share with the sources: those that make both sets of one kind. How files
are called and how large their pixels are, each set has of its own."""


def _read(path: Path, reading: dict[str, Any]) -> "Pictures":
    from morphogen.images.folders import read_images

    return read_images(path, **reading)


def _given(names: Iterable[str]) -> str:
    """Which of these parameters were typed rather than left at their defaults, as "--count, --ask"."""
    ctx = click.get_current_context()
    options = {option.name: max(option.opts, key=len) for option in ctx.command.params}
    return ", ".join(options[name] for name in names if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(morphogen.__version__, prog_name="morphogen")
def cli() -> None:
    """Synthetic images of rocks, composites and roots that a scientist can defend.

    Measured images in; a VAE, a GAN or a diffusion model trained on them; images generated; and evidence
    out: how far they are from the measured ones, in units of how far measured ones are from each other.
    """


@cli.command()
@click.argument("kind", metavar="KIND")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="New folder for the images.")
@click.option("-n", "--count", type=click.IntRange(min=1), default=8, show_default=True, help="Number of specimens.")
@click.option("--size", type=_SIZE, default=(256, 256), show_default=True, help="Height and width in pixels.")
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
@click.option("--list", "listing", is_flag=True, is_eager=True, expose_value=False,
              callback=lambda ctx, _, wanted: _list_parameters(ctx) if wanted else None,
              help="Show the parameters of KIND and leave.")  # fmt: skip
def phantom(kind: str, out: Path, count: int, size: tuple[int, int], seed: int, bits: str, given: tuple[str, ...],
            same: bool, labels: bool) -> None:  # fmt: skip
    """Make images whose answer is known: KIND is rock, fiber or root.

    Writes images/, the exact masks/ and captions with all parameters into a new folder.
    """
    from morphogen.images.folders import write_images
    from morphogen.phantoms.phantom import image_set, phantoms
    from morphogen.whole_files import require_free_folder

    require_free_folder(out, "the phantoms")
    parameters = {name: _number(name, value) for name, value in _pairs(given)}
    made = phantoms(
        kind, count=count, size=size, seed=seed, vary=not same, dtype="uint8" if bits == "8" else "uint16",
        parameters=parameters,
    )  # fmt: skip
    write_images(image_set(made, labels=labels), out)
    click.echo(f"{count} phantoms in {out}, the first: {made[0].caption}")


def _list_parameters(ctx: click.Context) -> None:
    from morphogen.phantoms.phantom import parameters_of

    kind = ctx.params.get("kind") or next((a for a in sys.argv[2:] if not a.startswith("-")), "")
    for p in _guarded(lambda: parameters_of(kind)):
        default = "chosen to suit" if p.default is None else f"{p.default:g}"
        click.echo(f"{p.name:<22} {p.low:g} to {p.high:g}, by default {default}: {p.description}")
    ctx.exit()


@cli.command()
@click.argument("images", type=click.Path(path_type=Path))
@click.option("--specimen", default="rock", show_default=True, metavar="KIND", help="rock, fiber or root.")
@click.option("--crop", type=_SIZE, default=(64, 64), show_default=True, help="Height and width of a field.")
@click.option("--segmentation", metavar="HOW", help="How the phase is told; by default as KIND says.")
@click.option("--sheet", type=click.Path(path_type=Path), help="Write a contact sheet to this PNG file.")
@_reading
def describe(images: Path, specimen: str, crop: tuple[int, int], segmentation: str | None, sheet: Path | None,
             **reading: Any) -> None:  # fmt: skip
    """Say what is in IMAGES (a folder, a TIFF volume or an image).

    Counts, sizes, types, pixel size, specimens, grey levels, first descriptors with their spread, and how
    many independent fields of view there really are.
    """
    from morphogen.report.describe import describe as describe_images
    from morphogen.report.describe import print_card
    from morphogen.report.figures import write_contact_sheet
    from morphogen.whole_files import require_writable_file

    if sheet is not None:
        require_writable_file(sheet)
    pictures = _read(images, reading)
    print_card(describe_images(pictures, specimen=specimen, crop=crop, segmentation=segmentation))
    if sheet is not None:
        write_contact_sheet(pictures, sheet)
        click.echo(f"Contact sheet: {sheet}")


@cli.command()
@click.argument("images", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="New folder.")
@click.option(
    "--crop",
    type=_SIZE,
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
@_reading  # fmt: skip
def split(images: Path, out: Path, crop: tuple[int, int], held_out: float, seed: int, **reading: Any) -> None:
    """Split IMAGES into training/ and held_out/, by specimen and never by slice.

    One specimen alone is cut into regions with a gap as wide as a crop between them. Train on the one part,
    evaluate against the other.
    """
    from morphogen.images.folders import write_images
    from morphogen.images.splitting import split as split_images
    from morphogen.whole_files import require_free_folder

    require_free_folder(out, "the two parts")
    parts = split_images(_read(images, reading), crop=crop, held_out=held_out, seed=seed)
    write_images(parts.training, out / "training")
    write_images(parts.held_out, out / "held_out")
    click.echo(f"{out / 'training'} and {out / 'held_out'}, {parts.how}")


@cli.command()
@click.argument("images", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="New folder.")
@click.option("--specimen", default="rock", show_default=True, metavar="KIND", help="rock, fiber or root.")
@click.option("--segmentation", metavar="HOW", help="How the phase is told; by default as KIND says.")
@_reading  # fmt: skip
def segment(images: Path, out: Path, specimen: str, segmentation: str | None, **reading: Any) -> None:
    """Write IMAGES with masks of their phase of interest, as a classical segmentation finds it.

    For 'train --with-masks' and '--condition porosity', where nobody drew masks. Look at the masks.
    """
    from morphogen.evaluation.segment import segment as with_masks
    from morphogen.images.folders import write_images
    from morphogen.whole_files import require_free_folder

    require_free_folder(out, "images and masks")
    masked, found = with_masks(_read(images, reading), specimen=specimen, segmentation=segmentation)
    write_images(masked, out)
    click.echo(f"{len(masked)} images with masks in {out}: pixels {found.words}")


@cli.command()
@click.argument("method", metavar="METHOD")
@click.argument("images", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Run folder; by default runs/METHOD, numbered.")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="Budget in seconds. [default: 600]")
@click.option("--images-seen", type=click.IntRange(min=1), help="Budget in training images seen, instead of seconds.")
@click.option(
    "--crop",
    type=_SIZE,
    default=(64, 64),
    show_default=True,
    help="Height and width of the crops to train on, and so of the images to generate.",
)
@click.option("--specimen", metavar="KIND", help="rock, fiber or root: allows the flips and turns of that kind.")
@click.option(
    "--symmetry",
    "symmetries",
    multiple=True,
    type=click.Choice(["flip_horizontal", "flip_vertical", "quarter_turn"]),
    help="What may be done to an image so that it still is one of this kind. May be repeated.",
)
@click.option(
    "-p",
    "--set",
    "given",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting of the method, as 'batch_size=16' or 'channels=[32,64]'; 'morphogen methods METHOD' shows them.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Same seed, same run.")
@click.option(
    "--clip-percent",
    type=click.FloatRange(0, 50, max_open=True),
    default=0.0,
    show_default=True,
    help="Share of extreme pixels at each end that the intensity map may cut.",
)
@click.option("--with-masks", is_flag=True, help="Train on image and mask together, and so generate both in register.")
@click.option(
    "--condition",
    "conditions",
    multiple=True,
    metavar="NAME",
    help="Condition the method on this: a label of the images, or what --specimen calls the area fraction of its phase,"
    " as 'porosity', measured in the mask of each crop. May be repeated.",
)
@click.option(
    "--text-encoder",
    type=click.Path(path_type=Path),
    help="Folder of the encoder that reads captions, where --condition caption is given and the method reads texts."
    " [default: MiniLM, from its package]",
)
@click.option(
    "--context",
    metavar="masks|FOLDER",
    help="Of a diffusion method: tell it the mask of each image, or the image of the same name in another folder. It"
    " makes images for such masks or images, then. --grey, --shrink and --axis apply to them too.",
)
@click.option(
    "--sources",
    type=click.Path(path_type=Path),
    help="For a method that translates: the images that it starts from. --grey, --shrink and --axis apply to them too;"
    " --files, --specimen-pattern and --pixel-size don't.",
)
@click.option("--precision", type=click.Choice(["fp32", "bf16"]), help="[default: bf16 on a GPU that has it]")
@click.option("--compile", "compiled", is_flag=True, help="Use torch.compile, on a GPU.")
@click.option("--continue", "go_on", is_flag=True, help="Go on with the run in --out to this budget.")
@click.option("--cpu", is_flag=True, help="Stay on the CPU even where there is a GPU.")
@_reading  # fmt: skip
def train(method: str, images: Path, out: Path | None, seconds: float | None, images_seen: int | None,
          crop: tuple[int, int], specimen: str | None, symmetries: tuple[str, ...], given: tuple[str, ...],
          seed: int, clip_percent: float, with_masks: bool, conditions: tuple[str, ...], text_encoder: Path | None,
          context: str | None, sources: Path | None,
          precision: str | None, compiled: bool, go_on: bool, cpu: bool, **reading: Any) -> None:  # fmt: skip
    """Train METHOD on random crops of IMAGES; 'morphogen methods' lists the methods.

    Ctrl-C saves and stops; --continue goes on. On several processes or GPUs:
    torchrun --standalone --nproc_per_node 2 -m morphogen train ...
    """
    if seconds is not None and images_seen is not None:
        raise Problem("two budgets were given", do="give --seconds or --images-seen")
    if go_on and out is None:
        raise Problem("it is not said which run to go on with", do="name its folder with --out")
    import yaml

    from morphogen.methods.method import method_settings
    from morphogen.specimens.specimen import augmentations
    from morphogen.specimens.specimen import specimen as kind_of_specimen

    allowed: frozenset[str] = frozenset(symmetries)
    kind = kind_of_specimen(specimen) if specimen is not None else None
    if kind is not None:
        allowed |= kind.symmetries
    settings = {name: yaml.safe_load(value) for name, value in _pairs(given)}
    method_settings(method, settings)
    from morphogen.training.train import train as train_method
    from morphogen.whole_files import free_folder

    folder = out or free_folder(Path("runs") / method)
    pictures = _read(images, reading)
    try:
        run = train_method(
            method, pictures, folder, seconds=seconds, images_seen=images_seen, size=crop, settings=settings,
            symmetries=allowed, seed=seed, clip_percent=clip_percent, with_masks=with_masks, conditions=conditions,
            fraction=kind.fraction if kind is not None else None, text_encoder=text_encoder,
            context=_context(context, {name: reading[name] for name in _OF_SOURCES}),
            sources=_read(sources, {name: reading[name] for name in _OF_SOURCES}) if sources is not None else None,
            augmentations=augmentations(allowed, lighting_varies=kind is not None and kind.lighting_varies),
            precision=precision, compiled=compiled, go_on=go_on, cpu=cpu,
        )  # fmt: skip
    except KeyboardInterrupt:
        if (folder / "state.safetensors").exists():
            click.echo(f"Stopped and saved; go on with --continue --out {folder}", err=True)
        raise
    if _is_main_process():
        counters = run.counters
        click.echo(
            f"Trained {method} on {int(counters['images_seen']):,} images in {counters['seconds']:.0f} s: {run.folder}"
        )


@cli.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("images", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Run folder of the student.")
@click.option(
    "--steps", type=click.IntRange(1, 4), default=4, show_default=True, help="In how many steps the student draws."
)
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="Budget in seconds. [default: 600]")
@click.option("--images-seen", type=click.IntRange(min=1), help="Budget in training images seen, instead of seconds.")
@click.option(
    "-p",
    "--set",
    "given",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting of the student, as 'guidance=2' or 'teacher_evaluations=6'; 'morphogen methods distilled' shows"
    " them.",
)
@click.option(
    "--context", type=click.Path(path_type=Path), help="Of a run that is told other images of the places: those images."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Same seed, same student.")
@click.option("--precision", type=click.Choice(["fp32", "bf16"]), help="[default: bf16 on a GPU that has it]")
@click.option("--compile", "compiled", is_flag=True, help="Use torch.compile, on a GPU.")
@click.option("--continue", "go_on", is_flag=True, help="Go on with the student in --out to this budget.")
@click.option("--cpu", is_flag=True, help="Stay on the CPU even where there is a GPU.")
@_reading  # fmt: skip
def distil(run: Path, images: Path, out: Path, steps: int, seconds: float | None, images_seen: int | None,
           given: tuple[str, ...], context: Path | None, seed: int, precision: str | None, compiled: bool, go_on: bool,
           cpu: bool, **reading: Any) -> None:  # fmt: skip
    """Train a student of a diffusion RUN that draws in one to four steps what the run draws in many.

    IMAGES are those that the run was trained on. Crops, masks, conditions, flips and turns are the run's. The student
    is a run like any other: 'generate' draws from it. It follows its teacher and cannot be better.
    """
    if seconds is not None and images_seen is not None:
        raise Problem("two budgets were given", do="give --seconds or --images-seen")
    import yaml

    from morphogen.methods.method import method_settings
    from morphogen.training.distil import STUDENT
    from morphogen.training.distil import distil as distilled

    settings = {name: yaml.safe_load(value) for name, value in _pairs(given)}
    method_settings(STUDENT, settings)
    others = _read(context, {name: reading[name] for name in _OF_SOURCES}) if context is not None else None
    try:
        student = distilled(
            run, _read(images, reading), out, steps=steps, context=others, seconds=seconds, images_seen=images_seen,
            settings=settings, seed=seed, precision=precision, compiled=compiled, go_on=go_on, cpu=cpu,
        )  # fmt: skip
    except KeyboardInterrupt:
        if (out / "state.safetensors").exists():
            click.echo(f"Stopped and saved; go on with --continue --out {out}", err=True)
        raise
    if _is_main_process():
        counters = student.counters
        click.echo(
            f"Distilled {run} to {steps} step{'s' * (steps > 1)} on {int(counters['images_seen']):,} images in"
            f" {counters['seconds']:.0f} s: {out}"
        )


def _context(given: str | None, reading: dict[str, Any]) -> 'Literal["masks"] | Pictures | None':
    """What a method is told beside conditions; a folder called masks is ./masks."""
    if given is None:
        return None
    return "masks" if given == "masks" else _read(Path(given), reading)


@cli.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="New folder for the images.")
@click.option("-n", "--count", type=click.IntRange(min=1), default=16, show_default=True, help="Number of images.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Same seed, same images.")
@click.option("--steps", type=click.IntRange(min=1), help="Solver steps, for methods that have a solver.")
@click.option(
    "--ask",
    "asked",
    multiple=True,
    metavar="NAME=VALUE",
    help="Of a conditioned run: 'porosity=0.2', or 'porosity=0.1..0.3' to go through a range evenly. May be repeated.",
)
@click.option(
    "--sources", type=click.Path(path_type=Path), help="Of a run that translates: the images to translate, all of them."
)
@click.option("--reverse", is_flag=True, help="Translate the other way: images like the training images into sources.")
@click.option("--strict", is_flag=True, help="Refuse conditions outside the range that training saw.")
@click.option(
    "--truncation",
    type=click.FloatRange(0, 1),
    help="Of a style-based run: how far styles may be from their mean; 1 as trained.",
)
@click.option("--solver", metavar="NAME", help="Of a diffusion run: how noise levels are gone through, as 'heun'.")
@click.option(
    "--guidance",
    type=click.FloatRange(min=0),
    metavar="W",
    help="Of a conditioned diffusion run: weight of the condition. 1 as trained; more follows it closer, with less"
    " variety.",
)
@click.option(
    "--guidance-interval",
    type=click.Tuple([click.FloatRange(min=0), click.FloatRange(min=0)]),
    metavar="LOW HIGH",
    help="Lowest and highest noise level that is guided; images have variance 1.",
)
@click.option(
    "--size", type=_SIZE, metavar="H W", help="Of a diffusion run: larger images than those of training, in pixels."
)
@click.option(
    "--overlap",
    type=click.IntRange(min=0),
    metavar="PX",
    help="Pixels that the windows share at least through which --size is seen. [default: half a window]",
)
@click.option(
    "--context",
    type=click.Path(path_type=Path),
    help="Of a run that is told masks or other images: images with masks, or those images. Each is drawn for the middle"
    " of one of them.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=16,
    show_default=True,
    help="Images at a time: memory, not content.",
)
@click.option(
    "--format",
    "extension",
    type=click.Choice([".png", ".tif"]),
    help="[default: .png for 8 bit, .tif for the rest]",
)
@click.option("--cpu", is_flag=True, help="Stay on the CPU even where there is a GPU.")
@click.option("--sheet", type=click.Path(path_type=Path), help="Write a contact sheet to this PNG file too.")
@_reading  # fmt: skip
def generate(run: Path, out: Path, count: int, seed: int, steps: int | None, asked: tuple[str, ...],
             sources: Path | None, reverse: bool, strict: bool, truncation: float | None, solver: str | None,
             guidance: float | None, guidance_interval: tuple[float, float] | None, size: tuple[int, int] | None,
             overlap: int | None, context: Path | None, batch_size: int,
             extension: str | None, cpu: bool, sheet: Path | None, **reading: Any) -> None:  # fmt: skip
    """Draw images from the RUN folder that 'train' made, or translate --sources with it.

    They have the bit depth, intensity scale and pixel size of the images that it was trained on; translations have the
    pixel size of their sources. The reading options (--grey to --files) are for --sources and --context, and all that
    says how images are drawn, from --count to --overlap, is for images that are drawn without sources.
    """
    from morphogen.generation.generate import generate as draw
    from morphogen.whole_files import require_writable_file

    if reverse and sources is None:
        raise Problem("it is not said what to translate", do="name the images with --sources")
    if guidance_interval is not None and guidance_interval[0] >= guidance_interval[1]:
        raise Problem(f"no noise level lies between {guidance_interval[0]:g} and {guidance_interval[1]:g}",
                      do="give the lower one first")  # fmt: skip
    drawing = _given(("count", "asked", "steps", "strict", "truncation", "solver", "guidance", "guidance_interval",
                      "size", "overlap", "context"))  # fmt: skip
    if sources is not None and drawing:
        raise Problem(f"all images of --sources are translated, as they are: {drawing} says nothing of them",
                      do="leave it out")  # fmt: skip
    unread = _given(_READING)
    if sources is None and context is None and unread:
        raise Problem(f"no images are read: {unread} says nothing of what is drawn",
                      do="leave it out, or name images to translate with --sources")  # fmt: skip
    if sheet is not None:
        require_writable_file(sheet, made=out)
    if sources is not None:
        from morphogen.generation.translate import translate

        images = translate(run, _read(sources, reading), reverse=reverse, seed=seed, batch_size=batch_size, folder=out,
                           extension=extension, cpu=cpu)  # fmt: skip
        _tell_of(images, out, sheet)
        return
    images = draw(run, count=count, seed=seed, steps=steps, asked=_wishes(asked), strict=strict,
                  truncation=truncation, solver=solver, guidance=guidance, guidance_interval=guidance_interval,
                  size=size, overlap=overlap,
                  context=_read(context, reading) if context is not None else None, batch_size=batch_size, folder=out,
                  extension=extension, cpu=cpu)  # fmt: skip
    _tell_of(images, out, sheet)


def _tell_of(images: "Pictures", out: Path, sheet: Path | None) -> None:
    click.echo(f"{len(images)} images of {images[0].size[0]} x {images[0].size[1]} in {out}")
    if sheet is not None:
        from morphogen.report.figures import write_contact_sheet

        write_contact_sheet(images, sheet)
        click.echo(f"Contact sheet: {sheet}")


def _seeds(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, ...]:
    if not _are_seeds(value):
        raise Problem(f"'{value}' is no list of seeds", do="give numbers from 0 up, as '3 7 11'")
    return tuple(map(int, _split(value)))


def _are_seeds(value: str) -> bool:
    return bool(_split(value)) and all(word.isdecimal() for word in _split(value))


def _split(value: str) -> list[str]:
    return value.replace(",", " ").split()


class _TakesSeeds(click.Command):
    """A command some of whose options take several seeds as words of their own: '--seeds 3 7 11', '--seeds=3 7 11'."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        options = {name for p in self.params if p.callback is _seeds for name in p.opts}
        joined: list[str] = []
        for word in args:
            name, equals, value = word.partition("=")
            if equals and name in options:
                joined += [name, value]
            elif len(joined) > 1 and joined[-2] in options and _are_seeds(joined[-1]) and _are_seeds(word):
                joined[-1] += f" {word}"
            else:
                joined.append(word)
        return super().parse_args(ctx, joined)


def _drawing(command: Callable[..., None]) -> Callable[..., None]:
    """Options of every command that draws from seeds of a style-based run."""
    for option in (
        click.option("--sheet", type=click.Path(path_type=Path), metavar="PNG",
                     help="Write the picture here. [default: a file in --out]"),
        click.option("--cpu", is_flag=True, help="Stay on the CPU even where there is a GPU."),
        click.option("--format", "extension", type=click.Choice([".png", ".tif"]),
                     help="[default: .png for 8 bit, .tif for the rest]"),
        click.option("--truncation", type=click.FloatRange(0, 1),
                     help="How far styles may be from their mean; 1 as trained."),
        click.option("--strict", is_flag=True, help="Refuse conditions outside the range that training saw."),
        click.option("--ask", "asked", multiple=True, metavar="NAME=VALUE",
                     help="Of a conditioned run: 'porosity=0.2', or 'porosity=0.1..0.3' to go through the seeds evenly."
                          " May be repeated."),
    ):  # fmt: skip
        command = option(command)
    return command


@cli.command(cls=_TakesSeeds)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="New folder for the images.")
@click.option("--seeds", callback=_seeds, required=True, metavar="N N ...", help="Two or more, as given to 'generate'.")
@click.option("--steps", type=click.IntRange(min=2), default=9, show_default=True, help="Images a line, with its ends.")
@click.option(
    "--in",
    "space",
    type=click.Choice(["w", "z"]),
    default="w",
    show_default=True,
    help="Straight lines between styles, or arcs between latent vectors.",
)
@_drawing  # fmt: skip
def interpolate(run: Path, out: Path, seeds: tuple[int, ...], steps: int, space: "Space",
                asked: tuple[str, ...], strict: bool, truncation: float | None, extension: str | None, cpu: bool,
                sheet: Path | None) -> None:  # fmt: skip
    """Go from one generated image to the next in the latent space of a style-based RUN.

    Each line starts at the image that 'generate' draws from its first seed. Only the style moves along it: the noise
    inputs stay. Writes the images and a picture with a strip for each line.
    """
    from morphogen.generation.latent_space import interpolate as interpolated
    from morphogen.report.latent_figures import strips_png, write_png
    from morphogen.whole_files import require_writable_file

    if sheet is not None:
        require_writable_file(sheet, made=out)
    images = interpolated(run, seeds, steps=steps, space=space, asked=_wishes(asked), strict=strict,
                          truncation=truncation, folder=out, extension=extension, cpu=cpu)  # fmt: skip
    lines = [[images[k] for k in range(first, first + steps)] for first in range(0, len(images), steps)]
    ends = [(f"seed {a}", f"seed {b}") for a, b in pairwise(seeds)]
    _tell_of(images, out, None)
    click.echo(f"Strips: {write_png(sheet or out / 'strips.png', strips_png(lines, ends))}")


@cli.command(cls=_TakesSeeds)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="New folder for the images.")
@click.option(
    "--rows", callback=_seeds, required=True, metavar="N ...", help="Seeds of the images whose layers change."
)
@click.option("--columns", callback=_seeds, required=True, metavar="N ...", help="Seeds of the styles mixed in.")
@click.option(
    "--layers",
    default="coarse",
    show_default=True,
    metavar="WHICH",
    help="Which layers take the column's style: coarse, middle or fine (a third each), or numbers as '0-2'.",
)
@_drawing  # fmt: skip
def mix(run: Path, out: Path, rows: tuple[int, ...], columns: tuple[int, ...], layers: str, asked: tuple[str, ...],
        strict: bool, truncation: float | None, extension: str | None, cpu: bool,
        sheet: Path | None) -> None:  # fmt: skip
    """Mix styles of a style-based RUN: each row's image with some layers in the style of each column.

    Writes the mixed images, their sources (rows/ and columns/), and a picture of the matrix.
    """
    from morphogen.generation.latent_space import mix as mixed_styles
    from morphogen.report.latent_figures import matrix_png, write_png
    from morphogen.whole_files import require_writable_file

    if sheet is not None:
        require_writable_file(sheet, made=out)
    mixed = mixed_styles(run, rows, columns, layers=layers, asked=_wishes(asked), strict=strict,
                         truncation=truncation, folder=out, extension=extension, cpu=cpu)  # fmt: skip
    picture = matrix_png(
        mixed.rows, mixed.columns, mixed.images, row_names=[f"seed {seed}" for seed in rows],
        column_names=[f"seed {seed}" for seed in columns], corner=f"columns give\n{mixed.words}",
    )  # fmt: skip
    _tell_of(mixed.images, out, None)
    click.echo(f"Matrix: {write_png(sheet or out / 'matrix.png', picture)}")


@cli.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("images", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="New folder for what is found.")
@click.option(
    "--crop-at",
    type=click.Tuple([click.IntRange(min=0), click.IntRange(min=0)]),
    metavar="TOP LEFT",
    help="Where to crop images that are larger than the run's. [default: their middle]",
)
@click.option("--steps", type=click.IntRange(min=1), default=300, show_default=True, help="Of the search.")
@click.option("--extended", is_flag=True, help="Search in W+: a style of its own for every layer.")
@click.option("--pixels-only", is_flag=True, help="Compare pixels alone, without pretrained features.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the noise of the search.")
@click.option(
    "--batch-size", type=click.IntRange(min=1), default=8, show_default=True, help="Images at a time: memory and speed."
)
@click.option(
    "--format", "extension", type=click.Choice([".png", ".tif"]), help="[default: .png for 8 bit, .tif for the rest]"
)
@click.option("--cpu", is_flag=True, help="Stay on the CPU even where there is a GPU.")
@click.option(
    "--sheet",
    type=click.Path(path_type=Path),
    metavar="PNG",
    help="Write the picture here. [default: projections.png in --out]",
)
@_reading  # fmt: skip
def project(run: Path, images: Path, out: Path, crop_at: tuple[int, int] | None, steps: int, extended: bool,
            pixels_only: bool, seed: int, batch_size: int, extension: str | None, cpu: bool, sheet: Path | None,
            **reading: Any) -> None:  # fmt: skip
    """Find what a style-based RUN can make of measured IMAGES.

    Searches the style whose image is most like each measured one, and says how like it is. Writes the projections,
    what was projected (measured/), the styles, the figures of each image, and a picture of all side by side.
    """
    from morphogen.generation.projection import project as projected_images
    from morphogen.report.latent_figures import projections_png, write_png
    from morphogen.whole_files import require_writable_file

    if sheet is not None:
        require_writable_file(sheet, made=out)
    found = projected_images(run, _read(images, reading), steps=steps, extended=extended, crop_at=crop_at,
                             perceptual=False if pixels_only else None, seed=seed, batch_size=batch_size, folder=out,
                             extension=extension, cpu=cpu)  # fmt: skip
    for one in found.records:
        click.echo(f"{one.name}: {', '.join(one.figures)}")
    captions = ["\n".join((one.name, *one.figures)) for one in found.records]
    click.echo(f"{len(found.pictures)} projections in {out} ({found.how}; {found.seconds_per_image:.1f} s an image)")
    picture = projections_png(found.measured, found.pictures, captions)
    click.echo(f"Picture: {write_png(sheet or out / 'projections.png', picture)}")


@cli.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("images", type=click.Path(path_type=Path))
@click.option(
    "--steps",
    type=click.IntRange(min=4),
    default=96,
    show_default=True,
    help="Evaluations of the network an image, a multiple of 4: more are more exact.",
)
@click.option(
    "--probes",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Random directions of the divergence: more are less noisy.",
)
@click.option("--fields", "most", type=click.IntRange(min=1), default=64, show_default=True, help="Fields at most.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Same seed, same numbers.")
@click.option(
    "--batch-size", type=click.IntRange(min=1), default=16, show_default=True, help="Fields at a time: memory, speed."
)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the records to this file too.")
@click.option("--cpu", is_flag=True, help="Stay on the CPU even where there is a GPU.")
@_reading  # fmt: skip
def likelihood(run: Path, images: Path, steps: int, probes: int, most: int, seed: int, batch_size: int,
               json_file: Path | None, cpu: bool, **reading: Any) -> None:  # fmt: skip
    """How likely are measured IMAGES under a diffusion RUN, in bits a dimension? Lower is likelier.

    The density that the run's probability flow gives, at its lowest noise level, to crops of its size, in units of grey
    levels: -log2 p a pixel and channel. Pixels of an integer type are given a uniform place in the cell of their grey
    level, one level wide (uniform dequantisation), and nothing is clipped; so it bounds the bits of coding them from
    above, and compares with what is published for 8 bit images. Conditions are those that each crop has. No guidance.
    Hold images against images of one kind and one pixel type only. The 95 % interval is over fields, or over specimens
    where there are six or more.
    """
    import json
    from dataclasses import asdict

    from morphogen.generation.likelihood import likelihood as measured_likelihood
    from morphogen.whole_files import require_writable_file, write_text_whole

    if json_file is not None:
        require_writable_file(json_file)
    found = measured_likelihood(run, _read(images, reading), steps=steps, probes=probes, most=most, seed=seed,
                                batch_size=batch_size, cpu=cpu)  # fmt: skip
    value, low, high = _mean_of([f.bits_a_dimension for f in found.fields], [f.specimen for f in found.fields], seed)
    fields = [field.model_dump() for field in found.fields]
    record = {**asdict(found), "fields": fields, "mean": value, "low": low, "high": high}
    if json_file is not None:
        write_text_whole(json_file, json.dumps(record, indent=1) + "\n")
    interval = "" if low is None or high is None else f" [{low:.3f}, {high:.3f}]"
    count = len(found.fields)
    click.echo(f"{value:.3f}{interval} bits a dimension over {count} field{'s' * (count > 1)}")
    cells = "uniform dequantisation" if found.dequantised else "pixels as they are"
    noise = f"{found.lowest_noise:.3g} grey levels"
    click.echo(f"density at a noise of {noise}, per grey level; {cells}; {steps} evaluations an image")


def _mean_of(values: list[float], groups: list[str], seed: int) -> tuple[float, float | None, float | None]:
    """The mean with its 95 % interval over specimens or fields; one value has none."""
    import numpy as np

    from morphogen.evaluation.intervals import Replicates, mean_replicates
    from morphogen.evaluation.random_streams import Use

    rows = np.array(values)
    if len(rows) < 2:
        return float(rows.mean()), None, None
    draws = mean_replicates(rows, groups, 1000, seed, Use.WEIGHTS_OF_PAIRED)
    estimate = Replicates.around(float(rows.mean()), draws, len(rows), len(rows)).estimate
    return estimate.value, estimate.low, estimate.high


@cli.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("images", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="New folder for what comes back.")
@click.option("--specimen", default="rock", show_default=True, metavar="KIND", help="rock, fiber or root.")
@click.option("--fields", "most", type=click.IntRange(min=2), default=256, show_default=True, help="Fields at most.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the bootstrap.")
@click.option(
    "--batch-size", type=click.IntRange(min=1), default=16, show_default=True, help="Fields at a time: memory, speed."
)
@click.option(
    "--format", "extension", type=click.Choice([".png", ".tif"]), help="[default: .png for 8 bit, .tif for the rest]"
)
@click.option("--cpu", is_flag=True, help="Stay on the CPU even where there is a GPU.")
@click.option(
    "--sheet",
    type=click.Path(path_type=Path),
    metavar="PNG",
    help="Write the picture here. [default: reconstructions.png in --out]",
)
@_reading  # fmt: skip
def reconstruct(run: Path, images: Path, out: Path, specimen: str, most: int, seed: int, batch_size: int,
                extension: str | None, cpu: bool, sheet: Path | None, **reading: Any) -> None:  # fmt: skip
    """What does the autoencoder of a RUN lose of measured IMAGES? For latent_diffusion and vae.

    Writes crops of the run's size as the autoencoder gives them back, the crops themselves (measured/), and a picture
    of both and their difference. Prints PSNR, LPIPS and the descriptors of KIND, measured against reconstructed on the
    same fields, with 95 % intervals of the paired differences: what is lost here is missing in all images that the run
    draws.
    """
    from rich.console import Console

    from morphogen.generation.reconstruct import crops_of
    from morphogen.generation.reconstruct import reconstruct as reconstructed
    from morphogen.report.reconstruction_figure import measure_losses, print_losses, write_reconstructions
    from morphogen.specimens.specimen import specimen as kind_of_specimen
    from morphogen.training.run import Run
    from morphogen.whole_files import require_writable_file

    kind_of_specimen(specimen)
    if sheet is not None:
        require_writable_file(sheet, made=out)
    opened = Run(run)
    pictures = _read(images, reading)
    if len(crops_of(pictures, (opened.shape.height, opened.shape.width), 2)) < 2:
        raise Problem("one field gives no interval", do="give more images, or larger ones")
    found = reconstructed(opened, pictures, most=most, batch_size=batch_size, folder=out, extension=extension,
                          cpu=cpu)  # fmt: skip
    _tell_of(found.pictures, out, None)
    picture = sheet or out / "reconstructions.png"
    end = write_reconstructions(found.measured, found.pictures, picture)
    losses = measure_losses(found.measured, found.pictures, specimen=specimen, intensity=opened.record.intensity,
                            learnt_through=found.learnt_through, seed=seed)  # fmt: skip
    print_losses(losses, Console())
    click.echo(f"Picture: {picture} (differences from {-end:g}, black, to {end:g} grey levels, white)")


@cli.command()
@click.option("--measured", type=click.Path(path_type=Path), required=True, help="Measured images.")
@click.option(
    "--generated",
    type=click.Path(path_type=Path),
    required=True,
    multiple=True,
    help="Generated images, of one size. May be repeated.",
)
@click.option("--specimen", default="rock", show_default=True, metavar="KIND", help="rock, fiber or root.")
@click.option(
    "--training",
    type=click.Path(path_type=Path),
    help="The images that the method was trained on: to look for copies of them. Also the floor, where none is given.",
)
@click.option("--another", type=click.Path(path_type=Path), help="Measured images of another specimen, as a control.")
@click.option(
    "--floor",
    type=click.Path(path_type=Path),
    help="Other measured images of the same kind; otherwise the training images, or else the measured set is split.",
)
@click.option(
    "--segmentation",
    metavar="HOW",
    help="How the phase is told: otsu, multi_otsu, level=GREY, random_walker, ridge, masks; by default as KIND says.",
)
@click.option(
    "--paired",
    is_flag=True,
    help="The images belong together by file name: SSIM, MS-SSIM and LPIPS of each pair.",
)
@click.option(
    "--features",
    multiple=True,
    default=("vgg16", "descriptors"),
    show_default=True,
    metavar="NAME",
    help="What distances are computed over: descriptors, vgg16, alexnet, inception. May be repeated.",
)
@click.option(
    "--inception",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="TorchScript file of the Inception network, for --features inception; the row is called FID for the"
    " standard file only.",
)
@click.option("--download-inception", is_flag=True, help="Fetch that standard file (96 MB) instead.")
@click.option(
    "--usefulness",
    "worth_crops",
    type=click.IntRange(min=1),
    metavar="CROPS",
    help="Train a small segmentation network on --training, on generated images and on both, each on so many crops,"
    " and test it on the measured images; all need masks. 4000 is a good number.",
)
@click.option("--micrometres", is_flag=True, help="Refuse images of unknown pixel size, instead of counting pixels.")
@click.option(
    "--range",
    "grey_range",
    type=click.Tuple([float, float]),
    metavar="LOW HIGH",
    help="With --paired: grey levels that stand for black and white; by default those of the integer type.",
)
@click.option(
    "--fields",
    "fields_at_most",
    type=click.IntRange(min=8),
    default=256,
    show_default=True,
    help="Fields of each set at most.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of fields and bootstrap.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the records to this file too.")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    help="New folder for the evidence: a page, the records, and pictures of the segmentation and the closest pairs.",
)
@_reading  # fmt: skip
def evaluate(measured: Path, generated: tuple[Path, ...], specimen: str, training: Path | None, another: Path | None,
             floor: Path | None, segmentation: str | None, paired: bool, grey_range: tuple[float, float] | None,
             features: tuple[str, ...], inception: Path | None, download_inception: bool, worth_crops: int | None,
             micrometres: bool, fields_at_most: int, seed: int, json_file: Path | None, out: Path | None,
             **reading: Any) -> None:  # fmt: skip
    """Compare generated images with measured ones.

    Descriptors are tested for equivalence within the margins of the kind of specimen. Distances come with 95 %
    intervals, with the distance between measured images at the same number of images (the floor), and with control
    rows: identity, white noise, another specimen. With --training, copies of training images are looked for.
    The reading options apply to the measured, training and floor images; --pixel-size also to others where the files
    don't say it.
    """
    import time

    from rich.console import Console

    from morphogen.evaluation.evaluate import evaluate as compare_sets
    from morphogen.evaluation.evaluate import evaluate_pairs
    from morphogen.images.folders import read_images, with_pixel_size
    from morphogen.progress import status
    from morphogen.report.terminal import print_comparison, print_pairs, print_usefulness
    from morphogen.specimens.specimen import specimen as kind_of_specimen
    from morphogen.usefulness.usefulness import require_trainable, usefulness
    from morphogen.whole_files import require_free_folder, require_writable_file, write_text_whole

    started = time.perf_counter()
    if out is not None:
        require_free_folder(out, "the evidence")
    if json_file is not None:
        require_writable_file(json_file)
    reference = _read(measured, reading)
    if paired:
        if len(generated) != 1:
            raise Problem("pairs are made of two folders", do="give one --generated with --paired")
        if any(given is not None for given in (out, training, floor, another, segmentation)):
            raise Problem(
                "--paired compares pairs and nothing else",
                do="leave --out, --training, --floor, --another and --segmentation out",
            )
        pairs = evaluate_pairs(measured=reference, generated=read_images(generated[0]), grey_range=grey_range)
        if json_file is not None:
            write_text_whole(json_file, "[" + ",\n ".join(pair.model_dump_json() for pair in pairs) + "]\n")
        print_pairs(pairs, Console())
        return
    # Short names where they tell the sets apart.
    short = len({path.name for path in generated}) == len(generated)
    um = reading["pixel_size_um"]
    sets = {path.name if short else str(path): with_pixel_size(read_images(path), um) for path in generated}
    if len(sets) < len(generated):
        raise Problem("a generated set is given twice", do="give each once")
    others = {f"another: {another.name}": with_pixel_size(read_images(another), um)} if another is not None else {}
    learned = _read(training, reading) if training is not None else None
    if worth_crops is not None and learned is None:
        raise Problem("usefulness needs the training images", do="name them with --training")
    size, allowed = sets[next(iter(sets))][0].size, kind_of_specimen(specimen).symmetries
    if worth_crops is not None and learned is not None:
        require_trainable(learned, sets, reference, size, seeds=3)
    with status("Comparing") as tell:
        found = compare_sets(
            measured=reference, generated=sets, specimen=specimen, training=learned, another=others,
            floor=_read(floor, reading) if floor is not None else None, segmentation=segmentation, features=features,
            inception=inception, download_inception=download_inception, fields_at_most=fields_at_most,
            in_micrometres=micrometres, seed=seed, progress=tell,
        )  # fmt: skip
    worth = None
    if worth_crops is not None and learned is not None:
        with status("Usefulness") as tell:
            worth = usefulness(training=learned, generated=sets, test=reference, crop=size, symmetries=allowed,
                               images_seen=worth_crops, seed=seed, progress=tell)  # fmt: skip
    if json_file is not None:
        write_text_whole(json_file, found.comparison.model_dump_json(indent=1))
    print_comparison(found.comparison, Console())
    if worth is not None:
        print_usefulness(worth, Console())
    if out is not None:
        from morphogen.report.evaluation_page import write_evaluation_page
        from morphogen.training.run import command_line

        page = write_evaluation_page(
            found, out, kind=specimen, measured=reference, generated=sets, another=others, training=learned,
            usefulness=worth,
            arguments={"seed": seed, "fields": fields_at_most, "features": list(features)},
            command=command_line(), seconds=time.perf_counter() - started,
        )  # fmt: skip
        click.echo(page)


@cli.command()
@click.argument("images", type=click.Path(path_type=Path))
@click.option("--measured", type=click.Path(path_type=Path), required=True, help="Measured images.")
@click.option("--specimen", default="rock", show_default=True, metavar="KIND", help="rock, fiber or root.")
@click.option(
    "--segmentation",
    metavar="HOW",
    help="How the phase is told in both sets, fitted to the measured images; by default as KIND says.",
)
@click.option(
    "--run",
    type=click.Path(path_type=Path),
    help="The run that drew the images: the range that its training saw, beyond which nothing is scored.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of fields and bootstrap.")
@click.option("--figure", type=click.Path(path_type=Path), help="Draw given against asked to this PNG or SVG file.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the records to this file too.")
@_reading  # fmt: skip
def asked(images: Path, measured: Path, specimen: str, segmentation: str | None, run: Path | None, seed: int,
          figure: Path | None, json_file: Path | None, **reading: Any) -> None:  # fmt: skip
    """Does a conditioned method give what it is asked for?

    Reads what was asked of each of the generated IMAGES (their manifest.json says it), measures in their pixels what
    they show, and prints R2 about the line given = asked, the mean error and the bias, with 95 % intervals. The reading
    options apply to the measured images.
    """
    from rich.console import Console

    from morphogen.evaluation.asked import asked_and_given
    from morphogen.images.folders import read_images, with_pixel_size
    from morphogen.report.asked_figure import require_figure_name, write_asked_figures
    from morphogen.report.terminal import print_asked
    from morphogen.whole_files import require_writable_file, write_text_whole

    if figure is not None:
        require_figure_name(figure)
        require_writable_file(figure)
    if json_file is not None:
        require_writable_file(json_file)
    drawn = with_pixel_size(read_images(images), reading["pixel_size_um"])
    seen = _seen_by(run, drawn) if run is not None else {}
    found = asked_and_given(
        drawn, specimen=specimen, measured=_read(measured, reading), segmentation=segmentation, seen=seen, seed=seed,
    )  # fmt: skip
    if json_file is not None:
        write_text_whole(json_file, "[" + ",\n ".join(one.model_dump_json() for one in found) + "]\n")
    print_asked(found, Console())
    if figure is not None:
        for file in write_asked_figures(found, figure):
            click.echo(f"Figure: {file}")


def _seen_by(run: Path, images: "Pictures") -> dict[str, tuple[float, float]]:
    """The range of each number that a run saw, if it is a run that can have drawn these images.

    Raises:
        Problem: it cannot.
    """
    from morphogen.evaluation.asked import asked_names
    from morphogen.images.conditions import known_as, listed
    from morphogen.images.picture import TRAINED_ON
    from morphogen.training.run import Run

    record = Run(run).record
    if not record.conditions:
        raise Problem(f"{run} is a run of {record.method} without conditions", do="name the run that drew the images")
    strange = [name for name in asked_names(images) if known_as(name, record.conditions.names) is None]
    if strange:
        raise Problem(
            f"the images were asked for {listed(strange)}, and {run} is conditioned on"
            f" {listed(record.conditions.names)}",
            do="name the run that drew the images",
        )
    if images[0].labels.get(TRAINED_ON, record.images.fingerprint) != record.images.fingerprint:
        raise Problem(
            f"the images were drawn by a run that was trained on other images than {run}",
            do="name the run that drew the images",
        )
    return {number.name: (number.low, number.high) for number in record.conditions.numbers}


@cli.command()
@click.argument("recipe", required=False, type=click.Path(path_type=Path))
@click.option("--images", type=click.Path(path_type=Path), help="Folder to which the recipe's paths are relative.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Folder; by default studies/NAME, numbered.")
@click.option("--only", multiple=True, metavar="NAME", help="Only this specimen of the recipe. May be repeated.")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="Another budget for each method.")
@click.option("--continue", "go_on", is_flag=True, help="Go on with the study in --out that was stopped.")
@click.option("--cpu", is_flag=True, help="Stay on the CPU even where there is a GPU.")
def study(recipe: Path | None, images: Path | None, out: Path | None, only: tuple[str, ...],
          seconds: float | None, go_on: bool, cpu: bool) -> None:  # fmt: skip
    """Compare methods as RECIPE says, at equal budget, and write one HTML page.

    Without a RECIPE: three small phantom sets that the program makes itself.
    """
    from morphogen.studies.study import study as run_study

    page = run_study(recipe, images=images, folder=out, only=only, seconds=seconds, go_on=go_on, cpu=cpu)
    if _is_main_process():
        click.echo(page)


@cli.command()
@click.argument("kind", metavar="KIND")
@click.argument("images", required=False, type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Folder; by default audits/KIND, numbered.")
@click.option("--crop", type=_SIZE, default=(64, 64), show_default=True, help="Height and width of a field.")
@click.option(
    "--images-a-set",
    "sizes",
    type=click.IntRange(min=8),
    multiple=True,
    default=(64, 256),
    show_default=True,
    help="Number of images in a set. May be repeated.",
)
@click.option("--defect", "defects", multiple=True, metavar="NAME", help="Only this defect. May be repeated.")
@click.option("--segmentation", metavar="HOW", help="How the phase is told; by default as KIND says.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Same seed, same audit.")
@_reading  # fmt: skip
def audit(kind: str, images: Path | None, out: Path | None, crop: tuple[int, int], sizes: tuple[int, ...],
          defects: tuple[str, ...], segmentation: str | None, seed: int, **reading: Any) -> None:  # fmt: skip
    """Ask the metrics themselves: which of them see what is wrong with an image?

    Damages measured IMAGES, or phantoms of KIND where none are given, in graded, physically named ways, and scores
    every metric by whether it sees the damage. Writes a page with one matrix.
    """
    import time

    from morphogen.audit.audit import audit as audit_metrics
    from morphogen.progress import console, status
    from morphogen.report.audit_page import write_audit_page
    from morphogen.training.run import command_line
    from morphogen.whole_files import free_folder, require_free_folder

    started = time.perf_counter()
    folder = require_free_folder(out, "the audit") if out is not None else free_folder(Path("audits") / kind)
    measured = _read(images, reading) if images is not None else None
    with status("Auditing") as tell:
        found = audit_metrics(
            kind=kind, measured=measured, size=crop, n=sizes, defects=defects or None, segmentation=segmentation,
            seed=seed, progress=tell,
        )  # fmt: skip
    page = write_audit_page(
        found.audit, found.examples, folder, command=command_line(), seconds=time.perf_counter() - started,
        version=morphogen.__version__,
    )  # fmt: skip
    where = console()
    where.print(f"{len(found.audit.defects)} defects, {len(found.audit.metrics)} metrics")
    click.echo(page)


@cli.command()
@click.argument("method", required=False)
def methods(method: str | None) -> None:
    """List the methods, or the settings of METHOD."""
    from morphogen.methods.method import method_class, method_names, method_settings

    if method is None:
        for name in method_names():
            click.echo(f"{name:<16} {method_class(name).title}")
        return
    for name, field in type(method_settings(method)).model_fields.items():
        click.echo(f"{name:<20} by default {field.default!r}: {field.description or ''}")


def main() -> None:
    """Run the command line: a problem is one line and exit code 2, Ctrl-C is 130, a fault leaves a log."""
    # Spinning OpenMP threads make two processes on few cores many times slower than one.
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")
    code = 0
    try:
        _guarded(lambda: cli.main(standalone_mode=False))
    except click.exceptions.Exit as wish:
        code = wish.exit_code
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("Stopped.", err=True)
        code = 130
    except SystemExit as wish:
        code = int(wish.code or 0)
    except Exception as error:
        log = Path(f"morphogen-{datetime.now():%Y%m%d-%H%M%S}.log").absolute()
        try:
            log.write_text(" ".join(sys.argv) + "\n" + traceback.format_exc(), encoding="utf-8")
            where = f"the traceback is in {log}"
        except OSError:
            traceback.print_exc()
            where = "see the traceback above"
        click.echo(f"morphogen: a fault of the program, {type(error).__name__}: {error}; {where}", err=True)
        code = 1
    _leave(code)


def _guarded(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Problem as problem:
        click.echo(f"morphogen: {problem}", err=True)
        raise SystemExit(2) from None
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        click.echo(f"morphogen: the disk is full at {error.filename or Path.cwd()}: free some space", err=True)
        raise SystemExit(2) from None


def _leave(code: int) -> None:
    """Exit. Processes that trained together leave their group first, or they may abort on their way out."""
    if "torch.distributed" in sys.modules:
        import torch.distributed as distributed

        if distributed.is_available() and distributed.is_initialized():
            if code == 0:
                distributed.barrier()
                distributed.destroy_process_group()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    sys.exit(code)


def _is_main_process() -> bool:
    return os.environ.get("RANK", "0") == "0"


def _wishes(asked: tuple[str, ...]) -> "dict[str, float | str | tuple[float, float]]":
    return {name: _wish(value) for name, value in _pairs(asked, underscores=False)}


def _wish(value: str) -> "float | str | tuple[float, float]":
    """A number, two ends of a range, or a word."""
    low, dots, high = value.partition("..")
    try:
        return (float(low), float(high)) if dots else float(value)
    except ValueError:
        return value


def _pairs(given: tuple[str, ...], underscores: bool = True) -> list[tuple[str, str]]:
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


def _number(name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise Problem(f"{name} is '{value}'", do="give a number") from None


if __name__ == "__main__":
    main()
