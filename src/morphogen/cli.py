"""The command line. Every command that makes something is a plain Python call, ``morphogen.NAME``.

It has the name of the command, except ``make_phantoms``, ``make_triples``, ``asked_and_given`` and ``audit_metrics``;
those of a review are ``new_review``, ``serve_review`` and ``review_results``, that of the studio ``serve_studio``;
``translate`` is what ``generate --sources`` calls, ``text_to_image`` what ``generate`` calls for a pipeline. Nothing
heavy is imported before a command runs, so that ``--help`` answers at once.
"""

import errno
import os
import sys
import traceback
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import click

import morphogen
from morphogen.commands import (
    data_sets,
    editing,
    evidence,
    generation,
    images,
    pipelines,
    review,
    studio,
    training,
    understanding,
)
from morphogen.problems import Problem


class _Commands(click.Group):
    """Commands in the order of the work, not of the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(morphogen.__version__, prog_name="morphogen")
def cli() -> None:
    """Synthetic images of rocks, composites and roots that a scientist can defend.

    Measured images in; a VAE, a GAN or a diffusion model trained on them; images generated; and evidence
    out: how far they are from the measured ones, in units of how far measured ones are from each other.
    """


for _command in (
    data_sets.fetch, images.phantom, images.triples, images.describe, images.split, images.segment, images.tiff,
    understanding.caption,
    training.train, training.distil, training.control,
    generation.generate, generation.interpolate, generation.mix, generation.project, generation.likelihood,
    generation.reconstruct, generation.attend, editing.edit, understanding.classify, understanding.retrieve,
    evidence.evaluate, evidence.asked, evidence.study, evidence.audit, review.review,
    studio.studio,
    pipelines.lora, pipelines.export, pipelines.order,
    training.methods, editing.editors,
):  # fmt: skip
    cli.add_command(_command)


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


if __name__ == "__main__":
    main()
