"""Training: methods, and students of diffusion runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from morphogen.commands.options import (
    OF_SOURCES,
    SIZE,
    is_main_process,
    name_value_pairs,
    read_set,
    reading_options,
    text_encoder_option,
)
from morphogen.problems import Problem

if TYPE_CHECKING:
    from morphogen.images.image_set import Pictures
    from morphogen.training.run import Run

_PRECISION = "bf16 is faster where a GPU or a CPU has it, and the default on such a GPU."


@click.command()
@click.argument("method", metavar="METHOD")
@click.argument("images", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Run folder; by default runs/METHOD, numbered.")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="Budget in seconds. [default: 600]")
@click.option("--images-seen", type=click.IntRange(min=1), help="Budget in training images seen, instead of seconds.")
@click.option(
    "--crop",
    type=SIZE,
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
    help="Folder of the encoder that reads captions, where --condition caption is given and the method reads texts, and"
    " for clip. [default: MiniLM, from its package]",
)
@click.option(
    "--context",
    metavar="masks|edges|FOLDER",
    help="Of a diffusion method: tell it the mask of each image, its edges, or the image of the same name in another"
    " folder. It makes images for such masks, edges or images, then. --grey, --shrink and --axis apply to them too.",
)
@click.option(
    "--sources",
    type=click.Path(path_type=Path),
    help="For a method that translates: the images that it starts from. --grey, --shrink and --axis apply to them too;"
    " --files, --specimen-pattern and --pixel-size don't.",
)
@click.option(
    "--image-vector",
    type=click.Path(path_type=Path),
    metavar="CLIP_RUN",
    help="Of a diffusion method: tell it the vector that this run of 'train clip' has of each crop. It draws variations"
    " of images then. clip_prior learns to draw such vectors for captions. Crops must be those of the CLIP.",
)
@click.option("--samples-every", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS",
              help="Save so often and draw a few images of what was learnt so far, into samples/ of the run. The time"
              " that they take is part of a budget in seconds.")  # fmt: skip
@click.option("--precision", type=click.Choice(["fp32", "bf16"]), help=_PRECISION)
@click.option("--compile", "compiled", is_flag=True, help="Use torch.compile, on a GPU.")
@click.option("--continue", "go_on", is_flag=True, help="Go on with the run in --out to this budget.")
@click.option("--cpu", is_flag=True, help="Stay on the CPU even where there is a GPU.")
@reading_options  # fmt: skip
def train(method: str, images: Path, out: Path | None, seconds: float | None, images_seen: int | None,
          crop: tuple[int, int], specimen: str | None, symmetries: tuple[str, ...], given: tuple[str, ...],
          seed: int, clip_percent: float, with_masks: bool, conditions: tuple[str, ...], text_encoder: Path | None,
          context: str | None, sources: Path | None, image_vector: Path | None, samples_every: float | None,
          precision: str | None, compiled: bool, go_on: bool, cpu: bool, **reading: Any) -> None:  # fmt: skip
    """Train METHOD on random crops of IMAGES; 'morphogen methods' lists the methods.

    'clip' draws nothing: it learns which captions belong to which images. 'clip_prior' draws no images, but the vectors
    that a CLIP would have of images for a caption: see 'generate --prior'.

    Where IMAGES holds triples (before/ and after/, see 'morphogen triples'), the images after are learnt. A method
    that follows instructions is told those before with them, and the instruction; --context and --condition may say
    otherwise.

    Ctrl-C saves and stops; --continue goes on. On several processes or GPUs:
    torchrun --standalone --nproc_per_node 2 -m morphogen train ...
    """
    if seconds is not None and images_seen is not None:
        raise Problem("two budgets were given", do="give --seconds or --images-seen")
    if go_on and out is None:
        raise Problem("it is not said which run to go on with", do="name its folder with --out")
    import yaml

    from morphogen.specimens.specimen import augmentations
    from morphogen.specimens.specimen import specimen as kind_of_specimen

    allowed: frozenset[str] = frozenset(symmetries)
    kind = kind_of_specimen(specimen) if specimen is not None else None
    if kind is not None:
        allowed |= kind.symmetries
    from morphogen.understanding.learners import learner_settings

    settings = {name: yaml.safe_load(value) for name, value in name_value_pairs(given)}
    learner_settings(method, settings)
    from morphogen.training.train import SAVE_EVERY_SECONDS
    from morphogen.training.train import train as train_method
    from morphogen.whole_files import free_folder

    folder = out or free_folder(Path("runs") / method)
    told: Literal["masks", "edges"] | Pictures | None
    told = _context(context, {name: reading[name] for name in OF_SOURCES})
    pictures, told, conditions = _with_triples(method, images, reading, told, conditions)
    samples = None
    if samples_every is not None and is_main_process():
        from morphogen.generation.samples_on_the_way import SamplesOnTheWay

        samples = SamplesOnTheWay(folder, every_seconds=samples_every, text_encoder=text_encoder, cpu=cpu)
    try:
        run = train_method(
            method, pictures, folder, seconds=seconds, images_seen=images_seen, size=crop, settings=settings,
            symmetries=allowed, seed=seed, clip_percent=clip_percent, with_masks=with_masks, conditions=conditions,
            fraction=kind.fraction if kind is not None else None, text_encoder=text_encoder,
            context=told,
            sources=read_set(sources, {name: reading[name] for name in OF_SOURCES}) if sources is not None else None,
            image_vector=image_vector,
            augmentations=augmentations(allowed, lighting_varies=kind is not None and kind.lighting_varies),
            precision=precision, compiled=compiled, go_on=go_on, cpu=cpu, on_report=samples,
            save_every_seconds=SAVE_EVERY_SECONDS if samples_every is None else min(SAVE_EVERY_SECONDS, samples_every),
        )  # fmt: skip
    except KeyboardInterrupt:
        if (folder / "state.safetensors").exists():
            click.echo(f"Stopped and saved; go on with --continue --out {folder}", err=True)
        raise
    if samples is not None:
        samples.draw()
    if is_main_process():
        counters = run.counters
        click.echo(
            f"Trained {method} on {int(counters['images_seen']):,} images in {counters['seconds']:.0f} s: {run.folder}"
        )
        _tell_of_autoencoder(run, pictures, specimen, cpu)


RECONSTRUCTED = 64
"""Fields of the training images that an autoencoder is asked to give back when its training is over."""


def _tell_of_autoencoder(run: "Run", images: "Pictures", specimen: str | None, cpu: bool) -> None:
    """What an autoencoder loses of the images that it learnt, before anything is drawn through it."""
    from morphogen.methods.method import Reconstructs
    from morphogen.understanding.learners import learner_class

    if not issubclass(learner_class(run.record.method), Reconstructs):
        return
    more = f"morphogen reconstruct {run.folder} HELD_OUT --specimen {specimen or 'KIND'} --out BACK"
    if specimen is None:
        click.echo(f"What its autoencoder loses is in all that it draws, and shown by: {more}")
        return
    from rich.console import Console

    from morphogen.generation.reconstruct import reconstruct
    from morphogen.report.reconstruction_figure import measure_losses, print_losses

    try:
        found = reconstruct(run, images, most=RECONSTRUCTED, cpu=cpu)
        losses = measure_losses(found.measured, found.pictures, specimen=specimen, intensity=run.record.intensity,
                                learnt_through=found.learnt_through)  # fmt: skip
    except Problem as problem:  # what was trained must not be called a failure over it
        click.echo(f"What its autoencoder loses could not be measured: {problem}")
        return
    click.echo("What its autoencoder loses of training images, and so all that it draws lacks:")
    print_losses(losses, Console())
    click.echo(f"Of other images: {more}")


@click.command()
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
@text_encoder_option
@click.option("--precision", type=click.Choice(["fp32", "bf16"]), help=_PRECISION)
@click.option("--compile", "compiled", is_flag=True, help="Use torch.compile, on a GPU.")
@click.option("--continue", "go_on", is_flag=True, help="Go on with the student in --out to this budget.")
@click.option("--cpu", is_flag=True, help="Stay on the CPU even where there is a GPU.")
@reading_options  # fmt: skip
def distil(run: Path, images: Path, out: Path, steps: int, seconds: float | None, images_seen: int | None,
           given: tuple[str, ...], context: Path | None, seed: int, text_encoder: Path | None, precision: str | None,
           compiled: bool, go_on: bool, cpu: bool, **reading: Any) -> None:  # fmt: skip
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

    settings = {name: yaml.safe_load(value) for name, value in name_value_pairs(given)}
    method_settings(STUDENT, settings)
    others = read_set(context, {name: reading[name] for name in OF_SOURCES}) if context is not None else None
    try:
        student = distilled(
            run, read_set(images, reading), out, steps=steps, context=others, seconds=seconds, images_seen=images_seen,
            settings=settings, text_encoder=text_encoder, seed=seed, precision=precision, compiled=compiled,
            go_on=go_on, cpu=cpu,
        )  # fmt: skip
    except KeyboardInterrupt:
        if (out / "state.safetensors").exists():
            click.echo(f"Stopped and saved; go on with --continue --out {out}", err=True)
        raise
    if is_main_process():
        counters = student.counters
        click.echo(
            f"Distilled {run} to {steps} step{'s' * (steps > 1)} on {int(counters['images_seen']):,} images in"
            f" {counters['seconds']:.0f} s: {out}"
        )


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("images", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Run folder of the control.")
@click.option("--by", type=click.Choice(["edges", "masks"]), default="edges", show_default=True,
              help="What is to steer the run: the edges of images, or their masks.")  # fmt: skip
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="Budget in seconds. [default: 600]")
@click.option("--images-seen", type=click.IntRange(min=1), help="Budget in training images seen, instead of seconds.")
@click.option("-p", "--set", "given", multiple=True, metavar="NAME=VALUE",
              help="A setting of the control, as 'learning_rate=1e-3'; 'morphogen methods controlled' shows"
              " them.")  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Same seed, same control.")
@text_encoder_option
@click.option("--precision", type=click.Choice(["fp32", "bf16"]), help=_PRECISION)
@click.option("--continue", "go_on", is_flag=True, help="Go on with the control in --out to this budget.")
@click.option("--cpu", is_flag=True, help="Stay on the CPU even where there is a GPU.")
@reading_options  # fmt: skip
def control(run: Path, images: Path, out: Path, by: 'Literal["edges", "masks"]', seconds: float | None,
            images_seen: int | None, given: tuple[str, ...], seed: int, text_encoder: Path | None,
            precision: str | None, go_on: bool, cpu: bool, **reading: Any) -> None:  # fmt: skip
    """Train what steers a diffusion RUN by edges or masks; the run itself stays as it is.

    IMAGES are those that the run was trained on; the edges are found in them. 'generate OUT --context FOLDER' then
    draws for the edges of other images, for drawings of edges in two grey levels, or for masks.
    """
    if seconds is not None and images_seen is not None:
        raise Problem("two budgets were given", do="give --seconds or --images-seen")
    import yaml

    from morphogen.methods.method import method_settings
    from morphogen.training.control import CONTROL
    from morphogen.training.control import control as controlled

    settings = {name: yaml.safe_load(value) for name, value in name_value_pairs(given)}
    method_settings(CONTROL, settings)
    try:
        steered = controlled(
            run, read_set(images, reading), out, by=by, seconds=seconds, images_seen=images_seen, settings=settings,
            text_encoder=text_encoder, seed=seed, precision=precision, go_on=go_on, cpu=cpu,
        )  # fmt: skip
    except KeyboardInterrupt:
        if (out / "state.safetensors").exists():
            click.echo(f"Stopped and saved; go on with --continue --out {out}", err=True)
        raise
    if is_main_process():
        counters = steered.counters
        click.echo(
            f"Trained a control of {run} by {by} on {int(counters['images_seen']):,} images in"
            f" {counters['seconds']:.0f} s: {out}"
        )


def _context(given: str | None, reading: dict[str, Any]) -> 'Literal["masks", "edges"] | Pictures | None':
    """What a method is told beside conditions; a folder called masks is ./masks."""
    if given == "masks" or given == "edges":
        return "masks" if given == "masks" else "edges"
    return None if given is None else read_set(Path(given), reading)


def _with_triples(
    method: str,
    path: Path,
    reading: dict[str, Any],
    told: 'Literal["masks", "edges"] | Pictures | None',
    conditions: tuple[str, ...],
) -> 'tuple[Pictures, Literal["masks", "edges"] | Pictures | None, tuple[str, ...]]':
    """The images to train on, what is told with them, and their conditions; of triples the images after."""
    from morphogen.images.conditions import INSTRUCTION
    from morphogen.images.triples import is_triples, read_triples

    if not is_triples(path):
        return read_set(path, reading), told, conditions
    from morphogen.understanding.learners import learner_class

    read = read_triples(path, **reading)
    if not learner_class(method).needs_context:
        return read.after, told, conditions
    return read.after, read.before if told is None else told, conditions or (INSTRUCTION,)


@click.command()
@click.argument("method", required=False)
@click.option("--json", "as_json", is_flag=True, help="All methods with all that is known of them, for programs.")
def methods(method: str | None, as_json: bool) -> None:
    """List the methods, or the settings of METHOD."""
    from morphogen.methods.method import method_names
    from morphogen.understanding.learners import learner_class, learner_settings, understanding_names

    names = (*method_names(), *understanding_names())
    if as_json:
        if method is not None:
            raise Problem("--json tells of all methods", do="leave METHOD out")
        import json

        click.echo(json.dumps([_known_of(name) for name in names], indent=1))
        return
    if method is None:
        for name in names:
            click.echo(f"{name:<16} {learner_class(name).title}")
        return
    for name, field in type(learner_settings(method)).model_fields.items():
        click.echo(f"{name:<20} by default {field.default!r}: {field.description or ''}")


def _known_of(name: str) -> dict[str, Any]:
    """What a program that offers a method must know of it."""
    import sys

    from morphogen.methods.method import GenerativeMethod
    from morphogen.understanding.learners import learner_class, learner_settings

    kind, settings = learner_class(name), learner_settings(name)
    sizes = kind.sizes(settings)
    described = type(settings).model_json_schema()["properties"]
    defaults = settings.model_dump(mode="json")
    return {
        "name": name,
        "title": kind.title,
        "words": (sys.modules[kind.__module__].__doc__ or "").partition("\n")[0],
        "draws_images": issubclass(kind, GenerativeMethod),
        "conditional": kind.conditional,
        "reads_text": kind.reads_text,
        "takes_context": kind.takes_context,
        "needs_context": kind.needs_context,
        "translates": kind.translates,
        "learns_from": kind.learns_from,
        "learns_captions": kind.learns_captions,
        "learns_image_vectors": kind.learns_image_vectors,
        "multiple_of": sizes.multiple_of,
        "at_least": sizes.at_least,
        "settings": [
            {"name": known, "default": defaults[known], "description": told.get("description", "")}
            for known, told in described.items()
        ],
    }
