"""The ways that Slicer and its PyTorch extension offer, as small real modules that run the real pip."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
import types

import pytest
from Rep3DSegmentationLib import dependencies


@pytest.fixture
def pytorch_extension(from_wheels, computer, monkeypatch):
    """PyTorchUtils with the two things of it that are used, on a computer with a GPU."""
    asked = []

    class PyTorchUtilsLogic:
        @staticmethod
        def getCompatibleComputationBackends(forceComputationBackend=None, torchVersionRequirement=None):
            asked.append(torchVersionRequirement)
            return ["cpu", "cu126", "cu128"]

    computer("linux", "x86_64", nvidia_driver=True)
    module = types.ModuleType("PyTorchUtils")
    module.PyTorchUtilsLogic, module.asked = PyTorchUtilsLogic, asked
    monkeypatch.setitem(sys.modules, "PyTorchUtils", module)
    return module


class SlicerPackaging(types.ModuleType):
    """`slicer.packaging`: pip in a thread, callbacks only when the event loop runs (`process_events`)."""

    def __init__(self, name: str, python: str):
        super().__init__(name)
        self.python, self.calls, self.busy = python, [], False
        self._events: queue.SimpleQueue = queue.SimpleQueue()

    def isPipInstallInProgress(self) -> bool:
        return self.busy

    def pip_install(
        self,
        requirements,
        constraints=None,
        blocking=True,
        show_progress=True,
        logCallback=None,
        completedCallback=None,
    ):
        assert not blocking and not show_progress
        if self.python is None:
            raise RuntimeError("PythonSlicer executable not found")
        self.calls.append((list(requirements), constraints))
        command = [self.python, "-m", "pip", "install", *requirements, "-c", str(constraints)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

        def read():
            for line in process.stdout:
                self._events.put((logCallback, line.rstrip()))
            self._events.put((completedCallback, process.wait()))
            process.stdout.close()

        self.thread = threading.Thread(target=read, daemon=True)
        self.thread.start()

    def process_events(self):
        while not self._events.empty():
            callback, value = self._events.get()
            callback(value)


@pytest.fixture
def slicer_packaging(environment, monkeypatch) -> SlicerPackaging:
    """The application Slicer 5.12, which has `slicer.packaging`."""
    slicer = types.ModuleType("slicer")
    slicer.app = types.SimpleNamespace(testingEnabled=lambda: False)
    slicer.__path__ = []
    packaging = SlicerPackaging("slicer.packaging", environment.python)
    monkeypatch.setitem(sys.modules, "slicer", slicer)
    monkeypatch.setitem(sys.modules, packaging.__name__, packaging)
    packaging.slicer = slicer
    return packaging


def make_plan(environment):
    return dependencies.plan(dependencies.check(environment), environment=environment)


def test_torch_through_the_pytorch_extension(environment, pytorch_extension):
    plan = make_plan(environment)
    result = dependencies.install(plan, environment=environment)
    assert plan.torch_via == "PyTorchUtils" and result.ok, result.message
    assert pytorch_extension.asked == [">=2.6"]
    assert "cu126,cu128" in result.log
    site = environment.paths[0]
    with open(f"{site}/light_the_torch/used.txt", encoding="utf-8") as file:
        assert file.read() == "cu126,cu128"  # not "cpu", which would be taken in silence
    assert environment.version("torch") == "2.15.0" and environment.version("numpy") == "2.0.2"
    assert "torch" not in sys.modules or sys.modules["torch"].__version__ != "2.15.0"


def test_pytorch_extension_that_fails_is_told(environment, pytorch_extension):
    def fail(**_options):
        raise ValueError("Failed to get computation backend.")

    pytorch_extension.PyTorchUtilsLogic.getCompatibleComputationBackends = staticmethod(fail)
    result = dependencies.install(make_plan(environment), environment=environment)
    assert not result.ok and "Failed to get computation backend." in result.message
    assert "build for the processor" in result.message and environment.version("torch") is None


def test_an_installer_that_fails_with_exit_code_0_is_noticed(environment, pytorch_extension, from_wheels):
    """light-the-torch always ends so; nothing goes on after it."""
    for wheel in from_wheels.glob("torch-*"):
        wheel.unlink()
    result = dependencies.install(make_plan(environment), environment=environment)
    assert not result.ok and "https://download.pytorch.org/whl gave no torch" in result.message
    assert environment.version("safetensors") is None


def test_without_slicer_packaging_pip_runs_as_a_child(environment, from_wheels, monkeypatch):
    """Slicer 5.10: an application without that module."""
    slicer = types.ModuleType("slicer")
    slicer.app, slicer.__path__ = types.SimpleNamespace(testingEnabled=lambda: False), []
    monkeypatch.setitem(sys.modules, "slicer", slicer)
    monkeypatch.delitem(sys.modules, "slicer.packaging", raising=False)
    assert dependencies.install(make_plan(environment), idle=lambda: None, environment=environment).ok


def test_small_packages_through_slicer_torch_where_it_can_be_stopped(environment, from_wheels, slicer_packaging):
    plan = make_plan(environment)
    lines: list[str] = []
    result = dependencies.install(
        plan, on_output=lines.append, idle=slicer_packaging.process_events, environment=environment
    )
    assert result.ok, result.message
    assert len(slicer_packaging.calls) == 1
    requirements, constraints = slicer_packaging.calls[0]
    assert "safetensors>=0.4.5" in requirements and not [item for item in requirements if item.startswith("torch")]
    assert constraints.endswith("constraints.txt")
    assert environment.version("numpy") == "2.0.2" and environment.version("torch") == "2.15.0"
    assert any("Successfully installed" in line and "safetensors" in line for line in lines)


def test_failure_through_slicer_shows_pips_message(environment, from_wheels, slicer_packaging):
    for wheel in from_wheels.glob("[Pp]ygments*"):
        wheel.unlink()
    result = dependencies.install(make_plan(environment), idle=slicer_packaging.process_events, environment=environment)
    assert not result.ok and "rich 15.0.0 depends on pygments" in result.message
    assert environment.version("torch") == "2.15.0"  # done before, and not done again


def test_cancel_while_slicer_installs(environment, from_wheels, slicer_packaging):
    """The panel is told nothing more, while Slicer's pip comes to its end."""
    heard: list[str] = []
    result = dependencies.install(
        make_plan(environment),
        on_output=heard.append,
        is_cancelled=lambda: bool(slicer_packaging.calls),
        idle=slicer_packaging.process_events,
        environment=environment,
    )
    assert not result.ok and result.message.startswith("Cancelled")
    before = len(heard)
    slicer_packaging.thread.join(60)
    slicer_packaging.process_events()
    assert len(heard) == before


def test_slicer_without_its_python_is_told(environment, from_wheels, slicer_packaging):
    slicer_packaging.python = None
    result = dependencies.install(make_plan(environment), idle=slicer_packaging.process_events, environment=environment)
    assert not result.ok and "PythonSlicer executable not found" in result.message


def test_another_installation_in_slicer_is_waited_for(environment, from_wheels, slicer_packaging):
    slicer_packaging.busy = True
    result = dependencies.install(make_plan(environment), idle=slicer_packaging.process_events, environment=environment)
    assert not result.ok and "other packages" in result.message and environment.version("torch") is None


def test_testing_mode_of_slicer_uses_a_child(environment, from_wheels, slicer_packaging):
    slicer_packaging.slicer.app = types.SimpleNamespace(testingEnabled=lambda: True)
    result = dependencies.install(make_plan(environment), idle=slicer_packaging.process_events, environment=environment)
    assert result.ok and slicer_packaging.calls == []
