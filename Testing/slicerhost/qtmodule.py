"""The modules ``qt``, ``ctk`` and ``PythonQt`` as an extension imports them."""

from __future__ import annotations

import types
from typing import Any

from PyQt5 import QtCore, QtGui, QtNetwork, QtSvg, QtWidgets, sip

from . import special, wrapping

_SOURCES = (QtCore, QtGui, QtWidgets, QtNetwork, QtSvg)
# PyQt5's own helpers, which PythonQt does not have.
_NOT_QT = ("pyqt", "PYQT", "pyPyQt")


class LazyModule(types.ModuleType):
    """A module whose classes are wrapped at the first use; a name that Qt does not have raises AttributeError."""

    def __init__(self, name: str, doc: str, own: dict[str, Any], sources: tuple[types.ModuleType, ...] = ()) -> None:
        super().__init__(name, doc)
        self.__dict__.update(own)
        self.__dict__["_sources"] = sources
        names = {n for source in sources for n in dir(source) if n[:1] != "_" and not n.startswith(_NOT_QT)}
        self.__dict__["__all__"] = sorted(names | set(own))

    def __getattr__(self, name: str) -> Any:
        if name in self.__dict__["__all__"]:
            for source in self.__dict__["_sources"]:
                if hasattr(source, name):
                    value = self._published(getattr(source, name))
                    self.__dict__[name] = value
                    return value
        raise AttributeError(f"module '{self.__name__}' has no attribute '{name}'")

    @staticmethod
    def _published(value: Any) -> Any:
        if not isinstance(value, sip.wrappertype):
            return value
        return wrapping.wrapper_class(value)


def make_qt() -> LazyModule:
    """The module ``qt``: the classes of QtCore, QtGui, QtWidgets, QtNetwork and QtSvg, and the loader of .ui files."""
    from .uiloader import QUiLoader

    own = {"QUiLoader": wrapping.wrapper_class(QUiLoader), "BoolResult": special.BoolResult}
    return LazyModule("qt", "Qt as PythonQt publishes it", own, _SOURCES)


def make_ctk() -> LazyModule:
    """The module ``ctk``: the widgets of the Common Toolkit that the host has; any other name raises."""
    from .widgets import CTK

    return LazyModule("ctk", "CTK widgets", {name: wrapping.wrapper_class(cls) for name, cls in CTK.items()})


def make_pythonqt() -> dict[str, types.ModuleType]:
    """``PythonQt`` and its modules, from which ``qt`` takes its classes; widgets are in ``QtGui`` there."""
    sources = {"QtCore": (QtCore,), "QtGui": (QtGui, QtWidgets), "QtNetwork": (QtNetwork,), "QtSvg": (QtSvg,)}
    parts = {name: LazyModule(f"PythonQt.{name}", f"{name} as PythonQt has it", {}, s) for name, s in sources.items()}
    package = LazyModule("PythonQt", "Qt as PythonQt publishes it", {**parts, "BoolResult": special.BoolResult})
    package.__path__ = []  # a package
    return {module.__name__: module for module in (package, *parts.values())}
