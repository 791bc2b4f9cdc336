"""The receptive field of a network over many patches: by depth and class, from scans or from noise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from rep3d.data.preprocess import normalise, to_network_grid
from rep3d.data.reading import read_volume
from rep3d.errors import BadInput
from rep3d.inference.windows import sliding_window_logits
from rep3d.interpret.erf import ReceptiveField, Target, patch_around, receptive_fields
from rep3d.interpret.explain import check_spacing
from rep3d.interpret.memory import check_gradient_memory, with_smaller_patch
from rep3d.interpret.reach import Reach, Summary, measure, summarise
from rep3d.interpret.subjects import Subject, depth_module
from rep3d.interpret.theory import TheoreticalField, theoretical_field

Triple = tuple[int, int, int]
Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class SurveyOptions:
    """What to measure.

    Attributes:
        images: scans to take patches from; without any, noise (uniform in 0..1, the range of normalised intensities).
        classes: by number; () is every structure of a trained network, class 1 of a fresh one.
        depths: see ``depth_module``.
        patches: number of them; with a fresh network each has an initialisation of its own.
        patch: voxels; None is that of the training.
    """

    images: tuple[Path, ...] = ()
    classes: tuple[int, ...] = ()
    depths: tuple[str, ...] = ("logits",)
    patches: int = 8
    patch: Triple | None = None
    seed: int = 0


@dataclass(frozen=True)
class Survey:
    """What came out: one summary a depth and class, the theoretical field by depth, sentences for the user."""

    subject: Subject
    patch: Triple
    source: str
    summaries: tuple[Summary, ...]
    theory: dict[str, TheoreticalField]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        theory = {
            depth: {
                "extent_voxels": list(field.extent),
                "extent_mm": [n * mm for n, mm in zip(field.extent, self.subject.spacing_mm)],
                "share_of_patch": field.share,
                "exact": field.exact,
            }
            for depth, field in self.theory.items()
        }
        return {
            "name": self.subject.name,
            "origin": self.subject.origin,
            "patch": list(self.patch),
            "spacing_mm": list(self.subject.spacing_mm),
            "source": self.source,
            "theory": theory,
            "summaries": [summary.to_dict() for summary in self.summaries],
            "warnings": list(self.warnings),
        }


def survey(subject: Subject, options: SurveyOptions, device: torch.device, progress: Progress | None = None) -> Survey:
    """Measure a network. Raises BadInput (class, depth, patch, scan, class found in no scan) and OutOfMemory."""
    network = subject.build(options.seed)
    stride = getattr(network, "stride", 16)
    patch = tuple(options.patch or subject.patch)
    if len(patch) != 3 or any(n < 32 or n % stride for n in patch):
        raise BadInput(f"a patch of {patch} voxels does not fit {subject.name}", f"Multiples of {stride}, at least 32.")
    if options.patches < 1:
        raise BadInput(f"{options.patches} patches are too few", "Ask for at least one.")
    if options.images and not subject.trained:
        raise BadInput(f"{subject.name} is a fresh network: it has no grid for scans", "Leave --image out: noise.")
    modules = {depth: depth_module(network, depth) for depth in options.depths}
    classes = _classes(subject, network, options)
    report = progress or (lambda _fraction, _stage: None)

    def attempt(size: Triple) -> tuple[list[Summary], dict[str, TheoreticalField], list[str]]:
        check_gradient_memory(network, size, device)
        theory = {depth: theoretical_field(network, size, module=path) for depth, path in modules.items()}
        found: dict[tuple[str, int], list[tuple[ReceptiveField, Reach]]] = {}
        for i, (x_CDHW, place, indices) in enumerate(_patches(subject, network, options, classes, size, device)):
            net = network if subject.trained else subject.build(options.seed + i)
            asked = [(d, Target(place, c, p)) for d, p in modules.items() for c in (indices[:1] if p else indices)]
            targets = [target for _, target in asked]
            fields = receptive_fields(net.to(device), x_CDHW.to(device), targets, spacing_mm=subject.spacing_mm)
            for (depth, _), field in zip(asked, fields):
                here = theory[depth]
                if place != tuple(n // 2 for n in size):
                    here = replace(here, box=_box_at(here, place))
                found.setdefault((depth, field.class_index), []).append((field, measure(field, here)))
            done = (i + 1) * len(indices) / (options.patches * len(classes))
            report(min(done, 1.0), f"{subject.name}: patch {i + 1}")
        absent = [c for c in classes if "logits" in modules and ("logits", c) not in found]
        names = ", ".join(subject.class_name(c) for c in absent)
        if not found or (absent and options.classes):
            raise BadInput(
                f"{subject.name} finds no {names or 'structure'} in these scans", "Give a scan that shows it."
            )
        order = {depth: i for i, depth in enumerate(modules)}
        summaries = [
            summarise(subject.name, depth, "all" if index < 0 else subject.class_name(index), pairs, seed=options.seed)
            for (depth, index), pairs in sorted(found.items(), key=lambda item: (order[item[0][0]], item[0][1]))
        ]
        return summaries, theory, [f"{names}: found in none of the scans, left out"] if absent else []

    (summaries, theory, notes), used, warnings = with_smaller_patch(attempt, patch, stride, device)
    source = ", ".join(path.name for path in options.images) or "noise, uniform in 0..1"
    return Survey(subject, used, source, tuple(summaries), theory, (*warnings, *notes))


def _box_at(theory: TheoreticalField, place: Triple) -> tuple[tuple[int, int], ...]:
    """The theoretical box around another voxel, to half a voxel: as large, and cut at the patch."""
    return tuple(
        (max(0, at - extent // 2), min(n, at + (extent + 1) // 2))
        for at, extent, n in zip(place, theory.extent, theory.patch)
    )


def _classes(subject: Subject, network: nn.Module, options: SurveyOptions) -> tuple[int, ...]:
    if subject.task is not None:
        chosen = options.classes or tuple(label.value for label in subject.task.labels)
        limit = subject.task.num_classes
    else:
        chosen = options.classes or (1,)
        limit = network.spec["args"].get("out_channels", 2)
    if wrong := [c for c in chosen if not 0 <= c < limit]:
        raise BadInput(f"{subject.name} has no class {wrong[0]}: it tells {limit} apart, background included")
    return tuple(chosen)


def _patches(
    subject: Subject,
    network: nn.Module,
    options: SurveyOptions,
    classes: Sequence[int],
    size: Triple,
    device: torch.device,
) -> Iterator[tuple[torch.Tensor, Triple, Sequence[int]]]:
    """``options.patches`` patches for each class: the patch [C, D, H, W], the voxel in it, the classes to ask for.

    In scans the voxels are drawn among those that the network gives to the class; in noise it is the centre.
    """
    rng = np.random.default_rng(options.seed)
    if not options.images:
        channels = getattr(network, "in_channels", 1)
        for _ in range(options.patches):
            noise = torch.from_numpy(rng.random((channels, *size), dtype=np.float32))
            yield noise, tuple(n // 2 for n in size), classes
        return
    shares = np.bincount(np.arange(options.patches) % len(options.images), minlength=len(options.images))
    for path, count in zip(options.images, shares):
        if not count:
            continue
        volume = read_volume(path)
        check_spacing(volume, subject.spacing_mm)
        grid = normalise(to_network_grid(volume, subject.spacing_mm).array, subject.intensity)
        with torch.inference_mode():
            x = torch.from_numpy(grid)[None].to(device)
            labels = sliding_window_logits(network.to(device), x, subject.patch, 0.0).argmax(0).cpu().numpy()
        for index in classes:
            voxels = np.argwhere(labels == index)
            for voxel in rng.permutation(voxels)[:count]:
                patch, place, _ = patch_around(grid, tuple(int(v) for v in voxel), size)
                yield torch.from_numpy(patch)[None], place, (index,)
