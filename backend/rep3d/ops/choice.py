"""Which algorithm runs: the caller's, the environment's, or the fastest one measured for the situation.

A situation is direction, shapes, types, device, threads and torch version. Candidates are timed on the caller's own
tensors, turn by turn so that a disturbance hits all alike, and the smallest time of each counts. The direct algorithm
can be thousands of times slower than the others, so it is timed only if it might win: not when even a perfect processor
could not do its multiplications in time, and first on one channel, then on a few, of one sample. Nor is it timed where
PyTorch would generate too much code for it: oneDNN unrolls a depthwise kernel into machine code, hundreds of megabytes
for 21^3 taps, and keeps it.
"""

from __future__ import annotations

import logging
import math
import os
import platform
import threading
import time
import warnings
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from rep3d.runtime.folders import CACHE_DIR_VARIABLE

from . import triton_path
from .choice_store import ChoiceStore
from .plan import METHODS, cropped_kernel

ENVIRONMENT = "REP3D_CONV_ALGORITHM"
CANDIDATES = ("direct", *METHODS)
#: What may be asked for or stored: Triton is a candidate on GPUs only.
KNOWN = (*CANDIDATES, triton_path.NAME)

#: (gradient of x wanted, gradient of the weight wanted) -> direction; the other one is "forward".
BACKWARD = {(True, True): "backward", (True, False): "gradient of x", (False, True): "gradient of weight"}

#: Multiply-adds of the direct algorithm below which it is taken without measuring: all would be dominated by overhead.
TINY = 4e6
#: Multiply-adds per second that no device exceeds (per CPU thread; per accelerator).
PEAK_CPU_THREAD, PEAK_ACCELERATOR = 1.6e11, 1e14
#: (channels timed for the direct algorithm, how much too slow its extrapolation may look and still be timed in full).
#: PyTorch's CPU kernel works on blocks of 16 channels, so one channel costs nearly as much as 16.
PROBES = ((1, 50.0), (16, 3.0))
#: Bytes of generated code above which the direct algorithm is not timed on a CPU, and bytes that were measured per tap
#: and square of the taps in a line: 0.3 GB for 21^3 taps, 2.2 GB for 31^3.
CODE_LIMIT, CODE_PER_TAP = 64 << 20, 80
#: At least ``ROUNDS[0]`` rounds; more, up to ``ROUNDS[1]``, while they have taken less than ``BUDGET_S`` seconds.
ROUNDS = (3, 25)
BUDGET_S = 0.4

#: Part of every situation: choices measured before the algorithms last changed their speed are not followed.
GENERATION = "2"

logger = logging.getLogger(__name__)
store = ChoiceStore(KNOWN)
_measuring = threading.RLock()
#: What ``resolve`` has answered, by a key that is cheap to make; valid while the store's ``revision`` stays.
_answers: dict[tuple, str] = {}

#: ``run(name, channels)`` runs one algorithm on all channels, or on the first ``channels`` of the first sample.
Run = Callable[[str, int | None], None]


def resolve(algorithm: str, direction: str, x: Tensor, weight: Tensor, constant_weight: bool, run: Run) -> str:
    """The name of the algorithm to run; measures at the first call of a situation."""
    if algorithm == "auto":
        algorithm = os.environ.get(ENVIRONMENT, "").strip() or "auto"
        if algorithm not in ("auto", *KNOWN):
            raise ValueError(f"{ENVIRONMENT} must be auto, {', '.join(KNOWN)}, not {algorithm!r}.")
    if algorithm != "auto":
        return algorithm
    quick = _quick_key(direction, x, weight, constant_weight)
    answer = _answers.get(quick)
    if answer is None:
        answer = _resolve_auto(direction, x, weight, constant_weight, run)
        if len(_answers) > 10_000:
            _answers.clear()
        # The key is made again: measuring moves the store's revision.
        _answers[_quick_key(direction, x, weight, constant_weight)] = answer
    return answer


def _quick_key(direction: str, x: Tensor, weight: Tensor, constant_weight: bool) -> tuple:
    """All that an answer depends on. A captured CUDA stream is asked for too, as nothing is measured in it."""
    capturing = x.device.type == "cuda" and torch.cuda.is_current_stream_capturing()
    threads, folder = torch.get_num_threads(), os.environ.get(CACHE_DIR_VARIABLE)
    settings = (TINY, exact_products(), threads, capturing, store.revision, folder)
    return direction, constant_weight, x.shape, weight.shape, x.dtype, weight.dtype, x.device, settings


def _resolve_auto(direction: str, x: Tensor, weight: Tensor, constant_weight: bool, run: Run) -> str:
    multiplications = direct_multiplications(x, weight) * (2 if direction == "backward" else 1)
    if x.device.type == "cpu" and multiplications < TINY:
        return "direct"
    if x.device.type == "cuda" and torch.cuda.is_current_stream_capturing():
        return "fft"  # a captured stream cannot be waited for
    key = situation(direction, x, weight, constant_weight)
    with _measuring:
        known = store.get(key)
        if known is not None:
            return known
        candidates = _candidates(x)
        if x.device.type == "cpu" and direct_code_bytes(direction, x, weight) > CODE_LIMIT:
            candidates = tuple(name for name in candidates if name != "direct")
        times = _measure(candidates, multiplications, x, run)
        best = min(times, key=times.__getitem__)
        logger.debug("%s: %s", key, ", ".join(f"{name} {ms:.3f} ms" for name, ms in times.items()))
        return store.put(key, best, times)


def algorithm_choices() -> dict[str, str]:
    """Situation -> algorithm, of every automatic choice that this process has followed; plain strings."""
    return store.used()


