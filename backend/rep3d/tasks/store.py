"""Where task files lie and how they are found by key: those of this package, and a user's own.

A file is called KEY.yaml. Own tasks lie in the folder ``REP3D_TASKS_DIR``, else in the platform's folder for
application data. An own task may not have the key of a shipped one: which of the two is meant would depend on the
machine.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs
import yaml

from rep3d.errors import BadInput
from rep3d.shown_text import printable
from rep3d.tasks import checks
from rep3d.tasks.tasks import Task

#: Where the task files of this package lie.
TASK_FOLDER = Path(__file__).parent
OWN_VARIABLE = "REP3D_TASKS_DIR"
LARGEST_FILE = 100_000  # bytes; 255 labels take 90,000
DEEPEST = 20  # a task needs four


@dataclass(frozen=True)
class TaskFile:
    """A task file that was found. ``origin`` is "shipped" or "own"; one of ``task`` and ``error`` is None."""

    key: str
    path: Path
    origin: str
    task: Task | None
    error: BadInput | None = None


def own_folder() -> Path:
    """Where a user's own task files lie; it may not exist."""
    override = os.environ.get(OWN_VARIABLE)
    return Path(override) if override else Path(platformdirs.user_data_dir("rep3d", appauthor=False)) / "tasks"


def load_task(key: str | Path) -> Task:
    """The task of that key (shipped or own), or the one in that YAML file.

    Raises BadInput, with the known keys if there is none, and when an own task has a shipped task's key.
    """
    text = str(key)
    if text.lower().endswith((".yaml", ".yml")):
        return read_task(Path(key))
    shipped, own = _files(TASK_FOLDER), _files(own_folder())
    if text in own:
        return _read_own(text, own[text], shipped)
    if text in shipped:
        return read_task(shipped[text])
    raise BadInput(
        f"no task is called {text!r}",
        hint=f"Known tasks: {', '.join(sorted({**shipped, **own}))}; or give the path of a task file ending in .yaml.",
    )


def find_task_file(key: str) -> Path:
    """The file of the task of that key. Raises BadInput as :func:`load_task`."""
    load_task(key)
    shipped = _files(TASK_FOLDER)
    return shipped[key] if key in shipped else _files(own_folder())[key]


def list_shipped() -> list[Task]:
    """Every task of this package, sorted by key."""
    return [read_task(path) for _, path in sorted(_files(TASK_FOLDER).items())]


def list_tasks() -> list[Task]:
    """Every task that can be loaded by key, sorted by key: those of this package and a user's own.

    Own files that cannot be used are left out; :func:`list_task_files` says which and why.
    """
    return [file.task for file in list_task_files() if file.task is not None]


def list_task_files() -> list[TaskFile]:
    """Every task file with its origin, sorted by key; an own file that cannot be used has its error."""
    shipped = _files(TASK_FOLDER)
    found = [TaskFile(key, path, "shipped", read_task(path)) for key, path in shipped.items()]
    for key, path in _files(own_folder()).items():
        try:
            found.append(TaskFile(key, path, "own", _read_own(key, path, shipped)))
        except BadInput as error:
            found.append(TaskFile(key, path, "own", None, error))
    return sorted(found, key=lambda file: (file.key, file.origin))


def read_task(path: Path) -> Task:
    """The task in a YAML file. Raises BadInput."""
    return Task.from_dict(read_yaml(path), str(path))


def read_yaml(path: Path) -> Any:
    """The content of a YAML file, plain values only; a repeated key is refused. Raises BadInput."""
    try:
        if path.is_file() and path.stat().st_size > LARGEST_FILE:
            raise BadInput(f"{path}: a task file has at most {LARGEST_FILE} bytes", hint=checks.HINT)
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BadInput(f"{path}: there is no such task file", hint="Check the path.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: cannot be read as text ({error})", hint=checks.HINT) from error
    try:
        _check_depth(text, path)
        return yaml.load(text, Loader=_Loader)  # a SafeLoader: plain values only
    except (yaml.YAMLError, ValueError, OverflowError, AttributeError) as error:  # the last three: dates and numbers
        problem = printable(str(error))
        raise BadInput(f"{path}: is not valid YAML: {problem}", hint=checks.HINT) from error


def _check_depth(text: str, path: Path) -> None:
    """Refuse deep nesting from the events alone: building what they mean is recursive, and in C ends the process."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise BadInput(f"{path}: is nested too deeply for a task", hint=checks.HINT)


def _files(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))} if folder.is_dir() else {}


def _read_own(key: str, path: Path, shipped: dict[str, Path]) -> Task:
    if key in shipped:
        raise BadInput(
            f"{path}: {key!r} is also the key of a task that comes with Rep3D",
            hint="Give your task another key and its file the same name; or name the file you mean by its path.",
        )
    task = read_task(path)
    if task.key != key:
        raise BadInput(
            f"{path}: key: the file is called {key}, but its task {task.key}", hint="Give the file the name of its key."
        )
    return task


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # the former is the same in C, where PyYAML has it
    """YAML's safe loader that also refuses a repeated key, which YAML itself would let the last one win."""


def _unique_mapping(loader: _Loader, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        name = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
        if name is not None and name in seen:
            raise yaml.constructor.ConstructorError(None, None, f"key {name!r} is repeated", key_node.start_mark)
        seen.add(name)
    return yaml.SafeLoader.construct_mapping(loader, node, deep)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique_mapping)
