"""A MONAI bundle: weights, network, transforms and documents in one folder that runs with MONAI alone."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import shutil
import sys
import uuid
import zipfile
from collections.abc import Iterator
from importlib import metadata as installed
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rep3d.errors import BadInput, OutputFailed
from rep3d.export import bundle_configs, bundle_documents
from rep3d.export.agreement import Agreement, Windows, compare
from rep3d.export.carry import carried, foreign_imports
from rep3d.export.describe import describe
from rep3d.export.plain import check_plain, plain_copy
from rep3d.export.programs import trace
from rep3d.export.source import Source
from rep3d.files import remove_leftovers, taken, temporary_path
from rep3d.runtime.packages import need

PACKAGE = "scripts"
ROOTS = ("rep3d.networks", "rep3d.export.monai_parts")
SHIM = Path(__file__).with_name("bundle_ops.py")
#: What MONAI's bundle commands need, and NIfTI.
RUNTIME = {"nibabel": "nibabel", "ignite": "pytorch-ignite", "fire": "fire"}
TRACED = "models/model.ts"


def export_bundle(source: Source, out: Path, windows: Windows, *, overwrite: bool = False) -> Agreement:
    """Write ``source`` as a MONAI bundle: a folder, or a .zip file that holds one.

    The network is built from the bundle's own files, without this package's operator, and compared before anything gets
    its final name.

    Args:
        out: folder, or file that ends in .zip. overwrite: replace what is there.
        windows: what the two networks are compared on.

    Raises:
        BadInput: a package is missing, or the network cannot run without this package.
        WeightsInvalid: the logits differ by more than agreement.TOLERANCE.
        OutputFailed: ``out`` is there already and ``overwrite`` is false, or it cannot be written.
    """
    need("bundle")
    scripts = bundle_scripts()
    with new_output(out, overwrite) as folder:
        write_files(folder, scripts)
        state = {name: tensor.contiguous() for name, tensor in source.network.state_dict().items()}
        (folder / "models").mkdir()
        torch.save(state, folder / "models" / "model.pt")
        with own_network(folder, source) as network:
            check_plain(network, windows.tensors[0])
            agreement = compare(source, network, windows, f"the bundle's network, torch {torch.__version__}")
        description = describe(source, "bundle", agreement)
        metadata = bundle_configs.metadata(source, packages(scripts), description)
        traced = traced_network(source, windows)
        if traced is not None:
            (folder / TRACED).write_bytes(with_metadata(traced, metadata))
        texts = {
            "configs/metadata.json": as_json(metadata),
            "configs/inference.json": as_json(bundle_configs.inference_config(source)),
            "docs/metadata.schema.json": as_json(bundle_configs.metadata_schema()),
            "docs/README.md": bundle_documents.readme(source, agreement, traced=traced is not None),
            "LICENSE": bundle_documents.licence(source),
        }
        write_files(folder, texts)
        if source.card is not None and source.card.picture is not None:
            shutil.copyfile(source.card.picture, folder / "docs" / source.card.picture.name)
        check_metadata(metadata)
    return agreement


def bundle_scripts() -> dict[str, str]:
    """The Python files of a bundle by path: all networks, and the transforms, with what they import."""
    shim = SHIM.read_text(encoding="utf-8")
    return carried(ROOTS, {"rep3d.ops": shim}, PACKAGE)


def packages(scripts: dict[str, str]) -> dict[str, str]:
    """Package -> version here, of what the bundle needs besides MONAI's own requirements (torch, numpy)."""
    needed = dict(RUNTIME) | {name: name for name in foreign_imports(scripts) - {"torch", "numpy", "monai", "rep3d"}}
    return {package: installed.version(package) for package in sorted(needed.values())}


