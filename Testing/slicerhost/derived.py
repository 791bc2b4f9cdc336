"""Python classes that an extension derives from a Qt class: ``class Dialog(qt.QDialog)``.

Qt must reach the virtual methods that such a class overrides. For every derived class a "shell" is made: a subclass of
the PyQt5 class whose overridden methods forward to the wrapper.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PyQt5 import QtCore, sip

from . import errors

_shells: dict[type, type] = {}


def shell_class(cls: Any) -> type:
    """The subclass of the PyQt5 class behind a derived wrapper class that forwards what ``cls`` overrides."""
    if cls not in _shells:
        pyqt = cls._pyqt
        names = _overridden(cls, pyqt)
        space: dict[str, Any] = {name: _forward(cls.__name__, name, getattr(pyqt, name)) for name in names}
        space.update(_forwarded=frozenset(names), _is_shell=True)
        _shells[cls] = type(pyqt)(cls.__name__, (pyqt,), space)
    return _shells[cls]


def _overridden(cls: Any, pyqt: type) -> list[str]:
    own = [vars(base) for base in cls.__mro__ if getattr(base, "_derived", False)]
    return sorted(
        {
            name
            for space in own
            for name, value in space.items()
            if not name.startswith("_") and callable(value) and _is_method(pyqt, name)
        }
    )


def _is_method(pyqt: type, name: str) -> bool:
    for base in pyqt.__mro__:
        if isinstance(base, sip.wrappertype) and name in vars(base):
            return not isinstance(vars(base)[name], QtCore.pyqtSignal)
    return False


def _forward(class_name: str, name: str, base: Callable[..., Any]) -> Callable[..., Any]:
    def method(real: Any, *args: Any) -> Any:
        from .wrapping import bound_wrapper, unwrap, wrap

        wrapper = bound_wrapper(real)
        if wrapper is None:  # Qt calls it while the object is still being constructed
            return base(real, *args)
        try:
            return unwrap(getattr(wrapper, name)(*[wrap(arg) for arg in args]))
        except BaseException as error:  # Qt is the caller
            errors.log.record(f"{class_name}.{name}", error)
            return base(real, *args)

    method.__name__ = name
    return method
