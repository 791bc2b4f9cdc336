"""Two networks that should follow one path: a small one of real blocks in float64, data that change every step."""

from __future__ import annotations

from collections.abc import Callable

import torch
from rep3d.layers import ChannelLayerNorm, CSLAConfig, CSLAConv3d, LargeKernelConv3d, LRBMConfig
from rep3d.networks.rep3d import Rep3DBlock
from rep3d.networks.uxnet import UXBlock
from torch import nn

KERNEL, SMALL = (5, 7, 5), (3, 3, 3)
STEPS = 50
#: Relative to the largest change of a kernel, not to the kernel, which moves little in 50 steps.
ROUNDING = 1e-10


def make_network(reparam: str = "plain", *, csla: CSLAConfig | None = None, seed: int = 0) -> nn.Sequential:
    """Blocks of Rep3D (batch norm behind, batch norm before) and of 3D UX-Net on two levels, [2, 1, 8, 8, 8] in."""
    torch.manual_seed(seed)
    lrbm = LRBMConfig(kernel=3)
    settings = {"reparam": reparam, "lrbm": lrbm, "csla": csla or CSLAConfig(SMALL)}
    return nn.Sequential(
        nn.Conv3d(1, 3, 3, stride=2, padding=1),
        ChannelLayerNorm(3),
        Rep3DBlock(3, KERNEL, **settings),
        Rep3DBlock(3, KERNEL, norm="batch-first", **settings),
        nn.Conv3d(3, 4, 2, stride=2),
        UXBlock(4, KERNEL, layer_scale=1.0, **settings),
        nn.ConvTranspose3d(4, 3, 4, stride=4),
    ).double()


def large_kernels(network: nn.Module) -> list[LargeKernelConv3d]:
    return [m for m in network.modules() if isinstance(m, LargeKernelConv3d)]


def effective(network: nn.Module) -> list[torch.Tensor]:
    """The kernels that the input meets, W' or W . M, of every block."""
    return [conv.effective_weight().detach().clone() for conv in large_kernels(network)]


def copy_effective(source: nn.Module, target: nn.Module) -> None:
    """Give ``target`` (plain) the function of ``source``: its kernels, and all other parameters."""
    state = {n: t for n, t in source.state_dict().items() if ".mask." not in n and not n.endswith(".weight_small")}
    missing = target.load_state_dict(state, strict=True)
    assert not missing.missing_keys
    with torch.no_grad():
        for conv, kernel in zip(large_kernels(target), effective(source)):
            conv.weight.copy_(kernel)


def batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images and labels of a step."""
    generator = torch.Generator().manual_seed(1000 + step)
    image = torch.rand(2, 1, 8, 8, 8, dtype=torch.float64, generator=generator)
    return image, (image[:, 0] * 2 + torch.rand(2, 8, 8, 8, generator=generator)).long().clamp_(0, 2)


def train(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    steps: int = STEPS,
    rate: Callable[[int], float] | None = None,
    before_step: Callable[[], None] | None = None,
) -> list[list[torch.Tensor]]:
    """``effective`` kernels at the start and after every step."""
    from rep3d.training.rates import set_rates

    network.train()
    path = [effective(network)]
    for step in range(steps):
        if rate:
            set_rates(optimizer, rate(step))
        image, label = batch(step)
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(image), label).backward()
        if before_step:
            before_step()
        optimizer.step()
        path.append(effective(network))
    return path


def distance(path: list[list[torch.Tensor]], other: list[list[torch.Tensor]]) -> float:
    """Largest difference of two paths over all steps and kernels, relative to how far the kernel moved at most."""
    worst = 0.0
    for k in range(len(path[0])):
        moved = max((step[k] - path[0][k]).abs().max() for step in path)
        apart = max((a[k] - b[k]).abs().max() for a, b in zip(path, other, strict=True))
        worst = max(worst, float(apart / moved))
    return worst


def as_branches(network: nn.Module) -> None:
    """Let every CSLA block compute eq. 1 as it is written, with two convolutions."""
    for conv in large_kernels(network):
        if isinstance(conv, CSLAConv3d):
            conv.forward = conv.forward_branches
