"""What all baselines share: this package's interface around a network of another kind, and its checks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from rep3d.errors import BadInput

Patch = tuple[int, int, int]

#: Last parts of names that state dicts leave out, for weights files hold floating-point numbers only: a counter that no
#: batch norm with a momentum reads, and indices that the constructor computes.
UNSAVED = frozenset({"num_batches_tracked", "relative_position_index"})


class Baseline(nn.Module):
    """A network of another kind with this package's interface.

    Args:
        network: maps [B, in_channels, D, H, W] to logits [B, out_channels, D, H, W], in training mode possibly to a
            list of them (deep supervision: full size, 1/2, 1/4, ...).
        in_channels: channels of the image.
        stride: each axis of an input is a multiple of it.
        deepest: fewest voxels of the map at that stride (an instance norm is undefined on one).
        patch: the only size it takes, for networks with learned positions; None: any that fits.

    Calling it raises BadInput for other shapes.
    """

    def __init__(
        self,
        network: nn.Module,
        in_channels: int,
        stride: int,
        *,
        deepest: int = 1,
        patch: Patch | None = None,
    ):
        super().__init__()
        self.network = network
        self.in_channels = in_channels
        self.stride = stride
        self.deepest = deepest
        self.patch = patch
        self.register_state_dict_post_hook(_leave_out)
        self.register_load_state_dict_post_hook(_not_missing)

    def forward(self, x_BCDHW: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        self.check_input(x_BCDHW)
        return self.network(x_BCDHW)

    def check_input(self, x_BCDHW: torch.Tensor) -> None:
        """Raise BadInput, saying what fits, unless the tensor has the channels and a size that the network takes."""
        if x_BCDHW.ndim != 5 or x_BCDHW.shape[1] != self.in_channels:
            raise BadInput(f"the network takes [B, {self.in_channels}, D, H, W], not {list(x_BCDHW.shape)}")
        size = tuple(x_BCDHW.shape[2:])
        if self.patch and size != self.patch:
            raise BadInput(
                f"the network was built for windows of {_by(self.patch)} voxels, not {_by(size)}",
                "Its positions are learned: use that patch, or build and train it with the argument patch="
                f"{list(size)}.",
            )
        if any(n % self.stride for n in size) or math.prod(n // self.stride for n in size) < self.deepest:
            more = f", at least one of them to {self.deepest * self.stride}" if self.deepest > 1 else ""
            raise BadInput(
                f"spatial size {list(size)} does not fit the network",
                f"Pad each axis to a multiple of {self.stride}{more}.",
            )


def fixed_patch(patch: Sequence[int], multiple: int) -> Patch:
    """The argument ``patch`` of a network with learned positions, as a triple; ValueError unless ``multiple`` fits."""
    if len(patch) != 3 or any(isinstance(n, bool) or not isinstance(n, int) for n in patch):
        raise ValueError(f"patch needs three whole numbers, not {patch!r}")
    if any(n < multiple or n % multiple for n in patch):
        raise ValueError(f"patch {list(patch)} needs multiples of {multiple}")
    return tuple(patch)


class RealIndices(TorchFunctionMode):
    """Inside the block ``arange`` and ``linspace`` compute numbers even where the default device is "meta".

    Some of MONAI's constructors read such numbers back or keep them as indices; without this, networks of shapes only
    (to count, to check, to load weights into) cannot be built.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in (torch.arange, torch.linspace):
            kwargs = {**kwargs, "device": "cpu"}
        return func(*args, **kwargs)


def _by(size: Sequence[int]) -> str:
    return " x ".join(map(str, size))


def _unsaved(key: str) -> bool:
    return key.rpartition(".")[2] in UNSAVED


def _leave_out(_module: nn.Module, state: dict, prefix: str, _metadata: dict) -> None:
    for key in [k for k in state if k.startswith(prefix) and _unsaved(k)]:
        del state[key]


def _not_missing(_module: nn.Module, keys) -> None:
    keys.missing_keys[:] = [key for key in keys.missing_keys if not _unsaved(key)]
