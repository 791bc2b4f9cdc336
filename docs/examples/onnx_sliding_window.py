"""Segment a scan with a network that ``rep3d export --format onnx`` wrote: numpy, onnxruntime and SimpleITK alone.

    python onnx_sliding_window.py network.onnx scan.nii.gz labels.nii.gz

All that is needed stands in the file's metadata: voxel size, intensities, window, labels. The steps are those of
``rep3d segment``: axes towards Right, Anterior, Superior; anti-aliased resampling to the network's voxel size;
intensities to [0, 1]; windows over the body with Gaussian importance; logits back on the scan's grid, largest class.
Logits are held for all classes on the network's grid. Research software, not a medical device.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
import onnxruntime
import SimpleITK as sitk


def interpolation(size_in: int, size_out: int, step: float, low: int = 0, high: int | None = None) -> np.ndarray:
    """Linear interpolation between two grids with a common centre as a matrix [size_out, high - low].

    step: output voxel size in input voxels; above 1 the line between voxels is averaged over step - 1 of them, so that
    thin structures do not alias. Only input voxels low to high are there; beyond them the edge value holds.
    """
    high = size_in if high is None else high
    centres = (np.arange(size_out) - (size_out - 1) / 2) * step + (size_in - 1) / 2
    matrix = np.zeros((size_out, high - low), np.float32)
    width = max(0.0, step - 1)

    def integral(x: np.ndarray) -> np.ndarray:  # of max(0, 1 - |t|) from minus infinity to x
        x = np.clip(x, -1, 1)
        return 0.5 + x - np.sign(x) * x**2 / 2

    for row, centre in enumerate(centres):
        columns = np.floor(centre - width / 2).astype(int) + np.arange(int(np.ceil(width)) + 2)
        offset = columns - centre
        if width > 1e-6:
            weights = (integral(offset + width / 2) - integral(offset - width / 2)) / width
        else:
            weights = np.clip(1 - np.abs(offset), 0, None)
        np.add.at(matrix[row], np.clip(columns, low, high - 1) - low, weights.astype(np.float32))
    return matrix


def along(array: np.ndarray, matrix: np.ndarray, axis: int) -> np.ndarray:
    """Apply a matrix [n_out, n_in] along one axis."""
    return np.moveaxis(np.tensordot(matrix, array, axes=(1, axis)), 0, axis).astype(np.float32)


def normalise(x: np.ndarray, intensity: dict) -> np.ndarray:
    """Intensities to [0, 1]: clip, then scale by percentiles or by the clip's bounds."""
    low, high = float(x.min()), float(x.max())
    if intensity["clip"]:
        low, high = intensity["clip"]
        x = np.clip(x, low, high)
    if intensity["percentiles"]:
        low, high = (float(p) for p in np.percentile(x, intensity["percentiles"]))
    return np.clip((x - np.float32(low)) / np.float32(high - low), 0, 1)


def body_box(x: np.ndarray, patch: list[int], margin: int = 8) -> list[tuple[int, int]]:
    """First and one past the last voxel along each axis of what lies above 0, with a margin, at least a patch."""
    box = []
    for axis, size in enumerate(x.shape):
        used = np.flatnonzero(x.max(axis=tuple(a for a in range(3) if a != axis)) > 0)
        low, high = (used[0] - margin, used[-1] + 1 + margin) if len(used) else (0, size)
        missing = max(0, patch[axis] - (high - low))
        low, high = low - missing // 2, high + missing - missing // 2
        if missing and low < 0:
            low, high = 0, high - low
        if missing and high > size:
            low, high = low - (high - size), size
        box.append((int(max(0, low)), int(min(size, high))))
    return box


