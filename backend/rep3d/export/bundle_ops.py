"""The large-kernel depthwise convolution of a bundle: Rep3D's own operator where it is installed, else PyTorch's.

The two compute the same function. Rep3D's takes a fraction of the time for kernels of 21 voxels. Set the environment
variable REP3D_BUNDLE_PLAIN=1 to have PyTorch's in any case.
"""

from __future__ import annotations

import os

import torch
from torch import Tensor
from torch.nn import functional as F

try:
    if os.environ.get("REP3D_BUNDLE_PLAIN"):
        raise ImportError("REP3D_BUNDLE_PLAIN is set")
    from rep3d.ops import depthwise_conv3d as _fast
except ImportError:
    _fast = None


def operator() -> str:
    """Which convolution large kernels run on, for the log."""
    return "PyTorch's conv3d" if _fast is None else "Rep3D's operator"


def depthwise_conv3d(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``conv3d(x, weight, bias, groups=C)``, stride 1, zero padding that keeps the size.

    Args:
        x: [B, C, X, Y, Z]. weight: [C, 1, KX, KY, KZ], every K odd. bias: [C] or None.
    """
    # A traced or compiled network must run where Rep3D is not installed.
    if _fast is None or torch.jit.is_tracing() or torch.compiler.is_compiling():
        return F.conv3d(x, weight, bias, padding=[k // 2 for k in weight.shape[2:]], groups=x.shape[1])
    return _fast(x, weight, bias)
