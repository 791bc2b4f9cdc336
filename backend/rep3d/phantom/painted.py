"""A CT painted from the label map of a real anatomy: :func:`paint`, the same voxels for the same seed and options."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rep3d.errors import BadInput
from rep3d.phantom import scanner
from rep3d.phantom.anatomy import FITTED, STEP_MM, Anatomy, fit, label_maps, read_anatomy
from rep3d.phantom.artefacts import spoil
from rep3d.phantom.contrast import Contrast
from rep3d.phantom.fields import SmoothField
from rep3d.phantom.generator import Phantom
from rep3d.phantom.grid import Grid
from rep3d.phantom.options import MAX_VOXELS, SLAB, ScanOptions, ScanPlan, finer
from rep3d.phantom.orient import ORIENTATIONS, reorient
from rep3d.phantom.painter import Painter
from rep3d.phantom.shapes import rotation
from rep3d.phantom.structures import Structure as S
from rep3d.phantom.tissue import PHASES
from rep3d.phantom.trunk import complete

#: Painted scans change with this number: the same seed gives the same scan within one version.
PAINTED_VERSION = 1
_FOV_ODDS = {"full": 0.38, "abdomen": 0.2, "upper": 0.14, "pelvis": 0.08, SLAB: 0.2}


class Anatomies:
    """The label maps of a cohort, and the trunks that organs of others are fitted into.

    Args:
        paths: label maps or folders of them (see :func:`rep3d.phantom.anatomy.label_maps`).

    Raises:
        BadInput: no map, one whose values have no names, or no whole trunk among them.
    """

    def __init__(self, paths: list[Path]):
        files = label_maps(paths)
        maps = [read_anatomy(f) for f in files]
        #: sha256 of every label map, by its name.
        self.hashes = {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in files}
        self.trunks = [a for a in maps if a.whole]
        self.organs = [a for a in maps if not a.whole and a.has(*FITTED)]
        if not self.trunks:
            raise BadInput(
                f"{paths[0]}: no label map shows a whole trunk.",
                "At least one needs vertebrae, both kidneys, aorta, bladder and pelvic bones.",
            )
        self.fitted = functools.lru_cache(maxsize=64)(self._fitted)

    def _fitted(self, organ: int, trunk: int) -> Anatomy | None:
        return fit(self.organs[organ], self.trunks[trunk])

    def draw(self, rng: np.random.Generator) -> Anatomy:
        """A trunk of its own (one in five), else one with the organs of another person."""
        for _ in range(20):
            trunk, own = int(rng.integers(len(self.trunks))), rng.random() < 0.2
            organ = int(rng.integers(len(self.organs))) if self.organs else 0
            if not own and self.organs and (found := self.fitted(organ, trunk)) is not None:
                return found
        return self.trunks[trunk]


@dataclass(frozen=True)
class _Person:
    """One body: its anatomy, and how far it is stretched and bent."""

    anatomy: Anatomy
    scale: np.ndarray
    bends: tuple[tuple[SmoothField, SmoothField, SmoothField], ...]
    amplitudes: tuple[float, ...]

    def sample(self, grid: Grid) -> np.ndarray:
        """Structures on ``grid``, uint8: nearest voxel of the anatomy, air outside it."""
        codes = self.anatomy.codes
        index, inside = [], np.ones(grid.shape, dtype=bool)
        for axis in range(3):
            place = np.broadcast_to(grid.coordinate(axis), grid.shape).astype(np.float32)
            for fields, amplitude in zip(self.bends, self.amplitudes):
                place += np.float32(amplitude) * fields[axis].sample(grid)
            place /= np.float32(self.scale[axis])
            where = np.rint((place - np.float32(self.anatomy.origin[axis])) / np.float32(STEP_MM)).astype(np.int32)
            if axis == 2:  # the trunk goes on above and below what was labelled
                np.clip(where, 0, codes.shape[2] - 1, out=where)
            inside &= (where >= 0) & (where < codes.shape[axis])
            index.append(np.clip(where, 0, codes.shape[axis] - 1))
        return np.where(inside, codes[tuple(index)], np.uint8(S.AIR))


def paint(seed: int, anatomies: Anatomies, options: ScanOptions | None = None, **changes: Any) -> Phantom:
    """Paint a CT of the trunk from real shapes, with its truth.

    Args:
        seed: a whole number of at least 0; decides person, contrast, scan and noise.
        anatomies: where the shapes come from.
        options: see :class:`ScanOptions`; what is left out is drawn from the seed.
        **changes: single options.

    Returns:
        int16 HU and AMOS's 15 labels.

    Raises:
        BadInput: options that make no scan.

    Example:
        >>> scan = paint(7, Anatomies([Path("shapes")]), spacing=(3, 3, 3))  # doctest: +SKIP
    """
    options = (options or ScanOptions()).replace(**changes)
    options.check(seed)
    body, scan, contrast, noise = (np.random.default_rng(s) for s in np.random.SeedSequence((int(seed), 2)).spawn(4))
    person, female = _draw_person(body, anatomies)
    plan = _draw_view(scan, options, person)
    factors = finer(plan.grid.spacing)
    fine = plan.grid.refined(factors)
    codes = person.sample(fine)
    hu = Painter(codes, fine, Contrast.draw(contrast, plan.phase), contrast).paint()
    scanner.add_table(hu, fine, plan.table_mm, float(np.mean(fine.spacing)))
    spoiled = spoil(hu, fine, noise)
    labels = np.where(codes <= S.PROSTATE_UTERUS, codes, np.uint8(0))
    painted = scanner.Painted(hu, labels, np.ones(labels.shape, dtype=np.float32))
    image, labels = scanner.acquire(painted, plan.grid, factors, noise, plan.noise_hu, plan.blur_mm)
    image, labels, affine = reorient(image, labels, plan.grid.affine, plan.orientation)
    meta = {"generator": "rep3d phantom --anatomy", "version": PAINTED_VERSION, "seed": int(seed)}
    meta |= {"anatomy": person.anatomy.name, "sex": "F" if female else "M", "artefacts": spoiled}
    return Phantom(image, labels, affine, meta | plan.describe())


def _draw_person(rng: np.random.Generator, anatomies: Anatomies) -> tuple[_Person, bool]:
    anatomy = complete(anatomies.draw(rng), rng)
    female = bool(rng.random() < 0.5)
    if female:
        _make_female(anatomy, rng)
    scale = np.clip(rng.normal(1.0, 0.07, 3), 0.84, 1.18)
    bends = tuple(tuple(SmoothField.draw(rng, mm) for _ in range(3)) for mm in (90.0, 28.0))
    return _Person(anatomy, scale, bends, (float(rng.uniform(3, 9)), float(rng.uniform(0.4, 1.6)))), female


def _make_female(anatomy: Anatomy, rng: np.random.Generator) -> None:
    """Put a womb behind and above the bladder in place of the prostate; in place, on the anatomy's own copy."""
    codes = anatomy.codes
    codes[codes == S.PROSTATE_UTERUS] = S.INNER_FAT
    bladder = np.argwhere(codes == S.BLADDER)
    if not len(bladder):
        return
    centre = np.array(
        [np.median(bladder[:, 0]), bladder[:, 1].min() + 2, np.percentile(bladder[:, 2], rng.uniform(40, 90))]
    )
    radii = rng.uniform((22, 16, 20), (34, 26, 36)) / STEP_MM
    steps = [((np.arange(n) - c) / r) ** 2 for n, c, r in zip(codes.shape, centre, radii)]
    womb = steps[0][:, None, None] + steps[1][None, :, None] + steps[2][None, None, :] < 1
    codes[womb & np.isin(codes, (S.INNER_FAT, S.SMALL_BOWEL, S.COLON))] = S.PROSTATE_UTERUS