def windows(size: int, patch: int, overlap: float) -> list[tuple[int, np.ndarray]]:
    """Starts of the windows along an axis, evenly spread, and their weights [patch], which sum to 1 at every voxel."""
    if size <= patch:
        starts = [0]
    else:
        step = max(1, int(patch * (1 - overlap)))
        count = -(-(size - patch) // step) + 1
        starts = sorted({round(i * (size - patch) / (count - 1)) for i in range(count)})
    position = np.arange(patch) - (patch - 1) / 2
    profile = np.maximum(np.exp(-0.5 * (position / (patch / 8)) ** 2), 1e-3)
    total = np.zeros(size)
    for start in starts:
        total[start : start + patch] += profile
    return [(start, (profile / total[start : start + patch]).astype(np.float32)) for start in starts]


def network_logits(
    session: onnxruntime.InferenceSession, x: np.ndarray, patch: list[int], overlap: float, classes: int
):
    """Logits [classes, X, Y, Z] of a volume [X, Y, Z] in [0, 1]; smaller volumes are padded with 0 and cropped back."""
    missing = [max(0, p - n) for p, n in zip(patch, x.shape)]
    padded = np.pad(x, [(m // 2, m - m // 2) for m in missing])
    logits = np.zeros((classes, *padded.shape), np.float32)
    axes = [windows(n, p, overlap) for n, p in zip(padded.shape, patch)]
    for i, weight_x in axes[0]:
        for j, weight_y in axes[1]:
            for k, weight_z in axes[2]:
                part = (slice(i, i + patch[0]), slice(j, j + patch[1]), slice(k, k + patch[2]))
                window = np.ascontiguousarray(padded[part][None, None], dtype=np.float32)
                weight = np.einsum("a,b,c->abc", weight_x, weight_y, weight_z)
                logits[(slice(None), *part)] += session.run(None, {"image": window})[0][0] * weight
    keep = [slice(m // 2, m // 2 + n) for m, n in zip(missing, x.shape)]
    return logits[(slice(None), *keep)]


def segment(session: onnxruntime.InferenceSession, image: sitk.Image) -> sitk.Image:
    """Label map of a 3D scan, on exactly its grid."""
    about = session.get_modelmeta().custom_metadata_map
    spacing, patch = json.loads(about["spacing_mm"]), json.loads(about["patch"])
    classes = len(json.loads(about["labels"])) + 1
    orient = sitk.DICOMOrientImageFilter()
    original = orient.GetOrientationFromDirectionCosines(image.GetDirection())
    ras = sitk.DICOMOrient(image, "RAS")
    x = sitk.GetArrayFromImage(ras).transpose(2, 1, 0).astype(np.float32)
    x[~np.isfinite(x)] = x[np.isfinite(x)].min()
    native, steps = x.shape, [new / old for new, old in zip(spacing, ras.GetSpacing())]
    for axis in sorted(range(3), key=lambda a: -steps[a]):  # the axis that shrinks most first
        new = max(1, round(native[axis] / steps[axis]))
        if new != native[axis] or abs(steps[axis] - 1) >= 1e-4:
            x = along(x, interpolation(native[axis], new, steps[axis]), axis)
    grid = x.shape
    x = normalise(x, json.loads(about["intensity"]))
    box = body_box(x, patch)
    x = x[tuple(slice(low, high) for low, high in box)]
    logits = network_logits(session, x, patch, json.loads(about["overlap"]), classes)
    labels = np.zeros(native, np.uint8)
    back = [interpolation(grid[a], native[a], 1 / steps[a], *box[a]) for a in range(3)]
    reach = []
    for a, (low, high) in enumerate(box):  # voxels whose centre lies outside the box stay background
        centres = (np.arange(native[a]) - (native[a] - 1) / 2) / steps[a] + (grid[a] - 1) / 2
        inside = (centres >= low - 0.5) | (low == 0)
        reach.append(np.flatnonzero(inside & ((centres < high - 0.5) | (high == grid[a]))))
    logits = along(along(logits, back[1][reach[1]], 2), back[2][reach[2]], 3)
    for row in reach[0]:  # one slice at a time, so that memory does not grow with classes x voxels
        plane = np.tensordot(back[0][row], logits, axes=(0, 1))
        labels[row][np.ix_(reach[1], reach[2])] = plane.argmax(0)
    out = sitk.GetImageFromArray(labels.transpose(2, 1, 0))
    out.CopyInformation(ras)
    out = sitk.DICOMOrient(out, original)
    out.CopyInformation(image)  # not merely close to it
    return out


def main() -> None:
    """Command line: network, scan, labels."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network", help="file of rep3d export --format onnx")
    parser.add_argument("scan", help="3D image that SimpleITK reads")
    parser.add_argument("labels", help="label map to write")
    parser.add_argument("--threads", type=int, default=0, help="of onnxruntime; 0: all cores")
    arguments = parser.parse_args()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = arguments.threads
    session = onnxruntime.InferenceSession(arguments.network, options, providers=onnxruntime.get_available_providers())
    labels = segment(session, sitk.ReadImage(arguments.scan))
    sitk.WriteImage(labels, arguments.labels, True)
    about = session.get_modelmeta().custom_metadata_map
    voxels, ml = sitk.GetArrayFromImage(labels), np.prod(labels.GetSpacing()) / 1000
    for label in json.loads(about["labels"]):
        print(f"{label['name']}: {(voxels == label['value']).sum() * ml:.2f} mL")


if __name__ == "__main__":
    main()
