"""Label maps of real people as shapes of a painted CT: read them, fit the organs of one into the trunk of another."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage
from scipy.interpolate import RBFInterpolator

from rep3d.data.reading import read_labelmap
from rep3d.errors import BadInput
from rep3d.phantom.structures import Structure, structure_of

#: Everything is kept on a grid of this voxel size, axes R, A, S.
STEP_MM = 2.0
#: Organs that a map must hold to be fitted into a trunk.
FITTED = (
    Structure.SPLEEN, Structure.LEFT_KIDNEY, Structure.LIVER, Structure.STOMACH, Structure.PANCREAS, Structure.DUODENUM,
)  # fmt: skip
#: What a whole trunk must show besides.
_TRUNK = (Structure.VERTEBRA, Structure.RIGHT_KIDNEY, Structure.AORTA, Structure.BLADDER, Structure.BONE)
#: Thin or leading structures, which keep their voxels where an organ of another person is put over them.
_KEPT = (
    Structure.AORTA, Structure.INFERIOR_VENA_CAVA, Structure.RIGHT_ADRENAL, Structure.LEFT_ADRENAL, Structure.VERTEBRA,
    Structure.RIB, Structure.CORD, Structure.BONE, Structure.PORTAL_VEIN,
)  # fmt: skip


@dataclass(frozen=True)
class Anatomy:
    """Structures of one person.

    codes: uint8 [X, Y, Z] of :class:`Structure`, axes R, A, S, voxels of 2 mm; origin: RAS mm of the first voxel, the
    middle of the vertebrae (else of everything) at x = y = 0; name: what made it.
    """

    codes: np.ndarray
    origin: np.ndarray
    name: str

    def mask(self, *structures: Structure) -> np.ndarray:
        """Where one of ``structures`` is, bool [X, Y, Z]."""
        return np.isin(self.codes, structures)

    def has(self, *structures: Structure) -> bool:
        """True when every one of ``structures`` has at least a millilitre, adrenals and the like a tenth of it."""
        count = np.bincount(self.codes.ravel(), minlength=256)
        return all(count[s] * STEP_MM**3 >= 100 for s in structures)

    @property
    def whole(self) -> bool:
        """True for a trunk that can be painted as it is; false for a set of organs."""
        return self.has(*_TRUNK)

    def points(self, index: np.ndarray) -> np.ndarray:
        """RAS millimetres of voxel indices [N, 3]."""
        return index * STEP_MM + self.origin


def label_maps(paths: list[Path]) -> list[Path]:
    """The label maps that files and folders name: of a folder all files ``*_label.nii.gz``, sorted.

    The meaning of values stands in ``NAME_labels.json`` beside a map (value: name) or in the column ``labels`` of a
    ``manifest.csv`` in its folder (``1 spleen; 2 pancreas``). Raises BadInput if there is none.
    """
    files = [f for path in paths for f in (sorted(path.glob("*_label.nii.gz")) if path.is_dir() else [path])]
    if not files:
        raise BadInput(f"{paths[0]}: no label maps.", "Give files, or a folder that holds files named *_label.nii.gz.")
    return files


def read_anatomy(path: Path) -> Anatomy:
    """Read one label map. Raises BadInput, also when a value has no name."""
    volume = read_labelmap(path)
    names = _names(path)
    table = np.zeros(int(volume.array.max()) + 1, dtype=np.uint8)
    for value in np.unique(volume.array[volume.array > 0]):
        if int(value) not in names:
            raise BadInput(f"{path}: value {value} has no name.", f"Name it in {_names_file(path).name}.")
        table[value] = structure_of(names[int(value)]) or Structure.AIR
    codes, origin = _to_grid(table[volume.array], volume.affine)
    return _centred(codes, origin, path.name.removesuffix(".nii.gz").removesuffix("_label"))


def _names_file(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(".nii.gz").removesuffix("_label") + "_labels.json")


def _names(path: Path) -> dict[int, str]:
    own, manifest = _names_file(path), path.with_name("manifest.csv")
    if own.is_file():
        return {int(k): str(v) for k, v in json.loads(own.read_text(encoding="utf-8")).items()}
    if manifest.is_file():
        with manifest.open(encoding="utf-8", newline="") as rows:
            for row in csv.DictReader(rows):
                if row.get("file") == path.name:
                    pairs = [part.strip().split(" ", 1) for part in row.get("labels", "").split(";")]
                    return {int(value): name for value, name in pairs}
    raise BadInput(f"{path}: nothing says what its values mean.", f"Write {own.name} beside it: a name for each value.")


def _to_grid(codes: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nearest resampling to 2 mm along R, A, S, cropped to what is labelled."""
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in codes.shape], indexing="ij")).reshape(3, -1)
    placed = (affine[:3, :3] @ corners).T + affine[:3, 3]
    low, high = placed.min(axis=0), placed.max(axis=0)
    shape = np.round((high - low) / STEP_MM).astype(int) + 1
    inverse = np.linalg.inv(affine)
    matrix, offset = inverse[:3, :3] * STEP_MM, inverse[:3, :3] @ low + inverse[:3, 3]
    out = ndimage.affine_transform(codes, matrix, offset, tuple(shape), order=0)
    box = ndimage.find_objects((out > 0).astype(np.uint8))[0]
    return out[box], low + STEP_MM * np.array([s.start for s in box])


