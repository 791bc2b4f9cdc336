"""From a configuration to the network at the start of its training."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from rep3d.networks import create_network
from rep3d.training.config import TrainConfig
from rep3d.training.fields import BranchField, field_settings, plain_kernels


def network_arguments(config: TrainConfig, num_classes: int) -> dict[str, Any]:
    """All arguments of the run's network, as checkpoints name them."""
    deep = {"deep_supervision": config.deep_supervision} if config.deep_supervision else {}
    return {"out_channels": num_classes, **config.network_args, **deep}


def build_network(config: TrainConfig, num_classes: int) -> nn.Module:
    """The run's network with random weights from torch's generator, in training form.

    With ``lr_field="csla"`` and its setting init="merged", all weights are those that the CSLA network would have
    drawn, each kernel being ``a_L W_L + a_S pad(W_S)``: RepOptimizer's rule of initialisation.

    Raises BadInput: unknown network, arguments or settings that it does not take.
    """
    arguments = network_arguments(config, num_classes)
    settings = field_settings(config)
    start = torch.get_rng_state()
    network = create_network(config.network, **arguments)
    kernels = plain_kernels(network)
    if isinstance(settings, BranchField) and settings.init == "merged" and kernels:
        csla = {n: getattr(settings, n) for n in ("small_kernel_size", "large_scale", "small_scale")}
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(start)
            twin = create_network(config.network, **{**arguments, "reparam": "csla", "csla": csla})
        state = twin.state_dict()
        with torch.no_grad():
            for name in kernels:
                state[f"{name}.weight"] = twin.get_submodule(name).effective_weight()
        network.load_state_dict({n: t for n, t in state.items() if not n.endswith(".weight_small")})
    return network
