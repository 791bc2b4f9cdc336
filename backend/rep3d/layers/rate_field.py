"""The element-wise learning rates that re-parameterisation amounts to (PAPER eq. 13 and 17)."""

from __future__ import annotations

import numpy as np

ADAPTIVE = ("adam", "adamw")


def mask_rate_field(mask: np.ndarray, optimizer: str) -> np.ndarray:
    """Rate of each tap of ``W . M`` in units of the optimiser's rate, M's own motion left out.

    ``d(W M) = M dW``. SGD moves W by the gradient with respect to it, ``M dL/d(W M)``: so ``M^2``. Adam normalises
    each gradient and moves W by the same amount wherever it lies: so ``|M|``. Raises ValueError for other optimisers.
    """
    mask = np.asarray(mask)
    if optimizer in ADAPTIVE:
        return np.abs(mask)
    if optimizer == "sgd":
        return mask**2
    raise ValueError(f"no learning-rate field is known for optimiser {optimizer!r}")


def branch_rate_field(
    kernel: tuple[int, int, int],
    small: tuple[int, int, int],
    *,
    large_rate: float,
    small_rate: float,
    optimizer: str,
    large_scale: float = 1.0,
    small_scale: float = 1.0,
) -> np.ndarray:
    """Rate of each tap of the single operator that a large and a small branch merge into (eq. 13), [K, K, K].

    SGD: ``a_L^2 l_L + a_S^2 l_S`` inside the small kernel; Adam, which normalises the gradient of each branch:
    ``|a_L| l_L + |a_S| l_S``. Outside it the first term alone.
    """
    if optimizer not in (*ADAPTIVE, "sgd"):
        raise ValueError(f"no learning-rate field is known for optimiser {optimizer!r}")
    power = 1 if optimizer in ADAPTIVE else 2
    field = np.full(kernel, abs(large_scale) ** power * large_rate)
    centre = tuple(slice((k - s) // 2, (k + s) // 2) for k, s in zip(kernel, small))
    field[centre] += abs(small_scale) ** power * small_rate
    return field
