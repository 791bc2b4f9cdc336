"""``rep3d weights``: the installed weights files; import, remove and download a user's own."""

from __future__ import annotations

from pathlib import Path

import typer

group = typer.Typer(name="weights", help="Installed weights: list, import, remove, download.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(group)


@group.command("list")
def list_files(as_json: bool = typer.Option(False, "--json", help="Print JSON instead of lines.")) -> None:
    """List the installed files and what can be downloaded."""
    import json

    from rep3d.shown_text import printable
    from rep3d.weights import user_folder
    from rep3d.weights_store import available, rows

    found, published = rows(), [entry.to_dict() for entry in available()]
    if as_json:
        document = {"weights": found, "available": published, "folder": str(user_folder())}
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    for row in found:
        what = f"unusable: {row['error']}" if row["error"] else f"{row['id']}, task {row['task']}, {row['licence']}"
        what += " - for trying the software only" if row["demo_only"] else ""
        typer.echo(printable(f"{row['origin']:8}{row['path']}  ({row['bytes'] / 1e6:.1f} MB)\n        {what}"))
    for entry in published:
        size = f"{entry['bytes'] / 1e6:.1f} MB"
        typer.echo(printable(f"to download: {entry['id']}, task {entry['task']}, {size}, {entry['licence']}"))
    typer.echo(f"Your own weights lie in {user_folder()}.")


@group.command("import")
def import_file(
    file: Path = typer.Argument(..., help="A weights file made by `rep3d fuse` or `rep3d import`."),
    replace: bool = typer.Option(False, "--replace", help="Put it in the place of your weights for the same task."),
) -> None:
    """Check a weights file and install it for its task."""
    from rep3d import weights_store

    typer.echo(str(weights_store.import_file(file, replace=replace)))


@group.command("remove")
def remove_file(
    file: Path = typer.Argument(..., help="One of your own files, as `rep3d weights list` shows it."),
) -> None:
    """Delete one of your own weights files."""
    from rep3d import weights_store

    weights_store.remove_file(file)


@group.command("download")
def download(id: str = typer.Argument(..., help="Id, as `rep3d weights list` shows it.")) -> None:
    """Download published weights; one that broke off goes on where it was."""
    from rich.console import Console
    from rich.progress import Progress

    from rep3d import weights_download, weights_store

    with Progress(console=Console(stderr=True), transient=True) as bar:
        line = bar.add_task("starting", total=1.0)
        path = weights_download.download(
            weights_store.published(id), progress=lambda f, stage: bar.update(line, completed=f, description=stage)
        )
    typer.echo(str(path))
