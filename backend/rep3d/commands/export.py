"""``rep3d export``: deployed networks for other programs."""

from __future__ import annotations

from pathlib import Path

import typer
from rich.console import Console

from rep3d.files import OVERWRITE_HELP, check_free, taken

FORMATS = ("bundle", "onnx", "torch-export", "torchscript")


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("export")(export)


def export(
    weights: str = typer.Argument(
        help="Weights file (.safetensors), training checkpoint (.ckpt, fused first), or the name of installed weights."
    ),
    output: Path = typer.Option(..., "-o", "--output", help="File to write; for a bundle a folder or a .zip file."),
    format: str = typer.Option(..., "--format", help="bundle (MONAI), onnx, torch-export or torchscript."),
    scan: list[Path] = typer.Option(
        [], "--scan", help="A scan to compare the networks on, besides random windows; give it once for each."
    ),
    batch: int = typer.Option(0, "--batch", help="Fixed batch size; 0: any."),
    dynamic_size: bool = typer.Option(
        False, "--dynamic-size", help="Windows of any size the network's stride divides, not the trained patch alone."
    ),
    overwrite: bool = typer.Option(False, "--overwrite", help=OVERWRITE_HELP),
) -> None:
    """Write a deployed network for other programs. Research software, not a medical device.

    The exported network is run on random windows, and on windows of --scan, beside Rep3D's own; if any logit differs by
    more than 1e-4, nothing is written. What was measured is printed and stored in the export.
    """
    from rep3d.errors import BadInput

    console = Console(soft_wrap=True, highlight=False)
    if format not in FORMATS:
        raise BadInput(f"unknown export format {format!r}", "Choose one of " + ", ".join(FORMATS) + ".")
    if batch < 0:
        raise BadInput(f"--batch {batch} is negative", "Give a batch size, or 0 for any.")
    if format == "bundle" and (batch or dynamic_size):
        raise BadInput(
            "--batch and --dynamic-size are for single files", "A bundle's network takes any batch of its patch."
        )
    check_output(output, format, overwrite)

    from rep3d.export.agreement import make_windows
    from rep3d.export.programs import export_file
    from rep3d.export.source import load_source

    source = load_source(weights)
    for note in source.notes:
        console.print(note, markup=False)
    windows = make_windows(source, scan)
    if format == "bundle":
        from rep3d.export.bundle import export_bundle

        agreement = export_bundle(source, output, windows, overwrite=overwrite)
    else:
        agreement = export_file(source, output, format, windows, batch=batch, dynamic_size=dynamic_size)
    console.print(f"{output}: {source.meta.id}, {agreement.sentence()}", markup=False)


def check_output(output: Path, format: str, overwrite: bool) -> None:
    """Refuse a name that does not fit the format, or that is taken."""
    from rep3d.errors import BadInput

    wanted = {"onnx": (".onnx",), "torch-export": (".pt2",), "torchscript": (".ts", ".pt")}.get(format)
    if wanted and output.suffix.lower() not in wanted:
        raise BadInput(f"{output} does not end in {wanted[0]}", f"Files of --format {format} are named so.")
    if wanted or not output.is_dir():
        check_free([output], overwrite=overwrite)
    elif not overwrite:
        raise taken(output)
