"""``rep3d tasks``, ``rep3d doctor``: what there is and whether it works."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from rep3d.tasks import Task

JSON_OPTION = typer.Option(False, "--json", help="Print JSON instead of a table.")


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("tasks")(tasks)
    app.command("doctor")(doctor)


def tasks(as_json: bool = JSON_OPTION) -> None:
    """List the tasks, shipped and your own: what is segmented, on which grid, and whether weights are installed."""
    from rep3d.shown_text import printable, rich_text
    from rep3d.tasks.store import list_task_files, own_folder
    from rep3d.weights import list_weights

    installed: dict[str, str] = {}
    for path in list_weights():  # the user's come first and win
        installed.setdefault(path.stem, str(path))
    files = list_task_files()
    rows = [task_row(f.task, installed.get(f.key), f.origin) for f in files if f.task]
    for file in files:
        if file.error:  # on stderr, so that JSON stays JSON
            typer.echo(f"left out: {printable(f'{file.error}. {file.error.hint}')}", err=True)
    if as_json:
        print_json(rows)
        return
    table = rich_table("task", "origin", "modality", "structures", "spacing mm", "weights")
    for row in rows:
        names = ", ".join(s["name"] for s in row["structures"])
        spacing = " × ".join(f"{s:g}" for s in row["spacing_mm"])
        weights = "installed" if row["weights"] else "-"
        table.add_row(*map(rich_text, (row["key"], row["origin"], row["modality"], names, spacing, weights)))
    print_rich(table)
    typer.echo(f"Your own tasks lie in {own_folder()}.")


def task_row(task: Task, weights: str | None, origin: str = "shipped") -> dict[str, Any]:
    """One task for people and programs."""
    return {
        "key": task.key,
        "origin": origin,
        "title": task.title,
        "modality": task.modality,
        "structures": [{"value": label.value, "key": label.key, "name": label.name} for label in task.labels],
        "spacing_mm": list(task.spacing_mm),
        "patch": list(task.patch),
        "network": task.network,
        "purpose": task.purpose,
        "weights": weights,
    }


def doctor(as_json: bool = JSON_OPTION) -> None:
    """Check packages, devices, operator, folders and weights here. Exit code 1 if something essential is broken."""
    from rep3d.doctor import examine
    from rep3d.shown_text import rich_text

    findings = examine()
    broken = [f for f in findings if f.status == "bad"]
    if as_json:
        print_json({"healthy": not broken, "findings": [f.to_dict() for f in findings]})
    else:
        table = rich_table("", "what", "found")
        marks = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "bad": "[bold red]BAD[/]"}
        area = ""
        for finding in findings:
            if area and finding.area != area:
                table.add_section()
            area = finding.area
            table.add_row(marks[finding.status], rich_text(finding.name), rich_text(finding.text))
        print_rich(table)
        names = ", ".join(f.name for f in broken)
        print_rich("Everything essential works." if not broken else f"Broken: {names}.")
    if broken:
        raise typer.Exit(1)


def rich_table(*columns: str, right: bool = False) -> Table:
    """An empty table; with ``right`` all columns but the first are numbers."""
    from rich.table import Table

    table = Table(header_style="bold")
    for i, name in enumerate(columns):
        table.add_column(name, overflow="fold", justify="right" if right and i else "left", no_wrap=i == 0)
    return table


def print_rich(what: Any) -> None:
    """Print to standard output as rich does, without highlighting numbers."""
    from rich.console import Console

    Console(highlight=False).print(what)


def print_json(value: Any) -> None:
    """Print to standard output as indented JSON."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))
