"""``rep3d segment``: scans in, label maps and volumes out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from rep3d.inference.batch import Outcome
    from rep3d.inference.cautions import Caution
    from rep3d.inference.result import SegmentationResult
    from rep3d.weights import Weights


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("segment")(segment)


def segment(
    images: list[Path] = typer.Argument(
        ..., help="Scans: NIfTI, NRRD, MHA/MHD files, a folder with one DICOM series, or a folder of any of these."
    ),
    out: Path = typer.Option(..., "-o", "--out", help="Folder for results, or for one scan a file (.nii.gz ...)."),
    task: str = typer.Option("", "--task", help="Task whose installed weights to use (see `rep3d tasks`)."),
    weights: list[Path] = typer.Option(
        [], "--weights", help="Weights file or NAME.ensemble.json; its task is used. Several: their mean probabilities."
    ),
    device: str = typer.Option("auto", help="auto (a CUDA GPU if there is one, else the CPU), cpu, cuda:N or mps."),
    precision: str = typer.Option(
        "auto", help="auto (bfloat16 on GPUs that have it, else float32), float32, bfloat16."
    ),
    engine: str = typer.Option(
        "auto",
        help="auto (the faster one here, where OpenVINO is installed and the device is the CPU), torch, openvino.",
    ),
    overlap: float = typer.Option(0.5, help="Overlap of neighbouring windows, 0 to 0.9."),
    tta: bool = typer.Option(
        False,
        "--tta",
        help="Average several views of each window: mirrored ones for weights trained with mirroring, else shifted "
        "ones, because mirroring would swap left and right. Takes 3 to 8 times as long.",
    ),
    batch_size: str = typer.Option(
        "auto", help="Windows at once: auto (as many as fit a CUDA GPU; on a processor 1, or 2 small ones) or a number."
    ),
    roi: str = typer.Option("", help="Only this region: R0,R1,A0,A1,S0,S1 in mm (right, anterior, superior)."),
    format: str = typer.Option("", "--format", help="nii.gz (default), nii, nrrd, seg.nrrd or dcm (DICOM SEG)."),
    structures: str = typer.Option("", help="Keep only these structures, e.g. liver,spleen (keys of the task)."),
    series: str = typer.Option(
        "",
        help="Series instance UID of a DICOM folder with several; UID:2: the second volume of a series with several.",
    ),
    remove_islands: bool = typer.Option(
        None,
        "--remove-islands/--keep-islands",
        help="Take away parts of a structure that are far smaller than its largest one; "
        "default: as the weights' validation says.",
    ),
    postprocess: Path = typer.Option(None, "--postprocess", help="Apply rules of `rep3d postprocess learn`."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Redo results that exist already."),
    ray: str = typer.Option(
        "", help="Spread the scans over a Ray cluster: local (this machine), auto, HOST:PORT or ray://HOST:PORT."
    ),
    ray_workers: int = typer.Option(0, help="Processes of --ray; 0: one a GPU, or one for every 4 CPUs."),
    ray_cpus: int = typer.Option(0, help="CPUs (threads) of each; 0: 4, or a fair share."),
) -> None:
    """Segment scans. Writes the label map on the scan's own grid, and volumes as JSON and CSV beside it.

    Results of a folder are named NAME_seg. A scan that cannot be segmented is reported and the rest go on; the exit
    code is then 1. Research software, not a medical device.
    """
    from rich.console import Console

    from rep3d.inference.batch import plan, run_jobs
    from rep3d.inference.ray_session import ClusterOptions
    from rep3d.inference.writing import check_format

    console = Console(stderr=True, soft_wrap=True, highlight=False)
    jobs = plan(images, out, check_format(format) if format else None)
    cluster = ClusterOptions(ray, ray_workers, ray_cpus, device) if ray else None
    if cluster:
        cluster.check()

    from rep3d.inference.cautions import of_weights
    from rep3d.inference.devices import describe_device, resolve_device  # seconds: after the quick checks
    from rep3d.inference.options import InferenceOptions
    from rep3d.inference.pipeline import segment_with_weights

    chosen_device = None if cluster else resolve_device(device)
    loaded = load(task, weights)
    inference = InferenceOptions(
        overlap, tta, device if cluster else str(chosen_device), precision, engine, batch_size, remove_islands
    )
    options = {
        **inference.to_dict(),
        "roi": parse_roi(roi) if roi else None,
        "structures": tuple(key.strip() for key in structures.split(",")) if structures else None,
    }
    check_options(loaded, options if chosen_device else options | {"device": "cpu"})
    rules = load_rules(postprocess, loaded)
    where = f"Ray cluster {ray}" if cluster else describe_device(chosen_device)
    by_auto = " (chosen by auto)" if device == "auto" and not cluster else ""
    console.print(f"{loaded.meta.task.title}: weights {loaded.meta.id}, {where}{by_auto}", markup=False)
    for caution in of_weights(loaded.meta):
        say(console, caution)
    if cluster:
        from rep3d.commands.segment_on_ray import segment_on_ray

        outcomes = segment_on_ray(
            console, jobs, loaded, options, cluster,
            after=rules, overwrite=overwrite, series_uid=series or None,
        )  # fmt: skip
        summarise(console, outcomes)
        if any(outcome.error for outcome in outcomes):
            raise typer.Exit(1)
        return
    network = loaded.build_network()
    told: set[str] = set()

    def on_end(i: int, outcome: Outcome) -> None:
        if not (alone and outcome.error):
            report(console, outcome, loaded, told)

    alone = len(jobs) == 1  # then its error is the command's error, and its volumes are shown
    with progress_bar(console) as bar:
        task_id = bar.add_task("starting", total=1.0)

        def on_start(i, job) -> None:
            where = "" if alone else f"[{i + 1}/{len(jobs)}] "
            bar.reset(task_id, description=f"{where}{job.source.name}: reading", total=1.0)
            on_start.prefix, on_start.source = f"{where}{job.source.name}: ", job.source

        def on_caution(caution: Caution) -> None:
            if caution.code != "demo_only":  # that one was said for all scans
                say(console, caution, on_start.source)

        def on_progress(fraction: float, stage: str) -> None:
            bar.update(task_id, completed=fraction, description=on_start.prefix + stage)

        outcomes = run_jobs(
            jobs,
            lambda volume: rules(
                segment_with_weights(volume, loaded, network, progress=on_progress, on_caution=on_caution, **options)
            ),
            overwrite=overwrite,
            series_uid=series or None,
            on_start=on_start,
            on_end=on_end,
        )
    if alone and outcomes[0].error:
        raise outcomes[0].error
    if alone:
        show_volumes(outcomes[0])
        return
    summarise(console, outcomes)
    if any(outcome.error for outcome in outcomes):
        raise typer.Exit(1)


def load(task: str, weights: list[Path]) -> Weights:
    """The weights that ``--weights`` (several: their ensemble) or ``--task`` name; both together must agree."""
    from rep3d.ensemble import ensemble_of
    from rep3d.errors import BadInput
    from rep3d.tasks import list_tasks, load_task
    from rep3d.weights import find_weights, load_weights

    if not weights and not task:
        known = ", ".join(t.key for t in list_tasks())
        raise BadInput("Say what to segment: --task or --weights is missing.", f"Tasks: {known}.")
    if not weights:
        return load_weights(find_weights(load_task(task).key))
    loaded = load_weights(weights[0]) if len(weights) == 1 else ensemble_of(weights)
    if task and loaded.meta.task.key != load_task(task).key:
        named = ", ".join(map(str, weights))
        raise BadInput(f"{named} was trained for {loaded.meta.task.key}, not for --task {task}.", "Leave out --task.")
    return loaded


def load_rules(path: Path | None, weights: Weights) -> Callable[[SegmentationResult], SegmentationResult]:
    """What ``--postprocess`` does to a result: the rules in that file (of the weights' task), or nothing."""
    from functools import partial

    from rep3d.evaluation.postprocess import postprocess_result, read_postprocess

    if path is None:
        return lambda result: result
    rules = read_postprocess(path)
    rules.check_task(weights.meta.task)
    return partial(postprocess_result, rules=rules)


def parse_roi(text: str) -> tuple[float, ...]:
    """Six numbers R0,R1,A0,A1,S0,S1 in mm."""
    import math

    from rep3d.errors import BadInput

    try:
        values = tuple(float(v) for v in text.replace(";", ",").split(","))
    except ValueError:
        values = ()
    if len(values) != 6 or not all(math.isfinite(v) for v in values):
        raise BadInput(f"--roi {text!r} is not six numbers.", "Give R0,R1,A0,A1,S0,S1 in mm, e.g. -50,50,0,80,-20,60.")
    return values


def check_options(weights: Weights, options: dict) -> None:
    """Refuse wrong settings, and a device that computes wrongly, before the first scan rather than once a scan."""
    from dataclasses import fields

    from rep3d.inference.options import InferenceOptions
    from rep3d.inference.pipeline import choose_labels

    choose_labels(weights.meta.task, options["structures"])
    InferenceOptions(**{field.name: options[field.name] for field in fields(InferenceOptions)}).resolved()


def progress_bar(console: Console):
    """A bar with time left; on a plain stream rich prints nothing but the reports."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True)


def report(console: Console, outcome: Outcome, weights: Weights, told: set[str]) -> None:
    """One line for a finished scan, with its warnings, and the engine that ran unless ``told`` has it."""
    source, files = outcome.job.source, outcome.job.files
    if outcome.error:
        text = str(outcome.error)
        where = "" if str(source) in text else f"{source}: "
        console.print(f"failed   {where}{text} {outcome.error.hint}", markup=False)
    elif outcome.result is None:
        other = "" if made_with(files.json) == weights.sha256 else " (made with other weights)"
        console.print(f"skipped  {source}: {files.labels} is there already{other}; --overwrite redoes it", markup=False)
    else:
        console.print(f"done     {source} -> {files.labels} ({outcome.seconds:.1f} s)", markup=False)
        engine = f"{outcome.result.settings['engine']}: {outcome.result.settings['engine_reason']}"
        if engine not in told:
            told.add(engine)
            console.print(f"  engine {engine}", markup=False)
        for caution in outcome.result.cautions:
            say(console, caution)
        for warning in outcome.result.warnings:
            console.print(f"  warning: {warning}", markup=False)


def say(console: Console, caution: Caution, source: Path | None = None) -> None:
    """A caution on standard error, before a run (of ``source``) or after it."""
    of = f"{source}: " if source else ""
    console.print(f"  CAUTION  {of}{caution.message} {caution.hint}", markup=False)


def made_with(path: Path) -> str | None:
    """The sha256 of the weights that an earlier result was made with, None if its JSON does not say."""
    import json

    try:
        return json.loads(path.read_text(encoding="utf-8"))["weights"]["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def show_volumes(outcome: Outcome) -> None:
    """The volumes of one result as a table on standard output."""
    from rich.console import Console
    from rich.table import Table

    from rep3d.shown_text import rich_text

    if outcome.result is None:
        return
    table = Table("structure", "volume mL", "voxels", "mean", "SD", title=rich_text(outcome.result.name))
    for column in table.columns[1:]:
        column.justify = "right"
    for s in outcome.result.stats:
        mean, sd = ("-" if v is None else f"{v:.1f}" for v in (s.mean, s.sd))
        table.add_row(rich_text(s.name), f"{s.volume_ml:.2f}", str(s.voxels), mean, sd)
    Console().print(table)


def summarise(console: Console, outcomes: list[Outcome]) -> None:
    """A table of a batch on standard output and a count on standard error."""
    from rich.console import Console as Stdout
    from rich.table import Table

    from rep3d.shown_text import rich_text

    table = Table("scan", "status", "seconds", "structures found", "note")
    for outcome in outcomes:
        found = note = ""
        if outcome.result:
            found = f"{sum(s.voxels > 0 for s in outcome.result.stats)} of {len(outcome.result.stats)}"
            counts = {"cautions": len(outcome.result.cautions), "warnings": len(outcome.result.warnings)}
            note = ", ".join(f"{n} {what}" for what, n in counts.items() if n)
        elif outcome.error:
            note = outcome.error.code
        table.add_row(rich_text(outcome.job.source.name), outcome.status, f"{outcome.seconds:.1f}", found, note)
    Stdout().print(table)
    counts = [f"{sum(o.status == s for o in outcomes)} {s}" for s in ("done", "skipped", "failed")]
    console.print(", ".join(counts), markup=False)
