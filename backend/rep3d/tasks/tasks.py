"""The task: labels with names, colours and codes, grid, window, patch and data set; `store` reads the YAML files.

Task files are data, so everything in them is checked: an unknown key, a repeated label value or a patch that the
network cannot take is refused with an error that names the file and the key.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from rep3d.tasks import checks
from rep3d.tasks.intensity import Intensity
from rep3d.tasks.splits import check_split

#: Networks halve the grid four times (stem, then between stages), so that patches come in multiples of this.
PATCH_MULTIPLE = 16
MODALITIES = ("CT", "MR")
LEAST_SPACING_MM = 0.01
MOST_PATCH_VOXELS = 2**27
_KEY = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*\Z")


@dataclass(frozen=True)
class Code:
    """A coded concept as DICOM and 3D Slicer's terminologies use it: SCT = SNOMED CT."""

    value: str
    scheme: str
    meaning: str

    def to_list(self) -> list[str]:
        """[value, scheme, meaning], as in the YAML."""
        return [self.value, self.scheme, self.meaning]

    @classmethod
    def from_value(cls, value: Any, source: str, key: str) -> Code:
        """Read ``[value, scheme, meaning]``; the code value must be quoted text. Raises BadInput."""
        if not isinstance(value, (list, tuple)) or len(value) != 3:
            raise checks.fail(source, key, f"[value, scheme, meaning] is expected, not {checks.shown(value)}")
        return cls(*(checks.text(v, source, f"{key}[{i}]") for i, v in enumerate(value)))


@dataclass(frozen=True)
class Label:
    """One structure: its value in label maps, and how to show and code it."""

    value: int
    key: str
    name: str
    color: tuple[int, int, int]
    category: Code
    type: Code
    modifier: Code | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form, read back by :meth:`from_value`."""
        return {
            "value": self.value,
            "key": self.key,
            "name": self.name,
            "color": list(self.color),
            "category": self.category.to_list(),
            "type": self.type.to_list(),
            "modifier": self.modifier.to_list() if self.modifier else None,
        }

    @classmethod
    def from_value(cls, value: Any, source: str, key: str) -> Label:
        """Read one entry of ``labels``. Raises BadInput."""
        fields = ("value", "key", "name", "color", "category", "type", "modifier")
        entry = checks.mapping(value, source, key, fields, fields[:-1])
        color = entry["color"]
        if not isinstance(color, (list, tuple)) or len(color) != 3:
            raise checks.fail(source, f"{key}.color", f"[red, green, blue] is expected, not {checks.shown(color)}")
        modifier = entry.get("modifier")
        return cls(
            value=checks.whole(entry["value"], source, f"{key}.value", 1, 255),
            key=_slug(entry["key"], source, f"{key}.key"),
            name=checks.text(entry["name"], source, f"{key}.name"),
            color=tuple(checks.whole(c, source, f"{key}.color", 0, 255) for c in color),  # type: ignore[arg-type]
            category=Code.from_value(entry["category"], source, f"{key}.category"),
            type=Code.from_value(entry["type"], source, f"{key}.type"),
            modifier=None if modifier is None else Code.from_value(modifier, source, f"{key}.modifier"),
        )


@dataclass(frozen=True)
class Task:
    """What is segmented, from which images, on which grid. ``spacing_mm`` and ``patch`` are (x, y, z) in RAS axes."""

    key: str
    title: str
    modality: str
    labels: tuple[Label, ...]
    spacing_mm: tuple[float, float, float]
    intensity: Intensity
    patch: tuple[int, int, int]
    network: str
    split: dict[str, Any]
    dataset: dict[str, str]
    purpose: str
    notes: str = ""
    region: str = ""  # the part of the body that the scans show, for people

    @property
    def num_classes(self) -> int:
        """Number of classes that the network tells apart: the labels and background (0)."""
        return len(self.labels) + 1

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, text and numbers only, so that it goes into JSON and weights metadata."""
        return {
            "key": self.key,
            "title": self.title,
            "modality": self.modality,
            "labels": [label.to_dict() for label in self.labels],
            "spacing_mm": list(self.spacing_mm),
            "intensity": self.intensity.to_dict(),
            "patch": list(self.patch),
            "network": self.network,
            "split": self.split,
            "dataset": self.dataset,
            "purpose": self.purpose,
            "notes": self.notes,
            "region": self.region,
        }

    @classmethod
    def from_dict(cls, data: Any, source: str = "task") -> Task:
        """Check ``data`` (a parsed YAML file or :meth:`to_dict`'s result). Raises BadInput."""
        fields = tuple(cls.__dataclass_fields__)
        entry = checks.mapping(data, source, "", fields, [f for f in fields if f not in ("notes", "region")])
        modality = entry["modality"]
        if modality not in MODALITIES:
            known = ", ".join(MODALITIES)
            raise checks.fail(source, "modality", f"must be one of {known}, not {checks.shown(modality)}")
        dataset = checks.mapping(entry["dataset"], source, "dataset", ("source", "licence", "citation"))
        for name in ("source", "licence", "citation"):
            dataset[name] = checks.text(dataset.get(name), source, f"dataset.{name}")
        return cls(
            key=_slug(entry["key"], source, "key"),
            title=checks.text(entry["title"], source, "title"),
            modality=modality,
            labels=_labels(entry["labels"], source),
            spacing_mm=check_spacing(entry["spacing_mm"], source),
            intensity=Intensity.from_value(entry["intensity"], source),
            patch=check_patch(entry["patch"], source),
            network=checks.text(entry["network"], source, "network"),
            split=check_split(entry["split"], source),
            dataset=dataset,
            purpose=checks.text(entry["purpose"], source, "purpose"),
            notes=checks.text(entry.get("notes", ""), source, "notes", empty=True),
            region=checks.text(entry.get("region", ""), source, "region", empty=True),
        )


