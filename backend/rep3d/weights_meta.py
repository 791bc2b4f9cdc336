"""What a weights file says of itself, checked field by field: it may come from anybody."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rep3d.errors import BadInput, WeightsInvalid
from rep3d.expected import Expected
from rep3d.tasks import Intensity, Task, checks
from rep3d.tasks.tasks import check_patch, check_spacing

FORMAT_VERSION = 1
DAMAGED = "Get the file again, or fuse it again from its checkpoint."
DEMO_ONLY = "These weights are for trying the software. What they find in a patient's scan means nothing."
LARGEST_ARGUMENT = 4096  # of a network: channels, kernel, hidden size ...
MOST_LAYERS = 256
DEEPEST, MOST_VALUES = 12, 20_000  # of what metadata may hold beside the fields that are known
_SHA256 = re.compile(r"([0-9a-f]{64})?\Z")


@dataclass(frozen=True)
class WeightsMeta:
    """What a weights file says of itself.

    Attributes:
        id: short name, unique among a user's weights.
        task: labels, grid and window the weights were trained for.
        network: name and arguments for ``create_network`` (deployed form).
        patch: (x, y, z) voxels of the training crops; inference uses the same windows.
        spacing_mm, intensity: what the network's input must look like.
        training: summary (steps, command, validation Dice, ...), JSON-able.
        data_sha256: digest of the training data list ("" when unknown).
        created: ISO 8601 time. rep3d_version: of the program that wrote the file. licence: of the weights.
        form: always "deployed". format_version: of this layout.
        demo_only: the weights are for trying the software and for nothing else.
        expected: what the training scans looked like; None where nobody measured them.
    """

    id: str
    task: Task
    network: dict[str, Any]
    patch: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    intensity: Intensity
    training: dict[str, Any]
    data_sha256: str
    created: str
    rep3d_version: str
    licence: str
    form: str = "deployed"
    format_version: int = FORMAT_VERSION
    demo_only: bool = False
    expected: Expected | None = None

    @property
    def remove_islands(self) -> bool:
        """Whether removing small islands was found better on the validation cases (``rep3d fuse --remove-islands``)."""
        return bool(self.training.get("remove_islands", False))

    @property
    def expected_region(self) -> str:
        """The part of the body that the weights were trained on, "" where nobody said."""
        return self.expected.region if self.expected else self.task.region

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        values = dict(self.__dict__)
        values["task"] = self.task.to_dict()
        values["intensity"] = self.intensity.to_dict()
        values["patch"] = list(self.patch)
        values["spacing_mm"] = list(self.spacing_mm)
        values["expected"] = self.expected.to_dict() if self.expected else None
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any], source: str) -> WeightsMeta:
        """The reverse of ``to_dict``.

        Raises WeightsInvalid, naming ``source`` and the field, when something is missing, unknown or cannot be meant.
        """
        try:
            return cls._checked(values, source)
        except BadInput as error:
            raise WeightsInvalid(str(error), DAMAGED) from error

    @classmethod
    def _checked(cls, values: Any, source: str) -> WeightsMeta:
        fields = tuple(cls.__dataclass_fields__)
        entry = checks.mapping(values, source, "", fields, [f for f in fields if f not in ("demo_only", "expected")])
        plain(entry, source)
        task = Task.from_dict(entry["task"], f"{source}: task")
        if entry["form"] != "deployed":
            raise checks.fail(source, "form", f"must be deployed, not {checks.shown(entry['form'])}")
        digest = checks.text(entry["data_sha256"], source, "data_sha256", empty=True)
        if not _SHA256.match(digest):
            raise checks.fail(source, "data_sha256", f"64 hexadecimal digits are expected, not {checks.shown(digest)}")
        expected = entry.get("expected")
        return cls(
            id=checks.line(entry["id"], source, "id", 200),
            task=task,
            network=_network(entry["network"], source, task.num_classes),
            patch=check_patch(entry["patch"], source, multiple=1),  # what fits is the network's own matter
            spacing_mm=check_spacing(entry["spacing_mm"], source),
            intensity=Intensity.from_value(entry["intensity"], source),
            training=_training(entry["training"], source),
            data_sha256=digest,
            created=checks.line(entry["created"], source, "created", 100),
            rep3d_version=checks.line(entry["rep3d_version"], source, "rep3d_version", 100),
            licence=checks.text(entry["licence"], source, "licence", empty=True),
            form=entry["form"],
            format_version=checks.whole(entry["format_version"], source, "format_version", 1, FORMAT_VERSION),
            demo_only=checks.flag(entry.get("demo_only", False), source, "demo_only"),
            expected=None if expected is None else Expected.from_value(expected, source),
        )


def plain(value: Any, source: str) -> None:
    """Refuse what no program of ours wrote: deep nesting, very many values, numbers that are not finite."""
    seen, waiting = 0, [("", value, 0)]
    while waiting:
        key, item, depth = waiting.pop()
        seen += 1
        if depth > DEEPEST:
            raise checks.fail(source, key, f"nested more than {DEEPEST} deep")
        if seen > MOST_VALUES:
            raise checks.fail(source, "", f"more than {MOST_VALUES} values")
        if isinstance(item, float) and not abs(item) < 1e300:  # NaN and infinities too
            raise checks.fail(source, key, f"a finite number is expected, not {item}")
        if isinstance(item, int) and abs(item) >= 1 << 63:
            raise checks.fail(source, key, "a number of less than 64 bits is expected")
        if isinstance(item, str):
            checks.text(item, source, key, empty=True)
        elif isinstance(item, Mapping):
            entries = ((f"{key}.{checks.shown_key(k)}".strip("."), v) for k, v in item.items())
            waiting += [(name, v, depth + 1) for name, v in entries]
        elif isinstance(item, (list, tuple)):
            waiting += [(f"{key}[{i}]", v, depth + 1) for i, v in enumerate(item)]


def _network(value: Any, source: str, classes: int) -> dict[str, Any]:
    """Name and arguments within bounds, so that even a network that will not fit its tensors is built in no time."""
    entry = checks.mapping(value, source, "network", ("name", "args"), ("name", "args"))
    checks.line(entry["name"], source, "network.name", 100)
    args = checks.table(entry["args"], source, "network.args")
    if args.get("out_channels") != classes:
        shown = checks.shown(args.get("out_channels"))
        raise checks.fail(source, "network.args.out_channels", f"{classes} as its task has is expected, not {shown}")
    waiting: list[tuple[str, str, Any]] = [(f"network.args.{k}", k, v) for k, v in args.items()]
    while waiting:
        key, name, item = waiting.pop()
        if isinstance(item, Mapping):
            waiting += [(f"{key}.{checks.shown_key(k)}", str(k), v) for k, v in item.items()]
        elif isinstance(item, (list, tuple)):
            if len(item) > 64:
                raise checks.fail(source, key, "at most 64 entries are expected")
            waiting += [(f"{key}[{i}]", name, v) for i, v in enumerate(item)]
        elif isinstance(item, (int, float)):
            most = MOST_LAYERS if "depth" in name or "layers" in name else LARGEST_ARGUMENT
            checks.number(float(item), source, key, 0, most)
        elif item is not None:
            checks.line(item, source, key, 100)
    return entry


def _training(value: Any, source: str) -> dict[str, Any]:
    """The summary: what is read anywhere has the kind that is expected there, the rest may be anything plain."""
    entry = checks.table(value, source, "training")
    if entry.get("steps") is not None:
        checks.whole(entry["steps"], source, "training.steps", 0, 10**12)
    axes = entry.get("mirror_axes") or []
    if not isinstance(axes, (list, tuple)) or sorted({a for a in axes if a in (0, 1, 2)}) != sorted(map(_axis, axes)):
        raise checks.fail(source, "training.mirror_axes", f"axes out of 0, 1, 2 are expected, not {checks.shown(axes)}")
    best = entry.get("best")
    if isinstance(best, Mapping):
        if best.get("dice") is not None:
            checks.number(best["dice"], source, "training.best.dice", 0, 1)
    elif best is not None:
        checks.number(best, source, "training.best", 0, 1)
    if entry.get("config") is not None:
        checks.table(entry["config"], source, "training.config")
    if entry.get("network") is not None:
        made = checks.mapping(entry["network"], source, "training.network", ("name", "args"), ("name", "args"))
        checks.line(made["name"], source, "training.network.name", 100)
    if entry.get("fusion_error") is not None:
        checks.number(entry["fusion_error"], source, "training.fusion_error", 0, 1e3)
    if entry.get("remove_islands") is not None:
        checks.flag(entry["remove_islands"], source, "training.remove_islands")
    if entry.get("members") is not None:
        raise checks.fail(source, "training.members", "only ensembles have members")
    return entry


def _axis(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 2 else -1
