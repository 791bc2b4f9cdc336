"""Deployed networks as single files: ONNX, torch.export (.pt2), TorchScript (.ts). Each is run before it is kept."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rep3d.errors import BadInput
from rep3d.export.agreement import Agreement, Windows, compare
from rep3d.export.describe import INPUT, OUTPUT, as_properties, describe
from rep3d.export.norms import stepwise_norms
from rep3d.export.plain import check_plain, plain_copy
from rep3d.export.source import Source
from rep3d.files import atomic_path
from rep3d.runtime.packages import need

#: Opset 18 has all that the networks need and is read by onnxruntime 1.14 and newer.
OPSET = 18
MAX_BATCH, MAX_STRIDES = 1024, 256
EXTRA_FILE = "rep3d.json"
SUFFIXES = {"onnx": ".onnx", "torch-export": ".pt2", "torchscript": ".ts"}


def export_file(
    source: Source, out: Path, kind: str, windows: Windows, *, batch: int = 0, dynamic_size: bool = False
) -> Agreement:
    """Write ``source`` as one file, run it, and keep it only if its logits agree.

    Args:
        out: file to write. kind: a key of SUFFIXES.
        windows: what the two networks are compared on.
        batch: fixed batch size; 0 for any.
        dynamic_size: let the window have any size that is a multiple of the network's stride, not the patch alone.

    Raises:
        BadInput: a package is missing, or the network cannot be exported so.
        WeightsInvalid: the logits differ by more than agreement.TOLERANCE. OutputFailed.
    """
    write = {"onnx": _write_onnx, "torch-export": _write_program, "torchscript": _write_torchscript}[kind]
    plain = plain_copy(source.network)
    example = torch.cat([windows.tensors[0]] * (batch or 2))
    check_plain(plain, example)
    options = {"batch": batch, "dynamic_size": dynamic_size}

    def record(run: Callable[[Tensor], Tensor], runtime: str) -> tuple[dict[str, Any], Agreement]:
        agreement = compare(source, run, windows, runtime, **options)
        return describe(source, kind, agreement, **options), agreement

    with atomic_path(out) as temporary:
        return write(source, plain, example, temporary, record, **options)


def _write_onnx(source, plain, example, path, record, *, batch: int, dynamic_size: bool) -> Agreement:
    need("onnx")
    import onnx
    import onnxruntime

    shapes = dynamic_shapes(source.network, batch, dynamic_size)
    with _exporting(source, "ONNX", batch, dynamic_size):
        program = torch.onnx.export(
            stepwise_norms(plain),
            (example,),
            dynamo=True,
            verbose=False,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=(shapes,),
            opset_version=OPSET,
        )
        model = program.model_proto
    if model.ByteSize() >= 2**31 - 2**20:
        raise BadInput("the network is larger than the 2 GiB that one ONNX file can hold", "Use --format torch-export.")
    foreign = sorted({f"{n.domain}::{n.op_type}" for n in model.graph.node if n.domain not in ("", "ai.onnx")})
    if foreign or model.functions:
        raise BadInput(f"the ONNX file would need operators that are not ONNX's own: {', '.join(foreign)}")
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()  # by itself it takes all cores, also those of other work
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    description, agreement = record(
        lambda x: torch.from_numpy(session.run([OUTPUT], {INPUT: x.numpy()})[0]),
        f"onnxruntime {onnxruntime.__version__} on the CPU",
    )
    description["opset"] = OPSET
    model.producer_name, model.producer_version = "rep3d", description["rep3d_version"]
    model.doc_string = f"{description['title']}. {description['disclaimer']}"
    onnx.helper.set_model_props(model, as_properties(description, source))
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return agreement


def _write_program(source, plain, example, path, record, *, batch: int, dynamic_size: bool) -> Agreement:
    program = exported_program(source, plain, example, batch=batch, dynamic_size=dynamic_size)
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    module = torch.export.load(io.BytesIO(buffer.getvalue())).module()
    description, agreement = record(module, f"torch.export, torch {torch.__version__}")
    extra = {EXTRA_FILE: json.dumps(description, ensure_ascii=False)}
    if source.card is not None:
        extra["card.md"] = source.card.text
    # torch takes a path only if it ends in .pt2, which the user's name need not
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files=extra)
    path.write_bytes(buffer.getvalue())
    return agreement


def exported_program(source: Source, plain: nn.Module, example: Tensor, *, batch: int = 0, dynamic_size: bool = False):
    """``plain`` as a torch.export program for [batch, C, *patch], or sizes as in :func:`export_file`."""
    shapes = dynamic_shapes(source.network, batch, dynamic_size)
    with _exporting(source, "torch.export", batch, dynamic_size), torch.no_grad():
        return torch.export.export(plain, (example,), dynamic_shapes=(shapes,))


def _write_torchscript(source, plain, example, path, record, *, batch: int, dynamic_size: bool) -> Agreement:
    traced = trace(source, plain, example, batch=batch, dynamic_size=dynamic_size)
    buffer = io.BytesIO()
    torch.jit.save(traced, buffer)
    loaded = torch.jit.load(io.BytesIO(buffer.getvalue()), map_location="cpu")
    description, agreement = record(loaded, f"TorchScript, torch {torch.__version__}")
    extra = {EXTRA_FILE: json.dumps(description, ensure_ascii=False)}
    if source.card is not None:
        extra["card.md"] = source.card.text
    buffer = io.BytesIO()
    torch.jit.save(traced, buffer, _extra_files=extra)
    path.write_bytes(buffer.getvalue())
    return agreement


def trace(source: Source, plain: nn.Module, example: Tensor, *, batch: int = 0, dynamic_size: bool = False):
    """``plain`` as a traced TorchScript module."""
    with _exporting(source, "TorchScript", batch, dynamic_size), torch.no_grad():
        return torch.jit.trace(plain, example, check_trace=False)


def dynamic_shapes(network: nn.Module, batch: int, dynamic_size: bool) -> dict[int, Any] | None:
    """What torch.export is told of the input's axes; None when all are fixed."""
    dim = torch.export.Dim
    shapes: dict[int, Any] = {} if batch else {0: dim("batch", min=1, max=MAX_BATCH)}
    if dynamic_size:
        # The smallest window is two strides: at one, the deepest map is a single voxel.
        names = ("width", "height", "depth")
        shapes |= {a + 2: network.stride * dim(n, min=2, max=MAX_STRIDES) for a, n in enumerate(names)}
    return shapes or None


@contextlib.contextmanager
def _exporting(source: Source, what: str, batch: int, dynamic_size: bool) -> Iterator[None]:
    """Turn whatever an exporter raises into one clear error, and keep its chatter from the terminal."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Exception as error:
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        if dynamic_size:
            hint = "Leave out --dynamic-size: this network may only take windows of its patch."
        elif not batch:
            hint = "Try --batch 1: this network may not take batches of any size."
        else:
            hint = "Try another --format."
        name = source.meta.network["name"]
        raise BadInput(f"network {name!r} cannot be exported to {what}: {reason[:300]}", hint) from error
    finally:
        logging.disable(level)
