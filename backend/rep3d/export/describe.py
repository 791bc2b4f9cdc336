"""What every export says of itself, for programs: how to feed the network and what its outputs mean."""

from __future__ import annotations

import datetime
import json
from typing import Any

from rep3d import __version__
from rep3d.export.agreement import Agreement
from rep3d.export.source import Source

FORMAT, VERSION = "rep3d-export", 1
DISCLAIMER = "Research software, not a medical device."
OVERLAP = 0.5
INPUT, OUTPUT = "image", "logits"


def describe(
    source: Source, kind: str, agreement: Agreement, *, batch: int = 0, dynamic_size: bool = False
) -> dict[str, Any]:
    """The description of an export, JSON-able.

    Input: [batch, channels, X, Y, Z] float32 in [0, 1], axes towards Right, Anterior, Superior, voxels of
    ``spacing_mm``, windows of ``patch`` voxels. Output: logits [batch, classes, X, Y, Z]; the largest class is the
    label, 0 is background.
    """
    from rep3d.provenance import environment

    meta = source.meta
    size = [f"a multiple of {source.network.stride}"] * 3 if dynamic_size else list(meta.patch)
    count = batch or "any"
    return {
        "format": FORMAT,
        "version": VERSION,
        "kind": kind,
        "id": meta.id,
        "task": meta.task.key,
        "title": meta.task.title,
        "purpose": meta.task.purpose,
        "modality": meta.task.modality,
        "labels": [
            {"value": label.value, "key": label.key, "name": label.name, "color": list(label.color)}
            for label in meta.task.labels
        ],
        "axes": "RAS",
        "spacing_mm": list(meta.spacing_mm),
        "intensity": meta.intensity.to_dict(),
        "patch": list(meta.patch),
        "overlap": OVERLAP,
        "network": meta.network,
        "input": {"name": INPUT, "shape": [count, source.network.in_channels, *size], "dtype": "float32"},
        "output": {"name": OUTPUT, "shape": [count, meta.task.num_classes, *size], "dtype": "float32"},
        "licence": meta.licence,
        "data": {**meta.task.dataset, "sha256": meta.data_sha256},
        "weights_sha256": source.sha256,
        "weights_kind": source.kind,
        "check": agreement.to_dict(),
        "max_logit_difference": agreement.max_logit_difference,
        "rep3d_version": __version__,
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "environment": environment(),
        "disclaimer": DISCLAIMER,
    }


def as_properties(description: dict[str, Any], source: Source) -> dict[str, str]:
    """The same as text by key, for files that hold nothing else: text as it is, all else as JSON; and the card."""
    texts = {k: v if isinstance(v, str) else json.dumps(v, ensure_ascii=False) for k, v in description.items()}
    if source.card is not None:
        texts["card"] = source.card.text
    return texts
