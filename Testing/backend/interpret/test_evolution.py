"""Evolution over checkpoints, and the learning-rate fields of theory against optimisers that really step."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from rep3d.errors import BadInput
from rep3d.interpret.evolution import evolution_rows, load_evolution, motion, path_motion
from rep3d.interpret.kernels import initial_kernels, kernels_from_network
from rep3d.layers import CSLAConv3d
from rep3d.layers.rate_field import branch_rate_field, mask_rate_field
from rep3d.networks import create_network
from rep3d.training.checkpoint import load_checkpoint

OPTIMIZERS = {
    "sgd": lambda groups: torch.optim.SGD(groups, lr=1.0),
    "adam": lambda groups: torch.optim.Adam(groups, lr=1.0, eps=1e-30),
}


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_one_step_moves_the_masked_kernel_by_the_field(name):
    generator = torch.Generator().manual_seed(0)
    mask = torch.randn(5, 5, 5, generator=generator, dtype=torch.float64)
    weight = torch.randn(5, 5, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    target = torch.randn(5, 5, 5, generator=generator, dtype=torch.float64)
    effective = weight * mask
    effective.retain_grad()
    ((effective - target) ** 2).sum().backward()
    direction = effective.grad if name == "sgd" else effective.grad.sign()
    before = effective.detach().clone()
    OPTIMIZERS[name]([weight]).step()
    change = (before - (weight * mask).detach()).numpy()
    assert np.allclose(change, mask_rate_field(mask.numpy(), name) * direction.numpy(), atol=1e-9)


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_one_step_moves_the_merged_branches_by_the_field(name):
    torch.manual_seed(0)
    conv = CSLAConv3d(1, 5, 3, large_scale=0.7, small_scale=-1.3).double()
    target = torch.randn(1, 1, 5, 5, 5, dtype=torch.float64)
    merged = conv.effective_weight()
    merged.retain_grad()
    ((merged - target) ** 2).sum().backward()
    direction = merged.grad if name == "sgd" else merged.grad.sign()
    groups = [{"params": [conv.weight_large], "lr": 0.02}, {"params": [conv.weight_small], "lr": 0.05}]
    optimizer = OPTIMIZERS[name](groups)
    before = merged.detach().clone()
    optimizer.step()
    field = branch_rate_field(
        (5, 5, 5), (3, 3, 3), large_rate=0.02, small_rate=0.05, optimizer=name, large_scale=0.7, small_scale=-1.3
    )
    change = (before - conv.effective_weight().detach())[0, 0].numpy()
    assert np.allclose(change, field * direction[0, 0].numpy(), atol=1e-9)


def test_unknown_optimisers_have_no_field():
    with pytest.raises(ValueError, match="lion"):
        mask_rate_field(np.ones((3, 3, 3)), "lion")
    with pytest.raises(ValueError, match="lion"):
        branch_rate_field((3, 3, 3), (1, 1, 1), large_rate=1, small_rate=1, optimizer="lion")


@pytest.fixture
def run(tmp_path, checkpoint):
    """A checkpoint that says its seed, and one of a later step in which W moved by what Adam would."""
    content = load_checkpoint(checkpoint)
    content["config"] |= {"seed": 11, "optimizer": "adamw"}
    first = tmp_path / "step-0000007.ckpt"
    torch.save(content, first)
    later = {k: v.clone() for k, v in content["model"].items()}
    generator = torch.Generator().manual_seed(5)
    for name, tensor in later.items():
        if name.endswith("conv.weight") and ".stages." in name:
            tensor += 0.01 * torch.randn(tensor.shape, generator=generator).sign()
    second = tmp_path / "step-0000020.ckpt"
    torch.save(content | {"model": later, "step": 20}, second)
    return first, second


def test_step_0_is_rebuilt_from_the_seed(run):
    state = torch.get_rng_state()
    initial_kernels(run[0])
    assert torch.equal(state, torch.get_rng_state())
    series = load_evolution([run[0]])
    assert [k.step for k in series] == [0, 7] and series[0].origin["rebuilt_from_seed"] == 11
    torch.manual_seed(11)
    fresh = kernels_from_network(create_network("rep3d-tiny", in_channels=1, out_channels=3), (32, 48, 32))
    assert np.array_equal(series[0].blocks[3].weight_CKKK, fresh[3].weight_CKKK)
    torch.set_rng_state(state)


def test_equal_steps_of_w_are_seen_as_the_predicted_field(run):
    series = load_evolution(reversed(run), from_start=False)
    assert [k.step for k in series] == [7, 20]
    change = motion(series[0].blocks[0], series[1].blocks[0], "adamw")
    assert np.allclose(change.measured, 0.01 * change.predicted, rtol=1e-3, atol=1e-7)
    assert change.correlation == pytest.approx(1, abs=1e-4)
    rows = evolution_rows(series)
    assert len(rows) == 16 and "motion_rms" not in rows[0]
    assert rows[8]["motion_predicted_correlation"] == pytest.approx(1, abs=1e-4)
    assert motion(series[0].blocks[0], series[1].blocks[0], "sgd").correlation < 0.99
    there_and_back = path_motion([series[0], series[1], series[0]], 0)
    assert np.allclose(there_and_back.measured, 2 * change.measured)


def test_what_is_no_evolution_is_refused(run, checkpoint, weights_file, tmp_path):
    with pytest.raises(BadInput, match="deployed file"):
        load_evolution([checkpoint, weights_file])
    with pytest.raises(BadInput, match="both of step 7"):
        load_evolution([run[0], checkpoint])
    with pytest.raises(BadInput, match="one checkpoint"):
        load_evolution([run[0]], from_start=False)
    with pytest.raises(BadInput, match="needs two"):
        load_evolution([checkpoint])  # says no seed, so step 0 cannot be rebuilt
    other = create_network("rep3d-tiny", in_channels=1, out_channels=3, reparam="fixed")
    path = tmp_path / "other.ckpt"
    content = load_checkpoint(run[1]) | {"model": other.state_dict(), "ema": {}, "network": other.spec, "step": 30}
    torch.save(content, path)
    with pytest.raises(BadInput, match="different runs"):
        load_evolution([run[0], path])
