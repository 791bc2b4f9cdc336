"""Which widgets the expressions of an extension's source are, found by reading: the first half of the static check.

Classes come from constructors (``ctk.ctkSliderWidget()``), forms (``ui.applyButton``), what methods return and a few
objects that Slicer hands out. They are followed through names, attributes of ``self``, loops over literal tuples, and
the arguments and results of the extension's own functions. What stays unknown is not judged. ``QWidget*`` is what a
method returns as a QWidget: it may be of a class that derives from it. ``QLabel[]`` is a list, tuple or dict of labels,
``{form}`` the object whose attributes are the widgets of a form.
"""

from __future__ import annotations

import ast
import re
import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from slicerhost import lookup, reach

# Attributes and calls of the application that give a known object, whatever they are reached through.
_GIVEN = {
    "slicer.app": "qSlicerApplication",
    "slicer.util.mainWindow()": "qSlicerMainWindow",
    "self.scriptedEffect": "qSlicerSegmentEditorScriptedEffect",
    "slicer.modules.segmenteditor.widgetRepresentation().self().editor": "qMRMLSegmentEditorWidget",
}
_LOOPS = (ast.For, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)  # each has its own loop variables
# What gives a name, an attribute or a result its value.
_TELLING = (ast.Assign, ast.AnnAssign, ast.NamedExpr, ast.arg, ast.For, ast.comprehension, ast.Return, ast.Call)
_WIDGET = re.compile(r"(Q[A-Z]|ctk|qMRML|qSlicer)\w+$")
Types = set[str]


def form_classes(form: Path) -> dict[str, str]:
    """{object name: class} of a .ui file."""
    root = ET.parse(form)
    found = {str(e.get("name")): str(e.get("class")) for tag in ("widget", "layout") for e in root.iter(tag)}
    return found | {str(e.get("name")): "QAction" for e in root.iter("action")}


