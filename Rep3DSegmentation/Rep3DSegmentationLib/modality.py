"""What a volume node is a scan of, and the unit of its values: from DICOM's codes, else from the values."""

from __future__ import annotations

from typing import Any

#: Codes of a volume's unit and quantity, as Slicer's DICOM reader sets them.
HOUNSFIELD, NO_UNIT, MR_SIGNAL = "[hnf'U]", "1", "110852"
#: Air in a CT is about -1000 HU; no MR scan has values so low.
AIR_HU = -500.0


def modality_of(volume_node: Any) -> str | None:
    """ "CT" or "MR"; None where neither DICOM nor the values say."""
    if _code(volume_node.GetVoxelValueUnits()) == HOUNSFIELD:
        return "CT"
    if _code(volume_node.GetVoxelValueQuantity()) == MR_SIGNAL:
        return "MR"
    image = volume_node.GetImageData()
    if image is None or image.GetPointData().GetScalars() is None:
        return None
    low, high = image.GetScalarRange()
    if low <= AIR_HU:
        return "CT"
    return "MR" if low >= 0 and high > 1 else None


def intensity_unit(volume_node: Any) -> str:
    """Unit of the volume's values: "HU" for a CT, what DICOM says, or "" where values have none."""
    unit = volume_node.GetVoxelValueUnits()
    if _code(unit) in ("", NO_UNIT, HOUNSFIELD):
        return "HU" if modality_of(volume_node) == "CT" else ""
    return unit.GetCodeMeaning() or unit.GetCodeValue()


def _code(entry: Any) -> str:
    return (entry.GetCodeValue() or "") if entry is not None else ""
