"""Run by test_triton.py in a process of its own with TRITON_INTERPRET=1; prints one JSON line of errors and facts."""

import json
import sys

import torch
from rep3d.ops import clear_spectrum_cache, depthwise_conv3d, spectrum_cache_report, triton_path
from rep3d.ops.oracle import conv3d_reference, gradients_reference

torch.set_num_threads(1)
torch.manual_seed(0)


def error(mine, exact):
    """Largest error over largest value."""
    return float((mine.detach().double() - exact).abs().max() / exact.abs().max())


def errors(shape, kernel, dtype, *, autocast=False, channels_last=False, mean=0.0):
    x = torch.randn(shape).add_(mean).to(dtype)
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last_3d)
    weight, bias = torch.randn(shape[1], 1, *kernel).to(dtype), torch.randn(shape[1]).to(dtype)
    leaves = [t.requires_grad_() for t in (x, weight, bias)]
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        y = depthwise_conv3d(*leaves, algorithm="triton")
    gy = torch.randn(shape).to(y.dtype)
    gx, gw, _ = torch.autograd.grad(y, leaves, gy)
    exact_gx, exact_gw = gradients_reference(gy, x, weight)
    return {
        "y": error(y, conv3d_reference(x, weight, bias)),
        "gx": error(gx, exact_gx),
        "gw": error(gw, exact_gw),
        "types": [str(t.dtype) for t in (y, gx, gw)],
    }


def main():
    facts = {"imported early": "triton" in sys.modules}
    facts["several blocks W, H"] = errors((1, 1, 2, 18, 34), (3, 3, 21), torch.float32)
    facts["several blocks D"] = errors((1, 1, 18, 3, 4), (9, 3, 3), torch.float32)
    triton_path.WORK_BYTES = 1  # one channel at a time
    facts["batch, channels, strides"] = errors((2, 2, 3, 6, 7), (3, 5, 9), torch.float32, channels_last=True)
    triton_path.WORK_BYTES = 512 << 20
    facts["kernel larger than the map"] = errors((1, 2, 4, 3, 5), (9, 9, 9), torch.float32)
    facts["float16"] = errors((1, 2, 3, 4, 5), (5, 3, 7), torch.float16)
    facts["bfloat16"] = errors((3, 1, 4, 6, 5), (5, 3, 7), torch.bfloat16)
    facts["bfloat16, mean 3"] = errors((1, 1, 4, 6, 5), (7, 3, 3), torch.bfloat16, mean=3.0)
    facts["autocast"] = errors((1, 2, 4, 3, 5), (3, 3, 5), torch.float32, autocast=True)

    x, weight = torch.randn(1, 2, 3, 4, 5), torch.randn(2, 1, 3, 3, 5)
    clear_spectrum_cache()
    with torch.no_grad():
        first = depthwise_conv3d(x, weight, algorithm="triton")
        again = depthwise_conv3d(x, weight, algorithm="triton")
        facts["constant weight"] = {"y": error(first, conv3d_reference(x, weight)), "same": torch.equal(first, again)}
        facts["hits"] = spectrum_cache_report().hits
        weight.mul_(2)
        changed = depthwise_conv3d(x, weight, algorithm="triton")
        facts["changed weight"] = {"y": error(changed, conv3d_reference(x, weight))}
    print(json.dumps(facts))


main()
