"""The explicit step that brings Rep3D's Python packages into Slicer: what is missing, what will be done, and doing it.

Nothing happens when this file is imported. `check` reads metadata only, `plan` changes nothing, `install` runs in child
processes, so that Slicer never imports torch and stays responsive. What is there is never installed again, so that an
interrupted installation (cancelled, network gone, Slicer restarted) goes on with the rest.
"""

from __future__ import annotations

import importlib
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from .dependency_list import CONSTRAINTS, NEEDS
from .dependency_plan import Choices, DependencyReport, InstallPlan, Requirement, Step, choices, lacking, plan
from .i18n import _
from .install_process import (
    Outcome,
    Watcher,
    advice,
    not_in_index,
    pip_message,
    run_in_child,
    run_through_slicer,
)
from .python_environment import PythonEnvironment, constraints_text, requirement_name, satisfies
from .torch_builds import INDEX, TorchBuild

__all__ = [
    "Choices",
    "DependencyReport",
    "InstallPlan",
    "InstallResult",
    "Requirement",
    "TorchBuild",
    "check",
    "choices",
    "install",
    "plan",
]

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
    missing = tuple(item for need in NEEDS if (item := lacking(need, environment)))
    if not missing:
        return DependencyReport(True, (), _("All Python packages that Rep3D needs are installed."))
    note = _("{count} Python packages are to be installed before the first segmentation: {names}.").format(
        count=len(missing), names=", ".join(item.name for item in missing)
    )
    return DependencyReport(False, missing, note)


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
        if outcome.code != 0 or not _brought(step, environment):
            return result(False, _failure(step, outcome.lines))
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


def _brought(step: Step, environment: PythonEnvironment) -> bool:
    """True if what the step was asked for is there now: light-the-torch 0.8.1 ends with code 0 whatever happened."""
    importlib.invalidate_caches()
    for item in step.requirements:
        name = re.match(r"[\w.-]+", item).group()
        version = environment.version(name)
        if version is None or not satisfies(version, item.removeprefix(name)):
            return False
    return True


def _failure(step: Step, lines: Sequence[str]) -> str:
    """What the user reads when a step has failed: what pip says, and what to do."""
    about = _("Installing {what} failed.").format(what=step.title)
    absent = not_in_index(lines, step.requirements)
    if absent and "--no-index" not in step.options:
        url = step.options[step.options.index("--index-url") + 1] if "--index-url" in step.options else None
        if step.module == "light_the_torch":
            url = INDEX
        which = _("The package index {index}").format(index=url) if url else _("The package index")
        what = _("{index} gave no {package}.").format(index=which, package=", ".join(absent))
        return "\n".join([about, what, advice(lines)])
    said = pip_message(lines)
    return "\n".join([about + " " + _("pip says:"), said, advice(lines)])


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
    """Builds of torch for this computer's GPU, as the PyTorch extension finds them: "cu126,cu128".

    It always adds "cpu", which would be taken in silence where none of the others exists.
    """
    spec = step.requirements[0].removeprefix("torch")
    try:
        logic = importlib.import_module("PyTorchUtils").PyTorchUtilsLogic
        every = logic.getCompatibleComputationBackends(torchVersionRequirement=spec)
    except Exception as error:  # another extension's code: whatever it raises is told, with the other way to go on
        message = _(
            "The PyTorch extension could not tell which build fits this computer: {error} Update that extension, "
            "choose the build for the processor, or give the package index for PyTorch yourself ({index}/...)."
        )
        raise _PyTorchExtensionError(message.format(error=error, index=INDEX)) from error
    found = [name for name in map(str, every) if name != "cpu"]
    if not found:
        raise _PyTorchExtensionError(
            _(
                "The PyTorch extension finds no NVIDIA GPU whose driver a build of PyTorch fits. Update the driver, "
                "choose the build for the processor, or give the package index for PyTorch yourself ({index}/...)."
            ).format(index=INDEX)
        )
    backends = ",".join(found)
    watcher.on_output(_("The PyTorch extension finds these builds for this computer: {builds}").format(builds=backends))
    return backends


def _slicer_packaging() -> ModuleType | None:
    """`slicer.packaging` in the running application (Slicer 5.12).

    None elsewhere, and in Slicer's testing mode, where it blocks and calls nobody back.
    """
    slicer = sys.modules.get("slicer")
    if slicer is None or not hasattr(slicer, "app") or slicer.app.testingEnabled():
        return None
    try:
        return importlib.import_module("slicer.packaging")
    except ImportError:  # Slicer 5.10
        return None