def _centred(codes: np.ndarray, origin: np.ndarray, name: str) -> Anatomy:
    spine = codes == Structure.VERTEBRA
    where = np.argwhere(spine if spine.any() else codes > 0)
    liver = np.argwhere(codes == Structure.LIVER)
    middle = np.array([*where.mean(axis=0)[:2], (liver if len(liver) else where)[:, 2].mean()])
    return Anatomy(np.ascontiguousarray(codes), -middle * STEP_MM, name)


def fit(organs: Anatomy, trunk: Anatomy) -> Anatomy | None:
    """Put the organs of one person into the trunk of another.

    The trunk is carried to the organs: stretched along its axes and moved so that the organs that both have agree in
    place and size, then bent smoothly until their centres and extents do. Its own organs of these kinds give way.

    Args:
        organs: a set of organs without a body.
        trunk: a whole trunk.

    Returns:
        The new anatomy, or None where an organ that only the trunk has would lose more than a third of its volume.
    """
    shared = [s for s in Structure if 1 <= s <= 15 and organs.has(s) and trunk.has(s)]
    here = np.concatenate([_landmarks(organs, s) for s in shared])
    there = np.concatenate([_landmarks(trunk, s) for s in shared])
    scale, shift = _stretch(here, there)
    rest = there - (here * scale + shift)
    bend = RBFInterpolator(here, rest, kernel="gaussian", epsilon=1 / 60.0, smoothing=0.3, degree=-1)
    # The box of the trunk in the space of the organs, with a margin for what bends outwards.
    low = (trunk.origin - shift) / scale - 10
    high = (trunk.points(np.array(trunk.codes.shape) - 1) - shift) / scale + 10
    shape = np.ceil((high - low) / STEP_MM).astype(int) + 1
    index = _carried(trunk, low, shape, scale, shift, bend)
    codes = np.zeros(tuple(shape), dtype=np.uint8)
    inside = np.all([(i >= 0) & (i < n) for i, n in zip(index, trunk.codes.shape)], axis=0)
    codes[inside] = trunk.codes[tuple(i[inside] for i in index)]
    before = np.bincount(codes.ravel(), minlength=64)
    codes[np.isin(codes, shared)] = Structure.AIR  # filled with fat or bowel later
    first = np.round((organs.origin - low) / STEP_MM).astype(int)
    last = np.minimum(first + organs.codes.shape, codes.shape)
    if (first < 0).any():
        return None
    window = tuple(slice(a, b) for a, b in zip(first, last))
    piece = organs.codes[tuple(slice(0, b - a) for a, b in zip(first, last))]
    target = codes[window]
    put = (piece > 0) & ~np.isin(target, _KEPT)
    target[put] = piece[put]
    after = np.bincount(codes.ravel(), minlength=64)
    alone = [s for s in Structure if 1 <= s <= 15 and s not in shared and trunk.has(s)]
    if any(after[s] < before[s] * 0.66 for s in alone):
        return None
    return _centred(codes, low, f"{organs.name}+{trunk.name}")


def _landmarks(anatomy: Anatomy, structure: Structure) -> np.ndarray:
    """Centre of a structure and the middle of its six sides (5th and 95th percentile), RAS mm [7, 3]."""
    points = anatomy.points(np.argwhere(anatomy.codes == structure).astype(float))
    centre = points.mean(axis=0)
    marks = [centre]
    for axis in range(3):
        for level in np.percentile(points[:, axis], (5, 95)):
            mark = centre.copy()
            mark[axis] = level
            marks.append(mark)
    return np.array(marks)


def _stretch(here: np.ndarray, there: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scale and shift along each axis that carry ``here`` to ``there``; the scale is held within 0.75 to 1.35."""
    a, b = here - here.mean(axis=0), there - there.mean(axis=0)
    scale = np.clip((a * b).sum(axis=0) / (a * a).sum(axis=0), 0.75, 1.35)
    return scale, there.mean(axis=0) - here.mean(axis=0) * scale


def _carried(trunk, low, shape, scale, shift, bend) -> list[np.ndarray]:
    """Indices into the trunk for every voxel of the new grid; the bending is worked out every 24 mm."""
    step = 12
    coarse = [np.arange(0, n + step, step) for n in shape]
    points = np.stack(np.meshgrid(*coarse, indexing="ij"), axis=-1).reshape(-1, 3) * STEP_MM + low
    bent = bend(points).reshape(*map(len, coarse), 3).astype(np.float32)
    out = []
    for axis in range(3):
        moved = bent[..., axis]
        for a in range(3):
            moved = _stretched(moved, a, shape[a], step)
        line = [1, 1, 1]
        line[axis] = -1
        own = ((np.arange(shape[axis]) * STEP_MM + low[axis]) * scale[axis] + shift[axis]).reshape(line)
        moved += (own - trunk.origin[axis]).astype(np.float32)
        out.append(np.rint(moved / np.float32(STEP_MM)).astype(np.int32))
    return out


def _stretched(values: np.ndarray, axis: int, count: int, step: int) -> np.ndarray:
    """Linear interpolation of coarse values to ``count`` positions along one axis."""
    position = np.arange(count) / step
    first = position.astype(int)
    part = (position - first).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
    left, right = np.take(values, first, axis), np.take(values, first + 1, axis)
    return left + part * (right - left)
