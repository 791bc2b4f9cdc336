"""Codes of a structure as Slicer's terminology entry: category, type and modifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

CONTEXT = "Segmentation category and type - 3D Slicer General Anatomy list"
ANATOMY = "Anatomic codes - DICOM master list"


def entry(label: Mapping[str, Any]) -> str:
    """The serialised entry of a label of the protocol; its codes are [value, scheme, meaning].

    The anatomic region stays empty: the type already is the structure.
    """
    parts = (CONTEXT, _code(label["category"]), _code(label["type"]), _code(label.get("modifier")))
    return "~".join((*parts, ANATOMY, "^^", "^^"))


def _code(code: Sequence[str] | None) -> str:
    if not code:
        return "^^"
    value, scheme, meaning = (str(part).replace("~", "-").replace("^", "-").replace("|", "-") for part in code)
    return f"{scheme}^{value}^{meaning}"
