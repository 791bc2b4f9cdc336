"""Weights files: safetensors with all that inference needs in the metadata, checked before use, never unpickled."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs
from safetensors import SafetensorError, safe_open

from rep3d.errors import BadInput, WeightsInvalid, WeightsMissing
from rep3d.files import check_name, sha256_file, write_bytes
from rep3d.safetensors_header import Header, parse_json, read_header
from rep3d.tasks.checks import shown
from rep3d.weights_meta import DAMAGED, FORMAT_VERSION, WeightsMeta

if TYPE_CHECKING:  # torch takes seconds to import, and listing weights does without
    import torch
    from torch import nn

METADATA_KEY = "rep3d"
MASK_PREFIX = "aux.mask."
EXPONENT_PREFIX = "aux.exponent."
SHIPPED_FOLDER = Path(__file__).parent / "shipped"


@dataclass(frozen=True)
class Weights:
    """A weights file in memory: ``tensors`` by name (side tensors included), ``sha256`` of the file."""

    path: Path
    tensors: dict[str, torch.Tensor]
    meta: WeightsMeta
    sha256: str

    def build_network(self) -> nn.Module:
        """The deployed network with these weights, in evaluation mode, on the CPU, in float32."""
        network = _empty_network(self.meta, str(self.path))
        state = {name: t.float() for name, t in self.tensors.items() if not name.startswith("aux.")}
        network.load_state_dict(state, assign=True)
        return network.eval().requires_grad_(False)

    def masks(self) -> dict[str, torch.Tensor]:
        """The modulation mask M of each block by block name, float32, [1 or C, K, K, K]; empty if none were stored."""
        return {n[len(MASK_PREFIX) :]: t.float() for n, t in self.tensors.items() if n.startswith(MASK_PREFIX)}

    def exponents(self) -> dict[str, float]:
        """The exponent a of each block's prior (eq. 14) by block name; empty if none were stored."""
        prefix = EXPONENT_PREFIX
        return {n[len(prefix) :]: float(t) for n, t in self.tensors.items() if n.startswith(prefix)}


def save_weights(path: str | Path, tensors: dict[str, torch.Tensor], meta: WeightsMeta) -> None:
    """Write a weights file atomically. Raises OutputFailed, naming the file, if it cannot be written."""
    from safetensors.torch import save as safetensors_bytes

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    values = meta.to_dict()
    document = {"meta": values, "digest": _digest(tensors, values)}
    write_bytes(path, safetensors_bytes(tensors, metadata={METADATA_KEY: json.dumps(document, sort_keys=True)}))


def load_weights(path: str | Path) -> Weights:
    """Read and check a weights file, or the ensemble that a name ending in .ensemble.json lists (rep3d.ensemble).

    Raises:
        WeightsMissing: there is no such file.
        WeightsInvalid: pickled, truncated, tampered with, of a future format, or tensors that do not fit the network.
    """
    path = Path(path)
    if path.name.lower().endswith(".ensemble.json"):
        from rep3d.ensemble import load_ensemble

        return load_ensemble(path)
    values, digest, header = _read(path)
    meta = WeightsMeta.from_dict(values, str(path))
    _check_fit(header.shapes, meta, str(path))
    try:
        with safe_open(path, framework="pt") as archive:
            tensors = {name: archive.get_tensor(name) for name in header.shapes}
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsInvalid(f"{path} is not a whole safetensors file: {error}", DAMAGED) from error
    if digest != _digest(tensors, values):
        raise WeightsInvalid(f"{path} was changed after it was written (checksum mismatch)", DAMAGED)
    _check_numbers(tensors, str(path))
    return Weights(path, tensors, meta, sha256_file(path))


def read_meta(path: str | Path) -> WeightsMeta:
    """What the file says of itself, quickly: its tensors are not looked at, so it may still turn out to be damaged.

    Raises WeightsMissing and WeightsInvalid, as :func:`load_weights` does.
    """
    path = Path(path)
    if path.name.lower().endswith(".ensemble.json"):
        from rep3d.ensemble import ensemble_meta

        return ensemble_meta(path)
    return WeightsMeta.from_dict(_read(path)[0], str(path))


