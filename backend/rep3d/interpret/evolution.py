"""How the masks and kernels of one run changed from checkpoint to checkpoint, beside what theory predicts."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rep3d.errors import BadInput
from rep3d.interpret.kernel_table import moved, spread
from rep3d.interpret.kernels import KernelBlock, KernelSet, initial_kernels, kernels_from_checkpoint, volume_of
from rep3d.interpret.masks import radial_profile
from rep3d.layers.rate_field import mask_rate_field

ONE_RUN = "Give checkpoints of one run, such as RUN/step-*.ckpt (`rep3d train --keep-every` keeps them)."


@dataclass(frozen=True)
class Motion:
    """How far the taps of W . M moved between two checkpoints, beside the predicted field; [K, K, K] each.

    ``measured``: root mean square over channels of the change. ``predicted``: rate of the tap in units of the
    optimiser's, from the mask at the start of the interval (eq. 17), M's own motion left out. ``correlation`` over the
    living taps (None without contrast).
    """

    measured: np.ndarray
    predicted: np.ndarray
    correlation: float | None


def load_evolution(paths: Sequence[str | Path], *, from_start: bool = True) -> list[KernelSet]:
    """The kernels of several checkpoints of one run, in the order of their steps.

    Args:
        from_start: put step 0, rebuilt from the run's seed, in front where it is missing and can be rebuilt.

    Raises:
        BadInput: a deployed file, another network or task, the same step twice, fewer than two checkpoints in all.
    """
    paths = [Path(p) for p in paths]
    for path in paths:
        if path.suffix == ".safetensors":
            raise BadInput(f"{path} is a deployed file: only training checkpoints show an evolution", ONE_RUN)
    found = sorted(((kernels_from_checkpoint(p), p) for p in paths), key=lambda pair: pair[0].step)
    first = found[0][0]
    for kernels, path in found[1:]:
        if any(kernels.origin[key] != first.origin[key] for key in ("network", "task")):
            raise BadInput(f"{path} and {found[0][1]} are of different runs (network or task differ)", ONE_RUN)
    for (a, first_path), (b, path) in itertools.pairwise(found):
        if a.step == b.step:
            raise BadInput(f"{first_path} and {path} are both of step {a.step}", ONE_RUN)
    made = [kernels for kernels, _ in found]
    if from_start and made[0].step and (start := initial_kernels(found[0][1])) is not None:
        made.insert(0, start)
    if len(made) < 2:
        raise BadInput(f"{found[0][1]} is one checkpoint: an evolution needs two", ONE_RUN)
    return made


def motion(before: KernelBlock, after: KernelBlock, optimizer: str) -> Motion:
    """How W . M moved between two checkpoints of a block, beside the field that its mask predicts."""
    measured = volume_of(after.effective_CKKK - before.effective_CKKK)
    return _compared(measured, volume_of(mask_rate_field(before.mask.mask_CKKK, optimizer)), before)


def path_motion(series: Sequence[KernelSet], index: int) -> Motion:
    """The motions of block ``index`` summed over all intervals between checkpoints, beside the summed prediction.

    The mask itself moves, so the prediction holds for short intervals: the more checkpoints, the better.
    """
    parts = [
        motion(before.blocks[index], after.blocks[index], after.optimizer)
        for before, after in itertools.pairwise(series)
    ]
    return _compared(sum(p.measured for p in parts), sum(p.predicted for p in parts), series[0].blocks[index])


def _compared(measured: np.ndarray, predicted: np.ndarray, block: KernelBlock) -> Motion:
    a, b = (v[block.alive_box].ravel().astype(np.float64) for v in (measured, predicted))
    contrast = a.std() > 0 and b.std() > 0
    return Motion(measured, predicted, float(np.corrcoef(a, b)[0, 1]) if contrast else None)


def evolution_rows(series: Sequence[KernelSet]) -> list[dict[str, Any]]:
    """A row for each checkpoint and block: exponent, M's distance from P, energy radius of M and of W . M, motion."""
    rows = []
    for i, kernels in enumerate(series):
        for j, block in enumerate(kernels.blocks):
            box = (..., *block.alive_box)
            mask = block.mask.mask_CKKK[box]
            row = {
                "step": kernels.step,
                "block": block.name,
                "exponent": block.mask.exponent,
                "moved": moved(mask, block.mask.prior_KKK[box]),
                "mask_radius": spread(mask)["effective_radius"],
                "effective_radius": spread(block.effective_CKKK[box])["effective_radius"],
                "mask_profile": [round(float(v), 5) for v in radial_profile(mask.mean(0)).mean],
            }
            if i:
                change = motion(series[i - 1].blocks[j], block, kernels.optimizer)
                row["motion_rms"] = float(np.sqrt((change.measured[block.alive_box] ** 2).mean()))
                row["motion_predicted_correlation"] = change.correlation
            rows.append(row)
    return rows
