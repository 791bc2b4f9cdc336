"""The baselines stand behind the same interface and train with the same loop."""

from __future__ import annotations

import pytest
import torch
from rep3d.networks import accepted_arguments, create_network


@pytest.mark.parametrize("name, width", [("segresnet", "init_filters"), ("dynunet", "base_filters")])
def test_baseline_maps_images_to_logits_and_is_rebuilt_from_its_spec(name, width):
    torch.manual_seed(0)
    network = create_network(name, in_channels=1, out_channels=3, **{width: 8}).eval()
    size = (network.stride, 2 * network.stride, network.stride)
    x = torch.rand(1, 1, *size)
    with torch.no_grad():
        logits = network(x)
        assert logits.shape == (1, 3, *size) and logits.std() > 0
        again = create_network(network.spec["name"], **network.spec["args"]).eval()
        again.load_state_dict(network.state_dict())
        assert torch.equal(again(x), logits)
    assert "reparam" not in accepted_arguments(name)


def test_default_widths_are_near_rep3d_xs_in_parameters():
    count = {
        name: sum(p.numel() for p in create_network(name, out_channels=6).parameters())
        for name in ("rep3d-xs", "segresnet", "dynunet")
    }
    assert 0.6 < count["segresnet"] / count["rep3d-xs"] < 1.2
    assert 0.6 < count["dynunet"] / count["rep3d-xs"] < 1.2
