"""Fixtures: a small trained-looking network, its checkpoint and its weights file."""

import pytest
import torch
from rep3d.networks import create_network
from rep3d.tasks import load_task

PATCH = (32, 48, 32)


def trained_network(name="rep3d-tiny", **args):
    """A network whose norms have seen data, so that folding them is not trivially right."""
    torch.manual_seed(0)
    network = create_network(name, in_channels=1, out_channels=3, **args)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm3d):
                module.weight.uniform_(0.5, 2, generator=generator)
                module.bias.uniform_(-1, 1, generator=generator)
        for parameter in network.parameters():
            if parameter.ndim == 0:
                parameter.fill_(0.4)  # the prior's exponent
        for _ in range(3):
            network.train()(2 * torch.rand(2, 1, *PATCH, generator=generator) - 0.3)
    return network.eval()


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    network = trained_network()
    path = tmp_path_factory.mktemp("run") / "best.ckpt"
    content = {
        "format": "rep3d-checkpoint",
        "version": 1,
        "model": network.state_dict(),
        "ema": {},
        "step": 7,
        "best": {"step": 7, "dice": 0.5},
        "config": {"patch": list(PATCH), "task": "msd-hippocampus"},
        "network": network.spec,
        "task": load_task("msd-hippocampus").to_dict(),
        "data_sha256": "ab" * 32,
    }
    torch.save(content, path)
    return path


@pytest.fixture(scope="session")
def weights_file(checkpoint, tmp_path_factory):
    from rep3d.fuse import fuse_checkpoint
    from rep3d.weights import save_weights

    tensors, meta, _ = fuse_checkpoint(checkpoint)
    path = tmp_path_factory.mktemp("weights") / "msd-hippocampus.safetensors"
    save_weights(path, tensors, meta)
    return path
