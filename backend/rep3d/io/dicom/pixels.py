"""Stored pixels to real-world values: decode frame by frame, each with its own slope and intercept."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import apply_modality_lut, get_decoder, iter_pixels
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from rep3d.errors import BadInput, OutOfMemory
from rep3d.io.dicom.frames import Frame
from rep3d.io.dicom.headers import PICTURE, PIXELS, Unusable, lenient, open_bounded, read_dataset, short, value, whole

_DECODING = [
    tag_for_keyword(k) for k in f"{PICTURE} PlanarConfiguration ExtendedOffsetTable ExtendedOffsetTableLengths".split()
]
_EXPORT_AGAIN = "Copy or export it again."


def read_values(frames: Sequence[Frame], path: Path) -> np.ndarray:
    """The real-world values of ``frames`` [X, Y, Z]: whole numbers, or float32 where a slope or an offset is none.

    Raises:
        BadInput: pixels that cannot be decoded; says which file, and which decoder is missing.
        OutOfMemory: the volume does not fit.
    """
    dtype = _result_type(frames)
    columns, rows = frames[0].size
    check_memory(path, (columns, rows, len(frames)), dtype)
    out = np.empty((len(frames), rows, columns), dtype)
    by_file: dict[Path, list[int]] = {}
    for k, frame in enumerate(frames):
        by_file.setdefault(frame.header.path, []).append(k)
    for file, places in by_file.items():
        try:
            with lenient():
                for k, stored in zip(places, _stored(file, [frames[k].index for k in places]), strict=True):
                    _to_values(frames[k], stored, out[k])
        except Unusable as error:
            raise BadInput(f"{file}: {error}.", _EXPORT_AGAIN) from error
    return out.transpose(2, 1, 0)


def read_frame(frame: Frame) -> np.ndarray:
    """The real-world values of one frame [rows, columns]; Unusable if they cannot be decoded."""
    (stored,) = _stored(frame.header.path, [frame.index])
    out = np.empty(stored.shape, _result_type([frame]))
    _to_values(frame, stored, out)
    return out


def check_memory(path: Path, size: tuple[int, int, int], dtype: np.dtype) -> None:
    """Refuse before the first voxel is decoded what does not fit: the volume, and as much again to work with."""
    import psutil

    need = 2 * np.dtype(dtype).itemsize * int(np.prod(size, dtype=np.int64))
    free = psutil.virtual_memory().available
    if need > free:
        raise OutOfMemory(
            f"{path}: reading {' x '.join(map(str, size))} voxels needs {need / 2**30:.1f} GiB of memory, "
            f"{free / 2**30:.1f} GiB are free.",
            "Crop or downsample the image first, or use a machine with more memory.",
        )


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
        out[...] = apply_modality_lut(stored, dataset)
    elif out.dtype.kind == "f":
        out[...] = stored.astype(np.float64) * frame.slope + frame.intercept
    else:
        exact = {"out": out, "dtype": np.int64, "casting": "unsafe"}  # the result fits, _result_type has seen to it
        if frame.slope != 1:
            stored = np.multiply(stored, int(frame.slope), dtype=np.int64)
        np.add(stored, int(frame.intercept), **exact)


def _stored(file: Path, indices: list[int]) -> Iterator[np.ndarray]:
    """The stored values of some frames of a file, signed and extended as the header says [rows, columns]."""
    with open_bounded(file) as opened:
        dataset = read_dataset(opened, specific_tags=[*_DECODING, *PIXELS])
    syntax = _syntax(dataset)
    try:
        decoder = get_decoder(syntax)
        available = decoder.is_available
    except NotImplementedError:
        available = False
    if not available:
        raise BadInput(
            f"{file}: its pixels are compressed as {syntax.name}, and no decoder for that is installed.",
            "Decompress the files first (dcmdjpeg or gdcmconv --raw), or install a decoder: "
            "https://pydicom.github.io/pydicom/stable/guides/plugin_table.html lists them.",
        )
    if syntax.is_encapsulated and syntax != RLELossless:
        _check_streams(dataset, indices)
    try:
        yield from iter_pixels(dataset, indices=indices, raw=True)
    except Exception as error:  # whatever a damaged stream makes the decoder raise
        raise Unusable(f"its pixels cannot be decoded ({type(error).__name__}: {short(error)})") from error


def _syntax(dataset: Dataset) -> UID:
    """The transfer syntax; a file without meta information shows its own by the way it is written."""
    stated = getattr(dataset, "file_meta", FileMetaDataset()).get("TransferSyntaxUID")
    if stated and not UID(stated).is_private and UID(stated).is_transfer_syntax:
        return UID(stated)
    implicit, little = dataset.original_encoding
    element = dataset.get_item("PixelData")
    if element is not None and getattr(element, "is_undefined_length", False):
        raise Unusable("its pixels are compressed, and nothing says how (TransferSyntaxUID)")
    syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    if not hasattr(dataset, "file_meta"):
        dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    return syntax


def _check_streams(dataset: Dataset, indices: list[int]) -> None:
    """Unusable if a compressed picture claims another size than the header: a decoder would make room for it."""
    from pydicom.encaps import get_frame

    size = whole(dataset, "Rows"), whole(dataset, "Columns")
    count = whole(dataset, "NumberOfFrames") or 1
    for index in indices:
        try:
            stream = get_frame(dataset.PixelData, index, number_of_frames=count)
        except Exception as error:  # whatever damaged tables of offsets make the library raise
            raise Unusable(f"frame {index + 1} cannot be found ({short(error)})") from error
        found = stream_size(stream)
        if found != size:
            shown = "no size" if found is None else f"{found[1]} x {found[0]} pixels"
            raise Unusable(f"the compressed picture {index + 1} has {shown}, the header {size[1]} x {size[0]}")


def stream_size(stream: bytes) -> tuple[int, int] | None:
    """Rows and columns that a JPEG, JPEG-LS or JPEG 2000 stream states; None if it states none."""
    if stream[:4] == b"\xff\x4f\xff\x51" and len(stream) >= 24:  # JPEG 2000: SIZ follows at once
        right, bottom, left, top = struct.unpack(">4L", stream[8:24])
        return bottom - top, right - left
    place = 2
    while stream[:2] == b"\xff\xd8" and place + 9 <= len(stream) and stream[place] == 0xFF:
        marker, length = stream[place + 1], int.from_bytes(stream[place + 2 : place + 4], "big")
        if marker == 0xFF:  # fill bytes
            place += 1
        elif marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):  # a frame header
            return struct.unpack(">HH", stream[place + 5 : place + 9])
        else:
            place += 2 + length
    return None
