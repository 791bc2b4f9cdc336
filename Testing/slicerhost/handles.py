"""What a wrapper is at the least, so that arguments can be unwrapped without knowing the rest."""

from __future__ import annotations

from typing import Any

from . import enums


class HandleType(type):
    """Type of classes that stand for a PyQt5 class, ``_pyqt``."""

    _pyqt: type


class Handle(metaclass=HandleType):
    """Holds a PyQt5 object, ``_real``."""

    _real: Any


def unwrap(value: Any) -> Any:
    """What PyQt5 is given for a value of an extension."""
    if isinstance(value, Handle):
        return value._real
    if isinstance(value, HandleType):
        return value._pyqt
    if isinstance(value, enums.EnumValue):
        return value.to_qt()
    if type(value) in (list, tuple):
        return type(value)(unwrap(item) for item in value)
    if type(value) is dict:
        return {key: unwrap(item) for key, item in value.items()}
    return value
