"""A deployed network compiled by OpenVINO for one window size, kept compiled on the disk."""

from __future__ import annotations

import functools
import hashlib
import io
import logging
import platform
import warnings

import numpy as np
import torch
from torch import Tensor, nn

import rep3d
from rep3d.errors import BadInput
from rep3d.inference.engines import disk
from rep3d.inference.engines.lowering import lowered_copy
from rep3d.runtime.privacy import import_openvino

#: Changes when what is compiled changes, so that older files are not used.
REVISION = 1
HINTS = {"float32": "f32", "bfloat16": "bf16"}


class EngineFailed(Exception):
    """OpenVINO cannot run this network here; the text says why."""


def version() -> str:
    """Of the installed OpenVINO, e.g. ``2026.4.1``. Raises ImportError where there is none."""
    return import_openvino().__version__.split("-")[0]


@functools.cache
def core():
    """OpenVINO's one runtime object of this process."""
    return import_openvino().Core()


def key_of(network: nn.Module, shape: tuple[int, ...], precision: str, threads: int) -> str:
    """What a compiled network depends on, as 32 hexadecimal digits: every weight, the window, versions, processor."""
    digest = hashlib.blake2b(digest_size=16)
    known = [REVISION, rep3d.__version__, version(), torch.__version__, shape, precision, threads, platform.machine()]
    known += [core().get_property("CPU", "FULL_DEVICE_NAME"), network]
    digest.update(repr(known).encode())
    for name, tensor in network.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


class OpenVINOPredictor:
    """[b, C, *patch] -> logits [b, K, *patch], float32 on the CPU, one window after the other.

    Attributes: compiled: OpenVINO's compiled model. from_disk: whether it was compiled in an earlier run.
    """

    def __init__(self, compiled, shape: tuple[int, ...], from_disk: bool):
        self.compiled, self.shape, self.from_disk = compiled, tuple(shape), from_disk
        self._request = compiled.create_infer_request()

    def __call__(self, x_BCDHW: Tensor) -> Tensor:
        """Raises ValueError for windows of another size than it was compiled for."""
        if tuple(x_BCDHW.shape[1:]) != self.shape[1:]:
            raise ValueError(f"compiled for windows of {list(self.shape[1:])}, not {list(x_BCDHW.shape[1:])}")
        x = np.ascontiguousarray(x_BCDHW.detach().to("cpu", torch.float32).numpy())
        logits = []
        for window in x:
            self._request.infer({0: window[None]}, share_inputs=True)
            # A copy: the next run writes to the same memory.
            logits.append(torch.from_numpy(self._request.get_output_tensor(0).data).clone())
        return logits[0] if len(logits) == 1 else torch.cat(logits)


def compile_network(
    network: nn.Module, shape: tuple[int, ...], precision: str, *, key: str | None = None, threads: int | None = None
) -> OpenVINOPredictor:
    """Compile ``network`` for windows of ``shape`` [1, C, D, H, W], or take it from the disk.

    Args:
        precision: "float32" or "bfloat16" (what OpenVINO computes in; input and logits are float32).
        key: of :func:`key_of`, where it is known already. threads: default PyTorch's.

    Raises:
        BadInput: bfloat16 on a processor that has no instructions for it.
        EngineFailed: the network cannot be converted or compiled.
    """
    threads = threads or torch.get_num_threads()
    if precision == "bfloat16" and "BF16" not in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise BadInput(
            "OpenVINO computes in bfloat16 only on processors with instructions for it, and this one has none.",
            "Use --precision float32.",
        )
    config = {
        "INFERENCE_PRECISION_HINT": HINTS[precision],
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
    file = disk.folder() / f"{key or key_of(network, shape, precision, threads)}.blob"
    blob = disk.read(file)
    if blob is not None:
        try:
            return OpenVINOPredictor(core().import_model(blob, "CPU", config), shape, True)
        except RuntimeError as error:
            warnings.warn(f"{file} cannot be used and is made again: {reason_of(error)}", RuntimeWarning, stacklevel=2)
    try:
        model = convert(lowered_copy(network, shape), shape)
        compiled = core().compile_model(model, "CPU", config)
        predictor = OpenVINOPredictor(compiled, shape, False)
    except Exception as error:  # whatever torch.export and OpenVINO raise for what they do not know
        raise EngineFailed(f"OpenVINO {version()} cannot take this network: {reason_of(error)}") from error
    disk.write(file, exported(compiled))
    return predictor


def convert(network: nn.Module, shape: tuple[int, ...]):
    """``network`` as an OpenVINO model for inputs of ``shape``, by the front end itself."""
    openvino = import_openvino()
    decoding = import_openvino("openvino.frontend.pytorch.fx_decoder")
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.export.export(network, (torch.zeros(shape),))
            # Each has a name here because it has to live as long as the next one needs it.
            manager = openvino.frontend.FrontEndManager()
            front_end = manager.load_by_framework("pytorch")
            decoder = decoding.TorchFXPythonDecoder.from_exported_program(program)
            loaded = front_end.load(decoder)
            model = front_end.convert(loaded)
    finally:
        logging.disable(level)
    model.reshape(openvino.PartialShape(list(shape)))
    shrink_constants(model)
    return model


def shrink_constants(model) -> None:
    """Give products with the same matrix for every channel that matrix once, not a copy for each of them, in place."""
    opset13 = import_openvino().opset13
    for node in model.get_ops():
        if node.get_type_name() != "MatMul":
            continue
        for port in (0, 1):
            source = node.input(port).get_source_output().get_node()
            matrix = constant_of(source)
            if matrix is None or matrix.ndim != 3 or len(matrix) == 1 or not (matrix == matrix[:1]).all():
                continue
            node.input(port).replace_source_output(opset13.constant(np.ascontiguousarray(matrix[:1])).output(0))
    model.validate_nodes_and_infer_types()


def constant_of(node) -> np.ndarray | None:
    """The value of a constant, also of one behind reshapes and broadcasts; None for what depends on the input."""
    if node.get_type_name() == "Constant":
        return node.get_data()
    outputs = node.outputs()
    if node.get_type_name() not in ("Reshape", "Broadcast", "Unsqueeze") or len(outputs) != 1:
        return None
    data = constant_of(node.input_value(0).get_node())  # the other inputs say the shape, which is known here
    if data is None or not outputs[0].get_partial_shape().is_static:
        return None
    shape = tuple(outputs[0].get_shape())
    if data.size == int(np.prod(shape)):
        return data.reshape(shape)
    return np.broadcast_to(data, shape)


def exported(compiled) -> bytes:
    """The compiled model as a file would hold it."""
    stream = io.BytesIO()
    compiled.export_model(stream)
    return stream.getvalue()


def reason_of(error: BaseException) -> str:
    """What an error says, without OpenVINO's "Check failed at ..." in front, at most 300 characters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(("Check ", "Exception from"))] or lines
    return " ".join(told)[:300] or type(error).__name__