def _draw_view(rng: np.random.Generator, options: ScanOptions, person: _Person) -> ScanPlan:
    """Settle the scan. Everything is drawn whether it is used or not, so that options do not change each other."""
    in_plane = float(rng.uniform(1.3, 2.0))
    slices = float(rng.choice([1.5, 2.0, 2.5, 3.0, 5.0, 8.0], p=[0.15, 0.2, 0.2, 0.2, 0.2, 0.05]))
    phase = str(rng.choice(PHASES, p=[0.2, 0.2, 0.5, 0.1]))
    common, uncommon = str(rng.choice(["LPS", "RAS", "LAS"])), str(rng.choice(ORIENTATIONS))
    orientation = common if rng.random() < 0.7 else uncommon
    tilted, angle, axis = rng.random() < 0.15, float(rng.uniform(2, 12)), rng.normal(size=3)
    fov = str(rng.choice(list(_FOV_ODDS), p=list(_FOV_ODDS.values())))
    noise, blur = 2 + float(rng.gamma(3.0, 4.0)), float(rng.uniform(0.5, 1.3))
    place, thick, air, cut = rng.random(), rng.uniform(40, 80), rng.uniform(0, 30, 4), rng.random()
    phase = phase if options.phase == "random" else options.phase
    orientation = orientation if options.orientation == "random" else options.orientation
    fov = fov if options.fov == "random" else options.fov
    noise = noise if options.noise is None else float(options.noise)
    if options.oblique is not None:
        tilted, angle = options.oblique > 0, float(options.oblique)
    anatomy, scale = person.anatomy, person.scale
    low, high = _body_box(anatomy, scale)
    table = low[1] - 3.0
    if cut < 0.25:  # the field of view is smaller than the body
        low[:2] += air[:2]
        high[:2] -= air[2:]
    else:
        low[:2] -= (air[0], air[1] + 15)  # the couch
        high[:2] += air[2:]
    low[2], high[2] = _heights(anatomy, fov, place, thick) * scale[2]
    spacing = np.array(options.spacing or (in_plane, in_plane, slices), dtype=float)
    shape = np.maximum(np.ceil((high - low) / spacing).astype(int), 8)
    if options.shape is not None:
        shape = np.array(options.shape, dtype=int)
        spacing = spacing if options.spacing is not None else (high - low) / shape
    if int(np.prod(shape * np.array(finer(spacing)))) > MAX_VOXELS:
        raise BadInput(
            f"a grid of {' x '.join(map(str, shape))} voxels is too large for the phantom",
            hint="Choose a wider --spacing or a smaller --shape.",
        )
    turn = rotation(*(axis / np.linalg.norm(axis) * angle)) if tilted else np.eye(3)
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag(spacing)
    affine[:3, 3] = (low + high) / 2 - affine[:3, :3] @ ((shape - 1) / 2)
    grid = Grid(tuple(int(n) for n in shape), affine)
    return ScanPlan(grid, phase, orientation, angle if tilted else 0.0, fov, noise, blur, table)


