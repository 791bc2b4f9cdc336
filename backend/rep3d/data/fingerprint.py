"""What a cohort looks like in numbers: spacings, sizes, intensities, structures. Plans are made from it.

Every case is measured alone (:mod:`rep3d.data.case_figures`), so that a cohort can be measured piece by piece, and the
cohort's :class:`Fingerprint` is a function of those figures. All triples are in RAS order (right, anterior, superior),
whatever the order of the axes in the file. Every case weighs the same, large or small.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rep3d.data.case_figures import CaseFigures, Triple, measure_case, triple
from rep3d.errors import BadInput
from rep3d.files import write_text

FORMAT, VERSION = "rep3d-fingerprint", 1
INTENSITY_KEYS = ("mean", "sd", "p00_5", "p01", "p50", "p99", "p99_5")
_PERCENT = {"p00_5": 0.5, "p01": 1.0, "p50": 50.0, "p99": 99.0, "p99_5": 99.5}


@dataclass(frozen=True)
class Spread:
    """Median, 10th and 90th percentile over the cases, of a number for each RAS axis (or of one number)."""

    median: tuple[float, ...]
    p10: tuple[float, ...]
    p90: tuple[float, ...]


@dataclass(frozen=True)
class Intensities:
    """Stored intensities of a set of voxels, in the image's own units (HU for CT); percentiles 0.5, 1, 50, 99, 99.5."""

    mean: float
    sd: float
    p00_5: float
    p01: float
    p50: float
    p99: float
    p99_5: float


@dataclass(frozen=True)
class ClassFigures:
    """One structure over the cases that have it: how many, volume in ml, edges of its bounding box in mm (RAS).

    ``volume_ml`` (median, p10, p90) and ``extent_mm`` (median, p90) are None where no case has it.
    """

    value: int
    name: str
    cases: int
    volume_ml: Mapping[str, float] | None
    extent_mm: Mapping[str, Triple] | None


