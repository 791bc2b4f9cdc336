"""``rep3d evaluate``: Dice of weights or of a checkpoint on the cases of one split."""

from __future__ import annotations

from pathlib import Path

import typer


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("evaluate")(evaluate)


def evaluate(
    data: Path = typer.Option(..., "--data", help="Folder with images/ and labels/, or train/, val/ and test/."),
    weights: Path = typer.Option(None, "--weights", help="Deployed weights file (.safetensors)."),
    checkpoint: Path = typer.Option(None, "--checkpoint", help="Training checkpoint, such as RUN/best.ckpt."),
    split: str = typer.Option("test", help="train, val or test."),
    output: Path = typer.Option(None, "-o", "--output", help="Write the results as JSON."),
    fold: int = typer.Option(0, help="Fold of a task with a k-fold split."),
    overlap: float = typer.Option(0.5, help="Overlap of neighbouring windows, 0 to 0.9."),
    tta: bool = typer.Option(False, "--tta", help="Average several views of each window (native grid only)."),
    device: str = typer.Option("auto", help="auto, cpu, cuda, cuda:N or mps."),
    precision: str = typer.Option("auto", help="auto, float32 or bfloat16."),
    threads: int = typer.Option(0, help="CPU threads; 0: as many as torch chooses."),
    limit: int = typer.Option(0, help="Only the first N cases of the split; 0: all."),
) -> None:
    """Segment the cases of a split and print their Dice, on each scan's own grid and on the network's grid."""
    import json

    import torch
    from rich.console import Console
    from rich.table import Table

    from rep3d.errors import BadInput
    from rep3d.evaluation import evaluate as evaluation
    from rep3d.files import write_text

    if (weights is None) == (checkpoint is None):
        raise BadInput("one of --weights and --checkpoint is needed", "e.g. --checkpoint RUN/best.ckpt")
    if threads:
        torch.set_num_threads(threads)
    console = Console(highlight=False)

    def show(done: int, total: int, row: dict) -> None:
        console.print(f"{done}/{total} {row['id']}  Dice {cell(row['mean']['native'])}", markup=False, soft_wrap=True)

    subject = evaluation.from_weights(weights) if weights else evaluation.from_checkpoint(checkpoint)
    result = evaluation.evaluate(
        subject, data, split, fold=fold, overlap=overlap, tta=tta, device=device, precision=precision,
        limit=limit, progress=show,
    )  # fmt: skip
    if output:
        write_text(output, json.dumps(result, indent=1, ensure_ascii=False))
    table = Table(title=f"{subject.task.key}, {split}: Dice over {len(result['cases'])} cases")
    for column in ("structure", "own grid", "network grid"):
        table.add_column(column)
    native, network = (result["summary"][grid] for grid in ("native", "network"))
    for key in native["per_class"]:
        table.add_row(key, cell(native["per_class"][key]), cell(network["per_class"][key]))
    table.add_row("mean", cell(native["mean"]), cell(network["mean"]))
    console.print(table)
    if not result["same_data"]:
        console.print(
            "warning: these are not the files, or not the split, of the training: cases may have been trained on",
            soft_wrap=True,
        )


def cell(value: float | None) -> str:
    """0.873, or a dash where no case has the class."""
    return "-" if value is None else f"{value:.3f}"
