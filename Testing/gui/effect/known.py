"""A network's answer that is known exactly: a label map becomes probabilities, without a worker."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np

LABELS = tuple(
    {
        "value": value,
        "key": key,
        "name": name,
        "color": color,
        "category": ["123037004", "SCT", "Anatomical Structure"],
        "type": [code, "SCT", name],
        "modifier": None,
    }
    for value, key, name, color, code in (
        (1, "liver", "Liver", [221, 130, 101], "10200004"),
        (2, "spleen", "Spleen", [157, 108, 162], "78961009"),
        (3, "aorta", "Aorta", [224, 97, 76], "15825003"),
    )
)
TASK = "known"
_numbers = itertools.count()


def answer_of(labels_XYZ: np.ndarray, volume: Any, folder: Path, probability: np.ndarray | float = 1.0) -> Any:
    """A PreparedVolume of a label map; ``probability`` (a number, or an array [X, Y, Z]) of each voxel's own label."""
    from rep3d.probability_map import ProbabilityMap, ProbabilityWriter
    from Rep3DSegmentationLib.click.picking import PreparedVolume
    from Rep3DSegmentationLib.volumes import world_affine

    number = next(_numbers)
    path = folder / f"probabilities-{number}.bin"
    writer = ProbabilityWriter(path, labels_XYZ.shape, len(LABELS) + 1)
    for label in LABELS:
        writer.add(label["value"], (0, 0, 0), (labels_XYZ == label["value"]) * probability)
    writer.close()
    np.save(folder / f"labels-{number}.npy", labels_XYZ.astype(np.uint8))
    labels = folder / f"labels-{number}.npy"
    return PreparedVolume(ProbabilityMap(path), LABELS, world_affine(volume)[:3, :3], labels)


def make_known_session() -> Any:
    """A ClickSession whose answers are given by the test: ``session.answers[volume ID] = PreparedVolume``.

    ``hold`` is true while the "worker" computes; what was asked for then ends with the first ``poll()`` after it.
    ``asked`` lists what was asked for: ("prepare" or "window", volume ID, voxel). ``warnings`` come with the answers.
    """
    from Rep3DSegmentationLib.click.entries import signature_of
    from Rep3DSegmentationLib.click.operation import Operation
    from Rep3DSegmentationLib.click.session import ClickSession
    from Rep3DSegmentationLib.errors import WorkerError

    class KnownSession(ClickSession):
        def __init__(self) -> None:
            super().__init__(client=lambda: None)
            self.answers: dict[str, Any] = {}
            self.hold, self.asked, self.fault, self.warnings = False, [], None, ()
            self._known: dict[tuple, tuple] = {}

        def poll(self) -> int:
            due = [] if self.hold else [operation for operation in self._operations if not operation.done]
            for operation in due:
                volume, name, _prepare = operation.known
                if operation.abandoned:
                    operation.done = True
                elif self.fault is not None:
                    operation.fail(self.fault)
                elif signature_of(volume) != operation.signature:
                    operation.fail(WorkerError("cancelled", "The volume was changed or removed meanwhile."))
                else:
                    answer = self.answers[volume.GetID()]
                    if _prepare:
                        self._known[name] = (operation.signature, answer)
                    operation.finish(answer, self.warnings)
            return len(due)

        def prepared(self, volume_node: Any, options: Any) -> Any:
            signature, answer = self._known.get((volume_node.GetID(), options), (None, None))
            still = answer is not None and signature == signature_of(volume_node) and answer.exists()
            return answer if still else None

        def forget_all(self) -> None:
            self._known.clear()
            for listener in list(self._listeners):
                listener()

        def _start(self, volume, options, method, more, take, on_progress, on_ready, on_error):
            operation = Operation(signature_of(volume))
            operation.known = (volume, (volume.GetID(), options), method == "prepare")
            self.asked.append((method, volume.GetID(), more.get("at_ijk")))
            self._operations.append(operation)
            return operation, operation.join(on_progress, on_ready, on_error)

    return KnownSession()


def make_known_catalog() -> Any:
    """The store of a worker that offers two tasks, the first with weights."""
    from Rep3DSegmentationWidgets.state import Catalog
    from SegmentEditorRep3DLib.catalog import CatalogStore

    row = {
        "path": "/weights/known.safetensors", "file": "known.safetensors", "id": "known", "task": TASK,
        "task_title": "Known answer", "origin": "shipped", "error": None,
    }  # fmt: skip
    mine = {**row, "path": "/weights/mine.safetensors", "file": "mine.safetensors", "id": "mine", "origin": "user"}
    tasks = (
        {"key": TASK, "title": "Known answer", "labels": list(LABELS), "weights": {"path": row["path"]}},
        {"key": "other", "title": "Another task", "labels": [], "weights": None},
    )
    device = {"name": "cpu", "label": "CPU", "memory_total": None, "memory_free": None}

    class KnownStore(CatalogStore):
        def load(self) -> None:
            """Everything is known."""

    store = KnownStore()
    store.catalog = Catalog({"devices": [device], "default_device": "cpu"}, tasks, (row, mine))
    return store
