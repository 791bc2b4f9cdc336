"""``--compile``: the network through torch.compile, or a clear reason why not."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys

import torch
from torch import nn

from rep3d.errors import BadInput


def compiled(network: nn.Module) -> nn.Module:
    """``network`` compiled at its first call; it stays the same module for weights and checkpoints.

    Raises BadInput where torch.compile cannot work: without a C++ compiler on a CPU, without Triton on a GPU.
    """
    kind = next(network.parameters()).device.type
    if kind == "cpu" and not _cpp_compiler():
        raise BadInput("--compile needs a C++ compiler", "install g++ or clang++ (or set CXX), or leave --compile out")
    if kind == "cuda" and not _has_triton():
        raise BadInput("--compile needs Triton for this GPU", "install it, or leave --compile out")
    if kind == "mps":
        raise BadInput("--compile is not for --device mps", "leave it out")
    return torch.compile(network)


def _cpp_compiler() -> bool:
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "clang++"]
    return any(shutil.which(name) for name in [*names, *(["cl"] if sys.platform == "win32" else [])])


def _has_triton() -> bool:
    return importlib.util.find_spec("triton") is not None
