"""Surveys as files: numbers as JSON, CSV and a text table, mean maps as .npz."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from rep3d import __version__
from rep3d.files import atomic_path, write_text
from rep3d.interpret.reach import Interval, Summary
from rep3d.interpret.survey import Survey
from rep3d.shown_text import CsvWriter

SHOWN = (
    ("radius50_mm", "r50 mm"),
    ("radius90_mm", "r90 mm"),
    ("radius99_mm", "r99 mm"),
    ("volume90", "vol90 %"),
    ("sigma_mm", "sigma mm"),
    ("negative", "negative %"),
    ("theory_radius", "of theory %"),
)


def write_survey(folder: Path, surveys: Sequence[Survey]) -> None:
    """Write erf.npz, erf.csv and erf.json into the folder, each atomically. Raises OutputFailed."""
    summaries = [summary for found in surveys for summary in found.summaries]
    arrays = {}
    for i, summary in enumerate(summaries):
        arrays |= {f"{i}/gradient": summary.map, f"{i}/negative": summary.negative_map}
        arrays |= {f"{i}/name": np.array(f"{summary.name} | {summary.depth} | {summary.class_name}")}
    with atomic_path(folder / "erf.npz") as temporary:
        np.savez_compressed(temporary, **arrays)
    write_text(folder / "erf.csv", _csv(summaries))
    record = {
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "rep3d": __version__,
        "surveys": [found.to_dict() for found in surveys],
    }
    write_text(folder / "erf.json", json.dumps(record, indent=1) + "\n")


def _csv(summaries: Sequence[Summary]) -> str:
    stream = io.StringIO()
    writer = CsvWriter(stream)
    names = list(dict.fromkeys(name for s in summaries for name in s.numbers))
    writer.writerow(
        ["network", "depth", "class", "patches", *(f"{n}{e}" for n in names for e in ("", ".low", ".high"))]
    )
    for s in summaries:
        cells = [v for n in names for v in _three(s.numbers.get(n))]
        writer.writerow([s.name, s.depth, s.class_name, s.patches, *cells])
    return stream.getvalue()


def _three(found: Interval | None) -> tuple[object, object, object]:
    if found is None:
        return "", "", ""
    return found.mean, *("" if v is None else v for v in (found.low, found.high))


def text_table(summaries: Sequence[Summary]) -> str:
    """The most asked-for numbers in columns of plain text, mean and interval."""
    lines = [("network", "depth", "class", "n", *(name for _, name in SHOWN))]
    for s in summaries:
        cells = []
        for number, name in SHOWN:
            found, scale = s.numbers.get(number), 100 if name.endswith("%") else 1
            if found is None or not np.isfinite(found.mean):
                cells.append("-")
            elif found.low is None:
                cells.append(f"{scale * found.mean:.3g}")
            else:
                cells.append(f"{scale * found.mean:.3g} [{scale * found.low:.3g}, {scale * found.high:.3g}]")
        lines.append((s.name, s.depth, s.class_name, str(s.patches), *cells))
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(line, widths)).rstrip() for line in lines)
