"""The planner: every choice of a task file from the cohort's fingerprint and a memory budget, with its reason in words.

The rules (docs/tasks.md) are fixed and deterministic; they follow what is common practice for self-configuring
segmentation: the cohort's median grid, foreground percentiles, the largest patch that fits. A user overrides any.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rep3d.errors import BadInput
from rep3d.planning.memory import MODELS, memory_text, training_bytes
from rep3d.planning.patch import SMALLEST, Triple, full_size, patches, starting_patch
from rep3d.tasks.intensity import Intensity
from rep3d.tasks.tasks import MODALITIES, PATCH_MULTIPLE

if TYPE_CHECKING:
    from rep3d.data.fingerprint import Fingerprint

#: Networks that the planner chooses from, largest first.
PRESETS = ("rep3d", "rep3d-s", "rep3d-xs")
#: The paper trains with 96^3 voxels: a network is taken if it can have a patch of this size, or all of the volume.
ENOUGH_VOXELS = 96**3
#: An axis is coarse where its voxels are this many times as long as the others' and it has as many times fewer of them.
ANISOTROPY = 3.0
#: (volumes a step, crops of each), the paper's first; with two crops a step batch norm still sees two scans.
BATCHES = ((2, 2), (2, 1), (1, 1))
#: A CT window is at least this wide (HU), so that noise in a cohort of one tissue does not fill it.
NARROWEST_CT = 100.0
MR_PERCENTILES = (0.5, 99.5)


@dataclass(frozen=True)
class Plan:
    """What a task file and a first training run should use.

    spacing_mm, patch (voxels): RAS order. batch_size volumes a step, crops_per_volume crops of each. memory_bytes: the
    estimate for a training step. notes: decision -> why, in words.
    """

    spacing_mm: Triple
    modality: str
    intensity: Intensity
    patch: tuple[int, int, int]
    network: str
    batch_size: int
    crops_per_volume: int
    memory_bytes: int
    notes: Mapping[str, str] = field(default_factory=dict)


def plan(
    fingerprint: Fingerprint,
    memory_bytes: int,
    *,
    modality: str | None = None,
    spacing_mm: Sequence[float] | None = None,
    patch: Sequence[int] | None = None,
    network: str | None = None,
) -> Plan:
    """Choose spacing, intensity, patch, network and batch size so that a training step stays within ``memory_bytes``.

    modality, spacing_mm (mm, RAS), patch (voxels, RAS), network: the user's own choice instead of the rule's.

    Raises BadInput when the fingerprint has no structure, its modality is unknown and not given, an override cannot be
    meant, or nothing fits the budget; the error says what the least would take.
    """
    notes: dict[str, str] = {}
    kind = modality or fingerprint.modality
    if kind not in MODALITIES:
        raise BadInput(f"the kind of image is not known ({kind})", f"Give --modality {' or '.join(MODALITIES)}.")
    if not fingerprint.classes or fingerprint.foreground is None:
        raise BadInput("no structure is labelled in any case that was measured", "Check the label maps.")
    spacing = _spacing(fingerprint, spacing_mm, notes)
    intensity = _intensity(fingerprint, kind, notes)
    classes = len(fingerprint.classes) + 1
    size = full_size(fingerprint.size_mm.median, spacing)
    candidates = [_given_patch(patch)] if patch is not None else list(patches(starting_patch(size, spacing), size))
    name = _network(network, candidates, classes, memory_bytes, notes)
    best, volumes, crops = _fit(name, candidates, classes, memory_bytes)
    estimate = training_bytes(name, best, volumes * crops, classes)
    _explain_patch(fingerprint, spacing, size, best, candidates[0], patch is not None, notes)
    notes["batch_size"] = (
        f"{volumes} {_plural('volume', volumes)} a step with {crops} {_plural('crop', crops)} of each: about "
        f"{memory_text(estimate)} of the budget of {memory_text(memory_bytes)}, in float32 with AdamW."
    )
    if (volumes, crops) == BATCHES[-1]:
        notes["batch_size"] += " One crop is little for batch norm; a smaller patch or network leaves room for two."
    _explain_validation(fingerprint, spacing, classes, memory_bytes, notes)
    return Plan(spacing, kind, intensity, best, name, volumes, crops, estimate, notes)


def _spacing(fingerprint: Fingerprint, given: Sequence[float] | None, notes: dict[str, str]) -> Triple:
    if given is not None:
        spacing = tuple(float(s) for s in given)
        if len(spacing) != 3 or not all(0 < s <= 50 for s in spacing):
            raise BadInput(f"--spacing {list(given)} is not a voxel size", "three numbers above 0, at most 50 mm")
        notes["spacing_mm"] = f"Given. The cohort's median is {_mm(fingerprint.spacing_mm.median)} mm."
        return spacing  # type: ignore[return-value]
    median = list(fingerprint.spacing_mm.median)
    if not all(0 < s <= 50 for s in median) or not all(s > 0 for s in fingerprint.size_mm.median):
        raise BadInput(
            f"the fingerprint's median spacing {_mm(median)} mm is no voxel size", "Check the scans' headers."
        )
    worst = max(range(3), key=lambda axis: median[axis])
    others = [axis for axis in range(3) if axis != worst]
    finer = max(median[axis] for axis in others)
    voxels = fingerprint.size_voxels.median
    coarse = median[worst] > ANISOTROPY * finer
    flat = voxels[worst] * ANISOTROPY < min(voxels[axis] for axis in others)
    notes["spacing_mm"] = f"The median over {fingerprint.cases} {_plural('case', fingerprint.cases)}."
    if coarse and flat:
        tenth = min(fingerprint.spacing_mm.p10[worst], median[worst])
        notes["spacing_mm"] += (
            f" Slices are coarse ({median[worst]:.3g} mm between voxels of {finer:.3g} mm) and few, so along "
            f"{('right', 'anterior', 'superior')[worst]} the 10th percentile is taken ({tenth:.3g} mm, but not finer "
            "than the other axes): scans with finer slices keep more of them."
        )
        median[worst] = max(tenth, finer)
    return tuple(float(f"{s:.3g}") for s in median)  # type: ignore[return-value]


def _intensity(fingerprint: Fingerprint, modality: str, notes: dict[str, str]) -> Intensity:
    if modality == "MR":
        notes["intensity"] = (
            "MR has no scale of its own: of every scan, the percentiles "
            f"{MR_PERCENTILES[0]} and {MR_PERCENTILES[1]} become 0 and 1."
        )
        return Intensity(None, MR_PERCENTILES)
    inside = fingerprint.foreground
    low, high = math.floor(inside.p00_5), math.ceil(inside.p99_5)
    notes["intensity"] = (
        f"Percentiles 0.5 and 99.5 of the voxels inside structures ({low} and {high} HU); no percentiles of each scan, "
        "so that a HU value means the same in all."
    )
    if high - low < NARROWEST_CT:
        middle = (low + high) / 2
        low, high = math.floor(middle - NARROWEST_CT / 2), math.ceil(middle + NARROWEST_CT / 2)
        notes["intensity"] += f" Widened to {low} to {high} HU, because less would show mostly noise."
    return Intensity((float(low), float(high)), None)


def _given_patch(patch: Sequence[int]) -> tuple[int, int, int]:
    sizes = tuple(int(p) for p in patch)
    if len(sizes) != 3 or any(p < SMALLEST or p % PATCH_MULTIPLE or p > 1024 for p in sizes):
        raise BadInput(
            f"--patch {list(patch)} does not fit the networks",
            f"three multiples of {PATCH_MULTIPLE}, from {SMALLEST} to 1024, e.g. 96,96,96",
        )
    return sizes  # type: ignore[return-value]


def _network(
    given: str | None, candidates: list[tuple[int, int, int]], classes: int, budget: int, notes: dict[str, str]
) -> str:
    """The user's network, or the largest preset that two crops of a sufficient patch fit the budget of."""
    if given is not None:
        notes["network"] = "Given."
        if given not in MODELS:
            training_bytes(given, candidates[0], 1, classes)  # raises
        return given
    wanted = next((p for p in candidates if math.prod(p) <= ENOUGH_VOXELS), candidates[-1])
    for name in PRESETS:
        if (needed := training_bytes(name, wanted, 2, classes)) <= budget:
            notes["network"] = (
                f"The largest of {', '.join(PRESETS)} that trains with two crops of {_x(wanted)} voxels in the budget "
                f"(about {memory_text(needed)})."
            )
            return name
    notes["network"] = (
        f"The smallest of {', '.join(PRESETS)}: two crops of {_x(wanted)} voxels would take about "
        f"{memory_text(needed)} even with it, more than the budget."
    )
    return PRESETS[-1]


