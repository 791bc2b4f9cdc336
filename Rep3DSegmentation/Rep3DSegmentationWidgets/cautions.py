"""What must be known of the weights or the scan before a result is believed: rows of the worker, as text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from Rep3DSegmentationLib.naming import DEMO_ONLY
from slicer.i18n import tr as _

from .state import Catalog

Caution = dict[str, Any]


def known_before(catalog: Catalog | None, task: str, weights: str) -> tuple[Caution, ...]:
    """What is known of the chosen weights before the worker has looked at the scan."""
    row = catalog.weights_used(task, weights) if catalog else None
    if not (row and row.get("demo_only")):
        return ()
    message = _("These weights are for trying the software, not for anybody's scan.")
    return ({"code": DEMO_ONLY, "severity": "warning", "message": message, "hint": ""},)


def questions(cautions: Iterable[Caution]) -> tuple[Caution, ...]:
    """Those that ask before a run starts."""
    return tuple(caution for caution in cautions if caution["severity"] == "confirm")


def caution_text(cautions: Iterable[Caution]) -> str:
    """One line for each, with what can be done about it."""
    return "\n".join(f"{caution['message']} {caution.get('hint') or ''}".strip() for caution in cautions)
