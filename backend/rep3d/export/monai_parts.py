"""MONAI transforms and an inferer that do what ``rep3d segment`` does; a bundle carries this file in ``scripts/``.

MONAI's own parts do the rest (reading, orientation, intensities, saving). These differ from MONAI's: resampling is
anti-aliased where the grid gets coarser and both grids share their centre, the crop keeps a patch, windows are spread
evenly, and the way back takes the largest class on the scan's own grid without ever holding classes x native voxels.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.inferers import Inferer
from monai.transforms import InvertibleTransform, MapTransform

from rep3d.data.preprocess import network_grid, resample_array
from rep3d.errors import BadInput
from rep3d.inference.checks import body_box
from rep3d.inference.mapping import AxisMap, LabelMapper
from rep3d.inference.windows import sliding_window_logits

BOX = "rep3d_box"
SUFFIXES = (".nii.gz", ".nii")


def find_scans(folder: str) -> list[dict[str, str]]:
    """The NIfTI files of a folder, sorted by name, as MONAI's data list. Raises BadInput when there are none."""
    names = [p for suffix in SUFFIXES for p in glob.glob(os.path.join(glob.escape(folder), "*" + suffix))]
    if not names:
        raise BadInput(f"{folder}: no NIfTI files (.nii.gz, .nii)", "Give a folder of scans with --dataset_dir.")
    return [{"image": path} for path in sorted(names)]


def like(values: torch.Tensor, affine: np.ndarray, image: MetaTensor) -> MetaTensor:
    """``values`` [C, X, Y, Z] on the grid of ``affine``, with the rest of what ``image`` knows."""
    out = MetaTensor(values, meta=dict(image.meta), applied_operations=list(image.applied_operations))
    out.affine = torch.as_tensor(affine, dtype=torch.float64)
    return out


def voxel_size(image: MetaTensor) -> np.ndarray:
    """Voxel size (mm) along each axis: the file's own numbers where the affine agrees with them to 1e-5.

    An affine in float32 gives them back to seven digits only. Where a voxel of the network's grid meets one of the
    scan's exactly, that decides whether its neighbour has a share in it, and the crop to the body moves by a voxel.
    """
    sizes = np.linalg.norm(np.asarray(image.affine, dtype=np.float64)[:3, :3], axis=0)
    stored = np.asarray(image.meta.get("pixdim", [0.0]), dtype=np.float64).ravel()[1:4]
    nearest = [min(stored, key=lambda p, s=s: abs(p - s), default=s) for s in sizes]
    return np.array([p if abs(p - s) < 1e-5 * s else s for p, s in zip(nearest, sizes)])


