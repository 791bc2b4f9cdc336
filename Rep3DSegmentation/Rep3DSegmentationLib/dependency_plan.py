"""What the installation of Rep3D's Python packages would do, and how much it would download; changes nothing."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path

from .dependency_list import LIGHT_THE_TORCH, PROTECTED, Need, torch_size_mb
from .i18n import _
from .python_environment import PythonEnvironment, canonical


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


def plan(
    report: DependencyReport,
    wheel_folder: str | Path | None = None,
    *,
    torch_index_url: str | None = None,
    environment: PythonEnvironment | None = None,
) -> InstallPlan:
    """What `install` would do about a report, and how much it would download.

    Args:
        report: from `check`.
        wheel_folder: folder of `.whl` files to install from without a network.
        torch_index_url: package index for torch (https://download.pytorch.org/whl/cpu ...); the user's choice goes
            before the PyTorch extension's. None: the PyTorch extension, or pip's own setting.
    """
    environment = environment or PythonEnvironment(sys.executable)
    if report.ok:
        return InstallPlan((report.note,), 0.0, None, ())
    problem = _problem(report)
    if problem:
        return InstallPlan((problem,), 0.0, None, (), problem)
    if wheel_folder:
        return _plan_offline(report, Path(wheel_folder).expanduser())
    index_url = (torch_index_url or "").strip() or None
    missing_torch = [item for item in report.missing if item.name == "torch"]
    rest = [item for item in report.missing if item.name != "torch"]
    torch_via = None
    steps: list[Step] = []
    lines = [_("These packages go into Slicer's own Python:")]
    total = 0.0
    if missing_torch:
        by_extension = index_url is None and pytorch_utils_present()
        torch_via = "PyTorchUtils" if by_extension else "pip"
        size = torch_size_mb(index_url, chosen_for_hardware=by_extension)
        total += size
        torch = "torch" + missing_torch[0].spec
        if by_extension:
            source = _("the build that fits this computer, chosen by the PyTorch extension")
            if environment.version("light-the-torch") is None:
                steps.append(Step(_("the PyTorch extension's installer"), "pip", (LIGHT_THE_TORCH,)))
            steps.append(Step(_("PyTorch"), "light_the_torch", (torch,)))
        else:
            source = index_url or _("from pip's package index")
            steps.append(Step(_("PyTorch"), "pip", (torch,), ("--index-url", index_url) if index_url else ()))
        lines.append(_line(missing_torch[0], size, source))
    if rest:
        steps.append(Step(_("the other packages"), "pip", tuple(item.name + item.spec for item in rest)))
    for item in rest:
        total += item.size_mb
        lines.append(_line(item, item.size_mb))
    lines.append(_("Download about {size}; on disk two to three times that.").format(size=_megabytes(total)))
    lines.append(_keeps(environment))
    return InstallPlan(tuple(lines), round(total, 1), torch_via, tuple(steps))


def _plan_offline(report: DependencyReport, folder: Path) -> InstallPlan:
    wheels = sorted(folder.glob("*.whl")) if folder.is_dir() else []
    if not wheels:
        problem = _("{folder} holds no wheels (.whl). Fill it with `pip download` on a computer with a network.")
        return InstallPlan((problem.format(folder=folder),), 0.0, None, (), problem.format(folder=folder))
    found = {canonical(wheel.name.split("-")[0]): wheel for wheel in wheels}
    lines = [_("These packages go into Slicer's own Python, from {folder}, without a network:").format(folder=folder)]
    for item in report.missing:
        wheel = found.get(canonical(item.name))
        size = wheel.stat().st_size / 1e6 if wheel else 0.0
        lines.append(_line(item, size, wheel.name if wheel else _("NOT in the folder")))
    total = sum(wheel.stat().st_size for wheel in wheels) / 1e6
    lines.append(_("The folder holds {count} wheels, {size}.").format(count=len(wheels), size=_megabytes(total)))
    needs = tuple(item.name + item.spec for item in report.missing)
    step = Step(_("packages from the folder"), "pip", needs, ("--no-index", "--find-links", str(folder)))
    torch_via = "wheels" if any(item.name == "torch" for item in report.missing) else None
    return InstallPlan(tuple(lines), round(total, 1), torch_via, (step,))


def _problem(report: DependencyReport) -> str:
    """Why a package that must not be replaced stands in the way; empty if none does."""
    for item in report.missing:
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


def pytorch_utils_present() -> bool:
    return "PyTorchUtils" in sys.modules or importlib.util.find_spec("PyTorchUtils") is not None


def size_mb(need: Need) -> float:
    if need.name == "torch":
        return torch_size_mb(chosen_for_hardware=pytorch_utils_present())
    return need.size_mb


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
