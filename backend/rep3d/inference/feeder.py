"""Windows to the predictor and logits back: batches that fit the device, copies while it computes, no air twice.

A network gives the same logits for the same patch. Windows whose voxels all have one value (clipped air, what was
masked out) are therefore computed once for that value, and the logits are used again wherever it returns: the sum over
the windows is the same as if all of them were computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor, nn

from rep3d.errors import BadInput, Rep3DError
from rep3d.inference.devices import is_out_of_memory

Predictor = Callable[[Tensor], Tensor] | nn.Module
Where = tuple[slice, ...]  # of a window in [C, D, H, W]
MAX_AUTO = 16  # windows at once: a cancelled run waits for those that were begun
SMALL_PATCH = 48**3  # voxels; PyTorch's convolutions are slow on a processor for one small patch, not for two of them
SHARE = 0.7  # of a GPU's free memory that a batch may take; the rest is for fragments and other programs
SLAB_SHARE = 0.3  # of it that the slab of sums may take; a larger one stays with the volume


def check_batch(batch: int | str) -> int | str:
    """A number of windows from 1, also as text, or "auto". Raises BadInput."""
    if batch == "auto":
        return "auto"
    try:
        size = int(batch) if isinstance(batch, str) else batch
    except ValueError:
        size = 0
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise BadInput(f"The windows at once must be auto or a number from 1, not {batch!r}.")
    return size


def first_batch(batch: int | str, device: torch.device | None, patch: tuple[int, ...] | None) -> int:
    """Windows at once to begin with: what was asked for; for "auto" 2 small ones on a processor, else 1."""
    batch = check_batch(batch)
    if isinstance(batch, int):
        return batch
    small = patch is not None and math.prod(patch) <= SMALL_PATCH
    return 2 if small and device is not None and device.type == "cpu" else 1


@dataclass
class _Chunk:
    """Windows in order: a cut of the volume where all voxels are the same, None for the next one of ``x_BCDHW``."""

    cuts: list[Tensor | None]
    x_BCDHW: Tensor | None


class Feeder:
    """Runs windows through ``predictor``, which maps [b, C, *patch] to logits [b, K, *patch].

    Args:
        device: where the predictor wants its input; default: where the volume is.
        batch: windows at once. "auto": as many as fit a CUDA GPU, judged by what one window takes; elsewhere 1, but 2
            on a processor for a ``patch`` of at most 48^3 voxels.
        skip_constant: do not compute windows of one value again; for predictors without a memory of their own.

    Attributes:
        windows, skipped: how many were asked for, and how many of them were not computed.
        size: windows at once in the end. too_many: the number that was begun with, if it did not fit.
    """

    def __init__(
        self,
        predictor: Predictor,
        device: torch.device | None = None,
        batch: int | str = 1,
        skip_constant: bool = False,
        patch: tuple[int, int, int] | None = None,
    ):
        self.predictor, self.device, self.skip_constant = predictor, device, skip_constant
        self.size = first_batch(batch, device, patch)
        self.windows = self.skipped = 0
        self.too_many: int | None = None
        cuda = device is not None and device.type == "cuda"
        self._measuring = cuda and batch == "auto"  # until the first window has told what it takes
        self._copies = torch.cuda.Stream(device) if cuda else None
        self._unchecked: tuple[torch.cuda.Event, Tensor] | None = None
        self._known: tuple[float, Tensor] | None = None  # the last constant and its logits [K, *patch]

    def logits(self, x_CDHW: Tensor, windows: Iterable[Where]) -> Iterator[Tensor]:
        """Yield the float32 logits [K, *patch] of each window in turn, on the predictor's device.

        Raises:
            Rep3DError: logits that are not finite; and whatever the predictor raises. A batch that is too large for
            the device's memory is tried again as halves.
        """
        rest = iter(windows)
        chunk = self._gather(x_CDHW, rest)
        while chunk.cuts:
            ahead, first = None, self._measuring
            answers = self._answers(chunk.x_BCDHW)
            begun = [next(answers)] if chunk.x_BCDHW is not None else []
            if self._copies is not None and not first:
                ahead = self._gather(x_CDHW, rest)  # cut and sent while the device computes
            computed = chain(begun, answers)
            for cut in chunk.cuts:
                self.windows += 1
                yield next(computed) if cut is None else self._of_constant(cut)
            del begun, answers, computed  # and with them the logits, before the next ones are made
            chunk = ahead or self._gather(x_CDHW, rest)
        self._wait()

    def fits(self, count: int) -> bool:
        """Whether a slab of ``count`` bytes may lie in the GPU's memory."""
        return self.device is not None and self.device.type == "cuda" and count < SLAB_SHARE * _free(self.device)

    def _gather(self, x_CDHW: Tensor, rest: Iterator[Where]) -> _Chunk:
        cuts: list[Tensor | None] = []
        different: list[Tensor] = []
        while len(different) < self.size and (where := next(rest, None)) is not None:
            cut = x_CDHW[where]
            same = self.skip_constant and is_constant(cut)
            cuts.append(cut if same else None)
            if not same:
                different.append(cut)
        return _Chunk(cuts, self._send(different) if different else None)

    def _send(self, cuts: list[Tensor]) -> Tensor:
        """A batch on the device; on its way there if that is a GPU."""
        x_BCDHW = cuts[0].unsqueeze(0) if len(cuts) == 1 else torch.stack(cuts)
        if self.device is None or x_BCDHW.device == self.device:
            return x_BCDHW
        if self._copies is None or x_BCDHW.device.type != "cpu":
            return x_BCDHW.to(self.device)
        with torch.cuda.stream(self._copies):
            return x_BCDHW.contiguous().pin_memory().to(self.device, non_blocking=True)

    def _answers(self, x_BCDHW: Tensor | None) -> Iterator[Tensor]:
        if x_BCDHW is None:
            return
        if self._copies is not None and x_BCDHW.device.type == "cuda":
            stream = torch.cuda.current_stream(self.device)
            stream.wait_stream(self._copies)
            x_BCDHW.record_stream(stream)
        done = 0
        while done < len(x_BCDHW):
            logits = self._predict(x_BCDHW[done : done + self.size])
            done += len(logits)
            yield from logits

    def _predict(self, x_BCDHW: Tensor) -> Tensor:
        """Logits of the batch, or of as much from its beginning as fits the memory."""
        while True:
            try:
                logits = self._measured(x_BCDHW) if self._measuring else self.predictor(x_BCDHW)
            except RuntimeError as error:
                if len(x_BCDHW) == 1 or not is_out_of_memory(error):
                    raise
            else:
                logits = logits.float()
                self._check(logits)
                return logits
            # Out of the except block, so that the error keeps no tensors of the attempt.
            self.too_many = self.too_many or len(x_BCDHW)
            self.size = len(x_BCDHW) // 2
            x_BCDHW = x_BCDHW[: self.size]
            if self._copies is not None:
                torch.cuda.empty_cache()

    def _measured(self, x_BCDHW: Tensor) -> Tensor:
        """One window, and from what it took the number of windows at once."""
        self._measuring = False
        torch.cuda.reset_peak_memory_stats(self.device)
        before = torch.cuda.memory_allocated(self.device)
        logits = self.predictor(x_BCDHW)
        need = max(1, torch.cuda.max_memory_allocated(self.device) - before)
        self.size = int(min(MAX_AUTO, max(1.0, SHARE * (1 - SLAB_SHARE) * _free(self.device) / need)))
        return logits

    def _of_constant(self, cut: Tensor) -> Tensor:
        value = float(cut[0, 0, 0, 0])
        if self._known is not None and self._known[0] == value:
            self.skipped += 1
        else:
            self._known = value, next(self._answers(self._send([cut])))
        return self._known[1]

    def _check(self, logits: Tensor) -> None:
        """See that the logits are finite: those of a GPU one batch later, so that it does not wait."""
        finite = torch.isfinite(logits.sum())  # one number tells of any NaN or infinity
        if finite.device.type != "cuda":
            _require(finite)
            return
        self._wait()
        event, answer = torch.cuda.Event(), torch.empty((), dtype=torch.bool, pin_memory=True)
        answer.copy_(finite, non_blocking=True)
        event.record(torch.cuda.current_stream(logits.device))
        self._unchecked = event, answer

    def _wait(self) -> None:
        """For the batch that was begun last."""
        if self._unchecked is not None:
            event, answer = self._unchecked
            self._unchecked = None
            event.synchronize()
            _require(answer)


def is_constant(x: Tensor) -> bool:
    """Whether all voxels have exactly the same value."""
    if not x.numel() or bool(x[(0,) * x.ndim] != x[tuple(n // 2 for n in x.shape)]):
        return False  # quickly for most
    low, high = torch.aminmax(x)
    return bool(low == high)


def _require(finite: Tensor) -> None:
    if not finite:
        raise Rep3DError(
            "The network returned values that are not finite.", "Try --precision float32, or other weights."
        )


def _free(device: torch.device | None) -> int:
    """Bytes that PyTorch can still allocate on a CUDA GPU."""
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + unused
