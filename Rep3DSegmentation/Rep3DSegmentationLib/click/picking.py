"""What a click takes: the structure at a voxel, as far as it hangs together above a threshold."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from ..backend_location import backend_module
from ..errors import WorkerError
from ..i18n import _

if TYPE_CHECKING:
    from rep3d.probability_map import ProbabilityMap

Index = tuple[int, int, int]
REMEMBERED_CLASSES = 2


@dataclass(frozen=True)
class Hit:
    """The structure at a voxel: ``label`` is its ``Label.to_dict()``."""

    label: Mapping[str, Any]
    probability: float

    @property
    def value(self) -> int:
        return int(self.label["value"])

    @property
    def name(self) -> str:
        return str(self.label["name"])


@dataclass(frozen=True)
class Pick:
    """Voxels to take. ``mask`` [i, j, k] uint8 of 0 and 1 begins at voxel ``first``; empty when nothing was picked.

    ``hit`` is what lies at the voxel (None: background); ``message`` says what was taken, or why nothing was.
    """

    mask: np.ndarray
    first: Index
    hit: Hit | None
    message: str

    @property
    def voxels(self) -> int:
        """How many voxels were taken."""
        return int(np.count_nonzero(self.mask))


class PreparedVolume:
    """The network's answer for a volume, or for one patch of it: probabilities, to be picked from.

    Args:
        probabilities: of every class on the volume's grid.
        label_info: the task's structures (``Label.to_dict()``).
        axes: 3x3, millimetres in the world of one step along i, j, k (columns), for smoothing and planes.
        labels: file of the label map [X, Y, Z] if the whole volume was segmented, else None.

    ``hit``, ``pick`` and ``structure`` raise WorkerError when the files are damaged or gone; ``exists`` is false then.
    """

    def __init__(
        self,
        probabilities: ProbabilityMap,
        label_info: Sequence[Mapping[str, Any]],
        axes: np.ndarray,
        labels: Path | None = None,
    ):
        self.shape: Index = probabilities.shape
        self.label_info = {int(label["value"]): label for label in label_info}
        self.whole = labels is not None
        self._map, self._labels = probabilities, labels
        self._damaged = False
        self._axes = np.asarray(axes, float)
        self._read: OrderedDict[tuple[int, float], tuple[np.ndarray, Index]] = OrderedDict()

    def exists(self) -> bool:
        """Whether its file is still there (the worker removes it when it forgets the volume) and is not damaged."""
        return not self._damaged and self._map.path.exists()

    def hit(self, voxel: Index) -> Hit | None:
        """The most probable structure at a voxel, however improbable; None where there is none at all or outside."""
        if not all(0 <= v < n for v, n in zip(voxel, self.shape)):
            return None
        with self._reading():
            found = {value: p for value, p in self._map.at(voxel).items() if value in self.label_info}
        if not found:
            return None
        value = max(found, key=lambda v: (found[v], -v))
        return Hit(self.label_info[value], found[value])

    def pick(
        self,
        voxel: Index,
        *,
        threshold: float = 0.5,
        smoothing_mm: float = 0.0,
        all_of_class: bool = False,
        plane: np.ndarray | None = None,
    ) -> Pick:
        """Take the structure at ``voxel`` where its probability reaches ``threshold`` (above 0, up to 1).

        Args:
            smoothing_mm: standard deviation of a Gaussian over the probabilities before the threshold, in mm.
            all_of_class: everything of that structure, not only what hangs together with the voxel by its faces.
            plane: normal [3] in world RAS of a plane through the voxel: only take voxels in it; its sign and length
                do not matter.

        The voxel itself is always part of what is taken.
        """
        hit = self.hit(voxel)
        if hit is None:
            return _nothing(None, _("Background: nothing to take here."))
        values, first = self._values(hit.value, smoothing_mm)
        level, inside = level_of(threshold), tuple(v - f for v, f in zip(voxel, first))
        here = int(values[inside])
        if here < level:
            text = _("Here {name} has {have:.2f}, less than the threshold of {want:.2f}.")
            return _nothing(hit, text.format(name=hit.name, have=here / 255, want=threshold))
        if plane is not None:
            mask = _in_plane(values, inside, self._axes.T @ np.asarray(plane, float), level, all_of_class)
        elif all_of_class:
            mask = values >= level
        else:
            mask = connected(values, inside, level)
        mask, start = trimmed(mask)
        text = _("{name}: {count} voxels, {probability:.2f} here.")
        return Pick(
            mask,
            tuple(f + s for f, s in zip(first, start)),
            hit,
            text.format(name=hit.name, count=int(np.count_nonzero(mask)), probability=hit.probability),
        )

    def structure(self, value: int, *, threshold: float | None = None, smoothing_mm: float = 0.0) -> Pick:
        """All of one structure: where the label map has it, or where its probability reaches ``threshold``.

        Raises ValueError without a threshold if only a patch is known, and for a value that the task lacks.
        """
        if value not in self.label_info:
            raise ValueError(f"the task has no structure {value}")
        label, box = self.label_info[value], self._map.box(value)
        if box is None:
            return _nothing(None, _("{name} was not found.").format(name=label["name"]))
        if threshold is not None:
            values, first = self._values(value, smoothing_mm)
            mask = values >= level_of(threshold)
        else:
            if self._labels is None:
                raise ValueError("only a patch was segmented")
            first, shape = box
            with self._reading():
                labels = np.load(self._labels, mmap_mode="r")
                mask = labels[tuple(slice(f, f + n) for f, n in zip(first, shape))] == value
        mask, start = trimmed(mask)
        if not mask.size:
            return _nothing(None, _("{name} was not found.").format(name=label["name"]))
        text = _("{name}: {count} voxels.").format(name=label["name"], count=int(np.count_nonzero(mask)))
        return Pick(mask, tuple(f + s for f, s in zip(first, start)), Hit(label, 1.0), text)

    def _values(self, value: int, smoothing_mm: float) -> tuple[np.ndarray, Index]:
        """Probabilities of a class, uint8 in its box; the last ones are remembered for the threshold's slider."""
        key = (value, smoothing_mm)
        if key not in self._read:
            with self._reading():
                values, first = self._map.read(value)
            if smoothing_mm and values.size:
                values = smoothed(values, smoothing_mm / np.linalg.norm(self._axes, axis=0))
            self._read[key] = values, first
            while len(self._read) > REMEMBERED_CLASSES:
                self._read.popitem(last=False)
        self._read.move_to_end(key)
        return self._read[key]

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """What goes wrong with the files becomes an error for the user, and nobody trusts them any more."""
        try:
            yield
        except (OSError, ValueError, EOFError, backend_module("errors").Rep3DError) as error:
            self._damaged = True
            raise unreadable(error) from error


