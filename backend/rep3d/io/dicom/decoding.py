"""Decode the stored values of frames: plain ones here, compressed ones with pydicom's decoders, or else with ITK's.

Works with pydicom 2.4, which 3D Slicer 5.10 brings: its compressed frames all go to ITK.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
from pydicom import encaps
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGExtended12Bit,
    RLELossless,
)

from rep3d.errors import BadInput
from rep3d.io.dicom.headers import PICTURE, PIXELS, Unusable, encoding, open_bounded, read_dataset, short, whole
from rep3d.io.dicom.itk_streams import Stream

_VERSION = int(pydicom.__version__.partition(".")[0])
_DECODING = [
    tag_for_keyword(k) for k in f"{PICTURE} PlanarConfiguration ExtendedOffsetTable ExtendedOffsetTableLengths".split()
]
_PLAIN = {ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian}
_ITK_DECODES = {RLELossless, *(UID(f"1.2.840.10008.1.2.4.{n}") for n in (50, 51, 57, 70, 80, 81, 90, 91))}  # JPEG ...


def stored_frames(file: Path, indices: list[int]) -> Iterator[np.ndarray | Stream]:
    """The stored values of some frames of a file, signed and extended as the header says [rows, columns].

    A frame that ITK has to decode comes as its stream, so that those of many files are decoded together.
    """
    with open_bounded(file) as opened:
        dataset = read_dataset(opened, specific_tags=[*_DECODING, *PIXELS])
    syntax = _syntax(dataset)
    if syntax in _PLAIN:
        yield from _plain(dataset, indices)
    elif _pydicom_decodes(syntax, dataset):
        from pydicom.pixels import iter_pixels

        for _ in _streams(dataset, syntax, indices):
            pass  # each is checked before a decoder sees it
        try:
            yield from iter_pixels(dataset, indices=indices, raw=True)
        except Exception as error:  # whatever a damaged stream makes the decoder raise
            raise Unusable(f"its pixels cannot be decoded ({type(error).__name__}: {short(error)})") from error
    elif syntax in _ITK_DECODES:
        rows, columns, bits, stored = (whole(dataset, k) for k in ("Rows", "Columns", "BitsAllocated", "BitsStored"))
        signed = whole(dataset, "PixelRepresentation") == 1
        for data in _streams(dataset, syntax, indices):
            yield Stream(data, str(syntax), rows, columns, bits, stored or bits, signed)
    else:
        raise BadInput(
            f"{file}: its pixels are compressed as {syntax.name}, and no decoder for that is installed.",
            "Decompress the files first (dcmdjpeg, gdcmconv --raw or the archive's export), or install a decoder: "
            "pip install 'pylibjpeg[all]'.",
        )


def _syntax(dataset: Dataset) -> UID:
    """The transfer syntax; a file without meta information shows its own by the way it is written."""
    stated = UID(getattr(dataset, "file_meta", FileMetaDataset()).get("TransferSyntaxUID") or "")
    if not stated.is_private and stated.is_transfer_syntax and stated not in _PLAIN:
        return stated
    element = next((dataset.get_item(keyword) for keyword in PIXELS.values() if keyword in dataset), None)
    if element is None or getattr(element, "length", 0) == 0xFFFFFFFF or getattr(element, "is_undefined_length", False):
        raise Unusable("its pixels are compressed, and nothing says how (TransferSyntaxUID)")
    implicit, little = encoding(dataset)
    return ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian


def _plain(dataset: Dataset, indices: list[int]) -> Iterator[np.ndarray]:
    """Frames that are not compressed. Bits that are not stored are no part of a value."""
    keyword = next(k for k in PIXELS.values() if k in dataset)
    bits, little = whole(dataset, "BitsAllocated"), encoding(dataset)[1]
    stored = whole(dataset, "BitsStored") or bits
    kind = "f" if keyword != "PixelData" else "i" if whole(dataset, "PixelRepresentation") else "u"
    dtype = np.dtype(f"{'<' if little else '>'}{kind}{bits // 8}")
    shape = whole(dataset, "Rows"), whole(dataset, "Columns")
    data = dataset[keyword].value
    if not little and bits == 8 and dataset[keyword].VR == "OW":
        data = np.frombuffer(data, ">u2").astype("<u2").tobytes()  # two values in one word
    for index in indices:
        count = shape[0] * shape[1]
        frame = np.frombuffer(data, dtype, count, index * count * dtype.itemsize).reshape(shape)
        if kind != "f" and stored < bits:
            frame = frame.astype(dtype.newbyteorder("=")) << (bits - stored) >> (bits - stored)
        yield frame


def _pydicom_decodes(syntax: UID, dataset: Dataset) -> bool:
    """Whether pydicom has a decoder here."""
    if _VERSION < 3 or (syntax == JPEGExtended12Bit and (whole(dataset, "BitsStored") or 0) > 8):
        return False  # for the latter Pillow offers itself, and knows 8 bits alone
    from pydicom.pixels import get_decoder

    try:
        return get_decoder(syntax).is_available
    except NotImplementedError:
        return False


def _streams(dataset: Dataset, syntax: UID, indices: list[int]) -> Iterator[bytes]:
    """The compressed streams of some frames, in the order of ``indices``.

    Raises:
        Unusable: a stream is not there, or claims another size than the header: a decoder would make room for it.
    """
    size, count = (whole(dataset, "Rows"), whole(dataset, "Columns")), whole(dataset, "NumberOfFrames") or 1
    try:
        if _VERSION >= 3:
            streams = list(encaps.generate_frames(dataset.PixelData, number_of_frames=count))
        else:
            streams = [b"".join(f) for f in encaps.generate_pixel_data(dataset.PixelData, count)]
    except Exception as error:  # whatever damaged tables of offsets make the library raise
        raise Unusable(f"its compressed frames cannot be found ({short(error)})") from error
    for index in indices:
        if index >= len(streams):
            raise Unusable(f"its compressed frame {index + 1} is missing")
        found = size if syntax == RLELossless else stream_size(streams[index])
        if found != size:
            shown = "no size" if found is None else f"{found[1]} x {found[0]} pixels"
            raise Unusable(f"the compressed picture {index + 1} has {shown}, the header {size[1]} x {size[0]}")
        yield streams[index]


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
