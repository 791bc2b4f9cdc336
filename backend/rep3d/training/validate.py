"""Validation: sliding windows over whole volumes, Dice per class and case on the network grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import nn

from rep3d.data.cache import Sample
from rep3d.errors import Rep3DError
from rep3d.evaluation.metrics import dice_per_class
from rep3d.inference.windows import sliding_window_logits
from rep3d.training.ranks import Ranks


@torch.inference_mode()
def validate(
    network: nn.Module,
    samples: Sequence[Sample],
    patch: tuple[int, int, int],
    num_classes: int,
    *,
    overlap: float = 0.25,
    device: torch.device | str = "cpu",
    autocast: Callable[[], AbstractContextManager] = nullcontext,
    ranks: Ranks | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[list[float]]:
    """Dice [cases][foreground classes] (nan: class in neither). The network's training mode is as before afterwards.

    Several ``ranks`` take a case each, one after the other; all return the scores of all. ``progress`` is called with
    (cases done, cases in all) after each such round. Raises Rep3DError, naming the case, when logits are not finite.
    """
    world, rank = (ranks.world, ranks.rank) if ranks else (1, 0)
    was_training = network.training
    network.eval()
    scores = []
    try:
        for first in range(0, len(samples), world):
            row = None
            if first + rank < len(samples):
                sample = samples[first + rank]
                row = _score(network, sample, patch, num_classes, overlap, device, autocast)
            rows = ranks.gather(row) if ranks else [row]
            scores += [r for r in rows if r is not None]
            if progress:
                progress(len(scores), len(samples))
    finally:
        network.train(was_training)
    return scores


def _score(
    network: nn.Module,
    sample: Sample,
    patch: tuple[int, int, int],
    num_classes: int,
    overlap: float,
    device: torch.device | str,
    autocast: Callable[[], AbstractContextManager],
) -> list[float]:
    """Dice of one case for every foreground class."""
    image_CXYZ = torch.from_numpy(np.array(sample.image_XYZ, np.float32))[None].to(device)
    try:
        with autocast():
            logits_CXYZ = sliding_window_logits(network, image_CXYZ, patch, overlap)
    except Rep3DError as error:
        raise Rep3DError(f"validation case {sample.id}: {error}", error.hint) from error
    pred_XYZ = logits_CXYZ.argmax(0).to(torch.uint8).cpu().numpy()
    return dice_per_class(pred_XYZ, np.asarray(sample.label_XYZ), num_classes)
