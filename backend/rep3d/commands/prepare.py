"""``rep3d prepare``: check a download, split it, and preprocess it for training and evaluation."""

from __future__ import annotations

from pathlib import Path

import typer


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("prepare")(prepare)


def prepare(
    kind: str = typer.Argument(..., metavar="KIND", help="amos, kits, msd, nnunet or folder."),
    source: Path = typer.Argument(..., metavar="SRC", help="Folder that the download was unpacked to."),
    out: Path = typer.Argument(..., metavar="DST", help="Folder for the prepared data; then `--data DST`."),
    task: str = typer.Option("", help="Task key or task file [default: by the data set, where it has one]."),
    exclude: str = typer.Option("", help="Ids of cases to leave out, e.g. case_1,case_7."),
    skip_broken: bool = typer.Option(False, "--skip-broken", help="Leave out every case with an error."),
    channel: int = typer.Option(None, help="Which channel of multi-channel data."),
    map_labels: str = typer.Option("", help="Label values to change, e.g. 14=0,15=0 (0: background)."),
    images: str = typer.Option("", help="folder: the folder of the images [default: images]."),
    labels: str = typer.Option("", help="folder: the folder of the label maps [default: labels]."),
    image_name: str = typer.Option("", help='folder: pattern of image names, e.g. "{id}_ct".'),
    label_name: str = typer.Option("", help='folder: pattern of label map names, e.g. "{id}_seg".'),
    label_file: str = typer.Option("", help="kits: the label file, e.g. aggregated_AND_seg.nii.gz."),
    parts: str = typer.Option("", help="amos: parts to use, e.g. tr,va [default: tr]."),
    plain_labels: bool = typer.Option(False, "--plain-labels", help="nnunet: take region labels by stored value."),
    patient_pattern: str = typer.Option("", help='Patient of an id: one group of a pattern, e.g. "(p[0-9]+)_.*".'),
    patient_table: Path = typer.Option(None, help="Patients of ids: a CSV file id,patient."),
    fold_count: int = typer.Option(0, help="Cross-validation with N folds instead of the task's split."),
    split_seed: int = typer.Option(None, help="Another seed of the split."),
    splits: Path = typer.Option(None, help="Own split: JSON with train, val and test, or a list of folds."),
    workers: int = typer.Option(0, help="Processes; 0: one a processor, as far as memory goes."),
    cache: bool = typer.Option(True, "--cache/--no-cache", help="Preprocess now, or leave it to the training."),
    update: bool = typer.Option(False, "--update", help="Accept that data or options differ from those in DST."),
) -> None:
    """Check a data set, split it by patient, and preprocess it. Killed at any moment, the same command goes on."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from rep3d.data.layouts import KINDS, LayoutOptions, default_task
    from rep3d.data.prepare import PrepareConfig
    from rep3d.data.prepare import prepare as run
    from rep3d.errors import BadInput
    from rep3d.tasks import load_task

    if kind not in KINDS:
        raise BadInput(f"no layout is called {kind!r}", f"known: {', '.join(KINDS)}")
    chosen = load_task(task or default_task(kind, source))
    options = LayoutOptions(
        channel, images, labels, image_name, label_name, label_file, tuple(_words(parts)), plain_labels
    )
    config = PrepareConfig(
        kind=kind,
        task=chosen,
        layout=options,
        exclude=tuple(_words(exclude)),
        skip_broken=skip_broken,
        map_labels=label_table(map_labels),
        patient_pattern=patient_pattern,
        patient_table=patient_table,
        fold_count=fold_count,
        split_seed=split_seed,
        splits=splits,
        workers=workers,
        cache=cache,
        update=update,
    )
    console = Console(highlight=False, soft_wrap=True)
    columns = (TextColumn("{task.description:13}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        stages: dict[str, int] = {}

        def show(stage: str, done: int, total: int) -> None:
            if stage not in stages:
                stages[stage] = bar.add_task(stage, total=total)
            bar.update(stages[stage], completed=done)

        result = run(config, source, out, show)
    for note in result.notes:
        console.print(note, markup=False)
    _tell(result, console)


def _tell(result, console) -> None:
    """What was found and written."""
    counts = result.report.to_dict()["counts"]
    content = result.content
    console.print(
        f"{result.report.checked} cases checked: {counts['warnings']} warnings, {counts['errors_excluded']} errors of "
        f"{len(content['excluded'])} cases that are left out; {result.folder / 'integrity.txt'}",
        markup=False,
    )
    folds = content["counts"] if isinstance(content["counts"], list) else [content["counts"]]
    for k, part in enumerate(folds):
        fold = f"fold {k}: " if len(folds) > 1 else ""
        console.print(fold + ", ".join(f"{n} {name}" for name, n in part.items()), markup=False)
    if result.cached:
        made = ", ".join(f"{n} {what}" for what, n in result.cached.items() if n)
        console.print(f"preprocessed: {made}", markup=False)
    console.print(f"written; use it with --data {result.folder}", markup=False, highlight=False)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def label_table(text: str) -> dict[int, int]:
    """ "14=0,15=0" -> {14: 0, 15: 0}. Raises BadInput."""
    from rep3d.errors import BadInput

    table = {}
    for pair in _words(text):
        old, sign, new = pair.partition("=")
        if not sign or not old.strip().isdigit() or not new.strip().isdigit():
            raise BadInput(f"--map-labels {pair!r} is not OLD=NEW", "write it as 14=0,15=0")
        table[int(old)] = int(new)
    return table
