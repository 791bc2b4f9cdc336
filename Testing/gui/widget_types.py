"""Which widgets the expressions of an extension's source are, found by reading: the first half of the static check.

Classes come from constructors (``ctk.ctkSliderWidget()``), forms (``ui.applyButton``), what methods return and a few
objects that Slicer hands out. They are followed through names, attributes of ``self``, loops over literal tuples, and
the arguments and results of the extension's own functions. What stays unknown is not judged. ``QWidget*`` is what a
method returns as a QWidget: it may be of a class that derives from it.
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
_WIDGET = re.compile(r"(Q[A-Z]|ctk|qMRML|qSlicer)\w+$")
Types = set[str]


def form_classes(form: Path) -> dict[str, str]:
    """{object name: class} of a .ui file."""
    root = ET.parse(form)
    found = {str(e.get("name")): str(e.get("class")) for tag in ("widget", "layout") for e in root.iter(tag)}
    return found | {str(e.get("name")): "QAction" for e in root.iter("action")}


def class_called(node: ast.AST) -> str | None:
    """The widget class that ``qt.X``, ``ctk.X`` or ``slicer.X`` names, if it is one."""
    if (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in ("qt", "ctk", "slicer")
    ):
        return node.attr if _WIDGET.match(node.attr) else None
    return None


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
        count, before = 0, -1
        while count != before:
            self._known.clear()
            for node in list(self._scope):
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
        elif isinstance(node, ast.AnnAssign | ast.NamedExpr) and node.value is not None:
            self._bind(node.target, node.value)
        elif isinstance(node, ast.For | ast.comprehension) and isinstance(node.iter, ast.Tuple | ast.List):
            for item in _items(node.iter):
                self._bind(node.target, item, node if isinstance(node, ast.For) else self._scope[node])
        elif isinstance(node, ast.Return) and node.value is not None:
            self._results[self._function(node)] |= self.types(node.value)
        elif isinstance(node, ast.Call):
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
        elif isinstance(target, ast.Name):
            self._names[scope or self._function(target), target.id] |= self.types(value)
        elif isinstance(target, ast.Attribute):
            for owner in self.types(target.value):
                if owner in self.bases:
                    self._fields[owner, target.attr] |= self.types(value)
                    self._assigned.add((owner, target.attr))

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
        if not isinstance(node, ast.Attribute | ast.Call):
            return set()
        given = _GIVEN.get(_dotted(node))
        if given is not None:
            return {given}
        return self._of_attribute(node) if isinstance(node, ast.Attribute) else self._of_call(node)

    def _of_attribute(self, node: ast.Attribute) -> Types:
        if node.attr in self._forms and _dotted(node.value).rpartition(".")[2].lstrip("_") == "ui":
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
        if isinstance(node.func, ast.Attribute):
            for owner in self.types(node.func.value) - set(self.bases):
                for result in lookup.results_of(owner.rstrip("*"), name):
                    found |= {f"{kind}*" for kind in _named(result)}
        return found


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
