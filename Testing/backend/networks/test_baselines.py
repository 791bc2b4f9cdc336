"""The baselines stand behind the same interface: shapes, gradients, weights without pickle, errors, sizes."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from rep3d.errors import BadInput
from rep3d.fuse import fuse_network, fusion_error, side_tensors
from rep3d.networks import accepted_arguments, create_network
from safetensors.torch import save

from ..tiny_baselines import TINY


def make(name: str, **changes):
    torch.manual_seed(0)
    return create_network(name, in_channels=1, out_channels=3, **{**TINY[name][0], **changes})


@pytest.mark.parametrize("name", TINY)
def test_training_mode_gives_logits_of_each_level_and_gradients_to_every_parameter(name):
    network, (args, size) = make(name).train(), TINY[name]
    out = network(torch.randn(2, 1, *size))
    levels = out if isinstance(out, list) else [out]
    assert len(levels) == 1 + args.get("deep_supervision", 0)
    for i, logits in enumerate(levels):
        assert logits.shape == (2, 3, *(n >> i for n in size))
    # Different weights for each number, else a softmax or a norm would cancel some gradients.
    sum((level * torch.randn_like(level)).mean() for level in levels).backward()
    dead = [
        n for n, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all() or not p.grad.any()
    ]
    assert not dead


@pytest.mark.parametrize("name", TINY)
def test_weights_go_through_a_file_of_tensors_into_a_network_of_shapes(name):
    network, size = make(name).eval(), TINY[name][1]
    x = torch.randn(1, 1, *size)
    with torch.no_grad():
        logits = network(x)
        assert logits.shape == (1, 3, *size) and logits.std() > 0
        assert torch.equal(network(x), logits)
        assert not torch.equal(network(x.flip(2)), logits)
        state = network.state_dict()
        assert all(t.is_floating_point() for t in state.values())
        save({key: t.contiguous() for key, t in state.items()})  # refuses tensors with two names
        spec = json.loads(json.dumps(network.spec))
        with torch.device("meta"):
            empty = create_network(spec["name"], **spec["args"])
        empty.load_state_dict(dict(state), assign=True)
        assert torch.equal(empty.eval()(x), logits)
        assert torch.equal(copy.deepcopy(network)(x), logits)
        with pytest.raises(RuntimeError, match="Missing key"):
            network.load_state_dict(dict(list(state.items())[1:]))


@pytest.mark.parametrize("name", ["dynunet", "transbts", "rapnet"])
def test_fusing_drops_the_heads_of_deep_supervision_and_changes_nothing_else(name):
    network, size = make(name), TINY[name][1]
    network.train()(torch.randn(2, 1, *size))  # running statistics that are not those of the start
    fused = fuse_network(network, size)
    assert fusion_error(network, fused, size) == 0
    assert "deep_supervision" not in fused.spec["args"] and side_tensors(network) == {}
    assert not any("deep_supervision_heads" in key for key in fused.state_dict())
    assert fused.state_dict().keys() <= network.state_dict().keys()


@pytest.mark.parametrize("name", ["unetr", "transbts", "unest-b"])
def test_networks_with_learned_positions_take_their_patch_only(name):
    network, size = make(name), TINY[name][1]
    assert network.patch == size and accepted_arguments(name)["patch"] == (96, 96, 96)
    other = [2 * n for n in size]
    with pytest.raises(BadInput, match=f"windows of {size[0]} x {size[1]} x {size[2]}") as caught:
        network(torch.zeros(1, 1, *other))
    assert str(other) in caught.value.hint
    for wrong in ([32, 32], [32, 32, 17], [32, 32, "32"]):
        with pytest.raises(BadInput, match="patch"):
            make(name, patch=wrong)


def test_sizes_and_channels_that_do_not_fit_are_named():
    network = make("dynunet")
    with pytest.raises(BadInput, match=r"\[24, 32, 32\]"):
        network(torch.zeros(1, 1, 24, 32, 32))
    with pytest.raises(BadInput, match=r"\[16, 16, 16\]"):  # its deepest map would be one voxel
        network(torch.zeros(1, 1, 16, 16, 16))
    with pytest.raises(BadInput, match=r"\[B, 1, D, H, W\]"):
        network(torch.zeros(1, 2, 32, 32, 32))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("dynunet", {"deep_supervision": 4}, "0 to 3 levels"),
        ("nnformer", {"deep_supervision": 3}, "0 to 2 levels"),
        ("nnformer", {"heads": [3, 3, 3, 3]}, "do not divide into 3 heads"),
        ("nnformer", {"windows": [4, 4]}, "four stages"),
        ("unest-b", {"channels": [8, 16]}, "3 levels"),
        ("unest-b", {"channels": [8, 16, 24]}, "multiple of 16"),
        ("transbts", {"heads": 3}, "do not divide into 3 heads"),
        ("rapnet", {"deep_supervision": 2}, "0 or 1"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(name, change, message):
    with pytest.raises(BadInput, match=message):
        make(name, **change)


def test_rapnet_needs_a_structure():
    with pytest.raises(BadInput, match="at least one more class"):
        create_network("rapnet", out_channels=1, width=2)


def test_dynunets_blocks_compute_what_monai_does_and_its_checkpoints_load():
    """Checkpoints of before hold each weight under MONAI's two names."""
    from monai.networks.nets import DynUNet

    torch.manual_seed(1)
    monai = DynUNet(3, 1, 3, [3] * 5, [1, 2, 2, 2, 2], [2] * 4, filters=[4, 8, 16, 32, 64], deep_supervision=True)
    network = make("dynunet", deep_supervision=1)
    state = {f"network.{key}": tensor for key, tensor in monai.state_dict().items()}
    assert any(".skip_layers." in key for key in state)
    network.load_state_dict(state)
    x = torch.randn(2, 1, 32, 16, 16)
    with torch.no_grad():
        assert torch.equal(network.eval()(x), monai.eval()(x))
        full, half = network.train()(x)
        both = monai.train()(x)
        assert torch.equal(full, both[:, 0])
        assert torch.equal(torch.nn.functional.interpolate(half, scale_factor=2), both[:, 1])


def test_default_widths_are_near_rep3d_xs_in_parameters():
    def count(name: str) -> int:
        with torch.device("meta"):
            return sum(p.numel() for p in create_network(name, out_channels=6).parameters())

    assert 0.6 < count("segresnet") / count("rep3d-xs") < 1.2
    assert 0.6 < count("dynunet") / count("rep3d-xs") < 1.2


@pytest.mark.parametrize(
    ("name", "base", "args"),
    [
        ("rep3d-csla", "rep3d", {"reparam": "csla"}),
        ("rep3d-repopt", "rep3d", {"reparam": "plain"}),
        ("rep3d-fixed", "rep3d", {"reparam": "fixed"}),
        ("uxnet-k21", "uxnet", {"kernel_size": 21}),
    ],
)
def test_variants_are_their_base_with_other_defaults(name, base, args):
    with torch.device("meta"):
        variant, same = create_network(name, out_channels=3), create_network(base, out_channels=3, **args)
        deployed = create_network(name, out_channels=3, deployed=True)
    assert {k: v.shape for k, v in variant.state_dict().items()} == {k: v.shape for k, v in same.state_dict().items()}
    assert not any("mask" in key or "weight_small" in key for key in deployed.state_dict())
    assert accepted_arguments(name) == {**accepted_arguments(base), **args}
    assert variant.spec == {"name": name, "args": {"out_channels": 3}}