def class_called(node: ast.AST | None) -> str | None:
    """The widget class that ``qt.X``, ``ctk.X``, ``slicer.X``, an imported ``X`` or "X" as an annotation names."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        name = node.value.rpartition(".")[2]
    elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        name = node.attr
    else:
        name = node.id if isinstance(node, ast.Name) else ""
    return name if _WIDGET.match(name) else None


class Program:
    """The classes of all expressions of some files that belong together.

    Args:
        sources: {name of the file: its text}.
        forms: {object name: class} of all forms.
    """

    def __init__(self, sources: dict[str, str], forms: dict[str, str]) -> None:
        self.trees = {name: ast.parse(text) for name, text in sources.items()}
        self._forms = forms
        self._scope: dict[ast.AST, ast.AST] = {}  # the loop or function that a node is in, or its file
        self._owner: dict[ast.AST, str] = {}  # the class that a node is in
        self._names: dict[tuple[ast.AST, str], Types] = defaultdict(set)
        self._fields: dict[tuple[str, str], Types] = defaultdict(set)
        self._results: dict[ast.AST, Types] = defaultdict(set)
        self._assigned: set[tuple[str, str]] = set()
        self.functions: dict[str, list[ast.FunctionDef]] = defaultdict(list)
        self.methods: dict[tuple[str, str], ast.FunctionDef] = {}
        self.bases: dict[str, list[str]] = {}  # own classes: what they derive from
        for tree in self.trees.values():
            self._read(tree, tree, "")
        self._known: dict[ast.AST, Types] = {}  # answers, until something new is known
        telling = [node for node in self._scope if isinstance(node, _TELLING)]
        count, before = 0, -1
        while count != before:
            self._known.clear()
            for node in telling:
                self._follow(node)
            tables = (self._names, self._fields, self._results)
            count, before = sum(len(types) for table in tables for types in table.values()), count
        self._known.clear()

    def _read(self, node: ast.AST, scope: ast.AST, owner: str) -> None:
        for child in ast.iter_child_nodes(node):
            self._scope[child], self._owner[child] = scope, owner
            if isinstance(child, ast.ClassDef):
                self.bases[child.name] = [class_called(b) or ast.unparse(b).split(".")[-1] for b in child.bases]
                self._read(child, scope, child.name)
            elif isinstance(child, ast.FunctionDef):
                if owner and isinstance(node, ast.ClassDef):
                    self.methods[owner, child.name] = child
                else:
                    self.functions[child.name].append(child)
                self._read(child, child, owner)
            elif isinstance(child, _LOOPS):
                self._read(child, child, owner)
            else:
                self._read(child, scope, owner)

    # Following values

    def _follow(self, node: ast.AST) -> None:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                self._bind(target, node.value)
        elif isinstance(node, ast.AnnAssign | ast.NamedExpr):
            annotated = class_called(getattr(node, "annotation", None))
            self._give(node.target, {annotated} - {None}, self._function(node))
            if node.value is not None:
                self._bind(node.target, node.value)
        elif isinstance(node, ast.arg):
            annotated = class_called(node.annotation)
            self._names[self._function(node), node.arg] |= {annotated} - {None}
        elif isinstance(node, ast.For | ast.comprehension):
            self._loop(node.target, node.iter, node if isinstance(node, ast.For) else self._scope[node])
        elif isinstance(node, ast.Return) and node.value is not None:
            self._results[self._function(node)] |= self.types(node.value)
        elif isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute) and node.func.attr in ("append", "insert", "setdefault"):
                held = {f"{one}[]" for one in self.types(node.args[-1])} if node.args else set()
                self._give(node.func.value, held, self._function(node))
            for function, skip in self._called(node):
                names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)][skip:]
                given = [*zip(names, node.args), *((k.arg, k.value) for k in node.keywords if k.arg)]
                for name, value in given:
                    self._names[function, name] |= self.types(value)

    def _function(self, node: ast.AST) -> ast.AST:
        """The function that a node is in, or its file."""
        scope = self._scope[node]
        while isinstance(scope, _LOOPS):
            scope = self._scope[scope]
        return scope

    def _bind(self, target: ast.AST, value: ast.AST, scope: ast.AST | None = None) -> None:
        """Note what a target is given; its names are those of ``scope``, or of the function that it is in."""
        if isinstance(target, ast.Tuple | ast.List):
            if isinstance(value, ast.Tuple | ast.List):
                for one, item in zip(target.elts, value.elts):
                    self._bind(one, item, scope)
        else:
            self._give(target, self.types(value), scope or self._function(target))

    def _give(self, target: ast.AST, types: Types, scope: ast.AST) -> None:
        if isinstance(target, ast.Name):
            self._names[scope, target.id] |= types
        elif isinstance(target, ast.Subscript):
            self._give(target.value, {f"{one}[]" for one in types}, scope)
        elif isinstance(target, ast.Attribute):
            for owner in self.types(target.value) & self.bases.keys():
                self._fields[owner, target.attr] |= types
                self._assigned.add((owner, target.attr))

    def _loop(self, target: ast.AST, iterated: ast.AST, scope: ast.AST) -> None:
        """Note what the variables of a loop are given."""
        several = target.elts if isinstance(target, ast.Tuple) else []
        if isinstance(iterated, ast.Tuple | ast.List):
            for item in _items(iterated):
                self._bind(target, item, scope)
        elif several and isinstance(iterated, ast.Call):
            name = _dotted(iterated.func).rpartition(".")[2]
            if name == "zip":
                for one, argument in zip(several, iterated.args):
                    self._loop(one, argument, scope)
            elif name == "enumerate" and iterated.args:
                self._loop(several[1], iterated.args[0], scope)
            elif name == "items" and isinstance(iterated.func, ast.Attribute):
                self._give(several[1], _item_of(self.types(iterated.func.value)), scope)
        else:
            self._give(target, _item_of(self.types(iterated)), scope)

    def _called(self, node: ast.Call) -> Iterator[tuple[ast.FunctionDef, int]]:
        """The extension's own functions that a call may reach, and how many parameters the object takes."""
        function = node.func
        if isinstance(function, ast.Attribute):
            for owner in self.types(function.value):
                method = self._method(owner, function.attr)
                if method is not None:
                    yield method, 0 if _decorated(method, "staticmethod") else 1
        name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
        if name in self.bases:
            method = self._method(name, "__init__")
            if method is not None:
                yield method, 1
        elif isinstance(function, ast.Name) and len(self.functions.get(name, ())) == 1:
            yield self.functions[name][0], 0

    def _method(self, owner: str, name: str) -> ast.FunctionDef | None:
        if (owner, name) in self.methods:
            return self.methods[owner, name]
        found = (self._method(base, name) for base in self.bases.get(owner, ()) if base in self.bases)
        return next((method for method in found if method is not None), None)

    # Answers

    def defines(self, owner: str, name: str) -> bool:
        """Whether one of the program's own classes has a member, from itself or from another one."""
        own = {(owner, name)} & (self._assigned | self.methods.keys())
        return bool(own) or any(self.defines(base, name) for base in self.bases[owner] if base in self.bases)

    def types(self, node: ast.AST) -> Types:
        """Names of the classes that an expression may be of; empty where nothing is known."""
        if node not in self._known:
            self._known[node] = set()  # what refers to itself adds nothing
            self._known[node] = self._types(node)
        return self._known[node]

    def _types(self, node: ast.AST) -> Types:
        if isinstance(node, ast.Name):
            owner = self._owner.get(node, "")
            scope = self._scope.get(node)
            while scope is not None and not self._names.get((scope, node.id)):
                scope = self._scope.get(scope)
            return {owner} if node.id == "self" and owner else set(self._names.get((scope, node.id), ()))
        if isinstance(node, ast.IfExp):
            return self.types(node.body) | self.types(node.orelse)
        if isinstance(node, ast.BoolOp):
            return set().union(*map(self.types, node.values))
        if isinstance(node, ast.Subscript):
            return _item_of(self.types(node.value))
        if not isinstance(node, ast.Attribute | ast.Call):
            return {f"{one}[]" for part in _parts(node) for one in self.types(part)}
        given = _GIVEN.get(_dotted(node))
        if given is not None:
            return {given}
        return self._of_attribute(node) if isinstance(node, ast.Attribute) else self._of_call(node)

    def _of_attribute(self, node: ast.Attribute) -> Types:
        named_so = _dotted(node.value).rpartition(".")[2].lstrip("_") == "ui"
        if node.attr in self._forms and (named_so or "{form}" in self.types(node.value)):
            return {self._forms[node.attr]}
        found: Types = set()
        for owner in self.types(node.value):
            if owner in self.bases:
                found |= self._field(owner, node.attr)
            else:
                found |= _named((reach.facts(owner.rstrip("*")) or {}).get(node.attr, reach.Fact("")).type)
        return found

    def _field(self, owner: str, name: str) -> Types:
        method = self.methods.get((owner, name))
        if method is not None and _decorated(method, "property"):
            return set(self._results[method])
        found = set(self._fields.get((owner, name), ()))
        return found.union(*(self._field(base, name) for base in self.bases.get(owner, ()) if base in self.bases))

    def _of_call(self, node: ast.Call) -> Types:
        made = class_called(node.func)
        if made is not None:
            return {made}
        found = set().union(*(self._results[function] for function, _skip in self._called(node)))
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        if name in self.bases:
            found.add(name)
        elif name == "childWidgetVariables":
            found.add("{form}")
        elif name == "super" and node in self._owner:
            found |= set(self.bases.get(self._owner[node], ()))
        elif name == "getattr" and len(node.args) > 1 and isinstance(node.args[1], ast.Constant):
            if _dotted(node.args[0]).endswith("ui") and node.args[1].value in self._forms:
                found.add(self._forms[node.args[1].value])
        elif name in ("list", "tuple", "sorted", "reversed") and node.args:
            found |= self.types(node.args[0])
        elif name in ("findChild", "findChildren"):
            wanted = next(filter(None, map(class_called, node.args)), None)
            found |= {wanted + ("*[]" if name == "findChildren" else "*")} if wanted else set()
        elif name in ("get", "pop", "values") and isinstance(node.func, ast.Attribute):
            held = {one for one in self.types(node.func.value) if one.endswith("[]")}
            found |= held if name == "values" else _item_of(held)
        if isinstance(node.func, ast.Attribute):
            for owner in self.types(node.func.value) - set(self.bases):
                for result in lookup.results_of(owner.rstrip("*"), name):
                    found |= {f"{kind}*" for kind in _named(result)}
        return found


