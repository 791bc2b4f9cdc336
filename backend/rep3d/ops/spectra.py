"""Spectra of constant weights, kept between calls while the weight lives and does not change.

An entry belongs to one tensor object (held weakly) and is used only if the tensor's storage, shape and version counter
are still those it was computed from; on a CPU sums of the values are compared too (``fingerprint.py``), because writes
through ``.data`` and to inference tensors do not move the version counter. On other devices that would stall the queue:
there inference tensors are not cached, and whoever writes through ``.data`` must call ``clear_spectrum_cache()``.
"""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from . import spectral
from .fingerprint import fingerprint
from .plan import Plan


@dataclass(frozen=True)
class SpectrumCacheReport:
    """Entries and bytes held, the limit in bytes, and how often a look-up found what it needed since the last clear."""

    entries: int
    bytes: int
    limit: int
    hits: int
    misses: int


@dataclass
class _Entry:
    owner: weakref.ref
    state: tuple
    values: Tensor | None
    spectrum: Tensor

    def fits(self, weight: Tensor, state: tuple, values: Tensor | None) -> bool:
        if self.owner() is not weight or self.state != state:
            return False
        return values is None or (self.values is not None and torch.equal(self.values, values))


class _SpectrumCache:
    def __init__(self, limit: int):
        self.limit = limit
        # Reentrant: dropping an entry can run the finaliser of a weight in the same thread.
        self._lock = threading.RLock()
        self._entries: OrderedDict[tuple, _Entry] = OrderedDict()
        self.clear()

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()
            self.bytes = self.hits = self.misses = 0

    def report(self) -> SpectrumCacheReport:
        with self._lock:
            return SpectrumCacheReport(len(self._entries), self.bytes, self.limit, self.hits, self.misses)

    def lookup(
        self, weight: Tensor, plan: Plan, dtype: torch.dtype, make: Callable[[], Tensor] | None = None
    ) -> Tensor | None:
        """The weight's spectrum, or what ``make`` computes in its place; None where it cannot be kept."""
        state = _state(weight)
        if state is None:
            return None
        # On a CPU the values are looked at too; elsewhere that would stall the queue.
        values = fingerprint(weight) if weight.device.type == "cpu" else None
        key = (id(weight), plan, dtype)
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None and entry.fits(weight, state, values):
                self._entries.move_to_end(key)
                self.hits += 1
                return entry.spectrum
            self.misses += 1
            self._drop(key)
        size = weight.shape[0] * plan.spectrum_numel * (16 if dtype == torch.float64 else 8)
        if size > self.limit:
            return None
        with torch.inference_mode(False), torch.no_grad():
            spectrum = spectral.weight_spectrum(weight.detach(), plan, dtype) if make is None else make()
        size = spectrum.numel() * spectrum.element_size()
        with self._lock:
            self._drop(key)
            owner = weakref.ref(weight, lambda _: self._drop(key))
            self._entries[key] = _Entry(owner, state, values, spectrum)
            self.bytes += size
            while self.bytes > self.limit:
                self._drop(next(iter(self._entries)))
        return spectrum

    def _drop(self, key: tuple) -> None:
        with self._lock:
            entry = self._entries.pop(key, None)
            if entry is not None:
                self.bytes -= entry.spectrum.numel() * entry.spectrum.element_size()


def _state(weight: Tensor) -> tuple | None:
    """What must be unchanged for a spectrum to stay valid, or None where that cannot be known."""
    inference = weight.is_inference()
    if inference and weight.device.type != "cpu":
        return None
    version = None if inference else weight._version
    return weight.data_ptr(), weight.shape, weight.stride(), weight.dtype, weight.device, version


_cache = _SpectrumCache(limit=512 << 20)
lookup = _cache.lookup
#: Forget every spectrum (they are computed again when needed).
clear_spectrum_cache = _cache.clear
#: What the cache holds.
spectrum_cache_report = _cache.report


def set_spectrum_cache_limit(limit: int) -> None:
    """Bytes that spectra of constant weights may take (default 512 MiB); 0 turns the cache off."""
    with _cache._lock:
        _cache.limit = max(0, int(limit))
        while _cache.bytes > _cache.limit:
            _cache._drop(next(iter(_cache._entries)))
