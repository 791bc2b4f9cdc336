"""Kernels as files: a table as text, CSV and JSON, all arrays as .npz, volumes with the taps as voxels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from rep3d.files import atomic_path, write_text
from rep3d.interpret.kernel_table import kernel_row, to_csv
from rep3d.interpret.kernels import KernelSet, volume_of
from rep3d.interpret.map_files import kernel_grid, write_map

MEANING = {
    "prior": "prior P",
    "generator": "generator output f(P)",
    "mask": "modulation mask M",
    "weight": "raw kernel W",
    "effective": "effective kernel W * M",
}


def export_table(folder: Path, kernels: KernelSet) -> list[dict[str, Any]]:
    """Write masks.json, masks.csv and masks.txt; returns the rows. Raises OutputFailed."""
    rows = [kernel_row(block) for block in kernels.blocks]
    record = {"origin": kernels.origin, "step": kernels.step, "fused": kernels.fused, "blocks": rows}
    write_text(folder / "masks.csv", to_csv(rows))
    write_text(folder / "masks.txt", text_table(rows) + "\n")
    write_text(folder / "masks.json", json.dumps(record, indent=1) + "\n")
    return rows


def export_arrays(path: Path, kernels: KernelSet) -> Path:
    """Write every array, float32, under "block/name" ([K, K, K] or [C, K, K, K]) and the living taps "block/alive"."""
    arrays: dict[str, np.ndarray] = {"origin": np.array(json.dumps(kernels.origin))}
    for block in kernels.blocks:
        arrays |= {f"{block.name}/{name}": array for name, array in block.arrays().items()}
        arrays[f"{block.name}/alive"] = np.array(block.alive)
        arrays[f"{block.name}/exponent"] = np.array(block.mask.exponent if block.mask.exponent_known else np.nan)
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **arrays)
    return path


def export_volumes(folder: Path, kernels: KernelSet, fmt: str) -> list[Path]:
    """Write each array of each block as a volume, one voxel a tap, as large as the tap is in the patient.

    Arrays with channels become their root mean square (a mask's single channel stays as it is, with its sign).
    """
    written = []
    for block in kernels.blocks:
        grid = kernel_grid(block.kernel, block.pitch_mm)
        for name, array in block.arrays().items():
            path = folder / f"{block.name}.{name}.{fmt}"
            over = ", root mean square over channels" if array.ndim == 4 and array.shape[0] > 1 else ""
            record = {
                "origin": kernels.origin,
                "step": kernels.step,
                "block": block.name,
                "array": name,
                "alive": list(block.alive),
                "kernel": list(block.kernel),
            }
            write_map(path, volume_of(array), grid, f"Rep3D {block.name} {MEANING[name]}{over}", record)
            written.append(path)
    return written


def text_table(rows: list[dict[str, Any]]) -> str:
    """The rows for people, in columns of plain text."""
    heads = ("block", "taps", "alive", "a", "|M-P|/|P|", "M centre/edge", "r90 M", "r(W*M)", "r90 W*M", "in 3 taps")
    lines = [heads]
    for row in rows:
        edge = row["mask"]["centre_to_edge"]
        within = row["effective"]["energy_within"]
        lines.append(
            (
                row["block"],
                "x".join(map(str, row["taps"])),
                "x".join(map(str, row["alive"])),
                "-" if row["exponent"] is None else f"{row['exponent']:+.3f}",
                f"{row['moved']['relative']:.2f}",
                "-" if edge is None else f"{edge:.1f}",
                f"{row['mask']['radius90']:.1f}",
                f"{row['effective']['effective_radius']:.1f}",
                f"{row['effective']['radius90']:.1f}",
                f"{100 * within['3']:.0f} %" if "3" in within else "-",
            )
        )
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(line, widths)).rstrip() for line in lines)
