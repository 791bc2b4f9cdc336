"""Which engine runs the network: the one asked for, or the one that was faster on a window of this size here."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rep3d.errors import BadInput, WeightsInvalid
from rep3d.inference.devices import autocast
from rep3d.inference.engines import disk
from rep3d.inference.feeder import first_batch
from rep3d.runtime.packages import missing, need

ENGINES = ("auto", "torch", "openvino")
ENVIRONMENT = "REP3D_ENGINE"
#: ``auto`` does not prepare OpenVINO for a run of fewer windows: that takes as long as some windows.
FEWEST_WINDOWS = 4
#: OpenVINO has to be this much faster to be taken by ``auto``.
MARGIN = 1.05
#: Largest root mean square of the difference of the logits over that of PyTorch's float32 logits.
BOUNDS = {"float32": 1e-3, "bfloat16": 5e-2}

_chosen: weakref.WeakKeyDictionary[nn.Module, dict] = weakref.WeakKeyDictionary()


@dataclass(frozen=True)
class Engine:
    """What runs the windows.

    Attributes:
        name: "torch" or "openvino". version: of that library. reason: why this one, one clause for people.
        predictor: [b, C, *patch] -> logits [b, K, *patch].
    """

    name: str
    version: str
    reason: str
    predictor: Callable[[Tensor], Tensor]

    def __str__(self) -> str:
        return f"{'OpenVINO' if self.name == 'openvino' else 'PyTorch'} {self.version}"


def check_engine(name: str) -> str:
    """The engine meant: ``name``, or for "auto" what the environment variable REP3D_ENGINE says. Raises BadInput."""
    if name not in ENGINES:
        raise BadInput(f"Unknown engine {name!r}.", "Choose " + ", ".join(ENGINES) + ".")
    if name == "auto":
        name = os.environ.get(ENVIRONMENT, "").strip() or "auto"
        if name not in ENGINES:
            raise BadInput(f"The environment variable {ENVIRONMENT} says {name!r}.", "Choose " + ", ".join(ENGINES))
    if name == "openvino":
        need("openvino")
    return name


def choose_engine(
    name: str,
    predictor: Callable[[Tensor], Tensor] | nn.Module,
    device: torch.device,
    precision: str,
    shape: tuple[int, ...],
    windows: int,
    report: Callable[[str], None] = lambda stage: None,
) -> Engine:
    """The engine for windows of ``shape`` [1, C, D, H, W]; OpenVINO is prepared and checked where it has not been.

    Args:
        name: "auto", "torch" or "openvino". device, precision: resolved ones.
        windows: how many will be run. report: told what is prepared, for that takes seconds.

    Raises:
        BadInput: OpenVINO was asked for and is not installed, or does not fit the device, precision or network.
        WeightsInvalid: OpenVINO was asked for and its logits are not those of PyTorch.
    """
    name = check_engine(name)
    if name == "torch":
        return _torch(predictor, "asked for")
    problem = _unsuitable(predictor, device)
    if problem:
        if name == "openvino":
            raise BadInput(f"The engine openvino was asked for, but {problem}.", "Use --engine torch or auto.")
        return _torch(predictor, problem)
    known = _chosen.setdefault(predictor, {})
    situation = (name, precision, tuple(shape), torch.get_num_threads(), _state(predictor))
    if situation not in known:
        engine, lasting = _prepare(name, predictor, precision, tuple(shape), windows, report)
        if not lasting:
            return engine
        known.clear()  # one compiled network at a time: each holds all weights
        # Not the engine of torch itself, whose predictor is the key that the entry would keep alive.
        known[situation] = engine.reason if engine.name == "torch" else engine
    found = known[situation]
    return _torch(predictor, found) if isinstance(found, str) else found


def _prepare(
    name: str, network: nn.Module, precision: str, shape: tuple[int, ...], windows: int, report: Callable[[str], None]
) -> tuple[Engine, bool]:
    """The engine, and whether the answer holds for later runs with more windows too."""
    from rep3d.inference.engines import openvino_engine as openvino

    key = openvino.key_of(network, shape, precision, torch.get_num_threads())
    file = disk.folder() / f"{key}.json"
    record = disk.read_record(file)
    if name == "auto":
        if record is not None and record.get("engine") == "torch":
            return _torch(network, str(record.get("reason"))), True
        if record is None and windows < FEWEST_WINDOWS:
            return _torch(network, f"OpenVINO is prepared for runs of {FEWEST_WINDOWS} windows or more"), False
    try:
        report("loading the network into OpenVINO" if record else "preparing the network for OpenVINO (once)")
        predictor = openvino.compile_network(network, shape, precision, key=key)
        if record is None or "difference" not in record:
            record = compare(network, predictor, precision, shape)
            disk.write_record(file, {**record, "openvino": openvino.version(), "shape": list(shape)})
    except (openvino.EngineFailed, BadInput) as error:
        if name == "openvino":
            raise BadInput(f"The engine openvino cannot be used: {error}", "Use --engine torch.") from error
        disk.write_record(file, {"engine": "torch", "reason": str(error)})
        return _torch(network, str(error)), True
    if name == "auto" and record["engine"] == "torch":
        return _torch(network, record["reason"]), True
    if not record["sound"]:
        raise WeightsInvalid(f"{record['reason']}.", "Use --engine torch, and report this processor and network.")
    reason = "asked for" if name == "openvino" else record["reason"]
    return Engine("openvino", openvino.version(), reason, predictor), True


def compare(
    network: nn.Module, predictor: Callable[[Tensor], Tensor], precision: str, shape: tuple[int, ...]
) -> dict[str, object]:
    """Seconds of both for a window, and how far the logits lie from PyTorch's in float32.

    As many windows at once as a segmentation runs: PyTorch takes small ones faster in twos.

    Returns: engine ("torch" or "openvino", the faster), reason (for people), torch_s, openvino_s, difference (root mean
    square over that of the logits), agreement (share of voxels with the same class), sound.
    """
    cpu = torch.device("cpu")
    count = first_batch("auto", cpu, shape[2:])
    x_BCDHW = smooth_window((count, *shape[1:]))
    with torch.inference_mode():
        expected = network.float().eval()(x_BCDHW)
        logits = predictor(x_BCDHW)
        difference = float((logits - expected).square().mean().sqrt() / expected.square().mean().sqrt())
        agreement = float((logits.argmax(1) == expected.argmax(1)).float().mean())

        def plain() -> None:
            with autocast(cpu, precision):
                network(x_BCDHW)

        times = {"torch_s": float("inf"), "openvino_s": float("inf")}
        for _ in range(2):  # turn by turn, so that what disturbs one disturbs the other
            for what, run in (("openvino_s", lambda: predictor(x_BCDHW)), ("torch_s", plain)):
                times[what] = min(times[what], seconds(run) / count)
            if times["torch_s"] > 3 * times["openvino_s"]:
                break
    sound = difference <= BOUNDS[precision]
    faster = sound and times["torch_s"] > MARGIN * times["openvino_s"]
    reason = f"{times['torch_s'] / times['openvino_s']:.1f} times as fast as PyTorch on a window here"
    if not sound:
        reason = f"OpenVINO computes other logits here (difference {difference:.1e})"
    elif not faster:
        reason = f"OpenVINO is {reason}"
    return {
        "engine": "openvino" if faster else "torch",
        "reason": reason,
        **times,
        "difference": difference,
        "agreement": agreement,
        "sound": sound,
    }


def seconds(run: Callable[[], object]) -> float:
    """That one call takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def smooth_window(shape: tuple[int, ...]) -> Tensor:
    """A window of ``shape`` in [0, 1] with smooth structures and a little noise, always the same."""
    from rep3d.export.agreement import smooth_noise

    generator = torch.Generator().manual_seed(0)
    return (smooth_noise(shape, generator) + 0.05 * torch.rand(tuple(shape), generator=generator)).clamp(0, 1)


def _torch(predictor: Callable[[Tensor], Tensor], reason: str) -> Engine:
    return Engine("torch", torch.__version__.split("+")[0], reason, predictor)


def _unsuitable(predictor: object, device: torch.device) -> str:
    """Why OpenVINO cannot be asked at all; empty if it can."""
    if device.type != "cpu":
        return f"OpenVINO runs on the processor, not on {device}"
    if not isinstance(predictor, nn.Module):
        return "the predictor is a function, not a network"
    if missing("openvino"):
        return "OpenVINO is not installed"
    return ""


def _state(network: nn.Module) -> int:
    """Changes when the weights do (those that count their changes)."""
    tensors = network.state_dict().values()
    return hash(tuple((t.data_ptr(), -1 if t.is_inference() else t._version) for t in tensors))