class NetworkGridd(MapTransform, InvertibleTransform):
    """Resample [1, X, Y, Z], axes already towards Right, Anterior, Superior, to the network's voxel size.

    Voxels that are not finite count as the lowest finite one. The inverse takes logits [K, x, y, z] of the box that
    :class:`BodyBoxd` cut out and gives labels [1, X, Y, Z]: the class whose interpolated logit is the largest.

    Args:
        keys: of the image. spacing_mm: voxel size (x, y, z) in millimetres.

    Raises:
        BadInput: more than one channel, or no finite voxel.
    """

    def __init__(self, keys: KeysCollection, spacing_mm: Sequence[float], allow_missing_keys: bool = False):
        super().__init__(keys, allow_missing_keys)
        self.spacing_mm = tuple(float(s) for s in spacing_mm)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        out = dict(data)
        for key in self.key_iterator(out):
            image = out[key]
            if image.ndim != 4 or image.shape[0] != 1:
                raise BadInput(f"one 3D volume with one channel is needed, not {tuple(image.shape)}")
            array = image[0].detach().cpu().numpy()
            finite = np.isfinite(array)
            if not finite.all():
                if not finite.any():
                    raise BadInput("no voxel of the scan holds a finite number")
                array = np.where(finite, array, array[finite].min())
            affine = np.asarray(image.affine, dtype=np.float64)
            native = voxel_size(image)
            values = resample_array(array, tuple(map(float, native)), self.spacing_mm)
            grid = network_grid(array.shape, affine, self.spacing_mm)[1]
            result = like(torch.from_numpy(values)[None], grid, image)
            extra = {"shape": list(array.shape), "grid": list(values.shape)}
            extra |= {"affine": affine.tolist(), "spacing_mm": native.tolist()}
            self.push_transform(result, extra_info=extra)
            out[key] = result
        return out

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        out = dict(data)
        for key in self.key_iterator(out):
            extra = self.pop_transform(out[key])["extra_info"]
            logits = out[key]
            shape, grid = tuple(map(int, extra["shape"])), tuple(map(int, extra["grid"]))
            affine, native = np.asarray(extra["affine"], dtype=np.float64), extra["spacing_mm"]
            box = logits.meta.get(BOX) or [(0, n) for n in grid]
            maps = tuple(AxisMap.build(shape[a], grid[a], native[a] / self.spacing_mm[a], box[a]) for a in range(3))
            labels = np.zeros(shape, np.uint8 if len(logits) <= 256 else np.uint16)
            LabelMapper(labels, maps, 0).add(logits.as_tensor().float())
            out[key] = like(torch.from_numpy(labels)[None], affine, logits)
        return out


class BodyBoxd(MapTransform, InvertibleTransform):
    """Cut out what lies above 0 with a margin, at least a patch along each axis where the volume holds one.

    The inverse leaves the voxels as they are and tells :class:`NetworkGridd` which box they are.

    Args:
        keys: of the normalised image [1, X, Y, Z] in [0, 1]. patch: voxels (x, y, z) of the network's windows.
    """

    def __init__(self, keys: KeysCollection, patch: Sequence[int], allow_missing_keys: bool = False):
        super().__init__(keys, allow_missing_keys)
        self.patch = tuple(int(n) for n in patch)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        out = dict(data)
        for key in self.key_iterator(out):
            image = out[key]
            box = body_box(image[0].detach().cpu().numpy(), self.patch)
            affine = np.asarray(image.affine, dtype=np.float64)
            moved = affine.copy()
            moved[:3, 3] += affine[:3, :3] @ [low for low, _ in box]
            cut = image.as_tensor()[(slice(None), *(slice(low, high) for low, high in box))].contiguous()
            result = like(cut, moved, image)
            extra = {"box": [[int(low), int(high)] for low, high in box], "affine": affine.tolist()}
            self.push_transform(result, extra_info=extra)
            out[key] = result
        return out

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        out = dict(data)
        for key in self.key_iterator(out):
            extra = self.pop_transform(out[key])["extra_info"]
            image = out[key]
            image.meta[BOX] = [(int(low), int(high)) for low, high in extra["box"]]
            out[key] = image
        return out


class WindowInferer(Inferer):
    """Windows of the trained patch, spread evenly and added up with Gaussian importance.

    Args:
        patch: voxels (x, y, z). overlap: of neighbouring windows, 0 to 0.9.

    Calling it with [B, C, X, Y, Z] and the network gives logits [B, K, X, Y, Z], float32, on the input's device.
    """

    def __init__(self, patch: Sequence[int], overlap: float = 0.5):
        super().__init__()
        self.patch = tuple(int(n) for n in patch)
        self.overlap = float(overlap)

    def __call__(self, inputs: torch.Tensor, network: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        x_BCXYZ = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs

        def predict(x: torch.Tensor) -> torch.Tensor:
            return network(x, *args, **kwargs)

        logits = torch.stack([sliding_window_logits(predict, x, self.patch, self.overlap) for x in x_BCXYZ])
        if not isinstance(inputs, MetaTensor):
            return logits
        out = MetaTensor(logits)  # Invertd looks for what was done to the image in tensors of this kind alone
        out.copy_meta_from(inputs)
        out.is_batch = inputs.is_batch
        return out
