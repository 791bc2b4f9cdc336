"""How the phantom is scanned: what the caller fixes, and what the seed draws for the rest."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from rep3d.errors import BadInput
from rep3d.phantom.body import Build
from rep3d.phantom.canvas import Patient
from rep3d.phantom.grid import Grid
from rep3d.phantom.orient import ORIENTATIONS
from rep3d.phantom.shapes import rotation
from rep3d.phantom.tissue import PHASES

#: Part of the body in view: (lowest, highest) height in the template, mm.
FIELDS_OF_VIEW = {
    "full": (-272.0, 178.0),  # abdomen and pelvis: every label is there
    "abdomen": (-120.0, 172.0),
    "upper": (-40.0, 168.0),
    "pelvis": (-272.0, -60.0),
}
#: What an anatomy of label maps may be cut to, besides: a few centimetres somewhere in the trunk.
SLAB = "slab"
_FOV_ODDS = (("full", 0.55), ("abdomen", 0.2), ("upper", 0.17), ("pelvis", 0.08))
#: More voxels than this, slices cut finer included, would need more than about 4 GB while rendering.
MAX_VOXELS = 60_000_000


@dataclass(frozen=True)
class ScanOptions:
    """None or "random": drawn from the seed.

    spacing: mm along right, anterior, superior. shape: voxels in the same order. orientation: axis codes such as "LPS".
    oblique: tilt of the grid in degrees (0 none). noise: standard deviation in HU (0 none).
    fov: full, abdomen, upper or pelvis.
    """

    spacing: tuple[float, float, float] | None = None
    shape: tuple[int, int, int] | None = None
    orientation: str = "RAS"
    oblique: float | None = 0.0
    noise: float | None = None
    phase: str = "random"
    fov: str = "full"

    def replace(self, **changes: Any) -> ScanOptions:
        """A copy with some options changed; an unknown one is refused."""
        known = {f.name for f in dataclasses.fields(self)}
        for name in changes:
            if name not in known:
                raise BadInput(
                    f"the phantom has no option {name!r}", hint=f"Known options: {', '.join(sorted(known))}."
                )
        return dataclasses.replace(self, **changes)

    def check(self, seed: int) -> None:
        """Raise BadInput if the options make no scan."""
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
            raise BadInput(f"seed: a whole number of at least 0 is needed, not {seed!r}", hint="For example 7.")
        if self.spacing is not None and (
            len(self.spacing) != 3 or not all(np.isfinite(s) and 0.3 <= s <= 12 for s in self.spacing)
        ):
            raise BadInput(
                f"spacing: three values from 0.3 to 12 mm are needed, not {self.spacing}", hint="Like 1.5 1.5 3."
            )
        if self.shape is not None and (
            len(self.shape) != 3 or not all(isinstance(n, (int, np.integer)) and 8 <= n <= 2048 for n in self.shape)
        ):
            raise BadInput(
                f"shape: three whole numbers from 8 to 2048 are needed, not {self.shape}", hint="Like 200 160 120."
            )
        if self.orientation != "random" and self.orientation not in ORIENTATIONS:
            raise BadInput(
                f"orientation: {self.orientation!r} is no set of axis codes",
                hint="One letter each of R/L, A/P and S/I, for example RAS, LPS or PIR; or random.",
            )
        if self.oblique is not None and not (np.isfinite(self.oblique) and 0 <= self.oblique <= 45):
            raise BadInput(
                f"oblique: an angle from 0 to 45 degrees is needed, not {self.oblique}", hint="0 is straight."
            )
        if self.noise is not None and not (np.isfinite(self.noise) and 0 <= self.noise <= 200):
            raise BadInput(f"noise: a standard deviation from 0 to 200 HU is needed, not {self.noise}", hint="Like 12.")
        if self.phase not in (*PHASES, "random"):
            raise BadInput(f"phase: {self.phase!r} is unknown", hint=f"Known: {', '.join(PHASES)}, random.")
        if self.fov not in (*FIELDS_OF_VIEW, SLAB, "random"):
            known = ", ".join((*FIELDS_OF_VIEW, SLAB))
            raise BadInput(f"fov: {self.fov!r} is unknown", hint=f"Known: {known}, random.")


def finer(spacing: np.ndarray) -> tuple[int, int, int]:
    """In how many parts voxels are cut along each axis while rendering, so that thick slices average what they hold."""
    return tuple(min(3, max(1, round(float(s) / 2.6))) if s > 3.2 else 1 for s in spacing)


#: The scan of the demo and of the tutorial looks like a routine portal-venous CT of abdomen and pelvis; its seed is far
#: from 0, 1, 2 ..., of which training folders are made.
DEMO_SEED = 202_607
DEMO_OPTIONS = ScanOptions(spacing=(1.8, 1.8, 3.0), orientation="LPS", oblique=0.0, phase="portal", fov="full")


@dataclass(frozen=True)
class ScanPlan:
    """One scan, settled."""

    grid: Grid
    phase: str
    orientation: str
    oblique_deg: float
    fov: str
    noise_hu: float
    blur_mm: float
    table_mm: float

    def describe(self) -> dict[str, Any]:
        """JSON-able record."""
        return {
            "phase": self.phase,
            "orientation": self.orientation,
            "oblique_deg": round(self.oblique_deg, 3),
            "fov": self.fov,
            "spacing_mm": [round(float(s), 4) for s in self.grid.spacing],
            "noise_hu": round(self.noise_hu, 3),
            "blur_mm": round(self.blur_mm, 3),
        }


def draw_plan(rng: np.random.Generator, options: ScanOptions, patient: Patient, build: Build) -> ScanPlan:
    """Settle the scan. Everything is drawn whether it is used or not, so that one option does not change the others."""
    in_plane = float(rng.uniform(1.4, 2.0))
    slices = float(rng.choice([2.0, 2.5, 3.0, 4.0, 5.0], p=[0.2, 0.2, 0.3, 0.15, 0.15]))
    phase = str(rng.choice(PHASES[:3], p=[0.22, 0.25, 0.53]))
    common, uncommon = str(rng.choice(["LPS", "RAS", "LAS"])), str(rng.choice(ORIENTATIONS))
    orientation = common if rng.random() < 0.7 else uncommon
    tilted, angle, axis = rng.random() < 0.15, float(rng.uniform(2, 14)), rng.normal(size=3)
    fov = str(rng.choice([f for f, _ in _FOV_ODDS], p=[p for _, p in _FOV_ODDS]))
    noise, blur = float(rng.gamma(4.0, 3.0)), float(rng.uniform(0.4, 1.1))
    trim, offset = rng.uniform(0, 14, 2), rng.normal(0, 6, 3)

    if options.phase != "random":
        phase = options.phase
    if options.orientation != "random":
        orientation = options.orientation
    if options.oblique is not None:
        tilted, angle = options.oblique > 0, float(options.oblique)
    if options.fov != "random":
        fov = options.fov
    noise = 2 + noise if options.noise is None else float(options.noise)
    low, high = _extent(patient, build, fov, trim, offset)
    # The couch lies under the back skin, which the trunk's profile and the fat set.
    table = -(97.0 + 4.0 + build.fat_back_mm) * float(patient.scale[1]) - 3.0
    low[1] = min(low[1], table - 18)
    spacing = np.array(options.spacing or (in_plane, in_plane, slices), dtype=float)
    if options.shape is not None:
        shape = np.array(options.shape, dtype=int)
        if options.spacing is None:
            spacing = (high - low) / shape
    else:
        shape = np.ceil((high - low) / spacing).astype(int)
    if int(np.prod(shape * np.array(finer(spacing)))) > MAX_VOXELS:
        raise BadInput(
            f"a grid of {' x '.join(map(str, shape))} voxels is too large for the phantom",
            hint="Choose a wider --spacing or a smaller --shape.",
        )
    turn = np.eye(3)
    if tilted:
        axis = axis / np.linalg.norm(axis) * angle
        turn = rotation(*axis)
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag(spacing)
    affine[:3, 3] = (low + high) / 2 - affine[:3, :3] @ ((shape - 1) / 2)
    grid = Grid(tuple(int(n) for n in shape), affine)
    return ScanPlan(grid, phase, orientation, angle if tilted else 0.0, fov, noise, blur, table)


def _extent(patient: Patient, build: Build, fov: str, trim, offset) -> tuple[np.ndarray, np.ndarray]:
    """Patient-space box of the scan: the body's width with a little air, and the heights that ``fov`` names."""
    half_x = (161 + 3 + build.fat_mm) * patient.scale[0] + 8 + trim[0] * 0.5
    front = (100 * build.belly + 3 + build.fat_mm) * patient.scale[1] + 8 + trim[1] * 0.5
    back = -(100 + 4 + build.fat_back_mm) * patient.scale[1] - 10
    z_low, z_high = FIELDS_OF_VIEW[fov]
    if fov != "full":
        z_low, z_high = z_low + 3 * float(offset[2]), z_high - float(trim[0])
    if fov == "pelvis":
        z_low = FIELDS_OF_VIEW[fov][0]
    low = np.array([-half_x, back, z_low * patient.scale[2]])
    high = np.array([half_x, front, z_high * patient.scale[2]])
    return low, high
