"""``estimate``: how much memory and time a run will take, from the grid alone and one window that is really run."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import psutil
import torch

from rep3d.data.preprocess import network_grid, ras_grid
from rep3d.inference import checks
from rep3d.inference.cautions import before_run
from rep3d.inference.devices import autocast, memory_errors, resolve_device, resolve_precision
from rep3d.inference.engines import Engine, choose_engine
from rep3d.inference.feeder import first_batch
from rep3d.inference.windows import count_windows
from rep3d.worker import volumes
from rep3d.worker.job import Job
from rep3d.worker.segment import region
from rep3d.worker.volumes import check_affine, check_size
from rep3d.worker.warm import WarmModel, WarmModels


def estimate(job: Job, models: WarmModels) -> dict[str, Any]:
    """Windows, memory and seconds of a segmentation with the same params; the model is warm afterwards.

    Air is not known before the scan is looked at, so windows, memory and seconds are upper limits. The cautions are
    those of the grid alone, unless the voxels come too.

    Raises:
        BadInput, WeightsMissing, WeightsInvalid, DeviceUnavailable, OutOfMemory (not even one window fits).
    """
    p = job.params
    shape, name = tuple(p["volume"]["shape"]), "The volume"
    check_size(name, shape)
    affine = check_affine(name, p["volume"]["affine"])
    device = resolve_device(p["device"])
    precision = resolve_precision(p["precision"], device)
    model = models.model(p["task"], p["weights"], job)
    meta = model.weights.meta
    native, _ = ras_grid(shape, affine)
    network, grid = network_grid(shape, affine, meta.spacing_mm)
    look, size = region(p["roi"]), network
    volume = None
    if p["volume"]["array"] is not None:
        volume = volumes.finite(volumes.map_volume(job, p["volume"]))
    cautions = before_run(meta, shape, affine, volume, look)
    if look is not None:
        size = tuple(high - low for low, high in look.index_box(grid, network, meta.patch))
    windows = count_windows(size, meta.patch, p["overlap"])
    voxels, classes = int(np.prod(native)), meta.task.num_classes
    at_once = first_batch(p["batch"], device, meta.patch)
    at_once = at_once if device.type == "cpu" else 1  # a GPU has memory of its own
    segmenting = 4 * int(np.prod(network) + np.prod(size)) + checks.window_bytes(size, meta.patch, classes, at_once)
    memory = max(checks.prepare_bytes(native, network), segmenting) + voxels * (1 if classes <= 256 else 2)
    job.check()
    # No windows: what has not been prepared for OpenVINO yet is not prepared for an estimate by "auto".
    engine = choose_engine(
        p["engine"], model.network, device, precision, (1, 1, *meta.patch), 0, lambda stage: job.progress(0.1, stage)
    )
    job.progress(0.3, "timing one window")
    seconds, on_device = time_window(engine, (at_once, 1, *meta.patch), device, precision, job)
    views = count_views(model, p["tta"])
    patch = " x ".join(map(str, meta.patch))
    gpu = device.type == "cuda"
    return {
        "windows": windows,
        "views": views,
        "memory_bytes": int(memory),
        "memory_free_bytes": int(psutil.virtual_memory().available),
        "device_memory_bytes": on_device,
        "device_memory_free_bytes": torch.cuda.mem_get_info(device)[0] if gpu else None,
        "device": str(device),
        "precision": precision,
        "engine": str(engine),
        "seconds": windows * views * seconds,
        "cautions": [caution.to_dict() for caution in cautions],
        "basis": f"One window of {patch} voxels took {seconds:.2f} s on {device} by {engine}; {windows} windows at most"
        + (f", {views} views of each" if views > 1 else "")
        + " (fewer where there is only air).",
    }


def count_views(model: WarmModel, tta: bool) -> int:
    """Forward passes a window (see inference/tta.py)."""
    axes = model.weights.meta.training.get("mirror_axes") or ()
    return 1 if not tta else 2 ** len(axes) if axes else 3


def time_window(
    engine: Engine, shape: tuple[int, ...], device: torch.device, precision: str, job: Job
) -> tuple[float, int | None]:
    """Seconds a window of one forward pass [windows at once, C, *patch], the second of two, and the GPU memory it took.

    As many at once as the run will have: PyTorch takes small ones faster in twos on a processor.
    """
    network = engine.predictor
    if isinstance(network, torch.nn.Module):
        network = network.to(device)
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(device)
    seconds = 0.0
    with memory_errors(device), torch.inference_mode(), autocast(device, precision):
        for _ in range(2):  # the first measures algorithms, makes spectra and takes memory
            job.check()
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
            start = time.perf_counter()
            network(x).sum().item()  # waits for the device
            seconds = (time.perf_counter() - start) / len(x)
    return seconds, torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
