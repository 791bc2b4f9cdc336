"""What Slicer's Python does not reach, found in an extension's source: the second half of the static check."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from slicerhost.lookup import derived_from, is_known, kind_of, signals_of
from widget_types import Program, class_called

_BASES = re.compile(r"Q(Widget|Object|Layout|Frame|Abstract\w+)$")


def problems(program: Program) -> Iterator[str]:
    """One line for each access that fails, or does something else, in Slicer."""
    for file, tree in program.trees.items():
        calls = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
        for node in ast.walk(tree):
            for text in (*_of_attribute(program, node, calls), *_of_call(program, node)):
                yield f"{file}:{node.lineno}: {text}"


def _of_attribute(program: Program, node: ast.AST, calls: dict[int, ast.Call]) -> Iterator[str]:
    if not isinstance(node, ast.Attribute):
        return
    call = calls.get(id(node))
    scope = class_called(node.value) if not program.types(node.value) else None
    if scope is not None and scope not in program.bases and is_known(scope):
        if kind_of(scope, node.attr) is None:
            yield f"{scope}.{node.attr} is not reachable"
        return
    for cls in program.types(node.value):
        yield from judge(program, cls, node.attr, isinstance(node.ctx, ast.Store), call is not None)
        if call is not None and call.keywords and cls not in program.bases:
            yield f"{cls}.{node.attr} is called with keyword arguments"


def judge(program: Program, cls: str, name: str, stored: bool, called: bool) -> Iterator[str]:
    """What is wrong with one access to a member.

    Args:
        cls: class of the object: one of Qt, CTK or Slicer, or of the program; with a star one that it derives from.
        stored: whether it is assigned to; called: whether it is called.
    """
    if cls in program.bases:  # its own members are its own affair, those of a widget that it derives from are not
        own = name.startswith("_") or program.defines(cls, name)
        for base in () if own else program.bases[cls]:
            if base in program.bases or is_known(base):
                yield from judge(program, base, name, stored and kind_of(base, name) is not None, called)
        return
    cls, star = cls.rstrip("*"), cls.endswith("*")
    if not is_known(cls):
        return
    kind = kind_of(cls, name)
    if kind is None and star and any(kind_of(derived, name) for derived in derived_from(cls)):
        return
    if kind is None:
        yield f"{cls}.{name} is not reachable: only slots, invokable methods, signals and properties are"
    elif kind in ("property", "constant") and called:
        yield f"{cls}.{name} is a property: it has a value and is not called"
    elif stored and kind != "property":
        yield f"{cls}.{name} cannot be set: it is a {kind}"


def _of_call(program: Program, node: ast.AST) -> Iterator[str]:
    """Signals by signature, members by a text, and tests of a base class, which are False for every widget."""
    if not isinstance(node, ast.Call):
        return
    made = class_called(node.func)
    if made is not None and node.keywords:
        yield f"{made} is made with keyword arguments"
    texts = [arg.value if isinstance(arg, ast.Constant) and isinstance(arg.value, str) else None for arg in node.args]
    if isinstance(node.func, ast.Attribute) and node.func.attr in ("connect", "disconnect") and texts and texts[0]:
        for cls in program.types(node.func.value):
            classes = [cls.rstrip("*"), *(derived_from(cls[:-1]) if cls.endswith("*") else ())]
            if is_known(classes[0]) and not any(re.sub(r"\s", "", texts[0]) in signals_of(one) for one in classes):
                yield f"{classes[0]} has no signal {texts[0]}"
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    if name in ("getattr", "setattr") and len(texts) > 1 and texts[1]:
        for cls in program.types(node.args[0]):
            yield from judge(program, cls, texts[1], name == "setattr", False)
    if name == "isinstance" and len(node.args) == 2:
        tested = node.args[1].elts if isinstance(node.args[1], ast.Tuple) else [node.args[1]]
        for cls in filter(None, map(class_called, tested)):
            if _BASES.match(cls):
                yield f"isinstance(..., {cls}) is False for every widget: use inherits()"
