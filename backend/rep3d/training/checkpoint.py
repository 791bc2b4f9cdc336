"""Checkpoint files: written whole or not at all, read without unpickling code, and all that an exact resume needs."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rep3d.errors import BadInput, OutputFailed

FORMAT = "rep3d-checkpoint"
VERSION = 1
LAST, BEST = "last.ckpt", "best.ckpt"


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write ``content`` (tensors and plain Python only) to ``path``: temporary file, fsync, os.replace.

    A process killed at any moment leaves the old file or the new one, never half of one. Raises OutputFailed.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        with open(temporary, "wb") as f:
            torch.save({"format": FORMAT, "version": VERSION, **content}, f)
            f.flush()
            os.fsync(f.fileno())
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
        temporary.unlink(missing_ok=True)
        raise OutputFailed(f"cannot write the checkpoint {path}: {error}", "free some space, then resume") from error


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
    if content.get("version", 0) > VERSION:
        raise BadInput(f"{path} was written by a newer Rep3D (format {content['version']})", "update Rep3D")
    return content


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
