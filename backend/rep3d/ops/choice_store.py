"""The small JSON file that remembers which algorithm was fastest, so that a situation is measured once per machine.

The file is a convenience: if it is damaged, foreign or cannot be written, a warning says so once and measurements are
made anew. Writers put a complete file in place, after merging what others have stored meanwhile; who stored first is
right, so that processes that measure the same situation at the same time end with one choice. Within a process a
choice, once followed, stays; ``used`` and ``adopt`` carry choices to another process, such as a resumed training.
"""

from __future__ import annotations

import json
import threading
import warnings
from pathlib import Path

from rep3d.errors import OutputFailed
from rep3d.files import write_text
from rep3d.runtime.folders import cache_folder

FILE_NAME = "depthwise_conv3d.json"
FORMAT = "rep3d-conv-choices"
VERSION = 1


def cache_file() -> Path:
    """``$REP3D_CACHE_DIR/depthwise_conv3d.json``, or the same name in the user's cache folder."""
    return cache_folder() / FILE_NAME


class ChoiceStore:
    """Choices in memory, read from and written through to :func:`cache_file`."""

    def __init__(self, known: tuple[str, ...]):
        self._known = known
        self._lock = threading.RLock()
        self.forget()

    def forget(self) -> None:
        """Drop what is in memory; the file is read again at the next look-up."""
        with self._lock:
            #: Moves whenever what ``get`` answers might have changed.
            self.revision = getattr(self, "revision", 0) + 1
            self._choices: dict[str, dict] = {}
            self._used: dict[str, str] = {}
            self._path: Path | None = None
            self._warned: set[str] = set()

    def get(self, key: str) -> str | None:
        """The algorithm to follow in this situation, None if it has not been measured."""
        with self._lock:
            self._follow_path()
            if key not in self._used and key in self._choices:
                self._used[key] = self._choices[key]["algorithm"]
            return self._used.get(key)

    def put(self, key: str, algorithm: str, milliseconds: dict[str, float]) -> str:
        """Store a measurement; returns the algorithm to follow, another process's if that has stored one meanwhile."""
        with self._lock:
            self._follow_path()
            self._choices = {**self._choices, **self._read()}
            if key not in self._choices:
                rounded = {name: round(ms, 4) for name, ms in milliseconds.items()}
                self._choices[key] = {"algorithm": algorithm, "milliseconds": rounded}
                self._write()
            return self._used.setdefault(key, self._choices[key]["algorithm"])

    def used(self) -> dict[str, str]:
        """Situation -> algorithm, of every automatic choice that this process has followed."""
        with self._lock:
            return dict(self._used)

    def adopt(self, used: dict[str, str]) -> None:
        """Follow the choices of another process (its ``used``) in this one, whatever the file says."""
        with self._lock:
            self._follow_path()
            self.revision += 1
            self._used.update({key: name for key, name in used.items() if name in self._known})

    def _follow_path(self) -> None:
        path = cache_file()
        if path != self._path:
            self._path = path
            self.revision += 1
            self._choices = self._read()
            self._used = {}

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
        try:
            write_text(self._path, json.dumps(content, indent=1, sort_keys=True))
        except OutputFailed as error:
            self._warn(
                "write", f"{self._path} cannot be written ({error.__cause__}); choices last only for this process."
            )

    def _warn(self, kind: str, message: str) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            warnings.warn(f"depthwise_conv3d: {message}", RuntimeWarning, stacklevel=2)
