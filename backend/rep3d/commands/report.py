"""``rep3d report``: one HTML file on a run or a weights file."""

from __future__ import annotations

from pathlib import Path

import typer

from rep3d.files import OVERWRITE_HELP, check_free


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("report")(report)


def report(
    source: Path = typer.Argument(help="Run folder of `rep3d train`, a checkpoint, or a weights file (.safetensors)."),
    out: Path = typer.Option(Path("rep3d-report.html"), "-o", "--out", help="HTML file to write."),
    results: Path = typer.Option(None, help="JSON of `rep3d evaluate`. Default: RUN/test.json, or the model card."),
    card: Path = typer.Option(None, help="JSON of the model card. Default: the one beside the weights."),
    benchmark: Path = typer.Option(None, help="JSON of benchmarks/operator.py; without, timings are measured briefly."),
    timing: bool = typer.Option(True, help="Show timings of the operator."),
    image: list[Path] = typer.Option([], help="Scan for the receptive fields; repeatable. Without any: noise."),
    patches: int = typer.Option(4, help="Patches for each class of the receptive fields."),
    device: str = typer.Option("auto", help="auto, cpu, cuda:N or mps."),
    overwrite: bool = typer.Option(False, "--overwrite", help=OVERWRITE_HELP),
) -> None:
    """Write a report: curves, Dice by structure, masks, receptive fields, timings and provenance in one HTML file."""
    from rich.console import Console

    from rep3d.commands.segment import progress_bar
    from rep3d.errors import BadInput
    from rep3d.inference.devices import resolve_device
    from rep3d.report.gather import gather
    from rep3d.report.write import ReportOptions, write_report

    if out.suffix.lower() not in (".html", ".htm"):
        raise BadInput(f"{out} does not end in .html", "A report is one HTML file.")
    check_free([out], overwrite=overwrite)
    chosen = resolve_device(device)
    material = gather(source, results=results, card=card)
    options = ReportOptions(tuple(image), patches, benchmark, timing)
    with progress_bar(Console(stderr=True)) as bar:
        task = bar.add_task("measuring", total=1.0)
        write_report(
            out,
            material,
            options,
            chosen,
            lambda fraction, stage: bar.update(task, completed=fraction, description=stage),
        )
    typer.echo(f"{out}: {out.stat().st_size / 1e6:.1f} MB, opens in any browser")
