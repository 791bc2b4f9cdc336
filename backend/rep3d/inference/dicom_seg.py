"""Write a label map as a DICOM Segmentation object that refers to the frames it was made from (needs highdicom)."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rep3d import __version__
from rep3d.data.volume import Volume
from rep3d.errors import BadInput
from rep3d.runtime.packages import need

if TYPE_CHECKING:
    from pydicom import Dataset

    from rep3d.io.dicom.series import SliceSource
    from rep3d.tasks import Code, Label

SERIES = "Rep3D segmentation"


def require_dicom(volume: Volume) -> None:
    """Refuse before the run what could not be written after it: a segmentation of two slices is tried.

    Raises:
        BadInput: the scan was no DICOM series, or its headers lack what a result in its study needs.
        BadInput: highdicom is not installed.
    """
    hint = "Choose --format seg.nrrd or nii.gz."
    if volume.dicom is None:
        raise BadInput(f"{volume.path}: DICOM SEG can only be written for a scan that was read from DICOM files.", hint)
    need("dicom-seg")
    import highdicom as hd
    from pydicom.sr.codedict import codes

    segment = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label="trial",
        segmented_property_category=codes.SCT.Organ,
        segmented_property_type=codes.SCT.Liver,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
    )
    ends = [0, len(volume.dicom.slices) - 1]
    try:
        _segmentation(volume, ends, np.ones((2, *volume.shape[1::-1]), np.uint8), [segment]).save_as(io.BytesIO())
    except Exception as error:  # whatever headers make the library raise
        raise BadInput(
            f"{volume.path}: a DICOM SEG cannot refer to this series: {str(error).rstrip('.')}.", hint
        ) from error


def write_dicom_seg(
    path: Path,
    labelmap: np.ndarray,
    volume: Volume,
    labels: tuple[Label, ...],
    algorithm: str,
    series: str = SERIES,
) -> None:
    """Write ``labelmap`` [X, Y, Z] as a binary DICOM SEG in the series' study; ``algorithm`` names the weights.

    ``series`` is the description of the new series.

    Segments are numbered from 1 in the order of ``labels``; those without a voxel are described but have no frames.
    Every frame lies where the frame of the scan lies that it refers to.
    """
    import highdicom as hd
    from pydicom.sr.codedict import codes

    numbers = np.zeros(int(labelmap.max(initial=0)) + 1, np.uint8)
    for number, label in enumerate(labels, start=1):
        if label.value < len(numbers):
            numbers[label.value] = number
    family = codes.cid7162.ArtificialIntelligence
    identification = hd.AlgorithmIdentificationSequence(name=algorithm[:64], family=family, version=__version__)
    segments = [_description(hd, number, label, identification) for number, label in enumerate(labels, start=1)]
    slices = list(range(labelmap.shape[2]))
    made = _segmentation(volume, slices, numbers[labelmap].transpose(2, 1, 0), segments)
    made.SeriesDescription = series
    made.save_as(path)


def _segmentation(volume: Volume, slices: list[int], frames: np.ndarray, segments: list):
    """A segmentation object of some slices of the volume [slices, Y, X]."""
    import highdicom as hd
    from pydicom.uid import generate_uid

    sources = _sources(volume, slices)
    segmentation = hd.seg.Segmentation(
        source_images=sources,
        pixel_array=frames,
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=segments,
        series_instance_uid=generate_uid(),
        series_number=900,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="Rep3D",
        manufacturer_model_name="Rep3D",
        software_versions=__version__,
        device_serial_number="0",
        content_description="Research software, not a medical device",
        series_description=SERIES,
    )
    true = {s.SOPInstanceUID: volume.dicom.slices[k] for s, k in zip(sources, slices, strict=True)}
    _refer_to_frames(segmentation, true)
    return segmentation


def _sources(volume: Volume, slices: list[int]) -> list[Dataset]:
    """A single-frame image that stands for every slice, with the place of its frame and a UID of its own.

    highdicom takes single frames, or one file whose frames are complete and in the order of the labels. Series hold
    frames in any order, in several files, without functional groups: single frames stand for them all.
    """
    import pydicom
    from pydicom.uid import CTImageStorage, generate_uid
    from pydicom.valuerep import DSfloat

    grid, all_slices = volume.grid, volume.dicom.slices
    header = pydicom.dcmread(all_slices[0].file, stop_before_pixels=True, force=True)
    thickness = header.get("SliceThickness") or grid.spacing[2]
    for keyword in ("NumberOfFrames", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        if keyword in header:
            delattr(header, keyword)
    for keyword in _MAY_BE_EMPTY:
        if keyword not in header:
            setattr(header, keyword, "")
    lacking = [k for k in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID") if not header.get(k)]
    if lacking or not all(all_slices[k].sop_instance and all_slices[k].sop_class for k in slices):
        raise BadInput(f"{', '.join(lacking) or 'SOPInstanceUID'} is missing")
    direction = np.asarray(grid.direction).reshape(3, 3)
    header.ImageOrientationPatient = [DSfloat(v, auto_format=True) for v in direction.T[:2].ravel()]
    header.PixelSpacing = [DSfloat(grid.spacing[i], auto_format=True) for i in (1, 0)]
    header.SpacingBetweenSlices = DSfloat(grid.spacing[2], auto_format=True)
    header.SliceThickness = DSfloat(float(thickness), auto_format=True)
    sources = []
    for k in slices:
        source = pydicom.Dataset()
        source.update(header)
        source.SOPClassUID, source.SOPInstanceUID = CTImageStorage, generate_uid()
        source.ImagePositionPatient = [DSfloat(v, auto_format=True) for v in all_slices[k].position]
        sources.append(source)
    return sources


_MAY_BE_EMPTY = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
)


def _refer_to_frames(segmentation: Dataset, true: dict[str, SliceSource]) -> None:
    """Replace references to stand-ins by those to the frames that they stand for."""
    for element in segmentation.iterall():
        if element.VR != "SQ":
            continue
        for item in element.value:
            one = true.get(item.get("ReferencedSOPInstanceUID"))
            if one is not None:
                item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = one.sop_class, one.sop_instance
                if element.keyword == "SourceImageSequence" and one.frame is not None:
                    item.ReferencedFrameNumber = one.frame
        if element.keyword == "ReferencedInstanceSequence":
            element.value = list({item.ReferencedSOPInstanceUID: item for item in element.value}.values())


def _description(hd, number: int, label: Label, identification):
    description = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=label.name[:64],
        segmented_property_category=_concept(hd, label.category),
        segmented_property_type=_concept(hd, label.type),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=identification,
        tracking_uid=hd.UID(),
        tracking_id=label.key[:64],
        display_color=hd.color.CIELabColor.from_rgb(*label.color),
    )
    if label.modifier is not None:
        kind = description.SegmentedPropertyTypeCodeSequence[0]
        kind.SegmentedPropertyTypeModifierCodeSequence = [_concept(hd, label.modifier)]
    return description


def _concept(hd, code: Code):
    return hd.sr.CodedConcept(code.value, code.scheme, code.meaning)
