"""What every benchmark leaves behind: JSON of one form, written whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


def write_record(path: Path, machine: dict, rows: list[dict], ratios: dict[str, float], **more: Any) -> None:
    """Write {"machine", "rows", "ratios", ...}; each ratio says how many times better, so that higher is better."""
    record = {"machine": machine, "rows": rows, "ratios": ratios, **more}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8", newline="\n")
    os.replace(temporary, path)


def print_rows(title: str, rows: list[dict], columns: dict[str, str]) -> None:
    """A table of some keys of the rows; ``columns``: heading -> key. Numbers get three digits."""
    table = Table(title=title, title_justify="left")
    for heading in columns:
        table.add_column(heading, justify="left" if heading == next(iter(columns)) else "right")
    for row in rows:
        table.add_row(*(_text(row.get(key)) for key in columns.values()))
    Console(width=140).print(table)


def print_ratios(ratios: dict[str, float]) -> None:
    """One line a ratio."""
    for name, value in ratios.items():
        print(f"{value:8.2f}x  {name}")


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
