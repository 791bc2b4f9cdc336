"""Import of the authors' Rep3D checkpoints: their names to ours, their already-masked kernels as they are (M = 1)."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from rep3d import __version__
from rep3d.errors import BadInput, WeightsInvalid, WeightsMissing
from rep3d.files import sha256_file
from rep3d.fuse import fuse_checked
from rep3d.layers import tap_distances
from rep3d.networks import create_network
from rep3d.networks.rep3d import PRESETS
from rep3d.tasks import Intensity, Task
from rep3d.weights import WeightsMeta

# A kernel that keeps less than this share of its energy off the centre tap no longer is a large kernel.
COLLAPSED_BELOW = 0.01

# The authors' generator is not needed: their training stores the masked kernel in dwconv.weight.
_GENERATOR = re.compile(r"stages\.\d+\.\d+\.(prior_map|prior_conv2?\.|norm_w2?\.)")
_NAMES = (
    (re.compile(r"^rep3d\.downsample_layers\.0\."), "encoder.stem."),
    (re.compile(r"^rep3d\.stages\.(\d+)\.(\d+)\.dwconv\."), r"encoder.stages.\1.\2.conv."),
    (re.compile(r"^rep3d\.stages\.(\d+)\.(\d+)\.norm\."), r"encoder.stages.\1.\2.norm."),
    (re.compile(r"^rep3d\.norm(\d)\."), r"encoder.norms.\1."),
    (re.compile(r"^((?:en|de)coder\d\.|out\.)"), r"decoder.\1"),
)
_DOWNSAMPLE = re.compile(r"^rep3d\.downsample_layers\.([123])\.")


@dataclass(frozen=True)
class KernelReport:
    """Where a block's kernel energy lies, as shares of sum W^2: off the centre tap, beyond three taps of it."""

    block: str
    off_centre: float
    beyond_three_taps: float

    @property
    def collapsed(self) -> bool:
        return self.off_centre < COLLAPSED_BELOW


def read_foreign(path: str | Path) -> dict[str, torch.Tensor]:
    """A foreign state_dict, read with ``weights_only=True``: a file that holds code is refused, not run.

    Accepts a bare state_dict, or one under "state_dict" or "model"; strips the "module." of DataParallel.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsMissing(f"there is no file {path}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types for damaged or unsafe archives
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise WeightsInvalid(
            f"{path} cannot be read as plain tensors: {reason}", "Only a state_dict is accepted."
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not content or not all(isinstance(t, torch.Tensor) for t in content.values()):
        raise WeightsInvalid(f"{path} holds no state_dict", "Save model.state_dict() and import that file.")
    return {name.removeprefix("module."): tensor for name, tensor in content.items()}


def translate(state: dict[str, torch.Tensor], source: str) -> nn.Module:
    """A plain (M = 1) Rep3D network in evaluation mode with the tensors of an authors' state_dict.

    Raises WeightsInvalid when names or shapes are not those of the authors' network.
    """
    renamed = {}
    for name, tensor in state.items():
        if _GENERATOR.search(name):
            continue
        new = _DOWNSAMPLE.sub(lambda m: f"encoder.downsample.{int(m[1]) - 1}.", name)
        for pattern, replacement in _NAMES:
            new = pattern.sub(replacement, new)
        renamed[new] = tensor.float() if tensor.is_floating_point() else tensor
    stem, out = renamed.get("encoder.stem.0.weight"), renamed.get("decoder.out.conv.conv.weight")
    kernel = renamed.get("encoder.stages.0.0.conv.weight")
    if any(tensor is None or tensor.ndim != 5 for tensor in (stem, out, kernel)):
        raise WeightsInvalid(f"{source} does not have the tensors of the authors' Rep3D", "Import REP3D.state_dict().")
    if any(size % 2 == 0 for size in kernel.shape[2:]):
        raise WeightsInvalid(f"{source} has kernels of even size {tuple(kernel.shape[2:])}", "Kernels here are odd.")
    presets = [name for name, preset in PRESETS.items() if preset["channels"][0] == stem.shape[0]]
    for preset in presets:
        network = create_network(
            preset,
            in_channels=stem.shape[1],
            out_channels=out.shape[0],
            reparam="plain",
            kernel_size=kernel.shape[-1],
        )
        expected = {name: tensor.shape for name, tensor in network.state_dict().items()}
        if expected == {name: tensor.shape for name, tensor in renamed.items()}:
            network.load_state_dict(renamed)
            return network.eval()
    raise WeightsInvalid(
        f"{source} has the authors' names but not the sizes of any Rep3D network here",
        "Stage widths 48, 96, 192, 384 with hidden size 768 are the paper's.",
    )


def kernel_reports(network: nn.Module) -> list[KernelReport]:
    """Energy off the centre tap and beyond three taps of it, block by block."""
    reports = []
    for i, stage in enumerate(network.encoder.stages):
        for j, block in enumerate(stage):
            energy_CKKK = block.conv.effective_weight().detach().double().square()[:, 0]
            total = energy_CKKK.sum((1, 2, 3)).clamp_min(torch.finfo(torch.float64).tiny)
            distance = tap_distances(block.conv.kernel_size)
            shares = [float((energy_CKKK[:, distance > r].sum(1) / total).mean()) for r in (0, 3)]
            reports.append(KernelReport(f"stage{i + 1}.block{j + 1}", *shares))
    return reports


def import_authors(
    path: str | Path,
    task: Task,
    patch: tuple[int, int, int],
    intensity: Intensity,
    *,
    weights_id: str = "",
    licence: str = "",
) -> tuple[dict[str, torch.Tensor], WeightsMeta, list[KernelReport]]:
    """Deployed tensors and metadata of an authors' checkpoint, and a report of its kernels.

    The authors' code multiplies the mask into ``dwconv.weight`` at every forward, so the file holds masked kernels and
    the mask itself is lost: they are taken as they are (M = 1).

    Raises:
        WeightsMissing, WeightsInvalid: no such file, not theirs, or holding more than tensors.
        BadInput: its classes are not those of the task.
    """
    network = translate(read_foreign(path), str(path))
    classes = network.spec["args"]["out_channels"]
    if classes != task.num_classes:
        raise BadInput(
            f"{path} tells {classes} classes apart, but task {task.key!r} has {task.num_classes} with background",
            "Choose the task the weights were trained for.",
        )
    reports = kernel_reports(network)
    fused, error = fuse_checked(network, patch, Path(path))
    meta = WeightsMeta(
        id=weights_id or f"{task.key}-imported",
        task=task,
        network=fused.spec,
        patch=patch,
        spacing_mm=task.spacing_mm,
        intensity=intensity,
        training={
            "imported_from": Path(path).name,
            "imported_sha256": sha256_file(path),
            "fusion_error": error,
        },
        data_sha256="",
        created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        rep3d_version=__version__,
        licence=licence or "unknown",
    )
    return fused.state_dict(), meta, reports
