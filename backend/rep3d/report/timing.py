"""How long the large kernels of a network take here, measured briefly, or read from the operator's benchmark."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from rep3d.errors import BadInput
from rep3d.layers import LargeKernelConv3d
from rep3d.ops import depthwise_conv3d

Triple = tuple[int, int, int]
REPEATS = 3
SLOW_S = 2.0  # a direct convolution that would take longer is left out


def measure_layers(network: nn.Module, patch: Triple, device: torch.device) -> list[dict[str, Any]]:
    """Forward milliseconds (median of REPEATS, warmed up) of each stage's kernel at the network's own patch.

    ``auto_ms``: the operator as it runs. ``direct_ms``: the plain convolution of the framework, None where it would be
    too slow to wait for. Networks without large kernels give no rows.
    """
    rows = []
    for i, stage in enumerate(getattr(getattr(network, "encoder", None), "stages", ())):
        conv = stage[0].conv
        if not isinstance(conv, LargeKernelConv3d):
            continue
        size = tuple(n >> (i + 1) for n in patch)
        channels = conv.weight.shape[0]
        x = torch.rand(1, channels, *size, device=device)
        with torch.inference_mode():
            weight = conv.effective_weight().to(device)
            auto = _median_ms(lambda x=x, w=weight: depthwise_conv3d(x, w), device)
            direct = _direct_ms(x, weight, device)
        rows.append(
            {
                "stage": i + 1,
                "channels": channels,
                "size": list(size),
                "kernel": list(conv.kernel_size),
                "auto_ms": auto,
                "direct_ms": direct,
            }
        )
    return rows


def _direct_ms(x: torch.Tensor, weight: torch.Tensor, device: torch.device) -> float | None:
    """The framework's own depthwise convolution; estimated from one channel first, so that nobody waits for minutes."""
    padding = [k // 2 for k in weight.shape[2:]]
    one = _median_ms(lambda: torch.conv3d(x[:, :1], weight[:1], None, 1, padding), device, repeats=1)
    if one * x.shape[1] > 1000 * SLOW_S:
        return None
    return _median_ms(lambda: torch.conv3d(x, weight, None, 1, padding, 1, x.shape[1]), device)


def _median_ms(run: Callable[[], torch.Tensor], device: torch.device, repeats: int = REPEATS) -> float:
    run()
    times = []
    for _ in range(repeats):
        _wait(device)
        start = time.perf_counter()
        run()
        _wait(device)
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def benchmark_rows(document: dict[str, Any], source: str) -> tuple[list[dict[str, Any]], str]:
    """Rows as above from a JSON of benchmarks/operator.py, and the machine in words. Raises BadInput for others."""
    try:
        rows = [
            {
                "stage": None,
                "channels": int(row["channels"]),
                "size": [int(row["size"])] * 3,
                "kernel": [int(row["kernel"])] * 3,
                "auto_ms": float(row["forward_constant_weight_ms"]["auto"]),
                "direct_ms": row["forward_constant_weight_ms"].get("aten"),
            }
            for row in document["rows"]
        ]
        machine = document["machine"]
        words = (
            f"{machine['processor']}, {machine['threads']} threads, torch {machine['torch']}, {machine['date'][:10]}"
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"{source} is not a result of benchmarks/operator.py: {error!r}") from error
    return rows, words
