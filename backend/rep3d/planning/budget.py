"""How much memory there is to plan with, where nobody says."""

from __future__ import annotations

#: Of what there is: scans in memory, other programs and rounding need the rest.
SHARE = 0.8


def default_budget() -> int:
    """80 % of the first GPU's memory, or without one of the memory that is free now, in bytes."""
    import psutil
    import torch

    if torch.cuda.is_available():
        return int(SHARE * torch.cuda.get_device_properties(0).total_memory)
    return int(SHARE * psutil.virtual_memory().available)
