"""Low-rank receptive bias modelling: the mask that modulates a large kernel (PAPER eq. 14-17)."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from rep3d.layers.prior import DistancePrior
from rep3d.ops import depthwise_conv3d


@dataclass(frozen=True)
class LRBMConfig:
    """What the mask generator looks like.

    Attributes:
        channels: "shared", one mask for all channels of a block (the low-rank default), or "depthwise", one a channel.
        depth: number of generator convolutions, 1 to 3 (appendix E).
        kernel: generator kernel size, 3, 5, 7 or 9 (section 5.3).
        bounded: end in a sigmoid, so that the mask lies in (0, 1).
    """

    channels: Literal["shared", "depthwise"] = "shared"
    depth: int = 2
    kernel: int = 7
    bounded: bool = False

    def __post_init__(self) -> None:
        if self.channels not in ("shared", "depthwise"):
            raise ValueError(f"LRBM channels must be 'shared' or 'depthwise', not {self.channels!r}")
        if self.depth not in (1, 2, 3):
            raise ValueError(f"LRBM depth must be 1, 2 or 3, not {self.depth!r}")
        if self.kernel not in (3, 5, 7, 9):
            raise ValueError(f"LRBM generator kernel must be 3, 5, 7 or 9, not {self.kernel!r}")

    @classmethod
    def from_dict(cls, values: dict | None) -> LRBMConfig:
        """The defaults changed by ``values``; ValueError names what is unknown."""
        values = values or {}
        if unknown := sorted(set(values) - set(cls.__dataclass_fields__)):
            raise ValueError(f"LRBM has no setting {', '.join(unknown)}, only {', '.join(cls.__dataclass_fields__)}")
        return cls(**values)


def _full_precision(device: torch.device) -> contextlib.AbstractContextManager:
    """Autocast off, so that the mask is float32. The meta device, used to count operations, has no autocast."""
    if device.type == "meta":
        return contextlib.nullcontext()
    return torch.autocast(device_type=device.type, enabled=False)


class TapNorm(nn.Module):
    """Layer norm over the taps of each mask, [C, K, K, K], with one gain and bias a tap, shared by the channels.

    Normalising over the channel axis instead would make a single-channel generator constant.
    """

    def __init__(self, kernel_size: tuple[int, int, int], eps: float = 1e-6):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(kernel_size))
        self.bias = nn.Parameter(torch.zeros(kernel_size))
        self.eps = eps

    def forward(self, mask_CKKK: torch.Tensor) -> torch.Tensor:
        return nn.functional.layer_norm(mask_CKKK, self.weight.shape, self.weight, self.bias, self.eps)


class LRBM(nn.Module):
    """``M = P + f(P)``, ``f = LN2(conv2(sigmoid(LN1(conv1(P)))))`` (eq. 15-16).

    Calling it returns the mask, [1, K, K, K] (shared) or [C, K, K, K] (depthwise), in float32 whatever the autocast.

    Args:
        kernel_size: taps of the large kernel per axis.
        channels: channels of the large convolution (used when ``config.channels == "depthwise"``).
        config: generator settings.
    """

    def __init__(self, kernel_size: tuple[int, int, int], channels: int, config: LRBMConfig = LRBMConfig()):
        super().__init__()
        self.config = config
        masks = channels if config.channels == "depthwise" else 1
        self.prior = DistancePrior(kernel_size, learnable=True)
        self.conv_weights = nn.ParameterList()
        self.norms = nn.ModuleList()
        for _ in range(config.depth):
            # nn.Conv3d's own initialisation; the convolution itself runs through the large-kernel operator,
            # since the aten depthwise backward on a CPU is very slow. A bias would vanish in the norm that follows.
            self.conv_weights.append(nn.Conv3d(masks, masks, config.kernel, groups=masks, bias=False).weight)
            self.norms.append(TapNorm(kernel_size))
        self.masks = masks

    def forward(self) -> torch.Tensor:
        with _full_precision(self.prior.distance.device):
            prior_KKK = self.prior()
            hidden = prior_KKK.expand(1, self.masks, *prior_KKK.shape)
            last = len(self.norms) - 1
            for index, (weight, norm) in enumerate(zip(self.conv_weights, self.norms)):
                hidden = norm(depthwise_conv3d(hidden, weight)[0])[None]
                if index < last:
                    hidden = hidden.sigmoid()
            mask = prior_KKK + hidden[0]
            return mask.sigmoid() if self.config.bounded else mask


class FixedPrior(nn.Module):
    """The mask without generator: ``M = P`` with a frozen exponent. Calling it returns [1, K, K, K]."""

    def __init__(self, kernel_size: tuple[int, int, int]):
        super().__init__()
        self.prior = DistancePrior(kernel_size, learnable=False)

    def forward(self) -> torch.Tensor:
        return self.prior()[None]
