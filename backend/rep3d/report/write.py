"""Draw, measure and write a report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rep3d.files import write_text
from rep3d.interpret.survey import Survey, SurveyOptions, survey
from rep3d.report.gather import Material, read_json
from rep3d.report.page import Pictures, Timings, page
from rep3d.report.timing import benchmark_rows, measure_layers
from rep3d.runtime.private_folder import private_folder

Progress = Callable[[float, str], None]
BLOCKS = ("stage1.block1", "stage2.block1", "stage3.block1", "stage4.block1")


@dataclass(frozen=True)
class ReportOptions:
    """``images``: scans for the receptive field (noise without any). ``patches``: for each class.
    ``benchmark``: JSON of benchmarks/operator.py instead of a measurement here; ``timing``: whether to show any."""

    images: tuple[Path, ...] = ()
    patches: int = 4
    benchmark: Path | None = None
    timing: bool = True
    seed: int = 0


def write_report(
    path: Path, material: Material, options: ReportOptions, device: torch.device, progress: Progress | None = None
) -> None:
    """Write the HTML file, atomically. Raises BadInput (benchmark, scans), OutOfMemory, OutputFailed."""
    report = progress or (lambda _fraction, _stage: None)
    timings = _timings(material, options, device)
    report(0.1, "receptive fields")
    chosen = SurveyOptions(images=options.images, patches=options.patches, seed=options.seed)
    found = survey(material.subject, chosen, device, lambda f, _s: report(0.1 + 0.6 * f, "receptive fields"))
    report(0.7, "pictures")
    with private_folder() as folder:
        pictures = _draw(folder, material, found)
        report(0.95, "writing")
        write_text(path, page(material, found, timings, pictures))


def _timings(material: Material, options: ReportOptions, device: torch.device) -> Timings | None:
    if not options.timing:
        return None
    if options.benchmark is not None:
        rows, machine = benchmark_rows(read_json(options.benchmark, "a benchmark"), str(options.benchmark))
        return Timings(tuple(rows), f"{options.benchmark.name}: {machine}")
    from rep3d.inference.devices import describe_device

    network = material.subject.build(0).to(device)
    rows = measure_layers(network, material.subject.patch, device)
    return Timings(tuple(rows), f"measured for this report on {describe_device(device)}") if rows else None


def _draw(folder: Path, material: Material, found: Survey) -> Pictures:
    from rep3d.figures import curves
    from rep3d.figures.kernels import kernel_figure
    from rep3d.figures.reach import MOST, reach_figure

    shown = material.curves
    if material.records:
        shown = folder / "curves.png"
        curves(shown, list(material.records), title="Training", subtitle=material.subject.name)
    kernels: dict[str, Path] = {}
    for block in material.kernels.blocks if material.kernels else ():
        if block.name in BLOCKS:
            kernels[block.name] = folder / f"{block.name}.png"
            kernel_figure(kernels[block.name], block)
    fields = folder / "erf.png"
    count: Any = found.summaries[0].patches
    reach_figure(fields, found.summaries[:MOST], subtitle=f"{count} patches of {found.source}")
    return Pictures(shown, kernels, fields)
