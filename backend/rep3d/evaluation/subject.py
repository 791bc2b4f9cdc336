"""What is scored: a deployed weights file or a training checkpoint, with its task and where it came from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from rep3d.files import sha256_file
from rep3d.tasks import Task


@dataclass(frozen=True)
class Subject:
    """A network with its task and patch, and where it came from (``identity``: JSON-able; ``path``: its file).

    ``folds``: of an ensemble of several folds, each member's fold and the digest of its data list. ``mirror_axes``:
    along which it was trained with mirrored images, for averaging over views. ``remove_islands``: as its validation
    says, and `rep3d segment` does.
    """

    network: nn.Module
    task: Task
    patch: tuple[int, int, int]
    data_sha256: str
    identity: dict[str, Any]
    path: Path | None = None
    folds: tuple[tuple[int, str], ...] = ()
    mirror_axes: tuple[int, ...] = ()
    remove_islands: bool = False

    @property
    def name(self) -> str:
        """A short name for tables: the id of weights, RUN/FILE of a checkpoint."""
        if self.identity.get("weights"):
            return str(self.identity["weights"])
        if self.path is not None:
            return f"{self.path.resolve().parent.name}/{self.path.name}"
        return str(self.identity.get("network", "network"))


def from_weights(path: Path) -> Subject:
    """A deployed weights file. Raises WeightsMissing, WeightsInvalid."""
    from rep3d.inference.pipeline import mirror_axes_of
    from rep3d.weights import load_weights

    weights = load_weights(path)
    meta = weights.meta
    task = replace(meta.task, patch=tuple(meta.patch), spacing_mm=tuple(meta.spacing_mm), intensity=meta.intensity)
    identity = {"weights": meta.id, "sha256": weights.sha256, "network": meta.network["name"]}
    members = () if meta.data_sha256 else meta.training.get("members", ())
    folds = tuple((m["fold"], m["data_sha256"]) for m in members)
    if "members" in meta.training:
        identity["members"] = meta.training["members"]
    return Subject(
        weights.build_network(),
        task,
        task.patch,
        meta.data_sha256,
        identity,
        Path(path),
        folds,
        mirror_axes_of(weights),
        meta.remove_islands,
    )


def from_checkpoint(path: Path) -> Subject:
    """A training checkpoint, with its averaged weights where it has them. Raises BadInput."""
    from rep3d.training.checkpoint import load_checkpoint, trained_network

    checkpoint = load_checkpoint(path)
    network = trained_network(checkpoint, path)
    task = Task.from_dict(checkpoint["task"], str(path))
    identity = {
        "checkpoint": path.name,
        "sha256": sha256_file(path),
        "step": checkpoint["step"],
        "network": checkpoint["network"]["name"],
        "config": checkpoint["config"],
    }
    patch = tuple(checkpoint["config"]["patch"])
    axes = tuple(checkpoint["config"].get("augment", {}).get("mirror_axes") or ())
    return Subject(
        network.requires_grad_(False), task, patch, checkpoint["data_sha256"], identity, Path(path), (), axes
    )
