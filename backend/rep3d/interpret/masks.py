"""The learned modulation masks over the large kernels, and what they do with distance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from rep3d.layers import tap_distances
from rep3d.layers.lrbm import FixedPrior

if TYPE_CHECKING:
    from rep3d.weights import Weights


@dataclass(frozen=True)
class RadialProfile:
    """Mean and spread of the taps in shells one tap thick: ``radius``, ``mean``, ``low`` (10 %), ``high`` (90 %)."""

    radius: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class BlockMask:
    """The mask of one block.

    Attributes:
        name: "stage1.block2".
        mask_CKKK: M, float32; C is 1 for a mask that all channels share.
        prior_KKK: P (eq. 14), with the exponent ``exponent``.
        exponent: the learned one, or 0 (where training starts) for a file that keeps the mask but not the exponent.
        exponent_known: which of the two it is.
    """

    name: str
    mask_CKKK: np.ndarray
    prior_KKK: np.ndarray
    exponent: float
    exponent_known: bool

    @property
    def mean_KKK(self) -> np.ndarray:
        """The mask averaged over channels."""
        return self.mask_CKKK.mean(0)


@dataclass(frozen=True)
class Energy:
    """Where the energy (sum of squares) of a kernel or mask lies.

    Attributes:
        centre: fraction in the centre tap.
        within: fraction inside radius 1, 2, 3 ... taps, one value a radius.
        radius50, radius90: radius in taps that holds 50 and 90 %.
        minimum, maximum: of the values themselves.
    """

    centre: float
    within: tuple[float, ...]
    radius50: float
    radius90: float
    minimum: float
    maximum: float


def masks_from_weights(weights: Weights) -> list[BlockMask]:
    """The masks that ``fuse`` kept beside the deployed tensors, in block order; [] if the network had none."""
    exponents = weights.exponents()
    return [_block(n, mask.cpu().numpy(), exponents.get(n)) for n, mask in sorted(weights.masks().items())]


def masks_from_network(network: nn.Module) -> list[BlockMask]:
    """The masks of a network in training form, with the learned exponents, in block order."""
    blocks = []
    for i, stage in enumerate(network.encoder.stages):
        for j, block in enumerate(stage):
            generator = block.conv.mask
            if generator is None:
                continue
            with torch.no_grad():
                mask = generator().detach().cpu().float().numpy()
            exponent = 0.0 if isinstance(generator, FixedPrior) else float(generator.prior.exponent.detach())
            blocks.append(_block(f"stage{i + 1}.block{j + 1}", mask, exponent))
    return blocks


def _block(name: str, mask_CKKK: np.ndarray, exponent: float | None) -> BlockMask:
    mask = np.asarray(mask_CKKK, np.float32)
    if mask.ndim == 3:
        mask = mask[None]
    scale = np.exp(0.0 if exponent is None else exponent)
    prior = scale / (distances(mask.shape[1:]) + scale)
    return BlockMask(name, mask, prior.astype(np.float32), exponent or 0.0, exponent is not None)


def distances(kernel: tuple[int, ...]) -> np.ndarray:
    """Distance of each tap to the centre tap, in taps, [K, K, K]."""
    return tap_distances(tuple(int(k) for k in kernel)).numpy()


def radial_profile(values_KKK: np.ndarray) -> RadialProfile:
    """Mean, 10 % and 90 % of the values in shells ``r - 0.5 <= distance < r + 0.5``, out to the face of the kernel.

    The corners beyond the face are left out: their shells are incomplete.
    """
    values = np.asarray(values_KKK, np.float64)
    shell = np.floor(distances(values.shape) + 0.5).astype(int)
    radii = np.arange((min(values.shape) - 1) // 2 + 1)
    groups = [values[shell == r] for r in radii]
    return RadialProfile(
        radii.astype(float),
        np.array([g.mean() for g in groups]),
        np.array([np.percentile(g, 10) for g in groups]),
        np.array([np.percentile(g, 90) for g in groups]),
    )


def energy(values: np.ndarray) -> Energy:
    """Energy statistics of a mask or kernel [..., K, K, K], leading axes summed. Raises ValueError when all zero."""
    values = np.asarray(values, np.float64)
    kernel = values.shape[-3:]
    squares = (values**2).reshape(-1, *kernel).sum(0)
    total = squares.sum()
    if not total > 0:
        raise ValueError("the kernel is zero everywhere, so its energy lies nowhere")
    distance = distances(kernel)
    centre = squares[tuple(k // 2 for k in kernel)] / total
    within = tuple(float(squares[distance <= r].sum() / total) for r in range(1, max(kernel) // 2 + 1))
    return Energy(
        float(centre),
        within,
        radius_holding(distance, squares, 0.5),
        radius_holding(distance, squares, 0.9),
        float(values.min()),
        float(values.max()),
    )


def radius_holding(distance: np.ndarray, amount: np.ndarray, fraction: float) -> float:
    """The smallest radius whose ball holds ``fraction`` of ``amount`` (not negative); 0 where there is none at all."""
    order = np.argsort(distance, axis=None, kind="stable")
    cumulative = np.cumsum(np.asarray(amount, np.float64).ravel()[order])
    if cumulative[-1] <= 0:
        return 0.0
    index = int(np.searchsorted(cumulative, fraction * cumulative[-1] * (1 - 1e-12)))
    return float(distance.ravel()[order][index])
