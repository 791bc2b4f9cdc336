"""Ensembles: several networks of one task, whose probabilities are averaged.

``NAME.ensemble.json`` lists weights files and training checkpoints with their hashes, by paths relative to itself. An
ensemble is used wherever a weights file is: its network gives the logarithm of the mean of the members' softmax, which
is what the rest of the pipeline takes logits for. With one member the labels are that member's.

The members run one after the other on each window, so that only one of them has activations at a time; see
docs/comparing.md for the measurement against running them one after the other over the whole scan.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rep3d import __version__
from rep3d.errors import BadInput, WeightsInvalid, WeightsMissing
from rep3d.files import sha256_file, write_text
from rep3d.weights import Weights, WeightsMeta, load_weights, read_meta

FORMAT, VERSION = "rep3d-ensemble", 1
SUFFIX = ".ensemble.json"
_AGAIN = "Make the ensemble again with `rep3d ensemble`."


class MeanProbability(nn.Module):
    """log(1/K sum_k softmax(f_k(x))) over the classes, for K networks f_k: [B, C, D, H, W] -> [B, K classes, D, H, W].

    Computed as a running log-sum-exp of log-probabilities, so that no probability underflows and the memory of one
    result is all that is added.
    """

    def __init__(self, networks: Sequence[nn.Module]):
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.spec = {"name": "ensemble", "args": {"members": [getattr(n, "spec", None) for n in networks]}}

    def forward(self, x_BCDHW: Tensor) -> Tensor:
        """Float32, whatever the members compute in."""
        total = None
        for network in self.networks:
            log_p = network(x_BCDHW).float().log_softmax(1)
            total = log_p if total is None else torch.logaddexp(total, log_p)
        return total - math.log(len(self.networks))


@dataclass(frozen=True)
class Ensemble(Weights):
    """Weights of several networks; ``tensors`` is empty, ``sha256`` is of the manifest, which holds the members'."""

    members: tuple[Weights, ...] = ()

    def build_network(self) -> nn.Module:
        """The mean of the members, in evaluation mode, on the CPU."""
        return MeanProbability([member.build_network() for member in self.members]).eval()

    def masks(self) -> dict[str, Tensor]:
        """An ensemble has no masks of its own: raises BadInput."""
        raise self._several()

    def exponents(self) -> dict[str, float]:
        """As :meth:`masks`."""
        raise self._several()

    def _several(self) -> BadInput:
        return BadInput(
            f"{self.path} is an ensemble of {len(self.members)} networks, each with masks of its own.",
            f"Give one of them: {', '.join(str(m.path) for m in self.members)}.",
        )


def is_ensemble(path: str | Path) -> bool:
    """Whether the name is that of an ensemble."""
    return Path(path).name.lower().endswith(SUFFIX)


def load_member(path: Path) -> Weights:
    """A weights file, or a training checkpoint in its deployed form (fused in memory).

    Raises WeightsMissing, WeightsInvalid, BadInput.
    """
    if is_ensemble(path):
        raise BadInput(f"{path} is an ensemble already.", "List its members instead.")
    if path.suffix != ".ckpt":
        return load_weights(path)
    from rep3d.fuse import fuse_checkpoint

    tensors, meta, _ = fuse_checkpoint(path)
    return Weights(path, tensors, meta, sha256_file(path))


def check_members(members: Sequence[Weights]) -> None:
    """Raise BadInput unless all are of one task, with the same labels, grid, intensities and patch, each once."""
    if not members:
        raise BadInput("An ensemble needs members.", "Give weights files or checkpoints.")
    first = members[0]
    seen: dict[str, Path] = {}
    for member in members:
        if member.sha256 in seen:
            raise BadInput(
                f"{member.path} and {seen[member.sha256]} are the same file: it would count twice.", "Give each once."
            )
        seen[member.sha256] = member.path
        for what, mine, theirs in (
            ("task", first.meta.task.key, member.meta.task.key),
            ("labels", _labels(first), _labels(member)),
            ("grid (voxel size in mm)", list(first.meta.spacing_mm), list(member.meta.spacing_mm)),
            ("intensities", first.meta.intensity.to_dict(), member.meta.intensity.to_dict()),
            ("patch", list(first.meta.patch), list(member.meta.patch)),
        ):
            if mine != theirs:
                raise BadInput(
                    f"{first.path} and {member.path} differ in their {what}: {mine} and {theirs}.",
                    "The members of an ensemble must agree in task, labels, grid, intensities and patch.",
                )


def _labels(weights: Weights) -> list[tuple[int, str]]:
    return [(label.value, label.key) for label in weights.meta.task.labels]


def combine(members: Sequence[Weights], name: str, path: Path, sha256: str) -> Ensemble:
    """The ensemble of checked members, with the metadata that inference reads."""
    first, metas = members[0].meta, [member.meta for member in members]
    mirrored = [set(m.training.get("mirror_axes") or ()) for m in metas]
    data = sorted({m.data_sha256 for m in metas})
    parts = [
        {
            "id": m.meta.id, "sha256": m.sha256, "network": m.meta.network["name"],
            "fold": (m.meta.training.get("config") or {}).get("fold"), "data_sha256": m.meta.data_sha256,
        }
        for m in members
    ]  # fmt: skip
    meta = replace(
        first,
        id=name,
        network={"name": "ensemble", "args": {"members": parts, "out_channels": first.task.num_classes}},
        training={"mirror_axes": sorted(set.intersection(*mirrored)), "members": parts, "average": "probabilities"},
        data_sha256=data[0] if len(data) == 1 else "",
        licence=", ".join(dict.fromkeys(m.licence for m in metas)),
        created=max(m.created for m in metas),
        demo_only=any(m.demo_only for m in metas),
    )
    return Ensemble(path, {}, meta, sha256, tuple(members))


