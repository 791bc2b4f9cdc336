"""How much memory training steps take: a model for each network, fitted to measured peaks.

    bytes = LIBRARIES + covers x max(end, start + crops x voxels x (per_voxel + per_voxel_class x classes))

The peak is at the start of the backward pass, when all activations exist but no gradient (``start``: weights and
AdamW's two moments; ``per_voxel``: activations; ``per_voxel_class``: logits, softmax and one-hot labels of the loss),
or, with few voxels, at the end of the step, when it is the other way round (``end``). ``covers`` lifts the fit over
what was measured. ``benchmarks/training_memory.py`` measures and fits; a test compares its results with this file.

The figures hold for float32 on a CPU, with AdamW, without accumulation or activation checkpointing. On a GPU PyTorch
and its libraries take other amounts for scratch space, so leave some of its memory out of the budget.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from rep3d.errors import BadInput


@dataclass(frozen=True)
class MemoryModel:
    """All in bytes; see the module's docstring."""

    end: float
    start: float
    per_voxel: float
    per_voxel_class: float
    covers: float

    def bytes(self, patch: Sequence[int], crops: int, classes: int) -> float:
        """Peak above the libraries' own memory for ``crops`` crops of ``patch`` voxels at once."""
        voxels = math.prod(patch) * crops
        return self.covers * max(self.end, self.start + voxels * (self.per_voxel + self.per_voxel_class * classes))


#: Python, PyTorch, MONAI and Rep3D before a network is made, bytes.
LIBRARIES = 0.70e9
#: From the fits in benchmarks/results/training_memory.json.
MODELS: dict[str, MemoryModel] = {
    "rep3d-tiny": MemoryModel(48078848, 10281912, 415.7, 33.09, 1.77),
    "rep3d-xs": MemoryModel(174649344, 80825016, 2057.0, 60.63, 1.3),
    "rep3d-s": MemoryModel(444387328, 241179576, 3409.1, 9.37, 1.16),
    "rep3d": MemoryModel(1424277504, 793537080, 6794.6, 101.19, 1.06),
}


def training_bytes(network: str, patch: Sequence[int], crops: int, classes: int) -> int:
    """Estimated peak memory, in bytes, of training with ``crops`` crops of ``patch`` voxels in one pass.

    classes: with background. Raises BadInput for a network that was not measured.
    """
    if network not in MODELS:
        raise BadInput(
            f"the memory of training {network} has not been measured",
            f"Known: {', '.join(MODELS)}. benchmarks/training_memory.py measures; or give --patch and --batch-size.",
        )
    return math.ceil(LIBRARIES + MODELS[network].bytes(patch, crops, classes))


_UNITS = {"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}


def parse_memory(text: str) -> int:
    """ "8GB" -> 8_000_000_000, "8GiB" -> 8 x 2^30 bytes. Raises BadInput that names the option."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([kKmMgGtT]?[iI]?)[bB]?\s*", text)
    unit = match[2].upper() if match else "?"
    if match is None or unit not in _UNITS or float(match[1]) * _UNITS[unit] < 1:
        raise BadInput(f"--memory {text!r} is not an amount of memory", "write it as 8GB or 8GiB")
    return int(float(match[1]) * _UNITS[unit])


def memory_text(count: float) -> str:
    """Bytes for people: 8.4 GB, 310 MB (powers of ten)."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
