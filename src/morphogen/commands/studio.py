"""The studio: pages in the browser over a workspace."""

import importlib.util
from pathlib import Path

import click

from morphogen.problems import Problem


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--with", "elsewhere", type=click.Path(path_type=Path), multiple=True, metavar="PATH",
    help="A set or a run that lies elsewhere, to be used from there. Remembered. May be repeated.",
)  # fmt: skip
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", type=click.IntRange(0, 65535), default=8770, show_default=True, help="0 for any that is free.")
@click.option(
    "--token", default="", metavar="TEXT",
    help="What every address begins with; needed for any but loopback. 16 letters or more.",
)  # fmt: skip
def studio(folder: Path, elsewhere: tuple[Path, ...], host: str, port: int, token: str) -> None:
    """Look, train, generate, edit and compare in the browser; sets and runs are those in FOLDER.

    Every page shows the command for what it does. Work runs on when the browser is closed and when the studio is
    stopped by Ctrl-C. FOLDER is made where it is missing. There is no encryption on the way: beyond loopback put it
    behind a server that has https.
    """
    missing = [name for name in ("fastapi", "uvicorn") if importlib.util.find_spec(name) is None]
    if missing:
        raise Problem(f"the studio needs {' and '.join(missing)}", do="pip install 'morphogen[review]'")
    from morphogen.studio.server import serve

    serve(folder, elsewhere=elsewhere, host=host, port=port, token=token, tell=click.echo)
