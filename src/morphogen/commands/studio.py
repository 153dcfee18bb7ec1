"""The studio: pages in the browser over a workspace."""

from pathlib import Path

import click

from morphogen.commands.options import require_libraries, serving_options


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--with", "elsewhere", type=click.Path(path_type=Path), multiple=True, metavar="PATH",
    help="A set or a run that lies elsewhere, to be used from there. Remembered. May be repeated.",
)  # fmt: skip
@serving_options(8770)
def studio(folder: Path, elsewhere: tuple[Path, ...], host: str, port: int, token: str) -> None:
    """Look, train, generate, edit and compare in the browser; sets and runs are those in FOLDER.

    Every page shows the command for what it does. Work runs on when the browser is closed and when the studio is
    stopped by Ctrl-C. FOLDER is made where it is missing. There is no encryption on the way: beyond loopback put it
    behind a server that has https.
    """
    require_libraries("the studio", "fastapi", "uvicorn")
    from morphogen.studio.server import serve

    serve(folder, elsewhere=elsewhere, host=host, port=port, token=token, tell=click.echo)
