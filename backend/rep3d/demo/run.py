"""The demo from scan to web page."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rep3d import __version__
from rep3d.demo import inputs
from rep3d.demo.explain import draw_mask, draw_receptive_field
from rep3d.demo.folder import MARKER, replaced_folder
from rep3d.demo.page import write_page
from rep3d.errors import BadInput
from rep3d.figures import overlay, render
from rep3d.files import atomic_path, write_text
from rep3d.inference.devices import resolve_device
from rep3d.inference.pipeline import segment_with_weights
from rep3d.inference.writing import OutputFiles, write_labels, write_result
from rep3d.phantom.options import DEMO_SEED

if TYPE_CHECKING:
    from rep3d.inference.result import SegmentationResult
    from rep3d.weights import Weights

Say = Callable[[float, str], None]


@dataclass(frozen=True)
class DemoOptions:
    """What to show. ``scan`` None: a generated abdominal CT with this ``seed``."""

    out: Path
    scan: Path | None = None
    truth: Path | None = None
    task: str = ""
    weights: Path | None = None
    seed: int = DEMO_SEED
    device: str = "auto"


@dataclass(frozen=True)
class Demo:
    """What a demo made: all that the page and the terminal show."""

    result: SegmentationResult
    weights: Weights
    source: inputs.DemoInput
    dice: tuple[float, ...] | None  # by label, nan where a structure is in neither; None when the truth is not known
    pictures: dict[str, str]  # name -> file: overlay, render3d, mask, erf
    captions: dict[str, str]
    files: tuple[str, ...]
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def mean_dice(self) -> float:
        """Mean Dice over the structures present; nan without truth."""
        known = [d for d in self.dice or () if not math.isnan(d)]
        return sum(known) / len(known) if known else math.nan


def run_demo(options: DemoOptions, say: Say = lambda _fraction, _stage: None) -> tuple[Path, Demo]:
    """Segment, measure, draw, and write everything into ``options.out`` at once; returns the page's path.

    Raises:
        BadInput, WeightsMissing, WeightsInvalid, OutOfMemory, DeviceUnavailable, OutputFailed.
    """
    if options.truth is not None and options.scan is None:
        raise BadInput("--truth belongs to a scan, but no --scan is given", "The truth of the generated scan is known.")
    device = resolve_device(options.device)
    weights = inputs.choose_weights(options.scan, options.task, options.weights)
    out = Path(options.out)
    with replaced_folder(out) as folder:
        demo = _build(options, weights, str(device), folder, say)
        write_page(folder / "index.html", folder, demo)
        write_text(folder / MARKER, json.dumps(summary(demo), indent=2, ensure_ascii=False) + "\n")
    return (out / "index.html").resolve(), demo


def _build(options: DemoOptions, weights: Weights, device: str, folder: Path, say: Say) -> Demo:
    seconds: dict[str, float] = {}
    start = time.perf_counter()

    def done(stage: str) -> None:
        nonlocal start
        now = time.perf_counter()
        seconds[stage], start = now - start, now

    if options.scan is None:
        say(0.02, "generating an abdominal CT")
        source = inputs.generate_input(folder, options.seed)
        done("generate")
    else:
        say(0.02, "reading the scan")
        source = inputs.read_input(options.scan, options.truth, weights.meta.task.labels)
        done("read")
    say(0.15, "segmenting")
    network = weights.build_network()
    result = segment_with_weights(
        source.scan,
        weights,
        network,
        device=device,
        progress=lambda fraction, stage: say(0.15 + 0.55 * fraction, f"segmenting: {stage}"),
    )
    done("segment")
    dice = None
    if source.truth is not None:
        dice = tuple(inputs.dice_scores(result.labelmap, source.truth, weights.meta.task.num_classes))
    say(0.72, "writing label maps")
    files = OutputFiles.beside(folder / f"{source.name}_seg.nii.gz", "nii.gz")
    # the page says where the data come from; a path of this machine in a folder made to be shown would not help
    named = replace(source.scan, path=Path(source.scan.path.name) if source.scan.path else None)
    result = replace(result, volume=named, weights={**result.weights, "file": weights.path.name})
    write_result(result, files)
    with atomic_path(folder / f"{source.name}_seg.seg.nrrd") as temporary:
        write_labels(temporary, result, "seg.nrrd")
    done("write")
    pictures, captions = _draw(folder, source, result, weights, network, device, say)
    done("draw")
    made = sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))
    return Demo(result, weights, source, dice, pictures, captions, tuple(made), seconds)


def _draw(folder, source, result, weights, network, device, say) -> tuple[dict[str, str], dict[str, str]]:
    import torch

    task, pictures, captions = weights.meta.task, {}, {}
    labels = source.scan.with_array(result.labelmap)
    subtitle = f"{source.description}  ·  weights {weights.meta.id}"
    say(0.78, "drawing slices")
    maps = [("Rep3D", labels)] + ([("Truth", source.truth)] if source.truth is not None else [])
    overlay(folder / "overlay.png", source.scan, maps, task, subtitle=subtitle)
    pictures["overlay"] = "overlay.png"
    captions["overlay"] = (
        "Slices in radiological convention: the patient's right is on the left, axial slices are seen from the feet."
    )
    if result.labelmap.any():
        say(0.82, "rendering in 3D")
        skin = source.scan if task.modality == "CT" else None
        render(folder / "render3d.png", labels, task, scan=skin, subtitle=subtitle)
        pictures["render3d"] = "render3d.png"
        captions["render3d"] = "The structures that Rep3D found" + (", with the skin as a ghost." if skin else ".")
    say(0.93, "drawing a modulation mask")
    block = draw_mask(folder / "mask.png", weights)
    if block is not None:
        pictures["mask"] = "mask.png"
        captions["mask"] = (
            f"The mask M that was learned over the kernel of {block} and multiplied into its weights: it says where "
            "the kernel may look. Beside it the distance prior 1/(1+d) that training started from."
        )
    say(0.95, "measuring a receptive field")
    explained = draw_receptive_field(folder / "erf.png", weights, network, source.scan, labels, torch.device(device))
    if explained is not None:
        receptive, label = explained
        pictures["erf"] = "erf.png"
        captions["erf"] = (
            f"Which voxels the answer “{label.name.lower()}” at the cross depends on: the size of the logit's gradient "
            f"(logarithmic colours). Half of it lies within {receptive.radius50_mm:.0f} mm (solid circle), 90 % within "
            f"{receptive.radius90_mm:.0f} mm (dashed)."
        )
    return pictures, captions


def summary(demo: Demo) -> dict[str, Any]:
    """JSON-able: what was shown, with what, how well. Also marks the folder as the demo's own."""
    keys = [label.key for label in demo.weights.meta.task.labels]
    dice = None
    if demo.dice is not None:
        dice = {k: None if math.isnan(d) else round(d, 5) for k, d in zip(keys, demo.dice)}
    mean = demo.mean_dice
    return {
        "rep3d_version": __version__,
        "files": ["index.html", *demo.files],
        "scan": demo.source.description,
        "generated": demo.source.generated,
        "task": demo.weights.meta.task.key,
        "weights": {"id": demo.weights.meta.id, "sha256": demo.weights.sha256},
        "device": demo.result.settings["device"],
        "volumes_ml": {s.key: round(s.volume_ml, 3) for s in demo.result.stats},
        "dice": dice,
        "mean_dice": None if math.isnan(mean) else round(mean, 5),
        "pictures": demo.pictures,
        "warnings": list(demo.result.warnings),
        "seconds": {stage: round(s, 2) for stage, s in demo.seconds.items()},
    }
