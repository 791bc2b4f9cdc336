"""The explicit step that brings Rep3D's Python packages into Slicer: what is missing, what will be done, and doing it.

Nothing happens when this file is imported. `check` reads metadata only, `plan` changes nothing, `install` runs in child
processes, so that Slicer never imports torch and stays responsive. What is there is never installed again, so that an
interrupted installation (cancelled, network gone, Slicer restarted) goes on with the rest.
"""

from __future__ import annotations

import importlib
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from .dependency_list import CONSTRAINTS, NEEDS, PROTECTED
from .dependency_plan import DependencyReport, InstallPlan, Requirement, Step, plan, size_mb
from .i18n import _
from .install_process import Outcome, Watcher, advice, pip_message, run_in_child, run_through_slicer
from .python_environment import PythonEnvironment, canonical, constraints_text, requirement_name, satisfies

__all__ = ["DependencyReport", "InstallPlan", "InstallResult", "Requirement", "check", "install", "plan"]

PIP_OPTIONS = ("--disable-pip-version-check", "--no-input", "--progress-bar", "off")


@dataclass(frozen=True)
class InstallResult:
    """How it ended. `message` says what happened and what to do, `log` is everything pip printed."""

    ok: bool
    needs_restart: bool
    message: str
    log: str


def check(environment: PythonEnvironment | None = None) -> DependencyReport:
    """What Rep3D needs and this Python has not. Reads metadata only: a few milliseconds, nothing imported."""
    environment = environment or PythonEnvironment(sys.executable)
    missing = []
    for need in NEEDS:
        version = environment.version(need.name)
        present = environment.has_module(need.module)
        if version is None and present and canonical(need.name) in PROTECTED:
            continue  # built into Slicer without metadata: there, and not pip's business
        if version is None or not present or not satisfies(version, need.spec):
            missing.append(Requirement(need.name, need.spec, version if present else None, size_mb(need)))
    if not missing:
        return DependencyReport(True, (), _("All Python packages that Rep3D needs are installed."))
    note = _("{count} Python packages are to be installed before the first segmentation: {names}.").format(
        count=len(missing), names=", ".join(item.name for item in missing)
    )
    return DependencyReport(False, tuple(missing), note)


def install(
    plan: InstallPlan,
    on_output: Callable[[str], None] | None = None,
    is_cancelled: Callable[[], bool] | None = None,
    idle: Callable[[], None] | None = None,
    *,
    environment: PythonEnvironment | None = None,
) -> InstallResult:
    """Carry out a plan; returns when done, failed or cancelled. Never raises for what pip or the network do.

    Args:
        on_output: called with each line that pip prints.
        is_cancelled: asked a few times a second.
        idle: called between polls to keep the application alive (`slicer.app.processEvents`).
    """
    log: list[str] = []

    def note(line: str) -> None:
        log.append(line)
        if on_output is not None:
            on_output(line)

    def result(ok: bool, message: str, needs_restart: bool = False) -> InstallResult:
        return InstallResult(ok, needs_restart, message, "\n".join(log))

    if plan.problem:
        return result(False, plan.problem)
    watcher = Watcher(note, is_cancelled or (lambda: False), idle or (lambda: None))
    try:
        environment = environment or PythonEnvironment.of_slicer()
    except FileNotFoundError:
        return result(False, _("PythonSlicer was not found on Slicer's PATH. Install Slicer again from its package."))
    packaging = _slicer_packaging()
    if packaging is not None and packaging.isPipInstallInProgress():
        return result(False, _("Slicer is installing other packages. Wait until it is done, then press Install again."))
    before = environment.versions()
    for step in plan.steps:
        if watcher.is_cancelled():
            return result(False, _("Cancelled. What was installed stays; Install goes on with the rest."))
        note(_("Installing {what} ...").format(what=step.title))
        try:
            outcome = _run_step(step, environment, packaging if idle is not None else None, watcher)
        except OSError as error:
            return result(
                False, _("{python} cannot be started: {error}").format(python=environment.python, error=error)
            )
        except _PyTorchExtensionError as error:
            return result(False, str(error))
        if outcome.code is None:
            return result(False, _("Cancelled. What was installed stays; Install goes on with the rest."))
        if outcome.code != 0:
            message = _("Installing {what} failed. pip says:").format(what=step.title)
            return result(False, f"{message}\n{pip_message(outcome.lines)}\n{advice(outcome.lines)}")
    after = environment.versions()
    changed = [name for name, version in before.items() if after.get(name, version) != version]
    restart = bool(environment.loaded_modules(changed)) if environment.paths is None else False
    left = check(environment)
    if not left.ok:
        names = ", ".join(item.name for item in left.missing)
        message = _("pip ended without an error, but {names} cannot be found yet. Restart Slicer and check again.")
        return result(False, message.format(names=names), True)
    message = _("Installed. Rep3D is ready.")
    if restart:
        message = _("Installed. Restart Slicer: packages that were in use have changed.")
    return result(True, message, restart)


class _PyTorchExtensionError(Exception):
    """PyTorchUtils failed; the text is for the user."""


def _run_step(step: Step, environment: PythonEnvironment, packaging: ModuleType | None, watcher: Watcher) -> Outcome:
    folder = Path(tempfile.mkdtemp(prefix="rep3d-install-"))
    try:
        constraints = folder / "constraints.txt"
        names = [requirement_name(item) for item in step.requirements]
        shipped = CONSTRAINTS.read_text(encoding="utf-8")
        constraints.write_text(constraints_text(shipped, environment.versions(), names), encoding="utf-8")
        arguments = [*step.requirements, *step.options]
        if step.module == "light_the_torch":
            arguments.append(f"--pytorch-computation-backend={_computation_backends(step, watcher)}")
        # Slicer's own installer cannot be stopped half-way: what is large (torch) runs where a cancel ends it at once.
        elif packaging is not None and "torch" not in names:
            return run_through_slicer(packaging, [*arguments, *PIP_OPTIONS], str(constraints), watcher)
        options = [*PIP_OPTIONS, "--constraint", str(constraints)]
        return run_in_child([environment.python, "-m", step.module, "install", *arguments, *options], watcher)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _computation_backends(step: Step, watcher: Watcher) -> str:
    """Builds of torch that fit this computer, as the PyTorch extension finds them: "cpu" or "cpu,cu126"."""
    spec = step.requirements[0].removeprefix("torch")
    try:
        logic = importlib.import_module("PyTorchUtils").PyTorchUtilsLogic
        found = logic.getCompatibleComputationBackends(torchVersionRequirement=spec)
    except Exception as error:  # another extension's code: whatever it raises is told, with the other way to go on
        message = _(
            "The PyTorch extension could not tell which build fits this computer: {error} Update that extension, or "
            "give the package index for PyTorch yourself (https://download.pytorch.org/whl/cpu works everywhere)."
        )
        raise _PyTorchExtensionError(message.format(error=error)) from error
    backends = ",".join(str(item) for item in found)
    watcher.on_output(_("The PyTorch extension finds these builds for this computer: {builds}").format(builds=backends))
    return backends


def _slicer_packaging() -> ModuleType | None:
    """`slicer.packaging` (Slicer 5.12) or `slicer.pydeps` (its name in 5.11 previews) in the running application.

    None elsewhere, and in Slicer's testing mode, where it blocks and calls nobody back.
    """
    slicer = sys.modules.get("slicer")
    if slicer is None or not hasattr(slicer, "app") or slicer.app.testingEnabled():
        return None
    for name in ("slicer.packaging", "slicer.pydeps"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None
