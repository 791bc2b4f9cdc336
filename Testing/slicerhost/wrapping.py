"""Wrappers around PyQt5 objects that behave as PythonQt's do in 3D Slicer.

PyQt5 is never changed: every object that an extension sees is a :class:`Wrapper` that holds the real object. Reading an
attribute that is a Qt property gives its value, assigning sets it, other names are methods, and a name that Qt does not
know raises. The class of a wrapper mirrors the real class, so ``isinstance(widget, qt.QLabel)`` and derived Python
classes work.
"""

from __future__ import annotations

import weakref
from typing import Any, ClassVar

from PyQt5 import QtCore, sip

from . import members, threads

_classes: dict[type, type] = {}


class WrapperType(type):
    """Type of the wrapper classes; a class that an extension derives from one is marked as derived."""

    _pyqt: type
    _derived: bool

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **settings: Any) -> WrapperType:
        namespace.setdefault("_derived", not settings.pop("stock", False))
        return super().__new__(mcs, name, bases, namespace)

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **_settings: Any) -> None:
        super().__init__(name, bases, namespace)

    def className(cls) -> str:
        return cls.__name__


class Wrapper(metaclass=WrapperType, stock=True):
    """What an extension holds instead of a Qt object."""

    _pyqt: ClassVar[type] = sip.simplewrapper
    _derived: ClassVar[bool] = False
    _real: Any

    def __init__(self, *args: Any, **keywords: Any) -> None:
        refuse_keywords(type(self).__name__, keywords)
        threads.check(type(self).__name__)
        cls = type(self)
        if cls._derived:
            from .derived import shell_class

            real_class = shell_class(cls)
        else:
            real_class = cls._pyqt
        bind(self, members.call(real_class, [unwrap(arg) for arg in args]))

    def __getattr__(self, name: str) -> Any:
        # Only reached when the class does not know the name: dynamic properties and children by object name.
        if name.startswith("__") or "_real" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__} has no attribute named '{name}'")
        real = self._real
        if isinstance(real, QtCore.QObject) and not sip.isdeleted(real):
            value = real.property(name)
            if value is not None:
                return wrap(value)
            for child in real.children():
                if child.objectName() == name:
                    return wrap(child)
        raise AttributeError(f"{type(self).__name__} has no attribute named '{name}'")

    def __setattr__(self, name: str, value: Any) -> None:
        cls = type(self)
        member = members.find(cls, name)
        if isinstance(member, members.Property):
            member.write(self, value)
        elif member is not None and "_real" in self.__dict__:
            raise AttributeError(f"{member.kind} '{name}' can not be overwritten on {cls.__name__} object")
        elif self._set_dynamic(name, value):
            pass
        elif cls._derived:
            object.__setattr__(self, name, value)
        else:
            raise AttributeError(
                f"'{name}' does not exist on {cls.__name__} and creating new attributes on C++ objects is not allowed"
            )

    def _set_dynamic(self, name: str, value: Any) -> bool:
        real = self.__dict__.get("_real")
        if not isinstance(real, QtCore.QObject) or sip.isdeleted(real) or name.startswith("_"):
            return False
        if name.encode() not in [bytes(known) for known in real.dynamicPropertyNames()]:
            return False
        real.setProperty(name, unwrap(value))
        return True

    def __bool__(self) -> bool:
        return not sip.isdeleted(self._real)

    def __eq__(self, other: object) -> bool:
        if other is None:
            return not self
        if not isinstance(other, Wrapper):
            return NotImplemented
        return self._real is other._real or bool(self._real == other._real)

    def __hash__(self) -> int:
        return hash(sip.unwrapinstance(self._real))

    def __repr__(self) -> str:
        if sip.isdeleted(self._real):
            return f"{type(self).__name__} (destroyed)"
        return f"{type(self).__name__} ({self._pyqt.__name__} at: {sip.unwrapinstance(self._real):#x})"

    def __dir__(self) -> list[str]:
        return sorted({name for cls in type(self).__mro__ for name in vars(cls) if not name.startswith("_")})

    def className(self) -> str:
        return type(self).__name__

    def delete(self) -> None:
        """Delete the C++ object now."""
        if not sip.isdeleted(self._real):
            sip.delete(self._real)

    def help(self) -> None:
        print("\n".join(dir(self)))


def refuse_keywords(name: str, keywords: dict[str, Any]) -> None:
    if keywords:
        raise TypeError(f"{name}() takes no keyword arguments, as in PythonQt (got {', '.join(sorted(keywords))})")


def bind(wrapper: Wrapper, real: Any) -> None:
    """Join a wrapper and its real object. A derived wrapper carries state, so the real object keeps it alive."""
    object.__setattr__(wrapper, "_real", real)
    if isinstance(real, sip.wrapper):
        real._slicerhost = wrapper if type(wrapper)._derived else weakref.ref(wrapper)


def bound_wrapper(real: Any) -> Wrapper | None:
    """The wrapper that a real object already has, if any."""
    held = real.__dict__.get("_slicerhost") if hasattr(real, "__dict__") else None
    return held() if isinstance(held, weakref.ref) else held


def wrapper_class(real_class: type) -> type:
    """The wrapper class of a PyQt5 class (or of one of the host's own widgets), made at the first use."""
    if real_class in (sip.simplewrapper, sip.wrapper, object):
        return Wrapper
    known = _classes.get(real_class)
    if known is None:
        bases = tuple(dict.fromkeys(wrapper_class(base) for base in real_class.__bases__ if _is_qt(base)))
        bases = tuple(b for b in bases if not any(o is not b and issubclass(o, b) for o in bases)) or (Wrapper,)
        namespace = members.describe(real_class)
        namespace["_pyqt"] = real_class
        namespace["__module__"] = "qt"
        known = WrapperType(real_class.__name__, bases, namespace, stock=True)
        _classes[real_class] = known
    return known


def _is_qt(cls: type) -> bool:
    return isinstance(cls, sip.wrappertype)


def is_flags(cls: type) -> bool:
    """Whether a PyQt5 class is a set of flags (``Qt.Alignment``); such values are left as they are, like enums."""
    return isinstance(cls, sip.wrappertype) and hasattr(cls, "__invert__")


def wrap(value: Any) -> Any:
    """What an extension gets for a value that PyQt5 returned; containers are wrapped item by item."""
    if isinstance(value, sip.simplewrapper):
        if is_flags(type(value)):
            return value
        known = bound_wrapper(value)
        if known is not None:
            return known
        cls = next(c for c in type(value).__mro__ if _is_qt(c) and not c.__dict__.get("_is_shell", False))
        wrapper = Wrapper.__new__(wrapper_class(cls))
        bind(wrapper, value)
        return wrapper
    if type(value) in (list, tuple):
        return type(value)(wrap(item) for item in value)
    if type(value) is dict:
        return {key: wrap(item) for key, item in value.items()}
    return value


def unwrap(value: Any) -> Any:
    """What PyQt5 is given for a value of an extension."""
    if isinstance(value, Wrapper):
        return value._real
    if isinstance(value, WrapperType):
        return value._pyqt
    if type(value) in (list, tuple):
        return type(value)(unwrap(item) for item in value)
    if type(value) is dict:
        return {key: unwrap(item) for key, item in value.items()}
    return value
