"""What is exported: a deployed network with all that is known of it, from a weights file or a checkpoint."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from rep3d.errors import BadInput, WeightsMissing
from rep3d.files import sha256_file
from rep3d.weights import WeightsMeta, find_weights, list_weights, load_weights, read_meta


@dataclass(frozen=True)
class Card:
    """A model card that lies beside the weights: Markdown, the record for programs, the training curves if there."""

    text: str
    record: dict[str, Any]
    picture: Path | None


@dataclass(frozen=True)
class Source:
    """A network to export.

    Attributes:
        network: deployed, in evaluation mode, float32, on the CPU; with the fast operator.
        meta: labels, grid, intensities, patch, training.
        path, sha256: the file it was read from. kind: "weights" or "checkpoint".
        card: its model card, if one lies beside the file and speaks of this very file.
        notes: sentences for the user.
    """

    network: nn.Module
    meta: WeightsMeta
    path: Path
    sha256: str
    kind: str
    card: Card | None = None
    notes: tuple[str, ...] = ()


def load_source(name: str | Path) -> Source:
    """Read what ``name`` means: a task with installed weights, the id of installed weights, a .safetensors or a .ckpt.

    Raises:
        WeightsMissing: no such file, and nothing of that name is installed.
        WeightsInvalid, BadInput: the file cannot be used.
    """
    path = Path(name)
    if path.suffix == ".ckpt":
        return _from_checkpoint(path)
    if path.suffix != ".safetensors":
        if path.exists():
            raise BadInput(
                f"{path} is neither a weights file (.safetensors) nor a training checkpoint (.ckpt)",
                "Give one of these, or the name of installed weights.",
            )
        path = _installed(str(name))
    weights = load_weights(path)
    return Source(weights.build_network(), weights.meta, path, weights.sha256, "weights", find_card(path, weights))


def _installed(name: str) -> Path:
    try:
        return find_weights(name)
    except WeightsMissing:
        pass
    installed = {}
    for path in list_weights():
        try:
            installed[read_meta(path).id] = path
        except Exception:  # a damaged file of the user's is not what was asked for
            continue
    if name in installed:
        return installed[name]
    known = sorted({path.stem for path in list_weights()} | set(installed))
    raise WeightsMissing(
        f"no weights are called {name!r}", f"Installed: {', '.join(known) or 'none'}; or give a file of your own."
    )


def find_card(path: Path, weights: Any) -> Card | None:
    """The card that `rep3d card` wrote beside the weights, unless it was written for another file."""
    text, record = (path.parent / f"{weights.meta.task.key}{suffix}" for suffix in (".md", ".json"))
    try:
        values = json.loads(record.read_text(encoding="utf-8"))
        if values.get("weights_sha256") != weights.sha256:
            return None
        picture = text.with_suffix(".png")
        return Card(text.read_text(encoding="utf-8"), values, picture if picture.is_file() else None)
    except (OSError, ValueError, AttributeError):
        return None


def _from_checkpoint(path: Path) -> Source:
    from rep3d.fuse import fuse_checkpoint
    from rep3d.networks import create_network

    tensors, meta, error = fuse_checkpoint(path)
    network = create_network(meta.network["name"], **meta.network["args"])
    network.load_state_dict({name: t for name, t in tensors.items() if not name.startswith("aux.")})
    note = f"{path} is a training checkpoint: it was fused first (logits agree to {error:.1e} relative)."
    return Source(network.eval().requires_grad_(False), meta, path, sha256_file(path), "checkpoint", notes=(note,))
