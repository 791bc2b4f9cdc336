"""Read the header of one DICOM file, whatever it holds: within its own size, without its pixels."""

from __future__ import annotations

import io
import math
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import pydicom
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.uid import UID

from rep3d.io.dicom.detect import is_dicom
from rep3d.io.dicom.series import NOT_IMAGES

PIXELS = {0x7FE00010: "PixelData", 0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData"}
DEFLATED, EXPLICIT = b"1.2.840.10008.1.2.1.99", b"1.2.840.10008.1.2.1"  # transfer syntaxes
MOST_FRAMES = 100_000  # of one file; a list of more is no header that a scanner wrote
INFLATED_RATIO, INFLATED_FREE = 200, 1 << 26  # a deflated file may grow so many times once it is this large

WHAT = "SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID Modality SeriesDescription ImageType"
PICTURE = (
    "Rows Columns NumberOfFrames SamplesPerPixel PhotometricInterpretation BitsAllocated BitsStored HighBit "
    "PixelRepresentation RescaleSlope RescaleIntercept RescaleType ModalityLUTSequence"
)
PLACE = (
    "ImagePositionPatient ImageOrientationPatient PixelSpacing ImagerPixelSpacing NominalScannedPixelSpacing "
    "SliceThickness SpacingBetweenSlices FrameOfReferenceUID FrameIncrementPointer SliceVector "
    "DetectorInformationSequence SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence"
)
WHICH = (
    "InstanceNumber AcquisitionNumber TemporalPositionIdentifier EchoNumbers EchoTime DiffusionBValue "
    "DiffusionGradientOrientation TriggerTime NominalPercentageOfCardiacPhase InversionTime FlipAngle KVP "
    "ConvolutionKernel FrameReferenceTime AcquisitionDateTime AcquisitionDate AcquisitionTime ContentTime "
    "EnergyWindowVector DetectorVector PhaseVector RotationVector RRIntervalVector TimeSlotVector "
    "AngularViewVector TimeSliceVector"
)
DOSE = "Units CorrectedImage DecayCorrection PatientWeight SeriesDate SeriesTime RadiopharmaceuticalInformationSequence"
TAGS = [tag_for_keyword(keyword) for text in (WHAT, PICTURE, PLACE, WHICH, DOSE) for keyword in text.split()]


class Unusable(Exception):
    """Why a file or a frame cannot be part of a volume."""


@dataclass(frozen=True)
class Header:
    """What a file says of its frames. ``problem`` is why its pixels cannot be used, "" if they can."""

    path: Path
    dataset: Dataset = field(repr=False)
    series_uid: str
    modality: str
    is_image: bool
    problem: str = ""
    keyword: str = "PixelData"  # of the element that holds the pixels

    @property
    def frames(self) -> int:
        """How many frames the file says it has."""
        return whole(self.dataset, "NumberOfFrames") or 1


class BoundedFile(io.BufferedReader):
    """A file that never makes room for more bytes than it has, whatever length an element claims."""

    def __init__(self, path: Path):
        super().__init__(io.FileIO(path))
        self.size = path.stat().st_size

    def read(self, size: int | None = -1) -> bytes:
        """At most ``size`` bytes, and at most what is left."""
        if size is not None and size > 4096:
            size = min(size, max(0, self.size - self.tell()))
        return super().read(size)


def open_bounded(path: Path) -> BinaryIO:
    """Open a DICOM file for pydicom; a deflated one is inflated, as long as it grows to no more than a scan can hold.

    Raises:
        Unusable: a deflated file that is damaged or grows without end.
    """
    file = BoundedFile(path)
    start = file.read(1024)
    file.seek(0)
    if start[128:132] != b"DICM" or DEFLATED not in start:
        return file
    with file:
        end = 144 + int.from_bytes(start[140:144], "little")  # of the file meta information, by its group length
        meta = file.read(end).replace(DEFLATED, EXPLICIT.ljust(len(DEFLATED), b"\0"))
        inflater, parts, grown = zlib.decompressobj(-zlib.MAX_WBITS), [meta], 0
        pending = file.read(1 << 16)
        try:
            while pending and not inflater.eof:
                parts.append(inflater.decompress(pending, 1 << 20))
                grown += len(parts[-1])
                if grown > INFLATED_FREE and grown > INFLATED_RATIO * file.size:
                    raise Unusable("deflated, and inflates to more than a scan can hold")
                pending = inflater.unconsumed_tail or file.read(1 << 16)
        except zlib.error as error:
            raise Unusable(f"the file is damaged ({error})") from error
    return io.BytesIO(b"".join(parts))


@contextmanager
def lenient() -> Iterator[None]:
    """Let pydicom read odd values without a word: what is needed of them is checked here."""
    before = pydicom.config.settings.reading_validation_mode
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        pydicom.config.settings.reading_validation_mode = before


def read_header(path: Path) -> Header:
    """The header of one DICOM file; its ``problem`` says what is wrong with its pixels.

    Raises:
        Unusable: the file is empty, no DICOM, or too damaged to say which series it belongs to.
    """
    if path.stat().st_size == 0:
        raise Unusable("the file is empty")
    if not is_dicom(path):
        raise Unusable("not a DICOM file")
    with lenient(), open_bounded(path) as file:
        dataset = read_dataset(file, stop_before_pixels=True, specific_tags=TAGS)
        uid = text(dataset, "SeriesInstanceUID")
        if not uid:
            raise Unusable("damaged or cut: the file does not say which series it belongs to")
        modality, problem, keyword = text(dataset, "Modality"), "", ""
        is_image = modality not in NOT_IMAGES and _may_be_image(text(dataset, "SOPClassUID"))
        if is_image:
            try:
                _check_picture(dataset)
                keyword = _check_pixels(dataset, file)
            except Unusable as error:
                problem = str(error)
    return Header(path, dataset, uid, modality, is_image, problem, keyword)


def read_dataset(file: BinaryIO, **options: Any) -> Dataset:
    """pydicom's data set of an opened file.

    Raises:
        Unusable: the file is so damaged that no data set comes out of it.
    """
    try:
        return pydicom.dcmread(file, force=True, **options)
    except Exception as error:  # whatever a damaged file makes the library raise
        raise Unusable(f"the file is damaged ({type(error).__name__}: {short(error)})") from error


def encoding(dataset: Dataset) -> tuple[bool, bool]:
    """Whether the data set was read as implicit VR, and as little-endian."""
    if hasattr(dataset, "original_encoding"):
        return dataset.original_encoding
    return dataset.is_implicit_VR, dataset.is_little_endian  # pydicom 2


def _may_be_image(sop_class: str) -> bool:
    name = UID(sop_class).name
    return name == sop_class or "Image" in name  # private classes have no name


def _check_picture(dataset: Dataset) -> None:
    """One grey value a pixel, in a form that can be read, else Unusable."""
    for keyword in ("Rows", "Columns"):
        size = whole(dataset, keyword)
        if size is None:
            raise Unusable(f"damaged or cut: {keyword} is missing")
        if not 1 <= size <= 65535:
            raise Unusable(f"{keyword} is {size}")
    samples = whole(dataset, "SamplesPerPixel") or 1
    photometric = text(dataset, "PhotometricInterpretation")
    if samples != 1 or photometric not in ("MONOCHROME1", "MONOCHROME2", ""):
        raise Unusable(f"a colour image ({photometric}, {samples} values a pixel); one grey value a voxel is needed")
    frames = whole(dataset, "NumberOfFrames")
    if frames is not None and not 1 <= frames <= MOST_FRAMES:
        raise Unusable(f"NumberOfFrames is {frames}")
    bits, stored, high = (whole(dataset, k) for k in ("BitsAllocated", "BitsStored", "HighBit"))
    stored = bits if stored is None else stored
    if bits not in (8, 16, 32, 64) or not 1 <= stored <= bits:
        raise Unusable(f"BitsAllocated {bits} with BitsStored {stored} cannot be read")
    if high not in (None, stored - 1):
        raise Unusable(f"HighBit {high} contradicts BitsStored {stored}")
    if whole(dataset, "PixelRepresentation") not in (0, 1, None):
        raise Unusable("PixelRepresentation is neither 0 nor 1")


def _check_pixels(dataset: Dataset, file: BinaryIO) -> str:
    """The keyword of the pixels; Unusable if the file ends before they do. ``file`` stands where the header ended."""
    implicit, little = encoding(dataset)
    order, start = "<" if little else ">", file.read(12)
    if len(start) < 12:
        raise Unusable("cut: the file ends before its pixels")
    group, element = struct.unpack(f"{order}HH", start[:4])
    keyword = PIXELS.get(group << 16 | element)
    if keyword is None:
        raise Unusable("damaged: no pixels follow the header")
    length = struct.unpack(f"{order}L", start[4:8] if implicit else start[8:12])[0]
    begin = file.tell() - (4 if implicit else 0)
    left = file.seek(0, io.SEEK_END) - begin
    frames = whole(dataset, "NumberOfFrames") or 1
    if length == 0xFFFFFFFF:
        file.seek(begin)
        _check_fragments(file, left, frames)
        return keyword
    need = whole(dataset, "Rows") * whole(dataset, "Columns") * frames * whole(dataset, "BitsAllocated") // 8
    if left < min(need, length):
        raise Unusable(f"cut: {left} of {need} bytes of pixels")
    if length < need:
        raise Unusable(f"damaged: {length} bytes of pixels where Rows, Columns and NumberOfFrames need {need}")
    return keyword


def _check_fragments(file: BinaryIO, left: int, frames: int) -> None:
    """Walk over the items of compressed pixels: all there, at least one for every frame."""
    count = -1  # the first item is the table of offsets
    while left >= 8:
        tag, length = struct.unpack("<LL", file.read(8))
        left -= 8
        if tag == 0xE0DDFFFE:
            if count < frames:
                raise Unusable(f"damaged: {count} compressed frames of {frames}")
            return
        if tag != 0xE000FFFE or length > left:
            break
        file.seek(length, io.SEEK_CUR)
        left -= length
        count += 1
    raise Unusable("cut: the compressed pixels do not end")


def value(dataset: Dataset, keyword: str) -> Any:
    """The value of an element, None if it is absent or empty; Unusable if it cannot be understood."""
    try:
        found = dataset.get(keyword)
    except Exception as error:  # whatever odd bytes make the library raise
        raise Unusable(f"damaged: {keyword} cannot be read ({short(error)})") from error
    return None if found is None or (hasattr(found, "__len__") and len(found) == 0) else found


def text(dataset: Dataset, keyword: str) -> str:
    """The value as text, several with backslashes between; "" if it is absent."""
    found = value(dataset, keyword)
    if found is None:
        return ""
    parts = found if isinstance(found, (list, tuple, MultiValue)) else [found]
    return "\\".join(str(part).strip("\0 ") for part in parts)


def numbers(dataset: Dataset, keyword: str, count: int = 0) -> tuple[float, ...] | None:
    """The value as ``count`` finite numbers (0: any count), None if it is absent.

    Raises:
        Unusable: other than so many finite numbers.
    """
    found = value(dataset, keyword)
    if found is None:
        return None
    try:
        parts = tuple(float(v) for v in (found if isinstance(found, (list, tuple, MultiValue)) else [found]))
    except (TypeError, ValueError, OverflowError):
        parts = ()
    if not parts or (count and len(parts) != count) or not all(math.isfinite(v) for v in parts):
        raise Unusable(f"damaged: {keyword} is {short(found)}")
    return parts


def number(dataset: Dataset, keyword: str) -> float | None:
    """The value as one finite number, None if it is absent."""
    found = numbers(dataset, keyword, 1)
    return None if found is None else found[0]


def whole(dataset: Dataset, keyword: str) -> int | None:
    """The value as a whole number, None if it is absent."""
    found = number(dataset, keyword)
    return None if found is None else int(found)


def item(dataset: Dataset | None, keyword: str) -> Dataset | None:
    """The first item of a sequence, None if there is none."""
    found = None if dataset is None else value(dataset, keyword)
    if found is None:
        return None
    if not isinstance(found, Sequence) or not isinstance(found[0], Dataset):
        raise Unusable(f"damaged: {keyword} is no sequence")
    return found[0]


def short(found: object) -> str:
    """A value in a message: one line of it."""
    line = " ".join(str(found).split())
    return repr(line[:60] + ("..." if len(line) > 60 else ""))
