"""How PythonQt turns arguments into C++ values: which overload is called, what is converted and what is refused.

It looks for an overload that takes the arguments as they are, then for one that can convert them: anything becomes a
text (``None`` the text "None") or a truth value, numbers become numbers, a sequence becomes a list of texts. A text
never becomes a number. Types come from PyQt5's descriptions of its methods and, for the host's own widgets, from the
signatures of the originals.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from PyQt5 import QtCore, QtGui, QtNetwork, QtSvg, QtWidgets

from .enums import EnumValue, is_enum, is_flags
from .handles import unwrap

_MODULES = (QtCore, QtGui, QtWidgets, QtNetwork, QtSvg)
_PLAIN = (str, bytes, int, float)
Converter = Callable[[Any, bool], Any]


class Refused(Exception):
    """A value that cannot be converted."""


@dataclass(frozen=True)
class Signature:
    """One overload: what it is called in messages, its converters, and how many arguments it needs."""

    shown: str
    converters: tuple[Converter, ...]
    required: int


# Converters: (value, strict) -> value for Qt. Strict ones take only what needs no conversion.


def to_text(value: Any, strict: bool) -> str:
    if strict and not isinstance(value, str):
        raise Refused
    text = str(value)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise SystemError("<qt slot> returned a result with an exception set") from error
    return text.partition("\0")[0]


def to_truth(value: Any, strict: bool) -> bool:
    if strict and not isinstance(value, bool):
        raise Refused
    return bool(value)


def to_integer(value: Any, strict: bool) -> int:
    if isinstance(value, int):
        return int(value)
    if strict:
        raise Refused
    if isinstance(value, float):
        return int(value)
    try:
        return operator.index(value)
    except TypeError:
        raise Refused from None


def to_real(value: Any, strict: bool) -> float:
    if isinstance(value, float):
        return float(value)
    if strict or isinstance(value, str | bytes):
        raise Refused
    try:
        return float(value)
    except (TypeError, ValueError):
        raise Refused from None


def to_texts(value: Any, strict: bool) -> list[str]:
    if not isinstance(value, Sequence) or (strict and isinstance(value, str | bytes)):
        raise Refused
    return [to_text(item, strict) for item in value]


def to_list(value: Any, strict: bool) -> list[Any]:
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise Refused
    return [to_anything(item, strict) for item in value]


def to_anything(value: Any, _strict: bool) -> Any:
    return unwrap(value)


def _to_number_of(pyqt: type) -> Converter:
    """For a parameter that is an enumeration or a set of flags."""

    def convert(value: Any, strict: bool) -> Any:
        if not isinstance(value, int) or isinstance(value, bool):
            raise Refused
        if strict and not (is_flags(pyqt) or (isinstance(value, EnumValue) and value._pyqt is pyqt)):
            raise Refused  # a number is a set of flags as it is, but no value of an enumeration
        return pyqt(int(value))

    return convert


def _to_object(accepts: Callable[[Any], bool], none: bool) -> Converter:
    def convert(value: Any, _strict: bool) -> Any:
        real = to_anything(value, True)
        if (real is None and not none) or isinstance(value, _PLAIN):
            raise Refused
        if real is not None and not accepts(real):
            raise Refused
        return real

    return convert


def _one_of(converters: list[Converter]) -> Converter:
    def convert(value: Any, strict: bool) -> Any:
        for converter in converters:
            try:
                return converter(value, strict)
            except Refused:
                continue
        raise Refused

    return convert


# Types by name

_PYTHON = {"str": to_text, "bool": to_truth, "int": to_integer, "float": to_real, "Any": to_anything}
_CPP = {"QString": to_text, "bool": to_truth, "double": to_real, "float": to_real, "QStringList": to_texts}
_CPP |= dict.fromkeys(("int", "uint", "qlonglong", "qulonglong", "vtkIdType", "long", "ulong"), to_integer)
_CPP |= {"QVariant": to_anything, "const char*": to_text, "QList<QString>": to_texts}
_CPP |= {"qSlicerIO::IOFileType": to_text, "qSlicerIO::IOProperties": to_anything}


def class_named(name: str) -> type | None:
    """The class or enumeration of PyQt5 that is called so, with its scope: ``Qt.Alignment``."""
    scope, *rest = name.split(".")
    found = next((getattr(module, scope) for module in _MODULES if hasattr(module, scope)), None)
    for part in rest:
        found = getattr(found, part, None)
    return found if isinstance(found, type) else None


@cache
def of_python(text: str, none: bool = False) -> Converter:
    """The converter for a type as PyQt5 writes it: ``Optional[QWidget]``, ``Union[Qt.Alignment, Qt.AlignmentFlag]``."""
    if text in _PYTHON:
        return _PYTHON[text]
    outer, _, inner = text.removesuffix("]").partition("[")
    if outer == "Optional":
        return of_python(inner, True)
    if outer == "Union":
        return _one_of([of_python(part, none) for part in _split(inner)])
    if outer in ("Iterable", "List", "Sequence"):
        return to_texts if inner in ("str", "Optional[str]") else to_list
    cls = class_named(text)
    if cls is None:
        return to_anything
    if is_enum(cls) or is_flags(cls):
        return _to_number_of(cls)
    return _to_object(lambda real: isinstance(real, cls), none)


@cache
def of_cpp(text: str) -> Converter:
    """The converter for a C++ type."""
    if text in _CPP:
        return _CPP[text]
    if text.endswith("*"):
        name = text.removeprefix("const ").rstrip("*").strip()
        if name.startswith("vtk"):
            return _to_object(lambda real: hasattr(real, "IsA") and bool(real.IsA(name)), True)
        return _to_object(lambda real: not hasattr(real, "inherits") or real.inherits(name), True)
    if text.startswith(("QList<", "QVector<")) or text.endswith("]"):
        return to_list
    if "::" in text:
        return to_integer
    if re.fullmatch(r"Q[A-Z]\w*", text) and class_named(text) is not None:
        return _to_object(lambda real: isinstance(real, class_named(text)), False)
    return to_anything


def _split(text: str) -> list[str]:
    """Split at commas outside brackets."""
    parts, depth, start = [], 0, 0
    for position, letter in enumerate(text):
        depth += letter in "[(<"
        depth -= letter in "])>"
        if letter == "," and depth == 0:
            parts.append(text[start:position].strip())
            start = position + 1
    return [*parts, text[start:].strip()] if text.strip() else []


def signatures_of_pyqt(text: str | None) -> tuple[Signature, ...]:
    """The overloads in PyQt5's description of a method or class; () where it says nothing usable."""
    found = []
    for line in (text or "").splitlines():
        match = re.match(r"(\w+)\((.*)\)(?: -> (.*))?$", line.strip())
        if match is None:
            return ()
        name, inside, result = match.groups()
        parts = [part for part in _split(inside) if part != "self"]
        if any(part.startswith("*") or "variant: Any" in part for part in parts):
            continue
        names, types = [], []
        for part in parts:
            name_, _, kind = part.partition(":")
            names.append(name_.strip())
            types.append(kind.partition(" = ")[0].strip())
        required = sum(" = " not in part for part in parts)
        inner = ", ".join(f"{_cpp_name(kind)} {name_}".strip() for kind, name_ in zip(types, names))
        inner = re.sub(r" a\d+\b", "", inner)
        returned = _cpp_name(result) if result else (name if text and name[0] == "Q" else "void")
        found.append(Signature(f"{name}({inner}) -> {returned}", tuple(of_python(kind) for kind in types), required))
    return tuple(found)


