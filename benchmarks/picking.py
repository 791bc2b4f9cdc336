"""How long a click takes once an abdominal volume is prepared: probabilities to the mask on the editor's grid.

No network runs here: the probabilities are those of a generated abdomen's own label map with soft edges, so that the
structures have the size and shape that they have in a scan. Prints a table and writes results/picking.json. Needs
``slicer-core`` (``pip install -e 'backend[slicer]'``).

    python benchmarks/picking.py [--size 512,512,300] [--repeats 3]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from machine import machine
from scipy import ndimage

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "Rep3DSegmentation"), str(ROOT / "Testing")]
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


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", default="512,512,300")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/picking.json")
    options = parser.parse_args()
    from rep3d.probability_map import ProbabilityMap
    from rep3d.tasks import load_task
    from Rep3DSegmentationLib.click.modifier import to_modifier
    from Rep3DSegmentationLib.click.picking import PreparedVolume
    from slicerhost.boot import boot, publish

    publish(boot())
    import slicer

    size = tuple(int(n) for n in options.size.split(","))
    labels, spacing = abdomen(size)
    info = [label.to_dict() for label in load_task("phantom-abdomen").labels]
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    image = slicer.vtkOrientedImageData()
    image.SetDimensions(*size)
    image.AllocateScalars(4, 1)
    volume.SetAndObserveImageData(image)
    volume.SetSpacing(*spacing)
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    reference = slicer.vtkOrientedImageData()
    reference.SetDimensions(*size)
    reference.SetImageToWorldMatrix(slicer.util.vtkMatrixFromArray(np.diag([*spacing, 1.0])))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "p.bin"
        stored = write_probabilities(path, labels)
        for label in info:
            inside = np.argwhere(labels == label["value"])
            if not len(inside):
                continue
            voxel = tuple(int(v) for v in inside[len(inside) // 2])
            times = []
            for _ in range(options.repeats):  # a fresh reader each time: the first click on a structure
                prepared = PreparedVolume(ProbabilityMap(path), info, np.diag(spacing))
                start = time.perf_counter()
                to_modifier(prepared.pick(voxel), volume, segmentation, reference)
                first = time.perf_counter() - start
                start = time.perf_counter()
                pick = prepared.pick(voxel, threshold=0.4)
                to_modifier(pick, volume, segmentation, reference)
                again = time.perf_counter() - start
                start = time.perf_counter()
                prepared.hit(voxel)
                times.append((first, again, time.perf_counter() - start))
            best = np.min(times, axis=0)
            rows.append({"structure": label["name"], "voxels": pick.voxels, "click_s": best[0], "threshold_s": best[1],
                         "hover_s": best[2]})  # fmt: skip
            print(f"{label['name']:28s} {pick.voxels:10d} voxels  click {best[0]:.3f} s  new threshold {best[1]:.3f} s")
    record = {
        "machine": machine(),
        "size": list(size),
        "stored_bytes": stored,
        "structures": rows,
        "slowest_click_s": max(row["click_s"] for row in rows),
    }
    options.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"{stored / 2**20:.1f} MiB of probabilities, slowest click {record['slowest_click_s']:.3f} s")


if __name__ == "__main__":
    main()
