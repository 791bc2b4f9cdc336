"""``torch.library`` operators: what autograd, torch.compile and torch.export see of the convolution.

``rep3d::depthwise_conv3d`` and ``rep3d::depthwise_conv3d_backward`` are linear in each tensor and closed under
differentiation: with V(gx), V(gw) the incoming gradients of the backward's outputs,

    d gy = conv(V(gx), w) + conv(x, V(gw))      d x = input_grad(gy, V(gw))      d w = weight_grad(V(gx), gy)

so gradients of any order use these two operators only. Nothing but the inputs is saved: spectra are computed again.
"""

from __future__ import annotations

import torch
from torch import Tensor

from . import choice, direct, spectra, spectral, triton_path
from .define import define_operator
from .plan import make_plan


def compute_dtype(x: Tensor) -> torch.dtype:
    """Half types are computed in float32: neither their range nor their precision suits a transform."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def run_forward(
    algorithm: str,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    out_dtype: torch.dtype,
    constant_weight: bool,
) -> Tensor:
    """One named algorithm: ``conv(x, weight) + bias``, contiguous, of type ``out_dtype``."""
    plan = make_plan(tuple(x.shape[2:]), tuple(weight.shape[2:]), algorithm)
    dtype = compute_dtype(x)
    with torch.autocast(x.device.type, enabled=False):  # matrix products in here must not become bfloat16
        if algorithm == "direct":
            return direct.forward(x, weight, bias, plan, dtype).to(out_dtype).contiguous()
        out = torch.empty(x.shape, dtype=out_dtype, device=x.device)
        if algorithm == triton_path.NAME:
            triton_path.forward(x, weight, bias, plan, out, constant_weight)
            return out
        spectrum = spectra.lookup(weight, plan, dtype) if constant_weight else None
        spectral.forward(x, weight, bias, plan, out, dtype, spectrum)
        return out


def run_backward(
    algorithm: str,
    gy: Tensor,
    x: Tensor,
    weight: Tensor,
    need_x: bool,
    need_weight: bool,
    constant_weight: bool,
) -> tuple[Tensor, Tensor]:
    """One named algorithm: gradients like x and like weight, contiguous; empty tensors for those not needed."""
    plan = make_plan(tuple(x.shape[2:]), tuple(weight.shape[2:]), algorithm)
    dtype = compute_dtype(x)
    gx = torch.empty(x.shape, dtype=x.dtype, device=x.device) if need_x else None
    gw = weight.new_empty((weight.shape[0], *plan.kernel)) if need_weight else None
    with torch.autocast(x.device.type, enabled=False):
        if algorithm == "direct":
            direct.backward(gy, x, weight, plan, dtype, gx, gw)
        elif algorithm == triton_path.NAME:
            triton_path.backward(gy, x, weight, plan, gx, gw, constant_weight)
        else:
            spectrum = spectra.lookup(weight, plan, dtype) if constant_weight and need_x else None
            spectral.backward(gy, x, weight, plan, dtype, gx, gw, spectrum)
    return (
        x.new_empty(0) if gx is None else gx,
        weight.new_empty(0) if gw is None else spectral.pad_taps(gw, weight, plan),
    )


@define_operator("rep3d::depthwise_conv3d")
def conv_op(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    algorithm: str,
    out_dtype: torch.dtype,
    constant_weight: bool,
) -> Tensor:
    def run(name: str, channels: int | None) -> None:
        if channels is None:
            run_forward(name, x, weight, bias, out_dtype, constant_weight)
        else:
            run_forward(name, x[:1, :channels], weight[:channels], None, out_dtype, False)

    name = choice.resolve(algorithm, "forward", x, weight, constant_weight, run)
    return run_forward(name, x, weight, bias, out_dtype, constant_weight)


@torch.library.register_fake("rep3d::depthwise_conv3d")
def _(x, weight, bias, algorithm, out_dtype, constant_weight):
    return torch.empty(x.shape, dtype=out_dtype, device=x.device)


@define_operator("rep3d::depthwise_conv3d_backward")
def backward_op(
    gy: Tensor,
    x: Tensor,
    weight: Tensor,
    algorithm: str,
    need_x: bool,
    need_weight: bool,
    constant_weight: bool,
) -> tuple[Tensor, Tensor]:
    if not (need_x or need_weight):
        return x.new_empty(0), weight.new_empty(0)

    def run(name: str, channels: int | None) -> None:
        if channels is None:
            run_backward(name, gy, x, weight, need_x, need_weight, constant_weight)
        else:
            few = slice(0, 1), slice(0, channels)
            run_backward(name, gy[few], x[few], weight[:channels], need_x, need_weight, False)

    direction = choice.BACKWARD[need_x, need_weight]
    name = choice.resolve(algorithm, direction, x, weight, constant_weight, run)
    return run_backward(name, gy, x, weight, need_x, need_weight, constant_weight)


@torch.library.register_fake("rep3d::depthwise_conv3d_backward")
def _(gy, x, weight, algorithm, need_x, need_weight, constant_weight):
    gx = torch.empty(x.shape, dtype=x.dtype, device=x.device) if need_x else x.new_empty(0)
    gw = torch.empty(weight.shape, dtype=weight.dtype, device=weight.device) if need_weight else weight.new_empty(0)
    return gx, gw


def _conv_context(ctx, inputs, output):
    x, weight, bias, ctx.algorithm, _, ctx.constant_weight = inputs
    ctx.bias_dtype = None if bias is None else bias.dtype
    ctx.save_for_backward(x, weight)


def _conv_gradient(ctx, gy):
    x, weight = ctx.saved_tensors
    need_x, need_weight, need_bias = ctx.needs_input_grad[:3]
    gx = gw = gbias = None
    if need_x or need_weight:
        gx, gw = backward_op(gy, x, weight, ctx.algorithm, need_x, need_weight, ctx.constant_weight)
    if need_bias:
        gbias = gy.sum((0, 2, 3, 4), dtype=torch.promote_types(gy.dtype, torch.float32)).to(ctx.bias_dtype)
    return gx if need_x else None, gw if need_weight else None, gbias, None, None, None


torch.library.register_autograd("rep3d::depthwise_conv3d", _conv_gradient, setup_context=_conv_context)


def _backward_context(ctx, inputs, output):
    gy, x, weight, ctx.algorithm, ctx.had_x, ctx.had_weight, ctx.constant_weight = inputs
    ctx.save_for_backward(gy, x, weight)


def _backward_gradient(ctx, v_gx, v_gw):
    gy, x, weight = ctx.saved_tensors
    v_gx = v_gx if ctx.had_x else None
    v_gw = v_gw if ctx.had_weight else None
    need_gy, need_x, need_weight = ctx.needs_input_grad[:3]
    g_gy = g_x = g_weight = None
    if need_gy:
        if v_gx is not None:
            g_gy = conv_op(v_gx, weight, None, ctx.algorithm, gy.dtype, ctx.constant_weight)
        if v_gw is not None:
            more = conv_op(x, v_gw, None, ctx.algorithm, gy.dtype, False)
            g_gy = more if g_gy is None else g_gy + more
    if need_x and v_gw is not None:
        g_x = backward_op(gy, x, v_gw, ctx.algorithm, True, False, False)[0]
    if need_weight and v_gx is not None:
        g_weight = backward_op(gy, v_gx, weight, ctx.algorithm, False, True, False)[1]
    return g_gy, g_x, g_weight, None, None, None, None


torch.library.register_autograd("rep3d::depthwise_conv3d_backward", _backward_gradient, setup_context=_backward_context)
