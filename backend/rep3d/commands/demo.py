"""``rep3d demo``: a scan segmented, measured and shown on a web page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rep3d.demo.run import Demo


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("demo")(demo)


def demo(
    scan: Path = typer.Option(
        None, "--scan", help="A scan (file or DICOM folder) [default: a generated abdominal CT]."
    ),
    task: str = typer.Option("", "--task", help="What to look for in the scan (see `rep3d tasks`)."),
    truth: Path = typer.Option(None, "--truth", help="Label map on the scan's grid, to compare with (Dice)."),
    weights: Path = typer.Option(None, "--weights", help="Weights file [default: the installed ones of the task]."),
    output: Path = typer.Option(Path("demo-output"), "-o", "--output", help="Folder; an earlier demo is replaced."),
    seed: int = typer.Option(None, "--seed", min=0, help="Which abdomen is generated."),
    device: str = typer.Option("auto", help="auto (a CUDA GPU if there is one, else the CPU), cpu, cuda:N or mps."),
) -> None:
    """Segment a scan, or a generated abdominal CT, and show the result on a web page with pictures.

    The page shows slices, a 3D rendering, volumes, a modulation mask of the network and the effective receptive field
    of one of its answers. Research software, not a medical device.
    """
    from rich.console import Console

    from rep3d.commands.segment import progress_bar
    from rep3d.demo.run import DemoOptions, run_demo
    from rep3d.errors import BadInput
    from rep3d.phantom.options import DEMO_SEED

    if seed is not None and scan is not None:
        raise BadInput("--seed chooses a generated scan and cannot go with --scan", "Give one of them.")
    options = DemoOptions(output, scan, truth, task, weights, DEMO_SEED if seed is None else seed, device)
    errors = Console(stderr=True, soft_wrap=True, highlight=False)
    with progress_bar(errors) as bar:
        bar_id = bar.add_task("starting", total=1.0)
        page, made = run_demo(options, lambda done, stage: bar.update(bar_id, completed=done, description=stage))
    for warning in made.result.warnings:
        errors.print(f"warning: {warning}", markup=False)
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"{made.weights.meta.task.title}: {made.source.description}", markup=False)
    console.print(volumes_table(made))
    if made.weights.meta.task.key.startswith("phantom-"):
        console.print("Phantom weights: for trying the software, not for patients.")
    spent = sum(made.seconds.values())
    console.print(
        f"weights {made.weights.meta.id}, {made.result.settings['device']}, {spent:.0f} s in all, "
        f"{made.seconds['segment']:.0f} s of it to segment",
        markup=False,
    )
    console.print(str(page), markup=False)


def volumes_table(made: Demo):
    """The volumes, and the Dice where the truth is known, as a rich table."""
    import math

    from rich.table import Table

    table = Table("structure", "volume mL", "voxels", "Dice" if made.dice is not None else "mean intensity")
    for column in table.columns[1:]:
        column.justify = "right"
    for s in made.result.stats:
        if made.dice is not None:
            dice = made.dice[s.value - 1]
            last = "not in view" if math.isnan(dice) else f"{dice:.3f}"
        else:
            last = "-" if s.mean is None else f"{s.mean:.1f}"
        table.add_row(s.name, f"{s.volume_ml:.1f}", str(s.voxels), last)
    if not math.isnan(made.mean_dice):
        table.add_section()
        table.add_row("mean", "", "", f"{made.mean_dice:.3f}")
    return table