def unreadable(error: Exception) -> WorkerError:
    """For an answer of the worker whose files are damaged or gone."""
    return WorkerError("internal", _("The result could not be read: {error}").format(error=error), _("Click again."))


def level_of(threshold: float) -> int:
    """The byte that stands for a threshold, as for a probability; at least 1. Raises ValueError outside of 0 to 1."""
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold {threshold} is not between 0 and 1")
    return max(1, round(threshold * 255))


def connected(values: np.ndarray, seed: Index, level: int) -> np.ndarray:
    """Voxels (bool, as ``values``) that reach ``level`` and hang together with ``seed`` by their faces."""
    seeds = vtk.vtkPoints()
    seeds.InsertNextPoint(*map(float, seed))
    flood = vtk.vtkImageThresholdConnectivity()
    flood.SetInputData(as_image(values))
    flood.SetSeedPoints(seeds)
    flood.ThresholdBetween(level, 255)
    flood.SetInValue(1)
    flood.SetOutValue(0)
    flood.ReplaceInOn()
    flood.ReplaceOutOn()
    flood.Update()
    return as_array(flood.GetOutput()).astype(bool)


def smoothed(values: np.ndarray, sigma_voxels: np.ndarray) -> np.ndarray:
    """Gaussian of ``sigma_voxels`` along each axis over bytes, cut off at three standard deviations."""
    blur = vtk.vtkImageGaussianSmooth()
    blur.SetInputData(as_image(values.astype(np.float32)))
    blur.SetStandardDeviations(*map(float, sigma_voxels))
    blur.SetRadiusFactors(3.0, 3.0, 3.0)
    blur.Update()
    return np.rint(as_array(blur.GetOutput())).astype(np.uint8)


def as_image(values: np.ndarray) -> vtk.vtkImageData:
    """An image of an array [i, j, k], i fastest, at origin 0 with spacing 1; without a copy for Fortran order."""
    image = vtk.vtkImageData()
    image.SetDimensions(*values.shape)
    image.GetPointData().SetScalars(numpy_to_vtk(np.asfortranarray(values).ravel(order="F"), deep=False))
    return image


def as_array(image: vtk.vtkImageData) -> np.ndarray:
    """The scalars of an image as an array [i, j, k]."""
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions(), order="F")


def trimmed(mask: np.ndarray) -> tuple[np.ndarray, Index]:
    """The smallest box of a mask that holds all of it, as uint8, and where it begins; empty at 0 if nothing is set."""
    first, box = [], []
    for axis in range(3):
        used = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        if not used.size:
            return np.zeros((0, 0, 0), np.uint8), (0, 0, 0)
        first.append(int(used[0]))
        box.append(slice(int(used[0]), int(used[-1]) + 1))
    return np.asfortranarray(mask[tuple(box)]).astype(np.uint8), tuple(first)


def _in_plane(values: np.ndarray, seed: Index, normal: np.ndarray, level: int, everything: bool) -> np.ndarray:
    """``normal`` is a covector: steps ``d`` of the index with ``normal @ d == 0`` stay within the plane.

    Like :func:`connected`, in the one-voxel-thick digital plane through ``seed``: one voxel per column along the
    axis that is most nearly normal to it, so that it has no holes, and axis-aligned slices are exactly one slice."""
    axis = int(np.argmax(np.abs(normal)))
    others = [a for a in range(3) if a != axis]
    u, v = np.meshgrid(*(np.arange(values.shape[a]) for a in others), indexing="ij")
    slope_u, slope_v = (normal[a] / normal[axis] for a in others)
    w = np.floor(seed[axis] - slope_u * (u - seed[others[0]]) - slope_v * (v - seed[others[1]]) + 0.5).astype(int)
    inside = (w >= 0) & (w < values.shape[axis])
    index: list[Any] = [None] * 3
    index[others[0]], index[others[1]], index[axis] = u[inside], v[inside], w[inside]
    plane_UV = np.zeros(u.shape, np.uint8)
    plane_UV[inside] = values[tuple(index)]
    if everything:
        taken = plane_UV >= level
    else:
        taken = connected(plane_UV[..., None], (seed[others[0]], seed[others[1]], 0), level)[..., 0]
    mask = np.zeros(values.shape, bool, order="F")
    mask[tuple(index)] = taken[inside]
    return mask


def _nothing(hit: Hit | None, message: str) -> Pick:
    return Pick(np.zeros((0, 0, 0), np.uint8), (0, 0, 0), hit, message)
