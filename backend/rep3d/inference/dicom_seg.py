"""Write a label map as a DICOM Segmentation object that refers to the slices it was made from (needs highdicom)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rep3d import __version__
from rep3d.data.volume import Volume
from rep3d.errors import BadInput
from rep3d.runtime.packages import need

if TYPE_CHECKING:
    from rep3d.tasks import Code, Label


def require_dicom(volume: Volume) -> None:
    """Refuse before the run what could not be written after it.

    Raises:
        BadInput: the scan was no DICOM series, so there is no study to belong to.
        BadInput: highdicom is not installed.
    """
    if volume.dicom is None:
        raise BadInput(
            f"{volume.path}: DICOM SEG can only be written for a scan that was read from a DICOM folder.",
            "Choose --format seg.nrrd or nii.gz.",
        )
    need("dicom-seg")


def write_dicom_seg(
    path: Path, labelmap: np.ndarray, volume: Volume, labels: tuple[Label, ...], algorithm: str
) -> None:
    """Write ``labelmap`` [X, Y, Z] as a binary DICOM SEG in the series' study; ``algorithm`` names the weights.

    Segments are numbered from 1 in the order of ``labels``; those without a voxel are described but have no frames.
    """
    import highdicom as hd
    import pydicom
    from pydicom.sr.codedict import codes
    from pydicom.uid import generate_uid

    require_dicom(volume)
    sources = [pydicom.dcmread(file, stop_before_pixels=True) for file in volume.dicom.files]
    numbers = np.zeros(int(labelmap.max(initial=0)) + 1, np.uint8)
    for number, label in enumerate(labels, start=1):
        if label.value < len(numbers):
            numbers[label.value] = number
    family = codes.cid7162.ArtificialIntelligence
    identification = hd.AlgorithmIdentificationSequence(name=algorithm[:64], family=family, version=__version__)
    segments = [_description(hd, number, label, identification) for number, label in enumerate(labels, start=1)]
    segmentation = hd.seg.Segmentation(
        source_images=sources,
        pixel_array=numbers[labelmap].transpose(2, 1, 0),
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
        series_description="Rep3D segmentation",
    )
    segmentation.save_as(path)


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
