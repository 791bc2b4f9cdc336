"""The command line ``rep3d``: one file a group of commands in rep3d/commands, errors turned into one clear line."""

from __future__ import annotations

import os
import sys

import typer
from rich.console import Console
from rich.text import Text

from rep3d import __version__
from rep3d.commands import (
    card,
    compare,
    demo,
    ensemble,
    erf,
    experiment,
    export,
    fuse,
    info,
    masks,
    models,
    phantom,
    prepare,
    report,
    segment,
    task,
    train,
    weights,
)
from rep3d.commands.needs import check_first
from rep3d.errors import Rep3DError
from rep3d.files import check_name, check_path
from rep3d.runtime.privacy import stay_private

app = typer.Typer(
    name="rep3d",
    help="Rep3D: large-kernel 3D segmentation. Research software, not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for group in (
    demo,
    segment,
    task,
    prepare,
    train,
    fuse,
    ensemble,
    export,
    card,
    compare,
    experiment,
    masks,
    erf,
    report,
    phantom,
    weights,
    info,
    models,
):
    group.register(app)
check_first(app)


def _version(show: bool) -> None:
    if show:
        typer.echo(f"rep3d {__version__}")
        raise typer.Exit()


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    pass


def main() -> None:
    """Run the command line; exit code 0 done, 1 a user error (one line on stderr), 2 wrong usage, 130 interrupted."""
    stay_private()
    try:
        for argument in sys.argv[1:]:
            check_name(argument)
            check_path(argument.partition("=")[2] if argument.startswith("--") else argument, is_name=False)
        app()
    except Rep3DError as error:
        if os.environ.get("REP3D_TRACEBACK"):
            raise
        hint = f"\n  {error.hint}" if error.hint else ""
        # At once: the processes of a training that torchrun started write to one log.
        said = Text.assemble(("error", "bold red"), f" ({error.code}): {error}{hint}")
        Console(stderr=True, soft_wrap=True, highlight=False).print(said)
        sys.exit(1)
    except OSError as error:  # of a path that was looked at: its name is too long, a disk is gone
        if os.environ.get("REP3D_TRACEBACK") or error.filename is None:
            raise
        print(f"error (bad_input): {error.filename}: {error.strerror}", file=sys.stderr)
        sys.exit(1)
    except ImportError as error:
        if os.environ.get("REP3D_TRACEBACK") or (error.name or "").partition(".")[0] == "rep3d":
            raise
        print(f"error (packages): a package does not load: {error}", file=sys.stderr)
        print("  `rep3d doctor` shows what is here.", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
