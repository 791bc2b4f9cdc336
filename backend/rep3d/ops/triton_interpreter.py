"""Triton's interpreter with the rounding of a GPU, for tests (``TRITON_INTERPRET=1``).

As shipped, the interpreter multiplies the bit patterns of bfloat16 numbers, cuts off where a conversion to bfloat16
should round, and computes TF32 products exactly. Results would be wrong, or better than a GPU's.
"""

from __future__ import annotations

import numpy as np


def _rounded(values: np.ndarray, bits: int) -> np.ndarray:
    """float32 values without their last ``bits`` bits, to nearest, ties to even."""
    raw = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    nearest = raw + np.uint32((1 << (bits - 1)) - 1) + ((raw >> np.uint32(bits)) & np.uint32(1))
    return np.where(np.isfinite(values), (nearest & np.uint32(0xFFFFFFFF ^ ((1 << bits) - 1))).view(np.float32), values)


def round_as_gpus_do() -> None:
    """Correct the interpreter of this process: products of bfloat16 and TF32, conversion to bfloat16."""
    import triton.language as tl
    from triton._C.libtriton import ir
    from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

    plain_cast = InterpreterBuilder.cast_impl

    def cast_impl(self, source, target):
        if target.scalar == tl.bfloat16 and source.dtype.scalar == tl.float32:
            high = _rounded(source.data, 16).view(np.uint32) >> np.uint32(16)
            return TensorHandle(high.astype(np.uint16), tl.bfloat16)
        return plain_cast(self, source, target)

    def create_dot(self, a, b, total, precision, imprecise):
        x, y = _values(a), _values(b)
        if precision == ir.INPUT_PRECISION.IEEE or a.dtype.scalar != tl.float32:
            product = x @ y
        else:
            x_high, y_high = _rounded(x, 13), _rounded(y, 13)
            product = x_high @ y_high
            if precision == ir.INPUT_PRECISION.TF32x3:  # the remainders' own product is left out there too
                product += _rounded(x - x_high, 13) @ y_high + x_high @ _rounded(y - y_high, 13)
        return TensorHandle(product + total.data, total.dtype.scalar)

    def _values(operand):
        if operand.dtype.scalar == tl.bfloat16:
            return (operand.data.astype(np.uint32) << np.uint32(16)).view(np.float32)
        return operand.data

    InterpreterBuilder.cast_impl = cast_impl
    InterpreterBuilder.create_dot = create_dot
