"""Masks, priors and effective kernels of the large-kernel blocks as small volumes, a chart and a table.

A tap is a voxel of 1 mm, the centre tap lies at the origin and the axes are those of the network's grid (right,
anterior, superior). One set of nodes shows one block at a time; browsing changes their voxels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InputError
from ..i18n import _
from .colors import taps_colors
from .folder import MASK, keep, kept
from .images import fill_volume, new_volume, show_range
from .profile import show_profile
from .rendering import render_volume
from .tables import fill_table, new_table

#: What a volume shows; also the role of its node.
PARTS = ("mask", "prior", "kernel")


@dataclass(frozen=True)
class Block:
    """One block. mask_CKKK, prior_KKK, kernel_CKKK: float32, taps; row: of the worker's ``masks``."""

    name: str
    mask_CKKK: np.ndarray
    prior_KKK: np.ndarray
    kernel_CKKK: np.ndarray
    row: Mapping[str, Any]

    @property
    def channels(self) -> int:
        """Of the kernel; the mask may be the same for all."""
        return int(self.kernel_CKKK.shape[0])

    def part(self, name: str, channel: int | None) -> np.ndarray:
        """The taps [K, K, K] of a part (of PARTS), of one channel or of all (None).

        All: the mean of the mask, the root mean square of the kernel, whose channels would cancel out. Raises
        InputError for a channel that does not exist.
        """
        if channel is not None and not 0 <= channel < self.channels:
            text = _("{block} has no channel {channel} (counted from 0); it has {count}.")
            raise InputError(text.format(block=self.name, channel=channel, count=self.channels))
        if name == "prior":
            return self.prior_KKK
        if name == "mask":
            shared = self.mask_CKKK.shape[0] == 1
            return self.mask_CKKK[0 if shared else channel] if shared or channel is not None else self.mask_CKKK.mean(0)
        if channel is not None:
            return self.kernel_CKKK[channel]
        return np.sqrt((self.kernel_CKKK.astype(np.float64) ** 2).mean(0)).astype(np.float32)


@dataclass(frozen=True)
class MaskSet:
    """All blocks of some weights. ``task`` and ``weights``: key and id, for names."""

    blocks: tuple[Block, ...]
    task: str
    weights: str

    def index(self, name: str) -> int:
        """Position of a block. Raises InputError, listing the blocks, for an unknown one."""
        names = [block.name for block in self.blocks]
        if name not in names:
            raise InputError(
                _("There is no block {name}.").format(name=name), _("Blocks: {0}.").format(", ".join(names))
            )
        return names.index(name)


@dataclass(frozen=True)
class MaskNodes:
    """Nodes that show a block: a volume and a rendering for each of PARTS, the chart and the table of numbers."""

    volumes: Mapping[str, Any]
    renderings: Mapping[str, Any]
    chart: Any
    table: Any


def show_block(masks: MaskSet, block: Block, channel: int | None = None, scan: Any = None) -> MaskNodes:
    """Show a block, in the nodes that show one already or in new ones beside ``scan`` (None: in the scene's folder)."""
    title = f"{masks.task} {block.name}"
    names = {"mask": _("{0} mask"), "prior": _("{0} prior"), "kernel": _("{0} kernel")}
    volumes, renderings = {}, {}
    for part in PARTS:
        values = np.asarray(block.part(part, channel), np.float32)
        name = names[part].format(title)
        if channel is not None and part != "prior":
            name += _(", channel {number} of {count}").format(number=channel + 1, count=block.channels)
        found = kept(MASK, part)
        node = found[0] if found else new_volume(name)
        node.SetName(name)
        fill_volume(node, values, taps_affine(values.shape))
        keep(node, MASK, part, scan)
        show_range(node, *display_range(values), taps_colors(values.min() < 0))
        node.GetDisplayNode().SetInterpolate(False)  # a tap is a tap
        volumes[part], renderings[part] = node, render_volume(node, values)
    chart = show_profile(title, block.row, _chart_title(block), scan)
    found = kept(MASK, "numbers")
    table = found[0] if found else new_table(title)
    table.SetName(_("{0} numbers").format(title))
    fill_table(keep(table, MASK, "numbers", scan), number_columns(block))
    return MaskNodes(volumes, renderings, chart, table)


def show_part(nodes: MaskNodes, part: str) -> None:
    """Render one of the volumes in 3D, and hide the others."""
    for name, rendering in nodes.renderings.items():
        rendering.SetVisibility(name == part)


def taps_affine(shape: tuple[int, ...]) -> np.ndarray:
    """4x4 from a tap's index to RAS mm: 1 mm a tap, the centre tap at the origin."""
    affine = np.eye(4)
    affine[:3, 3] = [-(n // 2) for n in shape]
    return affine


def number_columns(block: Block) -> list[tuple[str, str, list[Any]]]:
    """The table of numbers: quantities down, mask, prior and kernel across; nan where one does not apply."""
    numbers = block.row.get("numbers") or {}
    parts = [numbers.get(key) or {} for key in ("mask", "prior", "effective")]
    rows: list[tuple[str, list[float | None]]] = []
    for radius in parts[0].get("energy_within") or {}:
        rows.append((_("Energy, r ≤ {0} taps").format(radius), [p.get("energy_within", {}).get(radius) for p in parts]))
    for key, title in (
        ("radius50", _("50 % within (taps)")),
        ("radius90", _("90 % within (taps)")),
        ("effective_radius", _("Effective radius (taps)")),
        ("centre_to_edge", _("Centre / edge")),
    ):
        rows.append((title, [p.get(key) for p in parts]))
    moved, pitch = numbers.get("moved") or {}, numbers.get("pitch_mm") or [None] * 3
    rows += [
        (_("Learned exponent"), [None, block.row.get("exponent"), None]),
        (_("|M - P| / |P|"), [moved.get("relative"), None, None]),
        (_("Correlation, M and P"), [moved.get("correlation"), None, None]),
        (_("Untrained taps, share"), [None, None, numbers.get("dead_share")]),
        (_("Channels"), [float(block.mask_CKKK.shape[0]), None, float(block.channels)]),
    ]
    rows += [(_("Tap pitch {0} (mm)").format(axis), [None, None, p]) for axis, p in zip("RAS", pitch)]
    return [
        (_("Quantity"), "", [title for title, _values in rows]),
        (_("Mask"), "", [values[0] for _title, values in rows]),
        (_("Prior"), "", [values[1] for _title, values in rows]),
        (_("Kernel"), "", [values[2] for _title, values in rows]),
    ]


def display_range(values_XYZ: np.ndarray) -> tuple[float, float]:
    """Window of the display: from the lowest to the highest value, symmetric about zero with both signs."""
    low, high = float(values_XYZ.min()), float(values_XYZ.max())
    if low < 0:
        top = max(-low, high)
        return -top, top
    return low, high if high > low else low + 1.0


def _chart_title(block: Block) -> str:
    exponent = block.row.get("exponent")
    if exponent is None:
        return block.name
    return _("{block}: prior with learned exponent {value:.3f}").format(block=block.name, value=exponent)
