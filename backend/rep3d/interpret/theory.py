"""The theoretical receptive field, found from the network itself: which input voxels can reach an output at all.

Windows of convolutions are boxes, so each axis can be looked at alone. A copy of the network runs on a line of voxels
with every convolution replaced by the average over its window along that axis, every norm by the identity and every
other parameter by 1. All numbers in it are positive, nothing cancels, and the gradient of an output is above 0 at
exactly the voxels that are connected to it. Norms that average over the whole map (instance norm) connect everything
with everything; that path carries no place and is left out, as usual.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rep3d.errors import BadInput
from rep3d.layers import ChannelLayerNorm, CSLAConv3d, LargeKernelConv3d
from rep3d.networks.baselines.wrapper import Baseline
from rep3d.networks.encoder_decoder import EncoderDecoder

Triple = tuple[int, int, int]
NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, ChannelLayerNorm)
LENGTH = 4096  # voxels of the line; a field that reaches its ends is reported as at least that long


@dataclass(frozen=True)
class TheoreticalField:
    """The box of input voxels that can reach one output voxel.

    Attributes:
        extent: voxels an axis in a volume without borders.
        box: (first, one past the last) voxel an axis inside the patch.
        patch: its size.
        exact: False where the network could not be followed (attention, other operations) and the whole patch, which no
            field exceeds, stands in.
    """

    extent: Triple
    box: tuple[tuple[int, int], ...]
    patch: Triple
    exact: bool = True

    @property
    def share(self) -> float:
        """Share of the patch's voxels that lies inside the box."""
        return math.prod(b - a for a, b in self.box) / math.prod(self.patch)


class _Line(nn.Module):
    """A convolution as the average over its window on a line, [B, C, L, 1, 1] -> [B, out_channels, L', 1, 1]."""

    def __init__(self, out_channels: int, kernel: int, stride: int, padding: int, dilation: int, spread: int | None):
        super().__init__()
        self.out_channels, self.kernel, self.spread = out_channels, kernel, spread
        self.steps = {"stride": stride, "padding": padding, "dilation": dilation}

    def forward(self, x_BCL11: Tensor) -> Tensor:
        line = x_BCL11.mean(1, keepdim=True)[..., 0, 0]
        weight = line.new_full((1, 1, self.kernel), 1 / self.kernel)
        if self.spread is None:
            line = F.conv1d(line, weight, **self.steps)
        else:
            line = F.conv_transpose1d(line, weight, output_padding=self.spread, **self.steps)
        return line[..., None, None].repeat(1, self.out_channels, 1, 1, 1)


class _Grow(nn.Module):
    """Linear interpolation by a factor along a line."""

    def __init__(self, factor: float):
        super().__init__()
        self.factor = factor

    def forward(self, x_BCL11: Tensor) -> Tensor:
        line = F.interpolate(x_BCL11[..., 0, 0], scale_factor=self.factor, mode="linear", align_corners=False)
        return line[..., None, None]


def theoretical_field(
    network: nn.Module, patch: Triple, voxel: Triple | None = None, *, module: str = ""
) -> TheoreticalField:
    """The theoretical receptive field of the logits at ``voxel`` (default: the centre) of a patch.

    Args:
        network: convolutions, norms, activations that keep positive numbers positive, sums, concatenations, linear
            interpolation.
        module: look at the output of this part of it instead (a dotted path of attributes).

    A network that attends, or does something else that does not run on a line, gives the whole patch: not ``exact``.

    Raises:
        BadInput: the network has no convolution.
    """
    voxel = voxel or tuple(n // 2 for n in patch)
    channels = _first_channels(network)
    extents, box = [], []
    for axis in range(3):
        twin = None if _attends(network) else _twin(network, axis)
        reached = None if twin is None else _reach(twin, channels, voxel[axis], module)
        if reached is None:
            return TheoreticalField(tuple(patch), tuple((0, n) for n in patch), tuple(patch), exact=False)
        low, high = reached
        extents.append(high - low + 1)
        box.append((max(0, voxel[axis] + low), min(patch[axis], voxel[axis] + high + 1)))
    return TheoreticalField(tuple(extents), tuple(box), tuple(patch))


def _attends(network: nn.Module) -> bool:
    """Whether it mixes voxels by more than convolutions: attention is made of linear layers."""
    return any(isinstance(module, nn.Linear | nn.MultiheadAttention) for module in network.modules())


def _reach(twin: nn.Module, channels: int, voxel: int, module: str) -> tuple[int, int] | None:
    """How far, in voxels before (negative) and behind, an output at this place relative to the strides depends.

    None where the network does not run on a line.
    """
    at = LENGTH // 2 + voxel % 32
    outputs: list[Tensor] = []
    if module:
        twin.get_submodule(module).register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    with torch.enable_grad():
        x = torch.ones(1, channels, LENGTH, 1, 1, dtype=torch.float64, requires_grad=True)
        try:
            # The networks' own check of spatial sizes lies in their forward; a line is none of its business.
            inner = twin.network if isinstance(twin, Baseline) else twin
            y = twin.decoder(x, twin.encoder(x)) if isinstance(twin, EncoderDecoder) else inner(x)
        except (RuntimeError, ValueError, BadInput):
            return None
        y = outputs[0] if module else y
        (gradient,) = torch.autograd.grad(y[0, :, at * y.shape[2] // LENGTH, 0, 0].sum(), x)
    reached = (gradient[0, :, :, 0, 0] > 0).any(0).nonzero()[:, 0]
    return int(reached[0]) - at, int(reached[-1]) - at


def _twin(network: nn.Module, axis: int) -> nn.Module:
    twin = nn.Sequential(copy.deepcopy(network)).cpu().eval().requires_grad_(False)
    for parameter in twin.parameters():
        parameter.fill_(1)
    _replace(twin, axis)
    return twin.double()[0]


def _replace(module: nn.Module, axis: int) -> None:
    for name, child in module.named_children():
        new: nn.Module | None = None
        if isinstance(child, LargeKernelConv3d | CSLAConv3d):
            kernel = child.kernel_size[axis]
            new = _Line(_channels(child), kernel, 1, kernel // 2, 1, None)
        elif isinstance(child, nn.Conv3d | nn.ConvTranspose3d):
            kernel, dilation = child.kernel_size[axis], child.dilation[axis]
            padding = child.padding
            if isinstance(padding, str):
                padding = ({"same": dilation * (kernel - 1) // 2, "valid": 0}[padding],) * 3
            spread = child.output_padding[axis] if isinstance(child, nn.ConvTranspose3d) else None
            new = _Line(child.out_channels, kernel, child.stride[axis], padding[axis], dilation, spread)
        elif isinstance(child, NORMS):
            new = nn.Identity()
        elif isinstance(child, nn.Upsample):
            factor = child.scale_factor
            new = _Grow(factor[axis] if isinstance(factor, tuple) else factor)
        if new is None:
            _replace(child, axis)
        else:
            setattr(module, name, new)


def _channels(conv: LargeKernelConv3d | CSLAConv3d) -> int:
    return (conv.weight if isinstance(conv, LargeKernelConv3d) else conv.weight_large).shape[0]


def _first_channels(network: nn.Module) -> int:
    """Input channels: the network says so, else its first convolution does. Raises BadInput without any."""
    if isinstance(channels := getattr(network, "in_channels", None), int):
        return channels
    for module in network.modules():
        if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
            return module.in_channels
        if isinstance(module, LargeKernelConv3d | CSLAConv3d):
            return _channels(module)
    raise BadInput(f"{type(network).__name__} has no convolution, so it has no receptive field")
