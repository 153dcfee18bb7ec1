"""Pipelines of diffusers and hosted services: teach one, export to one, order from one."""

from pathlib import Path
from typing import Any

import click

from morphogen.commands.options import SIZE, read_set, reading_options, tell_of, text_encoder_option
from morphogen.problems import Problem


@click.command()
@click.argument("pipeline", type=click.Path(path_type=Path))
@click.argument("images", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Folder for the LoRA.")
@click.option("--rank", type=click.IntRange(min=1), default=8, show_default=True, help="Of the changes.")
@click.option(
    "--caption",
    metavar="TEXT",
    help="What all images show. [default: each has its own, as a column 'caption' of labels.csv or in the manifest]",
)
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="Budget in seconds. [default: 600]")
@click.option("--images-seen", type=click.IntRange(min=1), help="Budget in training images seen, instead of seconds.")
@click.option("--crop", type=SIZE, help="Height and width of the crops. [default: what the pipeline learnt from]")
@click.option("--specimen", metavar="KIND", help="rock, fiber or root: allows the flips and turns of that kind.")
@click.option("--batch-size", type=click.IntRange(min=1), default=4, show_default=True, help="Images a step.")
@click.option(
    "--learning-rate", type=click.FloatRange(min=0, min_open=True), default=2e-4, show_default=True, help="Its highest."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Same seed, same LoRA.")
@click.option(
    "--clip-percent",
    type=click.FloatRange(0, 50, max_open=True),
    default=0.0,
    show_default=True,
    help="Share of extreme pixels at each end that the intensity map may cut.",
)
@click.option("--continue", "go_on", is_flag=True, help="Go on with the LoRA in --out, to the budget given now.")
@click.option("--cpu", is_flag=True, help="Stay on the CPU even where there is a GPU.")
@reading_options  # fmt: skip
def lora(pipeline: Path, images: Path, out: Path, rank: int, caption: str | None, seconds: float | None,
         images_seen: int | None, crop: tuple[int, int] | None, specimen: str | None, batch_size: int,
         learning_rate: float, seed: int, clip_percent: float, go_on: bool, cpu: bool,
         **reading: Any) -> None:  # fmt: skip
    """Teach a text-to-image PIPELINE of diffusers a laboratory's IMAGES, by changes of low rank (LoRA).

    PIPELINE is a folder with a model_index.json and safetensors; it is not changed. Draw with what was learnt by
    'generate PIPELINE --caption ... --lora OUT', edit by 'edit pipeline ... -p lora=OUT'. Ctrl-C saves, and --continue
    goes on where it was.
    """
    if seconds is not None and images_seen is not None:
        raise Problem("two budgets were given", do="give --seconds or --images-seen")
    from morphogen.specimens.specimen import specimen as kind_of_specimen

    symmetries = kind_of_specimen(specimen).symmetries if specimen is not None else frozenset()
    from morphogen.training.lora import lora as taught

    try:
        record = taught(
            pipeline, read_set(images, reading), out, rank=rank, caption=caption, seconds=seconds,
            images_seen=images_seen, size=crop, symmetries=symmetries, seed=seed, clip_percent=clip_percent,
            batch_size=batch_size, learning_rate=learning_rate, go_on=go_on, cpu=cpu,
        )  # fmt: skip
    except KeyboardInterrupt:
        if (out / "lora.json").exists():
            click.echo(f"Stopped and saved; go on with --continue --out {out}", err=True)
        raise
    click.echo(f"Taught {pipeline} on {record.images_seen:,} images in {record.seconds:.0f} s: {out}")


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="New folder for the pipeline.")
@text_encoder_option
def export(run: Path, out: Path, text_encoder: Path | None) -> None:
    """Write a diffusion RUN as a folder that diffusers opens, so that others draw from it without Morphogen.

    DiffusionPipeline.from_pretrained(OUT, trust_remote_code=True) opens it. Runs of ddpm, score_sde, score_langevin and
    latent_diffusion can be exported, unless they are told masks or images, or make masks.
    """
    from morphogen.generation.export import export as exported

    folder = exported(run, out, text_encoder=text_encoder)
    click.echo(f'DiffusionPipeline.from_pretrained("{folder}", trust_remote_code=True)')


@click.command()
@click.option("--caption", required=True, metavar="TEXT", help="What the images are to show.")
@click.option("--model", required=True, metavar="NAME", help="Of the service, as gpt-image-1.")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="New folder for the images.")
@click.option("-n", "--count", type=click.IntRange(min=1), default=1, show_default=True, help="Number of images.")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Another seed, another order in the same words.",
)
@click.option(
    "--address",
    metavar="URL",
    default="https://api.openai.com/v1",
    show_default=True,
    help="Base address of the service.",
)
@click.option(
    "--key-variable",
    metavar="NAME",
    default="OPENAI_API_KEY",
    show_default=True,
    help="Environment variable that holds the key.",
)
@click.option("--key-file", type=click.Path(path_type=Path), help="File that holds the key, instead.")
@click.option("--size", metavar="WxH", default="1024x1024", show_default=True, help="Width x height to ask for.")
@click.option("--price", type=click.FloatRange(min=0), help="Of an image, to tell what the order costs.")
@click.option("--yes", is_flag=True, help="Agree to the cost without being asked.")
@click.option(
    "--answers",
    type=click.Path(path_type=Path),
    default=Path("answers"),
    show_default=True,
    help="Folder where each answer is kept as it arrives, so that nothing is paid for twice.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=180.0,
    show_default=True,
    help="Seconds to wait for an image.",
)
@click.option("--grey", is_flag=True, help="Give the luminance of the images.")
@click.option("--sheet", type=click.Path(path_type=Path), help="Write a contact sheet to this PNG file too.")
def order(caption: str, out: Path, count: int, seed: int, grey: bool, sheet: Path | None, **service: Any) -> None:
    """Order images from a hosted service that speaks OpenAI's protocol, by what they are to show.

    What is sent and what it costs is told first, and somebody has to agree. An order that was cut off goes on where it
    was. Edits go through 'morphogen edit hosted_edit'.
    """
    from pydantic import ValidationError

    from morphogen.generation.hosted import order as ordered
    from morphogen.pretrained.image_service import ServiceSettings
    from morphogen.problems import as_problem
    from morphogen.whole_files import require_writable_file

    if sheet is not None:
        require_writable_file(sheet, made=out)
    try:
        settings = ServiceSettings(**service)
    except ValidationError as error:
        raise as_problem(error, "the service", ServiceSettings) from None
    tell_of(ordered(caption, settings, count=count, seed=seed, grey=grey, folder=out), out, sheet)
