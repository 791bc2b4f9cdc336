"""Libraries report nothing to their makers and keep their caches in Rep3D's own folder. See docs/privacy.md.

Every process of ours calls :func:`stay_private` before it imports anything heavy; the processes that it starts inherit
the environment. OpenVINO is imported by :func:`import_openvino` alone.
"""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType

from rep3d.runtime.folders import cache_folder

#: What turns reports and look-ups off, in the words of each library. A user's own setting does not turn them on here.
OFF = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_USAGE_STATS_PROMPT_ENABLED": "0",
    "ORT_DISABLE_TELEMETRY": "1",
}
#: Variable of a library -> folder in our cache, where the user has not chosen another.
CACHES = {
    "MPLCONFIGDIR": "matplotlib",
    "TORCHINDUCTOR_CACHE_DIR": "torchinductor",
    "TRITON_CACHE_DIR": "triton",
    "PYTORCH_KERNEL_CACHE_PATH": "torch-kernels",
    "CUDA_CACHE_PATH": "cuda",
}


def stay_private() -> None:
    """Turn off reports and look-ups of the libraries in this process and its children; imports nothing heavy."""
    os.environ.update(OFF)
    for variable, folder in CACHES.items():
        os.environ.setdefault(variable, str(cache_folder() / folder))
    block_openvino_telemetry()


def block_openvino_telemetry() -> None:
    """Let ``import openvino_telemetry`` fail in this process: OpenVINO then takes its own stub, which does nothing."""
    sys.modules["openvino_telemetry"] = None


def import_openvino(module: str = "openvino") -> ModuleType:
    """``openvino`` or a module in it. Imported in any other way it tells its makers. Raises ImportError."""
    block_openvino_telemetry()
    return importlib.import_module(module)
