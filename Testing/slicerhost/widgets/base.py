"""What the host's own widgets share.

They are PyQt5 classes with the properties, signals and slots that the originals declare, so that a form and a script
find the same names. ``vtk_signals`` and ``vtk_slots`` list signatures with VTK types, which PyQt5 cannot spell.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PyQt5 import QtCore


def stored(kind: Any, name: str, default: Any, changed: str | None = None) -> tuple[Any, Callable[[Any, Any], None]]:
    """A Qt property kept in the object, and its setter: ``minimum, setMinimum = stored(float, "minimum", 0.0)``.

    kind: the type (or C++ type name) of the property; changed: name of the method to call after a change.
    """

    def read(self: Any) -> Any:
        return self.__dict__.setdefault("_stored", {}).get(name, default)

    def write(self: Any, value: Any) -> None:
        value = kind(value) if kind in (int, float, bool, str) else value
        if value == read(self):
            return
        self._stored[name] = value
        if changed is not None:
            getattr(self, changed)()

    read.__name__, write.__name__ = name, "set" + name[0].upper() + name[1:]
    return QtCore.pyqtProperty(kind, read, write), write


def computed(kind: Any, read: Callable[[Any], Any], write: Callable[[Any, Any], None] | None = None) -> Any:
    """A Qt property that is read and written by functions."""
    return QtCore.pyqtProperty(kind, read, write)
