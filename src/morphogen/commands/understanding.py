"""Words and images: captions from what is measured, and what a CLIP makes of images."""

from pathlib import Path
from typing import Any

import click

from morphogen.commands.options import SIZE, read_set, reading_options, text_encoder_option
from morphogen.problems import Problem

_CLIP = click.argument("clip", metavar="CLIP", type=click.Path(path_type=Path))
_JSON = click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the records to this file too.")
_SEED = click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the intervals.")


@click.command()
@click.argument("images", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="New folder.")
@click.option("--specimen", default="rock", show_default=True, metavar="KIND", help="rock, fiber or root.")
@click.option("--segmentation", metavar="HOW", help="How the phase is told; by default as KIND says.")
@click.option(
    "--crop",
    type=SIZE,
    help="Cut images into fields of this height and width first, so that each caption is true of its field.",
)
@reading_options  # fmt: skip
def caption(images: Path, out: Path, specimen: str, segmentation: str | None, crop: tuple[int, int] | None,
            **reading: Any) -> None:  # fmt: skip
    """Write IMAGES with captions of what is measured in them, in the words of their KIND.

    For 'train clip', '--condition caption', and CLIPScore, where nobody wrote captions. They stand in manifest.json,
    and in captions.csv to be read and changed. Look at the segmentation first ('morphogen segment').
    """
    from morphogen.evaluation.captioning import caption as with_captions
    from morphogen.images.folders import write_captions, write_images
    from morphogen.whole_files import require_free_folder

    require_free_folder(out, "images and captions")
    told, found = with_captions(read_set(images, reading), specimen=specimen, segmentation=segmentation, crop=crop)
    write_images(told, out)
    write_captions(told, out)
    click.echo(
        f"{len(told)} images with captions in {out}, pixels {found.words}; the first: {told[0].labels['caption']}"
    )


@click.command()
@_CLIP
@click.argument("images", type=click.Path(path_type=Path))
@click.option(
    "-c", "--captions", "texts", multiple=True, required=True, metavar="TEXT",
    help="A class in words, as 'microCT of rock'. Give two or more.",
)  # fmt: skip
@click.option("--label", metavar="NAME", help="What says which class is right. [default: class folder, else caption]")
@click.option("--figure", type=click.Path(path_type=Path), help="Draw the confusion matrix to this PNG file.")
@click.option("--each", is_flag=True, help="Print a line an image.")
@_JSON
@_SEED
@text_encoder_option
@reading_options  # fmt: skip
def classify(clip: Path, images: Path, texts: tuple[str, ...], label: str | None, figure: Path | None, each: bool,
             json_file: Path | None, seed: int, text_encoder: Path | None, **reading: Any) -> None:  # fmt: skip
    """Put each of IMAGES to the caption that CLIP finds most like it, without training on any class.

    CLIP is a run of 'train clip', or a folder with a CLIPModel of transformers. Where images lie in folders named by
    class, or have captions, the accuracy is given with its 95 % interval.
    """
    from rich.console import Console

    from morphogen.evaluation.zero_shot import classify as put_to_captions
    from morphogen.report.confusion_figure import require_png, write_confusion
    from morphogen.report.terminal import print_classification
    from morphogen.training.image_text import open_image_text
    from morphogen.whole_files import require_writable_file, write_text_whole

    if figure is not None:
        require_png(figure)
        require_writable_file(figure)
    if json_file is not None:
        require_writable_file(json_file)
    model = open_image_text(clip, text_encoder)
    found = put_to_captions(model, read_set(images, reading), texts, label=label, seed=seed)
    if json_file is not None:
        write_text_whole(json_file, found.model_dump_json(indent=1))
    print_classification(found, Console(), each=each)
    if figure is not None:
        write_confusion(found, figure)
        click.echo(f"Figure: {figure}")


@click.command()
@_CLIP
@click.argument("images", type=click.Path(path_type=Path))
@click.option("--caption", "text", metavar="TEXT", help="What to look for: the images that fit it best come first.")
@click.option("-n", "--count", type=click.IntRange(min=1), default=16, show_default=True, help="Images to show.")
@click.option(
    "--of", type=click.IntRange(min=2), default=64, show_default=True,
    help="Without --caption: captions that the own one of each image is to be found among.",
)  # fmt: skip
@click.option("--sheet", type=click.Path(path_type=Path), help="Write the images to this PNG file, best first.")
@_JSON
@_SEED
@text_encoder_option
@reading_options  # fmt: skip
def retrieve(clip: Path, images: Path, text: str | None, count: int, of: int, sheet: Path | None,
             json_file: Path | None, seed: int, text_encoder: Path | None, **reading: Any) -> None:  # fmt: skip
    """Find among IMAGES those that fit a caption best, or say how often CLIP finds the right caption.

    CLIP is a run of 'train clip', or a folder with a CLIPModel of transformers. Without --caption, the image of each
    caption is held against --of different ones, and it is counted how often its own comes first.
    """
    from rich.console import Console

    from morphogen.evaluation.retrieval import caption_retrieval
    from morphogen.evaluation.retrieval import retrieve as find_images
    from morphogen.report.confusion_figure import require_png
    from morphogen.report.figures import write_contact_sheet
    from morphogen.report.terminal import print_caption_retrieval, print_retrieved
    from morphogen.training.image_text import open_image_text
    from morphogen.whole_files import require_writable_file, write_text_whole

    if sheet is not None:
        if text is None:
            raise Problem("a contact sheet shows the images of one caption", do="give it with --caption")
        require_png(sheet)
        require_writable_file(sheet)
    if json_file is not None:
        require_writable_file(json_file)
    model, pictures = open_image_text(clip, text_encoder), read_set(images, reading)
    if text is None:
        found = caption_retrieval(model, pictures, of=of, seed=seed)
        if json_file is not None:
            write_text_whole(json_file, found.model_dump_json(indent=1))
        print_caption_retrieval(found, Console())
        return
    order, likeness = find_images(model, pictures, text)
    if json_file is not None:
        write_text_whole(json_file, "[" + ",\n ".join(one.model_dump_json() for one in likeness) + "]\n")
    print_retrieved(text, model.name, likeness[:count], Console())
    if sheet is not None:
        write_contact_sheet([pictures[k] for k in order[:count]], sheet)
        click.echo(f"Contact sheet: {sheet}")
