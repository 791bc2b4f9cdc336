"""The members of a wrapper class: Qt properties, methods, signals, and enums as they are.

A property hides a method of the same name, as in PythonQt: ``label.text`` is the text, ``label.text()`` fails.
"""

from __future__ import annotations

import enum
import os
from typing import Any

from PyQt5 import QtCore, QtGui, QtWidgets, sip

from . import threads

# Members of PyQt5 that PythonQt does not have.
_HIDDEN = {"pyqtConfigure", "staticMetaObject", "vtk_signals", "vtk_slots", "silent_result"}
# Operators of value classes (QSize, QPoint, QColor ...).
_OPERATORS = (
    *("__lt__", "__le__", "__gt__", "__ge__", "__add__", "__radd__", "__sub__", "__rsub__", "__mul__", "__rmul__"),
    *("__truediv__", "__and__", "__or__", "__xor__", "__neg__", "__contains__", "__getitem__", "__setitem__"),
    *("__len__", "__int__", "__index__", "__iter__"),
)


class Property:
    """A Qt property: reading the attribute reads it, assigning writes it."""

    kind = "Property"

    def __init__(self, name: str, shown: str, prop: QtCore.QMetaProperty) -> None:
        self.name, self.shown, self._prop = name, shown, prop

    def __get__(self, wrapper: Any, owner: type) -> Any:
        from .wrapping import wrap

        if wrapper is None:
            return self
        real = self._living(wrapper, "read")
        value = real.property(self.name)
        return self._enum_value(value) if self._prop.isEnumType() else wrap(value)

    def _enum_value(self, value: Any) -> Any:
        """The enum member or set of flags for the number that Qt gives for it."""
        listed = self._prop.enumerator()
        for module in (QtCore, QtGui, QtWidgets):
            scope = getattr(module, listed.scope(), None)
            kind = getattr(scope, listed.name(), None)
            if kind is not None:
                return kind(int(value))
        return value

    def write(self, wrapper: Any, value: Any) -> None:
        real = self._living(wrapper, "set")
        prop = self._prop
        if not prop.isWritable():
            raise AttributeError(f"Property '{self.shown}' of {type(wrapper).__name__} object is not writable")
        try:
            # Anything has a truth value; None for a text, which PythonQt writes as "None", is refused as a mistake.
            usable = value is not None or prop.typeName() == "bool"
            done = usable and prop.write(real, _converted(prop, value))
        except (TypeError, ValueError):
            done = False
        if not done:
            raise AttributeError(
                f"Property '{self.shown}' of type '{prop.typeName()}' does not accept an object of type "
                f"{type(value).__name__} ({value!r})"
            )

    def _living(self, wrapper: Any, what: str) -> Any:
        threads.check(f"{type(wrapper).__name__}.{self.shown}")
        real = wrapper.__dict__.get("_real")
        if real is None or sip.isdeleted(real):
            raise ValueError(
                f"Trying to {what} property '{self.shown}' from a destroyed {type(wrapper).__name__} object"
            )
        return real


def _converted(prop: QtCore.QMetaProperty, value: Any) -> Any:
    """The value in the type of the property; numbers and texts convert into each other as PythonQt does."""
    from .wrapping import unwrap

    value = unwrap(value)
    if prop.isEnumType():
        return value if isinstance(value, str) else int(value)
    convert = {"QString": str, "int": int, "uint": int, "double": float, "float": float, "bool": bool}
    if prop.typeName() == "QStringList" and isinstance(value, list | tuple):
        return [str(item) for item in value]
    to_type = convert.get(prop.typeName())
    return to_type(value) if to_type and not isinstance(value, sip.simplewrapper) else value


class Method:
    """A method of the real class, seen from its wrapper."""

    kind = "Slot"

    def __init__(self, owner: type, name: str) -> None:
        self.owner, self.name = owner, name

    def __get__(self, wrapper: Any, owner: type) -> BoundMethod:
        return BoundMethod(self, wrapper)


class BoundMethod:
    """A method of one object, or of the class when ``wrapper`` is None."""

    __slots__ = ("__weakref__", "method", "wrapper")

    def __init__(self, method: Method, wrapper: Any) -> None:
        self.method, self.wrapper = method, wrapper

    @property
    def __name__(self) -> str:
        return self.method.name

    @property
    def __self__(self) -> Any:
        return self.wrapper

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        from .wrapping import refuse_keywords, unwrap, wrap

        refuse_keywords(self.method.name, keywords)
        plain = [unwrap(arg) for arg in args]
        return wrap(call(self._function(), plain))

    def _function(self) -> Any:
        name, wrapper = self.method.name, self.wrapper
        threads.check(name)
        if wrapper is None:
            return getattr(self.method.owner, name)
        real = wrapper.__dict__.get("_real")
        if real is None or sip.isdeleted(real):
            raise ValueError(f"Trying to call '{name}' on a destroyed {type(wrapper).__name__} object")
        if name in getattr(type(real), "_forwarded", ()):
            # An overridden virtual method calls its base class: not through the object, that would come back here.
            base = getattr(self.method.owner, name)
            return lambda *args: base(real, *args)
        return getattr(real, name)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BoundMethod):
            return NotImplemented
        return self.method.name == other.method.name and self.wrapper == other.wrapper

    def __hash__(self) -> int:
        return hash((self.method.name, self.wrapper))

    def __repr__(self) -> str:
        return f"<method {self.method.name} of {self.wrapper if self.wrapper is not None else self.method.owner}>"


