"""Evidence: sets compared, what was asked and given, studies, and an audit of the metrics."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import morphogen
from morphogen.command_line import command_line
from morphogen.commands.options import (
    SIZE,
    is_main_process,
    open_clips,
    read_set,
    reading_options,
    text_encoder_option,
)
from morphogen.problems import Problem

if TYPE_CHECKING:
    from morphogen.images.image_set import Pictures


@click.command()
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
@click.option(
    "--clip",
    "clips",
    type=click.Path(path_type=Path),
    multiple=True,
    help="A run of 'train clip', or a folder with a CLIPModel of transformers: CLIPScore of every set whose images have"
    " captions. May be repeated.",
)
@click.option("--caption", metavar="TEXT", help="With --clip: hold all images against this, not their own captions.")
@text_encoder_option
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
@reading_options  # fmt: skip
def evaluate(measured: Path, generated: tuple[Path, ...], specimen: str, training: Path | None, another: Path | None,
             floor: Path | None, segmentation: str | None, paired: bool, grey_range: tuple[float, float] | None,
             features: tuple[str, ...], inception: Path | None, download_inception: bool, worth_crops: int | None,
             clips: tuple[Path, ...], caption: str | None, text_encoder: Path | None, micrometres: bool,
             fields_at_most: int, seed: int, json_file: Path | None, out: Path | None,
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
    reference = read_set(measured, reading)
    if paired:
        if len(generated) != 1:
            raise Problem("pairs are made of two folders", do="give one --generated with --paired")
        unread = (out, training, floor, another, segmentation, caption, text_encoder)
        if clips or any(given is not None for given in unread):
            raise Problem(
                "--paired compares pairs and nothing else",
                do="leave --out, --training, --floor, --another, --segmentation, --clip, --caption and --text-encoder"
                " out",
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
    learned = read_set(training, reading) if training is not None else None
    if worth_crops is not None and learned is None:
        raise Problem("usefulness needs the training images", do="name them with --training")
    size, allowed = sets[next(iter(sets))][0].size, kind_of_specimen(specimen).symmetries
    if worth_crops is not None and learned is not None:
        require_trainable(learned, sets, reference, size, seeds=3)
    models = open_clips(clips, text_encoder)
    with status("Comparing") as tell:
        found = compare_sets(
            measured=reference, generated=sets, specimen=specimen, training=learned, another=others,
            floor=read_set(floor, reading) if floor is not None else None, segmentation=segmentation, features=features,
            inception=inception, download_inception=download_inception, fields_at_most=fields_at_most,
            in_micrometres=micrometres, clips=models, caption=caption, seed=seed, progress=tell,
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

        page = write_evaluation_page(
            found, out, kind=specimen, measured=reference, generated=sets, another=others, training=learned,
            usefulness=worth,
            arguments={"seed": seed, "fields": fields_at_most, "features": list(features)},
            command=command_line(), seconds=time.perf_counter() - started,
        )  # fmt: skip
        click.echo(page)


@click.command()
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
@reading_options  # fmt: skip
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
        drawn, specimen=specimen, measured=read_set(measured, reading), segmentation=segmentation, seen=seen, seed=seed,
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


@click.command()
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

    A RECIPE that says 'compares: editors' asks editors for edits whose answer is known; docs/editing_study.md has it.
    Without a RECIPE: three small phantom sets that the program makes itself.
    """
    from morphogen.studies.study import study as run_study

    page = run_study(recipe, images=images, folder=out, only=only, seconds=seconds, go_on=go_on, cpu=cpu)
    if is_main_process():
        _print_if_of_editors(page)
        click.echo(page)


def _print_if_of_editors(page: Path) -> None:
    """A study of editors is summed up in a table; one of methods has too much to say."""
    import json

    text = page.with_name("study.json").read_text(encoding="utf-8")
    if "sets" not in json.loads(text):
        return
    from rich.console import Console

    from morphogen.report.editing_record import EditingRecord
    from morphogen.report.terminal import print_edits

    print_edits(EditingRecord.from_json(text), Console())


@click.command()
@click.argument("kind", metavar="KIND")
@click.argument("images", required=False, type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Folder; by default audits/KIND, numbered.")
@click.option("--crop", type=SIZE, default=(64, 64), show_default=True, help="Height and width of a field.")
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
@click.option(
    "--clip",
    "clips",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Audit the CLIPScore, too, by this run of 'train clip' or this CLIPModel of transformers. May be repeated.",
)
@click.option("--caption", metavar="TEXT", help="With --clip: hold all images against this, not their own captions.")
@text_encoder_option
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Same seed, same audit.")
@reading_options  # fmt: skip
def audit(kind: str, images: Path | None, out: Path | None, crop: tuple[int, int], sizes: tuple[int, ...],
          defects: tuple[str, ...], segmentation: str | None, clips: tuple[Path, ...], caption: str | None,
          text_encoder: Path | None, seed: int, **reading: Any) -> None:  # fmt: skip
    """Ask the metrics themselves: which of them see what is wrong with an image?

    Damages measured IMAGES, or phantoms of KIND where none are given, in graded, physically named ways, and scores
    every metric by whether it sees the damage. Writes a page with one matrix.
    """
    import time

    from morphogen.audit.audit import audit as audit_metrics
    from morphogen.audit.instruments import CaptionScores
    from morphogen.progress import console, status
    from morphogen.report.audit_page import write_audit_page
    from morphogen.whole_files import free_folder, require_free_folder

    if caption is not None and not clips:
        raise Problem("a caption is given, and no CLIP to read it", do="name one with --clip")
    started = time.perf_counter()
    folder = require_free_folder(out, "the audit") if out is not None else free_folder(Path("audits") / kind)
    measured = read_set(images, reading) if images is not None else None
    models = open_clips(clips, text_encoder)
    with status("Auditing") as tell:
        found = audit_metrics(
            kind=kind, measured=measured, size=crop, n=sizes, defects=defects or None, segmentation=segmentation,
            instruments=lambda _: [CaptionScores(model, caption) for model in models], seed=seed, progress=tell,
        )  # fmt: skip
    page = write_audit_page(
        found.audit, found.examples, folder, command=command_line(), seconds=time.perf_counter() - started,
        version=morphogen.__version__,
    )  # fmt: skip
    where = console()
    where.print(f"{len(found.audit.defects)} defects, {len(found.audit.metrics)} metrics")
    click.echo(page)
