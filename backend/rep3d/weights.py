"""Weights files: safetensors with all that inference needs in the metadata, checked before use, never unpickled."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs
from safetensors import SafetensorError, safe_open

from rep3d.errors import BadInput, WeightsInvalid, WeightsMissing
from rep3d.files import check_name, sha256_file, write_bytes
from rep3d.tasks import Intensity, Task

if TYPE_CHECKING:  # torch takes seconds to import, and listing weights does without
    import torch
    from torch import nn

FORMAT_VERSION = 1
METADATA_KEY = "rep3d"
MASK_PREFIX = "aux.mask."
EXPONENT_PREFIX = "aux.exponent."
SHIPPED_FOLDER = Path(__file__).parent / "shipped"


@dataclass(frozen=True)
class WeightsMeta:
    """What a weights file says of itself.

    Attributes:
        id: short name, unique among a user's weights.
        task: labels, grid and window the weights were trained for.
        network: name and arguments for ``create_network`` (deployed form).
        patch: (x, y, z) voxels of the training crops; inference uses the same windows.
        spacing_mm, intensity: what the network's input must look like.
        training: summary (steps, command, validation Dice, ...), JSON-able.
        data_sha256: digest of the training data list ("" when unknown).
        created: ISO 8601 time. rep3d_version: of the program that wrote the file. licence: of the weights.
        form: always "deployed". format_version: of this layout.
    """

    id: str
    task: Task
    network: dict[str, Any]
    patch: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    intensity: Intensity
    training: dict[str, Any]
    data_sha256: str
    created: str
    rep3d_version: str
    licence: str
    form: str = "deployed"
    format_version: int = FORMAT_VERSION

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        values = dict(self.__dict__)
        values["task"] = self.task.to_dict()
        values["intensity"] = self.intensity.to_dict()
        values["patch"] = list(self.patch)
        values["spacing_mm"] = list(self.spacing_mm)
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any], source: str) -> WeightsMeta:
        """The reverse of ``to_dict``; raises WeightsInvalid when something is missing, unknown or of the wrong kind."""
        values = dict(values)
        missing = set(cls.__dataclass_fields__) - set(values)
        if missing:
            raise WeightsInvalid(f"{source} lacks metadata: {', '.join(sorted(missing))}", _DAMAGED)
        unknown = set(values) - set(cls.__dataclass_fields__)
        if unknown:
            raise WeightsInvalid(f"{source} has unknown metadata: {', '.join(sorted(unknown))}", _DAMAGED)
        try:
            values["task"] = Task.from_dict(values["task"], source)
            values["intensity"] = Intensity.from_value(values["intensity"], source)
            values["patch"] = tuple(int(v) for v in values["patch"])
            values["spacing_mm"] = tuple(float(v) for v in values["spacing_mm"])
            if len(values["patch"]) != 3 or len(values["spacing_mm"]) != 3 or values["form"] != "deployed":
                raise ValueError("patch, spacing or form")
        except (BadInput, TypeError, ValueError) as error:
            raise WeightsInvalid(f"{source} has wrong metadata: {error}", _DAMAGED) from error
        return cls(**values)


_DAMAGED = "Get the file again, or fuse it again from its checkpoint."


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
    values, digest, tensors = _read(path, tensors=True)
    if digest != _digest(tensors, values):
        raise WeightsInvalid(f"{path} was changed after it was written (checksum mismatch)", _DAMAGED)
    meta = WeightsMeta.from_dict(values, str(path))
    _check_fit(tensors, meta, str(path))
    return Weights(path, tensors, meta, sha256_file(path))


def read_meta(path: str | Path) -> WeightsMeta:
    """What the file says of itself, quickly: its tensors are not looked at, so it may still turn out to be damaged.

    Raises WeightsMissing and WeightsInvalid, as :func:`load_weights` does.
    """
    path = Path(path)
    if path.name.lower().endswith(".ensemble.json"):
        from rep3d.ensemble import ensemble_meta

        return ensemble_meta(path)
    return WeightsMeta.from_dict(_read(path, tensors=False)[0], str(path))


def _read(path: Path, *, tensors: bool) -> tuple[dict[str, Any], Any, dict[str, torch.Tensor]]:
    """The metadata of a weights file, its digest, and its tensors if they are asked for."""
    check_name(path)
    if not path.is_file():
        raise WeightsMissing(f"there is no weights file {path}", "`rep3d models` lists the weights that are installed.")
    try:
        with open(path, "rb") as stream:
            start = stream.read(9)
    except OSError as error:
        raise WeightsInvalid(f"{path} cannot be read: {error.strerror}", "Check its permissions.") from error
    # Safetensors: the header's length in 8 bytes, which may begin like a pickle or a zip archive, then "{".
    if start[8:] != b"{" and start.startswith((b"PK", b"\x80")):
        raise WeightsInvalid(
            f"{path} is a pickled PyTorch file, which could run code when loaded",
            "Turn your own checkpoint into weights with `rep3d fuse`, foreign ones with `rep3d import`.",
        )
    try:
        with safe_open(path, framework="pt" if tensors else "np") as archive:
            document = json.loads((archive.metadata() or {}).get(METADATA_KEY, "null"))
            names = archive.keys() if tensors else []
            loaded = {name: archive.get_tensor(name) for name in names}
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsInvalid(f"{path} is not a whole safetensors file: {error}", _DAMAGED) from error
    if not isinstance(document, dict) or not isinstance(document.get("meta"), dict):
        raise WeightsInvalid(
            f"{path} is a safetensors file, but not one of Rep3D's", "Use a file made by `rep3d fuse`."
        )
    version = document["meta"].get("format_version")
    if not isinstance(version, int) or version > FORMAT_VERSION or version < 1:
        raise WeightsInvalid(
            f"{path} has format version {version!r}; this Rep3D reads up to {FORMAT_VERSION}", "Update Rep3D."
        )
    return document["meta"], document.get("digest"), loaded


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

    try:
        with torch.device("meta"):
            return create_network(meta.network["name"], **meta.network["args"])
    except (BadInput, TypeError, ValueError, KeyError) as error:
        raise WeightsInvalid(f"{source} names a network that cannot be built: {error}", "Update Rep3D.") from error


def _check_fit(tensors: dict[str, torch.Tensor], meta: WeightsMeta, source: str) -> None:
    """Names, shapes and classes of the tensors against the network that the metadata describes."""
    expected = {name: tuple(t.shape) for name, t in _empty_network(meta, source).state_dict().items()}
    found = {name: tuple(t.shape) for name, t in tensors.items() if not name.startswith("aux.")}
    if found != expected:
        wrong = sorted(n for n in expected.keys() | found.keys() if expected.get(n) != found.get(n))
        first = wrong[0]
        raise WeightsInvalid(
            f"{source} does not fit network {meta.network['name']!r}: {len(wrong)} tensors differ, first {first} "
            f"(needs {expected.get(first)}, has {found.get(first)})",
            _DAMAGED,
        )
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise WeightsInvalid(f"{source}: {name} holds {tensor.dtype}, no floating-point numbers", _DAMAGED)
    if meta.network["args"].get("out_channels") != meta.task.num_classes:
        raise WeightsInvalid(f"{source}: the network's classes are not those of task {meta.task.key!r}", _DAMAGED)
