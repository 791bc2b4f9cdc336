"""The receptive field at one voxel of a scan as files: volumes in patient space with provenance, and a picture."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rep3d import __version__
from rep3d.data.reading import read_volume
from rep3d.data.volume import Volume
from rep3d.errors import BadInput
from rep3d.files import sha256_file
from rep3d.interpret.explain import Explanation, explain_voxel, on_native_grid, voxel_at
from rep3d.interpret.map_files import write_map
from rep3d.interpret.reach import Reach, measure
from rep3d.interpret.subjects import Subject
from rep3d.interpret.theory import theoretical_field

UNIT = "|d logit / d intensity| per voxel of the network's grid, intensities normalised to 0..1"


def explain_file(
    subject: Subject,
    image: Path,
    place: tuple[float, ...],
    out: Path,
    device: torch.device,
    *,
    in_mm: bool = False,
    class_text: str | None = None,
    patch: tuple[int, int, int] | None = None,
    fmt: str = "nii.gz",
) -> list[str]:
    """Explain one voxel; writes erf.<fmt>, erf-negative.<fmt> with their JSON, and erf.png. Returns lines to print.

    Raises:
        BadInput: fresh network, voxel outside, no such class, unusable scan. OutOfMemory, OutputFailed.
    """
    from rep3d.figures import erf_figure

    if not subject.trained:
        raise BadInput(f"{subject.name} is a fresh network: its answers mean nothing", "Give weights or a checkpoint.")
    volume = read_volume(image)
    at = voxel_at(volume, place) if in_mm else tuple(int(v) for v in place)
    index = None if class_text is None else subject.class_index(class_text)
    network = subject.build(0)
    made = explain_voxel(
        network, volume, at, index, spacing_mm=subject.spacing_mm, intensity=subject.intensity,
        patch=patch or subject.patch, device=device,
    )  # fmt: skip
    field = made.field
    reach = measure(field, theoretical_field(network, field.gradient.shape, field.voxel))
    record = provenance(subject, image, volume, made, reach, device)
    name = subject.class_name(field.class_index)
    description = f"Rep3D ERF of {name} at voxel {' '.join(map(str, at))}"
    write_map(out / f"erf.{fmt}", on_native_grid(field.gradient, made, volume), volume, description, record)
    negative = on_native_grid(field.negative, made, volume)
    write_map(out / f"erf-negative.{fmt}", negative, volume, f"{description}, negative", record | {"part": "negative"})
    n = reach.numbers
    subtitle = (
        f"{name} at voxel {', '.join(map(str, at))}  ·  50 % of |gradient| within {n['radius50_mm']:.0f} mm, "
        f"90 % within {n['radius90_mm']:.0f} mm  ·  {100 * n['negative']:.0f} % of it lowers the logit"
    )
    erf_figure(out / "erf.png", field, made.patch_XYZ, subtitle=subtitle)
    radii = ", ".join(f"{f} % in {n[f'radius{f}_mm']:.1f} mm" for f in (20, 50, 90, 99))
    return [
        f"{name} at voxel {', '.join(map(str, at))}: logit {field.value:.3f}; {radii}",
        *(f"warning: {text}" for text in (*volume.warnings, *made.warnings)),
        f"{out}: erf.{fmt} and erf-negative.{fmt} on the scan's grid, each with JSON; erf.png",
    ]


def inside_share(made: Explanation) -> float:
    """Share of the gradient that lies inside the scan; the rest is on the padding around one smaller than the patch."""
    inside = np.zeros(made.field.gradient.shape, bool)
    inside[tuple(slice(max(0, -c), n - c) for c, n in zip(made.corner, made.grid.shape))] = True
    return float(made.field.gradient[inside].sum(dtype=np.float64) / made.field.gradient.sum(dtype=np.float64))


def provenance(
    subject: Subject, image: Path, volume: Volume, made: Explanation, reach: Reach, device: torch.device
) -> dict[str, Any]:
    """All that a reader needs to know of the map, and to make it again; JSON-able."""
    field = made.field
    return {
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "rep3d": __version__,
        "unit": UNIT,
        "subject": subject.origin,
        "scan": image.name,
        "scan_sha256": sha256_file(image) if image.is_file() else None,
        "voxel_ijk": list(made.at_ijk),
        "point_ras_mm": [float(v) for v in (volume.affine @ np.array([*made.at_ijk, 1.0]))[:3]],
        "class": field.class_index,
        "class_name": subject.class_name(field.class_index),
        "logit": field.value,
        "numbers": {k: v if np.isfinite(v) else None for k, v in reach.numbers.items()},
        "share_inside_scan": inside_share(made),
        "patch": list(field.gradient.shape),
        "patch_affine_ras": made.affine.tolist(),
        "network_spacing_mm": list(subject.spacing_mm),
        "device": str(device),
        "warnings": list(made.warnings),
    }
