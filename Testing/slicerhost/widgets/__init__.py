"""The widgets of CTK and MRML that the host publishes: {name: PyQt5 class}. Any other name does not exist."""

from __future__ import annotations

from . import (
    choices,
    collapsible,
    coordinates,
    mrml,
    node_combo_box,
    numbers,
    paths,
    ranges,
    segment_selector,
    segments,
    tables,
)


def _classes(*modules: object) -> dict[str, type]:
    return {
        name: value
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, type) and name.startswith(("ctk", "qMRML", "qSlicer"))
    }


_ALL = _classes(
    *(
        choices,
        collapsible,
        coordinates,
        mrml,
        node_combo_box,
        numbers,
        paths,
        ranges,
        segment_selector,
        segments,
        tables,
    )
)
CTK: dict[str, type] = {name: cls for name, cls in _ALL.items() if name.startswith("ctk")}
MRML: dict[str, type] = {name: cls for name, cls in _ALL.items() if not name.startswith("ctk")}
