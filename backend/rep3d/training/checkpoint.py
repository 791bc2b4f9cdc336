"""Checkpoint files: written whole or not at all, read without unpickling code, and all that an exact resume needs."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from rep3d.errors import BadInput, OutputFailed
from rep3d.files import atomic_path
from rep3d.networks import create_network

FORMAT = "rep3d-checkpoint"
VERSION = 1
LAST, BEST = "last.ckpt", "best.ckpt"
KEPT = "step-*.ckpt"
#: What fusing and evaluating read; a resume needs more.
NEEDED = frozenset({"model", "ema", "step", "best", "config", "network", "task", "data_sha256"})


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write ``content`` (tensors and plain Python only) to ``path``.

    A process killed at any moment leaves the old file or the new one, never half of one. Raises OutputFailed.
    """
    try:
        with atomic_path(path) as temporary, open(temporary, "wb") as f:
            torch.save({"format": FORMAT, "version": VERSION, **content}, f)
    except RuntimeError as error:  # torch reports a full disk so
        raise OutputFailed(f"cannot write the checkpoint {path}: {error}", "free some space, then resume") from error


def kept_name(step: int) -> str:
    """Name of a checkpoint that stays (``keep_every``); matches KEPT and sorts by step."""
    return f"step-{step:07d}.ckpt"


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a training checkpoint onto the CPU with ``weights_only=True``. Raises BadInput when it is not one."""
    if not path.is_file():
        raise BadInput(f"the checkpoint {path} does not exist", "give a file such as RUN/best.ckpt")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # zip, pickle and torch errors alike: the file is not a checkpoint of ours
        raise BadInput(f"{path} is not a readable checkpoint ({type(error).__name__})", "it may be damaged") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise BadInput(f"{path} is not a Rep3D training checkpoint", "give RUN/best.ckpt or RUN/last.ckpt")
    version = content.get("version")
    if not isinstance(version, int) or version > VERSION:
        raise BadInput(f"{path} was written by a newer Rep3D (format {version!r})", "update Rep3D")
    missing = sorted(NEEDED - content.keys())
    if missing:
        raise BadInput(f"{path} lacks {', '.join(missing)}", "it may be damaged")
    return content


def trained_network(checkpoint: dict[str, Any], path: Path) -> nn.Module:
    """The checkpoint's network in training form, in evaluation mode, with its averaged weights where it has them.

    Raises BadInput, naming ``path``, when the weights do not fit the network.
    """
    network = create_network(checkpoint["network"]["name"], **checkpoint["network"]["args"])
    try:
        network.load_state_dict(checkpoint["ema"] or checkpoint["model"])
    except RuntimeError as error:
        raise BadInput(f"the weights in {path} do not fit its network: {error}", "it may be damaged") from error
    return network.eval()


def random_states() -> dict[str, Any]:
    """State of torch's, numpy's and Python's generators as tensors and plain values."""
    name, keys, position, has_gauss, gauss = np.random.get_state()
    version, internal, gauss_next = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [name, torch.from_numpy(keys.astype(np.int64)), int(position), int(has_gauss), float(gauss)],
        "python": [version, list(internal), gauss_next],
    }


def set_random_states(states: dict[str, Any]) -> None:
    """Inverse of `random_states`."""
    torch.set_rng_state(states["torch"])
    if states["cuda"] and torch.cuda.device_count() == len(states["cuda"]):
        torch.cuda.set_rng_state_all(states["cuda"])
    name, keys, position, has_gauss, gauss = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, gauss))
    version, internal, gauss_next = states["python"]
    random.setstate((version, tuple(internal), gauss_next))
