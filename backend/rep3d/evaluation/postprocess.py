"""Post-processing of label maps by rules that were learned on validation cases, and the file that holds the rules.

A structure's rule either keeps its largest connected component, or removes components below a volume, or does nothing.
Voxels that are removed become background; structures do not influence each other. Voxels that touch at a face, an edge
or a corner are connected.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from rep3d.errors import BadInput
from rep3d.files import sha256_file
from rep3d.inference.islands import components

if TYPE_CHECKING:
    from rep3d.inference.result import SegmentationResult
    from rep3d.tasks import Task

FORMAT, VERSION = "rep3d-postprocess", 1
CONNECTIVITY = 26
#: Splits that rules may be learned on. Never on test: its numbers would then not be of unseen cases.
LEARNABLE = ("val", "train")
_HINT = "Give a file that `rep3d postprocess learn` wrote."


@dataclass(frozen=True)
class Rule:
    """What happens to one structure: ``largest`` component only, or components of ``min_ml`` and more, or neither."""

    largest: bool = False
    min_ml: float = 0.0

    @property
    def active(self) -> bool:
        """Whether it can change anything."""
        return self.largest or self.min_ml > 0

    def __str__(self) -> str:
        if self.largest:
            return "largest component"
        return f"components of {self.min_ml:g} ml and more" if self.min_ml else "as it is"

    def keeps(self, sizes: np.ndarray, voxel_ml: float) -> np.ndarray:
        """Which components stay, [n] bool. ``sizes`` in voxels; of several largest ones the first stays."""
        if self.largest:
            return np.arange(len(sizes)) == (np.argmax(sizes) if len(sizes) else -1)
        return sizes * voxel_ml >= self.min_ml * (1 - 1e-9)


@dataclass(frozen=True)
class PostProcess:
    """Rules by label key of one task. ``record``: the whole file; ``learned_on``: image hashes of its cases."""

    task_key: str
    rules: dict[str, Rule]
    path: Path | None = None
    sha256: str = ""
    record: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def learned_on(self) -> frozenset[str]:
        """SHA-256 of the images that the rules were learned on."""
        return frozenset(case["image_sha256"] for case in self.record.get("learned_on", {}).get("cases", ()))

    def check_task(self, task: Task) -> None:
        """Raise BadInput unless the rules are of this task's structures."""
        keys = [label.key for label in task.labels]
        if self.task_key != task.key or set(self.rules) != set(keys):
            raise BadInput(
                f"the rules in {self.path} are for task {self.task_key} ({', '.join(self.rules)}), not for {task.key}",
                "Learn them again for this task with `rep3d postprocess learn`.",
            )

    def describe(self) -> dict[str, Any]:
        """What a result records of the rules, JSON-able."""
        rules = {key: str(rule) for key, rule in self.rules.items()}
        return {"file": self.path.name if self.path else None, "sha256": self.sha256, "rules": rules}

    def apply(
        self, labelmap: np.ndarray, task: Task, voxel_ml: float
    ) -> tuple[np.ndarray, dict[str, dict[str, float]]]:
        """A label map with the rules applied, and by label key what was removed: ``components`` and ``ml``.

        ``labelmap`` [X, Y, Z] is not changed; it is returned itself when nothing is removed. Structures of which
        nothing was removed are not listed.
        """
        values = {label.key: label.value for label in task.labels if self.rules[label.key].active}
        boxes = ndimage.find_objects(labelmap, max_label=max(values.values(), default=1))
        out, removed = labelmap, {}
        for key, value in values.items():
            box = boxes[value - 1]
            if box is None:
                continue
            parts, sizes = components(labelmap[box] == value)
            gone = np.concatenate([[False], ~self.rules[key].keeps(sizes, voxel_ml)])
            if not gone.any():
                continue
            if out is labelmap:
                out = labelmap.copy(order="K")
            out[box][gone[parts]] = 0
            removed[key] = {"components": int(gone.sum()), "ml": round(float(sizes[gone[1:]].sum() * voxel_ml), 6)}
        return out, removed


def postprocess_result(result: SegmentationResult, rules: PostProcess) -> SegmentationResult:
    """A segmentation with the rules applied, measured again; its settings say which rules, and what they removed.

    Raises BadInput when the rules are another task's.
    """
    from rep3d.inference.result import measure

    rules.check_task(result.task)
    voxel_mm3 = float(abs(np.linalg.det(result.volume.affine[:3, :3])))
    labelmap, removed = rules.apply(result.labelmap, result.task, voxel_mm3 / 1000)
    settings = {**result.settings, "postprocess": {**rules.describe(), "removed": removed}}
    stats = tuple(measure(labelmap, result.volume.array, result.labels, voxel_mm3)) if removed else result.stats
    return replace(result, labelmap=labelmap, stats=stats, settings=settings)


def read_postprocess(path: Path | str) -> PostProcess:
    """Read a file of rules. Raises BadInput for anything else, and for rules that were learned on test cases."""
    path = Path(path)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(f"{path} does not exist", _HINT) from None
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} holds no rules of post-processing: {error}", _HINT) from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise BadInput(f"{path} holds no rules of post-processing", _HINT)
    if not isinstance(record.get("version"), int) or not 1 <= record["version"] <= VERSION:
        raise BadInput(f"{path} was written by a newer Rep3D (version {record.get('version')!r})", "Update Rep3D.")
    try:
        rules = {
            str(key): Rule(bool(rule["largest_component"]), float(rule["min_ml"]))
            for key, rule in record["classes"].items()
        }
        split = record["learned_on"]["split"]
        made = PostProcess(str(record["task"]), rules, path, sha256_file(path), record)
        known, connectivity = len(made.learned_on) > 0, record["connectivity"]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadInput(f"{path} lacks or misstates {error}", _HINT) from error
    if split not in LEARNABLE or not known:
        raise BadInput(
            f"the rules in {path} were learned on {split!r}, or do not say on which cases",
            "Rules are learned on validation cases.",
        )
    if connectivity != CONNECTIVITY:
        raise BadInput(f"{path} asks for connectivity {connectivity!r}; {CONNECTIVITY} is what there is", _HINT)
    return made
