"""The small JSON file that remembers which algorithm was fastest, so that a situation is measured once per machine.

The file is a convenience: if it is damaged, foreign or cannot be written, a warning says so once and measurements are
made anew. Writers put a complete file in place with ``os.replace``, after merging what others have stored meanwhile.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import threading
import warnings
from pathlib import Path

import platformdirs

CACHE_DIR_VARIABLE = "REP3D_CACHE_DIR"
FILE_NAME = "depthwise_conv3d.json"
FORMAT = "rep3d-conv-choices"
VERSION = 1


def cache_file() -> Path:
    """``$REP3D_CACHE_DIR/depthwise_conv3d.json``, or the same name in the user's cache folder."""
    folder = os.environ.get(CACHE_DIR_VARIABLE) or platformdirs.user_cache_dir("rep3d", appauthor=False)
    return Path(folder) / FILE_NAME


class ChoiceStore:
    """Choices in memory, read from and written through to :func:`cache_file`."""

    def __init__(self, known: tuple[str, ...]):
        self._known = known
        self._lock = threading.RLock()
        self.forget()

    def forget(self) -> None:
        """Drop what is in memory; the file is read again at the next look-up."""
        with self._lock:
            self._choices: dict[str, dict] = {}
            self._path: Path | None = None
            self._warned: set[str] = set()

    def get(self, key: str) -> str | None:
        with self._lock:
            self._follow_path()
            entry = self._choices.get(key)
            return None if entry is None else entry["algorithm"]

    def put(self, key: str, algorithm: str, milliseconds: dict[str, float]) -> None:
        with self._lock:
            self._follow_path()
            self._choices = {**self._read(), **self._choices}
            self._choices[key] = {
                "algorithm": algorithm,
                "milliseconds": {name: round(ms, 4) for name, ms in milliseconds.items()},
            }
            self._write()

    def _follow_path(self) -> None:
        path = cache_file()
        if path != self._path:
            self._path = path
            self._choices = self._read()

    def _read(self) -> dict[str, dict]:
        assert self._path is not None
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError, ValueError) as error:
            self._warn("read", f"{self._path} cannot be read ({error}); algorithm choices are measured again.")
            return {}
        choices = content.get("choices") if isinstance(content, dict) else None
        if not isinstance(choices, dict) or content.get("format") != FORMAT or content.get("version") != VERSION:
            self._warn("read", f"{self._path} is not a choice file of this version; it will be replaced.")
            return {}
        return {
            key: entry
            for key, entry in choices.items()
            if isinstance(entry, dict) and entry.get("algorithm") in self._known
        }

    def _write(self) -> None:
        assert self._path is not None
        content = {"format": FORMAT, "version": VERSION, "choices": self._choices}
        temporary = None
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(prefix=FILE_NAME, suffix=".tmp", dir=self._path.parent)
            with open(handle, "w", encoding="utf-8") as file:
                json.dump(content, file, indent=1, sort_keys=True)
            os.replace(temporary, self._path)
        except OSError as error:
            if temporary is not None:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
            self._warn("write", f"{self._path} cannot be written ({error}); choices last only for this process.")

    def _warn(self, kind: str, message: str) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            warnings.warn(f"depthwise_conv3d: {message}", RuntimeWarning, stacklevel=2)
