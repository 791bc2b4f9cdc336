"""``rep3d task``: make a task of one's own from data, check it, show it."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from rep3d.files import OVERWRITE_HELP, check_free

group = typer.Typer(name="task", help="Tasks of your own: plan from data, check, show.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(group)


@group.command("new")
def new(
    source: Path = typer.Argument(
        ..., help="dataset.json (MSD, nnU-Net), a folder that `rep3d prepare` made, or a folder of images and labels."
    ),
    output: Path = typer.Option(
        None, "-o", "--output", help="Task file to write [default: KEY.yaml in the folder of your own tasks]."
    ),
    key: str = typer.Option("", help="Name on the command line [default: from the data set's name]."),
    title: str = typer.Option("", help="One line for people [default: the data set's name]."),
    modality: str = typer.Option("", help="CT or MR, where the data do not say."),
    names: str = typer.Option("", help="Names of the labels 1, 2, 3 ..., with commas, where the data do not say."),
    channel: int = typer.Option(None, help="Which channel of multi-channel data, from 0."),
    folds: int = typer.Option(None, help="Folds of the split; 1: one fixed split [default: 5, with few cases 1]."),
    memory: str = typer.Option(
        "", help="Budget for training, e.g. 8GB [default: 80 % of the GPU's, else of free memory]."
    ),
    spacing: str = typer.Option("", help="Voxel size in mm instead of the plan's, e.g. 1.5,1.5,2."),
    patch: str = typer.Option("", help="Patch in voxels instead of the plan's, e.g. 96,96,64."),
    network: str = typer.Option("", help="Network instead of the plan's, e.g. rep3d-s."),
    measure: int = typer.Option(50, help="Measure at most this many training cases, spread evenly; 0: all."),
    overwrite: bool = typer.Option(False, "--overwrite", help=OVERWRITE_HELP),
    dry_run: bool = typer.Option(False, "--dry-run", help="Show plan and file, write nothing."),
) -> None:
    """Plan a task from data and write its file, with the reason for every choice."""
    from rep3d.errors import BadInput
    from rep3d.files import write_text
    from rep3d.planning import parse_memory
    from rep3d.planning.budget import default_budget
    from rep3d.planning.new_task import new_task, next_commands, plan_lines
    from rep3d.planning.plan import plan as make_plan
    from rep3d.planning.source import measure as measure_source
    from rep3d.planning.source import read_source
    from rep3d.tasks.store import own_folder

    if measure < 0:
        raise BadInput(f"--measure {measure} is negative", "0 measures all training cases")
    budget = parse_memory(memory) if memory else default_budget()
    chosen = {
        "spacing_mm": _numbers(spacing, "--spacing", float) if spacing else None,
        "patch": _numbers(patch, "--patch", int) if patch else None,
        "network": network or None,
    }
    if output is not None and not dry_run:
        check_free([output], overwrite=overwrite)
    found = read_source(source, channel=channel, folds=folds)
    for line in found.said:
        typer.echo(line)
    given = _names(names, found.names)
    kind = modality.upper() or found.modality
    if kind not in ("CT", "MR"):
        raise BadInput(
            f"the data do not say what kind of image they are ({kind or 'nothing'})", "Give --modality CT or MR."
        )
    with _progress() as step:
        fingerprint, used = measure_source(found, given, kind, limit=measure, progress=step)
    plan = make_plan(fingerprint, budget, modality=kind, **chosen)
    made = new_task(found, plan, used, key=key, title=title, measured=fingerprint.cases)
    target = output or own_folder() / f"{made.task.key}.yaml"
    if target.suffix.lower() not in (".yaml", ".yml"):
        raise BadInput(f"{target} is no name for a task file", "End it with .yaml.")
    for what, value, why in plan_lines(plan, budget):
        typer.echo(f"{what:10} {value}\n{'':10} {why}" if why else f"{what:10} {value}")
    for remark in made.remarks:
        typer.echo(f"note: {remark}")
    if dry_run:
        typer.echo("\n" + made.text)
        return
    check_free([target], overwrite=overwrite)
    write_text(target, made.text)
    typer.echo(f"wrote {target}")
    task = made.task.key if target.parent.resolve() == own_folder().resolve() else str(target)
    for command in next_commands(task, made.task.key, found, plan):
        typer.echo(f"next: {command}")


@group.command("check")
def check(
    file: Path = typer.Argument(..., help="Task file, or the key of a task."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Say everything that is wrong with a task file. Exit code 1 if it cannot be used."""
    from rep3d.planning.check import check_file

    findings = check_file(file)
    errors = [f for f in findings if f.severity == "error"]
    if as_json:
        content = {"file": str(file), "usable": not errors, "findings": [vars(f) for f in findings]}
        typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
    else:
        for finding in findings:
            typer.echo(f"{finding.severity}: {finding.text}")
        typer.echo(f"{len(errors)} errors." if errors else "The task can be used.")
    if errors:
        raise typer.Exit(1)


@group.command("show")
def show(
    key: str = typer.Argument(..., help="Key of a task, or a task file."),
    as_json: bool = typer.Option(False, "--json", help="Print what the task says as JSON, instead of its file."),
) -> None:
    """Print a task's file, and where it lies."""
    from rep3d.tasks import load_task
    from rep3d.tasks.store import TASK_FOLDER, find_task_file

    task = load_task(key)
    path = Path(key) if key.lower().endswith((".yaml", ".yml")) else find_task_file(key)
    if as_json:
        typer.echo(json.dumps(task.to_dict(), indent=2, ensure_ascii=False))
        return
    origin = "shipped" if path.resolve().parent == TASK_FOLDER.resolve() else "own"
    typer.echo(f"# {origin}: {path}")
    typer.echo(path.read_text(encoding="utf-8"), nl=False)


def _names(text: str, known) -> dict[int, str] | None:
    """--names, else what the data say. Raises BadInput for both, because label maps can mean one thing only."""
    from rep3d.errors import BadInput

    if not text:
        return dict(known) if known is not None else None
    if known is not None:
        raise BadInput("--names does not apply: the data name their labels", "leave it out, and rename in the file")
    return {i: name.strip() for i, name in enumerate(text.split(","), start=1)}


def _numbers(text: str, option: str, kind: type) -> tuple:
    """ "1.5,1.5,2" -> (1.5, 1.5, 2.0). Raises BadInput that names the option."""
    from rep3d.errors import BadInput

    try:
        values = tuple(kind(part) for part in text.replace("x", ",").split(","))
    except ValueError:
        values = ()
    if len(values) != 3:
        raise BadInput(f"{option} {text!r} is not three numbers", "write it as 96,96,64")
    return values


def _progress():
    """A progress bar on stderr, as a context that gives the function (done, all) -> None."""
    from contextlib import contextmanager

    from rich.console import Console
    from rich.progress import Progress

    @contextmanager
    def shown():
        with Progress(console=Console(stderr=True), transient=True) as bars:
            bar = bars.add_task("measuring cases", total=None)
            yield lambda done, total: bars.update(bar, completed=done, total=total)

    return shown()
