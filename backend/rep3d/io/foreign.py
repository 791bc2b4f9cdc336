"""Formats that only ITK reads (TIFF, VTK, MINC ...), each file in a process of its own.

Their readers are native code that a malformed file can crash or hang; here that costs one scan, never the batch or
the worker.
"""

from __future__ import annotations

import json
import multiprocessing.spawn
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from rep3d.data.volume import Geometry, Volume
from rep3d.errors import BadInput, OutOfMemory, Rep3DError
from rep3d.io.stored import damaged

CHILD = "import sys; from rep3d.io.foreign import main; main(*sys.argv[1:])"
START_S, BYTES_A_SECOND = 60.0, 5e6  # of the process, and of the slowest disk


def read_foreign(path: Path) -> Volume:
    """Read one scalar 3D image by ITK in a child process.

    Raises:
        BadInput: not an image, not one 3D scalar image, no usable grid, or the reader crashed or hung.
        OutOfMemory: reading needs more memory than is free.
    """
    limit_s = START_S + path.stat().st_size / BYTES_A_SECOND
    with TemporaryDirectory(prefix="rep3d_read_", ignore_cleanup_errors=True) as folder:
        command = [multiprocessing.spawn.get_executable() or sys.executable, "-c", CHILD, str(path), folder]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        try:
            done = subprocess.run(
                command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=limit_s, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise damaged(path, f"its reader was stopped after {limit_s:.0f} seconds") from error
        answer_file = Path(folder, "answer.json")
        if done.returncode or not answer_file.is_file():
            raise damaged(path, f"its reader ended with {done.returncode}")
        answer = json.loads(answer_file.read_text(encoding="utf-8"))
        if "error" in answer:
            kind = OutOfMemory if answer["error"] == OutOfMemory.code else BadInput
            raise kind(answer["message"], answer["hint"])
        geometry = Geometry(*(tuple(answer[name]) for name in ("size", "spacing", "origin", "direction")))
        array = np.load(Path(folder, "voxels.npy"), allow_pickle=False)
    return Volume(array, geometry.affine_ras, geometry, path)


def main(path: str, folder: str) -> None:
    """Read ``path`` and leave the answer in ``folder``."""
    from rep3d.io.itk import read_by_itk

    try:
        volume = read_by_itk(Path(path))
        np.save(Path(folder, "voxels.npy"), volume.array)
        answer = asdict(volume.geometry)
    except Rep3DError as error:
        answer = {"error": error.code, "message": str(error), "hint": error.hint}
    Path(folder, "answer.json").write_text(json.dumps(answer), encoding="utf-8")