def adopt_algorithm_choices(choices: dict[str, str]) -> None:
    """Follow the choices of another process, so that results agree with its to the last bit on the same machine."""
    store.adopt(choices)


def direct_multiplications(x: Tensor, weight: Tensor) -> float:
    """Multiply-adds of the direct algorithm after cropping, zeros of the border not counted."""
    total = float(x.shape[0] * x.shape[1])
    for n, full in zip(x.shape[2:], weight.shape[2:]):
        k = cropped_kernel(n, full)
        p = (k - 1) // 2
        total *= n * k - p * (p + 1)  # taps that meet data, summed over the samples of a line
    return total


def direct_code_bytes(direction: str, x: Tensor, weight: Tensor) -> float:
    """Estimated bytes of machine code that PyTorch generates, and keeps, for the direct algorithm on a CPU."""

    def code(taps: list[int]) -> float:
        return CODE_PER_TAP * math.prod(taps) * min(x.shape[4], taps[2]) ** 2

    with_taps = code([cropped_kernel(n, k) for n, k in zip(x.shape[2:], weight.shape[2:])])
    with_maps = code(list(x.shape[2:]))  # in the gradient of the weight, maps are the kernels
    if direction == "gradient of weight":
        return with_maps
    return with_taps + with_maps if direction == "backward" else with_taps


def situation(direction: str, x: Tensor, weight: Tensor, constant_weight: bool) -> str:
    """The key of a measurement."""
    kernel = "x".join(str(cropped_kernel(n, k)) for n, k in zip(x.shape[2:], weight.shape[2:]))
    fields = [
        direction,
        "constant weight" if constant_weight and direction == "forward" else "changing weight",
        "x".join(map(str, x.shape)),
        f"k{kernel}",
        f"{x.dtype}/{weight.dtype}",
        x.device.type,
        _device_name(x.device.type, x.device.index),
        f"{torch.get_num_threads()} threads" if x.device.type == "cpu" else "",
        "exact products" if exact_products() else "inexact products",
        torch.__version__,
        GENERATION,
    ]
    if triton_path.usable(x.device, x.dtype):
        fields.append(f"triton {triton_path.version()}")
    return " | ".join(fields)


def exact_products() -> bool:
    """Whether float32 matrix products are float32, not TF32 or bfloat16 inside (global settings of PyTorch)."""
    own = getattr(getattr(torch.backends.mkldnn, "matmul", None), "fp32_precision", "none")  # that of oneDNN alone
    try:
        return torch.get_float32_matmul_precision() == "highest" and own in ("none", "ieee")
    except RuntimeError:  # set partly by the older, partly by the newer functions of PyTorch
        return False


def _candidates(x: Tensor) -> tuple[str, ...]:
    """Algorithms with matrix products are left out where those are inexact, for they would miss the error bound.

    Triton's products do not follow that setting.
    """
    plain = CANDIDATES if exact_products() else ("direct", "fft")
    return (*plain, triton_path.NAME) if triton_path.usable(x.device, x.dtype) else plain


@lru_cache(maxsize=16)
def _device_name(kind: str, index: int | None) -> str:
    if kind == "cuda":
        return torch.cuda.get_device_name(index)
    return f"{platform.machine()} {platform.processor()} {torch.backends.cpu.get_cpu_capability()}"


def _measure(candidates: tuple[str, ...], multiplications: float, x: Tensor, run: Run) -> dict[str, float]:
    """Smallest milliseconds of every candidate that was worth timing."""
    times: dict[str, float] = {}
    spectral = [name for name in candidates if name != "direct"]
    for name in list(spectral):
        try:
            _time(run, name, None, x.device.type)  # first use: matrices, plans and memory are set up
            times[name] = math.inf
        except (RuntimeError, NotImplementedError) as error:
            spectral.remove(name)
            warnings.warn(f"depthwise_conv3d: {name} does not run on {x.device}: {error}", RuntimeWarning, stacklevel=2)
    _repeat(spectral, times, x.device.type, run)
    best = min(times.values(), default=math.inf)
    peak = PEAK_CPU_THREAD * torch.get_num_threads() if x.device.type == "cpu" else PEAK_ACCELERATOR
    if "direct" not in candidates or multiplications / peak * 1e3 > best:
        return times
    for channels, gain in PROBES:
        share = min(x.shape[1], channels) / (x.shape[0] * x.shape[1])
        if share < 1 and best < math.inf:
            probe = _time(run, "direct", channels, x.device.type) / share
            if gain * best < probe < 100 * gain * best:  # once more: the first run also sets the kernel up
                probe = _time(run, "direct", channels, x.device.type) / share
            if probe > gain * best:
                return {**times, "direct": probe}
    _time(run, "direct", None, x.device.type)
    times["direct"] = math.inf
    # All of them again: what was measured before the direct algorithm may have had a quieter machine.
    _repeat(["direct", *spectral], times, x.device.type, run)
    return times


def _repeat(names: list[str], times: dict[str, float], kind: str, run: Run) -> None:
    start = time.perf_counter()
    for done in range(1, ROUNDS[1] + 1):
        for name in names:
            times[name] = min(times[name], _time(run, name, None, kind))
        if done >= ROUNDS[0] and time.perf_counter() - start > BUDGET_S:
            return


def _time(run: Run, name: str, channels: int | None, kind: str) -> float:
    """Milliseconds of one run."""
    _synchronize(kind)
    start = time.perf_counter()
    run(name, channels)
    _synchronize(kind)
    return (time.perf_counter() - start) * 1e3


def _synchronize(kind: str) -> None:
    if kind == "cuda":
        torch.cuda.synchronize()
    elif kind == "mps":
        torch.mps.synchronize()