def _item_of(types: Types) -> Types:
    return {one[:-2] for one in types if one.endswith("[]")}


def _parts(node: ast.AST) -> list[ast.AST]:
    """The expressions that a list, tuple, set, dict or comprehension holds."""
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return list(node.elts)
    if isinstance(node, ast.Dict):
        return list(node.values)
    if isinstance(node, ast.DictComp):
        return [node.value]
    return [node.elt] if isinstance(node, ast.ListComp | ast.SetComp | ast.GeneratorExp) else []


def _decorated(function: ast.FunctionDef, name: str) -> bool:
    return any(isinstance(decorator, ast.Name) and decorator.id == name for decorator in function.decorator_list)


def _items(node: ast.Tuple | ast.List) -> Iterator[ast.AST]:
    for item in node.elts:
        inner = item.value if isinstance(item, ast.Starred) else None
        yield from _items(inner) if isinstance(inner, ast.Tuple | ast.List) else [item]


def _dotted(node: ast.AST) -> str:
    """``slicer.util.mainWindow()`` as text; "" for anything but names, attributes and calls without arguments."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Call) and not node.args:
        return _dotted(node.func) + "()"
    return f"{_dotted(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else ""


def _named(text: str) -> Types:
    plain = text.removeprefix("const ").rstrip("*& ")
    return {plain} if _WIDGET.match(plain) and plain not in ("QString", "QStringList", "QVariant") else set()
