"""Which algorithm runs: the caller's, the environment's, or the fastest one measured."""

from __future__ import annotations

import os

from torch import Tensor

ENVIRONMENT = "REP3D_CONV_ALGORITHM"


def resolve(algorithm: str, direction: str, x: Tensor, weight: Tensor, constant_weight: bool) -> str:
    if algorithm == "auto":
        algorithm = os.environ.get(ENVIRONMENT, "auto")
    if algorithm == "auto":
        algorithm = "direct" if x.shape[2:].numel() <= 512 else "hybrid"
    return algorithm
