"""What is missing, and what would be done about it: nothing is installed, imported or downloaded here."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import time
import types
import zipfile
from pathlib import Path

import pytest
from Rep3DSegmentationLib import dependencies, dependency_list
from Rep3DSegmentationLib.dependency_list import NEEDS, OPENVINO, PROTECTED
from Rep3DSegmentationLib.python_environment import PythonEnvironment, canonical, constraints_text, satisfies
from Rep3DSegmentationLib.torch_builds import APPLE_MB, CPU_INDEX, CPU_MB, GPU_MB

ROOT = Path(__file__).resolve().parents[3]
SHIPPED = dependency_list.CONSTRAINTS.read_text(encoding="utf-8")


def requirement_lines(text: str) -> dict[str, str]:
    """{canonical name: specifier} of a constraints file."""
    lines = [line.split("#")[0].strip() for line in text.splitlines()]
    parts = [re.match(r"([\w.-]+?)\s*([<>=!~].*)", line) for line in lines if line]
    return {canonical(part.group(1)): part.group(2) for part in parts}


def add(environment: PythonEnvironment, wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(environment.paths[0])


def missing_names(environment: PythonEnvironment) -> set[str]:
    return {item.name for item in dependencies.check(environment).missing}


def test_needs_are_those_of_the_package():
    text = (ROOT / "backend" / "pyproject.toml").read_text(encoding="utf-8")
    block = text[text.index("\ndependencies = [") : text.index("\n]", text.index("\ndependencies = ["))]
    declared = dict(re.findall(r'"([\w.-]+)(>=[\w.]+)"', block))
    assert declared.pop("pydicom") == ">=2.4"  # every Slicer brings it: 5.10 has 2.4.4
    assert {need.name: need.spec for need in NEEDS} == declared
    assert all(need.size_mb > 0 for need in (*NEEDS, OPENVINO) if need.name != "torch")
    assert f'cpu = ["{OPENVINO.name}{OPENVINO.spec}"]' in text


def test_shipped_versions_are_those_the_project_is_tested_with():
    shipped, tested = requirement_lines(SHIPPED), requirement_lines((ROOT / "constraints.txt").read_text("utf-8"))
    for name, spec in shipped.items():
        version = tested[name].removeprefix("==")
        assert satisfies(version, spec), name
    for need in NEEDS:
        name = canonical(need.name)
        if name not in {"torch", "numpy", "simpleitk"}:  # torch depends on the computer, Slicer brings the others
            assert satisfies(tested[name].removeprefix("=="), need.spec) and name in shipped


def test_all_that_the_needs_pull_in_is_pinned():
    """Below torch nothing is: each build of it asks for its own versions."""
    pinned, seen = requirement_lines(SHIPPED), set()
    queue = [need.name for need in (*NEEDS, OPENVINO) if need.name != "torch"]
    while queue:
        name = canonical(queue.pop())
        if name in seen or name in {"torch", "typing-extensions", "colorama"}:
            continue
        seen.add(name)
        assert name in pinned or name in {"numpy", "simpleitk"}, name
        for line in importlib.metadata.requires(name) or []:
            if "extra ==" not in line:
                queue.append(re.split(r"[<>=!~;\[ (]", line)[0])


def test_empty_python_lacks_all_that_slicer_does_not_bring(environment):
    report = dependencies.check(environment)
    assert not report.ok
    assert {item.name for item in report.missing} == {need.name for need in NEEDS} - {"numpy", "scipy", "SimpleITK"}
    assert all(item.installed is None and item.size_mb > 0 for item in report.missing)
    assert "torch" in report.note and str(len(report.missing)) in report.note


def test_complete_python_is_ok(environment, shared_wheels):
    for wheel in shared_wheels.iterdir():
        add(environment, wheel)
    report = dependencies.check(environment)
    assert report.ok and report.missing == ()
    plan = dependencies.plan(report, environment=environment)
    assert plan.steps == () and plan.total_mb == 0 and plan.torch_via is None


def test_too_old_counts_as_missing(environment, make_wheel, tmp_path):
    add(environment, make_wheel(tmp_path, "rich", "12.1.0"))
    found = {item.name: item for item in dependencies.check(environment).missing}
    assert found["rich"].installed == "12.1.0" and found["rich"].spec == ">=13"
    plan = dependencies.plan(dependencies.check(environment), environment=environment)
    assert any("rich" in line and "12.1.0" in line for line in plan.lines)


def test_development_versions_and_builds_count(environment, make_wheel, tmp_path):
    add(environment, make_wheel(tmp_path, "torch", "2.7.0+cu128"))
    add(environment, make_wheel(tmp_path, "psutil", "8.0.0.dev3"))
    assert not {"torch", "psutil"} & missing_names(environment)


def test_half_removed_package_counts_as_missing(environment, shared_wheels):
    """Metadata without the module: what a removal leaves on Windows while a file is in use."""
    for wheel in shared_wheels.glob("safetensors*"):
        add(environment, wheel)
    assert "safetensors" not in missing_names(environment)
    (Path(environment.paths[0]) / "safetensors" / "__init__.py").unlink()
    assert "safetensors" in missing_names(environment)
    (Path(environment.paths[0]) / "safetensors").rmdir()
    assert "safetensors" in missing_names(environment)


def test_what_slicer_builds_in_without_metadata_counts_as_there(environment):
    """SimpleITK of Slicer 5.10."""
    assert environment.version("SimpleITK") is None
    assert "SimpleITK" not in missing_names(environment)


def test_check_is_quick_and_imports_nothing_heavy():
    code = (
        "import sys, time, socket, subprocess\n"
        "def refuse(*a, **k): raise AssertionError('import or check reached outside')\n"
        "socket.socket.connect = refuse; subprocess.Popen.__init__ = refuse\n"
        f"sys.path.insert(0, {str(ROOT / 'Rep3DSegmentation')!r})\n"
        "sys.modules['slicer'] = None\n"  # as where there is none
        "from Rep3DSegmentationLib import dependencies\n"
        "start = time.perf_counter(); report = dependencies.check(); seconds = time.perf_counter() - start\n"
        "dependencies.plan(report)\n"
        "heavy = {'torch', 'monai', 'numpy', 'scipy', 'SimpleITK', 'pip', 'PyTorchUtils'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "print(seconds)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1.0


def test_plan_says_what_and_how_large(environment):
    report = dependencies.check(environment)
    plan = dependencies.plan(report, environment=environment)
    text = "\n".join(plan.lines)
    for item in report.missing:
        assert f"{item.name} {item.spec}" in text
    assert plan.torch_via == "pip"
    expected = CPU_MB + sum(item.size_mb for item in report.missing if item.name != "torch")
    assert plan.total_mb == pytest.approx(expected, abs=0.1)
    assert "numpy 2.0.2" in text and "scipy 1.13.1" in text
    assert plan.steps[0].requirements[0] == "torch>=2.6"


def plan_for(environment, **choices):
    return dependencies.plan(dependencies.check(environment), environment=environment, **choices)


def keys(environment) -> list[tuple[str, bool, bool]]:
    found = dependencies.choices(dependencies.check(environment), environment).builds
    return [(item.key, item.recommended, bool(item.problem)) for item in found]


def test_choices_without_a_gpu(environment):
    found = dependencies.choices(dependencies.check(environment), environment)
    assert keys(environment) == [("cpu", True, False), ("gpu", False, False)]
    assert [item.size_mb for item in found.builds] == [CPU_MB, GPU_MB] and CPU_MB < 400 < 2000 < GPU_MB
    assert found.openvino_mb == OPENVINO.size_mb and found.openvino_recommended


def test_choices_with_a_gpu_on_windows_need_the_pytorch_extension(environment, computer, monkeypatch):
    computer("win32", "AMD64", nvidia_driver=True)
    assert keys(environment) == [("gpu", True, True), ("cpu", False, False)]
    plan = plan_for(environment)
    assert plan.problem and "extension PyTorch" in plan.problem and plan.steps == ()
    monkeypatch.setitem(sys.modules, "PyTorchUtils", types.ModuleType("PyTorchUtils"))
    assert keys(environment) == [("gpu", True, False), ("cpu", False, False)]
    assert not dependencies.choices(dependencies.check(environment), environment).openvino_recommended
    assert plan_for(environment).torch_via == "PyTorchUtils"
    assert plan_for(environment, build="cpu").steps[0].options == ()  # PyPI's build for Windows


def test_a_mac_with_apples_processor_has_one_build(environment, computer):
    computer("darwin", "arm64")
    assert keys(environment) == [("cpu", True, False)]
    for build in ("auto", "cpu", "gpu"):
        plan = plan_for(environment, build=build)
        assert not plan.problem and plan.steps[0].options == () and APPLE_MB < plan.total_mb < CPU_MB


@pytest.mark.parametrize("choices", [{}, {"build": "gpu"}, {"torch_index_url": CPU_INDEX}, {"openvino": True}])
def test_a_mac_with_intels_processor_is_told_before_anything_is_downloaded(environment, computer, choices):
    """PyTorch's last release for it is 2.2.2; under Rosetta Slicer is such a program too."""
    computer("darwin", "x86_64")
    plan = plan_for(environment, **choices)
    assert plan.steps == () and plan.lines == (plan.problem,)
    assert all(word in plan.problem for word in ("Intel", "Rosetta", "2.2.2", "arm64", "Windows or Linux"))
    assert keys(environment) == [("cpu", True, True)]