def _body_box(anatomy: Anatomy, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners of the body with its skin, RAS mm."""
    body = anatomy.codes > S.AIR
    spans = [np.flatnonzero(body.any(axis=tuple(b for b in range(3) if b != a)))[[0, -1]] for a in range(3)]
    first, last = np.array(spans).T
    return (first * STEP_MM + anatomy.origin) * scale, (last * STEP_MM + anatomy.origin) * scale


def _heights(anatomy: Anatomy, fov: str, place: float, thick: float) -> np.ndarray:
    """Lowest and highest height in view, mm of the anatomy."""

    def span(*structures: S) -> np.ndarray:
        z = np.flatnonzero(anatomy.mask(*structures).any(axis=(0, 1)))
        return z[[0, -1]] * STEP_MM + anatomy.origin[2]

    upper = span(S.LIVER, S.SPLEEN)
    lower = span(S.BLADDER)
    kidneys = span(S.RIGHT_KIDNEY, S.LEFT_KIDNEY)
    bottom, top = lower[0] - 45, upper[1] + 25
    if fov == "full":
        return np.array([bottom + 20 * place, top])
    if fov == "abdomen":
        return np.array([kidneys[0] - 60 * place, top])
    if fov == "upper":
        return np.array([kidneys[0] + 60 * place, top])
    if fov == "pelvis":
        return np.array([bottom, lower[1] + 30 + 60 * place])
    start = bottom + 30 + place * (top - thick - bottom - 30)
    return np.array([start, start + thick])
