"""``rep3d evaluate`` and ``rep3d verify``: metrics of a network or of label maps, and checking such a result."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from rep3d.commands import postprocess as postprocessing
from rep3d.files import OVERWRITE_HELP, as_json, check_free

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("evaluate")(evaluate)
    app.command("verify")(verify)
    postprocessing.register(app)


def evaluate(
    data: Path = typer.Option(
        None,
        "--data",
        help="Prepared folder, or images/ and labels/, or train/, val/ and test/.",
    ),
    weights: Path = typer.Option(None, "--weights", help="Deployed weights file (.safetensors)."),
    checkpoint: Path = typer.Option(None, "--checkpoint", help="Training checkpoint, such as RUN/best.ckpt."),
    predictions: Path = typer.Option(None, "--predictions", help="Folder of label maps made by anything."),
    truth: Path = typer.Option(None, "--truth", help="Folder of true label maps, for --predictions without --data."),
    task: str = typer.Option("", "--task", help="Task (key or YAML file) of --predictions."),
    split: str = typer.Option("test", help="train, val or test."),
    output: Path = typer.Option(
        None, "-o", "--output", help="Write the result as JSON; a command that was stopped goes on where it was."
    ),
    table: Path = typer.Option(None, "--table", help="Also write the tables as .md, or the cases as .csv."),
    tolerance: str = typer.Option(
        "", help="Tolerance of the NSD in mm: 2, or 2,gallbladder=1. Default: 1 on grids up to 1.25 mm, else 2."
    ),
    postprocess: Path = typer.Option(
        None, "--postprocess", help="Rules of `rep3d postprocess learn`: score with and without them."
    ),
    grid: str = typer.Option("both", help="both, or native: only the scan's own grid, in half the time."),
    fold: int = typer.Option(0, help="Fold of a task with a k-fold split."),
    overlap: float = typer.Option(0.5, help="Overlap of neighbouring windows, 0 to 0.9."),
    tta: bool = typer.Option(
        False,
        "--tta",
        help="Average several views of each window as `rep3d segment --tta` does (on the scan's own grid only).",
    ),
    device: str = typer.Option("auto", help="auto, cpu, cuda, cuda:N or mps."),
    precision: str = typer.Option("auto", help="auto, float32 or bfloat16."),
    engine: str = typer.Option(
        "torch", help="torch (the same numbers everywhere), openvino, or auto: what `rep3d segment` takes here."
    ),
    remove_islands: bool = typer.Option(
        None, "--remove-islands/--keep-islands", help="As `rep3d segment` does; default: as the weights say."
    ),
    threads: int = typer.Option(0, help="CPU threads; 0: as many as torch chooses."),
    limit: int = typer.Option(0, help="Only the first N cases of the split; 0: all."),
    allow_missing: bool = typer.Option(
        False, "--allow-missing", help="Score --predictions although some cases have none."
    ),
    name: str = typer.Option("", help="Name of --predictions in tables; default: the folder's."),
    overwrite: bool = typer.Option(False, "--overwrite", help=OVERWRITE_HELP),
) -> None:
    """Score weights, a checkpoint or anybody's label maps: Dice, NSD, HD95, surface distance and volume by structure.

    Definitions, conventions for absent structures and the file's format: docs/evaluation.md.
    """
    from rich.console import Console

    from rep3d.errors import BadInput
    from rep3d.evaluation.listing import check_table, figure, write_table
    from rep3d.evaluation.postprocess import read_postprocess

    if sum(option is not None for option in (weights, checkpoint, predictions)) != 1:
        raise BadInput(
            "one of --weights and --checkpoint is needed, or --predictions", "e.g. --checkpoint RUN/best.ckpt"
        )
    if grid not in ("both", "native"):
        raise BadInput(f"--grid {grid!r} is neither both nor native", "Leave it out for both.")
    if predictions is None and data is None:
        raise BadInput("--data is needed", "Give the folder of images and labels that the network was trained with.")
    if table is not None:
        check_table(table)
    console = Console(highlight=False)

    def show(done: int, total: int, row: dict) -> None:
        console.print(f"{done}/{total} {row['id']}  Dice {figure(row['mean']['native'])}", markup=False, soft_wrap=True)

    common: dict[str, Any] = {
        "split": split, "fold": fold, "limit": limit, "tolerance": tolerance, "output": output, "progress": show,
        "rules": read_postprocess(postprocess) if postprocess else None,
        "notice": lambda text: console.print(text, markup=False, soft_wrap=True),
    }  # fmt: skip
    if predictions is not None:
        from rep3d.evaluation.labelmaps import evaluate_labelmaps
        from rep3d.tasks import load_task

        if not task:
            raise BadInput("--task is needed with --predictions", "It says which value is which structure.")
        folder = str(predictions.resolve())
        check_outputs(output, table, overwrite, lambda r: r["inputs"]["predictions"] == folder)
        record = evaluate_labelmaps(
            load_task(task), predictions, truth=truth, data=data, allow_missing=allow_missing, name=name, **common
        )
    else:
        if task or truth or allow_missing or name:
            raise BadInput("--task, --truth, --allow-missing and --name are for --predictions", "Leave them out.")
        import torch

        from rep3d.evaluation import evaluate as evaluation

        if threads:
            torch.set_num_threads(threads)
        subject = evaluation.from_weights(weights) if weights else evaluation.from_checkpoint(checkpoint)
        check_outputs(output, table, overwrite, lambda r: r["subject"] == as_json(subject.identity))
        record = evaluation.evaluate(
            subject, data, overlap=overlap, tta=tta, device=device, precision=precision, engine=engine,
            remove_islands=remove_islands, grids=evaluation.GRIDS if grid == "both" else ("native",), **common,
        )  # fmt: skip
    if table is not None:
        write_table(table, record)
    show_result(console, record)


def check_outputs(
    output: Path | None, table: Path | None, overwrite: bool, same: Callable[[dict[str, Any]], bool]
) -> None:
    """Refuse names that are taken by anything but an earlier evaluation of the same subject, and its table."""
    from rep3d.evaluation.partial import FORMAT as PARTIAL
    from rep3d.evaluation.results import FORMAT

    outputs = [path for path in (output, table) if path is not None]
    check_free(
        outputs, overwrite=overwrite, record=output, same=lambda record: record["format"] == FORMAT and same(record)
    )
    if output is not None:
        partial = output.with_name(output.name + ".partial")
        check_free([partial], overwrite=overwrite, record=partial, same=lambda record: record["format"] == PARTIAL)


def show_result(console: Console, record: dict[str, Any]) -> None:
    """The tables and remarks of a result."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from rep3d.evaluation.listing import ON_SCREEN, blocks, figure, heading, narrow_cell, remarks, rule_rows

    what = f"{record['task']}, {record['split']}" if record["split"] else record["task"]
    shown = Table(
        box=SIMPLE_HEAD,
        pad_edge=False,
        title=f"{record['name']}: {what}, {len(record['cases'])} cases, each scan's own grid",
    )
    shown.add_column("structure", overflow="fold")
    columns = {metric: blocks(record, "native", metric) for metric in ON_SCREEN}
    for metric in columns:
        shown.add_column(heading(record, metric), justify="right", no_wrap=True)
    for key in columns["dice"]:
        shown.add_row(key, *(narrow_cell(column[key], metric) for metric, column in columns.items()))
    console.print(shown)
    if "network" in record["summary"]:
        console.print(f"On the network's grid: mean Dice {figure(record['summary']['network']['mean'])}.")
    if rows := rule_rows(record):
        rules = Table(
            box=SIMPLE_HEAD,
            pad_edge=False,
            title="Dice without and with post-processing (absent structures count as 1)",
        )
        for column in ("structure", "without", "with", "gain", "rule"):
            rules.add_column(column)
        for row in rows:
            rules.add_row(*(text.replace(" [", "\n\\[") for text in row))
        console.print(rules)
    for text in remarks(record):
        console.print(text, markup=False, soft_wrap=True)