def test_intels_mac_with_a_pytorch_of_its_own(environment, computer, make_wheel, wheels, tmp_path):
    computer("darwin", "x86_64")
    assert not dependencies.plan(dependencies.check(environment), wheels, environment=environment).problem
    add(environment, make_wheel(tmp_path, "torch", "2.2.2"))
    assert "Intel" in plan_for(environment).problem
    other = make_wheel(tmp_path / "built", "torch", "2.7.0")
    for path in Path(environment.paths[0]).glob("torch-2.2.2*/*"):
        path.unlink()
    add(environment, other)
    assert not plan_for(environment).problem and plan_for(environment).steps


def test_torch_goes_through_the_pytorch_extension_for_a_gpu_only(environment, computer, monkeypatch):
    monkeypatch.setitem(sys.modules, "PyTorchUtils", types.ModuleType("PyTorchUtils"))
    assert plan_for(environment).steps[0].options == ("--index-url", CPU_INDEX)
    computer("linux", "x86_64", nvidia_driver=True)
    plan = plan_for(environment)
    assert plan.torch_via == "PyTorchUtils" and plan.total_mb > GPU_MB
    assert [step.module for step in plan.steps] == ["pip", "light_the_torch", "pip"]
    assert plan.steps[0].requirements == (dependency_list.LIGHT_THE_TORCH,)
    assert any("pip and setuptools may change" in line for line in plan.lines)
    assert plan_for(environment, build="cpu").torch_via == "pip"


