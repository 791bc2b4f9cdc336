"""Is a convolution right in the training's precision on this machine? Where it is not, it runs in float32, and says so.

oneDNN's bfloat16 weight gradient of a 3D convolution is made of uninitialised memory for some shapes (seen with PyTorch
2.13 on a CPU with AMX: kernel 3, padding 1, depth 2; the forward and the input's gradient are right). Nothing but a
comparison at the very shapes of the run finds such a thing, so every distinct convolution is compared once per run.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

CONVOLUTIONS = (nn.Conv3d, nn.ConvTranspose3d)
#: bfloat16 keeps 8 bits: right results differ by 0.002 (Frobenius norm, relative), wrong ones by 0.5 and more.
TOLERANCE = 0.05
TRIALS = 2  # memory that was not written may hold the right values by chance


def convolution_shapes(
    network: nn.Module, batch: int, patch: Sequence[int], device: torch.device | str
) -> dict[str, tuple[int, ...]]:
    """Shape of the input of every 3D convolution, by the module's name, for a batch of crops of ``patch``."""
    shapes: dict[str, tuple[int, ...]] = {}
    names = {module: name for name, module in network.named_modules() if isinstance(module, CONVOLUTIONS)}
    hooks = [
        module.register_forward_pre_hook(lambda m, args: shapes.__setitem__(names[m], tuple(args[0].shape)))
        for module in names
    ]
    training = network.training
    try:
        network.eval()  # running statistics stay as they are
        with torch.no_grad():
            network(torch.zeros(batch, network.in_channels, *patch, device=device))
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    return shapes


def worst_error(module: nn.Module, shape: Sequence[int], dtype: torch.dtype, seed: int = 0) -> float:
    """Largest relative error of output and gradients of one convolution in ``dtype`` against float32.

    Both compute from the same rounded values; inf where something is not finite.
    """
    device = module.weight.device
    generator = torch.Generator(device="cpu").manual_seed(seed)

    def random(*size: int) -> torch.Tensor:
        return torch.randn(size, generator=generator).to(dtype).to(device)

    x, weight = random(*shape), random(*module.weight.shape) * module.weight[0].numel() ** -0.5
    upstream: torch.Tensor | None = None
    results = []
    for kind in (torch.float32, dtype):
        inputs = [tensor.to(kind).requires_grad_() for tensor in (x, weight)]
        with torch.enable_grad():
            y = _apply(module, *inputs)
            upstream = random(*y.shape) if upstream is None else upstream
            results.append((y, *torch.autograd.grad(y, inputs, upstream.to(kind))))
    worst = 0.0
    for right, other in zip(*results, strict=True):
        error = (torch.linalg.norm(other.float() - right) / torch.linalg.norm(right).clamp_min(1e-30)).item()
        worst = max(worst, error if error == error else float("inf"))
    return worst


def _apply(module: nn.Module, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    settings = (None, module.stride, module.padding)
    if isinstance(module, nn.ConvTranspose3d):
        return nn.functional.conv_transpose3d(
            x, weight, *settings, module.output_padding, module.groups, module.dilation
        )
    return nn.functional.conv3d(x, weight, *settings, module.dilation, module.groups)


def unsound_convolutions(
    network: nn.Module, batch: int, patch: Sequence[int], device: torch.device | str, dtype: torch.dtype
) -> dict[str, float]:
    """Name and error of every convolution that is wrong in ``dtype`` at its shape. The random state is untouched."""
    modules = dict(network.named_modules())
    known: dict[tuple, float] = {}
    wrong = {}
    for name, shape in convolution_shapes(network, batch, patch, device).items():
        m = modules[name]
        kind = (type(m), shape, tuple(m.weight.shape), m.stride, m.padding, m.dilation, m.groups)
        if kind not in known:
            known[kind] = max(worst_error(m, shape, dtype, seed) for seed in range(TRIALS))
        if known[kind] > TOLERANCE:
            wrong[name] = known[kind]
    return wrong


def run_in_float32(module: nn.Module) -> None:
    """Let this module compute in float32 whatever the autocast around it; parameters and names stay as they are."""
    plain = module.forward

    def forward(x: torch.Tensor, *rest):
        with torch.autocast(device_type=x.device.type, enabled=False):
            return plain(x.float(), *rest)

    module.forward = forward


def make_sound(
    network: nn.Module, batch: int, patch: Sequence[int], device: torch.device | str, dtype: torch.dtype
) -> list[str]:
    """Find the convolutions that are wrong in ``dtype`` and let them run in float32. Their names."""
    wrong = unsound_convolutions(network, batch, patch, device, dtype)
    modules = dict(network.named_modules())
    for name in wrong:
        run_in_float32(modules[name])
    return list(wrong)
