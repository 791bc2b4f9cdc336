"""``rep3d fuse`` and ``rep3d import``: from checkpoints to deployed weights files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

from rep3d.files import OVERWRITE_HELP, check_free


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("fuse")(fuse)
    app.command("import")(import_)


def fuse(
    checkpoint: Path = typer.Argument(help="Training checkpoint, such as RUN/best.ckpt."),
    output: Path = typer.Option(..., "--output", "-o", help="Weights file to write (.safetensors)."),
    weights_id: str = typer.Option("", "--id", help="Name of the weights; default: task, network, step."),
    licence: str = typer.Option("", help="Licence of the weights; default: the licence of the task's data set."),
    data: Path = typer.Option(
        None, "--data", help="Where the training data are now, to record what they look like; default: where they were."
    ),
    demo_only: bool = typer.Option(
        False, "--demo-only", help="For trying the software only: every run with these weights says so."
    ),
    half: bool = typer.Option(
        False, "--half", help="Store 16-bit numbers: half the size, Dice the same to about 0.0005."
    ),
    remove_islands: bool = typer.Option(
        False,
        "--remove-islands",
        help="Runs remove small islands unless told otherwise: for weights whose validation gains by it "
        "(compare `rep3d evaluate --split val` with and without).",
    ),
    overwrite: bool = typer.Option(False, "--overwrite", help=OVERWRITE_HELP),
) -> None:
    """Turn a training checkpoint into a deployed weights file.

    The masks are multiplied into the kernels, batch norms are folded, taps that never met data are dropped, and the
    generator is left behind. The two forms are compared on random input before anything is written.
    """
    from rep3d.fuse import as_half, expected_of, fuse_checkpoint
    from rep3d.weights import load_weights, save_weights

    check_output(output, overwrite)
    console = Console(soft_wrap=True, highlight=False)
    tensors, meta, error = fuse_checkpoint(checkpoint, weights_id=weights_id, licence=licence)
    meta = replace(meta, demo_only=demo_only, expected=expected_of(checkpoint, data))
    if remove_islands:
        meta = replace(meta, training={**meta.training, "remove_islands": True})
    save_weights(output, as_half(tensors) if half else tensors, meta)
    written = load_weights(output)
    size = output.stat().st_size / 2**20
    line = f"{output}: {meta.id}, {size:.1f} MiB, logits agree to {error:.1e} relative, sha256 {written.sha256}"
    console.print(line, markup=False)
    if meta.expected is None:
        note = "note: the training data were not found: these weights cannot tell a scan of another kind. Give --data."
        console.print(note, markup=False)


def import_(
    checkpoint: Path = typer.Argument(help="state_dict of the authors' REP3D network (.pth)."),
    task: str = typer.Option(..., help="Task the weights were trained for (key or YAML file)."),
    output: Path = typer.Option(..., "--output", "-o", help="Weights file to write (.safetensors)."),
    patch: int = typer.Option(96, help="Edge of the training crops in voxels; the authors' code uses 96."),
    intensity: str = typer.Option(
        "", help="Intensity preset; default: the authors' code for CT (ct-authors-code), the task's own for MR."
    ),
    weights_id: str = typer.Option("", "--id", help="Name of the weights."),
    licence: str = typer.Option("", help="Licence of the weights."),
    overwrite: bool = typer.Option(False, "--overwrite", help=OVERWRITE_HELP),
) -> None:
    """Turn weights trained with the authors' code into a deployed weights file.

    Their kernels are masked already and are taken as they are. Prints how much of each kernel's energy lies off its
    centre and warns when a kernel has collapsed onto it.
    """
    from rep3d.errors import BadInput
    from rep3d.foreign import import_authors
    from rep3d.tasks import INTENSITY_PRESETS, load_task
    from rep3d.weights import load_weights, save_weights

    check_output(output, overwrite)
    if patch < 32 or patch % 16:
        raise BadInput(f"--patch {patch} does not fit the network", "Give a multiple of 16, at least 32.")
    target = load_task(task)
    name = intensity or ("ct-authors-code" if target.modality == "CT" else "")
    if name and name not in INTENSITY_PRESETS:
        raise BadInput(f"no intensity preset is called {name!r}", f"Known: {', '.join(sorted(INTENSITY_PRESETS))}.")
    chosen = INTENSITY_PRESETS[name] if name else target.intensity
    tensors, meta, reports = import_authors(
        checkpoint, target, (patch,) * 3, chosen, weights_id=weights_id, licence=licence
    )
    save_weights(output, tensors, meta)
    load_weights(output)
    console = Console(highlight=False)
    table = Table(title=f"{checkpoint.name}: energy of the large kernels")
    for column in ("block", "off centre", "beyond 3 taps", ""):
        table.add_column(column)
    for report in reports:
        warning = "collapsed" if report.collapsed else ""
        table.add_row(report.block, f"{report.off_centre:.1%}", f"{report.beyond_three_taps:.1%}", warning)
    console.print(table)
    collapsed = [report.block for report in reports if report.collapsed]
    if collapsed:
        console.print(
            f"warning: the kernels of {', '.join(collapsed)} have collapsed onto their centre tap: these weights do "
            "not use their large kernels. The authors' training multiplies the mask into the kernel at every forward.",
            soft_wrap=True,
        )
    console.print(f"{output}: {meta.id}, window {name or 'of the task'}, patch {patch}", soft_wrap=True)


def check_output(output: Path, overwrite: bool) -> None:
    """Refuse a name that is none for weights, or that is taken."""
    from rep3d.errors import BadInput

    if output.suffix != ".safetensors":
        raise BadInput(f"{output} does not end in .safetensors", "Weights are written in that format only.")
    check_free([output], overwrite=overwrite)
