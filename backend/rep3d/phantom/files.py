"""Phantoms on disk: one scan with its truth, or a folder of cases for training that can be continued after a stop."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rep3d.data.volume import Geometry, to_sitk
from rep3d.errors import BadInput, OutputFailed
from rep3d.files import atomic_path, write_text
from rep3d.io.formats import open_image
from rep3d.phantom.generator import PHANTOM_VERSION, Phantom, generate
from rep3d.phantom.options import ScanOptions
from rep3d.phantom.painted import PAINTED_VERSION, Anatomies, paint

#: What a phantom may be written as.
SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")


def split_suffix(path: Path) -> tuple[str, str]:
    """(stem, suffix) of a scan's file name. Raises BadInput if it is no format that phantoms are written in."""
    for suffix in SUFFIXES:
        if path.name.lower().endswith(suffix) and len(path.name) > len(suffix):
            return path.name[: -len(suffix)], path.name[-len(suffix) :]
    raise BadInput(f"{path}: not a name for a scan", hint=f"End it with one of {', '.join(SUFFIXES)}.")


def labels_path(path: Path) -> Path:
    """Where the truth of ``path`` goes by default: scan.nii.gz -> scan_labels.nii.gz."""
    stem, suffix = split_suffix(path)
    return path.with_name(f"{stem}_labels{suffix}")


def write_array(array: np.ndarray, affine: np.ndarray, path: Path) -> None:
    """Write [X, Y, Z] with its RAS affine, atomically. Raises OutputFailed, also when the disk is full."""
    import SimpleITK as sitk

    _, suffix = split_suffix(path)
    image = to_sitk(array, Geometry.from_affine(affine, array.shape))
    with atomic_path(path) as temporary:
        try:
            sitk.WriteImage(image, str(temporary), useCompression=suffix.lower() != ".nii")
            open_image(temporary).verify()  # the NIfTI writer says nothing of a full disk
        except (RuntimeError, BadInput) as error:
            raise OutputFailed(
                f"{path}: cannot be written ({_short(error)})", hint="Check the folder, its permissions and free space."
            ) from error


def write_phantom(phantom: Phantom, image_path: Path, label_path: Path) -> None:
    """Write the truth first and the scan last, so that a scan that is there always has its truth."""
    if image_path.resolve() == label_path.resolve():
        raise BadInput(f"{image_path}: scan and labels cannot be one file", hint="Give --labels another name.")
    write_array(phantom.labels, phantom.affine, label_path)
    write_array(phantom.image, phantom.affine, image_path)


def case_paths(folder: Path, seed: int) -> tuple[Path, Path]:
    """(image, labels) of the case that ``seed`` makes."""
    name = f"phantom_{seed:06d}.nii.gz"
    return folder / "images" / name, folder / "labels" / name


def write_cases(
    folder: Path,
    seeds: range,
    options: ScanOptions,
    progress: Callable[[int, int, bool], None] | None = None,
    anatomies: Anatomies | None = None,
) -> int:
    """Write one case a seed into folder/images and folder/labels; cases whose two files are there are skipped.

    Args:
        folder: where to write; made if need be.
        seeds: one case each.
        options: of every scan.
        progress: called with (done, total, made) after every case.
        anatomies: paint these instead of the schematic anatomy.

    Returns:
        How many cases were made.

    Raises:
        BadInput: the folder holds cases that were made otherwise.
    """
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder}: is a file, a folder is needed for several cases", hint="Give another -o.")
    _check_record(folder, options, anatomies)
    made = 0
    for index, seed in enumerate(seeds):
        image_path, label_path = case_paths(folder, seed)
        missing = not (image_path.is_file() and label_path.is_file())
        if missing:
            write_phantom(make(seed, options, anatomies), image_path, label_path)
            made += 1
        if progress:
            progress(index + 1, len(seeds), missing)
    return made


def make(seed: int, options: ScanOptions, anatomies: Anatomies | None) -> Phantom:
    """One scan: painted from ``anatomies``, or of the schematic anatomy where there are none."""
    return generate(seed, options) if anatomies is None else paint(seed, anatomies, options)


def _check_record(folder: Path, options: ScanOptions, anatomies: Anatomies | None) -> None:
    """Keep the options beside the cases, so that a folder is never continued with others."""
    record = folder / "phantom.json"
    facts: dict[str, Any] = {"version": PHANTOM_VERSION, "options": dataclasses.asdict(options)}
    if anatomies is not None:
        facts |= {"version": PAINTED_VERSION, "anatomies": anatomies.hashes}
    text = json.dumps(facts, sort_keys=True, indent=1)
    if record.is_file():
        if record.read_text(encoding="utf-8") != text:
            raise BadInput(
                f"{folder}: holds phantoms made with other options, anatomies or another version (see {record.name})",
                hint="Repeat the command with those options, or choose another -o.",
            )
        return
    write_text(record, text)


def _short(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