def _read(path: Path) -> tuple[dict[str, Any], Any, Header]:
    """The metadata of a weights file, unchecked, its digest and the file's header."""
    check_name(path)
    if not path.is_file():
        raise WeightsMissing(f"there is no weights file {path}", "`rep3d models` lists the weights that are installed.")
    header = read_header(path)
    text = header.metadata.get(METADATA_KEY)
    document = parse_json(text, path, "its metadata") if isinstance(text, str) else {}
    if not isinstance(document.get("meta"), dict):
        raise WeightsInvalid(
            f"{path} is a safetensors file, but not one of Rep3D's", "Use a file made by `rep3d fuse`."
        )
    version = document["meta"].get("format_version")
    if not isinstance(version, int) or version > FORMAT_VERSION or version < 1:
        raise WeightsInvalid(
            f"{path} has format version {shown(version)}; this Rep3D reads up to {FORMAT_VERSION}", "Update Rep3D."
        )
    return document["meta"], document.get("digest"), header


def user_folder() -> Path:
    """Where a user's own weights lie: ``REP3D_WEIGHTS_DIR``, else the platform's folder for application data."""
    override = os.environ.get("REP3D_WEIGHTS_DIR")
    return Path(override) if override else Path(platformdirs.user_data_dir("rep3d", appauthor=False)) / "weights"


def list_weights() -> list[Path]:
    """Weights files that are installed: the user's first, then the shipped ones."""
    return [path for folder in (user_folder(), SHIPPED_FOLDER) for path in sorted(folder.glob("*.safetensors"))]


def find_weights(task_key: str) -> Path:
    """The weights file for a task: ``<task>.safetensors`` of the user's folder, else the shipped one.

    Raises WeightsMissing, saying where to put a file, when there is neither.
    """
    for folder in (user_folder(), SHIPPED_FOLDER):
        path = folder / f"{task_key}.safetensors"
        if path.is_file():
            return path
    raise WeightsMissing(
        f"no weights are installed for task {task_key!r}",
        f"Train them (`rep3d train`, then `rep3d fuse`), name a file with --weights, or put "
        f"{task_key}.safetensors into {user_folder()}.",
    )


def _digest(tensors: dict[str, torch.Tensor], meta: dict[str, Any]) -> str:
    import torch

    digest = hashlib.sha256(json.dumps(meta, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _empty_network(meta: WeightsMeta, source: str) -> nn.Module:
    import torch

    from rep3d.networks import create_network

    name = meta.network["name"]
    try:
        with torch.device("meta"):
            return create_network(name, **meta.network["args"])
    except BadInput as error:
        raise WeightsInvalid(f"{source}: network: it cannot be built: {error}", "Update Rep3D.") from error
    except Exception as error:  # whatever a network's builder makes of arguments that nobody meant for it
        problem = f"{type(error).__name__}: {error}"
        raise WeightsInvalid(f"{source}: network: {name!r} cannot be built: {problem}", DAMAGED) from error


def _check_fit(shapes: dict[str, tuple[int, ...]], meta: WeightsMeta, source: str) -> None:
    """Names and shapes of the tensors against the network that the metadata describes; no tensor is read yet."""
    network = _empty_network(meta, source)
    expected = {name: tuple(t.shape) for name, t in network.state_dict().items()}
    found = {name: shape for name, shape in shapes.items() if not name.startswith("aux.")}
    if found != expected:
        wrong = sorted(n for n in expected.keys() | found.keys() if expected.get(n) != found.get(n))
        first = wrong[0]
        raise WeightsInvalid(
            f"{source} does not fit network {meta.network['name']!r}: {len(wrong)} tensors differ, first {first[:100]} "
            f"(needs {expected.get(first)}, has {found.get(first)})",
            DAMAGED,
        )
    if any(size % network.stride for size in meta.patch):
        raise WeightsInvalid(f"{source}: patch: {list(meta.patch)} are no multiples of {network.stride}", DAMAGED)
    for name, shape in shapes.items():
        if name.startswith(EXPONENT_PREFIX) and prod(shape) != 1:
            raise WeightsInvalid(f"{source}: {name[:100]} is not one number", DAMAGED)
        if name.startswith(MASK_PREFIX) and (len(shape) != 4 or 0 in shape):
            raise WeightsInvalid(f"{source}: {name[:100]} is no mask of a kernel, but of shape {shape}", DAMAGED)


def _check_numbers(tensors: dict[str, torch.Tensor], source: str) -> None:
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise WeightsInvalid(f"{source}: {name} holds {tensor.dtype}, no floating-point numbers", DAMAGED)
        if not tensor.isfinite().all():
            raise WeightsInvalid(f"{source}: {name} holds numbers that are not finite", DAMAGED)
