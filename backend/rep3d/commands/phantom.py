"""``rep3d phantom``: make a CT of the abdomen with its truth, or a folder of them."""

from __future__ import annotations

from pathlib import Path

import typer

from rep3d.files import OVERWRITE_HELP, check_free


def phantom(
    output: Path = typer.Option(..., "-o", "--output", help="The scan to write (.nii.gz ...); with --count a folder."),
    seed: int = typer.Option(0, "--seed", min=0, help="Decides everything that the options below leave open."),
    labels: Path | None = typer.Option(None, "--labels", help="The truth to write.", show_default="SCAN_labels"),
    count: int | None = typer.Option(
        None,
        "--count",
        min=1,
        help="Write this many cases, seeds SEED, SEED+1 ..., to FOLDER/images and FOLDER/labels.",
    ),
    spacing: tuple[float, float, float] | None = typer.Option(
        None, "--spacing", help="Voxel size in mm: right, anterior, superior.", metavar="R A S", show_default="random"
    ),
    shape: tuple[int, int, int] | None = typer.Option(
        None, "--shape", help="Number of voxels: right, anterior, superior.", metavar="R A S", show_default="whole body"
    ),
    orientation: str = typer.Option("random", "--orientation", help="Axis codes such as LPS, or random."),
    oblique: float | None = typer.Option(
        None, "--oblique", help="Tilt of the grid in degrees, 0 for none.", show_default="random"
    ),
    noise: float | None = typer.Option(
        None, "--noise", help="Noise in HU (standard deviation), 0 for none.", show_default="random"
    ),
    phase: str = typer.Option("random", "--phase", help="Contrast phase: native, arterial, portal, delayed or random."),
    fov: str = typer.Option(
        "full", "--fov", help="Body part in view: full, abdomen, upper, pelvis, slab (with --anatomy) or random."
    ),
    anatomy: list[Path] = typer.Option(
        [],
        "--anatomy",
        exists=True,
        help="Paint these label maps of real anatomies, files or folders (repeatable), instead of the schematic one.",
    ),
    overwrite: bool = typer.Option(False, "--overwrite", help=OVERWRITE_HELP),
) -> None:
    """Make a CT of a generated abdomen and its ground truth (AMOS's 15 labels). No scan of a patient is behind it.

    The same seed and options give the same voxels. The same command continues a folder of cases that was stopped.
    """
    from rich.console import Console

    from rep3d.errors import BadInput
    from rep3d.phantom.files import labels_path, make, split_suffix, write_cases, write_phantom
    from rep3d.phantom.options import ScanOptions
    from rep3d.phantom.painted import Anatomies

    options = ScanOptions(
        spacing=spacing, shape=shape, orientation=orientation, oblique=oblique, noise=noise, phase=phase, fov=fov
    )
    options.check(seed)
    anatomies = Anatomies(anatomy) if anatomy else None
    console = Console(stderr=True, highlight=False)
    if count is None:
        split_suffix(output)
        truth = labels or labels_path(output)
        split_suffix(truth)
        check_free([output, truth], overwrite=overwrite)
        made = make(seed, options, anatomies)
        write_phantom(made, output, truth)
        size = " x ".join(map(str, made.image.shape))
        console.print(
            f"{output} and {truth.name}: {size} voxels, {made.meta['phase']} phase", markup=False, soft_wrap=True
        )
        return
    if labels is not None:
        raise BadInput("--labels names one file and cannot go with --count", hint="Truth goes to FOLDER/labels.")
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("phantoms"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        job = bar.add_task("", total=count)
        made_count = write_cases(
            output,
            range(seed, seed + count),
            options,
            lambda done, _total, _made: bar.update(job, completed=done),
            anatomies,
        )
    console.print(f"{output}: {count} cases, {made_count} of them made now", markup=False, soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("phantom")(phantom)
