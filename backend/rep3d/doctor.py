"""What `rep3d doctor` looks at: does everything that Rep3D needs work on this machine?"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from rep3d import __version__
from rep3d.errors import DeviceUnavailable, Rep3DError
from rep3d.runtime.packages import extras, install_hint

Status = Literal["ok", "note", "bad"]
REQUIRED = (
    "torch",
    "numpy",
    "scipy",
    "SimpleITK",
    "pydicom",
    "safetensors",
    "PyYAML",
    "typer",
    "rich",
    "platformdirs",
)
OPERATOR_TOLERANCE = 1e-5


@dataclass(frozen=True)
class Finding:
    """One line of the report. "bad": something essential does not work; "note": something optional is not there."""

    area: str
    name: str
    status: Status
    text: str

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


def examine() -> list[Finding]:
    """Every check, in the order in which the report shows them. A check that itself fails is reported as bad."""
    findings: list[Finding] = []
    checks: tuple[tuple[str, Callable[[], Iterator[Finding]]], ...] = (
        ("system", system),
        ("packages", packages),
        ("devices", devices),
        ("operator", operator),
        ("arithmetic", arithmetic),
        ("folders", folders),
        ("weights", weights),
    )
    for area, check in checks:
        try:
            findings += check()
        except Exception as error:  # whatever is broken, the report must come out
            findings.append(Finding(area, "check", "bad", f"failed: {type(error).__name__}: {error}"))
    return findings


def system() -> Iterator[Finding]:
    """Python, platform, processor, memory, disk."""
    import psutil
    import torch

    version = platform.python_version()
    enough = sys.version_info >= (3, 10)
    yield Finding("system", "rep3d", "ok", f"{__version__} in {Path(__file__).parent}")
    yield Finding("system", "python", "ok" if enough else "bad", version + ("" if enough else "; 3.10 is needed"))
    yield Finding("system", "platform", "ok", platform.platform())
    features = torch.backends.cpu.get_cpu_capability()
    threads = f"{torch.get_num_threads()} threads of {os.cpu_count()} logical processors"
    yield Finding("system", "processor", "ok", f"{platform.machine()}, {features}, {threads}")
    memory = psutil.virtual_memory()
    text = f"{memory.available / 2**30:.1f} GiB free of {memory.total / 2**30:.1f}"
    yield Finding("system", "memory", "ok" if memory.available > 2 * 2**30 else "note", text)
    disk = shutil.disk_usage(Path.cwd())
    yield Finding(
        "system", "disk", "ok" if disk.free > 2**30 else "note", f"{disk.free / 2**30:.1f} GiB free in {Path.cwd()}"
    )


def packages() -> Iterator[Finding]:
    """Versions of what inference needs and of the extras."""
    for name in (*REQUIRED, "psutil"):
        version = _version(name)
        yield Finding("packages", name, "ok" if version else "bad", version or f"missing: pip install {name}")
    for extra, names in extras().items():
        found = {name: _version(name) for name in names}
        missing = tuple(name for name, version in found.items() if version is None)
        if missing:
            text = f"missing {', '.join(missing)}. {install_hint(extra, missing)}"
        else:
            text = ", ".join(f"{name} {version}" for name, version in found.items())
        yield Finding("packages", f"extra {extra}", "note" if missing else "ok", text)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def devices() -> Iterator[Finding]:
    """GPUs that torch can use."""
    import torch

    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(i)
            text = f"{torch.cuda.get_device_name(i)}, {free / 2**30:.1f} GiB free of {total / 2**30:.1f}"
            yield Finding("devices", f"cuda:{i}", "ok", text)
    else:
        built = (
            f"torch is built for CUDA {torch.version.cuda}" if torch.version.cuda else "torch is a build without CUDA"
        )
        yield Finding("devices", "cuda", "note", f"none; {built}")
    mps = torch.backends.mps.is_available()
    yield Finding("devices", "mps", "ok" if mps else "note", "available" if mps else "none (Apple GPUs)")


def operator() -> Iterator[Finding]:
    """Each algorithm of the large-kernel convolution against the direct path in float64, on every device."""
    import torch

    from rep3d.ops import ALGORITHMS, depthwise_conv3d

    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 3, 11, 12, 13, generator=generator)
    weight = torch.randn(3, 1, 9, 7, 11, generator=generator)
    truth = depthwise_conv3d(x.double(), weight.double(), algorithm="direct")
    for device in _device_names():
        for algorithm in ALGORITHMS:
            essential = device == "cpu" and algorithm in ("auto", "direct")
            start = time.perf_counter()
            try:
                out = depthwise_conv3d(x.to(device), weight.to(device), algorithm=algorithm).cpu()
            except DeviceUnavailable:  # an algorithm of other devices
                continue
            except (RuntimeError, ValueError, NotImplementedError) as error:
                first = str(error).splitlines()[0] if str(error) else type(error).__name__
                yield Finding("operator", f"{algorithm} on {device}", "bad" if essential else "note", first)
                continue
            wrong = float((out.double() - truth).norm() / truth.norm())
            fine = wrong < OPERATOR_TOLERANCE
            text = f"relative error {wrong:.1e}, {1000 * (time.perf_counter() - start):.1f} ms"
            yield Finding("operator", f"{algorithm} on {device}", "ok" if fine else "bad", text)


def arithmetic() -> Iterator[Finding]:
    """The check that every run makes first (rep3d.conformance), of every device in both precisions."""
    import torch

    from rep3d import conformance
    from rep3d.inference.devices import resolve_device, resolve_precision

    for name in _device_names():
        device = resolve_device(name)
        for precision in conformance.PRECISIONS:
            checks = conformance.examine(device, precision, gradients=precision == "float32")
            wrong = [check for check in checks if not check.fine]
            if not wrong:
                worst = max(checks, key=lambda check: check.error / check.bound)
                text = f"{len(checks)} checks, the nearest to its bound: {worst}"
            else:
                text = f"PyTorch {torch.__version__} computes wrongly: " + "; ".join(map(str, wrong))
            usual = precision in ("float32", resolve_precision("auto", device))
            status = "ok" if not wrong else "bad" if usual else "note"
            yield Finding("arithmetic", f"{precision} on {device}", status, text)


def _device_names() -> list[str]:
    """Every device that a run can take."""
    import torch

    cuda = [f"cuda:{i}" for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    return ["cpu", *cuda, *(["mps"] if torch.backends.mps.is_available() else [])]


def folders() -> Iterator[Finding]:
    """Where Rep3D keeps its cache and a user's weights; it works without either, but measures again in every run."""
    from rep3d.runtime.folders import cache_folder
    from rep3d.weights import user_folder

    yield _writable("cache", cache_folder())
    yield _writable("weights folder", user_folder())


def _writable(name: str, folder: Path) -> Finding:
    """Try a temporary file in the folder, or in the nearest one that exists."""
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        return Finding("folders", name, "note", f"{folder} is not writable ({error.strerror})")
    return Finding("folders", name, "ok", str(folder) + ("" if there == folder else " (made when needed)"))


def weights() -> Iterator[Finding]:
    """Every installed weights file is read whole: structure, network and checksum."""
    from rep3d.weights import list_weights, load_weights, user_folder

    paths = list_weights()
    if not paths:
        yield Finding("weights", "installed", "note", f"none; put .safetensors files into {user_folder()}")
    for path in paths:
        try:
            loaded = load_weights(path)
        except Rep3DError as error:
            yield Finding("weights", path.name, "bad", str(error))
        else:
            yield Finding("weights", path.name, "ok", f"{loaded.meta.id}, checksum {loaded.sha256[:12]} verified")
