"""Deep supervision: the loss by hand, and a run whose checkpoint is evaluated, fused and continued."""

from __future__ import annotations

import pytest
import torch
from rep3d.errors import BadInput
from rep3d.fuse import fuse_checkpoint
from rep3d.tasks import load_task
from rep3d.training.checkpoint import load_checkpoint, trained_network
from rep3d.training.deep_supervision import label_at, level_weights, supervised
from rep3d.training.optim import make_loss
from rep3d.training.run import run_training

TASK = load_task("msd-hippocampus")


def test_weights_halve_and_add_up_to_one():
    assert level_weights(1) == [1.0]
    assert level_weights(3) == pytest.approx([4 / 7, 2 / 7, 1 / 7])


def test_labels_are_taken_from_the_middle_of_each_cell():
    label = torch.arange(8, dtype=torch.uint8).view(1, 1, 8, 1, 1).expand(1, 1, 8, 8, 8)
    assert label_at(label, (4, 8, 8))[0, 0, :, 0, 0].tolist() == [1, 3, 5, 7]
    assert label_at(label, (2, 4, 2))[0, 0, :, 0, 0].tolist() == [2, 6]
    assert label_at(label, (4, 4, 4)).dtype == torch.uint8


def test_the_loss_is_the_weighted_sum_over_levels():
    torch.manual_seed(0)
    label = torch.randint(0, 3, (2, 1, 8, 8, 8), dtype=torch.uint8)
    logits = [torch.randn(2, 3, n, n, n) for n in (8, 4, 2)]
    loss = make_loss("dice-ce")
    expected = sum(w * loss(y, label_at(label, y.shape[2:])) for w, y in zip((4 / 7, 2 / 7, 1 / 7), logits))
    assert torch.allclose(supervised(loss)(logits, label), expected)
    assert torch.equal(supervised(loss)(logits[0], label), loss(logits[0], label))


def test_a_run_with_deep_supervision(config_of, tiny_data, tmp_path):
    config = config_of(deep_supervision=2, steps=2, ema=0.5)
    run_training(config, TASK, tiny_data, tmp_path)
    best = load_checkpoint(tmp_path / "best.ckpt")
    assert best["network"]["args"]["deep_supervision"] == 2
    assert any("deep_heads.1" in name for name in best["model"])
    network = trained_network(best, tmp_path / "best.ckpt")
    with torch.no_grad():
        assert network(torch.rand(1, 1, 32, 32, 32)).shape == (1, 3, 32, 32, 32)
    tensors, meta, error = fuse_checkpoint(tmp_path / "best.ckpt")
    assert error < 1e-4 and not any("deep_heads" in name for name in tensors)
    assert "deep_supervision" not in meta.network["args"]


def test_networks_without_levels_say_so(config_of, tiny_data, tmp_path):
    with pytest.raises(BadInput, match="takes no argument deep_supervision"):
        config = config_of(network="segresnet", network_args={"in_channels": 1}, deep_supervision=1)
        run_training(config, TASK, tiny_data, tmp_path)
