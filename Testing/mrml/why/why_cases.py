"""Stand-ins for what the worker would send: a scan as it was exported, a field around a voxel, blocks of kernels."""

from __future__ import annotations

import numpy as np


class Paper:
    """A client that writes nothing: exports need only a name."""

    def write_array(self, array: np.ndarray) -> str:
        return "in1.npy"

    def discard_array(self, name: str) -> None:
        assert name == "in1.npy"


def gaussian(shape, at, sigma=2.5) -> np.ndarray:
    """A field that falls off around a voxel."""
    axes = [(np.arange(n) - v) ** 2 for n, v in zip(shape, at)]
    distance = axes[0][:, None, None] + axes[1][None, :, None] + axes[2][None, None, :]
    return np.exp(-distance / (2 * sigma**2)).astype(np.float32)


def answer(affine, name="Liver", index=1) -> dict:
    """What the worker says beside the array."""
    return {
        "affine": np.asarray(affine).tolist(),
        "class": index,
        "class_name": name,
        "value": 2.5,
        "radius50_mm": 6.0,
        "radius90_mm": 20.0,
        "numbers": {"negative": 0.25},
        "warnings": [],
    }


def block(name="stage1.block1", channels=3, size=7, signed=True):
    """A block with a mask that all channels share."""
    from Rep3DSegmentationLib.why.masks import Block

    rng = np.random.default_rng(len(name) + channels)
    kernel = rng.standard_normal((channels, size, size, size)).astype(np.float32)
    mask = rng.random((1, size, size, size)).astype(np.float32) - (0.3 if signed else -0.1)
    prior = gaussian((size,) * 3, (size // 2,) * 3)
    radii = list(range(size // 2 + 1))
    falling = [1.0 / (1 + r) for r in radii]
    profile = {"radius": radii, "mean": falling, "low": [0.1] * len(radii), "high": [2.0] * len(radii)}
    spread = {"energy_within": {"1": 0.1, "3": 0.7}, "radius50": 2.0, "radius90": 3.0, "effective_radius": 2.2}
    spread["centre_to_edge"] = None
    row = {
        "name": name,
        "exponent": 0.25,
        "profile": profile,
        "prior_profile": profile,
        "kernel_profile": profile,
        "numbers": {
            "mask": spread,
            "prior": spread,
            "effective": spread,
            "moved": {"relative": 0.5, "correlation": None},
            "dead_share": 0.125,
            "pitch_mm": [2.0, 2.0, 4.0],
        },
    }
    return Block(name, mask, prior, kernel, row)


def node_ids(scene) -> set[str]:
    return {scene.GetNthNode(index).GetID() for index in range(scene.GetNumberOfNodes())}
