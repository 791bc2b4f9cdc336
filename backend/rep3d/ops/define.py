"""Define a ``torch.library`` operator whose first call imports nothing.

``torch.library.custom_op`` hides its function from torch.compile, and for that imports the whole compiler at the first
call: seconds, also in a process that never compiles. Here the function is hidden only once a compiler is there.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable

import torch


def define_operator(name: str) -> Callable[[Callable], torch._ops.OpOverload]:
    """Decorator: the operator ``name`` ("library::operator") that runs the decorated function on every device.

    The function is annotated, changes none of its inputs and returns new tensors. Give the operator its shapes and its
    gradient with ``torch.library.register_fake`` and ``register_autograd``.
    """

    def define(function: Callable) -> torch._ops.OpOverload:
        schema = torch.library.infer_schema(function, mutates_args=())
        torch.library.define(name, schema, tags=(torch.Tag.pt2_compliant_tag,))
        torch.library.impl(name, "default", hidden_from_compiler(function))
        library, operator = name.split("::")
        return getattr(getattr(torch.ops, library), operator).default

    return define


def hidden_from_compiler(function: Callable) -> Callable:
    """The function, which torch.compile takes as a whole; the same as ``torch.compiler.disable``, but lazily."""
    hidden: list[Callable] = []

    @functools.wraps(function)
    def run(*args, **kwargs):
        if not hidden and "torch._dynamo" in sys.modules:
            hidden.append(torch.compiler.disable(function))
        return (hidden[0] if hidden else function)(*args, **kwargs)

    return run
