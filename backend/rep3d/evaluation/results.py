"""Result files of ``rep3d evaluate``: read, checked, and given out as scores by case and class.

Version 2 holds every metric of ``METRICS``; files of version 1 (no "format" key) hold Dice alone and are read too.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rep3d.errors import BadInput

FORMAT = "rep3d-evaluation"
VERSION = 2

#: metric -> +1 where more is better, -1 where less is, 0 where it is a measure and not a score.
METRICS = {
    "dice": 1,
    "nsd": 1,
    "hd95_mm": -1,
    "asd_mm": -1,
    "volume_ml": 0,
    "truth_ml": 0,
    "volume_error_ml": 0,
    "volume_error_percent": 0,
}
#: How a class that neither label map has counts: not at all, or as 1 in the overlap metrics.
CONVENTIONS = ("ignore", "one")
OVERLAP_METRICS = ("dice", "nsd")
_HINT = "Give a JSON file that `rep3d evaluate -o` wrote."


@dataclass(frozen=True)
class EvaluationResult:
    """One result file.

    Attributes:
        path: where it was read from (None for one in memory). record: the whole file.
        name: of what was scored (id of weights, RUN/checkpoint, folder of predictions).
        task_key, split, data_sha256: of the task, the split and the data list; split and data_sha256 are "" for
            label maps without a data list.
        labels: keys of the classes in the task's order. cases: ids in the file's order.
        grids: "native" (each scan's own grid), "network", "postprocessed" (native, after learned post-processing).
    """

    path: Path | None
    record: dict[str, Any]
    name: str
    task_key: str
    split: str
    data_sha256: str
    labels: tuple[str, ...]
    cases: tuple[str, ...]
    grids: tuple[str, ...]

    @property
    def version(self) -> int:
        """Of the file's format."""
        return int(self.record.get("version", 1))

    @property
    def metrics(self) -> tuple[str, ...]:
        """Metrics that the file holds, in the order of METRICS."""
        if self.version == 1:
            return ("dice",)
        found = {m for row in self.record["cases"] for v in row["metrics"].values() for c in v.values() for m in c}
        return tuple(m for m in METRICS if m in found)

    def scores(self, metric: str, grid: str = "native", *, empty: str = "ignore") -> dict[str, dict[str, float]]:
        """case id -> label key -> value, nan where it is undefined.

        Args:
            metric: one of METRICS; lengths in mm, volumes in ml.
            empty: "ignore": a class that neither label map has is nan; "one": its Dice and NSD are 1. A class in one
                label map only has Dice and NSD 0 in both; its distances are nan in both.

        Raises:
            BadInput: the file has no such metric or grid. ValueError: no such convention.
        """
        if empty not in CONVENTIONS:
            raise ValueError(f"empty={empty!r} is none of {CONVENTIONS}")
        if grid not in self.grids:
            raise BadInput(f"{self.source} has no grid {grid!r}", f"It has {', '.join(self.grids)}.")
        if metric not in self.metrics:
            raise BadInput(
                f"{self.source} has no metric {metric!r}",
                f"It has {', '.join(self.metrics)}. Evaluate again to have all." if self.version == 1 else "",
            )
        fill = 1.0 if empty == "one" and metric in OVERLAP_METRICS else math.nan
        table: dict[str, dict[str, float]] = {}
        for row in self.record["cases"]:
            table[row["id"]] = {}
            for key in self.labels:
                value = row["dice"][grid][key] if self.version == 1 else row["metrics"][grid][key].get(metric)
                table[row["id"]][key] = fill if value is None else float(value)
        return table

    @property
    def source(self) -> str:
        """File name for messages."""
        return str(self.path) if self.path else "the result"


def read_result(path: Path | str) -> EvaluationResult:
    """Read a result file of version 1 or 2. Raises BadInput, naming the file, for anything else."""
    path = Path(path)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(f"{path} does not exist", _HINT) from None
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} is not a result of `rep3d evaluate`: {error}", _HINT) from error
    return as_result(record, path)


def as_result(record: Any, path: Path | None = None) -> EvaluationResult:
    """The result in a parsed file, or in what ``evaluate()`` returned. Raises BadInput as :func:`read_result`."""
    source = str(path) if path else "the result"
    if not isinstance(record, dict):
        raise BadInput(f"{source} is not a result of `rep3d evaluate`", _HINT)
    version = record.get("version", 1)
    if record.get("format", FORMAT) != FORMAT or ("format" not in record and "subject" not in record):
        raise BadInput(f"{source} is not a result of `rep3d evaluate`", _HINT)
    if not isinstance(version, int) or not 1 <= version <= VERSION:
        raise BadInput(f"{source} was written by a newer Rep3D (version {version!r})", "Update Rep3D.")
    try:
        rows = record["cases"]
        ids = tuple(str(row["id"]) for row in rows)
        per_grid = "dice" if version == 1 else "metrics"
        grids = tuple(rows[0][per_grid]) if rows else tuple(record["summary"])
        labels = tuple(record["summary"]["native"]["per_class"])
        for row in rows:
            for grid in grids:
                if set(row[per_grid][grid]) != set(labels):
                    raise BadInput(f"{source}: case {row['id']} does not hold the classes {', '.join(labels)}", _HINT)
        task_key = str(record["task"])
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise BadInput(f"{source} is not a result of `rep3d evaluate`: it lacks {error}", _HINT) from error
    if len(set(ids)) < len(ids):
        raise BadInput(f"{source} holds a case twice", _HINT)
    return EvaluationResult(
        path,
        record,
        str(record.get("name") or _name_of(record.get("subject") or {})),
        task_key,
        str(record.get("split") or ""),
        str(record.get("data_sha256") or ""),
        labels,
        ids,
        grids,
    )


def _name_of(subject: dict[str, Any]) -> str:
    if subject.get("weights"):
        return str(subject["weights"])
    return " ".join(str(subject[key]) for key in ("network", "checkpoint", "predictions") if subject.get(key)) or "?"
