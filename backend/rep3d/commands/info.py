"""``rep3d tasks``, ``rep3d models``, ``rep3d doctor``: what there is and whether it works."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from rep3d.tasks import Task

#: PAPER section 3: parameters and "G FLOPs" (multiply-adds) with 16 classes at a 96^3 patch.
PAPER_FIGURES = {
    "rep3d": {"parameters": 66.0e6, "multiply_adds": 757.6e9, "source": "Rep3D, LRBM (65.8 M with the fixed prior)"},
    "uxnet": {"parameters": 53.0e6, "multiply_adds": 639.4e9, "source": "3D UX-Net, k = 7"},
}
PAPER_CLASSES = 16
PAPER_PATCH = (96, 96, 96)

_JSON = typer.Option(False, "--json", help="Print JSON instead of a table.")


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("tasks")(tasks)
    app.command("models")(models)
    app.command("doctor")(doctor)


def tasks(as_json: bool = _JSON) -> None:
    """List the tasks: what is segmented, on which grid, and whether weights are installed."""
    from rep3d.tasks import list_tasks
    from rep3d.weights import list_weights

    installed: dict[str, str] = {}
    for path in list_weights():  # the user's come first and win
        installed.setdefault(path.stem, str(path))
    rows = [task_row(task, installed.get(task.key)) for task in list_tasks()]
    if as_json:
        _print_json(rows)
        return
    table = _table("task", "modality", "structures", "spacing mm", "weights")
    for row in rows:
        names = ", ".join(s["name"] for s in row["structures"])
        spacing = " × ".join(f"{s:g}" for s in row["spacing_mm"])
        table.add_row(row["key"], row["modality"], names, spacing, "installed" if row["weights"] else "-")
    _print(table)


def task_row(task: Task, weights: str | None) -> dict[str, Any]:
    """One task for people and programs."""
    return {
        "key": task.key,
        "title": task.title,
        "modality": task.modality,
        "structures": [{"value": label.value, "key": label.key, "name": label.name} for label in task.labels],
        "spacing_mm": list(task.spacing_mm),
        "patch": list(task.patch),
        "network": task.network,
        "purpose": task.purpose,
        "weights": weights,
    }


def models(as_json: bool = _JSON) -> None:
    """List the networks with their size and cost, and the installed weights files."""
    networks, weights = network_rows(), weights_rows()
    if as_json:
        _print_json({"networks": networks, "weights": weights})
        return
    table = _table("network", "parameters M", "paper", "multiply-adds G", "as the paper counts", "paper", right=True)
    for row in networks:
        paper = row["paper"] or {}
        table.add_row(
            row["name"],
            f"{row['parameters'] / 1e6:.2f}",
            f"{paper['parameters'] / 1e6:.1f}" if paper else "",
            f"{row['multiply_adds'] / 1e9:.1f}",
            f"{row['multiply_adds_paper'] / 1e9:.1f}",
            f"{paper['multiply_adds'] / 1e9:.1f}" if paper else "",
        )
    table.caption = f"{PAPER_CLASSES} classes, one forward at {' × '.join(map(str, PAPER_PATCH))} voxels"
    _print(table)
    if not weights:
        _print("No weights are installed.")
        return
    table = _table("weights", "task", "network", "MB", "sha256", "training")
    for row in weights:
        if row["error"]:
            table.add_row(row["file"], "", "", f"{row['bytes'] / 1e6:.1f}", "", f"unusable: {row['error']}")
            continue
        table.add_row(
            row["id"], row["task"], row["network"], f"{row['bytes'] / 1e6:.1f}", row["sha256"][:12], row["summary"]
        )
    _print(table)


def network_rows() -> list[dict[str, Any]]:
    """Every registered network: parameters and multiply-adds at the paper's patch, beside the paper's figures."""
    import torch

    from rep3d.networks import create_network, list_networks
    from rep3d.networks.complexity import complexity

    rows = []
    for name in list_networks():
        with torch.device("meta"):  # shapes are enough
            network = create_network(name, in_channels=1, out_channels=PAPER_CLASSES)
        cost = complexity(network, 1, PAPER_PATCH)
        rows.append(
            {
                "name": name,
                "parameters": cost.parameters,
                "multiply_adds": cost.multiply_adds,
                "multiply_adds_paper": cost.multiply_adds_paper,
                "paper": PAPER_FIGURES.get(name),
            }
        )
    return rows


def weights_rows() -> list[dict[str, Any]]:
    """Every installed weights file; one that cannot be used has its ``error``."""
    from rep3d.errors import Rep3DError
    from rep3d.weights import list_weights, load_weights

    rows: list[dict[str, Any]] = []
    for path in list_weights():
        row: dict[str, Any] = {"file": path.name, "path": str(path), "bytes": path.stat().st_size, "error": None}
        try:
            loaded = load_weights(path)
        except Rep3DError as error:
            row["error"] = str(error)
        else:
            meta = loaded.meta
            row |= {
                "id": meta.id,
                "task": meta.task.key,
                "network": meta.network["name"],
                "sha256": loaded.sha256,
                "licence": meta.licence,
                "created": meta.created,
                "training": meta.training,
                "summary": training_line(meta.training),
            }
        rows.append(row)
    return rows


def training_line(training: dict[str, Any]) -> str:
    """Steps and best validation Dice in a few words."""
    parts = []
    if training.get("steps"):
        parts.append(f"{training['steps']} steps")
    best = training.get("best")
    dice = best.get("dice") if isinstance(best, dict) else best
    if isinstance(dice, (int, float)):
        parts.append(f"validation Dice {dice:.3f}")
    return ", ".join(parts) or "-"


def doctor(as_json: bool = _JSON) -> None:
    """Check packages, devices, operator, folders and weights here. Exit code 1 if something essential is broken."""
    from rep3d.doctor import examine

    findings = examine()
    broken = [f for f in findings if f.status == "bad"]
    if as_json:
        _print_json({"healthy": not broken, "findings": [f.to_dict() for f in findings]})
    else:
        table = _table("", "what", "found")
        marks = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "bad": "[bold red]BAD[/]"}
        area = ""
        for finding in findings:
            if area and finding.area != area:
                table.add_section()
            area = finding.area
            table.add_row(marks[finding.status], _plain(finding.name), _plain(finding.text))
        _print(table)
        names = ", ".join(f.name for f in broken)
        _print("Everything essential works." if not broken else f"Broken: {names}.")
    if broken:
        raise typer.Exit(1)


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _table(*columns: str, right: bool = False) -> Table:
    from rich.table import Table

    table = Table(header_style="bold")
    for i, name in enumerate(columns):
        table.add_column(name, overflow="fold", justify="right" if right and i else "left", no_wrap=i == 0)
    return table


def _print(what: Any) -> None:
    from rich.console import Console

    Console(highlight=False).print(what)


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))
