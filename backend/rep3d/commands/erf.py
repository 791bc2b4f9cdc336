"""``rep3d erf``: what an answer depends on, over many patches or at one voxel of a scan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from rep3d.files import OVERWRITE_HELP, as_json, check_free, content_hash

if TYPE_CHECKING:
    from rep3d.interpret.subjects import Subject
    from rep3d.interpret.survey import Survey


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("erf")(erf)


def erf(
    subjects: list[str] = typer.Argument(
        ...,
        help="Weights files, training checkpoints, or networks by name with fresh weights, e.g. "
        "rep3d-xs:kernel_size=7,reparam=fixed. Several are compared in one figure.",
    ),
    out: Path = typer.Option(Path("rep3d-erf"), "-o", "--out", help="Folder for numbers, volumes and pictures."),
    image: list[Path] = typer.Option([], help="Scan to take patches from; give the option once for each."),
    at: str = typer.Option("", help="Explain this voxel of the one --image: i,j,k, counted from 0."),
    at_mm: str = typer.Option("", "--at-mm", help="The same by its place: R,A,S in mm."),
    classes: list[str] = typer.Option(
        [],
        "--class",
        help="Class by key, name or number, repeatable. Default: all structures; with --at: the one found.",
    ),
    depth: list[str] = typer.Option(
        ["logits"], help="logits, stage1 .. stage4, bottleneck, decoder5 .. decoder1 or the path of a part; repeatable."
    ),
    patches: int = typer.Option(8, help="Patches for each class."),
    patch: str = typer.Option("", help="Patch in voxels, e.g. 48,64,48. Default: that of the training."),
    format: str = typer.Option("nii.gz", help="Format of the volumes with --at: nii.gz, nii or nrrd."),
    device: str = typer.Option("auto", help="auto, cpu, cuda:N or mps."),
    seed: int = typer.Option(0, help="Seed of the patches, and of fresh networks."),
    overwrite: bool = typer.Option(False, "--overwrite", help=OVERWRITE_HELP),
) -> None:
    """Measure effective receptive fields: the gradient of an output with respect to the input.

    Over many patches: radius and volume that hold 20, 50, 90 and 99 % of |gradient|, profile, Gaussian fit, share of
    the theoretical field, with bootstrap intervals. With --at: the field of one answer on the scan's own grid.
    """
    from rep3d import conformance
    from rep3d.errors import BadInput
    from rep3d.inference.devices import resolve_device
    from rep3d.interpret.map_files import MAP_FORMATS
    from rep3d.interpret.subjects import load_subject

    if format not in MAP_FORMATS:
        raise BadInput(f"--format {format!r} is unknown", f"Choose {', '.join(MAP_FORMATS)}.")
    size = numbers(patch, "--patch", int) if patch else None
    chosen = resolve_device(device)
    conformance.require(chosen, "float32", gradients=True)
    loaded = [load_subject(text) for text in subjects]
    if at or at_mm:
        if len(loaded) != 1 or len(image) != 1 or len(classes) > 1 or (at and at_mm):
            raise BadInput("--at explains one voxel of one --image by one network", "Ask one question at a time.")
        if depth != ["logits"]:
            raise BadInput("--depth does not apply to --at, which explains an answer", "Leave one of them out.")
        from rep3d.interpret.voxel_report import explain_file

        check_free(
            patterns=[out / "erf.*", out / "erf-negative.*"],
            overwrite=overwrite,
            record=out / "erf.json",
            same=lambda r: r["subject"] == as_json(loaded[0].origin) and r["scan_sha256"] == content_hash(image[0]),
        )
        place = numbers(at, "--at", int) if at else numbers(at_mm, "--at-mm", float)
        lines = explain_file(
            loaded[0], image[0], place, out, chosen, in_mm=bool(at_mm), class_text=classes[0] if classes else None,
            patch=size, fmt=format,
        )  # fmt: skip
        typer.echo("\n".join(lines))
        return
    check_free(
        patterns=[out / "erf.*"],
        overwrite=overwrite,
        record=out / "erf.json",
        same=lambda record: [s["origin"] for s in record["surveys"]] == as_json([s.origin for s in loaded]),
    )
    _survey(loaded, out, image, classes, depth, patches, size, seed, chosen)


def _survey(loaded: list[Subject], out: Path, image, classes, depth, patches, size, seed, device) -> None:
    from rich.console import Console

    from rep3d.commands.segment import progress_bar
    from rep3d.figures.reach import reach_figure
    from rep3d.interpret.survey import SurveyOptions, survey
    from rep3d.interpret.survey_files import text_table, write_survey

    console = Console(stderr=True, soft_wrap=True, highlight=False)
    surveys: list[Survey] = []
    with progress_bar(console) as bar:
        task = bar.add_task("starting", total=len(loaded))
        for i, subject in enumerate(loaded):
            options = SurveyOptions(
                tuple(image), tuple(subject.class_index(c) for c in classes), tuple(depth), patches, size, seed
            )

            def show(fraction: float, stage: str, done: int = i) -> None:
                bar.update(task, completed=done + fraction, description=stage)

            surveys.append(survey(subject, options, device, show))
    write_survey(out, surveys)
    summaries = [summary for found in surveys for summary in found.summaries]
    subtitle = (
        f"{patches} patches of {surveys[0].source}  ·  mean and 95 % bootstrap interval  ·  "
        f"window {' × '.join(map(str, surveys[0].patch))}"
    )
    reach_figure(out / "erf.png", summaries, subtitle=subtitle)
    print(text_table(summaries))
    for found in surveys:
        for warning in found.warnings:
            console.print(f"warning: {found.subject.name}: {warning}", markup=False)
    typer.echo(f"{out}: erf.json, erf.csv, erf.npz and erf.png")


def numbers(text: str, option: str, kind: type) -> tuple:
    """Three numbers "1,2,3". Raises BadInput that names the option."""
    import math

    from rep3d.errors import BadInput

    try:
        values = tuple(kind(part) for part in text.replace(";", ",").split(","))
    except ValueError:
        values = ()
    if len(values) != 3 or not all(math.isfinite(v) for v in values):
        what = "whole numbers" if kind is int else "numbers"
        raise BadInput(f"{option} {text!r} is not three {what}", "Write them as 12,34,56.")
    return values
