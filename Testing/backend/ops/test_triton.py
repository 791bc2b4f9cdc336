"""The Triton algorithm in Triton's interpreter, its errors, and whether its kernels compile for GPUs. No GPU needed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from rep3d.errors import DeviceUnavailable
from rep3d.ops import choice, depthwise_conv3d, triton_path
from rep3d.ops import triton_blocks as tb
from rep3d.ops.plan import make_plan

needs_triton = pytest.mark.skipif(
    triton_path.version() is None, reason="Triton is not installed (there is none for this system)"
)
EXACT = ("several blocks W, H", "several blocks D", "batch, channels, strides", "kernel larger than the map")
LOW = ("bfloat16", "bfloat16, mean 3", "autocast")
X, W = torch.randn(1, 2, 3, 4, 5), torch.randn(2, 1, 3, 3, 3)


@pytest.fixture(scope="module")
def facts(tmp_path_factory):
    environment = {**os.environ, "TRITON_INTERPRET": "1", "REP3D_CACHE_DIR": str(tmp_path_factory.mktemp("cache"))}
    script = Path(__file__).with_name("triton_cases.py")
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@needs_triton
@pytest.mark.parametrize("case", EXACT)
def test_float32_holds_the_bound_of_the_operator(facts, case):
    """With the rounding of tf32x3, which the interpreter is made to follow."""
    assert max(facts[case][name] for name in ("y", "gx", "gw")) < 2e-6


@needs_triton
def test_float16_is_computed_in_float32(facts):
    assert max(facts["float16"][name] for name in ("y", "gx", "gw")) < 2**-11


@needs_triton
@pytest.mark.parametrize("case", LOW)
def test_bfloat16_products_have_a_bounded_error(facts, case):
    found = [facts[case][name] for name in ("y", "gx", "gw")]
    assert max(found) < 1.5e-2
    assert min(found) > 1e-4, "nothing was rounded to bfloat16"


@needs_triton
def test_types(facts):
    assert facts["bfloat16"]["types"] == ["torch.bfloat16"] * 3
    assert facts["autocast"]["types"] == ["torch.bfloat16", "torch.float32", "torch.float32"]


@needs_triton
def test_triton_is_imported_only_when_it_is_used(facts):
    assert facts["imported early"] is False


@needs_triton
def test_constant_weights_are_transformed_once_and_again_when_they_change(facts):
    assert facts["constant weight"]["same"] and facts["constant weight"]["y"] < 2e-6
    assert facts["hits"] == 1
    assert facts["changed weight"]["y"] < 2e-6


@needs_triton
def test_refused_on_a_cpu(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(DeviceUnavailable, match="needs a GPU, but x is on cpu"):
        depthwise_conv3d(X, W, algorithm="triton")
    monkeypatch.setenv("REP3D_CONV_ALGORITHM", "triton")
    with pytest.raises(DeviceUnavailable, match="needs a GPU"):
        depthwise_conv3d(X, W)


def test_refused_without_triton(monkeypatch):
    monkeypatch.setattr(triton_path, "version", lambda: None)
    with pytest.raises(DeviceUnavailable, match="not installed") as caught:
        depthwise_conv3d(X, W, algorithm="triton")
    assert "pip install triton" in caught.value.hint


def test_float64_is_refused():
    with pytest.raises(TypeError, match=r"'triton' computes float32, bfloat16 and float16, not torch\.float64"):
        depthwise_conv3d(X.double(), W.double(), algorithm="triton")


def test_a_candidate_on_gpus_only(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(triton_path, "version", lambda: "3.7.1")
    gpu = torch.device("cuda")
    assert triton_path.usable(gpu, torch.float32) and triton_path.usable(gpu, torch.bfloat16)
    assert not triton_path.usable(gpu, torch.float64)
    assert not triton_path.usable(torch.device("cpu"), torch.float32)
    assert "triton" not in choice._candidates(X)
    assert "triton" not in choice.situation("forward", X, W, False)
    monkeypatch.setattr(triton_path, "version", lambda: None)
    assert not triton_path.usable(gpu, torch.float32)


@pytest.mark.parametrize("size", [1, 8, 16, 17, 34, 48, 58, 106, 300])
def test_blocks_cover_an_axis(size):
    for plan in (tb.blocked(size, 128, 48), tb.summed(size, torch.float32), tb.summed(size, torch.bfloat16)):
        assert plan.padded >= size > plan.padded - plan.block
        assert plan.block in (16, 32, 64, 128)


def recorded_launches(monkeypatch, dtype):
    """What one forward and backward would launch, without running it."""
    launches = []
    monkeypatch.setattr(triton_path, "check", lambda x: None)
    monkeypatch.setattr(triton_path, "_launch", lambda *args, **constants: launches.append((args, constants)))
    x = torch.empty(2, 48, 48, 48, 48, dtype=dtype, device="meta")
    weight = torch.empty(48, 1, 21, 21, 21, dtype=dtype, device="meta")
    plan = make_plan((48, 48, 48), (21, 21, 21), "triton")
    triton_path.forward(x, weight, None, plan, torch.empty_like(x), False)
    triton_path.backward(x, x, weight, plan, None, weight[:, 0], False)
    names = [args[0] for args, _ in launches]
    assert names == [
        "slab_forward", "slab_forward", "pencil", "slab_inverse",
        "slab_forward", "slab_forward", "pencil", "slab_inverse",
    ]  # fmt: skip
    return launches


@needs_triton
@pytest.mark.parametrize(("dtype", "capability"), [(torch.bfloat16, 90), (torch.float32, 80)])
def test_kernels_compile_for_gpus(monkeypatch, tmp_path, dtype, capability):
    """Triton's compiler and assembler work without a GPU: tensor cores are used, shared memory suffices."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    from rep3d.ops import triton_kernels
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    launches = recorded_launches(monkeypatch, dtype)
    pointer = {torch.bfloat16: "*bf16", torch.float32: "*fp32"}
    chosen = (launches[1], launches[3], launches[6]) if capability == 90 else (launches[6],)
    for (name, _, _, *args), constants in chosen:
        kernel = getattr(triton_kernels, name)
        fixed = {**constants, "PRECISION": "tf32x3"}
        options = {"num_warps": fixed.pop("num_warps"), "num_stages": 2}
        signature = dict.fromkeys(kernel.arg_names, "constexpr")
        for argument, value in zip(kernel.arg_names, args):
            signature[argument] = pointer[value.dtype] if isinstance(value, torch.Tensor) else "i32"
        at = {(kernel.arg_names.index(argument),): value for argument, value in fixed.items()}
        aligned = {(i,): [["tt.divisibility", 16]] for i, v in enumerate(args) if isinstance(v, torch.Tensor)}
        built = compile(ASTSource(kernel, signature, at, aligned), GPUTarget("cuda", capability, 32), options)
        assert "mma" in built.asm["ptx"], name
        assert built.metadata.shared <= 99 << 10, name  # the least that GPUs with bfloat16 tensor cores have
