"""``rep3d models``: the networks, their size and cost beside the paper's, and the installed weights files."""

from __future__ import annotations

from typing import Any

import typer

from rep3d.commands.info import JSON_OPTION, print_json, print_rich, rich_table


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("models")(models)


def models(
    names: list[str] = typer.Argument(None, help="Only these networks, without the weights files; default: all."),
    params: bool = typer.Option(False, "--params", help="Count parameters, beside the paper's."),
    flops: bool = typer.Option(False, "--flops", help="Count multiply-adds of a forward at 96^3 too; takes seconds."),
    as_json: bool = JSON_OPTION,
) -> None:
    """List the networks and the installed weights files.

    Counts are of one input channel and 16 classes, from shapes alone. "As the paper counts": every tap of a transposed
    convolution at every voxel, no products of attention.
    """
    rows = network_rows(names or None, params=params or flops, flops=flops)
    weights = None if names else weights_rows()
    if as_json:
        print_json({"networks": rows} if weights is None else {"networks": rows, "weights": weights})
        return
    _print_networks(rows, params or flops, flops)
    if weights is not None:
        _print_weights(weights)


def network_rows(names: list[str] | None = None, *, params: bool = True, flops: bool = True) -> list[dict[str, Any]]:
    """Every registered network, or those of ``names``: what is counted here and the paper's row, if it has one.

    A row has ``name``, ``paper`` (title, source, parameters, multiply_adds, note; None), with ``params`` also
    ``parameters`` and ``parameters_difference``, with ``flops`` also ``multiply_adds``, ``multiply_adds_paper`` and
    ``multiply_adds_difference`` (of the latter). Differences are relative to the paper's number, None without one. A
    network that cannot be built here for want of a package has an ``error`` instead.

    Raises BadInput for an unknown name.
    """
    from rep3d.errors import BadInput
    from rep3d.networks import list_networks
    from rep3d.networks.paper import ROWS

    known = list_networks()
    if unknown := sorted(set(names or ()) - set(known)):
        raise BadInput(f"unknown network {', '.join(unknown)}", f"Known networks: {', '.join(known)}.")
    rows = []
    for name in names or known:
        paper = ROWS.get(name)
        row: dict[str, Any] = {"name": name, "paper": paper.to_dict() if paper else None}
        if params or flops:
            try:
                row |= _counts(name, flops)
            except BadInput as error:
                row["error"] = f"{error}: {error.hint}"
        rows.append(row)
    return rows


def _counts(name: str, flops: bool) -> dict[str, Any]:
    import torch

    from rep3d.networks import create_network
    from rep3d.networks.complexity import complexity
    from rep3d.networks.paper import CLASSES, PATCH, ROWS, PaperRow, difference

    paper = ROWS.get(name, PaperRow("", ""))
    with torch.device("meta"):  # shapes are enough
        network = create_network(name, in_channels=1, out_channels=CLASSES)
    parameters = sum(p.numel() for p in network.parameters())
    counts = {"parameters": parameters, "parameters_difference": difference(parameters, paper.parameters)}
    if flops:
        cost = complexity(network, 1, PATCH)
        counts |= {
            "multiply_adds": cost.multiply_adds,
            "multiply_adds_paper": cost.multiply_adds_paper,
            "multiply_adds_difference": difference(cost.multiply_adds_paper, paper.multiply_adds),
        }
    return counts


def _print_networks(rows: list[dict[str, Any]], params: bool, flops: bool) -> None:
    from rep3d.networks.paper import CLASSES, CLOSE, PATCH

    columns = ["network", "the paper's row"]
    columns += ["parameters M", "paper", "difference"] if params else ["source"]
    columns += ["multiply-adds G", "as the paper counts", "paper", "difference"] if flops else []
    table = rich_table(*columns, right=params)
    table.columns[1].justify = "left"
    notes = []
    for row in rows:
        paper = row["paper"] or {}
        cells = [row["name"], paper.get("title", "")]
        if params:
            cells += [_millions(row.get("parameters")), _millions(paper.get("parameters"))]
            cells.append(_percent(row.get("parameters_difference")))
        else:
            cells.append(paper.get("source", ""))
        if flops:
            cells += [_billions(row.get(key)) for key in ("multiply_adds", "multiply_adds_paper")]
            cells += [_billions(paper.get("multiply_adds")), _percent(row.get("multiply_adds_difference"))]
        table.add_row(*cells)
        differences = [row.get(f"{key}_difference") for key in ("parameters", "multiply_adds")]
        if any(d is not None and abs(d) > CLOSE for d in differences):
            notes.append(f"{row['name']}: {paper['note']}")
        if "error" in row:
            notes.append(f"{row['name']} is not counted. {row['error']}")
    if params:
        size = " x ".join(map(str, PATCH))
        table.caption = f"{CLASSES} classes" + (f", one forward at {size} voxels" if flops else "")
    print_rich(table)
    for note in notes:
        typer.echo(note)


def _millions(number: float | None) -> str:
    return "" if number is None else f"{number / 1e6:.2f}"


def _billions(number: float | None) -> str:
    return "" if number is None else f"{number / 1e9:.1f}"


def _percent(difference: float | None) -> str:
    return "" if difference is None else f"{difference:+.1%}"


def _print_weights(rows: list[dict[str, Any]]) -> None:
    if not rows:
        print_rich("No weights are installed.")
        return
    from rep3d.shown_text import rich_text

    table = rich_table("weights", "task", "network", "MB", "sha256", "training")
    for row in rows:
        megabytes = f"{row['bytes'] / 1e6:.1f}"
        if row["error"]:
            table.add_row(*map(rich_text, (row["file"], "", "", megabytes, "", f"unusable: {row['error']}")))
            continue
        note = row["summary"] + (", for trying the software only" if row["demo_only"] else "")
        cells = (row["id"], row["task"], row["network"], megabytes, row["sha256"][:12], note)
        table.add_row(*map(rich_text, cells))
    print_rich(table)


def weights_rows() -> list[dict[str, Any]]:
    """Every installed weights file with a ``summary`` of its training; one that cannot be used has its ``error``."""
    from rep3d.weights_store import rows

    return [row | {"summary": training_line(row["training"] or {})} for row in rows()]


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
