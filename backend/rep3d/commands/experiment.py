"""``rep3d experiment``: the paper's ablations, each one command."""

from __future__ import annotations

from pathlib import Path

import typer

from rep3d.files import check_free


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("experiment")(experiment)


def experiment(
    name: str = typer.Argument(
        ..., help="kernel-size, lrbm-depth, lrbm-kernel, backbone-lrbm or branch-lr; `list` shows them."
    ),
    task: str = typer.Option(None, "--task", help="Task key (see `rep3d tasks`) or a task file."),
    data: Path = typer.Option(None, "--data", help="Data folder, as for `rep3d train`."),
    out: Path = typer.Option(None, "--out", help="Folder for runs and tables; studies in one folder share runs."),
    recipe: str = typer.Option("paper", help="paper (60,000 steps, full size) or small (400 steps, rep3d-xs)."),
    seeds: str = typer.Option("0,1,2", help="Seeds; each variant is trained once with each."),
    variants: str = typer.Option("", help="Only these variants, separated by commas."),
    network: str = typer.Option("", help="Another size than the recipe's, e.g. rep3d-s."),
    steps: int = typer.Option(None, help="Another number of steps than the recipe's."),
    batch_size: int = typer.Option(None, help="Another number of volumes a step than the recipe's."),
    split: str = typer.Option("test", help="The split that is scored: test or val."),
    fold: int = typer.Option(0, help="Fold of a task with a k-fold split."),
    device: str = typer.Option("auto", help="auto, cpu, cuda, cuda:N or mps."),
    threads: int = typer.Option(None, help="CPU threads."),
    tables_only: bool = typer.Option(False, "--tables-only", help="Train nothing: tables from the runs that are done."),
) -> None:
    """Train and score every variant with every seed, then write a table and a figure. Run again, it goes on.

    Started in several terminals at once, the processes share the runs.
    """
    from dataclasses import replace

    from rich.console import Console

    from rep3d.commands.train import integers
    from rep3d.errors import BadInput
    from rep3d.experiments.execute import Setting, execute
    from rep3d.experiments.recipes import recipe_of
    from rep3d.experiments.studies import studies
    from rep3d.experiments.tables import write_study
    from rep3d.tasks import load_task

    console = Console(highlight=False)
    if name == "list":
        for study in studies({}).values():
            console.print(f"{study.name}: {study.question}", markup=False)
            for variant in study.variants:
                console.print(f"    {variant.key}: {variant.title}", markup=False)
        return
    if task is None or data is None or out is None:
        raise BadInput(f"{name} needs --task, --data and --out", "`rep3d experiment list` shows what there is.")
    chosen = load_task(task)
    how = recipe_of(recipe, chosen)
    if network:
        how = replace(how, network=network)
    how = how.with_settings(steps=steps, batch_size=batch_size, threads=threads)
    known = studies(how.rate_scale)
    if name not in known:
        raise BadInput(f"there is no experiment {name!r}", f"Choose one of {', '.join(known)}.")
    study = known[name]
    setting = Setting(chosen, data, out, how, integers(seeds, "--seeds"), split, fold=fold, device=device)
    some = [part.strip() for part in variants.split(",") if part.strip()]
    tables = out / f"{study.name}-{chosen.key}"
    check_free(
        [tables / name for name in ("table.md", "table.csv", "results.json", "figure.png")],
        overwrite=None,
        record=tables / "results.json",
        same=lambda record: record["study"] == study.name,
    )
    elsewhere = 0 if tables_only else execute(study, setting, console, some)
    if elsewhere:
        console.print(f"{elsewhere} runs are still at work in other processes; the tables show what is done.")
    for path in write_study(study, setting, tables):
        console.print(str(path), markup=False, soft_wrap=True)
