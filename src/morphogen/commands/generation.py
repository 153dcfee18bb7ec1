"""From a run: images, walks through its latent space, projections, reconstructions and likelihoods."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from morphogen.commands.options import (
    READING,
    SIZE,
    given_options,
    read_set,
    reading_options,
    tell_of,
    text_encoder_option,
    wishes_of,
)
from morphogen.problems import Problem

if TYPE_CHECKING:
    from morphogen.generation.latent_space import Space
    from morphogen.images.image_set import Pictures


@click.command()
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
    "--caption",
    metavar="TEXT",
    help="Of a pipeline, or a run that reads captions: what the images are to show; as --ask caption=TEXT.",
)
@click.option(
    "--prior", type=click.Path(path_type=Path), metavar="RUN",
    help="Of a run that is told vectors of images: the run of clip_prior that draws them for --caption.",
)  # fmt: skip
@click.option(
    "--prior-guidance", type=click.FloatRange(min=0), metavar="W",
    help="With --prior: weight of the caption in drawing vectors; --guidance is then that of the vector.",
)  # fmt: skip
@click.option("--lora", type=click.Path(path_type=Path), help="Of a pipeline: folder of a LoRA that is added to it.")
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
    "--image-guidance",
    type=click.FloatRange(min=0),
    metavar="W",
    help="Of a run that follows instructions: weight of the image before; --guidance is then that of the instruction.",
)
@click.option(
    "--guidance-interval",
    type=click.Tuple([click.FloatRange(min=0), click.FloatRange(min=0)]),
    metavar="LOW HIGH",
    help="Lowest and highest noise level that is guided; images have variance 1.",
)
@click.option(
    "--size", type=SIZE, metavar="H W", help="Of a diffusion run: larger images than those of training, in pixels."
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
    help="Of a run that is told masks, edges or other images: images with masks, images whose edges are found (or"
    " drawings of edges in two grey levels), or those images. Each is drawn for the middle of one of them.",
)
@click.option(
    "--text-encoder",
    type=click.Path(path_type=Path),
    help="Of a run that reads captions: folder of its encoder, where that is no longer where it was.",
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
    metavar="ENDING",
    help="As .tif, .h5, .ome.zarr, .nrrd or .nii.gz. [default: .png for 8 bit, .tif for the rest]",
)
@click.option(
    "--like",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write in the format of this measured image or volume, with the same type of number.",
)
@click.option(
    "--as-stack", is_flag=True, help="Write all as the slices of one file; TIFF, or as --format or --like say."
)
@click.option("--cpu", is_flag=True, help="Stay on the CPU even where there is a GPU.")
@click.option("--sheet", type=click.Path(path_type=Path), help="Write a contact sheet to this PNG file too.")
@reading_options  # fmt: skip
def generate(run: Path, out: Path, count: int, seed: int, steps: int | None, asked: tuple[str, ...],
             caption: str | None, prior: Path | None, prior_guidance: float | None, lora: Path | None,
             sources: Path | None, reverse: bool, strict: bool,
             truncation: float | None, solver: str | None, guidance: float | None, image_guidance: float | None,
             guidance_interval: tuple[float, float] | None, size: tuple[int, int] | None, overlap: int | None,
             context: Path | None, text_encoder: Path | None, batch_size: int, extension: str | None,
             like: Path | None, as_stack: bool, cpu: bool, sheet: Path | None, **reading: Any) -> None:  # fmt: skip
    """Draw images from the RUN folder that 'train' made, or translate --sources with it.

    RUN may also be a text-to-image pipeline that diffusers saved: --caption says what to draw, and --lora, --steps,
    --guidance, --size, --seed and --grey how.

    They have the bit depth, intensity scale and pixel size of the images that it was trained on; translations have the
    pixel size of their sources. --like writes them in the format that the measured ones came in. The reading options
    (--grey to --files) are for --sources and --context, and all that says how images are drawn, from --count to
    --overlap, is for images that are drawn without sources.
    """
    from morphogen.generation.generate import generate as draw
    from morphogen.generation.text_to_image import is_pipeline
    from morphogen.whole_files import require_writable_file

    if is_pipeline(run):
        _draw_from_pipeline(run, out, wishes_of(asked, caption), sheet, count=count, seed=seed, steps=steps,
                            guidance=guidance, size=size, lora=lora, grey=reading["grey"], extension=extension, cpu=cpu,
                            batch_size=batch_size if given_options(("batch_size",)) else None)  # fmt: skip
        return
    if lora is not None:
        raise Problem(f"{run} is no pipeline, and a LoRA changes one", do="leave it out")
    if reverse and sources is None:
        raise Problem("it is not said what to translate", do="name the images with --sources")
    if guidance_interval is not None and guidance_interval[0] >= guidance_interval[1]:
        raise Problem(f"no noise level lies between {guidance_interval[0]:g} and {guidance_interval[1]:g}",
                      do="give the lower one first")  # fmt: skip
    drawing = given_options((
        "count", "asked", "caption", "prior", "prior_guidance", "steps", "strict", "truncation", "solver", "guidance",
        "image_guidance", "guidance_interval", "size", "overlap", "context", "text_encoder",
    ))  # fmt: skip
    if sources is not None and drawing:
        raise Problem(f"all images of --sources are translated, as they are: {drawing} says nothing of them",
                      do="leave it out")  # fmt: skip
    unread = given_options(READING)
    if sources is None and context is None and unread:
        raise Problem(f"no images are read: {unread} says nothing of what is drawn",
                      do="leave it out, or name images to translate with --sources")  # fmt: skip
    if sheet is not None:
        require_writable_file(sheet, made=out)
    if sources is not None:
        from morphogen.generation.translate import translate

        images = translate(run, read_set(sources, reading), reverse=reverse, seed=seed, batch_size=batch_size,
                           folder=out, extension=extension, like=like, as_stack=as_stack, cpu=cpu)  # fmt: skip
        tell_of(images, out, sheet)
        return
    images = draw(run, count=count, seed=seed, steps=steps, asked=wishes_of(asked, caption), strict=strict,
                  truncation=truncation, solver=solver, guidance=guidance, image_guidance=image_guidance,
                  guidance_interval=guidance_interval, size=size, overlap=overlap,
                  context=read_set(context, reading) if context is not None else None, prior=prior,
                  prior_guidance=prior_guidance, text_encoder=text_encoder, batch_size=batch_size,
                  folder=out, extension=extension, like=like, as_stack=as_stack, cpu=cpu)  # fmt: skip
    tell_of(images, out, sheet)


_OF_RUNS = (
    "prior", "prior_guidance", "sources", "reverse", "strict", "truncation", "solver", "image_guidance",
    "guidance_interval", "overlap", "context", "text_encoder", "like", "as_stack",
    *(name for name in READING if name != "grey"),
)  # fmt: skip


def _draw_from_pipeline(pipeline: Path, out: Path, asked: "dict[str, Any]", sheet: Path | None,
                        **options: Any) -> None:  # fmt: skip
    """What 'generate' does with a folder that diffusers saved."""
    from morphogen.generation.text_to_image import text_to_image
    from morphogen.whole_files import require_writable_file

    unread = given_options(_OF_RUNS)
    if unread or set(asked) - {"caption"}:
        raise Problem(f"{pipeline} is a pipeline: {unread or 'what is asked beside a caption'} says nothing to it",
                      do="leave it out")  # fmt: skip
    if "caption" not in asked:
        raise Problem(f"{pipeline} is a pipeline that is told what to draw", do="say it with --caption")
    if sheet is not None:
        require_writable_file(sheet, made=out)
    given = {name: value for name, value in options.items() if value is not None}
    tell_of(text_to_image(pipeline, str(asked["caption"]), folder=out, **given), out, sheet)


def _seeds(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, ...]:
    if value is None:
        return ()
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


def drawing_options(command: Callable[..., None]) -> Callable[..., None]:
    """Options of every command that draws from seeds of a style-based run."""
    for option in (
        click.option("--sheet", type=click.Path(path_type=Path), metavar="PNG",
                     help="Write the picture here. [default: a file in --out]"),
        click.option("--cpu", is_flag=True, help="Stay on the CPU even where there is a GPU."),
        click.option("--format", "extension", metavar="ENDING",
                     help="As .tif or .nrrd. [default: .png for 8 bit, .tif for the rest]"),
        click.option("--truncation", type=click.FloatRange(0, 1),
                     help="How far styles may be from their mean; 1 as trained."),
        click.option("--strict", is_flag=True, help="Refuse conditions outside the range that training saw."),
        click.option("--ask", "asked", multiple=True, metavar="NAME=VALUE",
                     help="Of a conditioned run: 'porosity=0.2', or 'porosity=0.1..0.3' to go through the seeds evenly."
                          " May be repeated."),
    ):  # fmt: skip
        command = option(command)
    return command


@click.command(cls=_TakesSeeds)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="New folder for the images.")
@click.option("--seeds", callback=_seeds, metavar="N N ...", help="Two or more, as given to 'generate'.")
@click.option(
    "--images", type=click.Path(path_type=Path), help="Of a run that is told vectors of images: the measured images to"
    " go between, two or more of one size, in their order.",
)  # fmt: skip
@click.option(
    "--through", is_flag=True,
    help="With --images: start from the noises that they come from, so that the ends are the images themselves.",
)  # fmt: skip
@click.option("--guidance", type=click.FloatRange(min=0), metavar="W", help="With --images: weight of the vectors.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="With --images: of the noise.")
@click.option("--steps", type=click.IntRange(min=2), default=9, show_default=True, help="Images a line, with its ends.")
@click.option(
    "--in",
    "space",
    type=click.Choice(["w", "z"]),
    default="w",
    show_default=True,
    help="With --seeds: straight lines between styles, or arcs between latent vectors.",
)
@drawing_options
@reading_options  # fmt: skip
def interpolate(run: Path, out: Path, seeds: tuple[int, ...], images: Path | None, through: bool,
                guidance: float | None, seed: int, steps: int, space: "Space", asked: tuple[str, ...], strict: bool,
                truncation: float | None, extension: str | None, cpu: bool, sheet: Path | None,
                **reading: Any) -> None:  # fmt: skip
    """Go from one image to the next in the latent space of a RUN.

    Of a style-based run, from one generated image to another: each line starts at the image that 'generate' draws from
    its first seed. Only the style moves along it: the noise inputs stay. Of a diffusion run that is told vectors of
    images, from one of --images to another, through those between their vectors. Writes the images and a picture with a
    strip for each line.
    """
    from morphogen.generation.latent_space import interpolate as interpolated
    from morphogen.report.latent_figures import strips_png, write_png
    from morphogen.whole_files import require_writable_file

    if sheet is not None:
        require_writable_file(sheet, made=out)
    if (images is None) == (not seeds):
        raise Problem("a line goes between generated images or between measured ones", do="give --seeds or --images")
    unread = given_options(("asked", "strict", "truncation", "space") if images is not None else
                           ("through", "guidance", "seed", *READING))  # fmt: skip
    if unread:
        raise Problem(f"{unread} says nothing of a line between {'measured images' if images else 'seeds'}",
                      do="leave it out")  # fmt: skip
    if images is not None:
        _between_images(run, read_set(images, reading), out, sheet, steps=steps, through=through, guidance=guidance,
                        seed=seed, extension=extension, cpu=cpu)  # fmt: skip
        return
    made = interpolated(run, seeds, steps=steps, space=space, asked=wishes_of(asked), strict=strict,
                          truncation=truncation, folder=out, extension=extension, cpu=cpu)  # fmt: skip
    lines = [[made[k] for k in range(first, first + steps)] for first in range(0, len(made), steps)]
    ends = [(f"seed {a}", f"seed {b}") for a, b in pairwise(seeds)]
    tell_of(made, out, None)
    click.echo(f"Strips: {write_png(sheet or out / 'strips.png', strips_png(lines, ends))}")


def _between_images(run: Path, images: "Pictures", out: Path, sheet: Path | None, **options: Any) -> None:
    """What 'interpolate' does with measured images: each strip has them at its ends."""
    from morphogen.generation.decoder import interpolate_images
    from morphogen.images.context import name_of
    from morphogen.report.latent_figures import strips_png, write_png

    made, steps = interpolate_images(run, images, folder=out, **options), options["steps"]
    lines = [[made[k] for k in range(first, first + steps)] for first in range(0, len(made), steps)]
    pairs = list(pairwise(images))
    picture = strips_png(lines, [(name_of(a), name_of(b)) for a, b in pairs], pairs)
    tell_of(made, out, None)
    click.echo(f"Strips: {write_png(sheet or out / 'strips.png', picture)}")


@click.command(cls=_TakesSeeds)
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
@drawing_options  # fmt: skip
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
    mixed = mixed_styles(run, rows, columns, layers=layers, asked=wishes_of(asked), strict=strict,
                         truncation=truncation, folder=out, extension=extension, cpu=cpu)  # fmt: skip
    picture = matrix_png(
        mixed.rows, mixed.columns, mixed.images, row_names=[f"seed {seed}" for seed in rows],
        column_names=[f"seed {seed}" for seed in columns], corner=f"columns give\n{mixed.words}",
    )  # fmt: skip
    tell_of(mixed.images, out, None)
    click.echo(f"Matrix: {write_png(sheet or out / 'matrix.png', picture)}")


@click.command()
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
    "--format", "extension", metavar="ENDING", help="As .tif or .nrrd. [default: .png for 8 bit, .tif for the rest]"
)
@click.option("--cpu", is_flag=True, help="Stay on the CPU even where there is a GPU.")
@click.option(
    "--sheet",
    type=click.Path(path_type=Path),
    metavar="PNG",
    help="Write the picture here. [default: projections.png in --out]",
)
@reading_options  # fmt: skip
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
    found = projected_images(run, read_set(images, reading), steps=steps, extended=extended, crop_at=crop_at,
                             perceptual=False if pixels_only else None, seed=seed, batch_size=batch_size, folder=out,
                             extension=extension, cpu=cpu)  # fmt: skip
    for one in found.records:
        click.echo(f"{one.name}: {', '.join(one.figures)}")
    captions = ["\n".join((one.name, *one.figures)) for one in found.records]
    click.echo(f"{len(found.pictures)} projections in {out} ({found.how}; {found.seconds_per_image:.1f} s an image)")
    picture = projections_png(found.measured, found.pictures, captions)
    click.echo(f"Picture: {write_png(sheet or out / 'projections.png', picture)}")


@click.command()
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
@text_encoder_option
@click.option("--cpu", is_flag=True, help="Stay on the CPU even where there is a GPU.")
@reading_options  # fmt: skip
def likelihood(run: Path, images: Path, steps: int, probes: int, most: int, seed: int, batch_size: int,
               json_file: Path | None, text_encoder: Path | None, cpu: bool, **reading: Any) -> None:  # fmt: skip
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
    found = measured_likelihood(run, read_set(images, reading), steps=steps, probes=probes, most=most, seed=seed,
                                batch_size=batch_size, text_encoder=text_encoder, cpu=cpu)  # fmt: skip
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


@click.command()
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
    "--format", "extension", metavar="ENDING", help="As .tif or .nrrd. [default: .png for 8 bit, .tif for the rest]"
)
@click.option("--cpu", is_flag=True, help="Stay on the CPU even where there is a GPU.")
@click.option(
    "--sheet",
    type=click.Path(path_type=Path),
    metavar="PNG",
    help="Write the picture here. [default: reconstructions.png in --out]",
)
@reading_options  # fmt: skip
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
    pictures = read_set(images, reading)
    if len(crops_of(pictures, (opened.shape.height, opened.shape.width), 2)) < 2:
        raise Problem("one field gives no interval", do="give more images, or larger ones")
    found = reconstructed(opened, pictures, most=most, batch_size=batch_size, folder=out, extension=extension,
                          cpu=cpu)  # fmt: skip
    tell_of(found.pictures, out, None)
    picture = sheet or out / "reconstructions.png"
    end = write_reconstructions(found.measured, found.pictures, picture)
    losses = measure_losses(found.measured, found.pictures, specimen=specimen, intensity=opened.record.intensity,
                            learnt_through=found.learnt_through, seed=seed)  # fmt: skip
    print_losses(losses, Console())
    click.echo(f"Picture: {picture} (differences from {-end:g}, black, to {end:g} grey levels, white)")


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="New folder for images and maps.")
@click.option("--caption", required=True, metavar="TEXT", help="What the images are to show, or show, in words.")
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    help="Measured images to look at, in crops of the run's size. [default: images are drawn]",
)
@click.option(
    "-n", "--count", type=click.IntRange(min=1), default=4, show_default=True, help="Images, or crops at most."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Same seed, same images.")
@click.option("--steps", type=click.IntRange(min=1), help="Noise levels. [default: the run's]")
@click.option(
    "--ask", "asked", multiple=True, metavar="NAME=VALUE", help="Of other conditions of the run. May be repeated."
)
@click.option("--solver", metavar="NAME", help="How noise levels are gone through, as 'heun'.")
@click.option("--guidance", type=click.FloatRange(min=0), metavar="W", help="Weight of the caption; 1 as trained.")
@click.option("--text-encoder", type=click.Path(path_type=Path), help="Folder of the run's encoder, if it has moved.")
@click.option("--batch-size", type=click.IntRange(min=1), default=16, show_default=True, help="Images at a time.")
@click.option(
    "--format", "extension", metavar="ENDING", help="As .tif or .nrrd. [default: .png for 8 bit, .tif for the rest]"
)
@click.option("--cpu", is_flag=True, help="Stay on the CPU even where there is a GPU.")
@click.option(
    "--sheet",
    type=click.Path(path_type=Path),
    metavar="PNG",
    help="Write the picture here. [default: attention.png in --out]",
)
@reading_options  # fmt: skip
def attend(run: Path, out: Path, caption: str, images: Path | None, count: int, seed: int, steps: int | None,
           asked: tuple[str, ...], solver: str | None, guidance: float | None, text_encoder: Path | None,
           batch_size: int, extension: str | None, cpu: bool, sheet: Path | None, **reading: Any) -> None:  # fmt: skip
    """See where each word of a caption acts, in images that a diffusion RUN draws or in measured ones.

    For runs that read captions by attention across: ddpm and its like, latent_diffusion, and dit with
    conditioning=cross_attention. Writes the images, a map for each word (maps/, shares of attention as 32 bit TIFF),
    and a picture with the words as titles.
    """
    from morphogen.generation.attend import attend as attended
    from morphogen.report.attention_figure import write_attention
    from morphogen.whole_files import require_writable_file

    unread = given_options(READING)
    if images is None and unread:
        raise Problem(f"no images are read: {unread} says nothing of what is drawn",
                      do="leave it out, or name measured images with --images")  # fmt: skip
    if images is not None and asked:
        raise Problem("measured images are looked at as they are: --ask says nothing of them", do="leave it out")
    if sheet is not None:
        require_writable_file(sheet, made=out)
    found = attended(run, caption, images=None if images is None else read_set(images, reading), count=count, seed=seed,
                     steps=steps, asked=wishes_of(asked), solver=solver, guidance=guidance, text_encoder=text_encoder,
                     batch_size=batch_size, folder=out, extension=extension, cpu=cpu)  # fmt: skip
    tell_of(found.images, out, None)
    click.echo(f"{len(found.words)} maps for each of them in {out / 'maps'}")
    click.echo(
        f"Picture: {write_attention(list(found.images), found.words, found.maps, sheet or out / 'attention.png')}"
    )
