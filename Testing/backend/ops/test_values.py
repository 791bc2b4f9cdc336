"""Output and both gradients against float64 direct sums, over random shapes, for every algorithm."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rep3d.ops import depthwise_conv3d, products, spectral
from rep3d.ops.oracle import conv3d_reference, gradients_reference

NAMED = ("direct", "fft", "matmul", "hybrid")
BOUND = {torch.float32: 1e-5, torch.float64: 1e-10}
RELAXED = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def relative_error(value, reference):
    return float((value.detach().double() - reference).abs().max() / reference.abs().max().clamp_min(1e-300))


def random_case(shape, kernel, dtype, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
    weight = torch.randn((shape[1], 1, *kernel), generator=generator, dtype=torch.float64).to(dtype)
    bias = torch.randn(shape[1], generator=generator, dtype=torch.float64).to(dtype)
    gy = torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
    return x, weight, bias, gy


def assert_agrees(shape, kernel, dtype, algorithms=NAMED):
    x, weight, bias, gy = random_case(shape, kernel, dtype)
    y_ref = conv3d_reference(x, weight, bias)
    gx_ref, gw_ref = gradients_reference(gy, x, weight)
    for algorithm in algorithms:
        leaves = [t.clone().requires_grad_() for t in (x, weight, bias)]
        y = depthwise_conv3d(*leaves, algorithm=algorithm)
        gx, gw, gb = torch.autograd.grad(y, leaves, gy)
        assert y.dtype == dtype and y.shape == x.shape and gw.shape == weight.shape
        assert relative_error(y, y_ref) <= BOUND[dtype], algorithm
        assert relative_error(gx, gx_ref) <= BOUND[dtype], algorithm
        assert relative_error(gw, gw_ref) <= BOUND[dtype], algorithm
        sums = (
            gy.double().sum((0, 2, 3, 4)),
            gy.double().abs().sum((0, 2, 3, 4)),
        )  # a sum may cancel: compare with sum |g|
        assert bool(((gb - sums[0]).abs() <= BOUND[dtype] * sums[1]).all()), algorithm


odd = st.integers(1, 7).map(lambda i: 2 * i + 1)  # 3 .. 15
large_odd = st.integers(8, 15).map(lambda i: 2 * i + 1)  # 17 .. 31
size = st.integers(1, 19)


@RELAXED
@given(st.integers(1, 3), st.integers(1, 3), st.tuples(size, size, size), st.tuples(odd, odd, odd))
def test_random_shapes_float32(batch, channels, spatial, kernel):
    assert_agrees((batch, channels, *spatial), kernel, torch.float32)


@RELAXED
@given(st.integers(1, 2), st.tuples(size, size, size), st.tuples(odd, odd, odd))
def test_random_shapes_float64(batch, spatial, kernel):
    assert_agrees((batch, 2, *spatial), kernel, torch.float64)


@RELAXED
@given(st.permutations((0, 1, 2)), large_odd, odd, st.tuples(size, size, size))
def test_one_or_two_axes_with_a_large_kernel(order, large, small, spatial):
    kernel = [(large, small, 1)[i] for i in order]
    assert_agrees((2, 1, *spatial), kernel, torch.float32)


@pytest.mark.parametrize(
    ("shape", "kernel"),
    [
        ((1, 2, 7, 5, 11), (21, 21, 21)),  # primes, all smaller than the kernel
        ((2, 1, 4, 4, 4), (31, 31, 31)),
        ((1, 1, 1, 1, 1), (21, 21, 21)),
        ((1, 1, 13, 1, 17), (21, 3, 31)),
        ((1, 17, 6, 6, 6), (7, 7, 7)),  # more channels than one block of 16
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_chosen_shapes(shape, kernel, dtype):
    assert_agrees(shape, kernel, dtype)


@pytest.mark.parametrize("algorithm", ("fft", "matmul", "hybrid"))
def test_stage_sized_maps_agree_with_conv3d_in_float64(algorithm):
    """24^3 with 21^3 taps: the size at which rounding of long sums shows. Gradients by conv3d of swapped roles."""
    x, weight, _, gy = random_case((1, 1, 24, 24, 24), (21, 21, 21), torch.float32)
    y = F.conv3d(x.double(), weight.double(), padding=10)
    gx = F.conv3d(gy.double(), weight.double().flip((2, 3, 4)), padding=10)
    gw = F.conv3d(x.double(), gy.double(), padding=10)
    leaves = [x.requires_grad_(), weight.requires_grad_()]
    out = depthwise_conv3d(*leaves, algorithm=algorithm)
    grads = torch.autograd.grad(out, leaves, gy)
    assert relative_error(out, y) <= 1e-5
    assert relative_error(grads[0], gx) <= 1e-5
    assert relative_error(grads[1], gw) <= 1e-5


def test_the_oracle_agrees_with_autograd_of_conv3d():
    x, weight, bias, gy = (t.requires_grad_() for t in random_case((2, 3, 5, 4, 6), (3, 5, 7), torch.float64))
    y = F.conv3d(x, weight, bias, padding=(1, 2, 3), groups=3)
    gx, gw = torch.autograd.grad(y, (x, weight), gy)
    assert relative_error(conv3d_reference(x, weight, bias), y.detach()) < 1e-13
    for mine, theirs in zip(gradients_reference(gy, x, weight), (gx, gw)):
        assert relative_error(mine, theirs) < 1e-13


@pytest.mark.parametrize("algorithm", ("fft", "matmul", "hybrid"))
@pytest.mark.parametrize("block", (1, 20_000, 10**9))
def test_block_size_does_not_matter(algorithm, block, monkeypatch):
    """Blocks smaller than the batch, of several channels that do not divide C, and of everything."""
    monkeypatch.setitem(spectral.BLOCK_BYTES, "cpu", block)
    assert_agrees((3, 5, 6, 7, 8), (5, 3, 7), torch.float32, (algorithm,))


@pytest.mark.parametrize("algorithm", NAMED)
@pytest.mark.parametrize("kernel", [(9, 9, 9), (3, 3, 3)])
def test_taps_that_cannot_meet_data_have_exactly_zero_gradient(algorithm, kernel):
    x, weight, _, gy = random_case((1, 2, 3, 2, 4), kernel, torch.float32)
    weight.requires_grad_()
    (gw,) = torch.autograd.grad(depthwise_conv3d(x, weight, algorithm=algorithm), weight, gy)
    p = (kernel[0] - 1) // 2
    distance = (torch.arange(kernel[0]) - p).abs()
    dead = (distance >= 3)[:, None, None] | (distance >= 2)[None, :, None] | (distance >= 4)[None, None, :]
    assert bool((gw[:, 0][:, dead] == 0).all())
    assert bool((gw[:, 0][:, ~dead] != 0).all())


@pytest.mark.parametrize("algorithm", NAMED)
def test_layout_of_the_arguments_does_not_matter(algorithm):
    x, weight, bias, gy = random_case((2, 4, 6, 5, 7), (5, 3, 7), torch.float32)
    expected = conv3d_reference(x, weight, bias)
    for variant in (
        x.to(memory_format=torch.channels_last_3d),
        x.transpose(2, 4).contiguous().transpose(2, 4),
        torch.stack((x, x), -1)[..., 0],
    ):
        strided = torch.stack((weight, weight), -1)[..., 0].requires_grad_()
        leaf = variant.detach().requires_grad_()
        y = depthwise_conv3d(leaf, strided, bias, algorithm=algorithm)
        assert y.is_contiguous() and relative_error(y, expected) <= 1e-5
        gx_ref, gw_ref = gradients_reference(gy, x, weight)
        gx, gw = torch.autograd.grad(y, (leaf, strided), gy.to(memory_format=torch.channels_last_3d))
        assert relative_error(gx, gx_ref) <= 1e-5 and relative_error(gw, gw_ref) <= 1e-5


@pytest.mark.parametrize("algorithm", NAMED)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_types_are_computed_in_float32_and_rounded_once(algorithm, dtype):
    x, weight, bias, gy = random_case((2, 2, 6, 5, 7), (5, 7, 3), dtype)
    leaves = [t.requires_grad_() for t in (x, weight, bias)]
    y = depthwise_conv3d(*leaves, algorithm=algorithm)
    grads = torch.autograd.grad(y, leaves, gy)
    rounding = torch.finfo(dtype).eps / 2 + 1e-5
    references = (conv3d_reference(x, weight, bias), *gradients_reference(gy, x, weight))
    for value, reference in zip((y, *grads[:2]), references):
        assert value.dtype == dtype
        assert relative_error(value, reference) <= rounding
    assert grads[2].dtype == dtype


@pytest.mark.parametrize("algorithm", NAMED)
def test_a_constant_field_counts_the_taps(algorithm):
    """All ones with all-one taps: each output is the number of taps inside, an integer known by hand."""
    y = depthwise_conv3d(torch.ones(1, 1, 4, 5, 6), torch.ones(1, 1, 3, 5, 21), algorithm=algorithm)
    lines = [[min(i + p, n - 1) - max(i - p, 0) + 1 for i in range(n)] for n, p in ((4, 1), (5, 2), (6, 10))]
    expected = torch.einsum("i,j,k->ijk", *(torch.tensor(line, dtype=torch.float32) for line in lines))
    assert torch.allclose(y[0, 0], expected, rtol=1e-5)
    assert math.isclose(float(y[0, 0, 0, 0, 0]), 2 * 3 * 6, rel_tol=1e-5)


@pytest.mark.parametrize("algorithm", ("matmul", "hybrid"))
def test_products_without_onednn(algorithm, monkeypatch):
    """Where PyTorch has no oneDNN, its own matrix product gives the same values."""
    monkeypatch.setattr(products, "onednn_linear", lambda: None)
    assert_agrees((2, 3, 6, 7, 8), (5, 3, 7), torch.float32, (algorithm,))
    rows, matrix = torch.randn(5, 3), torch.randn(4, 3)
    assert torch.equal(products.product(rows, matrix), rows @ matrix.T)
