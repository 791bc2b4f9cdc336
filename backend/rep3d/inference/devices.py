"""Which device and precision a run takes. What was asked for is used or refused; nothing falls back in silence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from rep3d.errors import BadInput, DeviceUnavailable, OutOfMemory

PRECISIONS = ("auto", "float32", "bfloat16")
_ALLOCATION_FAILED = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory")


def resolve_device(name: str) -> torch.device:
    """``auto`` (a CUDA GPU if there is one, else the CPU), ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    Raises:
        DeviceUnavailable: the device that was asked for does not exist here.
        BadInput: the name is none of these.
    """
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise BadInput(f"Unknown device {name!r}.", "Choose auto, cpu, cuda, cuda:N or mps.") from error
    hint = "Use --device cpu, or install a PyTorch build for this device (rep3d doctor shows what there is)."
    if device.type == "cpu":
        return torch.device("cpu")
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if count == 0:
            raise DeviceUnavailable(f"Device {name!r} was asked for, but PyTorch finds no CUDA GPU.", hint)
        index = device.index or 0
        if index >= count:
            raise DeviceUnavailable(f"Device {name!r} was asked for, but there are only {count} GPUs.", hint)
        return torch.device("cuda", index)
    if device.type == "mps":
        if not torch.backends.mps.is_available():
            raise DeviceUnavailable("Device 'mps' was asked for, but PyTorch finds no Apple GPU.", hint)
        return device
    raise BadInput(f"Device {name!r} is not supported.", "Choose auto, cpu, cuda, cuda:N or mps.")


def describe_device(device: torch.device) -> str:
    """A name that a person recognises, such as ``cuda:0 (NVIDIA H200)``."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    if device.type == "cpu":
        return f"cpu ({torch.get_num_threads()} threads)"
    return str(device)


def resolve_precision(name: str, device: torch.device) -> str:
    """``float32`` or ``bfloat16``. ``auto`` takes bfloat16 on a GPU that supports it and float32 everywhere else.

    On processors bfloat16 is only used on request: without matrix instructions for it, it is slower than float32.
    """
    if name not in PRECISIONS:
        raise BadInput(f"Unknown precision {name!r}.", "Choose " + ", ".join(PRECISIONS) + ".")
    if name != "auto":
        return name
    return "bfloat16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "float32"


@contextmanager
def autocast(device: torch.device, precision: str) -> Iterator[None]:
    """Mixed precision for the network's forward pass, or nothing for float32."""
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        yield


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed: torch.OutOfMemoryError on a GPU, a plain RuntimeError on the CPU."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(text in str(error).lower() for text in _ALLOCATION_FAILED)
    )


@contextmanager
def memory_errors(device: torch.device) -> Iterator[None]:
    """Turn every way in which an allocation fails into OutOfMemory."""
    if device.type == "cpu":
        hint = "Close other programs, restrict the region with --roi, or use a machine with more memory."
    else:
        hint = "Close other programs that use the GPU, or use --device cpu."
    try:
        yield
    except MemoryError as error:
        raise OutOfMemory("There is not enough memory for this volume.", hint) from error
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise OutOfMemory(f"There is not enough memory on {device}.", hint) from error
        raise
