"""Installing into the Pythons of Slicer 5.10 and 5.12, with the real requirements of all that is installed."""

from __future__ import annotations

import sys
import types

import pytest
from Rep3DSegmentationLib import dependencies, torch_builds
from Rep3DSegmentationLib.dependency_list import FREE, PROTECTED
from Rep3DSegmentationLib.python_environment import canonical, constraints_text

SLICERS = ("5.10.0", "5.12.3")


class Backend:
    """As light_the_torch's: no str, but written with its name."""

    def __init__(self, name: str):
        self.name = name

    def __repr__(self) -> str:
        return self.name


@pytest.fixture
def pytorch_extension(monkeypatch):
    """PyTorchUtils as in the extension: a list of backends that are written with their names, and always the CPU."""
    found = ["cpu", "cu126"]

    class PyTorchUtilsLogic:
        @staticmethod
        def getCompatibleComputationBackends(forceComputationBackend=None, torchVersionRequirement=None):
            return [Backend(name) for name in found]

    module = types.ModuleType("PyTorchUtils")
    module.PyTorchUtilsLogic, module.found = PyTorchUtilsLogic, found
    monkeypatch.setitem(sys.modules, "PyTorchUtils", module)
    return module


def installed(environment, **choices):
    """Install with the choices; returns the versions before and after."""
    before = environment.versions()
    plan = dependencies.plan(dependencies.check(environment), environment=environment, **choices)
    result = dependencies.install(plan, environment=environment)
    assert result.ok, result.message + "\n" + result.log
    return before, environment.versions()


def assert_nothing_of_slicers_changed(before, after):
    changed = {name: (old, after.get(name)) for name, old in before.items() if after.get(name) != old}
    assert not set(changed) - FREE - {"typing-extensions", "packaging"}, changed  # these two may go up
    assert not set(changed) & PROTECTED


@pytest.mark.parametrize("slicer", SLICERS)
def test_gpu_build_through_the_pytorch_extension(slicer_python, slicer, from_wheels, pytorch_extension):
    """light-the-torch needs pip < 26.1, torch 2.12 (the last of an index for older drivers) setuptools < 82."""
    for wheel in [*from_wheels.glob("torch-2.13*"), *from_wheels.glob("torch-2.15*")]:
        wheel.unlink()
    before, after = installed(slicer_python(slicer), build="gpu")
    assert after["torch"] == "2.12.1" and after["light-the-torch"] == "0.8.1"
    assert after["pip"] == ("25.1.1" if slicer == "5.10.0" else "26.0.1")
    assert after["setuptools"] == ("80.9.0" if slicer == "5.10.0" else "81.0.0")  # torch 2.12: setuptools<82
    assert_nothing_of_slicers_changed(before, after)


@pytest.mark.parametrize("slicer", SLICERS)
def test_cpu_build_with_openvino_leaves_slicers_tools_alone(
    slicer_python, slicer, wheels, make_index, tmp_path, monkeypatch, pytorch_extension
):
    """From the PyTorch index, also where the PyTorch extension is: what that one needs is not installed."""
    cpu, general = tmp_path / "cpu index", tmp_path / "general index"
    make_index(cpu, [*wheels.glob("torch-*+cpu*"), *wheels.glob("[!l]*")])
    make_index(general, [wheel for wheel in wheels.iterdir() if not wheel.name.startswith("torch-")])
    environment = slicer_python(slicer)
    monkeypatch.setenv("PIP_INDEX_URL", general.as_uri())
    monkeypatch.setattr(torch_builds, "CPU_INDEX", cpu.as_uri())
    for wheel in cpu.glob("torch/*"):
        wheel.write_text("".join(line for line in wheel.open() if "+cpu" in line or "2.10" in line))
    before, after = installed(environment, build="cpu", openvino=True)
    assert after["torch"] == "2.13.0+cpu" and after["openvino"] == "2026.4.1"
    assert "light-the-torch" not in after and "monai" not in after
    assert {name: after[name] for name in FREE} == {name: before[name] for name in FREE}
    assert_nothing_of_slicers_changed(before, after)
    assert dependencies.check(environment).ok


@pytest.mark.parametrize("slicer", SLICERS)
def test_constraints_say_nothing_of_tools(slicer_python, slicer):
    versions = slicer_python(slicer).versions()
    names = {canonical(line.split("=")[0].rstrip("><")) for line in constraints_text("", versions).splitlines()}
    assert not names & FREE and {"numpy", "typing-extensions"} <= names


def test_a_gpu_that_no_build_fits_is_told_and_not_replaced_by_the_cpu(environment, from_wheels, pytorch_extension):
    pytorch_extension.found[:] = ["cpu"]
    plan = dependencies.plan(dependencies.check(environment), build="gpu", environment=environment)
    result = dependencies.install(plan, environment=environment)
    assert not result.ok and "no NVIDIA GPU" in result.message and environment.version("torch") is None
