"""Connections between signals and Python functions, by signature as in PythonQt.

``connect("clicked()", function)`` is checked against the meta object: a signal that does not exist raises (PythonQt
only prints a warning, which nobody sees in a test). A function gets as many of the signal's arguments as it takes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType, MethodType
from typing import Any

from PyQt5 import QtCore

from . import errors, threads


@dataclass(frozen=True)
class Connection:
    """One connection: the normalised signature, what the extension connected, and what Qt calls."""

    signature: str
    target: Any
    adapter: Callable[..., None]
    signal: Any


def normalised(signature: str) -> str:
    """``clicked( bool )`` as Qt writes it; the digit that SIGNAL() and SLOT() put in front is dropped."""
    text = signature[1:] if signature[:1].isdigit() else signature
    return bytes(QtCore.QMetaObject.normalizedSignature(text)).decode()


def split(signature: str) -> tuple[str, list[str]]:
    """Name and argument types of a normalised signature. Raises ValueError where it has no parentheses."""
    match = re.fullmatch(r"(\w+)\((.*)\)", signature)
    if match is None:
        raise ValueError(f"'{signature}' is no signature: write it as name(types), for example clicked()")
    return match[1], [text for text in match[2].split(",") if text]


def find_signal(real: QtCore.QObject, signature: str) -> tuple[Any, int]:
    """The PyQt5 signal of a signature and its number of arguments. Raises ValueError where there is none."""
    name, types = split(signature)
    vtk_signals = {s for cls in type(real).__mro__ for s in getattr(cls, "vtk_signals", ())}
    if signature in vtk_signals:
        types = ["PyQt_PyObject" if text.startswith("vtk") else text for text in types]
    elif "PyQt_PyObject" in signature or real.metaObject().indexOfSignal(signature) < 0:
        raise ValueError(f"Signal '{signature}' does not exist on {real.metaObject().className()}")
    signal = getattr(real, name)
    keys = tuple(object if text == "PyQt_PyObject" else text for text in types)
    try:
        return signal[keys if len(keys) != 1 else keys[0]], len(types)
    except (KeyError, TypeError):
        # A signal with default arguments, clicked(bool = false): Qt also has it without, PyQt5 only in full.
        return signal, len(types)


def accepted(target: Any, count: int) -> int:
    """How many of a signal's arguments a callable takes: what its code says, all for anything that is no function."""
    function = target.__func__ if isinstance(target, MethodType) else target
    if not isinstance(function, FunctionType) or function.__code__.co_flags & 0x04:
        return count
    return min(count, function.__code__.co_argcount - isinstance(target, MethodType))


def guarded(target: Any, where: str, count: int) -> Callable[..., None]:
    """A function for Qt to call: passes wrapped arguments on and records what the target raises."""

    def adapter(*args: Any) -> None:
        from .wrapping import wrap

        try:
            target(*[wrap(arg) for arg in args[: accepted(target, count)]])
        except BaseException as error:  # a slot has no caller that could catch anything
            errors.log.record(where, error)

    return adapter


def connect(wrapper: Any, signature: str, *rest: Any) -> bool:
    """``connect("signal()", callable)`` or ``connect("signal()", receiver, "slot()")``. Raises where one is unknown."""
    from .wrapping import Wrapper

    threads.check("connect")
    real = wrapper._real
    signature = normalised(signature)
    signal, count = find_signal(real, signature)
    if len(rest) == 2 and isinstance(rest[0], Wrapper):
        target = find_slot(rest[0], rest[1])
    elif len(rest) == 1 and callable(rest[0]):
        target = rest[0]
    else:
        raise ValueError(f"connect('{signature}', ...) needs a callable, or a receiver and the signature of its slot")
    adapter = guarded(target, f"slot of {type(wrapper).__name__}.{signature}", count)
    signal.connect(adapter)
    _connections(real).append(Connection(signature, target, adapter, signal))
    return True


def find_slot(receiver: Any, signature: str) -> Any:
    """The bound method of a slot or signal. Raises ValueError where the receiver has none of this signature."""
    signature = normalised(signature)
    name, _types = split(signature)
    real = receiver._real
    known = {s for cls in type(real).__mro__ for s in getattr(cls, "vtk_slots", ())}
    if signature not in known and real.metaObject().indexOfMethod(signature) < 0:
        raise ValueError(f"Slot '{signature}' does not exist on {real.metaObject().className()}")
    method = getattr(real, name)
    if isinstance(method, QtCore.pyqtBoundSignal):
        return find_signal(real, signature)[0].emit

    def slot(*args: Any) -> None:
        from .wrapping import unwrap

        method(*[unwrap(arg) for arg in args[: len(_types)]])

    return slot


def disconnect(wrapper: Any, signature: str | None = None, *rest: Any) -> bool:
    """Undo a connection; False where there was none. Raises where the signal does not exist."""
    real = wrapper._real
    if signature is not None:
        signature = normalised(signature)
        find_signal(real, signature)
    for connection in list(_connections(real)):
        if signature in (None, connection.signature) and (not rest or connection.target == rest[0]):
            connection.signal.disconnect(connection.adapter)
            _connections(real).remove(connection)
            if rest:
                return True
    return not rest


def _connections(real: QtCore.QObject) -> list[Connection]:
    if not hasattr(real, "_slicerhost_connections"):
        real._slicerhost_connections = []
    return real._slicerhost_connections


class BoundSignal:
    """``button.clicked``: connect, disconnect and emit, on the signal's first signature or the one in brackets."""

    def __init__(self, wrapper: Any, name: str, signature: str | None = None) -> None:
        self._wrapper, self._name = wrapper, name
        self._signature = signature or self._first()

    def _first(self) -> str:
        full = getattr(self._wrapper._real, self._name).signal[1:]
        for cls in type(self._wrapper._real).__mro__:
            for declared in getattr(cls, "vtk_signals", ()):
                if declared.startswith(self._name + "(") and full.endswith("(PyQt_PyObject)"):
                    return declared
        return full

    def __getitem__(self, types: str | tuple[str, ...]) -> BoundSignal:
        names = (types,) if isinstance(types, str) else types
        return BoundSignal(self._wrapper, self._name, f"{self._name}({','.join(names)})")

    def connect(self, *args: Any) -> bool:
        return connect(self._wrapper, self._signature, *args)

    def disconnect(self, *args: Any) -> bool:
        return disconnect(self._wrapper, self._signature, *args)

    def emit(self, *args: Any) -> None:
        from .wrapping import unwrap

        find_signal(self._wrapper._real, self._signature)[0].emit(*[unwrap(arg) for arg in args])

    def __call__(self, *args: Any) -> Any:
        """Emit; where Qt has a method of the same name (``QProcess.error``), call that."""
        from .wrapping import unwrap, wrap

        try:
            return wrap(getattr(self._wrapper._real, self._name)(*[unwrap(arg) for arg in args]))
        except TypeError:
            return self.emit(*args)
