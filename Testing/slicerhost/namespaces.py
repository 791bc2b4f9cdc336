"""What a wrapper class has: every member of its PyQt5 class, as far as Slicer's Python reaches it.

A class of Qt has what PythonQt's wrapper of it has; one of the host's own widgets has what the original shows to
Python, if the host has it.
"""

from __future__ import annotations

from typing import Any

from PyQt5 import QtCore, sip

from . import conversion, enums, reach
from .handles import unwrap
from .members import Method, Property, Signal, Special, Variable

# Members of PyQt5 that PythonQt does not have.
_HIDDEN = {"pyqtConfigure", "staticMetaObject", "vtk_signals", "vtk_slots", "silent_result"}
# Operators of value classes (QSize, QPoint, QColor ...).
_OPERATORS = (
    *("__lt__", "__le__", "__gt__", "__ge__", "__add__", "__radd__", "__sub__", "__rsub__", "__mul__", "__rmul__"),
    *("__truediv__", "__and__", "__or__", "__xor__", "__neg__", "__contains__", "__getitem__", "__setitem__"),
    *("__len__", "__int__", "__index__", "__iter__", "__str__"),
)


def describe(real_class: type) -> dict[str, Any]:
    """The namespace of the wrapper class of a PyQt5 class: all its members, because PythonQt's classes are flat."""
    facts = reach.facts(real_class.__name__)
    if facts is None:
        return _of_qt(real_class)
    space = _of_qt(conversion.class_named(reach.qt_base(real_class.__name__)))
    for name, fact in facts.items():
        member = _of_host(real_class, name, fact)
        if member is not None:
            space[name] = member
    return space


def _of_host(real_class: type, name: str, fact: reach.Fact) -> Any:
    """A member of one of the host's own widgets that the original shows to Python, or None where the host has none."""
    if fact.kind in ("property", "constant"):
        index = real_class.staticMetaObject.indexOfProperty(name)
        prop = real_class.staticMetaObject.property(index)
        return Property(name, prop, fact.kind == "property") if index >= 0 else None
    value = getattr(real_class, name, None)
    if value is None:
        return None
    if fact.kind == "method":
        return Method(real_class, name, fact.signatures)
    return Signal(name) if fact.kind == "signal" else _constant(value)


def _constant(value: Any) -> Any:
    """An enumeration or one of its values, as an extension sees it."""
    if isinstance(value, type) and (enums.is_enum(value) or enums.is_flags(value)):
        return enums.published(value)
    return enums.published(type(value))(int(value)) if enums.is_enum(type(value)) else value


def callables(real_class: type) -> dict[str, Any]:
    """The methods and signals that PyQt5 has of a class, with those of its bases."""
    found: dict[str, Any] = {}
    for cls in reversed(real_class.__mro__):
        dir(cls)  # PyQt5 fills its classes lazily
        for name, value in vars(cls).items() if cls not in (object, sip.simplewrapper, sip.wrapper) else ():
            if name.startswith("_") or name in _HIDDEN or isinstance(value, type | int | str | float | property):
                continue
            if callable(value) or isinstance(value, QtCore.pyqtSignal) or hasattr(value, "__get__"):
                found[name] = value
    return found


def _of_qt(real_class: type) -> dict[str, Any]:
    """The members of a class of Qt, or of a class of the host that the tables do not know."""
    from .special import SPECIALS
    from .wrapping import wrapper_class

    space: dict[str, Any] = {}
    for name, value in callables(real_class).items():
        if isinstance(value, QtCore.pyqtSignal):
            space[name] = Signal(name)
        elif type(value).__name__ == "variabledescriptor":
            space[name] = Variable(name)
        elif type(value) is not QtCore.pyqtProperty:
            space[name] = Method(real_class, name)
    for cls in reversed(real_class.__mro__):
        for name, value in vars(cls).items():
            if isinstance(value, type | int | str | float) and not name.startswith("_"):
                plain = isinstance(value, sip.wrappertype) and not enums.is_flags(value)
                space[name] = wrapper_class(value) if plain else _constant(value)
            elif name in _OPERATORS and isinstance(cls, sip.wrappertype) and cls.__module__.startswith("PyQt5."):
                space[name] = _operator(cls, name)
    for name in reach.hidden_of_qt(cls.__name__ for cls in reversed(real_class.__mro__)):
        space.pop(name, None)
    if issubclass(real_class, QtCore.QObject):  # after the methods, which they hide
        meta = real_class.staticMetaObject
        for prop in (meta.property(index) for index in range(meta.propertyCount())):
            space[prop.name()] = Property(prop.name(), prop)
        space["name"] = Property("name", meta.property(meta.indexOfProperty("objectName")))
    for cls in reversed(real_class.__mro__):
        for name, (function, static) in SPECIALS.get(cls.__name__, {}).items():
            space[name] = Special(name, function, static)
    return space


def _operator(real_class: type, name: str) -> Any:
    def operate(wrapper: Any, *args: Any) -> Any:
        from .wrapping import wrap

        return wrap(getattr(real_class, name)(wrapper._real, *[unwrap(arg) for arg in args]))

    operate.__name__ = name
    return operate
