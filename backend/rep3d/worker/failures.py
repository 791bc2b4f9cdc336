"""Any exception as an error of the protocol: a code from the closed list, what happened, and what to do in a GUI.

Nothing heavy is imported here: it must work where torch cannot be imported.
"""

from __future__ import annotations

import errno
import re
import sys
import traceback
from dataclasses import dataclass

from rep3d.errors import DeviceUnavailable, DeviceUnsound, OutOfMemory, Rep3DError, WeightsMissing
from rep3d.worker.protocol import BAD_REQUEST, INTERNAL, WORKER_UNAVAILABLE, ProtocolError

MEMORY_HINT = (
    "Close other programs, restrict the segmentation to a region (ROI), or use a computer with more memory. "
    "A smaller overlap saves time but no memory."
)
GPU_MEMORY_HINT = (
    "Close other programs that use the GPU, or choose the CPU as device. Overlap and region do not change what one "
    "window needs on the GPU."
)
DEVICE_HINT = "Choose another device, for example the CPU."
LOST_HINT = (
    "Try again: a new worker is started. If it happens again, choose the CPU, and check that PyTorch fits the GPU and "
    "its driver."
)
_ALLOCATION = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory", "bad_alloc")
_DEVICE = ("cuda error", "cudnn error", "cublas_status", "cudnn_status", "cufft error", "nvml", "mps backend error")
_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


class DependencyMissing(Rep3DError):
    """A package that Rep3D needs is not installed or does not load here."""

    code = WORKER_UNAVAILABLE


@dataclass(frozen=True)
class Failure:
    """``code``, ``message`` and ``hint`` of the error; ``device_lost`` when this process cannot use its GPU again."""

    code: str
    message: str
    hint: str = ""
    device_lost: bool = False


def describe(error: BaseException) -> Failure:
    """What to answer. Unexpected exceptions become ``internal`` and leave their traceback on standard error."""
    if isinstance(error, ProtocolError):
        return Failure(BAD_REQUEST, str(error), error.hint)
    if isinstance(error, Rep3DError):
        lost = isinstance(error, DeviceUnavailable) and is_device_failure(error.__cause__)
        return Failure(error.code, str(error), _hint(error), lost)
    if is_device_failure(error):
        return Failure(DeviceUnavailable.code, f"The GPU failed: {first_line(error)}", LOST_HINT, True)
    if is_out_of_memory(error):
        gpu = _on_gpu(error)
        what = "There is not enough memory" + (" on the GPU." if gpu else ".")
        return Failure(OutOfMemory.code, what, GPU_MEMORY_HINT if gpu else MEMORY_HINT)
    if isinstance(error, OSError) and error.errno in _FULL:
        where = f" ({error.filename})" if error.filename else ""
        return Failure("output_failed", f"A disk is full{where}: {error.strerror}", "Free some space on it.")
    if isinstance(error, ImportError):
        return Failure(WORKER_UNAVAILABLE, f"A package does not load: {first_line(error)}", INSTALL_HINT)
    traceback.print_exception(error, file=sys.stderr)
    hint = "This is a fault in Rep3D. The log holds the details; please report them."
    return Failure(INTERNAL, f"Unexpected {type(error).__name__}: {first_line(error)}", hint)


INSTALL_HINT = "Install Rep3D's dependencies (torch and others), then try again."


def _hint(error: Rep3DError) -> str:
    """The error's own hint, unless that speaks of the command line."""
    if isinstance(error, OutOfMemory):
        gpu = _on_gpu(error) or _on_gpu(error.__cause__)
        return GPU_MEMORY_HINT if gpu else MEMORY_HINT
    if isinstance(error, DeviceUnavailable) and not isinstance(error, DeviceUnsound):
        return LOST_HINT if is_device_failure(error.__cause__) else DEVICE_HINT
    if isinstance(error, WeightsMissing) and ("--weights" in error.hint or "`rep3d" in error.hint):
        return "Import a weights file that was trained for this task, or train one."
    return re.sub(r" with -o\b|(?<!\S)--(?=\w)", "", error.hint)  # "--precision float32" reads well without


def as_user_error(error: Exception) -> Rep3DError | None:
    """A failure of the device or of memory as the error that a batch can record for one scan; None for others."""
    if is_device_failure(error):
        return DeviceUnavailable(f"The GPU failed: {first_line(error)}", LOST_HINT)
    if is_out_of_memory(error):
        return OutOfMemory("There is not enough memory.", GPU_MEMORY_HINT if _on_gpu(error) else MEMORY_HINT)
    return None


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an allocation failed, on whichever device."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and any(t in text for t in _ALLOCATION))


def is_device_failure(error: BaseException | None) -> bool:
    """Whether the GPU itself failed or is gone, after which CUDA is unusable in this process."""
    if not isinstance(error, RuntimeError) or is_out_of_memory(error):
        return False
    text = str(error).lower()
    return type(error).__name__ == "AcceleratorError" or any(t in text for t in _DEVICE)


def _on_gpu(error: BaseException | None) -> bool:
    return re.search(r"\b(cuda|gpu|mps)\b", str(error), re.IGNORECASE) is not None


def first_line(error: BaseException) -> str:
    """The first line of the error's text that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
