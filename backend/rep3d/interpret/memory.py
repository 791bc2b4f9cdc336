"""Gradients need far more memory than answers: measure before, and take a smaller patch where it does not fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

from rep3d.errors import OutOfMemory
from rep3d.inference.devices import memory_errors

Triple = tuple[int, int, int]
Result = TypeVar("Result")
SMALLEST = 32
SHRINK = 0.75
#: Memory of a gradient in units of what the layers put out: measured 0.5 to 1.15 on a CPU (Rep3D, UX-Net, SegResNet).
OVERHEAD = 1.3


def gradient_bytes(network: nn.Module, patch: Triple) -> int:
    """Memory that the gradient of one output with respect to a patch takes, from shapes alone; 0 if unknown."""
    from rep3d.networks import create_network

    spec = getattr(network, "spec", None)
    if spec is None:
        return 0
    values = 0

    def count(_module: nn.Module, _inputs: tuple, output: object) -> None:
        nonlocal values
        if isinstance(output, torch.Tensor):
            values += output.numel()

    with torch.device("meta"):
        twin = create_network(spec["name"], **spec["args"]).eval()
        for module in twin.modules():
            if not list(module.children()):
                module.register_forward_hook(count)
        with torch.no_grad():
            twin(torch.empty(1, network.in_channels, *patch))
    return int(4 * OVERHEAD * values)


def check_gradient_memory(network: nn.Module, patch: Triple, device: torch.device) -> None:
    """Raise OutOfMemory if the gradient over a patch would not fit into what is free now."""
    need = gradient_bytes(network, patch)
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
    elif device.type == "cpu":
        import psutil

        free = psutil.virtual_memory().available
    else:
        return
    if need > free:
        size = " x ".join(map(str, patch))
        raise OutOfMemory(
            f"A gradient over {size} voxels needs about {need / 2**30:.1f} GiB; {free / 2**30:.1f} GiB are free.",
            "Close other programs, or give a smaller --patch.",
        )


def with_smaller_patch(
    attempt: Callable[[Triple], Result], patch: Triple, stride: int, device: torch.device
) -> tuple[Result, Triple, list[str]]:
    """``attempt(patch)``, and with ever smaller patches as long as memory does not suffice.

    Returns its result, the patch that worked and a sentence for the user when it is a smaller one than asked for.
    Raises OutOfMemory when the smallest patch does not fit either.
    """
    wanted, warnings = tuple(patch), []
    while True:
        try:
            with memory_errors(device):
                return attempt(patch), patch, warnings
        except OutOfMemory as error:
            if device.type == "cuda":
                torch.cuda.empty_cache()
            smaller = tuple(min(n, max(SMALLEST, int(n * SHRINK) // stride * stride)) for n in patch)
            if smaller == patch:
                raise
            patch = smaller
            names = [" x ".join(map(str, p)) for p in (wanted, patch)]
            warnings = [f"Memory did not suffice for a patch of {names[0]} voxels; measured over {names[1]}. ({error})"]
