"""Stored pixels to real-world values: each frame by its own slope and intercept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

try:
    from pydicom.pixels import apply_modality_lut
except ImportError:  # pydicom 2
    from pydicom.pixel_data_handlers import apply_modality_lut

from rep3d.errors import BadInput
from rep3d.io.dicom.decoding import stored_frames
from rep3d.io.dicom.frames import Frame
from rep3d.io.dicom.headers import Unusable, lenient, short, value, whole
from rep3d.io.dicom.itk_streams import Stream, decode
from rep3d.io.stored import check_memory

_EXPORT_AGAIN = "Copy or export it again."


def read_values(frames: Sequence[Frame], path: Path) -> np.ndarray:
    """The real-world values of ``frames`` [X, Y, Z]: whole numbers, or float32 where a slope or an offset is none.

    Raises:
        BadInput: pixels that cannot be decoded; says which file, and which decoder is missing.
        OutOfMemory: the volume does not fit.
    """
    dtype = _result_type(frames)
    columns, rows = frames[0].size
    size = (columns, rows, len(frames))
    check_memory(path, 2 * dtype.itemsize * math.prod(size), size)  # the volume, and as much again to work with
    out = np.empty((len(frames), rows, columns), dtype)
    by_file: dict[Path, list[int]] = {}
    for k, frame in enumerate(frames):
        by_file.setdefault(frame.header.path, []).append(k)
    streams: list[tuple[int, Stream]] = []
    for file, places in by_file.items():
        try:
            with lenient():
                for k, stored in zip(places, stored_frames(file, [frames[k].index for k in places]), strict=True):
                    if isinstance(stored, Stream):
                        streams.append((k, stored))
                    else:
                        _to_values(frames[k], stored, out[k])
        except Unusable as error:
            raise BadInput(f"{file}: {error}.", _EXPORT_AGAIN) from error
    if streams:
        _decode(frames, streams, out)
    return out.transpose(2, 1, 0)


def _decode(frames: Sequence[Frame], streams: list[tuple[int, Stream]], out: np.ndarray) -> None:
    """Decode what is left to ITK, all together."""
    k = 0
    try:
        decoded = decode([stream for _, stream in streams])
        for (k, _), stored in zip(streams, decoded, strict=True):
            _to_values(frames[k], stored, out[k])
    except Unusable as error:
        k = streams[error.args[1]][0] if len(error.args) > 1 else k
        raise BadInput(f"{frames[k].header.path}: {error.args[0]}.", _EXPORT_AGAIN) from error


def _result_type(frames: Sequence[Frame]) -> np.dtype:
    """The smallest type that holds every value the frames could have."""
    low, high = 0.0, 0.0
    for frame in frames:
        dataset = frame.header.dataset
        if frame.header.keyword != "PixelData":
            return np.dtype(np.float64 if frame.header.keyword.startswith("Double") else np.float32)
        if value(dataset, "ModalityLUTSequence") is not None:
            return np.dtype(np.float32)
        if not (frame.slope.is_integer() and frame.intercept.is_integer()):
            return np.dtype(np.float32)
        bits = whole(dataset, "BitsStored") or whole(dataset, "BitsAllocated")
        ends = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if whole(dataset, "PixelRepresentation") else (0, 2**bits - 1)
        values = [end * frame.slope + frame.intercept for end in ends]
        low, high = min(low, *values), max(high, *values)
    for kind in (np.uint8, np.int16, np.uint16, np.int32, np.int64):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return np.dtype(kind)
    return np.dtype(np.float64)


def _to_values(frame: Frame, stored: np.ndarray, out: np.ndarray) -> None:
    """Write slope x stored + intercept to ``out``, exact for whole numbers and once rounded for others."""
    if stored.shape != out.shape:
        raise Unusable(f"{frame.name} holds {stored.shape[-1]} x {stored.shape[0]} pixels, not what its header says")
    dataset = frame.header.dataset
    if value(dataset, "ModalityLUTSequence") is not None:
        try:
            out[...] = apply_modality_lut(stored, dataset)
        except Exception as error:  # whatever a damaged table makes the library raise
            raise Unusable(f"its ModalityLUTSequence cannot be used ({short(error)})") from error
    elif out.dtype.kind == "f":
        out[...] = stored.astype(np.float64) * frame.slope + frame.intercept
    else:
        exact = {"out": out, "dtype": np.int64, "casting": "unsafe"}  # the result fits, _result_type has seen to it
        if frame.slope != 1:
            stored = np.multiply(stored, int(frame.slope), dtype=np.int64)
        np.add(stored, int(frame.intercept), **exact)
