"""``depthwise_conv3d``: the large-kernel depthwise convolution that the networks call."""

from __future__ import annotations

import torch
from torch import Tensor

from . import triton_path
from .plan import METHODS
from .registration import conv_op

#: Accepted values of ``algorithm`` and of the environment variable ``REP3D_CONV_ALGORITHM``.
ALGORITHMS = ("auto", "direct", *METHODS, triton_path.NAME)
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def depthwise_conv3d(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, algorithm: str = "auto") -> Tensor:
    """Depthwise 3D convolution, stride 1, zero padding that keeps the size: ``conv3d(x, weight, bias, groups=C)``.

    Args:
        x: ``[B, C, D, H, W]``, any spatial size.
        weight: ``[C, 1, KD, KH, KW]``, every K odd; the kernel may be larger than the map.
        bias: ``[C]`` or None.
        algorithm: ``"auto"`` measures the candidates once per situation and remembers the fastest; ``"direct"``,
            ``"fft"``, ``"matmul"``, ``"hybrid"`` and ``"triton"`` (GPUs only) ask for one of them.
            ``REP3D_CONV_ALGORITHM`` overrides ``"auto"``.

    Returns:
        ``[B, C, D, H, W]`` of the type of ``x``; under autocast of the autocast type, as ``conv3d`` would. float16 and
        bfloat16 are computed in float32 and rounded once at the end, except that ``"triton"`` multiplies in bfloat16
        where x or the result is.

    Raises:
        TypeError: an argument is no real floating-point tensor, or the types differ outside autocast.
        ValueError: shapes, devices or ``algorithm`` do not fit; the message names the argument.
        DeviceUnavailable: ``"triton"`` was asked for without Triton or a GPU.
    """
    _check(x, weight, bias, algorithm)
    out_dtype = x.dtype
    # The meta device, on which shapes are counted, has no autocast.
    autocast = x.device.type != "meta" and torch.is_autocast_enabled(x.device.type)
    if autocast and x.dtype != torch.float64:
        out_dtype = torch.get_autocast_dtype(x.device.type)
    elif weight.dtype != x.dtype or (bias is not None and bias.dtype != x.dtype):
        types = f"x is {x.dtype}, weight {weight.dtype}" + ("" if bias is None else f", bias {bias.dtype}")
        raise TypeError(f"depthwise_conv3d: x, weight and bias must have one type outside autocast, but {types}.")
    constant = not (torch.is_grad_enabled() and weight.requires_grad)
    return conv_op(x, weight, bias, algorithm, out_dtype, constant)


def _check(x: Tensor, weight: Tensor, bias: Tensor | None, algorithm: str) -> None:
    for name, tensor, dims in (("x", x, 5), ("weight", weight, 5), ("bias", bias, 1)):
        if tensor is None and name == "bias":
            continue
        if not isinstance(tensor, Tensor):
            raise TypeError(f"depthwise_conv3d: {name} must be a tensor, not {type(tensor).__name__}.")
        if tensor.dtype not in DTYPES:
            raise TypeError(
                f"depthwise_conv3d: {name} must be float32, float64, bfloat16 or float16, not {tensor.dtype}."
            )
        if tensor.dim() != dims:
            raise ValueError(f"depthwise_conv3d: {name} must have {dims} axes, but has shape {tuple(tensor.shape)}.")
        if tensor.device != x.device:
            raise ValueError(f"depthwise_conv3d: {name} is on {tensor.device}, x on {x.device}.")
    channels = x.shape[1]
    if weight.shape[1] != 1:
        raise ValueError(f"depthwise_conv3d: weight must be [C, 1, KD, KH, KW], not {tuple(weight.shape)}.")
    if weight.shape[0] != channels:
        raise ValueError(f"depthwise_conv3d: weight has {weight.shape[0]} channels, x has {channels}.")
    if bias is not None and bias.shape[0] != channels:
        raise ValueError(f"depthwise_conv3d: bias has {bias.shape[0]} channels, x has {channels}.")
    if any(k % 2 == 0 for k in weight.shape[2:]):
        raise ValueError(f"depthwise_conv3d: weight must have odd kernel sizes, not {tuple(weight.shape[2:])}.")
    if any(n == 0 for n in x.shape):
        raise ValueError(f"depthwise_conv3d: x must not be empty, but has shape {tuple(x.shape)}.")
    if algorithm not in ALGORITHMS:
        raise ValueError(f"depthwise_conv3d: algorithm must be one of {', '.join(ALGORITHMS)}, not {algorithm!r}.")