class Signal:
    """A signal of the real class."""

    kind = "Signal"

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, wrapper: Any, owner: type) -> Any:
        from .signals import BoundSignal

        return self if wrapper is None else BoundSignal(wrapper, self.name)


class Special:
    """A method that the host defines itself: ``function(wrapper, *args)``, or without wrapper when static."""

    kind = "Slot"

    def __init__(self, name: str, function: Any, static: bool = False) -> None:
        self.name, self.function, self.static = name, function, static

    def __get__(self, wrapper: Any, owner: type) -> Any:
        from .wrapping import refuse_keywords

        def special(*args: Any, **keywords: Any) -> Any:
            refuse_keywords(self.name, keywords)
            if self.static or wrapper is None:
                return self.function(*args)
            return self.function(wrapper, *args)

        special.__name__ = self.name
        return special


def call(function: Any, args: list[Any]) -> Any:
    """Call PyQt5, which converts less than PythonQt: numbers with a fraction to integers, paths to texts."""
    try:
        return function(*args)
    except TypeError:
        looser = [_loosened(arg) for arg in args]
        if all(new is old for new, old in zip(looser, args)):
            raise
        return function(*looser)


def _loosened(arg: Any) -> Any:
    if isinstance(arg, float):
        return int(arg)
    if isinstance(arg, os.PathLike):
        return str(arg)
    return [str(item) for item in arg] if isinstance(arg, list) and any(map(_is_path, arg)) else arg


def _is_path(value: Any) -> bool:
    return isinstance(value, os.PathLike)


def find(cls: type, name: str) -> Property | Method | Signal | Special | None:
    """The member that Qt gives a wrapper class under this name; what Python code defined is not meant."""
    for base in cls.__mro__:
        if not getattr(base, "_derived", True) and name in vars(base):
            member = vars(base)[name]
            return member if isinstance(member, Property | Method | Signal | Special) else None
    return None


def describe(real_class: type) -> dict[str, Any]:
    """The namespace of the wrapper class of a PyQt5 class: its own members, not those it inherits."""
    from .wrapping import is_flags, wrapper_class

    space: dict[str, Any] = {}
    # Attribute access first: PyQt5 fills its classes lazily.
    dir(real_class)
    mixins = [base for base in real_class.__bases__ if not isinstance(base, sip.wrappertype) and base is not object]
    own = {name: value for cls in (*mixins, real_class) for name, value in vars(cls).items()}
    for name, value in own.items():
        if name.startswith("_") or name in _HIDDEN:
            continue
        if isinstance(value, QtCore.pyqtSignal):
            space[name] = Signal(name)
        elif isinstance(value, enum.EnumMeta | enum.Enum | int | str | float):
            space[name] = value
        elif isinstance(value, sip.wrappertype):
            space[name] = value if is_flags(value) else wrapper_class(value)
        elif isinstance(value, type):
            space[name] = value
        elif isinstance(value, property) or type(value) is QtCore.pyqtProperty:
            continue  # through the meta object, below
        elif callable(value) or hasattr(value, "__get__"):
            space[name] = Method(real_class, name)
    for name in _OPERATORS:
        if name in vars(real_class):
            space[name] = _operator(real_class, name)
    if issubclass(real_class, QtCore.QObject):
        meta = real_class.staticMetaObject
        for index in range(meta.propertyOffset(), meta.propertyCount()):
            prop = meta.property(index)
            space[prop.name()] = Property(prop.name(), prop.name(), prop)
            if prop.name() == "objectName":
                space["name"] = Property("objectName", "name", prop)
    from .special import SPECIALS

    for name, (function, static) in SPECIALS.get(real_class.__name__, {}).items():
        space[name] = Special(name, function, static)
    return space


def _operator(real_class: type, name: str) -> Any:
    def operate(wrapper: Any, *args: Any) -> Any:
        from .wrapping import unwrap, wrap

        return wrap(getattr(real_class, name)(wrapper._real, *[unwrap(arg) for arg in args]))

    operate.__name__ = name
    return operate
