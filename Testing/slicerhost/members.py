"""The members of wrapper classes: Qt properties, methods and signals.

A property hides a method of the same name, as in PythonQt: ``label.text`` is the text, ``label.text()`` fails.
"""

from __future__ import annotations

from typing import Any

from PyQt5 import QtCore, QtGui, QtWidgets, sip

from . import conversion, enums, threads, tooltips


class Property:
    """A Qt property: reading the attribute reads it, assigning writes it."""

    kind = "Property"

    def __init__(self, shown: str, prop: QtCore.QMetaProperty, writable: bool = True) -> None:
        self.shown, self.name, self._prop = shown, prop.name(), prop
        self.writable = writable and prop.isWritable()

    def __get__(self, wrapper: Any, owner: type) -> Any:
        from .wrapping import wrap

        if wrapper is None:
            return self
        value = living(wrapper, self.shown, "read").property(self.name)
        return self._enum_value(value) if self._prop.isEnumType() else wrap(value)

    def _enum_value(self, value: Any) -> int:
        """The value of an enumeration for the number that Qt gives for it; flags are plain numbers."""
        listed = self._prop.enumerator()
        for module in () if listed.isFlag() else (QtCore, QtGui, QtWidgets):
            kind = getattr(getattr(module, listed.scope(), None), listed.name(), None)
            if kind is not None:
                return enums.published(kind)(int(value))
        return int(value)

    def write(self, wrapper: Any, value: Any) -> None:
        real = living(wrapper, self.shown, "set")
        if not self.writable:
            raise AttributeError(f"Property '{self.shown}' of {type(wrapper).__name__} object is not writable")
        convert = conversion.to_integer if self._prop.isEnumType() else conversion.of_cpp(self._prop.typeName())
        try:
            done = self._prop.write(real, convert(value, False))
        except (conversion.Refused, TypeError):
            done = False
        if not done:
            raise AttributeError(
                f"Property '{self.shown}' of type '{self._prop.typeName()}' does not accept an object of type "
                f"{type(value).__name__} ({value!r})"
            )
        if self.name == "toolTip":
            tooltips.word_wrap(real)


class Variable:
    """A public variable of a C++ class, such as those of ``QStyleOption``; PythonQt shows it as a property."""

    kind = "Property"
    writable = True

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, wrapper: Any, owner: type) -> Any:
        from .wrapping import wrap

        return self if wrapper is None else wrap(getattr(living(wrapper, self.name, "read"), self.name))

    def write(self, wrapper: Any, value: Any) -> None:
        setattr(living(wrapper, self.name, "set"), self.name, conversion.to_anything(value, False))


class Method:
    """A method of the real class, seen from its wrapper. ``texts``: C++ signatures, for the host's own widgets."""

    kind = "Slot"

    def __init__(self, owner: type, name: str, texts: tuple[str, ...] = ()) -> None:
        self.owner, self.name, self._texts = owner, name, texts

    def __get__(self, wrapper: Any, owner: type) -> builtin_qt_slot:
        return builtin_qt_slot(self, wrapper)

    def signatures(self) -> tuple[conversion.Signature, ...]:
        if self._texts:
            return conversion.signatures_of_cpp(self._texts)
        return conversion.signatures_of_pyqt(getattr(self.owner, self.name).__doc__)

    def call(self, wrapper: Any, args: tuple[Any, ...]) -> Any:
        from .wrapping import wrap

        if self._texts:  # a method of the host's own: its exceptions are its own
            return wrap(self._function(wrapper)(*conversion.arguments(self.signatures(), args)))
        result = wrap(call(self._function(wrapper), self.signatures(), args))
        if self.name == "setToolTip" and wrapper is not None:
            tooltips.word_wrap(wrapper._real)
        return result

    def _function(self, wrapper: Any) -> Any:
        name = self.name
        threads.check(name)
        if wrapper is None:
            return getattr(self.owner, name)
        real = wrapper.__dict__.get("_real")
        if real is None or sip.isdeleted(real):
            raise ValueError(f"Trying to call '{name}' on a destroyed {type(wrapper).__name__} object")
        if name in getattr(type(real), "_forwarded", ()):
            # An overridden virtual method calls its base class: not through the object, that would come back here.
            base = getattr(self.owner, name)
            return lambda *args: base(real, *args)
        return getattr(real, name)


class Special:
    """A method that the host defines itself: ``function(wrapper, *args)``, or without wrapper when static."""

    kind = "Slot"

    def __init__(self, name: str, function: Any, static: bool = False) -> None:
        self.name, self.function, self.static = name, function, static

    def __get__(self, wrapper: Any, owner: type) -> builtin_qt_slot:
        return builtin_qt_slot(self, wrapper)

    def signatures(self) -> tuple[conversion.Signature, ...]:
        return ()

    def call(self, wrapper: Any, args: tuple[Any, ...]) -> Any:
        return self.function(*args) if self.static or wrapper is None else self.function(wrapper, *args)


class builtin_qt_slot:
    """A method of one object, or of the class when ``wrapper`` is None; PythonQt's name for it."""

    __slots__ = ("__weakref__", "method", "wrapper")

    def __init__(self, method: Method | Special, wrapper: Any) -> None:
        self.method, self.wrapper = method, wrapper

    @property
    def __name__(self) -> str:
        return self.method.name

    @property
    def __self__(self) -> Any:
        return self.wrapper

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        if keywords:
            overloads = self.method.signatures()
            conversion.refuse_keywords(overloads[0].shown if overloads else f"{self.method.name}()", keywords)
        return self.method.call(self.wrapper, args)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, builtin_qt_slot):
            return NotImplemented
        return self.method.name == other.method.name and self.wrapper == other.wrapper

    def __hash__(self) -> int:
        return hash((self.method.name, self.wrapper))

    def __repr__(self) -> str:
        return f"<method {self.method.name} of {self.wrapper if self.wrapper is not None else 'its class'}>"


class Signal:
    """A signal of the real class."""

    kind = "Signal"

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, wrapper: Any, owner: type) -> Any:
        from .signals import BoundSignal

        return self if wrapper is None else BoundSignal(wrapper, self.name)


MEMBERS = (Property, Variable, Method, Special, Signal)


def living(wrapper: Any, name: str, what: str) -> Any:
    """The real object of a wrapper. Raises ValueError where Qt has deleted it."""
    threads.check(f"{type(wrapper).__name__}.{name}")
    real = wrapper.__dict__.get("_real")
    if real is None or sip.isdeleted(real):
        raise ValueError(f"Trying to {what} property '{name}' from a destroyed {type(wrapper).__name__} object")
    return real


def call(function: Any, overloads: tuple[conversion.Signature, ...], args: tuple[Any, ...]) -> Any:
    """Call PyQt5 with arguments converted as PythonQt does. Raises ValueError for wrong ones."""
    if not overloads:
        return function(*[conversion.to_anything(arg, False) for arg in args])
    plain = conversion.arguments(overloads, args)
    try:
        return function(*plain)
    except TypeError as error:
        raise conversion.wrong_arguments(overloads, args) from error


def find(cls: type, name: str) -> Property | Variable | Method | Signal | Special | None:
    """The member that Qt gives a wrapper class under this name; what Python code defined is not meant."""
    for base in cls.__mro__:
        if not getattr(base, "_derived", True) and name in vars(base):
            member = vars(base)[name]
            return member if isinstance(member, MEMBERS) else None
    return None
