"""Let ITK decode compressed frames that pydicom has no decoder for, and nothing else, in a process of its own.

ITK's decoders are native code that a damaged stream can crash, and some fill what is missing with a word on the error
output alone: here the first costs one scan, and the second is an error.
"""

from __future__ import annotations

import multiprocessing.spawn
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from rep3d.io.dicom.headers import Unusable

CHILD = "import sys; from rep3d.io.dicom.itk_streams import main; main(*sys.argv[1:])"
START_S, FRAME_S = 60.0, 2.0
_DAMAGE = re.compile(r"corrupt|premature|extraneous|unsupported marker|invalid", re.IGNORECASE)


@dataclass(frozen=True)
class Stream:
    """One compressed frame: its bytes, how they are coded, and what its header says of the picture."""

    data: bytes
    syntax: str
    rows: int
    columns: int
    bits: int
    stored: int
    signed: bool


def decode(streams: Sequence[Stream]) -> list[np.ndarray]:
    """The stored values of every frame [rows, columns].

    Raises:
        Unusable: a stream is damaged; ``args[1]`` is its number.
    """
    with TemporaryDirectory(prefix="rep3d_decode_", ignore_cleanup_errors=True) as folder:
        for number, stream in enumerate(streams):
            _write(Path(folder, f"{number}.dcm"), stream)
        command = [multiprocessing.spawn.get_executable() or sys.executable, "-c", CHILD, folder, str(len(streams))]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        limit_s = START_S + FRAME_S * len(streams)
        try:
            done = subprocess.run(
                command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=limit_s, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise Unusable(f"its decoder was stopped after {limit_s:.0f} seconds", 0) from error
        at = 0
        for line in done.stderr.decode("utf-8", "replace").splitlines():
            if line.startswith("frame "):
                at = int(line.split()[1])
            elif _DAMAGE.search(line):
                raise Unusable(f"its compressed pixels are damaged ({line.strip()})", at)
        if done.returncode:
            raise Unusable(f"its compressed pixels cannot be decoded (the decoder ended with {done.returncode})", at)
        return [np.load(Path(folder, f"{number}.npy"), allow_pickle=False) for number in range(len(streams))]


def _write(path: Path, stream: Stream) -> None:
    """A file of one frame that states no rescale and no place."""
    import pydicom
    from pydicom.encaps import encapsulate
    from pydicom.uid import SecondaryCaptureImageStorage, generate_uid

    new = int(pydicom.__version__.partition(".")[0]) >= 3
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = stream.syntax
    dataset.SOPClassUID, dataset.SOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = stream.rows, stream.columns, 1
    dataset.PhotometricInterpretation, dataset.PixelRepresentation = "MONOCHROME2", int(stream.signed)
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = stream.bits, stream.stored, stream.stored - 1
    dataset.PixelData = encapsulate([stream.data])
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    if not new:
        dataset.is_implicit_VR, dataset.is_little_endian = False, True
    dataset.save_as(path, **({"enforce_file_format": True} if new else {"write_like_original": False}))


def main(folder: str, count: str) -> None:
    """Decode the files in ``folder`` one after the other, in the child process."""
    import SimpleITK as sitk

    for number in range(int(count)):
        print(f"frame {number}", file=sys.stderr, flush=True)
        image = sitk.ReadImage(str(Path(folder, f"{number}.dcm")), imageIO="GDCMImageIO")
        np.save(Path(folder, f"{number}.npy"), sitk.GetArrayFromImage(image)[0])