def _fit(
    network: str, candidates: list[tuple[int, int, int]], classes: int, budget: int
) -> tuple[tuple[int, int, int], int, int]:
    """The largest patch that leaves room for two crops, else for one; then as many crops as the paper's, or fewer."""
    for least in BATCHES[1:]:
        for patch in candidates:
            if training_bytes(network, patch, least[0] * least[1], classes) > budget:
                continue
            for volumes, crops in BATCHES:
                if training_bytes(network, patch, volumes * crops, classes) <= budget:
                    return patch, volumes, crops
    needed = training_bytes(network, candidates[-1], 1, classes)
    raise BadInput(
        f"training {network} with one crop of {_x(candidates[-1])} voxels and {classes} classes takes about "
        f"{memory_text(needed)}; the budget is {memory_text(budget)}",
        "Give more --memory, or a smaller --network or --patch.",
    )


def _explain_patch(
    fingerprint: Fingerprint,
    spacing: Triple,
    size: Triple,
    patch: tuple[int, int, int],
    start: tuple[int, int, int],
    given: bool,
    notes: dict[str, str],
) -> None:
    share = math.prod(min(1.0, p / s) for p, s in zip(patch, size))
    extent = [p * s for p, s in zip(patch, spacing)]
    text = "Given." if given else f"The median scan has {_x(round(s) for s in size)} voxels at this spacing."
    if not given and patch == start:
        text += " The patch holds all of it." if share > 0.999 else " The patch is the largest that is proposed."
    elif not given:
        text += (
            f" From {_x(start)}, the axis that covered most of its scan was shortened until the step fitted the budget."
        )
    text += f" It covers {100 * share:.0f} % of the median scan: {_x(round(e) for e in extent)} mm."
    cut = [
        c.name for c in fingerprint.classes if c.extent_mm and any(e > p for e, p in zip(c.extent_mm["median"], extent))
    ]
    if cut:
        named = ", ".join(cut[:5]) + (" ..." if len(cut) > 5 else "")
        text += f" Larger than the patch, so never seen whole: {named}. A coarser --spacing would show more at once."
    notes["patch"] = text


def _explain_validation(
    fingerprint: Fingerprint, spacing: Triple, classes: int, budget: int, notes: dict[str, str]
) -> None:
    """Validation keeps float32 logits of a whole scan, beside the sum of the windows' weights and the image."""
    voxels = math.prod(full_size(fingerprint.size_mm.p90, spacing))
    if (needed := 4 * (classes + 2) * voxels) > budget:
        notes["validation"] = (
            f"Validating a large scan (90th percentile of size) takes about {memory_text(needed)}, more than the "
            "budget: choose a coarser --spacing or leave that much memory free."
        )


def _x(values) -> str:
    return " x ".join(str(v) for v in values)


def _mm(values: Sequence[float]) -> str:
    return " x ".join(f"{v:.3g}" for v in values)


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"