def _cpp_name(python: str) -> str:
    plain = re.sub(r"Optional\[(.*)\]", r"\1", python)
    plain = re.sub(r"(Iterable|List|Sequence)\[(Optional\[)?str\]?\]", "QStringList", plain)
    return {"str": "QString", "float": "double", "Any": "QVariant"}.get(plain, plain).replace(".", "::")


@cache
def signatures_of_cpp(texts: tuple[str, ...]) -> tuple[Signature, ...]:
    """Overloads from C++ signatures: ``bool setPythonSource(QString)``."""
    found = []
    for text in texts:
        result, name, inside = re.fullmatch(r"(.*?)\s*\b(\w+)\((.*)\)", text).groups()
        types = _split(inside)
        shown = f"{name}({inside}) -> {result or 'void'}"
        found.append(Signature(shown, tuple(of_cpp(kind) for kind in types), len(types)))
    return tuple(found)


def arguments(overloads: tuple[Signature, ...], args: Sequence[Any]) -> list[Any]:
    """The arguments as Qt takes them. Raises ValueError where no overload takes them, as PythonQt does."""
    for strict in (True, False):
        for overload in overloads:
            if overload.required <= len(args) <= len(overload.converters):
                try:
                    return [convert(arg, strict) for convert, arg in zip(overload.converters, args)]
                except Refused:
                    continue
    raise wrong_arguments(overloads, args)


def wrong_arguments(overloads: tuple[Signature, ...], args: Sequence[Any]) -> ValueError:
    given = tuple(args)
    if len(overloads) == 1:
        return ValueError(f"Called {overloads[0].shown} with wrong arguments: {given!r}")
    listed = "\n".join(overload.shown for overload in overloads)
    return ValueError(
        f"Could not find matching overload for given arguments:\n{given!r}\n"
        f" The following slots are available:\n{listed}"
    )


def refuse_keywords(shown: str, keywords: dict[str, Any]) -> None:
    if keywords:
        raise ValueError(f"Called {shown} with keyword arguments, but called slot does not support kwargs.")