def test_a_gpu_build_without_the_pytorch_extension_is_pips_on_linux(environment):
    plan = plan_for(environment, build="gpu")
    assert plan.torch_via == "pip" and plan.steps[0].options == () and plan.total_mb > GPU_MB


def test_a_build_that_does_not_exist_is_refused(environment):
    with pytest.raises(ValueError, match="tpu"):
        plan_for(environment, build="tpu")


def test_openvino_is_planned_when_it_is_wanted(environment, make_wheel, tmp_path, shared_wheels):
    assert not any("openvino" in item for step in plan_for(environment).steps for item in step.requirements)
    plan = plan_for(environment, openvino=True)
    assert "openvino>=2025.2" in plan.steps[-1].requirements and any("openvino" in line for line in plan.lines)
    assert plan.total_mb - plan_for(environment).total_mb == pytest.approx(OPENVINO.size_mb)
    for need in NEEDS:
        if need.name in missing_names(environment):
            add(environment, make_wheel(tmp_path, need.name, "99.0", module=need.module))
    assert dependencies.check(environment).ok and plan_for(environment).steps == ()
    assert [step.requirements for step in plan_for(environment, openvino=True).steps] == [("openvino>=2025.2",)]
    add(environment, make_wheel(tmp_path, "openvino", "2026.4.1"))
    assert plan_for(environment, openvino=True).steps == ()
    assert dependencies.choices(dependencies.check(environment), environment) == dependencies.Choices((), 0.0, False)


