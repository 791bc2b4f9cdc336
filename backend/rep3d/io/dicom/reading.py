"""Read a DICOM file or folder as a volume."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rep3d.data.volume import Volume


def read_dicom(path: Path, series_uid: str | None = None) -> Volume:
    """Read one volume from a DICOM file or from a folder that holds a DICOM series.

    Args:
        path: file or folder.
        series_uid: which series of a folder with several.

    Raises:
        BadInput: not one volume on a regular grid; the reason names files and numbers.
        OutOfMemory: reading needs more memory than is free.
    """
    from rep3d.data import reading
    from rep3d.data.dicom_series import check_stack, choose_series

    with reading._quiet_itk() as sitk:
        if path.is_file():
            return reading._read_file(sitk, path)
        series = choose_series(path, series_uid)
        warnings = check_stack(path, series)
        if len(series.files) == 1:
            return replace(reading._read_file(sitk, series.files[0]), path=path, dicom=series)
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames([str(p) for p in series.files])
        first = sitk.ImageFileReader()
        first.SetFileName(str(series.files[0]))
        try:
            first.ReadImageInformation()
            reading._check_frames(path, first.GetSize(), first.GetNumberOfComponents(), slices=len(series.files))
            reading._check_memory(path, (*first.GetSize()[:2], len(series.files)), first.GetPixelID())
            image = reader.Execute()
        except RuntimeError as error:
            raise reading._unreadable(path, error) from error
        return reading._to_volume(sitk, image, path, tuple(warnings), dicom=series)
