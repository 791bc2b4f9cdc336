"""Batch norms that compute what they did, but with the statistics of the data at hand."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn


@torch.no_grad()
def calibrate(network: nn.Module, images: Iterable[torch.Tensor]) -> list[str]:
    """Measure mean and variance of every batch norm's input over ``images`` [B, C, D, H, W] and make them its own.

    Gain and bias follow, so that in evaluation mode the network computes what it did before (to rounding), and in
    training mode, where a norm divides by the statistics of the batch, nearly so. Without it a network that was fused
    would lose the size of its channels at the first training step. Returns the names of the norms.
    """
    norms = {n: m for n, m in network.named_modules() if isinstance(m, nn.BatchNorm3d)}
    if not norms:
        return []
    sums = {n: torch.zeros(3, m.num_features, dtype=torch.float64) for n, m in norms.items()}

    def measure(name: str):
        def hook(_module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            x = inputs[0].double().transpose(0, 1).flatten(1).cpu()
            sums[name] += torch.stack([torch.full_like(x[:, 0], x.shape[1]), x.sum(1), x.square().sum(1)])

        return hook

    handles = [module.register_forward_pre_hook(measure(name)) for name, module in norms.items()]
    was_training = network.training
    network.eval()
    try:
        for image in images:
            network(image)
    finally:
        for handle in handles:
            handle.remove()
        network.train(was_training)
    for name, norm in norms.items():
        count, total, squares = sums[name]
        mean = total / count
        variance = (squares / count - mean.square()).clamp_min(1e-12)
        device = norm.weight.device
        old = norm.weight.double().cpu() / (norm.running_var.double().cpu() + norm.eps).sqrt()
        shift = norm.bias.double().cpu() - old * norm.running_mean.double().cpu()
        norm.weight.copy_((old * (variance + norm.eps).sqrt()).to(device))
        norm.bias.copy_((shift + old * mean).to(device))
        norm.running_mean.copy_(mean.to(device))
        norm.running_var.copy_(variance.to(device))
    return list(norms)
