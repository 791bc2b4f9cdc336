"""Cases that are done, kept beside the result while it is made, so that a killed evaluation goes on where it was."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rep3d.files import remove_leftovers, write_text

FORMAT, VERSION = "rep3d-partial", 1


class Partial:
    """Rows of finished cases in ``NAME.partial`` beside the output ``NAME``; nothing is kept without an output.

    ``identity`` (JSON-able) is all that the rows depend on besides their own files: what was scored, how, and with
    which code. ``left`` says in words why rows that were there cannot be used ("" when they can, or there are none).
    """

    def __init__(self, output: Path | None, identity: Mapping[str, Any]):
        self.path = output.with_name(output.name + ".partial") if output is not None else None
        self.identity = json.loads(json.dumps(identity))
        self.rows: dict[str, dict[str, Any]] = {}
        self.left = ""
        for path in (output, self.path):
            if path is not None:
                remove_leftovers(path)  # of a process that was killed while it wrote
        if self.path is None or not self.path.is_file():
            return
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            known, rows = content["identity"], {row["id"]: row for row in content["cases"]}
            if (content["format"], content["version"]) != (FORMAT, VERSION):
                raise ValueError("another format")
        except (OSError, ValueError, KeyError, TypeError) as error:
            self.left = f"{self.path.name} cannot be read ({error})"
            return
        other = sorted(key for key in self.identity.keys() | known.keys() if self.identity.get(key) != known.get(key))
        if other:
            self.left = f"{self.path.name} was made with another {', another '.join(other)}"
            return
        self.rows = rows

    def get(self, case_id: str, **hashes: str | None) -> dict[str, Any] | None:
        """The row of a case if it was made from files with these hashes (``image_sha256=...``), else None."""
        row = self.rows.get(case_id)
        return row if row is not None and all(row.get(name) == value for name, value in hashes.items()) else None

    def add(self, row: dict[str, Any]) -> None:
        """Keep one more case. Raises OutputFailed."""
        self.rows[row["id"]] = row
        if self.path is not None:
            content = {"format": FORMAT, "version": VERSION, "identity": self.identity}
            write_text(self.path, json.dumps({**content, "cases": list(self.rows.values())}, ensure_ascii=False))

    def done(self) -> None:
        """Remove the file: the result itself is there."""
        if self.path is not None:
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)
