"""The weights that are installed: what each file is, importing and removing a user's own, what is published."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rep3d.ensemble import is_ensemble
from rep3d.errors import BadInput, OutputFailed, Rep3DError, WeightsInvalid, WeightsMissing
from rep3d.files import atomic_path, sha256_file
from rep3d.weights import SHIPPED_FOLDER, WeightsMeta, list_weights, load_weights, user_folder

MANIFEST_VARIABLE = "REP3D_WEIGHTS_MANIFEST"
MANIFEST_VERSION = 1
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")
_KEY = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True)
class Published:
    """Weights that can be downloaded: where, and what must arrive (size in bytes, SHA-256)."""

    id: str
    task: str
    url: str
    sha256: str
    bytes: int
    licence: str
    description: str

    @classmethod
    def from_value(cls, value: Any, source: str) -> Published:
        """One entry of the manifest. Raises BadInput."""
        if not isinstance(value, dict) or set(value) != set(cls.__dataclass_fields__):
            raise BadInput(f"{source}: an entry needs exactly: {', '.join(cls.__dataclass_fields__)}.")
        entry = cls(**value)
        text = (entry.id, entry.task, entry.url, entry.sha256, entry.licence, entry.description)
        good = all(isinstance(t, str) and t for t in text) and isinstance(entry.bytes, int) and entry.bytes > 0
        good = good and bool(_ID.match(entry.id) and _KEY.match(entry.task) and _SHA256.match(entry.sha256))
        if not good or urlsplit(entry.url).scheme not in ("https", "http") or not urlsplit(entry.url).netloc:
            raise BadInput(f"{source}: the entry {entry.id!r} holds a value of the wrong kind.")
        return entry

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


def read_manifest() -> tuple[Published, ...]:
    """Every set of weights that is published: the list shipped with Rep3D, or the file ``REP3D_WEIGHTS_MANIFEST``.

    Raises:
        BadInput: the file is missing or malformed, or an id is there twice.
    """
    override = os.environ.get(MANIFEST_VARIABLE)
    path = Path(override) if override else SHIPPED_FOLDER / "manifest.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: the list of published weights cannot be read: {error}") from error
    if not isinstance(document, dict) or document.get("version") != MANIFEST_VERSION:
        raise BadInput(f"{path}: a list of published weights has version {MANIFEST_VERSION}.", "Update Rep3D.")
    if not isinstance(document.get("weights"), list):
        raise BadInput(f"{path}: `weights` is not a list.")
    entries = tuple(Published.from_value(value, str(path)) for value in document["weights"])
    if len({entry.id for entry in entries}) < len(entries):
        raise BadInput(f"{path}: an id is there twice.")
    return entries


def available() -> list[Published]:
    """What is published and not installed yet."""
    installed = {row["sha256"] for row in rows()}
    return [entry for entry in read_manifest() if entry.sha256 not in installed]


def published(id: str) -> Published:
    """The published weights of that id. Raises BadInput if there are none."""
    entries = {entry.id: entry for entry in read_manifest()}
    if id not in entries:
        raise BadInput(f"No weights {id!r} are published.", f"Published: {', '.join(entries) or 'none yet'}.")
    return entries[id]


def rows() -> list[dict[str, Any]]:
    """Every installed file, the user's first; one that cannot be used has its ``error``."""
    return [row(path) for path in list_weights()]


def row(path: str | Path) -> dict[str, Any]:
    """One weights file for people and programs: whole and checked, or with the ``error`` that says why it is not."""
    path = Path(path)
    info = path.stat()
    return dict(_row(path, info.st_size, info.st_mtime_ns))


@functools.lru_cache(maxsize=64)
def _row(path: Path, size: int, changed: int) -> dict[str, Any]:
    """``size`` and ``changed`` are part of the key alone: an unchanged file is read and checked once."""
    names = ("id", "task", "task_title", "sha256", "licence", "network", "created", "training", "demo_only")
    values: dict[str, Any] = {"path": str(path), "file": path.name, "bytes": size, "origin": origin(path)}
    values |= dict.fromkeys((*names, "remove_islands", "expected_region", "extent_mm", "error"))
    try:
        meta, sha256 = checked(path)
    except Rep3DError as error:
        return values | {"error": str(error)}
    return values | {
        "id": meta.id,
        "task": meta.task.key,
        "task_title": meta.task.title,
        "sha256": sha256,
        "licence": meta.licence,
        "network": meta.network["name"],
        "created": meta.created,
        "training": meta.training,
        "demo_only": meta.demo_only,
        "remove_islands": meta.remove_islands,
        "expected_region": meta.expected_region,
        "extent_mm": [list(limits) for limits in meta.expected.extent_mm] if meta.expected else None,
    }


def origin(path: Path) -> str:
    """``shipped`` with Rep3D, or the ``user``'s own."""
    return "shipped" if path.parent == SHIPPED_FOLDER else "user"


def checked(path: Path) -> tuple[WeightsMeta, str]:
    """Metadata and sha256 of a file that was read and checked whole; nothing of it stays open or in memory."""
    weights = load_weights(path)
    return weights.meta, weights.sha256


def installed_name(task: str) -> Path:
    """Where a user's weights for a task lie: the place that ``find_weights`` looks at first."""
    return user_folder() / f"{task}.safetensors"


def import_file(source: str | Path, *, replace: bool = False) -> Path:
    """Check a weights file and copy it into the user's folder, as the weights that its task uses from now on.

    Args:
        source: a file made by ``rep3d fuse`` or ``rep3d import``.
        replace: put it in the place of other weights of the user's for this task.

    Raises:
        WeightsMissing, WeightsInvalid: no such file, or it cannot be used.
        BadInput: the user has other weights for this task and ``replace`` is false.
        OutputFailed: no permission, or the disk is full.
    """
    source = Path(source)
    if is_ensemble(source):
        raise BadInput(f"{source} is an ensemble, which lists other files.", "Use it where it is, with --weights.")
    meta, sha256 = checked(source)
    target = installed_name(meta.task.key)
    if target.exists():
        if sha256_file(target) == sha256:
            return target
        if not replace:
            raise BadInput(
                f"You have other weights for task {meta.task.key!r} already: {target}.",
                "Replace them, or remove them first; weights can also be used where they are, without importing.",
            )
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)
        if sha256_file(temporary) != sha256:
            raise WeightsInvalid(f"{source} changed while it was copied.", "Try again.")
    return target


def remove_file(path: str | Path) -> None:
    """Delete one of the user's own weights files.

    Raises:
        BadInput: the file is not in the user's folder. WeightsMissing: there is no such file. OutputFailed.
    """
    path = Path(path)
    if path.parent.resolve() != user_folder().resolve() or path.suffix != ".safetensors":
        why = "comes with Rep3D" if path.parent.resolve() == SHIPPED_FOLDER else f"is not in {user_folder()}"
        raise BadInput(f"{path} {why}; only weights that you imported or downloaded are removed here.")
    try:
        path.unlink()
    except FileNotFoundError as error:
        raise WeightsMissing(f"there is no weights file {path}") from error
    except OSError as error:
        raise OutputFailed(
            f"{path} cannot be removed: {error.strerror}", "Close programs that use it; check its permissions."
        ) from error
