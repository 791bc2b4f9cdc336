"""The decoder's blocks against MONAI's of the same purpose: weights of a seed, names, values, gradients, bit by bit."""

from __future__ import annotations

import pytest
import torch
from monai.networks.blocks import UnetOutBlock, UnetrBasicBlock, UnetrUpBlock
from rep3d.networks.blocks import Head, SkipBlock, UpBlock

COMMON = {"kernel_size": 3, "norm_name": "instance", "res_block": True}


@pytest.mark.parametrize(
    ("ours", "theirs", "shapes"),
    [
        (lambda: SkipBlock(2, 5), lambda: UnetrBasicBlock(3, 2, 5, stride=1, **COMMON), [(2, 2, 4, 6, 5)]),
        (lambda: SkipBlock(4, 4), lambda: UnetrBasicBlock(3, 4, 4, stride=1, **COMMON), [(2, 4, 4, 6, 5)]),
        (
            lambda: UpBlock(6, 3),
            lambda: UnetrUpBlock(3, 6, 3, upsample_kernel_size=2, **COMMON),
            [(1, 6, 2, 3, 4), (1, 3, 4, 6, 8)],
        ),
        (lambda: Head(4, 3), lambda: UnetOutBlock(3, 4, 3), [(2, 4, 3, 3, 3)]),
    ],
    ids=["wider", "same width", "up", "head"],
)
def test_blocks_are_those_of_monai(ours, theirs, shapes):
    blocks = []
    for build in (ours, theirs):
        torch.manual_seed(1)
        blocks.append(build())
    mine, reference = (dict(block.named_parameters()) for block in blocks)
    assert list(mine) == list(reference) == list(blocks[0].state_dict())
    assert all(torch.equal(mine[name], reference[name]) for name in mine)
    torch.manual_seed(2)
    inputs = [torch.randn(shape) for shape in shapes]
    results = []
    for block in blocks:
        leaves = [x.clone().requires_grad_() for x in inputs]
        y = block(*leaves)
        results.append((y, *torch.autograd.grad(y.square().sum(), [*leaves, *block.parameters()])))
    assert all(torch.equal(a, b) for a, b in zip(*results))
