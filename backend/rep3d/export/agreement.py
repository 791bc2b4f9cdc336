"""Does the exported network compute what Rep3D's own does? Measured on windows before anything is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from rep3d.errors import BadInput, WeightsInvalid
from rep3d.export.source import Source

#: Largest difference of any logit that an export may show, in logits.
TOLERANCE = 1e-4
RANDOM_WINDOWS = 2
REAL_WINDOWS_PER_SCAN = 3


@dataclass(frozen=True)
class Windows:
    """Inputs [1, C, *patch] in [0, 1] to compare on, and where they are from."""

    tensors: tuple[Tensor, ...]
    random: int
    real: int
    scans: tuple[str, ...]


@dataclass(frozen=True)
class Agreement:
    """Largest absolute difference of a logit between Rep3D's own network and the exported one.

    Attributes:
        max_logit_difference, tolerance: in logits; largest_logit: of the network's own, to compare with.
        random_windows, real_windows: how many windows were compared; scans: file names that the real ones are from.
        batches: sizes of the batches that were run. sizes: window sizes that were run. runtime: what ran the export.
    """

    max_logit_difference: float
    largest_logit: float
    random_windows: int
    real_windows: int
    scans: tuple[str, ...]
    batches: tuple[int, ...]
    sizes: tuple[tuple[int, ...], ...]
    runtime: str
    tolerance: float = TOLERANCE

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        values = asdict(self)
        return (
            values
            | {"sizes": [list(s) for s in self.sizes], "scans": list(self.scans)}
            | {"batches": list(self.batches)}
        )

    def sentence(self) -> str:
        """For people."""
        where = f"{self.random_windows} random" + (f" and {self.real_windows} real" if self.real_windows else "")
        return (
            f"largest logit difference {self.max_logit_difference:.1e} (limit {self.tolerance:.0e}, largest logit "
            f"{self.largest_logit:.3g}) on {where} windows, {self.runtime}"
        )


def smooth_noise(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Random smooth structures in [0, 1], as images have them; ``shape`` [B, C, X, Y, Z]."""
    coarse = torch.rand((*shape[:2], *(max(2, n // 8) for n in shape[2:])), generator=generator)
    return F.interpolate(coarse, size=tuple(shape[2:]), mode="trilinear")


def make_windows(source: Source, scans: Sequence[Path] = (), *, seed: int = 0) -> Windows:
    """Random windows (noise, and smooth shapes as images have them), and up to three of each scan.

    Scans are prepared exactly as for a segmentation; windows are spread over the body.

    Raises BadInput, OutOfMemory as reading and preparing a scan do.
    """
    from rep3d.data.reading import read_volume
    from rep3d.inference.prepared import prepare
    from rep3d.inference.windows import WindowGrid, padding

    meta = source.meta
    shape = (1, source.network.in_channels, *meta.patch)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(shape, generator=generator)
    found = [noise, smooth_noise(shape, generator)]
    if scans and source.network.in_channels != 1:
        raise BadInput(f"the network takes {source.network.in_channels} channels, a scan has one", "Leave out --scan.")
    for path in scans:
        prepared = prepare(
            read_volume(path),
            meta.task,
            patch=tuple(meta.patch),
            spacing_mm=tuple(meta.spacing_mm),
            intensity=meta.intensity,
        )
        x = prepared.x_CDHW
        pads = padding(tuple(x.shape[1:]), tuple(meta.patch))
        x = F.pad(x, [n for pair in reversed(pads) for n in pair])
        grid = WindowGrid.cover(tuple(x.shape[1:]), tuple(meta.patch), 0.5)
        starts = np.stack(np.meshgrid(*grid.starts, indexing="ij"), -1).reshape(-1, 3)
        chosen = np.unique(np.linspace(0, len(starts) - 1, REAL_WINDOWS_PER_SCAN).round().astype(int))
        for start in starts[chosen]:
            index = (slice(None), *(slice(int(s), int(s) + n) for s, n in zip(start, meta.patch)))
            found.append(x[index].unsqueeze(0).contiguous())
    return Windows(tuple(found), RANDOM_WINDOWS, len(found) - RANDOM_WINDOWS, tuple(Path(p).name for p in scans))


def compare(
    source: Source,
    exported: Callable[[Tensor], Tensor],
    windows: Windows,
    runtime: str,
    *,
    batch: int = 0,
    dynamic_size: bool = False,
) -> Agreement:
    """Run both networks on every window and measure.

    Args:
        exported: [B, C, X, Y, Z] -> logits [B, K, X, Y, Z], both float32 on the CPU.
        runtime: what runs it, for the record.
        batch: the only batch size it takes; 0 for any, then one of two windows is run as well.
        dynamic_size: also run a window that is two strides longer along the first axis.

    Raises:
        BadInput: the exported network cannot be run on one of the inputs.
        WeightsInvalid: a logit differs by more than TOLERANCE, or is not finite.
    """
    inputs = list(windows.tensors)
    if batch:
        inputs = [torch.cat([x] * batch) for x in inputs]
    else:
        inputs.append(torch.cat(inputs[:2]))
    if dynamic_size:
        inputs.append(F.pad(inputs[0], (0, 0, 0, 0, 0, 2 * source.network.stride), mode="replicate"))
    largest = error = 0.0
    with torch.no_grad():
        for x in inputs:
            reference = _run(source.network, x, source, "the network")
            logits = _run(exported, x, source, "the exported network")
            if logits.shape != reference.shape:
                raise WeightsInvalid(f"the exported network returns {list(logits.shape)}, not {list(reference.shape)}")
            difference = float((logits - reference).abs().max())
            error = max(error, difference) if np.isfinite(difference) else float("inf")
            largest = max(largest, float(reference.abs().max()))
    if not error <= TOLERANCE:
        raise WeightsInvalid(
            f"the exported network's logits differ from Rep3D's by {error:.1e}, more than {TOLERANCE:.0e} ({runtime}); "
            "nothing was written",
            "Export to another format, and report this network as one that cannot be exported so.",
        )
    return Agreement(
        error,
        largest,
        windows.random,
        windows.real,
        windows.scans,
        tuple(sorted({len(x) for x in inputs})),
        tuple(sorted({tuple(x.shape[2:]) for x in inputs})),
        runtime,
    )


def _run(run: Callable[[Tensor], Tensor], x: Tensor, source: Source, what: str) -> Tensor:
    try:
        return run(x)
    except Exception as error:  # whatever the runtime raises: some networks hold the sizes they were exported with
        reason = " ".join(str(error).split())[:300]
        raise BadInput(
            f"{what} {source.meta.network['name']!r} does not run on {list(x.shape)}: {reason}",
            "Try --batch 1, or leave out --dynamic-size: some networks take one size alone.",
        ) from error
