"""Python files that a bundle carries: modules of this package and what they import of it, under another name.

A bundle has to run without Rep3D. Rather than a second definition of each network, which would drift, it gets copies of
the very files, with ``rep3d.`` in their imports turned into the bundle's own package.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterable, Mapping
from pathlib import Path

PACKAGE = "rep3d"


def carried(roots: Iterable[str], replaced: Mapping[str, str], package: str = "scripts") -> dict[str, str]:
    """Relative path -> text of ``roots`` and every module of this package that they import, also inside functions.

    Args:
        roots: module names, such as "rep3d.networks.rep3d".
        replaced: module name -> text to put there instead, as it is; what it imports is not followed.
        package: name that takes the place of "rep3d".
    """
    texts: dict[str, str] = {}
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        parent = name.rpartition(".")[0]
        if _path(name, package) in texts:
            continue
        if parent:
            waiting.append(parent)
        if name in replaced:
            texts[_path(name, package)] = replaced[name]
            continue
        source = _file(name).read_text(encoding="utf-8")
        tree = ast.parse(source)
        lines = source.splitlines(keepends=True)
        for node in _imports(tree):
            waiting += _modules(node, name)
        for node in ast.walk(tree):  # also those under TYPE_CHECKING: they are never run, but should read right
            if isinstance(node, ast.ImportFrom) and not node.level and _own(node.module):
                lines[node.lineno - 1] = lines[node.lineno - 1].replace(f"from {PACKAGE}", f"from {package}", 1)
            if isinstance(node, ast.Import) and any(_own(alias.name) for alias in node.names):
                raise ValueError(f"{name}, line {node.lineno}: write `from {PACKAGE}... import ...`")
        texts[_path(name, package)] = "".join(lines)
    return dict(sorted(texts.items()))


def foreign_imports(texts: Mapping[str, str]) -> set[str]:
    """Packages, not of Python itself, that these files need to be imported: what functions import is left out."""
    import sys

    names = set()
    for path, text in texts.items():
        for node in _imports(ast.parse(text), functions=False):
            modules = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            if isinstance(node, ast.ImportFrom) and node.level:
                continue
            names |= {m.partition(".")[0] for m in modules} - {Path(path).parts[0]}
    return names - set(sys.stdlib_module_names) - {""}


def _own(module: str | None) -> bool:
    return module is not None and (module == PACKAGE or module.startswith(PACKAGE + "."))


def _file(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ValueError(f"module {name} is not a file")
    return Path(spec.origin)


def _path(name: str, package: str) -> str:
    parts = name.split(".")
    parts[0] = package
    is_package = _file(name).name == "__init__.py"
    return "/".join([*parts, "__init__.py"]) if is_package else "/".join(parts) + ".py"


def _imports(tree: ast.AST, *, functions: bool = True) -> list[ast.Import | ast.ImportFrom]:
    """Import statements that can run: all but those under ``if TYPE_CHECKING``; with or without those in functions."""
    found: list[ast.Import | ast.ImportFrom] = []
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            stack += node.orelse
            continue
        if isinstance(node, ast.FunctionDef) and not functions:
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            found.append(node)
        stack += list(ast.iter_child_nodes(node))
    return found


def _modules(node: ast.Import | ast.ImportFrom, importer: str) -> list[str]:
    """This package's modules that an import statement loads."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names if _own(alias.name)]
    base = node.module or ""
    if node.level:
        is_package = _file(importer).name == "__init__.py"
        parts = importer.split(".")
        parts = parts[: len(parts) - node.level + (1 if is_package else 0)]
        base = ".".join([*parts, *([base] if base else [])])
    if not _own(base):
        return []
    names = [base]
    for alias in node.names:  # a name may be a module of the package
        child = f"{base}.{alias.name}"
        if _file(base).name == "__init__.py" and importlib.util.find_spec(child) is not None:
            names.append(child)
    return names
