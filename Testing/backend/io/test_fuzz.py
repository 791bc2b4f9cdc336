"""Files with headers and voxels that are nearly right: read or refused, and never another image from damaged voxels.

REP3D_FUZZ=4000 tries that many files instead of a few hundred.
"""

from __future__ import annotations

import gzip
import os
import random
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from rep3d.data.reading import read_labelmap, read_volume
from rep3d.errors import BadInput, OutOfMemory

COUNT = int(os.environ.get("REP3D_FUZZ", "0")) or 400
FORMATS = ("nii", "nii.gz", "hdr", "nrrd", "nhdr", "mha", "mhd", "gipl", "gipl.gz")
WORDS = (
    "9223372036854775807", "-1", "0", "NaN", "inf", "1e308", "x", "", "99999999999999999999999", "2147483648", "30000",
    "A" * 1100, "(1,0,0)", "none", "%d", "%s%n", "/dev/zero", "LIST", "LOCAL", "1 1", "gzip", "raw", "float", "\0",
    "MET_DOUBLE", "True", "domain", "list", '"cm"', "1 0 0", "\u00e9", "1_0", "\u0663",
)  # fmt: skip
BYTES = (b"\xff\xff", b"\0\0\x80\x7f", b"\0\0\xc0\x7f", b"\xff\xff\xff\x7f", b"\0\0\0\0", b"\0\0\0\x80", b"\xff" * 8)


def changed_text(header: bytes, rnd: random.Random) -> bytes:
    """Lines removed, repeated, in another order, with other values or other bytes."""
    lines = header.split(b"\n")
    for _ in range(rnd.choice((1, 1, 2, 3))):
        at, kind = rnd.randrange(len(lines)), rnd.randrange(6)
        words = lines[at].split(b" ")
        if kind == 0 and len(lines) > 1:
            del lines[at]
        elif kind == 1:
            lines.insert(at, rnd.choice(lines))
        elif kind == 2:
            lines[at] = b" ".join([words[0], *(rnd.choice(WORDS).encode() for _ in range(rnd.choice((1, 1, 3, 20))))])
        elif kind == 3:
            words[rnd.randrange(len(words))] = rnd.choice(WORDS).encode()
            lines[at] = b" ".join(words)
        elif kind == 4:
            rnd.shuffle(lines)
        else:
            lines[at] = rnd.randbytes(rnd.choice((3, 300)))
    return b"\n".join(lines)


def changed_bytes(data: bytes, rnd: random.Random) -> bytes:
    """Bits flipped, bytes replaced, cut out, put in or cut off."""
    at, kind = rnd.randrange(len(data)), rnd.randrange(5)
    if kind == 0:
        return data[:at] + bytes([data[at] ^ 1 << rnd.randrange(8)]) + data[at + 1 :]
    if kind == 1:
        new = rnd.choice(BYTES)
        return data[:at] + new + data[at + len(new) :]
    if kind == 2:
        return data[:at] + data[at + rnd.choice((1, 2, 50)) :]
    if kind == 3:
        return data[:at] + rnd.randbytes(rnd.choice((1, 3, 64))) + data[at:]
    return data[:at]


def changed(path: Path, packed: bool, rnd: random.Random) -> bool:
    """Change the file or the one beside it; whether only compressed voxels were changed."""
    others = [p for p in path.parent.iterdir() if p != path]
    if others and rnd.random() < 0.4:
        others[0].write_bytes(changed_bytes(others[0].read_bytes(), rnd))
        return packed and path.suffix != ".hdr"
    data = path.read_bytes()
    end = {".nrrd": data.find(b"\n\n") + 2, ".mha": data.find(b"LOCAL\n") + 6}.get(path.suffix, len(data))
    if path.suffix in (".nrrd", ".mha", ".nhdr", ".mhd"):
        if end < len(data) and rnd.random() < 0.4:
            path.write_bytes(data[:end] + changed_bytes(data[end:], rnd))
            return packed
        path.write_bytes(changed_text(data[:end].rstrip(b"\n"), rnd) + b"\n\n" + data[end:])
        return False
    if path.suffix == ".gz" and rnd.random() < 0.5:
        raw = gzip.decompress(data)
        path.write_bytes(gzip.compress(changed_bytes(raw[:348], rnd) + raw[348:]))
        return False
    if path.suffix == ".gz":
        path.write_bytes(changed_bytes(data, rnd))
        return True
    path.write_bytes(changed_bytes(data[:348], rnd) + data[348:])
    return False


@pytest.mark.timeout(60 + COUNT / 10)  # a file that hangs its reader
@pytest.mark.parametrize("suffix", FORMATS)
def test_nearly_right_files(tmp_path, suffix):
    rnd = random.Random(suffix)
    array = np.random.default_rng(0).integers(0, 9, (7, 8, 9)).astype(np.int16)
    for i in range(COUNT // len(FORMATS)):
        packed = suffix.endswith("gz") or i % 2 == 1
        folder = tmp_path / str(i)
        folder.mkdir()
        path = folder / f"a.{suffix}"
        sitk.WriteImage(sitk.GetImageFromArray(array.transpose(2, 1, 0)), str(path), useCompression=packed)
        only_voxels = changed(path, packed, rnd)
        for read in (read_volume, read_labelmap):
            try:
                volume = read(path)
            except (BadInput, OutOfMemory):
                continue
            if only_voxels:
                np.testing.assert_array_equal(volume.array, array, str(path))
