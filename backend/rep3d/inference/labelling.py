"""The windows of a prepared volume, run one after the other into a label map on the native grid."""

from __future__ import annotations

import numpy as np
import torch

from rep3d.data.preprocess import closest_axes, reorient, undo_reorient
from rep3d.data.volume import Volume
from rep3d.inference.feeder import Feeder
from rep3d.inference.mapping import LabelMapper, Sink
from rep3d.inference.prepared import Prepared
from rep3d.inference.run import Run
from rep3d.inference.windows import Patch, iterate_slabs, slab_axis
from rep3d.probability_map import ProbabilityWriter


def predict_labels(
    prepared: Prepared,
    labelmap: np.ndarray,
    feeder: Feeder,
    patch: Patch,
    overlap: float,
    run: Run,
    writer: ProbabilityWriter | None,
) -> None:
    """Run the windows over the cropped network grid and fill ``labelmap`` (native) slab by slab."""
    x_CDHW = prepared.x_CDHW
    axis = slab_axis(tuple(x_CDHW.shape[1:]), patch)
    labels_XYZ = reorient(labelmap, *closest_axes(prepared.volume.affine))  # a view
    sink = None if writer is None else _native_sink(writer, prepared.volume)
    mapper = LabelMapper(labels_XYZ, prepared.maps(), axis, sink)

    def on_window(done: int, total: int) -> None:
        run.report(0.02 + 0.96 * done / total, f"segmenting (window {done} of {total})")

    with torch.inference_mode():
        slabs = iterate_slabs(feeder, x_CDHW, patch, overlap, axis=axis, on_window=on_window, cancelled=run.cancelled)
        while True:
            with run.clock("network"):
                _, slab = next(slabs, (0, None))
            if slab is None:
                break
            with run.clock("map back"):
                mapper.add(slab)
    if not mapper.finished():
        raise RuntimeError("rows of the native grid were left without labels")


def _native_sink(writer: ProbabilityWriter, volume: Volume) -> Sink:
    """Bring tiles in RAS order into the order of the native array."""
    axes, flips = closest_axes(volume.affine)

    def sink(class_index: int, start: tuple[int, int, int], values_RAS: np.ndarray) -> None:
        native = [0, 0, 0]
        for a, axis in enumerate(axes):
            end = start[a] + values_RAS.shape[a]
            native[axis] = volume.shape[axis] - end if flips[a] else start[a]
        writer.add(class_index, tuple(native), undo_reorient(values_RAS, axes, flips))

    return sink
