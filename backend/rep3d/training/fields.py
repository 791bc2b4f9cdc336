"""Element-wise learning rates on the large kernels: what a mask or a second branch amounts to, without either.

A field F has one number a tap, in units of the optimiser's rate (PAPER sections 1 and 2, docs/theory.md).
SGD: ``g <- F g`` before the step. Adam normalises gradients, so that a constant factor on them would vanish; there F
scales the update: ``W <- (1 - lr wd) W - lr F u``. Weight decay keeps the base rate under both: that is what two
branches of equal rates do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, Literal

import torch
from torch import nn

from rep3d.errors import BadInput
from rep3d.layers import CSLAConfig, CSLAConv3d, LargeKernelConv3d, tap_distances, triple
from rep3d.layers.rate_field import branch_rate_field, mask_rate_field
from rep3d.training.config import TrainConfig


@dataclass(frozen=True)
class PriorField:
    """Settings of ``lr_field="prior"``: ``exponent`` a of ``P = e^a / (d + e^a)`` (eq. 14)."""

    exponent: float = 0.0

    def __post_init__(self) -> None:
        if (
            isinstance(self.exponent, bool)
            or not isinstance(self.exponent, (int, float))
            or not math.isfinite(self.exponent)
        ):
            raise ValueError(f"exponent must be a finite number, not {self.exponent!r}")


@dataclass(frozen=True)
class BranchField(CSLAConfig):
    """Settings of ``lr_field="csla"``: the branches that the kernel stands for.

    ``init``: "merged" starts from what the CSLA network of the same seed merges into (RepOptimizer's rule of
    initialisation), "own" from the plain network's own random kernels.
    """

    init: Literal["merged", "own"] = "merged"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.init not in ("merged", "own"):
            raise ValueError(f"init must be 'merged' or 'own', not {self.init!r}")


def field_settings(config: TrainConfig) -> PriorField | BranchField | None:
    """``lr_field_args`` read and checked; None without a field. Raises BadInput."""
    kinds = {"prior": PriorField, "csla": BranchField}
    if config.lr_field not in kinds:
        if config.lr_field_args:
            raise BadInput("--lr-field-args has no effect without --lr-field", "Choose --lr-field prior or csla.")
        return None
    kind = kinds[config.lr_field]
    known = [f.name for f in fields(kind)]
    if unknown := sorted(set(config.lr_field_args) - set(known)):
        raise BadInput(
            f"--lr-field {config.lr_field} has no setting {', '.join(unknown)}", f"It has {', '.join(known)}."
        )
    try:
        return kind(**config.lr_field_args)
    except (TypeError, ValueError) as error:
        raise BadInput(f"--lr-field-args: {error}", "docs/theory.md lists the settings.") from error


def field_of(kernel_size: tuple[int, int, int], config: TrainConfig) -> torch.Tensor:
    """The field of a kernel, [K, K, K], float64. Raises BadInput when the settings are wrong or do not fit it."""
    settings = field_settings(config)
    if isinstance(settings, PriorField):
        with torch.device("cpu"):  # numbers, also where a network is only looked at for its shapes
            distance = tap_distances(kernel_size).double().numpy()
        scale = math.exp(settings.exponent)
        return torch.from_numpy(mask_rate_field(scale / (distance + scale), config.optimizer))
    if isinstance(settings, BranchField):
        try:
            settings.check_fits(kernel_size)
        except ValueError as error:
            raise BadInput(f"--lr-field csla: {error}", "Choose a smaller small_kernel_size.") from error
        if config.lr_small and not config.lr:
            raise BadInput("--lr-small needs an --lr above 0: the field is in units of --lr")
        return torch.from_numpy(
            branch_rate_field(
                kernel_size,
                triple(settings.small_kernel_size),
                large_rate=1.0,
                small_rate=config.lr_small / config.lr if config.lr_small else 1.0,
                optimizer=config.optimizer,
                large_scale=settings.large_scale,
                small_scale=settings.small_scale,
            )
        )
    raise ValueError("the configuration has no field")


def plain_kernels(network: nn.Module) -> dict[str, LargeKernelConv3d]:
    """The large-kernel convolutions without mask and without a second branch, by name."""
    found = {n: m for n, m in network.named_modules() if isinstance(m, LargeKernelConv3d)}
    return {n: m for n, m in found.items() if m.mask is None and not isinstance(m, CSLAConv3d)}


def rate_fields(network: nn.Module, config: TrainConfig) -> list[tuple[nn.Parameter, torch.Tensor]]:
    """The large-kernel weights [C, 1, K, K, K] with their fields [K, K, K]; [] without ``lr_field``.

    Raises BadInput when the network has no plain large kernel that is trained.
    """
    if field_settings(config) is None:
        return []
    convs = [m for m in plain_kernels(network).values() if m.weight.requires_grad]
    if not convs:
        raise BadInput(
            f"--lr-field {config.lr_field} has no effect: {config.network} has no plain large kernel that is trained",
            "It is for --reparam plain; the other kinds bring a mask or a branch of their own.",
        )
    made = {m.kernel_size: field_of(m.kernel_size, config) for m in convs}
    return [(m.weight, made[m.kernel_size]) for m in convs]


class ElementwiseRates:
    """Makes an SGD or AdamW optimiser follow fields; it holds no state, so checkpoints are the optimiser's own.

    AdamW's update is torch's own: the step runs on kernels that are zero for its length, which leaves in them
    ``-lr u`` (decoupled weight decay of zero is zero, and u does not depend on the kernel); then
    ``W = (1 - lr wd) W_before + F (-lr u)``.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, pairs: list[tuple[nn.Parameter, torch.Tensor]]):
        self.fields = dict(pairs)
        self.before: dict[nn.Parameter, torch.Tensor] = {}
        if isinstance(optimizer, torch.optim.SGD):
            optimizer.register_step_pre_hook(self._scale_gradients)
        elif isinstance(optimizer, torch.optim.AdamW):
            optimizer.register_step_pre_hook(self._take_weights)
            optimizer.register_step_post_hook(self._apply_updates)
        else:
            raise ValueError(f"no learning-rate field for {type(optimizer).__name__}")

    def _field(self, parameter: nn.Parameter) -> torch.Tensor:
        """The field on the parameter's device, which is known only once the network is in its place."""
        self.fields[parameter] = self.fields[parameter].to(parameter.device, parameter.dtype)
        return self.fields[parameter]

    @torch.no_grad()
    def _scale_gradients(self, optimizer: torch.optim.Optimizer, args: tuple, kwargs: dict[str, Any]) -> None:
        _refuse_closure(args, kwargs)
        for parameter in self.fields:
            if parameter.grad is not None:
                parameter.grad.mul_(self._field(parameter))

    @torch.no_grad()
    def _take_weights(self, optimizer: torch.optim.Optimizer, args: tuple, kwargs: dict[str, Any]) -> None:
        _refuse_closure(args, kwargs)
        for parameter in self.fields:
            if parameter.grad is not None:
                self.before[parameter] = parameter.clone()
                parameter.zero_()

    @torch.no_grad()
    def _apply_updates(self, optimizer: torch.optim.Optimizer, args: tuple, kwargs: dict[str, Any]) -> None:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter in self.before:
                    kept = self.before.pop(parameter).mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.mul_(self._field(parameter)).add_(kept)


def _refuse_closure(args: tuple, kwargs: dict[str, Any]) -> None:
    # args[0] may be the optimiser itself. A closure would see kernels of zero, or gradients of another forward.
    if kwargs.get("closure") is not None or any(callable(a) and not hasattr(a, "param_groups") for a in args):
        raise ValueError("a step with element-wise rates takes no closure")
