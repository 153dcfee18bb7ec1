"""Public data sets: what there is, and fetching one."""

import textwrap
from collections.abc import Callable
from pathlib import Path

import click

from morphogen.problems import Problem


@click.command()
@click.argument("name", required=False)
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Folder for the data; one called NAME by default.")
@click.option("--list", "listing", is_flag=True, help="Show the sets: what, size, licence, DOI, how to cite.")
@click.option("--from", "given", type=click.Path(path_type=Path), metavar="FILE",
              help="A file of the set that you downloaded yourself: it is checked, unpacked and recorded.")  # fmt: skip
@click.option("--keep", is_flag=True, help="Keep archives after they were unpacked.")
def fetch(name: str | None, out: Path | None, listing: bool, given: Path | None, keep: bool) -> None:
    """Fetch the public data set NAME, with its licence and DOI beside it.

    A download that was cut off goes on where it was, when the same is asked again. Checksums are held against those
    that are published, or where nobody states one, against that of the first download.
    """
    from morphogen.data_sets.data_set import data_set, data_set_names
    from morphogen.data_sets.fetch import fetch as fetch_set

    if listing:
        for one in map(data_set, data_set_names() if name is None else [name]):
            click.echo(f"{one.name}: {one.title}")
            by_hand = f"by hand: {one.by_hand}" if one.by_hand else ""
            doi = f"{one.doi}" + (" (of the paper)" if one.doi_is == "paper" else "")
            for what, words in (("", one.about), ("size", one.size), ("licence", one.licence), ("DOI", doi),
                                ("cite", one.cite), ("from", one.page), ("fetch", by_hand)):  # fmt: skip
                if words:
                    first = f"  {what:<8}"
                    click.echo(textwrap.fill(words, 110, initial_indent=first, subsequent_indent=" " * len(first)))
            click.echo()
        return
    if name is None:
        raise Problem("it is not said what to fetch", do="name a set; --list shows them")
    described = data_set(name)
    click.echo(f"{described.title}. Licence: {described.licence} {described.licence_url}".rstrip())
    found = fetch_set(name, out, given=given, keep=keep, tell=_progress)
    for file in found.source.files:
        unpacked = f", {file.unpacked_files} files unpacked" if file.unpacked_files else ""
        click.echo(f"{file.name}: {file.size:,} bytes{unpacked}; {file.checked}")
    for remark in found.remarks:
        click.echo(textwrap.fill(remark, 110))
    click.echo(f"In {found.folder}, with source.json. Cite: {found.source.cite}")
    click.echo(f"Then: {found.next}")


def _progress(name: str) -> Callable[[int, int | None], None]:
    """A line of progress on a terminal; nothing in a log."""
    from morphogen.progress import console

    where = console()
    if not where.is_terminal:
        return lambda _have, _of: None

    def told(have: int, of: int | None) -> None:
        share = f" of {of / 1e6:,.0f} MB ({have / of:.0%})" if of else " MB"
        where.file.write(f"\r{name}: {have / 1e6:,.0f}{share}   ")
        where.file.flush()
        if of and have >= of:
            where.file.write("\n")

    return told
