"""Activation checkpointing: keep the input of a block only, and compute the block again in the backward pass.

The gradients are the same bits. What a block does besides computing is done once: dropout draws the same numbers again
(torch restores its generator), and norm statistics are not moved a second time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils.checkpoint import checkpoint

from rep3d.networks.decoder import UnetrDecoder
from rep3d.networks.encoder import StagedEncoder

#: Modules that are only an order of other modules: one looks inside them for blocks.
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict, StagedEncoder, UnetrDecoder)


def blocks(network: nn.Module) -> list[nn.Module]:
    """The modules whose activations are computed again: the outermost ones that do more than call others in order."""
    while len(children := list(network.children())) == 1:  # a wrapper around another package's network
        network = children[0]
    return _blocks(network)


def _blocks(module: nn.Module) -> list[nn.Module]:
    found = []
    for child in module.children():
        if not any(True for _ in child.children()):
            continue  # a single layer keeps its input anyway
        simple = isinstance(child, nn.Sequential) and not any(True for g in child.children() for _ in g.children())
        if isinstance(child, CONTAINERS) and not simple:  # a plain chain of layers is a block
            found += _blocks(child)
        else:
            found.append(child)
    return found


def checkpoint_activations(network: nn.Module) -> list[nn.Module]:
    """Let the blocks of ``network`` keep only their inputs while it trains; returns them. Names and weights stay."""
    found = blocks(network)
    for block in found:
        _wrap(block)
    return found


def _wrap(block: nn.Module) -> None:
    plain = block.forward

    def contexts() -> tuple[contextlib.AbstractContextManager, contextlib.AbstractContextManager]:
        return contextlib.nullcontext(), _statistics_stay(block)

    def forward(*inputs, **named):
        if not (block.training and torch.is_grad_enabled()):
            return plain(*inputs, **named)
        return checkpoint(plain, *inputs, use_reentrant=False, context_fn=contexts, **named)

    block.forward = forward


@contextlib.contextmanager
def _statistics_stay(block: nn.Module) -> Iterator[None]:
    """Inside the block the running statistics are copies, thrown away at its end."""
    norms = [(m, dict(m._buffers)) for m in block.modules() if isinstance(m, _NormBase)]
    for norm, buffers in norms:
        norm._buffers.update({k: None if b is None else b.clone() for k, b in buffers.items()})
    try:
        yield
    finally:
        for norm, buffers in norms:
            norm._buffers.update(buffers)