def verify(
    result: Path = typer.Argument(help="Result of `rep3d evaluate -o`."),
    data: Path = typer.Option(None, "--data", help="Where the data are now; default: where the result says."),
    weights: Path = typer.Option(None, "--weights", help="Where the weights or the checkpoint are now."),
    predictions: Path = typer.Option(None, "--predictions", help="Where the scored label maps are now."),
    truth: Path = typer.Option(None, "--truth", help="Where their truth is now."),
    postprocess: Path = typer.Option(None, "--postprocess", help="Where the rules of post-processing are now."),
    cases: int = typer.Option(0, "--cases", help="Recompute only the first N cases; 0: all."),
    device: str = typer.Option("auto", help="auto, cpu, cuda, cuda:N or mps."),
    threads: int = typer.Option(0, help="CPU threads; 0: as many as torch chooses."),
    tolerance: float = typer.Option(0.005, help="Allowed difference in Dice and NSD where label maps differ."),
    tolerance_mm: float = typer.Option(0.5, "--tolerance-mm", help="The same for distances, in mm."),
    tolerance_percent: float = typer.Option(1.0, "--tolerance-percent", help="The same for volumes, in percent."),
) -> None:
    """Check a result: the hashes of data, network and code, and its numbers, which are computed again.

    Exit code 1 if anything does not hold. Where the label map comes out bit for bit as recorded, numbers must be equal
    to 1e-6; where it does not (another processor or version), they must agree within the tolerances.
    """
    from rich.console import Console

    from rep3d.evaluation.verify import Inputs, Tolerance
    from rep3d.evaluation.verify import verify as verify_result

    console = Console(highlight=False, soft_wrap=True)
    if threads:
        import torch

        torch.set_num_threads(threads)
    report = verify_result(
        result,
        Inputs(data, weights, predictions, truth, postprocess),
        cases=cases,
        device=device,
        tolerance=Tolerance(tolerance, tolerance_mm, tolerance_percent),
        progress=lambda done, total, case: console.print(f"{done}/{total} {case}", markup=False),
    )
    for word, lines in (("holds", report.checked), ("note", report.notes), ("FAILS", report.failures)):
        for text in lines:
            console.print(f"{word:<6} {text}", markup=False)
    console.print(f"{result}: " + ("verified" if report.ok else f"{len(report.failures)} checks failed"), markup=False)
    if not report.ok:
        raise typer.Exit(1)