@dataclass(frozen=True)
class Fingerprint:
    """A cohort in numbers (docs/data.md). ``foreground``: voxels of any structure; ``body``: voxels above background.

    ``modality`` is CT, MR or None (unknown). Units: millimetres, millilitres, the images' own intensities.
    """

    cases: int
    modality: str | None
    spacing_mm: Spread
    size_mm: Spread
    size_voxels: Spread
    foreground: Intensities | None
    body: Intensities | None
    classes: tuple[ClassFigures, ...]

    def to_dict(self) -> dict[str, Any]:
        """The content of fingerprint.json."""
        spreads = {name: _lists(asdict(getattr(self, name))) for name in ("spacing_mm", "size_mm", "size_voxels")}
        return {
            "format": FORMAT,
            "version": VERSION,
            "cases": self.cases,
            "modality": self.modality,
            **spreads,
            "intensity": {
                "foreground": asdict(self.foreground) if self.foreground else None,
                "body": asdict(self.body) if self.body else None,
            },
            "classes": [
                {
                    "value": c.value,
                    "name": c.name,
                    "cases": c.cases,
                    "volume_ml": dict(c.volume_ml) if c.volume_ml else None,
                    "extent_mm": _lists(c.extent_mm) if c.extent_mm else None,
                }
                for c in self.classes
            ],
        }

    @classmethod
    def from_dict(cls, data: Any, source: str = "fingerprint") -> Fingerprint:
        """Read :meth:`to_dict`'s result. Raises BadInput naming ``source`` for anything else."""
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise BadInput(f"{source} is not a fingerprint", "`rep3d prepare` writes fingerprint.json.")
        if data.get("version") != VERSION:
            raise BadInput(
                f"{source} is a fingerprint of version {data.get('version')}; version {VERSION} is known here",
                "Prepare the data again with this version.",
            )
        try:
            return cls(
                cases=int(data["cases"]),
                modality=data["modality"],
                **{name: _spread(data[name]) for name in ("spacing_mm", "size_mm", "size_voxels")},
                foreground=_intensities(data["intensity"]["foreground"]),
                body=_intensities(data["intensity"]["body"]),
                classes=tuple(
                    ClassFigures(
                        int(c["value"]),
                        str(c["name"]),
                        int(c["cases"]),
                        {k: float(v) for k, v in c["volume_ml"].items()} if c["volume_ml"] else None,
                        {k: triple(v) for k, v in c["extent_mm"].items()} if c["extent_mm"] else None,
                    )
                    for c in data["classes"]
                ),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadInput(f"{source} is damaged: {error!r}", "Prepare the data again.") from error

    @classmethod
    def read(cls, path: str | Path) -> Fingerprint:
        """Read a fingerprint.json. Raises BadInput when it is missing, no JSON or no fingerprint."""
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise BadInput(f"{path} cannot be read: {error.strerror}", "`rep3d prepare` writes it.") from error
        except ValueError as error:
            raise BadInput(f"{path} is not JSON: {error}", "Prepare the data again.") from error
        return cls.from_dict(data, str(path))

    def write(self, path: str | Path) -> None:
        """Write fingerprint.json, atomically. Raises OutputFailed."""
        write_text(path, json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def measure(
        cls,
        pairs: Iterable[tuple[Path, Path]],
        names: Mapping[int, str],
        modality: str | None = None,
    ) -> Fingerprint:
        """Read every (image, label map) and measure the cohort; ``names``: label value -> name, without background.

        Raises BadInput for files that cannot be read and pairs that do not share a size.
        """
        from rep3d.data.reading import read_labelmap, read_volume

        figures = [measure_case(read_volume(image), read_labelmap(label), modality) for image, label in pairs]
        return cls.combine(figures, names, modality)

    @classmethod
    def combine(cls, figures: Sequence[CaseFigures], names: Mapping[int, str], modality: str | None) -> Fingerprint:
        """The fingerprint of measured cases. Raises BadInput without a case."""
        if not figures:
            raise BadInput("there is no case to measure", "A fingerprint needs at least one image with its label map.")
        spacing = np.array([f.spacing_mm for f in figures])
        size = np.array([f.size_voxels for f in figures], float)
        return cls(
            cases=len(figures),
            modality=modality,
            spacing_mm=_spread_of(spacing),
            size_mm=_spread_of(spacing * size),
            size_voxels=_spread_of(size),
            foreground=_pool([f.foreground for f in figures if f.foreground]),
            body=_pool([f.body for f in figures if f.body]),
            classes=tuple(_class(value, name, figures) for value, name in sorted(names.items()) if value != 0),
        )


def _pool(parts: Sequence[Mapping[str, Any]]) -> Intensities | None:
    """Mean and standard deviation of the mixture in which every case weighs the same; percentiles likewise."""
    if not parts:
        return None
    means = np.array([p["mean"] for p in parts])
    mean = float(means.mean())
    variance = float(np.mean([p["var"] for p in parts]) + means.var())
    points = np.sort(np.concatenate([np.asarray(p["quantiles"], float) for p in parts]))
    percentiles = {key: round(float(np.percentile(points, q)), 4) for key, q in _PERCENT.items()}
    return Intensities(round(mean, 4), round(float(np.sqrt(variance)), 4), **percentiles)


def _class(value: int, name: str, figures: Sequence[CaseFigures]) -> ClassFigures:
    have = [f.classes[value] for f in figures if value in f.classes]
    if not have:
        return ClassFigures(value, name, 0, None, None)
    volumes = np.array([ml for ml, _ in have])
    extents = np.array([mm for _, mm in have])
    quantiles = {"median": 50, "p10": 10, "p90": 90}
    return ClassFigures(
        value,
        name,
        len(have),
        {key: round(float(np.percentile(volumes, q)), 4) for key, q in quantiles.items()},
        {key: triple(np.round(np.percentile(extents, q, axis=0), 4)) for key, q in quantiles.items() if key != "p10"},
    )


def _spread_of(rows: np.ndarray) -> Spread:
    """Over the cases of [cases, 3]."""
    return Spread(*(triple(np.round(np.percentile(rows, q, axis=0), 6)) for q in (50, 10, 90)))


def _spread(data: Mapping[str, Any]) -> Spread:
    return Spread(*(triple(data[key]) for key in ("median", "p10", "p90")))


def _intensities(data: Mapping[str, Any] | None) -> Intensities | None:
    return None if data is None else Intensities(**{key: float(data[key]) for key in INTENSITY_KEYS})


def _lists(data: Mapping[str, Any]) -> dict[str, list[float]]:
    return {key: list(value) for key, value in data.items()}
