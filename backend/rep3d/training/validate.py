"""Validation: sliding windows over whole volumes, Dice per class and case on the network grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import nn

from rep3d.data.cache import Sample
from rep3d.evaluation.metrics import dice_per_class
from rep3d.inference.windows import sliding_window_logits


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
    progress: Callable[[int, int], None] | None = None,
) -> list[list[float]]:
    """Dice [cases][foreground classes] (nan: class in neither). The network's training mode is as before afterwards."""
    was_training = network.training
    network.eval()
    scores = []
    try:
        for i, sample in enumerate(samples):
            image_CXYZ = torch.from_numpy(np.array(sample.image_XYZ, np.float32))[None].to(device)
            with autocast():
                logits_CXYZ = sliding_window_logits(network, image_CXYZ, patch, overlap)
            pred_XYZ = logits_CXYZ.argmax(0).to(torch.uint8).cpu().numpy()
            scores.append(dice_per_class(pred_XYZ, np.asarray(sample.label_XYZ), num_classes))
            if progress:
                progress(i + 1, len(samples))
    finally:
        network.train(was_training)
    return scores
