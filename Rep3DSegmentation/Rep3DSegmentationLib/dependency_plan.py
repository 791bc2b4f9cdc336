"""What the installation of Rep3D's Python packages would do, and how much it would download; changes nothing."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .dependency_list import LIGHT_THE_TORCH, OPENVINO, PROTECTED, Need
from .i18n import _
from .python_environment import PythonEnvironment, canonical, satisfies
from .torch_builds import (
    Build,
    TorchBuild,
    builds,
    chosen_build,
    gpu_expected,
    index_of,
    no_torch_here,
    pytorch_utils_present,
    size_from_index,
)


@dataclass(frozen=True)
class Requirement:
    """One package that is missing or too old; `installed` is its present version, None if absent."""

    name: str
    spec: str
    installed: str | None
    size_mb: float


@dataclass(frozen=True)
class DependencyReport:
    """Result of `check`: ok, or what is missing; `note` is one sentence for the user."""

    ok: bool
    missing: tuple[Requirement, ...]
    note: str


@dataclass(frozen=True)
class Step:
    """One run: Python module ("pip" or "light_the_torch"), what it is asked to install, further options."""

    title: str
    module: str
    requirements: tuple[str, ...]
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class InstallPlan:
    """What `install` will do. `lines` are for the user; `torch_via` is None where torch is there already.

    `problem` is set where nothing can be done without breaking Slicer's own packages; `install` then only says so.
    """

    lines: tuple[str, ...]
    total_mb: float
    torch_via: str | None
    steps: tuple[Step, ...]
    problem: str = ""


@dataclass(frozen=True)
class Choices:
    """What a user may choose before an installation, for the panel's dialog.

    Args:
        builds: builds of PyTorch, the recommended one first; one entry where there is no choice, none where PyTorch is
            there already.
        openvino_mb: download of OpenVINO; 0 where it is there already.
        openvino_recommended: the computer has no GPU that PyTorch uses, so OpenVINO makes it several times faster.
    """

    builds: tuple[TorchBuild, ...]
    openvino_mb: float
    openvino_recommended: bool


def choices(report: DependencyReport, environment: PythonEnvironment | None = None) -> Choices:
    """The choices that `plan` takes as `build` and `openvino`, with their sizes."""
    offered = builds() if any(item.name == "torch" for item in report.missing) else ()
    openvino = lacking(OPENVINO, environment or PythonEnvironment(sys.executable))
    return Choices(offered, openvino.size_mb if openvino else 0.0, openvino is not None and not gpu_expected())


def lacking(need: Need, environment: PythonEnvironment) -> Requirement | None:
    """The need as a requirement if it is not there, half removed or too old; None if it is met."""
    version = environment.version(need.name)
    present = environment.has_module(need.module)
    if version is None and present and canonical(need.name) in PROTECTED:
        return None  # built into Slicer without metadata: there, and not pip's business
    if version is not None and present and satisfies(version, need.spec):
        return None
    size_mb = chosen_build("auto").size_mb if need.name == "torch" else need.size_mb
    return Requirement(need.name, need.spec, version if present else None, size_mb)


def plan(
    report: DependencyReport,
    wheel_folder: str | Path | None = None,
    *,
    build: Build = "auto",
    openvino: bool = False,
    torch_index_url: str | None = None,
    environment: PythonEnvironment | None = None,
) -> InstallPlan:
    """What `install` would do about a report, and how much it would download.

    Args:
        report: from `check`.
        wheel_folder: folder of `.whl` files to install from without a network.
        build: of PyTorch, where it is missing: for the processor ("cpu"), for NVIDIA GPUs ("gpu"), or "auto": "gpu"
            where NVIDIA's driver is installed.
        openvino: OpenVINO is to be there too, also where nothing else is missing.
        torch_index_url: package index for torch (https://download.pytorch.org/whl/rocm6.4 ...); goes before `build`.
    """
    environment = environment or PythonEnvironment(sys.executable)
    extra = lacking(OPENVINO, environment) if openvino else None
    missing = (*report.missing, extra) if extra else report.missing
    if not missing:
        return InstallPlan((report.note,), 0.0, None, ())
    problem = _problem(missing, offline=bool(wheel_folder))
    if problem:
        return _impossible(problem)
    if wheel_folder:
        return _plan_offline(missing, Path(wheel_folder).expanduser())
    lines = [_("These packages go into Slicer's own Python:")]
    steps: list[Step] = []
    torch_via, total = None, 0.0
    torch = next((item for item in missing if item.name == "torch"), None)
    if torch:
        source = _torch_source(torch, build, (torch_index_url or "").strip())
        if source.problem:
            return _impossible(source.problem)
        torch_via, total = source.via, source.size_mb
        steps += source.steps
        lines.append(_line(torch, source.size_mb, source.text))
    rest = [item for item in missing if item is not torch]
    if rest:
        steps.append(Step(_("the other packages"), "pip", tuple(item.name + item.spec for item in rest)))
    for item in rest:
        total += item.size_mb
        lines.append(_line(item, item.size_mb))
    lines.append(_("Download about {size}; on disk two to three times that.").format(size=_megabytes(total)))
    lines.append(_keeps(environment))
    if torch:
        lines.append(_("pip and setuptools may change their versions, where PyTorch or its installer needs others."))
    return InstallPlan(tuple(lines), round(total, 1), torch_via, tuple(steps))


@dataclass(frozen=True)
class _TorchSource:
    """Where torch comes from: what `InstallPlan.torch_via` says, size, words for the user, steps; or the problem."""

    via: str
    size_mb: float
    text: str
    steps: tuple[Step, ...]
    problem: str = ""


def _torch_source(torch: Requirement, build: Build, index_url: str) -> _TorchSource:
    asked = torch.name + torch.spec
    chosen = chosen_build(build)
    if index_url:
        step = Step(_("PyTorch"), "pip", (asked,), ("--index-url", index_url))
        return _TorchSource("pip", size_from_index(index_url), index_url, (step,))
    if chosen.key == "gpu" and pytorch_utils_present():
        # The first step also mends an installer that is there, but beside a pip that is too new for it.
        installer = Step(_("the PyTorch extension's installer"), "pip", (LIGHT_THE_TORCH,))
        step = Step(_("PyTorch"), "light_the_torch", (asked,))
        text = _("{build}: the one that fits the driver, chosen by the PyTorch extension").format(build=chosen.title)
        return _TorchSource("PyTorchUtils", chosen.size_mb, text, (installer, step))
    index = index_of(chosen)
    step = Step(_("PyTorch"), "pip", (asked,), ("--index-url", index) if index else ())
    text = _("{build}, from {index}").format(build=chosen.title, index=index or _("pip's package index"))
    return _TorchSource("pip", chosen.size_mb, text, (step,), chosen.problem)


def _impossible(problem: str) -> InstallPlan:
    return InstallPlan((problem,), 0.0, None, (), problem)


def _plan_offline(missing: Sequence[Requirement], folder: Path) -> InstallPlan:
    wheels = sorted(folder.glob("*.whl")) if folder.is_dir() else []
    if not wheels:
        problem = _("{folder} holds no wheels (.whl). Fill it with `pip download` on a computer with a network.")
        return _impossible(problem.format(folder=folder))
    found = {canonical(wheel.name.split("-")[0]): wheel for wheel in wheels}
    lines = [_("These packages go into Slicer's own Python, from {folder}, without a network:").format(folder=folder)]
    for item in missing:
        wheel = found.get(canonical(item.name))
        size = wheel.stat().st_size / 1e6 if wheel else 0.0
        lines.append(_line(item, size, wheel.name if wheel else _("NOT in the folder")))
    total = sum(wheel.stat().st_size for wheel in wheels) / 1e6
    lines.append(_("The folder holds {count} wheels, {size}.").format(count=len(wheels), size=_megabytes(total)))
    needs = tuple(item.name + item.spec for item in missing)
    step = Step(_("packages from the folder"), "pip", needs, ("--no-index", "--find-links", str(folder)))
    torch_via = "wheels" if any(item.name == "torch" for item in missing) else None
    return InstallPlan(tuple(lines), round(total, 1), torch_via, (step,))


def _problem(missing: Sequence[Requirement], offline: bool) -> str:
    """Why nothing can be done: no PyTorch for this computer, or a package that must not be replaced; empty otherwise.

    A folder of wheels may hold a PyTorch that somebody built.
    """
    if not offline and no_torch_here() and any(item.name == "torch" for item in missing):
        return no_torch_here()
    for item in missing:
        if item.installed is None or canonical(item.name) not in PROTECTED:
            continue
        if item.name == "torch":
            return _(
                "PyTorch {version} is installed, Rep3D needs {spec}. Other extensions may use it, so it is not "
                "replaced: remove it in the module PyTorch Utils, restart Slicer, and install again."
            ).format(version=item.installed, spec=item.spec)
        return _(
            "Slicer's own {name} is {version}, Rep3D needs {spec}. It is not replaced, because Slicer depends on it: "
            "use Slicer 5.10 or newer."
        ).format(name=item.name, version=item.installed, spec=item.spec)
    return ""


def _line(item: Requirement, size_mb: float, source: str = "") -> str:
    parts = [f"  {item.name} {item.spec}", _megabytes(size_mb)] if size_mb else [f"  {item.name} {item.spec}"]
    if item.installed:
        parts.append(_("instead of {version}").format(version=item.installed))
    return " - ".join([*parts, source] if source else parts)


def _megabytes(size_mb: float) -> str:
    return f"{size_mb / 1000:.1f} GB" if size_mb >= 1000 else f"{max(size_mb, 0.1):.1f} MB"


def _keeps(environment: PythonEnvironment) -> str:
    kept = [f"{name} {version}" for name in ("numpy", "SimpleITK", "scipy") if (version := environment.version(name))]
    return _("What Slicer brings stays as it is: {names}.").format(names=", ".join(kept) or "-")
