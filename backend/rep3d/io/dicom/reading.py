"""Read a DICOM file or folder as a volume: exact values on a grid that is right to a tenth of a voxel, or refused."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from rep3d.data.volume import Volume
from rep3d.errors import BadInput
from rep3d.io.dicom.frames import Frame, frames_of
from rep3d.io.dicom.grid import SAME_MM, Misfit, Stack, stack_frames
from rep3d.io.dicom.headers import Header, Unusable, lenient, read_header, text
from rep3d.io.dicom.parts import split
from rep3d.io.dicom.pixels import read_values
from rep3d.io.dicom.series import DicomSeries, SliceSource
from rep3d.io.dicom.suv import suv_factor

_COPY_AGAIN = "Copy or export these files again, or move them out of the folder to read the scan without them."
_NO_STACK = "Export the original slices, with their place in the patient, or convert them to NIfTI with a tool for it."


def read_dicom(path: Path, series_uid: str | None = None) -> Volume:
    """Read one volume from a DICOM file or from a folder that holds a DICOM series.

    Args:
        path: file or folder.
        series_uid: which series of a folder with several; ``UID:2`` is the second volume of one that holds several.

    Raises:
        BadInput: not one volume on a regular grid; the reason names files and numbers.
        OutOfMemory: reading needs more memory than is free.
    """
    uid, _, part = (series_uid or "").partition(":")
    with lenient():
        headers, unread = read_headers(path)
        chosen = _choose(path, headers, unread, uid)
        frames = _frames(path, chosen)
        warnings = _left_out(chosen, unread)
        try:
            stack, label = _stack(path, frames, part, warnings)
        except BadInput as error:
            raise BadInput(" ".join([str(error), *warnings]), error.hint) from error
        frames, unit = _real_world(path, stack.frames, chosen[0].modality, warnings)
        series = _series(chosen, frames, unit, f"{chosen[0].series_uid}:{part}" if part else "")
        array = read_values(frames, path)
    warnings += [stack.notice] if stack.notice else []
    warnings += [f"Of several volumes of the series, this is {label}."] if label else []
    return Volume(array, stack.geometry.affine_ras, stack.geometry, path, tuple(warnings), dicom=series)


def has_scan(folder: Path) -> bool:
    """Whether a file directly in ``folder`` is a DICOM image.

    An index of other folders (DICOMDIR), DICOM results of earlier runs (``*_seg.dcm``), structure sets and reports do
    not count; a damaged file does.
    """
    from rep3d.io.dicom.detect import is_dicom

    for file in _files(folder):
        if is_dicom(file):
            try:
                if read_header(file).is_image:
                    return True
            except Unusable:
                return True
    return False


def _files(folder: Path) -> list[Path]:
    """The files of a folder that may be slices, by name."""
    entries = sorted((e for e in os.scandir(folder) if e.is_file()), key=lambda e: e.name)
    names = ((Path(e.path), e.name.lower()) for e in entries)
    return [
        path
        for path, name in names
        if not name.startswith(".") and name != "dicomdir" and not name.endswith("_seg.dcm")
    ]


def read_headers(path: Path) -> tuple[list[Header], dict[Path, str]]:
    """The headers of a file or of all DICOM files of a folder, and why others could not be read."""
    headers, unread = [], {}
    for file in _files(path) if path.is_dir() else [path]:
        try:
            headers.append(read_header(file))
        except Unusable as error:
            unread[file] = str(error)
        except OSError as error:
            unread[file] = error.strerror or str(error)
    uids = {h.series_uid for h in headers if not h.problem}
    return [_with_whole_uid(h, uids) for h in headers], unread


def _with_whole_uid(header: Header, uids: set[str]) -> Header:
    """The header of a file that was cut within the UID of its series, with the only one that it can be."""
    found = [uid for uid in uids if uid.startswith(header.series_uid)]
    cut = header.problem and header.series_uid not in uids and len(found) == 1
    return replace(header, series_uid=found[0]) if cut else header


def _choose(path: Path, headers: list[Header], unread: dict[Path, str], uid: str) -> list[Header]:
    """The headers of the only image series, or of the one with series instance UID ``uid``."""
    found: dict[str, list[Header]] = {}
    for header in headers:
        if header.is_image:
            found.setdefault(header.series_uid, []).append(header)
    if not found:
        others = sorted({h.modality for h in headers} - {""})
        if others:
            raise BadInput(
                f"{path}: no DICOM image, only {', '.join(others)}.", "Give the scan that this was made from."
            )
        odd = {file: why for file, why in unread.items() if why != "not a DICOM file"}
        where = f"{path}: no DICOM image series in this folder" if path.is_dir() else f"{path}: no DICOM image"
        why = f": {_reasons(odd)}" if odd else ""
        raise BadInput(f"{where}{why}.", "Give an image file or a folder of DICOM files.")
    listed = "; ".join(str(_series(group, [], "")) for group in found.values())
    if uid and uid not in found:
        raise BadInput(f"{path}: no series {uid}; there are: {listed}.")
    if not uid and len(found) > 1:
        raise BadInput(
            f"{path}: {len(found)} series in one folder: {listed}.",
            "Choose one with --series UID, or put each in a folder of its own.",
        )
    return found[uid] if uid else next(iter(found.values()))


def _frames(path: Path, headers: list[Header]) -> list[Frame]:
    """All frames of a series; BadInput if one of its files cannot be used: the scan would lack its slices."""
    frames, problems = [], {}
    for header in headers:
        try:
            frames += frames_of(header)
        except Unusable as error:
            problems[header.path] = str(error)
    if problems:
        broken = any(why.startswith(("cut", "damaged")) for why in problems.values())
        hint = _COPY_AGAIN if broken else _NO_STACK
        if path.is_file():
            raise BadInput(f"{path}: {next(iter(problems.values()))}.", hint)
        count = f"{len(problems)} of {len(headers)} files cannot be used"
        raise BadInput(f"{path}: {count}: {_reasons(problems)}.", hint)
    if min(min(f.size) for f in frames) == 1 or len(frames) == 1:
        size = " x ".join(map(str, frames[0].size))
        raise BadInput(
            f"{path}: a single slice ({len(frames)} of {size}); a volume is needed.",
            "Give the whole stack: for DICOM, the folder of the series.",
        )
    return frames


def _reasons(problems: dict[Path, str]) -> str:
    """The files and what is wrong with them, those with the same trouble together."""
    grouped: dict[str, list[str]] = {}
    for file, why in problems.items():
        grouped.setdefault(why, []).append(file.name)
    shown = [f"{_names(names)} ({why})" for why, names in list(grouped.items())[:4]]
    return "; ".join(shown) + (f"; and {len(grouped) - 4} more reasons" if len(grouped) > 4 else "")


def _names(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _left_out(chosen: list[Header], unread: dict[Path, str]) -> list[str]:
    """What is said of files that look like slices by their name, but cannot even say which series they belong to."""
    kinds = {header.path.suffix.lower() for header in chosen}
    lost = {file: why for file, why in unread.items() if file.suffix.lower() in kinds}
    if not lost:
        return []
    return [f"Left out: {_reasons(lost)}. If slices of this scan are among them, it is not whole."]


def _stack(path: Path, frames: list[Frame], part: str, warnings: list[str]) -> tuple[Stack, str]:
    """The frames on their grid, and which of several volumes they are ("" for the only one)."""
    try:
        stack = stack_frames(frames)
    except Misfit as misfit:
        once = _without_copies(frames, warnings) if misfit.doubled else frames
        if len(once) < len(frames):
            return _stack(path, once, part, warnings)
        parts = split(frames)
        if not _mingled([p.stack for p in parts]):
            raise BadInput(f"{path}: {misfit}.", misfit.hint) from misfit
        if part.isdecimal() and 1 <= int(part) <= len(parts):
            chosen = parts[int(part) - 1]
            return chosen.stack, f"number {part} of {len(parts)}, {chosen.label}"
        listed = "; ".join(f"{i}: {p}" for i, p in enumerate(parts[:20], start=1)) + (
            f"; and {len(parts) - 20} more" if len(parts) > 20 else ""
        )
        uid = frames[0].header.series_uid
        reason = str(misfit) if misfit.doubled else "the slices of several volumes lie between each other"
        raise BadInput(
            f"{path}: {reason}. The series holds {len(parts)} volumes: {listed}.",
            f"Choose one with --series {uid}:1 (or another number).",
        ) from misfit
    if part not in ("", "1"):
        raise BadInput(f"{path}: the series holds one volume; there is no number {part}.")
    return stack, ""


def _mingled(stacks: list[Stack]) -> bool:
    """Whether several volumes lie through each other or in different planes: not one volume with a gap."""
    if len(stacks) < 2:
        return False
    normals = [np.cross(*s.frames[0].orientation) for s in stacks]
    if any(abs(abs(n @ normals[0]) - 1) > SAME_MM for n in normals) or len({s.geometry.size[:2] for s in stacks}) > 1:
        return True
    ends = sorted(
        tuple(sorted((s.frames[0].position @ normals[0], s.frames[-1].position @ normals[0]))) for s in stacks
    )
    return any(after[0] <= before[1] + SAME_MM for before, after in itertools.pairwise(ends))


def _without_copies(frames: list[Frame], warnings: list[str]) -> list[Frame]:
    """The frames without those that show the same values at the same place as another, if all doubled ones do."""
    if len({f.size for f in frames}) > 1:
        return frames
    places: dict[tuple, list[Frame]] = {}
    for frame in frames:
        places.setdefault((*np.round(frame.position, 3), *np.round(frame.orientation, 3).ravel()), []).append(frame)
    pairs = [(group[0], other) for group in places.values() for other in group[1:]]
    if not pairs:
        return frames
    for some in (pairs[:1], pairs):  # most often the first pair tells already
        first, other = (read_values(side, side[0].header.path.parent) for side in zip(*some, strict=True))
        if not np.array_equal(first, other):
            return frames
    one, copy = pairs[0][0].name, pairs[0][1].name
    more = " and so on" if len(pairs) > 1 else ""
    warnings.append(f"Left out: {len(pairs)} of {len(frames)} slices, copies of others ({copy} of {one}{more}).")
    return [group[0] for group in places.values()]


def _real_world(path: Path, frames: Sequence[Frame], modality: str, warnings: list[str]) -> tuple[list[Frame], str]:
    """The frames with lines to the modality's own unit, and that unit."""
    lines = {(f.slope, f.intercept) for f in frames}
    silent = [f.name for f in frames if not f.rescaled]
    if silent and len(lines) > 1:
        raise BadInput(
            f"{path}: RescaleSlope and RescaleIntercept are missing in {len(silent)} of {len(frames)} slices "
            f"({_names(silent)}), so that their values are unknown.",
            _COPY_AGAIN,
        )
    if modality == "CT":
        kinds = {text(f.header.dataset, "RescaleType") for f in frames} - {"", "HU", "US"}
        if silent and any(line == (1.0, 0.0) for line in lines):
            warnings.append("No RescaleSlope and RescaleIntercept: the stored values count as Hounsfield units.")
        if kinds:
            warnings.append(f"The values are no Hounsfield units: RescaleType is {', '.join(sorted(kinds))}.")
        return list(frames), ", ".join(sorted(kinds)) or "HU"
    if modality == "PT":
        factor, unit = suv_factor(frames)
        if factor is None:
            warnings.append(f"The values are in {unit}.")
            return list(frames), unit
        warnings.append(f"The values are {unit}: Bq/mL times {factor:.6g}, by body weight and the dose at the scan.")
        return [replace(f, slope=f.slope * factor, intercept=f.intercept * factor) for f in frames], unit
    return list(frames), ""


def _series(headers: Sequence[Header], frames: Iterable[Frame], unit: str, uid: str = "") -> DicomSeries:
    """The series as the rest of the package knows it; one slice a file as long as the frames are not known."""
    first = headers[0]
    slices = tuple(
        SliceSource(
            f.header.path,
            f.index + 1 if f.header.frames > 1 else None,
            tuple(map(float, f.position)),
            *_uids(f.header),
        )
        for f in frames
    ) or tuple(SliceSource(h.path, None, (0.0, 0.0, 0.0), *_uids(h)) for h in headers)
    return DicomSeries(uid or first.series_uid, slices, first.modality, _text(first, "SeriesDescription"), unit)


def _uids(header: Header) -> tuple[str, str]:
    return _text(header, "SOPClassUID"), _text(header, "SOPInstanceUID")


def _text(header: Header, keyword: str) -> str:
    try:
        return text(header.dataset, keyword)
    except Unusable:
        return ""