def _slug(value: Any, source: str, key: str) -> str:
    name = checks.text(value, source, key)
    if not _KEY.match(name):
        kind = "lower-case letters, digits and single hyphens"
        raise checks.fail(source, key, f"{kind} are expected, not {checks.shown(value)}")
    return name


def check_spacing(value: Any, source: str) -> tuple[float, float, float]:
    """Millimetres for each axis. Raises BadInput."""
    spacing = checks.numbers(value, source, "spacing_mm", 3)
    if min(spacing) < LEAST_SPACING_MM or max(spacing) > 50:
        limits = f"from {LEAST_SPACING_MM:g} to 50"
        raise checks.fail(source, "spacing_mm", f"millimetres {limits} are expected, not {list(spacing)}")
    return spacing  # type: ignore[return-value]


def check_patch(value: Any, source: str, multiple: int = PATCH_MULTIPLE) -> tuple[int, int, int]:
    """Voxels for each axis, multiples of ``multiple``. Raises BadInput."""
    if not isinstance(value, (list, tuple)) or len(value) != 3:
        raise checks.fail(source, "patch", f"3 whole numbers are expected, not {checks.shown(value)}")
    sizes = tuple(checks.whole(v, source, "patch", multiple, 1024) for v in value)
    if any(v % multiple for v in sizes):
        raise checks.fail(source, "patch", f"every size must be a multiple of {multiple}, not {list(sizes)}")
    if sizes[0] * sizes[1] * sizes[2] > MOST_PATCH_VOXELS:
        raise checks.fail(source, "patch", f"at most {MOST_PATCH_VOXELS} voxels are expected, not {list(sizes)}")
    return sizes  # type: ignore[return-value]


def _labels(value: Any, source: str) -> tuple[Label, ...]:
    if not isinstance(value, (list, tuple)) or not value:
        raise checks.fail(source, "labels", "a list with at least one label is expected")
    labels = tuple(Label.from_value(item, source, f"labels[{i}]") for i, item in enumerate(value))
    for field in ("value", "key", "name", "color"):
        seen: dict[Any, int] = {}
        for i, label in enumerate(labels):
            item = getattr(label, field)
            if item in seen:
                raise checks.fail(source, f"labels[{i}].{field}", f"{item!r} is already used by labels[{seen[item]}]")
            seen[item] = i
    values = [label.value for label in labels]
    if values != list(range(1, len(labels) + 1)):
        raise checks.fail(source, "labels", f"values must be 1, 2, 3 ... in order, not {values}")
    return labels
