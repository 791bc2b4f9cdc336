"""Operators: the large-kernel depthwise 3D convolution."""

from .choice import adopt_algorithm_choices, algorithm_choices
from .conv import ALGORITHMS, depthwise_conv3d
from .spectra import (
    SpectrumCacheReport,
    clear_spectrum_cache,
    set_spectrum_cache_limit,
    spectrum_cache_report,
)

__all__ = [
    "ALGORITHMS",
    "SpectrumCacheReport",
    "adopt_algorithm_choices",
    "algorithm_choices",
    "clear_spectrum_cache",
    "depthwise_conv3d",
    "set_spectrum_cache_limit",
    "spectrum_cache_report",
]
