"""Wrappers around PyQt5 objects that behave as PythonQt's do in 3D Slicer.

PyQt5 is never changed: every object that an extension sees is a :class:`Wrapper` that holds the real object. Reading an
attribute that is a Qt property gives its value, assigning sets it, other names are methods, and a name that Slicer's
Python does not reach raises. The classes of wrappers are flat, as PythonQt's are: a label is a ``qt.QLabel`` and no
``qt.QWidget``; Python classes may derive from them.
"""

from __future__ import annotations

import weakref
from typing import Any, ClassVar

from PyQt5 import QtCore, sip

from . import conversion, enums, members, namespaces, reach, threads
from .handles import Handle, HandleType, unwrap

_classes: dict[type, type] = {}


class WrapperType(HandleType):
    """Type of the wrapper classes; a class that an extension derives from one is marked as derived."""

    _derived: bool

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **settings: Any) -> WrapperType:
        namespace.setdefault("_derived", not settings.pop("stock", False))
        return super().__new__(mcs, name, bases, namespace)

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **_settings: Any) -> None:
        super().__init__(name, bases, namespace)

    def className(cls) -> str:
        return cls.__name__


class Wrapper(Handle, metaclass=WrapperType, stock=True):
    """What an extension holds instead of a Qt object."""

    _pyqt: ClassVar[type] = sip.simplewrapper
    _derived: ClassVar[bool] = False

    def __init__(self, *args: Any, **keywords: Any) -> None:
        cls = type(self)
        overloads = conversion.signatures_of_pyqt(cls._pyqt.__doc__)
        conversion.refuse_keywords(overloads[0].shown if overloads else f"{cls.__name__}()", keywords)
        threads.check(cls.__name__)
        if cls._derived:
            from .derived import shell_class

            real_class = shell_class(cls)
        else:
            real_class = cls._pyqt
        bind(self, members.call(real_class, overloads, args))

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
        lacking = name in (reach.facts(self._pyqt.__name__) or ())
        hint = " in the test host, although Slicer has it" if lacking else ""
        raise AttributeError(f"{type(self).__name__} has no attribute named '{name}'{hint}")

    def __setattr__(self, name: str, value: Any) -> None:
        cls = type(self)
        member = members.find(cls, name)
        if isinstance(member, members.Property | members.Variable):
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
        known = WrapperType(real_class.__name__, (Wrapper,), {"_pyqt": real_class, "__module__": "qt"}, stock=True)
        _classes[real_class] = known  # before its members, among which it may be itself
        for name, member in namespaces.describe(real_class).items():
            setattr(known, name, member)
    return known


def _is_qt(cls: type) -> bool:
    return isinstance(cls, sip.wrappertype)


def wrap(value: Any) -> Any:
    """What an extension gets for a value that PyQt5 returned; lists become tuples, flags numbers, as in PythonQt."""
    if isinstance(value, sip.simplewrapper):
        if enums.is_flags(type(value)):
            return int(value)
        known = bound_wrapper(value)
        if known is not None:
            return known
        cls = next(c for c in type(value).__mro__ if _is_qt(c) and not c.__dict__.get("_is_shell", False))
        wrapper = Wrapper.__new__(wrapper_class(cls))
        bind(wrapper, value)
        return wrapper
    if isinstance(value, int) and enums.is_enum(type(value)):
        return enums.published(type(value))(int(value))
    if type(value) in (list, tuple):
        return tuple(wrap(item) for item in value)
    if type(value) is dict:
        return {key: wrap(item) for key, item in value.items()}
    return value
