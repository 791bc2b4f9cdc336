"""Questions about the classes of Qt, CTK and Slicer by their names, for checks that read source and run nothing."""

from __future__ import annotations

from functools import cache

from PyQt5 import QtCore, sip

from . import conversion, members, reach, wrapping


def _qt_class(name: str) -> type | None:
    found = conversion.class_named(name)
    return found if isinstance(found, sip.wrappertype) else None


@cache
def _qt_members(name: str) -> dict[str, object] | None:
    """The members of a class of Qt as PythonQt shows them; None for what is no class of Qt."""
    real = _qt_class(name)
    if real is None:
        return None
    return {**vars(wrapping.Wrapper), **vars(wrapping.wrapper_class(real))}


def is_known(class_name: str) -> bool:
    return reach.facts(class_name) is not None or _qt_members(class_name) is not None


def kind_of(class_name: str, member: str) -> str | None:
    """What a member is: method, signal, property, constant (a property that cannot be set), value or type.

    None where Slicer's Python does not reach it, or where nobody knows the class.
    """
    facts = reach.facts(class_name) or {}
    fact = facts.get(member) or facts.get(member.rstrip("_"))
    if fact is not None:
        return fact.kind
    known = _qt_members(reach.qt_base(class_name)) or {}
    found = known.get(member)
    if isinstance(found, members.Property | members.Variable):
        return "property" if found.writable else "constant"
    if isinstance(found, members.Signal):
        return "signal"
    return None if member not in known else "method" if callable(found) or hasattr(found, "__get__") else "value"


@cache
def derived_from(class_name: str) -> set[str]:
    """The classes that derive from a class: of Qt, and those of CTK and Slicer that are known."""
    real = _qt_class(class_name)
    direct = {cls.__name__ for cls in real.__subclasses__() if _qt_class(cls.__name__) is cls} if real else set()
    found = direct.union(*map(derived_from, direct))
    return found | reach.derived_from(class_name).union(*map(reach.derived_from, found))


def signals_of(class_name: str) -> set[str]:
    """The signatures of all signals of a class, without spaces: ``clicked()``, ``clicked(bool)``."""
    found = {s for fact in (reach.facts(class_name) or {}).values() if fact.kind == "signal" for s in fact.signatures}
    real = _qt_class(reach.qt_base(class_name))
    if real is not None and issubclass(real, QtCore.QObject):
        meta = real.staticMetaObject
        all_methods = (meta.method(index) for index in range(meta.methodCount()))
        found |= {
            bytes(m.methodSignature()).decode() for m in all_methods if m.methodType() == QtCore.QMetaMethod.Signal
        }
    return {signature.replace(" ", "") for signature in found}


def results_of(class_name: str, member: str) -> set[str]:
    """The types that the overloads of a method return, without pointers and references."""
    fact = (reach.facts(class_name) or {}).get(member)
    if fact is not None:
        overloads = conversion.signatures_of_cpp(fact.signatures)
    else:
        found = (_qt_members(reach.qt_base(class_name)) or {}).get(member)
        overloads = found.signatures() if isinstance(found, members.Method) else ()
    return {overload.shown.rpartition(" -> ")[2].removeprefix("const ").rstrip("*& ") for overload in overloads}
