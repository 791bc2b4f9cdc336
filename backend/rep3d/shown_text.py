"""Texts of others (names in a weights file, a task, a folder) where they could do more than be read.

A terminal obeys control characters, rich its markup, Markdown its marks and tags, and a spreadsheet takes a cell that
begins with = + - @ or a tab for a formula. Pages escape with rep3d.html_page.escape.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from typing import Any, TextIO

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


_MARKS = re.compile(r"([\\\[\]|])")


def printable(text: str) -> str:
    """``text`` with what is no letter, control characters above all, as its code."""
    return "".join(c if c.isprintable() or c == "\n" else f"\\x{ord(c):02x}" for c in text)


def rich_text(text: str) -> str:
    """``text`` for rich to print as it stands."""
    from rich.markup import escape

    return escape(printable(text))


def markdown(text: str) -> str:
    """``text`` as one line of Markdown, or one cell of a table, without cells, tags or links of its own."""
    line = printable(" ".join(text.split()))
    return _MARKS.sub(r"\\\1", line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def csv_cell(value: Any) -> Any:
    """``value`` as a cell: a text that is no number and could be a formula gets an apostrophe in front."""
    if not isinstance(value, str) or not value.lstrip(" ").startswith(_FORMULA):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


class CsvWriter:
    """As csv.writer, with lines that end the same everywhere and texts that are no formulas."""

    def __init__(self, stream: TextIO):
        self._writer = csv.writer(stream, lineterminator="\n")

    def writerow(self, cells: Iterable[Any]) -> None:
        """One line."""
        self._writer.writerow([csv_cell(cell) for cell in cells])

    def writerows(self, rows: Iterable[Iterable[Any]]) -> None:
        """Many lines."""
        for cells in rows:
            self.writerow(cells)
