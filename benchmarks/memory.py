"""Peak memory of a segmentation beside the network: a large CT, many classes, a network that costs nothing.

    python benchmarks/memory.py                       512 x 512 x 600 CT, 16 classes, 0.78 x 0.78 x 1 mm (AMOS's grid)
    python benchmarks/memory.py --spacing 1.5,1.5,2   the same at the network's own spacing: the largest network grid

The scan is written slice by slice, then read and segmented in a process of its own, whose peak resident memory is taken
before the run (interpreter, libraries, predictor) and after it. The bound to keep is 3 GB for the difference. Prints a
table and writes benchmarks/results/memory.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).parent / "results" / "memory.json"
BOUND_GB = 3.0


def write_scan(path: Path, size: tuple[int, int, int], spacing: tuple[float, float, float]) -> None:
    """A body (ellipse of soft tissue with blobs and noise) in air as raw NRRD int16, one slice in memory at a time."""
    header = (
        "NRRD0004\ntype: int16\ndimension: 3\nspace: left-posterior-superior\n"
        f"sizes: {size[0]} {size[1]} {size[2]}\n"
        f"space directions: ({spacing[0]},0,0) (0,{spacing[1]},0) (0,0,{spacing[2]})\n"
        "kinds: domain domain domain\nendian: little\nencoding: raw\nspace origin: (0,0,0)\n\n"
    )
    rng = np.random.default_rng(0)
    x, y = np.meshgrid(np.linspace(-1, 1, size[0]), np.linspace(-1, 1, size[1]), indexing="xy")
    with path.open("wb") as file:
        file.write(header.encode())
        for z in range(size[2]):
            body = (x / 0.95) ** 2 + (y / 0.9) ** 2 < 1
            blobs = 120 * np.sin(9 * x + z / 40) * np.cos(8 * y - z / 30)
            values = np.where(body, 40 + blobs, -1000) + rng.normal(0, 12, x.shape)
            file.write(values.astype("<i2").tobytes())


def child(path: str, classes: int, spacing_mm: list[float], patch: list[int], overlap: float) -> None:
    """Read and segment ``path``; print peak memory before and after in bytes as JSON."""
    from dataclasses import replace

    import torch
    from rep3d.data.reading import read_volume
    from rep3d.inference.pipeline import segment_volume
    from rep3d.tasks import load_task

    base = load_task("amos-ct")
    labels = tuple(replace(base.labels[0], value=i, key=f"s{i}", name=f"S{i}") for i in range(1, classes))
    task = replace(base, labels=labels)
    levels = torch.linspace(0, 1, classes).view(1, -1, 1, 1, 1)

    def network(x_BCDHW):
        return -((x_BCDHW - levels) ** 2)  # every class wins somewhere: no tile can leave all of them out

    with torch.inference_mode():
        network(torch.zeros(1, 1, *patch))  # what the predictor itself takes belongs to the model
    before = peak_bytes()
    start = time.perf_counter()
    result = segment_volume(
        read_volume(path),
        network,
        task,
        patch=tuple(patch),
        spacing_mm=tuple(spacing_mm),
        overlap=overlap,
        device="cpu",
    )
    print(
        json.dumps(
            {
                "before": before,
                "after": peak_bytes(),
                "seconds": time.perf_counter() - start,
                "timings_s": result.timings_s,
                "network_grid": result.settings["network_grid"],
                "classes_found": sum(s.voxels > 0 for s in result.stats),
            }
        )
    )


def peak_bytes() -> int:
    """Largest resident memory of this process so far."""
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset
    if sys.platform == "linux":  # of this program alone; ru_maxrss begins with that of the process that started it
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.split("VmHWM:")[1].split()[0]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def measure(
    size: tuple[int, int, int],
    spacing: tuple[float, float, float],
    classes: int,
    network_spacing: tuple[float, float, float] = (1.5, 1.5, 2.0),
    patch: tuple[int, int, int] = (96, 96, 96),
    overlap: float = 0.5,
) -> dict:
    """Segment a generated scan in a child process and return what it measured, with ``above_model`` in bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scan.nrrd"
        write_scan(path, size, spacing)
        arguments = {
            "path": str(path),
            "classes": classes,
            "spacing_mm": list(network_spacing),
            "patch": list(patch),
            "overlap": overlap,
        }
        command = [sys.executable, __file__, "--child", json.dumps(arguments)]
        done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    if done.returncode:
        raise RuntimeError(done.stderr)
    measured = json.loads(done.stdout.splitlines()[-1])
    return {**measured, "above_model": measured["after"] - measured["before"], "size": size, "classes": classes}


def numbers(text: str, kind: type) -> tuple:
    """Three comma-separated numbers."""
    values = tuple(kind(v) for v in text.split(","))
    if len(values) != 3:
        raise argparse.ArgumentTypeError(f"three numbers, not {text!r}")
    return values


def main() -> int:
    """Command line; exit code 1 if the bound was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--size", default="512,512,600", type=lambda t: numbers(t, int))
    parser.add_argument("--spacing", default="0.78,0.78,1", type=lambda t: numbers(t, float))
    parser.add_argument("--classes", default=16, type=int)
    options = parser.parse_args()
    if options.child:
        child(**json.loads(options.child))
        return 0
    row = measure(options.size, options.spacing, options.classes)
    gigabytes = row["above_model"] / 1e9
    naive = float(np.prod(options.size)) * options.classes * 4 / 1e9
    print(f"scan {options.size} at {options.spacing} mm, {options.classes} classes, network grid {row['network_grid']}")
    print(f"peak above the model   {gigabytes:6.2f} GB (bound {BOUND_GB} GB; classes x native voxels: {naive:.1f} GB)")
    for stage, seconds in row["timings_s"].items():
        print(f"{stage:22s} {seconds:6.1f} s")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({**row, "spacing": options.spacing}, indent=2) + "\n", encoding="utf-8", newline="\n")
    return int(gigabytes > BOUND_GB)


if __name__ == "__main__":
    sys.exit(main())
