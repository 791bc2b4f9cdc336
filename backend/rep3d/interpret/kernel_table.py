"""The kernels of a network as a table: where their energy lies and how far training moved M from P."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from rep3d.interpret.kernels import KernelBlock, dead_share
from rep3d.interpret.masks import distances, radius_holding
from rep3d.shown_text import CsvWriter

RADII = (1, 2, 3, 5, 7, 10)  # taps
MEASURED = ("prior", "mask", "weight", "effective")


def kernel_row(block: KernelBlock) -> dict[str, Any]:
    """One block, JSON-able. Everything is measured on the living taps.

    For each of ``prior``, ``mask``, ``weight``, ``effective`` that there is, see :func:`spread`. ``moved``: how far M
    lies from P, see :func:`moved`.
    """
    arrays = block.arrays()
    box = (..., *block.alive_box)
    mask = block.mask.mask_CKKK[box]
    row: dict[str, Any] = {
        "block": block.name,
        "taps": list(block.kernel),
        "alive": list(block.alive),
        "dead_share": dead_share(block),
        "pitch_mm": list(block.pitch_mm),
        "exponent": block.mask.exponent if block.mask.exponent_known else None,
        "mask_channels": int(mask.shape[0]),
        "mask_min": float(mask.min()),
        "mask_max": float(mask.max()),
        "mask_negative_share": float((mask < 0).mean()),
        "moved": moved(mask, block.mask.prior_KKK[box]),
    }
    for name in MEASURED:
        if name in arrays:
            row[name] = spread(arrays[name][box])
    return row


def spread(values: np.ndarray) -> dict[str, Any]:
    """Where the energy (sum of squares) of [K, K, K] or [C, K, K, K] lies; every channel counts alike.

    Returns:
        energy_within: share inside each of RADII taps that the kernel reaches. radius50, radius90: taps that hold so
        much of it. effective_radius: root of the mean squared distance, weighted by energy. centre_to_edge: mean |v|
        of the centre tap over that of the shell at the nearest face (None where that is 0). channel_radius:
        effective radius of the channels, [lowest, 10 %, median, 90 %, highest].
    """
    values = np.asarray(values, np.float64).reshape(-1, *values.shape[-3:])
    energy = values**2
    total = energy.sum((1, 2, 3))
    share = energy[total > 0] / total[total > 0, None, None, None]
    distance = distances(values.shape[1:])
    face = (min(values.shape[1:]) - 1) // 2
    shell = np.floor(distance + 0.5) == face
    if not len(share):
        raise ValueError("the kernel is zero everywhere, so its energy lies nowhere")
    size = np.abs(values[total > 0])
    size = (size / size.mean((1, 2, 3), keepdims=True)).mean(0)
    edge, centre = size[shell].mean(), size[tuple(k // 2 for k in size.shape)]
    mean = share.mean(0)
    by_channel = np.sqrt((share * distance**2).sum((1, 2, 3)))
    return {
        "energy_within": {str(r): float(mean[distance <= r].sum()) for r in RADII if r <= distance.max()},
        "radius50": radius_holding(distance, mean, 0.5),
        "radius90": radius_holding(distance, mean, 0.9),
        "effective_radius": float(np.sqrt((mean * distance**2).sum())),
        "centre_to_edge": float(centre / edge) if edge > 0 else None,
        "channel_radius": [float(v) for v in np.percentile(by_channel, (0, 10, 50, 90, 100))],
    }


def moved(mask_CKKK: np.ndarray, prior_KKK: np.ndarray) -> dict[str, float | None]:
    """How far M lies from P.

    Returns:
        relative: ||M - P|| / ||P||. correlation: of M with P over the taps (None for a mask without contrast).
        mean, sd: of M - P.
    """
    mask = np.asarray(mask_CKKK, np.float64)
    prior = np.broadcast_to(np.asarray(prior_KKK, np.float64), mask.shape)
    difference = mask - prior
    contrast = mask.std() > 0 and prior.std() > 0
    return {
        "relative": float(np.linalg.norm(difference) / np.linalg.norm(prior)),
        "correlation": float(np.corrcoef(mask.ravel(), prior.ravel())[0, 1]) if contrast else None,
        "mean": float(difference.mean()),
        "sd": float(difference.std()),
    }


def flat(row: dict[str, Any]) -> dict[str, Any]:
    """A row with one value a column, for CSV: nested keys joined by dots, lists by spaces."""
    made: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, dict):
            made.update({f"{key}.{inner}": v for inner, v in flat(value).items()})
        else:
            made[key] = " ".join(map(str, value)) if isinstance(value, list) else value
    return made


def to_csv(rows: list[dict[str, Any]]) -> str:
    """Rows as CSV; columns are those of all rows together, in order of appearance."""
    rows = [flat(row) for row in rows]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    stream = io.StringIO()
    writer = CsvWriter(stream)
    writer.writerow(columns)
    writer.writerows(["" if row.get(name) is None else row[name] for name in columns] for row in rows)
    return stream.getvalue()