def ensemble_of(paths: Sequence[Path]) -> Ensemble:
    """An ensemble without a file of its own; its sha256 is over the members'. Raises what :func:`load_member` does."""
    members = [load_member(path) for path in paths]
    check_members(members)
    digest = hashlib.sha256("\n".join(sorted(m.sha256 for m in members)).encode()).hexdigest()
    name = f"ensemble of {len(members)}: " + ", ".join(m.meta.id for m in members)
    return combine(members, name, paths[0], digest)


def write_ensemble(path: Path, members: Sequence[Path]) -> Ensemble:
    """Check the members, write their manifest atomically and read it back.

    Raises:
        BadInput: a name that does not end in .ensemble.json, members that do not fit together, a folder that is no run.
        WeightsMissing, WeightsInvalid, OutputFailed.
    """
    if not is_ensemble(path):
        raise BadInput(f"{path} does not end in {SUFFIX}.", f"e.g. -o folds{SUFFIX}")
    loaded = [load_member(member) for member in members]
    check_members(loaded)
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "name": path.name[: -len(SUFFIX)],
        "task": loaded[0].meta.task.key,
        "average": "probabilities",
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "rep3d_version": __version__,
        "members": [{"path": _relative(m.path, path.parent), "sha256": m.sha256, "id": m.meta.id} for m in loaded],
    }
    write_text(path, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
    return load_ensemble(path)


def _relative(member: Path, folder: Path) -> str:
    try:
        return Path(os.path.relpath(member.resolve(), folder.resolve())).as_posix()
    except ValueError:  # another drive of Windows
        return member.resolve().as_posix()


def read_manifest(path: str | Path) -> dict[str, Any]:
    """The manifest, checked. Raises WeightsMissing when there is none, WeightsInvalid for anything malformed."""
    path = Path(path)
    if not path.is_file():
        raise WeightsMissing(f"there is no ensemble {path}", "`rep3d ensemble` makes one.")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT:
            raise ValueError(f"format {manifest['format']!r}")
        if not isinstance(manifest["version"], int) or manifest["version"] > VERSION:
            raise WeightsInvalid(f"{path} was written by a newer Rep3D", "Update Rep3D.")
        members = [(str(m["path"]), str(m["sha256"])) for m in manifest["members"]]
        if not members or manifest["average"] != "probabilities" or not isinstance(manifest["name"], str):
            raise ValueError("members, average or name")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsInvalid(f"{path} is not an ensemble of Rep3D: {error}", _AGAIN) from error
    return manifest


def load_ensemble(path: str | Path) -> Ensemble:
    """Read a manifest and all its members, each checked against its hash.

    Raises WeightsMissing and WeightsInvalid, naming manifest and member, and BadInput for members that do not fit.
    """
    path = Path(path)
    manifest = read_manifest(path)
    members = []
    for entry in manifest["members"]:
        file = path.parent / entry["path"]
        if not file.is_file():
            raise WeightsMissing(f"{path} lists {file}, which does not exist", f"Put it back, or: {_AGAIN}")
        if sha256_file(file) != entry["sha256"]:
            raise WeightsInvalid(f"{file} was changed since {path} was made (sha256 differs)", _AGAIN)
        members.append(load_member(file))
    check_members(members)
    return combine(members, manifest["name"], path, sha256_file(path))


def ensemble_meta(path: str | Path) -> WeightsMeta:
    """What an ensemble says of itself, quickly: from its first member, which is not checked."""
    manifest = read_manifest(path)
    first = Path(path).parent / manifest["members"][0]["path"]
    meta = load_member(first).meta if first.suffix == ".ckpt" else read_meta(first)
    return replace(meta, id=manifest["name"], network={"name": "ensemble", "args": {"members": manifest["members"]}})


def members_of(sources: Sequence[Path]) -> list[Path]:
    """The files that ``sources`` mean: files as they are; for a run folder the best.ckpt of each of its folds.

    Raises BadInput when a folder has no folds, or a fold has no best.ckpt yet.
    """
    files: list[Path] = []
    for source in sources:
        if not source.is_dir():
            files.append(source)
            continue
        folds = [f for f in source.glob("fold-*") if f.is_dir() and f.name[5:].isdigit()]
        if not folds:
            raise BadInput(f"{source} holds no folders fold-0, fold-1 ...", "`rep3d train --folds all` makes them.")
        folds.sort(key=lambda f: int(f.name[5:]))
        missing = [f.name for f in folds if not (f / "best.ckpt").is_file()]
        if missing:
            raise BadInput(
                f"{source}: no best.ckpt in {', '.join(missing)}.", "Let the training finish, or name files."
            )
        files += [fold / "best.ckpt" for fold in folds]
    return files
