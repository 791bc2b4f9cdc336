"""What a set of weights was trained on, in numbers that a scan can be compared with before and after a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from rep3d.tasks import checks

if TYPE_CHECKING:
    from rep3d.data.dataset import Case
    from rep3d.tasks import Task

Range = tuple[float, float]
MEASURED = 100  # training cases that are looked at, spread evenly
_MOST = 1e9


@dataclass(frozen=True)
class Expected:
    """What the training scans looked like.

    Attributes:
        region: the part of the body, for people, such as "head and neck"; "" if nobody said.
        cases: how many training scans were measured.
        extent_mm: smallest and largest field of view along right, anterior, superior.
        figures: smallest and largest of each figure of rep3d.data.profile.
        volumes_ml: smallest and largest volume of each structure, by its key, where it was there.
        found: share of the scans that show each structure.
    """

    region: str
    cases: int
    extent_mm: tuple[Range, Range, Range]
    figures: Mapping[str, Range] = field(default_factory=dict)
    volumes_ml: Mapping[str, Range] = field(default_factory=dict)
    found: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form, read back by :meth:`from_value`."""
        values = asdict(self)
        values["extent_mm"] = [list(r) for r in self.extent_mm]
        for name in ("figures", "volumes_ml"):
            values[name] = {key: list(r) for key, r in values[name].items()}
        return values

    @classmethod
    def from_value(cls, value: Any, source: str, key: str = "expected") -> Expected:
        """Check what a weights file says. Raises BadInput, naming ``source`` and the field."""
        fields = tuple(cls.__dataclass_fields__)
        entry = checks.mapping(value, source, key, fields, fields[:3])
        extent = entry["extent_mm"]
        if not isinstance(extent, (list, tuple)) or len(extent) != 3:
            raise checks.fail(source, f"{key}.extent_mm", "three [smallest, largest] are expected")
        found = checks.table(entry.get("found", {}), source, f"{key}.found")
        return cls(
            region=checks.text(entry["region"], source, f"{key}.region", empty=True),
            cases=checks.whole(entry["cases"], source, f"{key}.cases", 1, 10**9),
            extent_mm=tuple(_range(r, source, f"{key}.extent_mm[{i}]", 0) for i, r in enumerate(extent)),
            figures=_ranges(entry.get("figures", {}), source, f"{key}.figures", -_MOST),
            volumes_ml=_ranges(entry.get("volumes_ml", {}), source, f"{key}.volumes_ml", 0),
            found={k: checks.number(v, source, f"{key}.found.{k}", 0, 1) for k, v in found.items()},
        )


def _range(value: Any, source: str, key: str, least: float) -> Range:
    low, high = checks.numbers(value, source, key, 2)
    if not least <= low <= high <= _MOST:
        raise checks.fail(source, key, f"[smallest, largest] is expected, from {least:g} on, not {checks.shown(value)}")
    return low, high


def _ranges(value: Any, source: str, key: str, least: float) -> dict[str, Range]:
    entries = checks.table(value, source, key)
    return {name: _range(r, source, f"{key}.{name}", least) for name, r in entries.items()}


def measure_expected(cases: Sequence[Case], task: Task, progress: Callable[[int, int], None] | None = None) -> Expected:
    """Look at training cases: at most MEASURED of them, spread evenly. Raises BadInput for one that cannot be read."""
    import numpy as np

    from rep3d.data.profile import extent_mm, profile
    from rep3d.data.reading import read_labelmap, read_volume

    chosen = [cases[i] for i in np.unique(np.linspace(0, len(cases) - 1, min(MEASURED, len(cases))).astype(int))]
    extents: list[tuple[float, ...]] = []
    figures: dict[str, list[float]] = {}
    volumes: dict[str, list[float]] = {}
    for i, case in enumerate(chosen):
        scan, labels = read_volume(case.image), read_labelmap(case.label)
        extents.append(extent_mm(scan.shape, scan.affine))
        for name, value in profile(scan, task.modality).items():
            figures.setdefault(name, []).append(value)
        counts = np.bincount(labels.array.ravel(), minlength=task.num_classes)
        voxel_ml = float(np.prod(labels.spacing_mm)) / 1000
        for label in task.labels:
            if counts[label.value]:
                volumes.setdefault(label.key, []).append(float(counts[label.value]) * voxel_ml)
        if progress is not None:
            progress(i + 1, len(chosen))
    return Expected(
        region=task.region,
        cases=len(chosen),
        extent_mm=tuple(_spread([e[a] for e in extents], 1) for a in range(3)),
        figures={name: _spread(values, 3) for name, values in figures.items()},
        volumes_ml={key: _spread(values, 4) for key, values in volumes.items()},
        found={key: round(len(values) / len(chosen), 3) for key, values in volumes.items()},
    )


def _spread(values: Sequence[float], digits: int) -> Range:
    return round(min(values), digits), round(max(values), digits)