def check_metadata(metadata: dict[str, Any]) -> None:
    """Check metadata.json against the schema that the bundle carries. Raises BadInput."""
    import jsonschema

    try:
        jsonschema.validate(metadata, bundle_configs.metadata_schema())
    except jsonschema.ValidationError as error:
        where = "/".join(map(str, error.absolute_path))
        raise BadInput(f"the bundle's metadata would not be valid: {where}: {error.message}") from error


@contextlib.contextmanager
def own_network(folder: Path, source: Source) -> Iterator[nn.Module]:
    """The network built from a bundle's files alone, with its weights, on PyTorch's convolution."""
    before = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == PACKAGE}
    for name in before:
        del sys.modules[name]
    plain = os.environ.get("REP3D_BUNDLE_PLAIN")
    os.environ["REP3D_BUNDLE_PLAIN"] = "1"
    sys.path.insert(0, str(folder))
    write_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        networks = importlib.import_module(f"{PACKAGE}.networks")
        network = networks.create_network(source.meta.network["name"], **source.meta.network["args"])
        network.load_state_dict(torch.load(folder / "models" / "model.pt", weights_only=True))
        yield network.eval().requires_grad_(False)
    finally:
        sys.path.remove(str(folder))
        sys.dont_write_bytecode = write_bytecode
        for name in [n for n in sys.modules if n.partition(".")[0] == PACKAGE]:
            del sys.modules[name]
        sys.modules.update(before)
        os.environ.pop("REP3D_BUNDLE_PLAIN")
        if plain is not None:
            os.environ["REP3D_BUNDLE_PLAIN"] = plain


def traced_network(source: Source, windows: Windows):
    """The network as TorchScript, compared as well; None when it cannot be traced: a bundle is whole without it.

    For batches of any size where the network can do that, else for single windows, which is what the bundle runs.
    """
    plain = plain_copy(source.network)
    for batch in (0, 1):
        try:
            traced = trace(source, plain, torch.cat(windows.tensors[:1] * (batch or 2)), batch=batch)
            compare(source, traced, windows, "TorchScript", batch=batch)
            return traced
        except BadInput:
            continue
    return None


def with_metadata(traced, metadata: dict[str, Any]) -> bytes:
    """A TorchScript file with the bundle's metadata inside, as ``monai.data.load_net_with_metadata`` reads it."""
    from monai.data import save_net_with_metadata

    buffer = io.BytesIO()
    save_net_with_metadata(traced, buffer, meta_values=metadata)
    return buffer.getvalue()


def as_json(values: Any) -> str:
    """Indented JSON text with a line end."""
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


def write_files(folder: Path, texts: dict[str, str]) -> None:
    """Write UTF-8 text files with LF line ends below ``folder``."""
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")


@contextlib.contextmanager
def new_output(out: Path, overwrite: bool) -> Iterator[Path]:
    """Give an empty folder; on success it, or the .zip file of it, takes the name ``out``, else nothing is left.

    Raises OutputFailed: ``out`` is there already and ``overwrite`` is false, or it cannot be written.
    """
    out = Path(out)
    if out.exists() and not overwrite:
        raise taken(out)
    zipped = out.suffix.lower() == ".zip"
    remove_leftovers(out)
    building, packed = temporary_path(out), temporary_path(out)
    old = out.with_name(f".{out.name}-old-{uuid.uuid4().hex[:8]}")
    folder = building / (out.stem if zipped else out.name)
    try:
        folder.mkdir(parents=True)
        yield folder
        if zipped:
            pack(folder, packed)
        if out.exists():
            os.replace(out, old)
        os.replace(packed if zipped else folder, out)
    except OSError as error:
        if old.exists() and not out.exists():
            os.replace(old, out)
        raise OutputFailed(
            f"cannot write {out}: {error.strerror or error}", "Check the folder, its permissions and free space."
        ) from error
    finally:
        for path in (building, packed, old):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)


def pack(folder: Path, out: Path) -> None:
    """A .zip file that holds ``folder`` under its name; its files in the order of their names."""
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            archive.write(path, f"{folder.name}/{path.relative_to(folder).as_posix()}")
