"""The members of a wrapper class: Qt properties, methods, signals, and enums, as far as Slicer's Python reaches them.

A property hides a method of the same name, as in PythonQt: ``label.text`` is the text, ``label.text()`` fails.
"""

from __future__ import annotations

from typing import Any

from PyQt5 import QtCore, QtGui, QtWidgets, sip

from . import conversion, enums, reach, threads, tooltips

# Members of PyQt5 that PythonQt does not have.
_HIDDEN = {"pyqtConfigure", "staticMetaObject", "vtk_signals", "vtk_slots", "silent_result"}
# Operators of value classes (QSize, QPoint, QColor ...).
_OPERATORS = (
    *("__lt__", "__le__", "__gt__", "__ge__", "__add__", "__radd__", "__sub__", "__rsub__", "__mul__", "__rmul__"),
    *("__truediv__", "__and__", "__or__", "__xor__", "__neg__", "__contains__", "__getitem__", "__setitem__"),
    *("__len__", "__int__", "__index__", "__iter__", "__str__"),
)


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


def describe(real_class: type) -> dict[str, Any]:
    """The namespace of the wrapper class of a PyQt5 class: all its members, because PythonQt's classes are flat."""
    facts = reach.facts(real_class.__name__)
    if facts is None:
        return _of_qt(real_class)
    space = _of_qt(_qt_class(reach.qt_base(real_class.__name__)))
    for name, fact in facts.items():
        member = _of_host(real_class, name, fact)
        if member is not None:
            space[name] = member
    return space


def _qt_class(name: str) -> type:
    return next(getattr(module, name) for module in (QtCore, QtGui, QtWidgets) if hasattr(module, name))


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
        from .wrapping import unwrap, wrap

        return wrap(getattr(real_class, name)(wrapper._real, *[unwrap(arg) for arg in args]))

    operate.__name__ = name
    return operate
