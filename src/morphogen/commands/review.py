"""Blind studies with experts: make one, serve it, and read what the answers say."""

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from morphogen.commands.options import SIZE, read_set, reading_options, require_libraries, serving_options
from morphogen.problems import Problem

if TYPE_CHECKING:
    from morphogen.images.image_set import Pictures

KINDS = ("one", "two", "prefer", "rate")


class _InOrder(click.Group):
    """Commands in the order of the work."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=_InOrder)
def review() -> None:
    """A blind study with experts: which image was measured?

    Make one with 'new', serve it in the browser with 'serve', read it with 'results'. docs/review.md has the whole way.
    """


@review.command()
@click.option("--measured", type=click.Path(path_type=Path), required=True, help="Measured images.")
@click.option(
    "--generated",
    type=click.Path(path_type=Path),
    required=True,
    multiple=True,
    help="Generated images of one method. May be repeated.",
)
@click.option("--specimen", default="rock", show_default=True, metavar="KIND", help="rock, fiber or root.")
@click.option(
    "--design",
    "kinds",
    type=click.Choice(KINDS),
    multiple=True,
    default=("one",),
    show_default=True,
    help="one: measured or generated? two: which is measured? prefer: which looks more real, of two methods? rate: how"
    " far does it meet each criterion? May be repeated.",
)
@click.option("--rater", "names", multiple=True, metavar="NAME", help="Name of a rater. May be repeated.")
@click.option("--raters", "count", type=click.IntRange(min=1), help="How many, where they have no names. [default: 4]")
@click.option(
    "--questions", type=click.IntRange(min=2), default=40, show_default=True, help="Of each kind, for each rater."
)
@click.option(
    "--repeats",
    type=click.FloatRange(0, 0.5),
    default=0.1,
    show_default=True,
    help="Share of the questions that is asked again, to see how consistent a rater is.",
)
@click.option(
    "--training",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Questions in front whose answer is told. Raters learn from them.",
)
@click.option("--size", type=SIZE, help="Height and width of what is shown. [default: those of the generated images]")
@click.option(
    "--slices",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Of volumes: so many consecutive slices are one image.",
)
@click.option(
    "--criterion", "criteria", multiple=True, metavar="TEXT",
    help="A statement to rate, in place of those of the kind of specimen. May be repeated.",
)  # fmt: skip
@click.option("--title", default="", help="Heading of the page that raters see.")
@click.option(
    "--key",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE|-",
    help="Where the opening code goes, away from the study: the server does not start where it can read this file."
    " '-' shows it once and writes it nowhere.",
)
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="New folder for the study.")
@reading_options  # fmt: skip
def new(measured: Path, generated: tuple[Path, ...], specimen: str, kinds: tuple[Any, ...], names: tuple[str, ...],
        count: int | None, questions: int, repeats: float, training: int, size: tuple[int, int] | None, slices: int,
        criteria: tuple[str, ...], title: str, key: Path, out: Path, **reading: Any) -> None:  # fmt: skip
    """Design a study, seal which image is which, and write it to a folder.

    Every image goes through one pipeline: one size, one grey range, one number of grey levels, plain pixels under
    random names. The reading options apply to the measured images; --grey, --axis and --pixel-size (where it is
    unknown) to the generated ones too.
    """
    require_libraries("a review", "cryptography")
    from morphogen.images.folders import read_images, with_pixel_size
    from morphogen.review.making import new_review
    from morphogen.review.sealing import write_code
    from morphogen.whole_files import require_writable_file

    if names and count:
        raise Problem("raters are named and counted", do="give --rater or --raters")
    shown = str(key) == "-"
    if not shown:
        if out.absolute() in key.absolute().parents:
            raise Problem(f"{key} lies in the study folder", do="put the key somewhere else")
        require_writable_file(key)
    short = len({path.name for path in generated}) == len(generated)

    def drawn(path: Path) -> "Pictures":
        read = read_images(path, grey=reading["grey"], axis=reading["axis"])
        return with_pixel_size(read, reading["pixel_size_um"])

    made = new_review(
        out,
        measured=read_set(measured, reading),
        generated={path.name if short else str(path): drawn(path) for path in dict.fromkeys(generated)},
        specimen=specimen, raters=names or count or 4, kinds=kinds, questions=questions, repeats=repeats,
        training=training, size=size, slices=slices, criteria=criteria, title=title,
        key_place="" if shown else str(key.absolute()),
    )  # fmt: skip
    design = made.study.design
    if shown:
        click.echo(f"Opening code, shown this once; without it the study cannot be read:\n  {made.code}")
    else:
        try:
            write_code(made.code, key)
        except Problem:
            shutil.rmtree(out)  # a study that nobody could ever open
            raise
        click.echo(f"Opening code: {key}. Take it away from the machine that serves; without it nothing can be read.")
    slices_, height, width, _ = design.shape
    volume = f"{slices_} x " if slices_ > 1 else ""
    click.echo(
        f"{len(design.images)} images of {volume}{height} x {width} with {design.levels} grey levels,"
        f" {len(design.raters)} raters, {len(design.raters[0].questions)} questions each, in {out}"
    )
    click.echo(f"Key sealed: SHA-256 {made.study.key_sha256}")
    for note in made.notes:
        click.echo(f"Note: {note}", err=True)
    click.echo(f"Next: morphogen review serve {out}")


@review.command()
@click.argument("study", type=click.Path(path_type=Path))
@serving_options(8765)
@click.option(
    "--address",
    default="",
    metavar="URL",
    help="Where raters find it, if a server with https passes on to this one: 'https://review.example'. Needs a token.",
)
def serve(study: Path, host: str, port: int, token: str, address: str) -> None:
    """Serve a study in the browser, until Ctrl-C.

    Prints each rater's personal link. Answers are on the disk before they are acknowledged; a server that was killed
    goes on where it was. There is no encryption on the way: beyond loopback put it behind one that has https, and
    say --address.
    """
    require_libraries("a review", "fastapi", "uvicorn", "cryptography")
    from morphogen.review.server import serve as serve_study

    serve_study(study, host=host, port=port, token=token, address=address, tell=lambda line: click.echo(line))
    sys.stdout.flush()


@review.command()
@click.argument("study", type=click.Path(path_type=Path))
@click.option(
    "--key", type=click.Path(path_type=Path), required=True, metavar="FILE|-",
    help="The file with the opening code; '-' asks for the code.",
)  # fmt: skip
@click.option(
    "--evidence",
    type=click.Path(path_type=Path),
    help="Folder that 'evaluate --out' or 'study' wrote for the same sets: their metrics are held against what people"
    " say, and the review is put into that page.",
)
@click.option(
    "--margin",
    type=click.FloatRange(0, 0.5, min_open=True, max_open=True),
    default=0.1,
    show_default=True,
    help="Accuracies within this of one half count as not telling apart.",
)
@click.option("-o", "--out", type=click.Path(path_type=Path), help="New folder for page, records and answers.")
def results(study: Path, key: Path, evidence: Path | None, margin: float, out: Path | None) -> None:
    """Open the key and say what the answers mean.

    Opening is recorded in the study folder: answers that come later are counted apart.
    """
    require_libraries("a review", "cryptography")
    from rich.console import Console

    from morphogen.report.page import environment  # noqa: F401  (what pages need is there before the key is opened)
    from morphogen.review.results import review_results
    from morphogen.review.results_page import print_results, read_evidence, write_results
    from morphogen.review.sealing import read_code
    from morphogen.whole_files import require_free_folder

    if out is not None:
        require_free_folder(out, "the results")
    known = read_evidence(evidence) if evidence is not None else None
    code = click.prompt("Opening code", hide_input=True) if str(key) == "-" else read_code(key)
    found = review_results(study, code, evidence=known, margin=margin)
    print_results(found.results, Console())
    if out is not None:
        click.echo(write_results(found, out, evidence))
