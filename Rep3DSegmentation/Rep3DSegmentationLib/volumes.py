"""Hand a volume node to the worker: what can be segmented, its voxels, and where they are in the world."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import slicer
from vtk.util.numpy_support import vtk_to_numpy

from .errors import InputError
from .grids import Grid, as_tuple, has_shear, is_linear, matrix_between
from .i18n import _
from .removal import remove

if TYPE_CHECKING:
    from .client import WorkerClient


def _other_kinds() -> tuple[tuple[str, str, str], ...]:
    """Classes that are scalar volumes by inheritance and yet hold something else: class, what it is, what to do.

    Derived ones come first: to MRML a vector volume is a tensor volume.
    """
    several = _("Extract one frame as a scalar volume, or load the data as a volume sequence.")
    convert = _('Convert it with the module "Vector to Scalar Volume".')
    return (
        ("vtkMRMLLabelMapVolumeNode", _("a label map"), _("Choose the scan itself; label maps hold no intensities.")),
        ("vtkMRMLMultiVolumeNode", _("a multi-volume (several frames)"), several),
        ("vtkMRMLDiffusionWeightedVolumeNode", _("a diffusion-weighted volume (several directions)"), several),
        ("vtkMRMLVectorVolumeNode", _("a vector volume (colours or several components)"), convert),
        ("vtkMRMLTensorVolumeNode", _("a tensor volume"), _("Choose a scalar map of it.")),
    )


@dataclass(frozen=True)
class ExportedVolume:
    """A volume as the worker reads it.

    array: file name in the private folder, [X, Y, Z] = (i, j, k). affine: 4x4 from those indices to world RAS in mm,
    all parent transforms included. shape: of the array. grid: of the node, where results go back to. hardened: a
    non-linear transform was applied to a copy, so that results belong to the world and not below that transform.
    """

    array: str
    affine: tuple[tuple[float, ...], ...]
    shape: tuple[int, int, int]
    name: str
    warnings: tuple[str, ...]
    grid: Grid
    hardened: bool = False

    def params(self) -> dict:
        """The protocol's ``volume`` parameter."""
        return {"array": self.array, "affine": [list(row) for row in self.affine], "name": self.name or None}


def check_volume(volume_node, harden: bool = False) -> None:
    """Raise InputError, with what to do, for anything that cannot be segmented. No voxel is read.

    Args:
        harden: volumes under a non-linear transform are allowed.
    """
    if volume_node is None:
        raise InputError(_("No volume is chosen."), _("Choose the volume to segment; load one first if there is none."))
    name = volume_node.GetName() or volume_node.GetID()
    for class_name, kind, hint in _other_kinds():
        if volume_node.IsA(class_name):
            raise InputError(_("{name} is {kind}, not a single scalar volume.").format(name=name, kind=kind), hint)
    if not volume_node.IsA("vtkMRMLScalarVolumeNode"):
        raise InputError(
            _("{name} is not a volume but a {kind}.").format(name=name, kind=volume_node.GetNodeTagName()),
            _("Choose a scalar volume."),
        )
    image = volume_node.GetImageData()
    if image is None or image.GetPointData().GetScalars() is None or min(image.GetDimensions()) < 1:
        raise InputError(
            _("{name} has no voxels.").format(name=name),
            _("Load the image again: the file may be missing, or the volume was emptied."),
        )
    if image.GetNumberOfScalarComponents() != 1:
        raise InputError(
            _("{name} has {count} values per voxel.").format(name=name, count=image.GetNumberOfScalarComponents()),
            _('Convert it with the module "Vector to Scalar Volume".'),
        )
    axes = Grid.of(volume_node).affine[:3, :3]
    if not np.isfinite(axes).all() or abs(np.linalg.det(axes)) < 1e-12:
        raise InputError(
            _("The spacing or the axis directions of {name} are degenerate.").format(name=name),
            _("Correct the spacing in the module Volumes, or the file's header."),
        )
    if not harden and not is_linear(volume_node.GetParentTransformNode(), None):
        raise InputError(
            _("{name} is under a non-linear transform.").format(name=name),
            _(
                "Allow a hardened copy in the options, harden the transform yourself (right click on the volume in the "
                "module Data), or take the volume out of the transform."
            ),
        )


def geometry(volume_node) -> tuple[tuple[int, int, int], list[list[float]]]:
    """Shape and affine to the world as the protocol takes them, for an estimate; no voxel is copied.

    Below a non-linear transform the affine is that of the volume itself. Raises InputError.
    """
    check_volume(volume_node, harden=True)
    grid = Grid.of(volume_node)
    linear = is_linear(volume_node.GetParentTransformNode(), None)
    affine = world_affine(volume_node) if linear else grid.affine
    return grid.shape, affine.tolist()


def world_affine(volume_node) -> np.ndarray:
    """4x4 from the index in the array [X, Y, Z] to world RAS in mm, linear parent transforms included."""
    return matrix_between(volume_node.GetParentTransformNode(), None) @ Grid.of(volume_node).affine


def voxels(volume_node) -> np.ndarray:
    """The node's voxels as an array [X, Y, Z] in Fortran order: a view, no copy."""
    image = volume_node.GetImageData()
    i, j, k = image.GetDimensions()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(k, j, i).transpose(2, 1, 0)


def export_volume(volume_node, client: WorkerClient, *, harden: bool = False) -> ExportedVolume:
    """Write a volume's voxels for the worker, with its place in the world.

    Args:
        harden: a volume under a non-linear transform is resampled on a temporary copy; otherwise it is refused.

    Raises:
        InputError: not a usable scalar volume, or under a non-linear transform. WorkerError: see client.write_array.
    """
    check_volume(volume_node, harden)
    name = volume_node.GetName() or volume_node.GetID()
    if is_linear(volume_node.GetParentTransformNode(), None):
        return _export(volume_node, client, name, (), hardened=False)
    copy = _hardened_copy(volume_node)
    try:
        warning = _(
            "{name} is under a non-linear transform: a hardened copy was segmented. The result lies in the world, not "
            "under that transform."
        ).format(name=name)
        return _export(copy, client, name, (warning,), hardened=True)
    finally:
        remove([copy])


def _export(volume_node, client: WorkerClient, name: str, warnings: tuple[str, ...], hardened: bool) -> ExportedVolume:
    affine = world_affine(volume_node)
    if has_shear(affine):
        warnings = (*warnings, _("The axes of {name} are not at right angles in the world.").format(name=name))
    array = client.write_array(voxels(volume_node))
    grid = Grid.of(volume_node)
    return ExportedVolume(array, as_tuple(affine), grid.shape, name, warnings, grid, hardened)


def _hardened_copy(volume_node):
    copy = hidden_volume("Rep3D hardened copy")
    copy.CopyContent(volume_node)
    copy.SetAndObserveTransformNodeID(volume_node.GetTransformNodeID())
    copy.HardenTransform()
    return copy


def hidden_volume(name: str):
    """A volume node in the scene that no list of the application shows."""
    node = slicer.vtkMRMLScalarVolumeNode()
    node.SetName(name)
    node.SetHideFromEditors(True)  # before it enters the scene, so that no list notices it
    return slicer.mrmlScene.AddNode(node)
