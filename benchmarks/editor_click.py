"""How long a click takes in the Segment Editor once an abdominal volume is prepared: mouse event to changed segment.

No network runs: the probabilities are those of a generated abdomen's own label map with soft edges, so that structures
have the size and shape that they have in a scan. All is timed that a person waits for: the event, the pick, the step of
undo, masking off and on, Slicer's own commit, the panel. Prints a table and writes results/editor_click.json. The bound
to keep is 0.2 s on two cores. Needs ``slicer-core`` and PyQt5 (``pip install -e 'backend[slicer]'``).

    python benchmarks/editor_click.py [--quick] [--size 512,512,300] [--repeats 3]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from machine import machine
from record import print_ratios, write_record
from scipy import ndimage

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / name) for name in ("Rep3DSegmentation", "SegmentEditorRep3D", "Testing", "")]
BOUND_S = 0.2
TILE = 64


def abdomen(size: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Labels [X, Y, Z] of a generated abdomen brought to ``size`` voxels, and the size of a voxel in mm."""
    from rep3d.phantom import generate

    case = generate(seed=1)
    labels, spacing = case.labels, np.linalg.norm(case.affine[:3, :3], axis=0)
    index = [np.minimum((np.arange(n) + 0.5) * m // n, m - 1).astype(int) for n, m in zip(size, labels.shape)]
    return labels[np.ix_(*index)], spacing * labels.shape / size


def write_probabilities(path: Path, labels: np.ndarray) -> int:
    """Each structure with an edge two voxels soft; returns the number of bytes."""
    from rep3d.probability_map import ProbabilityWriter

    boxes = ndimage.find_objects(labels)
    writer = ProbabilityWriter(path, labels.shape, len(boxes) + 1)
    for value, box in enumerate(boxes, start=1):
        if box is None:
            continue
        low = [max(0, s.start - 4) // TILE * TILE for s in box]
        high = [min(n, s.stop + 4) for s, n in zip(box, labels.shape)]
        soft = ndimage.gaussian_filter((labels[tuple(map(slice, low, high))] == value).astype(np.float32), 1.0)
        for corner in np.ndindex(*(-(-n // TILE) for n in soft.shape)):
            start = [c * TILE for c in corner]
            tile = soft[tuple(slice(s, s + TILE) for s in start)]
            writer.add(value, tuple(a + b for a, b in zip(low, start)), tile)
    writer.close()
    return path.stat().st_size


def make_bench(host: Any, size: tuple[int, int, int], folder: Path) -> Any:
    """The test's bench with the abdomen, prepared."""
    import Rep3DSegmentationLib.click.session as session_module
    import SegmentEditorRep3DLib.catalog as catalog_module
    import slicer
    from rep3d.probability_map import ProbabilityMap
    from rep3d.tasks import load_task
    from Rep3DSegmentationLib.click.picking import PreparedVolume

    from Testing.gui.effect import known, world

    session_module._session = session = known.make_known_session()
    catalog_module._store = known.make_known_catalog()
    editor = slicer.qMRMLSegmentEditorWidget()
    editor.setMaximumNumberOfUndoStates(10)
    editor.setMRMLScene(slicer.mrmlScene)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
    editor.setMRMLSegmentEditorNode(node)
    editor.setupViewObservations()
    labels, spacing = abdomen(size)
    bench = world.make_bench(host, editor, node, labels, np.diag([*spacing, 1.0]))
    write_probabilities(folder / "p.bin", labels)
    np.save(folder / "labels.npy", np.asfortranarray(labels))
    info = [label.to_dict() for label in load_task("phantom-abdomen").labels]
    answer = PreparedVolume(ProbabilityMap(folder / "p.bin"), info, np.diag(spacing), folder / "labels.npy")
    session.answers[bench.volume.GetID()] = answer
    assert bench.effect.prepare(wait=True), bench.effect.statusText()
    bench.answer = answer
    return bench


def timed(action: Any) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def time_structure(bench: Any, value: int, repeats: int) -> dict[str, Any] | None:
    """Best times of a structure's first click, a new threshold, undo, and a click with masking on; None if absent."""
    import slicer

    inside = np.argwhere(bench.labels == value)
    if not len(inside):
        return None
    middle = np.linalg.norm(inside - inside.mean(0), axis=1).argsort()
    ras = bench.ras(next(voxel for voxel in inside[middle] if bench.answer.hit(tuple(voxel)).probability > 0.9))
    bench.host.hover_slice("Red", ras)
    times = []
    for _ in range(repeats):
        bench.answer._read.clear()  # as if the structure had not been clicked before
        click = timed(lambda: bench.host.click_slice("Red", ras))
        bench.editor.activeEffect().setParameter("Threshold", 0.4)
        threshold = timed(bench.effect.controller.reapply)
        bench.editor.activeEffect().setParameter("Threshold", 0.5)
        undo = timed(bench.editor.undo)
        bench.node.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedOutsideAllSegments)
        masked = timed(lambda: bench.host.click_slice("Red", ras))
        bench.node.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedEverywhere)
        bench.editor.undo()
        times.append((click, threshold, undo, masked))
    best = np.min(times, axis=0)
    names = ("click_s", "threshold_s", "undo_s", "masked_click_s")
    return {"structure": bench.answer.label_info[value]["name"], "voxels": len(inside), **dict(zip(names, best))}


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="256 x 256 x 150 voxels, once")
    parser.add_argument("--size", help="voxels (512,512,300)")
    parser.add_argument("--repeats", type=int, help="(3)")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/editor_click.json")
    options = parser.parse_args()
    size = tuple(int(n) for n in (options.size or ("256,256,150" if options.quick else "512,512,300")).split(","))
    repeats = options.repeats or (1 if options.quick else 3)
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from slicerhost import Host

    about = machine()
    host = Host.start()
    host.load_module(ROOT / "SegmentEditorRep3D" / "SegmentEditorRep3D.py")
    host.process_events(50)
    with tempfile.TemporaryDirectory() as folder:
        bench = make_bench(host, size, Path(folder))
        timed_rows = (time_structure(bench, value, repeats) for value in bench.answer.label_info)
        rows = [row for row in timed_rows if row is not None]
        fill = timed(bench.effect.fillAll)
    for row in rows:
        print(
            f"{row['structure']:28s} {row['voxels']:9d} voxels  click {row['click_s']:.3f} s  "
            f"threshold {row['threshold_s']:.3f} s  masked {row['masked_click_s']:.3f} s  undo {row['undo_s']:.3f} s"
        )
    slowest = {part: max(row[part] for row in rows) for part in ("click_s", "masked_click_s", "threshold_s")}
    ratios = {
        f"{BOUND_S} s bound over the slowest click": BOUND_S / slowest["click_s"],
        f"{BOUND_S} s bound over the slowest click with masking": BOUND_S / slowest["masked_click_s"],
        f"{BOUND_S} s bound over the slowest new threshold": BOUND_S / slowest["threshold_s"],
    }
    print(f"slowest click {slowest['click_s']:.3f} s (bound {BOUND_S} s), all structures filled in {fill:.2f} s")
    print_ratios(ratios)
    write_record(options.out, about, rows, ratios, size=list(size), fill_all_s=fill, slowest_click_s=slowest["click_s"])
    host.shut_down()


if __name__ == "__main__":
    main()
