"""Rep3D and 3D UX-Net: sizes against the paper, gradients, stability, registry."""

import json

import pytest
import torch
from rep3d.errors import BadInput
from rep3d.networks import create_network, list_networks
from rep3d.networks.complexity import complexity

PATCH = (96, 96, 96)


@pytest.mark.parametrize(
    ("name", "args", "millions", "tolerance", "multiply_adds"),
    [
        ("rep3d", {"reparam": "fixed"}, 65.8, 0.05, 757.4e9),
        ("rep3d", {"reparam": "lrbm"}, 66.0, 0.15, 757.6e9),
        ("uxnet", {}, 53.0, 0.05, 639.4e9),
    ],
)
def test_size_and_cost_are_those_of_the_paper(name, args, millions, tolerance, multiply_adds):
    with torch.device("meta"):
        network = create_network(name, in_channels=1, out_channels=16, **args)
    count = complexity(network, 1, PATCH)
    assert abs(count.parameters / 1e6 - millions) <= tolerance
    assert abs(count.multiply_adds_paper / multiply_adds - 1) <= 0.03


def test_transposed_convolutions_explain_the_difference_between_the_two_counts():
    with torch.device("meta"):
        count = complexity(create_network("rep3d", out_channels=16), 1, PATCH)
    widths, hidden = (48, 96, 192, 384), 768
    pairs = zip((hidden, 384, 192, 96), reversed(widths), (12, 24, 48, 96))
    extra = sum(a * b * 8 * (n**3 - (n // 2) ** 3) for a, b, n in pairs)
    assert count.multiply_adds_paper - count.multiply_adds == extra


@pytest.mark.parametrize("norm", ["batch", "batch-first", "layer"])
def test_gradients_reach_every_parameter(norm):
    torch.manual_seed(0)
    network = create_network("rep3d-tiny", out_channels=3, norm=norm)
    network(torch.randn(2, 1, 32, 32, 32)).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name
    generator = [n for n, _ in network.named_parameters() if "stages.0.0.conv.mask" in n]
    assert len([n for n in generator if "conv_weights" in n]) == 2
    assert len([n for n in generator if "norms" in n and n.endswith("weight")]) == 2
    assert any(n.endswith("prior.exponent") for n in generator)


def test_lrbm_plugs_into_ux_net_with_kernel_7_and_21():
    for kernel in (7, 21):
        torch.manual_seed(0)
        network = create_network("uxnet-tiny", reparam="lrbm", kernel_size=kernel)
        network(torch.randn(1, 1, 32, 32, 32)).square().mean().backward()
        mask = network.encoder.stages[0][0].conv.mask
        assert network.encoder.stages[0][0].conv.weight.shape[-1] == kernel
        assert mask.prior.exponent.grad is not None


def test_training_then_evaluation_of_the_same_input_is_stable():
    torch.manual_seed(0)
    network = create_network("rep3d-tiny", out_channels=2)
    x = torch.randn(2, 1, 32, 32, 32)
    with torch.no_grad():
        for _ in range(50):  # running statistics converge to those of this batch
            trained = network.train()(x)
        evaluated = network.eval()(x)
        again = network(x)
    assert torch.equal(evaluated, again)
    # Stages hold as few as 2^3 voxels, so the unbiased running variance differs a little from the batch's own.
    assert (trained - evaluated).abs().max() / trained.abs().max() < 0.2
    assert torch.corrcoef(torch.stack([trained.flatten(), evaluated.flatten()]))[0, 1] > 0.99


def test_spec_rebuilds_the_network():
    network = create_network("rep3d-tiny", out_channels=4, lrbm={"depth": 3, "kernel": 5})
    spec = json.loads(json.dumps(network.spec))
    twin = create_network(spec["name"], **spec["args"])
    twin.load_state_dict(network.state_dict())
    x = torch.randn(1, 1, 32, 48, 32)
    with torch.no_grad():
        assert torch.equal(network.eval()(x), twin.eval()(x))


def test_clear_errors_for_wrong_input_and_names():
    network = create_network("rep3d-tiny")
    with pytest.raises(BadInput, match=r"\[40, 32, 32\]"):
        network(torch.zeros(1, 1, 40, 32, 32))
    with pytest.raises(BadInput, match="16, 32, 32"):
        network(torch.zeros(1, 1, 16, 32, 32))
    with pytest.raises(BadInput, match=r"\[B, 1, D, H, W\]"):
        network(torch.zeros(1, 2, 32, 32, 32))
    with pytest.raises(BadInput, match="unknown network 'unet'"):
        create_network("unet")
    with pytest.raises(BadInput, match="no argument width"):
        create_network("rep3d", width=3)
    assert {"rep3d", "rep3d-s", "rep3d-xs", "uxnet"} <= set(list_networks())


def test_a_csla_network_costs_as_much_as_its_merge_and_has_no_masks():
    from rep3d.fuse import block_masks, side_tensors
    from rep3d.interpret.masks import masks_from_network
    from rep3d.interpret.theory import theoretical_field

    two = create_network("rep3d-tiny", out_channels=3, reparam="csla", csla={"small_kernel_size": 5})
    one = create_network("rep3d-tiny", out_channels=3, reparam="plain")
    cost, merged = (complexity(network, 1, (32, 32, 32)) for network in (two, one))
    assert cost.multiply_adds == merged.multiply_adds
    assert cost.parameters - merged.parameters == 2 * 5**3 * (4 + 8 + 8 + 8)
    assert block_masks(two) == {} and side_tensors(two) == {} and masks_from_network(two) == []
    assert theoretical_field(two, (32, 32, 32)) == theoretical_field(one, (32, 32, 32))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"reparam": "csla", "csla": {"small": 3}}, "no setting small"),
        ({"reparam": "csla", "csla": {"small_scale": "much"}}, "small_scale"),
        ({"reparam": "csla", "kernel_size": 1}, "does not fit"),
        ({"reparam": "lrbm", "csla": {"small_kernel_size": 3}}, "applies to reparam='csla' only"),
        ({"reparam": "cslaa"}, "'cslaa'"),
        ({"deep_supervision": 4}, "0 to 3"),
    ],
)
def test_settings_of_branches_and_levels_are_checked(args, message):
    with pytest.raises(BadInput, match=message):
        create_network("rep3d-tiny", **args)


@pytest.mark.parametrize("name", ["rep3d-tiny", "uxnet-tiny"])
def test_deep_supervision_adds_logits_in_training_only_and_leaves_the_other_weights_alone(name):
    torch.manual_seed(0)
    plain = create_network(name, out_channels=3)
    torch.manual_seed(0)
    deep = create_network(name, out_channels=3, deep_supervision=2)
    own = plain.state_dict()
    assert all(torch.equal(tensor, deep.state_dict()[key]) for key, tensor in own.items())
    assert len(deep.state_dict()) == len(own) + 4  # a weight and a bias a level
    x = torch.randn(1, 1, 32, 48, 32)
    outputs = deep.train()(x)
    assert [tuple(y.shape) for y in outputs] == [(1, 3, 32, 48, 32), (1, 3, 16, 24, 16), (1, 3, 8, 12, 8)]
    sum(y.square().mean() for y in outputs).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in deep.decoder.deep_heads.parameters())
    with torch.no_grad():
        plain.load_state_dict({key: tensor for key, tensor in deep.state_dict().items() if key in own})
        assert torch.equal(deep.eval()(x), plain.eval()(x))
