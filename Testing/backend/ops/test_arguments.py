"""Wrong arguments are refused with an error that names the argument."""

import pytest
import torch
from rep3d.ops import depthwise_conv3d
from rep3d.ops.plan import cropped_kernel, make_plan, next_fast_length, shortest_length

X = torch.randn(1, 2, 4, 5, 6)
W = torch.randn(2, 1, 3, 3, 3)
B = torch.randn(2)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((X.to(torch.complex64), W), TypeError, "x must be float32"),
        ((X, W.to(torch.complex64)), TypeError, "weight must be float32"),
        ((X.long(), W), TypeError, "x must be float32"),
        ((X, W, B.int()), TypeError, "bias must be float32"),
        ((X, W.double()), TypeError, "one type"),
        ((X, W, B.double()), TypeError, "one type"),
        ((X.numpy(), W), TypeError, "x must be a tensor"),
        ((X, None), TypeError, "weight must be a tensor"),
        ((X[0], W), ValueError, "x must have 5 axes"),
        ((X, W[0]), ValueError, "weight must have 5 axes"),
        ((X, W, W), ValueError, "bias must have 1 axes"),
        ((X, torch.randn(2, 2, 3, 3, 3)), ValueError, r"weight must be \[C, 1"),
        ((X, torch.randn(3, 1, 3, 3, 3)), ValueError, "weight has 3 channels, x has 2"),
        ((X, W, torch.randn(3)), ValueError, "bias has 3 channels, x has 2"),
        ((X, torch.randn(2, 1, 3, 4, 3)), ValueError, "odd kernel"),
        ((X, torch.randn(2, 1, 3, 0, 3)), ValueError, "odd kernel"),
        ((torch.randn(0, 2, 4, 4, 4), W), ValueError, "x must not be empty"),
        ((torch.randn(1, 2, 4, 0, 4), W), ValueError, "x must not be empty"),
        ((torch.randn(1, 0, 4, 4, 4), torch.randn(0, 1, 3, 3, 3)), ValueError, "x must not be empty"),
        ((X, W.to("meta")), ValueError, "weight is on meta, x on cpu"),
    ],
)
def test_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        depthwise_conv3d(*arguments)


def test_unknown_algorithm():
    with pytest.raises(ValueError, match="algorithm must be one of auto, direct"):
        depthwise_conv3d(X, W, algorithm="winograd")


def test_meta_tensors_have_shapes_only():
    y = depthwise_conv3d(X.to("meta"), W.to("meta"))
    assert y.shape == X.shape and y.device.type == "meta"


def test_lengths():
    assert cropped_kernel(6, 21) == 11 and cropped_kernel(48, 21) == 21 and cropped_kernel(1, 21) == 1
    assert shortest_length(48, 21) == 58
    assert [next_fast_length(n) for n in (1, 11, 13, 58, 97)] == [1, 12, 14, 60, 98]
    assert next_fast_length(63, even=True) == 64
    plan = make_plan((48, 24, 6), (21, 21, 21), "matmul")
    assert [a.length for a in plan.axes] == [58, 34, 11] and plan.kernel == (21, 21, 11)
