"""A region of interest as the worker reads it: an oriented box in the world."""

from __future__ import annotations

from typing import Any

import numpy as np

from .errors import InputError
from .grids import as_array, is_linear
from .i18n import _


def roi_param(roi_node) -> dict[str, Any]:
    """The protocol's ``roi``. Parent transforms are included.

    ``matrix``: 4x4 from the frame of the box (its centre is the origin, unit axes) to world RAS in mm; ``size_mm``:
    edges along those axes.

    Raises InputError: not a placed box, inside out, or under a non-linear transform.
    """
    if not roi_node.IsA("vtkMRMLMarkupsROINode"):
        raise InputError(
            _("{name} is not a ROI of the module Markups.").format(name=roi_node.GetName()),
            _("Draw a ROI with the Markups toolbar and choose that."),
        )
    name = roi_node.GetName()
    size = np.array(roi_node.GetSize(), float)
    if roi_node.GetNumberOfControlPoints() == 0 or not np.all(size > 0):
        raise InputError(
            _("The ROI {name} is empty.").format(name=name), _("Place it in a slice view first, or choose no ROI.")
        )
    if roi_node.GetInsideOut():
        raise InputError(
            _("The ROI {name} is inside out.").format(name=name), _("Switch off Inside out in the module Markups.")
        )
    if not is_linear(roi_node.GetParentTransformNode(), None):
        raise InputError(
            _("The ROI {name} is under a non-linear transform.").format(name=name),
            _("Take the ROI out of the transform, or harden it."),
        )
    # Slicer keeps a ROI right-angled below any linear transform; what it shows is what is used.
    frame = as_array(roi_node.GetObjectToWorldMatrix())
    scale = np.linalg.norm(frame[:3, :3], axis=0)
    frame[:3, :3] /= scale
    return {"matrix": frame.tolist(), "size_mm": (size * scale).tolist()}
