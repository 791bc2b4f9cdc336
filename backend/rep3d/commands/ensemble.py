"""``rep3d ensemble``: several networks of one task as one."""

from __future__ import annotations

from pathlib import Path

import typer

from rep3d.files import OVERWRITE_HELP, check_free


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("ensemble")(ensemble)


def ensemble(
    members: list[Path] = typer.Argument(
        ..., help="Weights files, checkpoints, or the folder of `rep3d train --folds all` (best.ckpt of each fold)."
    ),
    output: Path = typer.Option(
        None, "-o", "--output", help="Manifest to write, NAME.ensemble.json [default for a folder: in it]."
    ),
    overwrite: bool = typer.Option(False, "--overwrite", help=OVERWRITE_HELP),
) -> None:
    """List networks whose probabilities are to be averaged; use the file wherever weights are asked for.

    All members must agree in task, labels, grid, intensities and patch. The manifest holds their hashes and their paths
    relative to itself; it is small, the members stay where they are.
    """
    from rep3d.ensemble import SUFFIX, members_of, write_ensemble
    from rep3d.errors import BadInput

    if output is None:
        if len(members) > 1 or not members[0].is_dir():
            raise BadInput("-o is missing: where to write the ensemble.", f"e.g. -o both{SUFFIX}")
        output = members[0] / f"folds{SUFFIX}"
    check_free([output], overwrite=overwrite)
    written = write_ensemble(output, members_of(members))
    meta = written.meta
    typer.echo(f"{output}: {len(written.members)} networks for {meta.task.key}, probabilities averaged")
    for member in written.members:
        typer.echo(f"  {member.meta.id}  {member.path}")
