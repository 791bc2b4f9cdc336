"""What the nodes of a result are called, and what the names say of the weights."""

from __future__ import annotations

from typing import Any

from .i18n import _

DEMO_ONLY = "demo_only"


def demo_suffix(result: dict[str, Any]) -> str:
    """What the name of a segmentation ends in when its weights are for trying the software; "" for others."""
    cautions = result.get("cautions") or ()
    return _(" (demo weights)") if any(caution["code"] == DEMO_ONLY for caution in cautions) else ""


def result_name(volume_name: str, result: dict[str, Any]) -> str:
    """Name of a new segmentation: the volume, the task, and what must be known of the weights."""
    return f"{volume_name} {result['task']}".strip() + demo_suffix(result)
