"""First and second derivatives, which gradients are computed, autocast, torch.compile, export and operator checks."""

import pytest
import torch
import torch.nn.functional as F
from rep3d.ops import depthwise_conv3d, transforms
from rep3d.ops.registration import backward_op, conv_op

NAMED = ("direct", "fft", "matmul", "hybrid")


def leaves(dtype=torch.float64, shape=(2, 2, 3, 2, 4), kernel=(3, 5, 3)):
    x = torch.randn(shape, dtype=dtype, requires_grad=True)
    weight = torch.randn((shape[1], 1, *kernel), dtype=dtype, requires_grad=True)
    bias = torch.randn(shape[1], dtype=dtype, requires_grad=True)
    return x, weight, bias


@pytest.mark.parametrize("algorithm", NAMED)
def test_gradcheck_and_gradgradcheck(algorithm):
    def function(*args):
        return depthwise_conv3d(*args, algorithm=algorithm)

    assert torch.autograd.gradcheck(function, leaves())
    assert torch.autograd.gradgradcheck(function, leaves(), gen_non_contig_grad_outputs=True)


@pytest.mark.parametrize(
    "needs", [(True, False, False), (False, True, False), (False, False, True), (True, False, True)]
)
def test_second_derivatives_when_some_arguments_are_constant(needs):
    args = [t.detach().requires_grad_(need) for t, need in zip(leaves(), needs)]
    assert torch.autograd.gradcheck(lambda *a: depthwise_conv3d(*a, algorithm="matmul"), args)
    assert torch.autograd.gradgradcheck(lambda *a: depthwise_conv3d(*a, algorithm="matmul"), args)


def test_third_derivative():
    x, weight, _ = leaves()
    y = (depthwise_conv3d(x, weight, algorithm="fft") ** 4).sum()
    z = (F.conv3d(x, weight, padding=(1, 2, 1), groups=2) ** 4).sum()
    for _ in range(3):
        (y,) = torch.autograd.grad(y.sum(), weight, create_graph=True)
        (z,) = torch.autograd.grad(z.sum(), weight, create_graph=True)
    assert torch.allclose(y, z, rtol=1e-8)


@pytest.mark.parametrize("need_x", [True, False])
@pytest.mark.parametrize("need_weight", [True, False])
def test_only_the_needed_gradients_are_returned(need_x, need_weight):
    x, weight, _ = (t.detach() for t in leaves())
    gx, gw = backward_op(torch.ones_like(x), x, weight, "fft", need_x, need_weight, False)
    assert gx.shape == (x.shape if need_x else (0,))
    assert gw.shape == (weight.shape if need_weight else (0,))


@pytest.mark.parametrize("algorithm", NAMED)
def test_autocast_gives_the_type_of_conv3d_and_the_precision_of_float32(algorithm):
    x, weight, bias = leaves(torch.float32, (1, 2, 6, 6, 6), (5, 5, 5))
    exact = F.conv3d(x, weight, bias, padding=2, groups=2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = depthwise_conv3d(x, weight, bias, algorithm=algorithm)
        assert y.dtype == F.conv3d(x, weight, bias, padding=2, groups=2).dtype == torch.bfloat16
        gy = torch.randn_like(y)
        inside = torch.autograd.grad(y, (x, weight, bias), gy, retain_graph=True)
    outside = torch.autograd.grad(y, (x, weight, bias), gy)
    expected = torch.autograd.grad(exact, (x, weight, bias), gy.float())
    assert torch.equal(y, exact.to(torch.bfloat16)) or (y - exact).abs().max() <= exact.abs().max() * 2**-8
    for grads in (inside, outside):
        for mine, theirs in zip(grads, expected):
            assert mine.dtype == torch.float32
            assert (mine - theirs).abs().max() <= 1e-5 * theirs.abs().max()


def test_autocast_accepts_mixed_types_and_leaves_float64_alone():
    x, weight, _ = leaves(torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = depthwise_conv3d(x.bfloat16(), weight, algorithm="fft")
        assert y.dtype == torch.bfloat16
        gx, gw = torch.autograd.grad(y.float().sum(), (x, weight))
        assert gx.dtype == gw.dtype == torch.float32
        assert depthwise_conv3d(x.double(), weight.double(), algorithm="fft").dtype == torch.float64


def test_inner_matrix_products_are_not_autocast():
    """The operator itself, called under autocast, must compute in float32."""
    x, weight, _ = (t.detach() for t in leaves(torch.float32, (1, 2, 6, 6, 6), (5, 5, 5)))
    exact = F.conv3d(x, weight, padding=2, groups=2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = conv_op(x, weight, None, "matmul", torch.float32, False)
    assert (y - exact).abs().max() <= 1e-5 * exact.abs().max()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("algorithm", ["direct", "hybrid"])
def test_opcheck(dtype, algorithm):
    x, weight, bias = leaves(dtype)
    torch.library.opcheck(conv_op, (x, weight, bias, algorithm, dtype, False))
    torch.library.opcheck(conv_op, (x.detach(), weight.detach(), None, algorithm, torch.bfloat16, True))
    gy = torch.randn_like(x).requires_grad_()
    for need in ((True, True), (True, False), (False, True)):
        torch.library.opcheck(backward_op, (gy, x, weight, algorithm, *need, False))


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(2, 1, 5, 3, 7))
        self.bias = torch.nn.Parameter(torch.randn(2))

    def forward(self, x):
        return F.gelu(depthwise_conv3d(x, self.weight, self.bias))


def test_compile_whole_graph_forward_and_backward():
    torch.compiler.reset()
    block = Block()
    compiled = torch.compile(block, fullgraph=True, backend="aot_eager")
    for size in (4, 6):  # a second size may make shapes symbolic
        x = torch.randn(1, 2, size, 5, size)
        results = []
        for module in (block, compiled):
            leaf = x.clone().requires_grad_()
            y = module(leaf)
            results.append((y, *torch.autograd.grad(y.square().sum(), (leaf, block.weight, block.bias))))
        for eager, graph in zip(*results):
            assert torch.allclose(eager, graph, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("algorithm", NAMED)
def test_the_first_call_of_a_process_may_be_a_compiled_one(algorithm):
    """The transforms' matrices are made at the first call and kept: in a compiled program they must be the same."""
    torch.compiler.reset()
    for made_once in (transforms._complex_matrix, transforms._real_matrix):
        made_once.cache_clear()
    x, weight, bias = leaves(torch.float32, (2, 3, 6, 5, 9), (7, 5, 3))
    results = []

    def ours(*tensors):
        return depthwise_conv3d(*tensors, algorithm=algorithm)

    def theirs(*tensors):
        return F.conv3d(*tensors, padding=(3, 2, 1), groups=3)

    for convolution in (torch.compile(ours, fullgraph=True, backend="aot_eager"), theirs):
        y = convolution(x, weight, bias)
        results.append((y, *torch.autograd.grad(y.square().sum(), (x, weight, bias))))
    for compiled, reference in zip(*results):
        assert torch.linalg.norm(compiled - reference) < 1e-5 * torch.linalg.norm(reference)


def test_export_keeps_the_operator():
    block = Block().eval()
    x = torch.randn(1, 2, 4, 5, 6)
    with torch.no_grad():
        program = torch.export.export(block, (x,))
        assert "rep3d.depthwise_conv3d" in str(program.graph)
        assert torch.allclose(program.module()(x), block(x), rtol=1e-5, atol=1e-5)
