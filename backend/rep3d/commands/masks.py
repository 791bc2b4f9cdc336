"""``rep3d masks``: what the large kernels of a network learned to trust."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from rep3d.files import OVERWRITE_HELP, as_json, check_free

if TYPE_CHECKING:
    from rep3d.interpret.kernels import KernelSet


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("masks")(masks)


def masks(
    files: list[Path] = typer.Argument(
        ..., help="A weights file (.safetensors) or a training checkpoint; several checkpoints of one run: evolution."
    ),
    out: Path = typer.Option(Path("rep3d-masks"), "-o", "--out", help="Folder for tables, arrays and pictures."),
    block: list[str] = typer.Option([], help="Only this block, e.g. stage1.block2; give the option once for each."),
    format: str = typer.Option("nrrd", help="Format of the volumes: nrrd, nii.gz or nii."),
    figures: bool = typer.Option(True, help="Draw pictures."),
    volumes: bool = typer.Option(True, help="Write volumes with the taps as voxels."),
    start: bool = typer.Option(True, help="Evolution: begin with step 0, rebuilt from the run's seed."),
    overwrite: bool = typer.Option(False, "--overwrite", help=OVERWRITE_HELP),
) -> None:
    """Show prior, generator, mask and kernels of each block: arrays, volumes, pictures and a table.

    A training checkpoint has all of them; a deployed file keeps the mask M and the effective kernel W * M. Several
    checkpoints of one run show how they came about, as pictures and GIFs, beside the predicted learning-rate field.
    """
    from rep3d.errors import BadInput
    from rep3d.interpret.map_files import MAP_FORMATS

    if format not in MAP_FORMATS:
        raise BadInput(f"--format {format!r} is unknown", f"Choose {', '.join(MAP_FORMATS)}.")
    if len(files) > 1:
        _evolution(files, out, block, start, overwrite)
        return
    from rep3d.interpret.kernel_export import export_arrays, export_table, export_volumes
    from rep3d.interpret.kernels import load_kernels

    kernels = choose(load_kernels(files[0]), block)
    check_free(
        patterns=[
            out / "masks.*",
            *(out / f"{one.name}*.{suffix}" for one in kernels.blocks for suffix in ("png", format)),
        ],
        overwrite=overwrite,
        record=out / "masks.json",
        same=lambda record: record["origin"] == as_json(kernels.origin),
    )
    rows = export_table(out, kernels)
    written = [export_arrays(out / "masks.npz", kernels)]
    if volumes:
        written += export_volumes(out, kernels, format)
    if figures:
        from rep3d.figures.kernels import kernel_figure

        for one in kernels.blocks:
            written.append(out / f"{one.name}.png")
            kernel_figure(written[-1], one, subtitle=describe(kernels))
    _show(rows)
    typer.echo(f"{out}: masks.json, masks.csv, masks.txt and {len(written)} files of arrays and pictures")


def choose(kernels: KernelSet, names: list[str]) -> KernelSet:
    """Only the blocks with these names, all without any. Raises BadInput for a name that does not exist."""
    from dataclasses import replace

    from rep3d.errors import BadInput

    known = [b.name for b in kernels.blocks]
    if unknown := sorted(set(names) - set(known)):
        raise BadInput(f"there is no block {', '.join(unknown)}", f"The blocks are {', '.join(known)}.")
    return replace(kernels, blocks=tuple(b for b in kernels.blocks if b.name in names)) if names else kernels


def describe(kernels: KernelSet) -> str:
    """Where the kernels come from, in a few words."""
    name = kernels.origin.get("weights") or kernels.origin.get("file", "")
    return f"{name}, step {kernels.step}" if kernels.step is not None else str(name)


def _evolution(files: list[Path], out: Path, names: list[str], start: bool, overwrite: bool) -> None:
    import json

    from rep3d.figures.evolution import evolution_figure, evolution_gif
    from rep3d.files import write_text
    from rep3d.interpret.evolution import evolution_rows, load_evolution
    from rep3d.interpret.kernel_table import to_csv

    series = [choose(kernels, names) for kernels in load_evolution(files, from_start=start)]
    sources = [kernels.origin | {"step": kernels.step} for kernels in series]
    check_free(
        patterns=[out / "evolution*.*"],
        overwrite=overwrite,
        record=out / "evolution.json",
        same=lambda record: record["checkpoints"] == as_json(sources),
    )
    rows = evolution_rows(series)
    write_text(out / "evolution.json", json.dumps({"checkpoints": sources, "rows": rows}, indent=1) + "\n")
    write_text(out / "evolution.csv", to_csv(rows))
    for i, block in enumerate(series[0].blocks):
        optimizer = f"trained with {series[0].optimizer}: W · M moves by " + (
            "M² times the rate" if series[0].optimizer == "sgd" else "|M| times the rate"
        )
        evolution_figure(out / f"evolution-{block.name}.png", series, i, subtitle=optimizer)
        evolution_gif(out / f"evolution-{block.name}.gif", series, i)
        typer.echo(f"{block.name}: {len(series)} checkpoints, evolution-{block.name}.png and .gif")
    typer.echo(f"{out}: evolution.json, evolution.csv")


def _show(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console

    from rep3d.interpret.kernel_export import text_table

    Console(soft_wrap=True, highlight=False).print(text_table(rows), markup=False)