def test_the_users_index_goes_before_everything(environment, computer, monkeypatch):
    monkeypatch.setitem(sys.modules, "PyTorchUtils", types.ModuleType("PyTorchUtils"))
    computer("linux", "x86_64", nvidia_driver=True)
    url = "https://download.pytorch.org/whl/cpu"
    plan = plan_for(environment, torch_index_url=f"  {url} ", build="gpu")
    assert plan.torch_via == "pip" and plan.steps[0].options == ("--index-url", url) and plan.total_mb < 400
    assert all("--index-url" not in step.options for step in plan.steps[1:])
    assert any(url in line for line in plan.lines)
    assert plan_for(environment, torch_index_url=url[:-3] + "cu126/").total_mb > GPU_MB


def test_torch_that_is_there_is_left_alone(environment, make_wheel, tmp_path):
    add(environment, make_wheel(tmp_path, "torch", "2.6.0"))
    plan = dependencies.plan(dependencies.check(environment), environment=environment)
    assert plan.torch_via is None
    assert all("torch" not in item for step in plan.steps for item in step.requirements)


@pytest.mark.parametrize(("name", "old"), [("torch", "2.4.1"), ("numpy", "1.21.0")])
def test_what_must_not_be_replaced_is_said_and_nothing_planned(environment, make_wheel, tmp_path, name, old):
    for path in Path(environment.paths[0]).glob(f"{name}-*.dist-info/METADATA"):
        path.unlink()
    add(environment, make_wheel(tmp_path, name, old))
    plan = dependencies.plan(dependencies.check(environment), environment=environment)
    assert plan.steps == () and old in plan.problem and name.lower() in plan.problem.lower()
    result = dependencies.install(plan, environment=environment)
    assert not result.ok and result.message == plan.problem


def test_offline_plan_shows_the_folders_wheels(environment, wheels):
    for wheel in wheels.glob("safetensors*"):
        wheel.unlink()
    plan = dependencies.plan(dependencies.check(environment), wheels, environment=environment)
    assert plan.torch_via == "wheels" and not plan.problem
    assert plan.steps[0].options == ("--no-index", "--find-links", str(wheels))
    assert plan.total_mb == pytest.approx(sum(wheel.stat().st_size for wheel in wheels.glob("*.whl")) / 1e6, abs=0.1)
    assert any("torch-2.15.0-py3-none-any.whl" in line for line in plan.lines)
    assert [line for line in plan.lines if "safetensors" in line and "NOT" in line]


def test_offline_plan_of_a_folder_without_wheels(environment, tmp_path):
    for folder in (tmp_path / "nowhere", tmp_path):
        plan = dependencies.plan(dependencies.check(environment), folder, environment=environment)
        assert plan.problem and str(folder) in plan.problem and "pip download" in plan.problem


def test_constraints_hold_what_is_there():
    installed = {"numpy": "2.0.2", "torch": "2.7.0+cu128", "attrs": "25.1.0", "rich": "12.0", "odd": "not-a-version"}
    lines = constraints_text("# a comment\nrich==15.0.0\nPyYAML==6.0.3  # why\n", installed, ["rich"]).splitlines()
    assert "numpy==2.0.2" in lines and "torch==2.7.0+cu128" in lines
    assert "attrs>=25.1.0" in lines and "rich==15.0.0" in lines and "PyYAML==6.0.3" in lines
    assert not [line for line in lines if "odd" in line or "#" in line]
    assert "attrs==9" not in constraints_text("attrs==9\n", installed)


def test_protected_names_are_canonical():
    assert all(name == canonical(name) for name in PROTECTED)


def test_check_takes_little_time_in_a_full_environment():
    dependencies.check()
    start = time.perf_counter()
    assert dependencies.check().ok
    assert time.perf_counter() - start < 0.5
