"""A DICOM series as the rest of the package knows it: which frame of which file every slice of a volume is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

NOT_IMAGES = {"SEG", "RTSTRUCT", "RTPLAN", "RTDOSE", "RTRECORD", "SR", "KO", "PR", "REG", "DOC", "FID", "RWV", "AU"}
"""Modalities that belong to scans but are none."""


@dataclass(frozen=True)
class SliceSource:
    """Where a slice comes from: a file, and the number of the frame in it (from 1) if it has several."""

    file: Path
    frame: int | None
    position: tuple[float, float, float]  # LPS millimetres, of the first voxel
    sop_class: str  # the UIDs by which other objects refer to the file
    sop_instance: str


@dataclass(frozen=True)
class DicomSeries:
    """The slices of one series, in the order in which they stack.

    ``uid`` is the series instance UID; with a colon and a number behind it where a series holds several volumes.
    """

    uid: str
    slices: tuple[SliceSource, ...]
    modality: str
    description: str
    unit: str = ""

    @property
    def files(self) -> tuple[Path, ...]:
        """The files of the series, each once, in the order of their first slice."""
        return tuple(dict.fromkeys(s.file for s in self.slices))

    def __str__(self) -> str:
        return f"{self.uid} ({self.modality or '?'}, {len(self.files)} files, {self.description or 'no description'})"
