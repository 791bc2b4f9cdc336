"""A whole scan through Rep3D and through MONAI: one file in, one file out, the same network, windows and intensities.

Each function runs in a process of its own (see whole_scan.py) and returns seconds by stage and the peak resident
memory before the scan is read (interpreter, libraries, the network and what one window takes) and at the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from child_process import peak_bytes

STAND_IN = "stand-in"  # costs next to nothing: what is left is the pipeline
PHANTOM_HU = (-175.0, 250.0)


def write_scan(
    path: Path, size: tuple[int, int, int], spacing: tuple[float, float, float], seed: int = 3, body_mm: float = 3.0
) -> None:
    """A generated abdomen as NIfTI, int16: the same body on any grid, stretched to its height, with noise.

    ``body_mm``: voxel size at which it is drawn before it is interpolated.
    """
    import SimpleITK as sitk
    from rep3d.data.preprocess import interpolation_matrix
    from rep3d.phantom.generator import generate

    body = generate(seed, spacing=(body_mm, body_mm, body_mm), noise=0.0)
    steps = [spacing[0] / body_mm, spacing[1] / body_mm, body.image.shape[2] / size[2]]
    matrices = []
    for new, old, step in zip(size, body.image.shape, steps):
        centres = (np.arange(new) - (new - 1) / 2) * step + (old - 1) / 2
        matrices.append(interpolation_matrix(centres, old, step).toarray())
    voxels = np.empty(size[::-1], np.int16)  # [z, y, x], as SimpleITK has it
    rng = np.random.default_rng(seed)
    for z, weights in enumerate(matrices[2]):
        used = np.flatnonzero(weights)
        plane = body.image[..., used].astype(np.float32) @ weights[used]
        plane = matrices[0] @ plane @ matrices[1].T
        voxels[z] = np.clip(plane + rng.normal(0, 12, plane.shape), -1024, 3000).T
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing(spacing)
    sitk.WriteImage(image, str(path))


def network_of(name: str, classes: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """The stand-in with ``classes``, or the fused network of shipped weights."""
    if name != STAND_IN:
        return _weights(name).build_network().eval()
    levels = torch.linspace(0, 1, classes).view(1, -1, 1, 1, 1)

    def parabolas(x_BCDHW: torch.Tensor) -> torch.Tensor:
        """-(x - level)^2 without x^2: every class wins somewhere, so that no tile can leave all of them out."""
        return (x_BCDHW * (2 * levels)).sub_(levels**2)

    return parabolas


def _weights(name: str):
    from rep3d.weights import SHIPPED_FOLDER, load_weights

    return load_weights(SHIPPED_FOLDER / f"{name}.safetensors")


def settings_of(name: str) -> dict:
    """Patch, voxel size (mm) and classes that a network wants, where it is one of shipped weights."""
    meta = _weights(name).meta
    return {"patch": list(meta.patch), "spacing_mm": list(meta.spacing_mm), "classes": meta.task.num_classes}


def rep3d(
    path: str,
    out: str,
    network: str,
    classes: int,
    spacing_mm: list,
    patch: list,
    overlap: float,
    batch: int | str,
    engine: str = "torch",
) -> dict:
    """As `rep3d segment` does it; a network that OpenVINO runs is compiled before, for that is done once."""
    from rep3d.data.reading import read_volume
    from rep3d.inference.engines import choose_engine
    from rep3d.inference.pipeline import segment_volume
    from rep3d.inference.writing import OutputFiles, write_result
    from rep3d.tasks import Intensity, load_task

    base = load_task("amos-ct")
    labels = tuple(replace(base.labels[0], value=i, key=f"s{i}", name=f"S{i}") for i in range(1, classes))
    net = network_of(network, classes)
    with torch.inference_mode():
        net(torch.zeros(1, 1, *patch))  # what the predictor itself takes belongs to the model
    before = peak_bytes()
    if engine != "torch":
        choose_engine(engine, net, torch.device("cpu"), "float32", (1, 1, *patch), 1)
    start, cpu = time.perf_counter(), time.process_time()
    volume = read_volume(path)
    read = time.perf_counter() - start
    result = segment_volume(
        volume, net, replace(base, labels=labels), patch=tuple(patch), spacing_mm=tuple(spacing_mm),
        intensity=Intensity(PHANTOM_HU, None), overlap=overlap, batch=batch, engine=engine, device="cpu",
    )  # fmt: skip
    writing = time.perf_counter()
    write_result(result, OutputFiles.beside(Path(out), "nii.gz"))
    end = time.perf_counter()
    settings = result.settings
    return {
        "seconds": end - start,
        "cpu_seconds": time.process_time() - cpu,
        "timings_s": {"read": read, **result.timings_s, "write": end - writing},
        "peak_before": before,
        "peak": peak_bytes(),
        "network_grid": settings["network_grid"],
        "windows": settings["windows"],
        "windows_skipped": settings["windows_skipped"],
        "batch": settings["batch"],
        "classes_found": sum(s.voxels > 0 for s in result.stats),
    }


def monai(
    path: str, out: str, network: str, classes: int, spacing_mm: list, patch: list, overlap: float, back: str
) -> dict:
    """As MONAI's bundles for CT do it; ``back``: what is brought to the scan's grid, "probabilities" or "labels"."""
    from monai.inferers import SlidingWindowInferer
    from monai.transforms import (
        Activationsd,
        AsDiscreted,
        Compose,
        EnsureChannelFirstd,
        Invertd,
        LoadImaged,
        Orientationd,
        SaveImaged,
        ScaleIntensityRanged,
        Spacingd,
    )

    load = Compose([LoadImaged("image"), EnsureChannelFirstd("image")])
    prepare = Compose(
        [
            Orientationd("image", axcodes="RAS"),
            Spacingd("image", pixdim=spacing_mm, mode="bilinear"),
            ScaleIntensityRanged("image", *PHANTOM_HU, 0.0, 1.0, clip=True),
        ]
    )
    inferer = SlidingWindowInferer(roi_size=patch, sw_batch_size=1, overlap=overlap, mode="gaussian")
    invert = {"keys": "pred", "transform": prepare, "orig_keys": "image", "to_tensor": True}
    if back == "probabilities":
        steps = [
            Activationsd("pred", softmax=True),
            Invertd(**invert, nearest_interp=False),
            AsDiscreted("pred", argmax=True),
        ]
    else:
        steps = [AsDiscreted("pred", argmax=True), Invertd(**invert, nearest_interp=True)]
    folder, name = Path(out).parent, Path(out).name.removesuffix(".nii.gz")
    save = SaveImaged(
        "pred", output_dir=folder, output_postfix=name, output_ext=".nii.gz", output_dtype=np.uint8, resample=False,
        separate_folder=False, print_log=False,
    )  # fmt: skip
    net = network_of(network, classes)
    with torch.no_grad():
        net(torch.zeros(1, 1, *patch))
        before, times, cpu = peak_bytes(), [time.perf_counter()], time.process_time()
        data = load({"image": path})
        times.append(time.perf_counter())
        data = prepare(data)
        grid = list(data["image"].shape[1:])
        times.append(time.perf_counter())
        data["pred"] = inferer(data["image"][None], net)[0]
        times.append(time.perf_counter())
        for step in steps:
            data = step(data)
        times.append(time.perf_counter())
        save(data)
        times.append(time.perf_counter())
    written = next(folder.glob(f"*_{name}.nii.gz"))
    written.replace(out)
    stages = ("read", "prepare", "network", "map back", "write")
    return {
        "seconds": times[-1] - times[0],
        "cpu_seconds": time.process_time() - cpu,
        "timings_s": {s: b - a for s, a, b in zip(stages, times, times[1:])},
        "peak_before": before,
        "peak": peak_bytes(),
        "network_grid": grid,
    }
