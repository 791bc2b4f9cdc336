"""Installing with the real pip from a folder of tiny wheels: success, failure, cancel, resume, nothing replaced."""

from __future__ import annotations

import importlib.metadata
import os
import threading
import time
from pathlib import Path

import psutil
import pytest
from Rep3DSegmentationLib import dependencies, install_process
from Rep3DSegmentationLib.dependency_plan import Step
from Rep3DSegmentationLib.python_environment import PythonEnvironment

CONFLICT = ["ERROR: Cannot install a and b because these package versions have conflicting dependencies."]


def installed(environment) -> dict[str, str]:
    found = importlib.metadata.distributions(path=list(environment.paths))
    return {item.metadata["Name"].lower(): item.version for item in found}


def plan_from(environment, wheels: Path) -> dependencies.InstallPlan:
    return dependencies.plan(dependencies.check(environment), wheels, environment=environment)


def test_offline_installation(environment, wheels):
    lines: list[tuple[str, int]] = []
    idle_calls: list[int] = []
    before = installed(environment)
    result = dependencies.install(
        plan_from(environment, wheels),
        on_output=lambda line: lines.append((line, threading.get_ident())),
        idle=lambda: idle_calls.append(threading.get_ident()),
        environment=environment,
    )
    assert result.ok and not result.needs_restart, result.message + result.log
    assert dependencies.check(environment).ok
    now = installed(environment)
    changed = {name for name, version in before.items() if now[name] != version}
    assert changed == {"typing_extensions"}  # pydantic asks for a newer one; numpy, pydicom, pip ... are Slicer's own
    assert now["scipy"] == "1.13.1" and now["pygments"] == "2.21.0"
    assert any("Successfully installed" in line for line, _ in lines)
    assert "\n".join(line for line, _ in lines) == result.log
    assert {thread for _, thread in lines} == {threading.get_ident()} == set(idle_calls)
    assert len(idle_calls) > 5  # the application is kept alive while pip runs


def test_newer_versions_of_slicers_packages_do_not_replace_them(environment, wheels, make_wheel):
    make_wheel(wheels, "numpy", "2.4.6")
    make_wheel(wheels, "SimpleITK", "2.6.0")
    make_wheel(wheels, "scipy", "1.18.0")
    assert dependencies.install(plan_from(environment, wheels), environment=environment).ok
    now = installed(environment)
    assert (now["numpy"], now["scipy"]) == ("2.0.2", "1.13.1")


def test_downgrade_of_numpy_is_refused(environment, wheels, make_wheel):
    """A package that wants an older numpy than Slicer's is not installed; pip says which, the hint what to do."""
    for wheel in wheels.glob("safetensors*"):
        wheel.unlink()
    make_wheel(wheels, "safetensors", "0.8.0", ["numpy<2"])
    make_wheel(wheels, "numpy", "1.26.4")
    before = installed(environment)
    result = dependencies.install(plan_from(environment, wheels), environment=environment)
    assert not result.ok and not result.needs_restart
    assert "safetensors" in result.message and "numpy" in result.message and "conflict" in result.message
    assert "nothing was replaced" in result.message
    assert installed(environment) == before


def test_torch_of_another_extension_stays(environment, wheels, make_wheel, tmp_path):
    make_wheel(tmp_path / "other", "torch", "2.6.0+cu124")
    other = plan_from(environment, tmp_path / "other")
    only_torch = dependencies.InstallPlan((), 0.0, "wheels", (step_for(other, "torch==2.6.0+cu124"),))
    dependencies.install(only_torch, environment=environment)
    assert installed(environment)["torch"] == "2.6.0+cu124"
    result = dependencies.install(plan_from(environment, wheels), environment=environment)
    assert result.ok, result.message
    assert installed(environment)["torch"] == "2.6.0+cu124"


def step_for(plan: dependencies.InstallPlan, *requirements: str):
    from dataclasses import replace

    return replace(plan.steps[0], requirements=requirements)


def test_failure_shows_pips_message_and_what_to_do(environment, wheels):
    for wheel in wheels.glob("[Pp]ygments*"):
        wheel.unlink()
    result = dependencies.install(plan_from(environment, wheels), environment=environment)
    assert not result.ok
    assert "rich 15.0.0 depends on pygments" in result.message  # pip's own words
    assert "add its wheel" in result.message.splitlines()[-1]
    assert "pygments" in result.log


def test_installation_goes_on_with_what_is_missing(environment, wheels, tmp_path):
    """As after a restart: nothing is kept but what is installed."""
    held = tmp_path / "held"
    held.mkdir()
    for wheel in wheels.glob("[Pp]ygments*"):
        wheel.rename(held / wheel.name)
    first = plan_from(environment, wheels)
    done = dependencies.InstallPlan(first.lines, first.total_mb, "wheels", (step_for(first, "torch", "safetensors"),))
    assert not dependencies.install(done, environment=environment).ok  # the rest is still missing
    for wheel in held.iterdir():
        wheel.rename(wheels / wheel.name)
    fresh = PythonEnvironment(environment.python, environment.paths)
    second = plan_from(fresh, wheels)
    assert second.torch_via is None
    assert not [item for item in second.steps[0].requirements if item.startswith(("torch", "safetensors"))]
    assert dependencies.install(second, environment=fresh).ok


def test_cancel_ends_pip_and_its_children(environment, wheels, make_slow_source, tmp_path):
    pid_file = tmp_path / "build.pid"
    for wheel in wheels.glob("torch*"):
        wheel.unlink()
    make_slow_source(wheels, "torch", "2.9.0", pid_file)
    before = installed(environment)
    seen: list[float] = []

    def cancelled() -> bool:
        if pid_file.exists() and pid_file.read_text():
            seen.append(time.monotonic())
        return bool(seen)

    result = dependencies.install(plan_from(environment, wheels), is_cancelled=cancelled, environment=environment)
    assert not result.ok and result.message.startswith("Cancelled") and time.monotonic() - seen[0] < 5
    pid = int(pid_file.read_text())
    end = time.monotonic() + 5
    while psutil.pid_exists(pid) and time.monotonic() < end:
        if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            break
        time.sleep(0.05)
    else:
        assert not psutil.pid_exists(pid)
    assert installed(environment) == before
    for path in wheels.glob("torch*"):
        path.unlink()


def test_cancel_before_it_starts_runs_nothing(environment, wheels):
    result = dependencies.install(plan_from(environment, wheels), is_cancelled=lambda: True, environment=environment)
    assert not result.ok and "Cancelled" in result.message and "Processing" not in result.log


def test_python_that_cannot_be_started(environment, wheels, tmp_path):
    broken = PythonEnvironment(str(tmp_path / "no python"), environment.paths)
    result = dependencies.install(plan_from(environment, wheels), environment=broken)
    assert not result.ok and "no python" in result.message


def test_pips_own_settings_are_used(environment, wheels, monkeypatch):
    """Without a folder given, pip goes where its configuration says, here to wheels of the user's own."""
    monkeypatch.delenv("PIP_INDEX_URL")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", wheels.as_uri())
    plan = dependencies.plan(dependencies.check(environment), environment=environment)
    result = dependencies.install(plan, environment=environment)
    assert result.ok, result.message
    assert [line for line in result.log.splitlines() if line.startswith("Installing PyTorch")]


def test_torch_from_the_index_that_the_user_names(environment, wheels, make_index, tmp_path, monkeypatch):
    """Only torch comes from there, the rest from pip's own index."""
    index, general = tmp_path / "torch index", tmp_path / "general index"
    below_torch = ("torch", "typing", "filelock", "sympy", "mpmath", "networkx", "Jinja2", "MarkupSafe", "fsspec")
    make_index(index, [wheel for wheel in wheels.iterdir() if wheel.name.startswith(below_torch)])
    make_index(general, [wheel for wheel in wheels.iterdir() if not wheel.name.startswith("torch")])
    monkeypatch.setenv("PIP_INDEX_URL", general.as_uri())
    report = dependencies.check(environment)
    plan = dependencies.plan(report, torch_index_url=index.as_uri(), environment=environment)
    result = dependencies.install(plan, environment=environment)
    assert result.ok, result.message
    assert index.name.replace(" ", "%20") in result.log


def test_proxy_of_the_environment_is_used(environment, monkeypatch):
    """A proxy that nobody answers at: pip tries it, and the message says what to look at."""
    monkeypatch.setenv("PIP_INDEX_URL", "https://packages.invalid/simple")
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("PIP_RETRIES", "1")  # pip tells of the connection when it tries again
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    plan = dependencies.plan(dependencies.check(environment), environment=environment)
    result = dependencies.install(plan, environment=environment)
    assert not result.ok and "proxy" in result.log.lower()
    assert "HTTPS_PROXY" in result.message


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "disk is full"),
        (
            "ERROR: Could not install packages due to an OSError: [WinError 5] Access is denied: 'c:\\x'",
            "administrator",
        ),
        ("ERROR: [Errno 13] Permission denied: '/opt/Slicer/lib/python3.12/site-packages'", "administrator"),
        (
            "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed",
            "PIP_CERT",
        ),
        ("ProxyError('Cannot connect to proxy.', OSError('Tunnel connection failed: 407", "proxy refused"),
        ("NewConnectionError(': Failed to establish a new connection: [Errno -2] Name or service", "not reached"),
        (CONFLICT[0], "nothing was replaced"),
        ("ERROR: Could not find a version that satisfies the requirement torch", "index address"),
        ("Segmentation fault", "log"),
    ],
)
def test_advice_fits_what_pip_printed(printed, expected):
    assert expected in install_process.advice(["Collecting torch", printed])


def test_an_index_that_was_not_reached_is_no_conflict():
    retry = "WARNING: Retrying (Retry(total={})) after connection broken by 'ProxyError('Cannot connect.'"
    assert "proxy" in install_process.advice([retry.format(1), retry.format(0), *CONFLICT])
    assert "nothing was replaced" in install_process.advice(
        [retry.format(4), *CONFLICT]
    )  # a hiccup, and then a conflict


LTT_WITHOUT_AN_INDEX = """WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(-2)'
ERROR: Exception:
Traceback (most recent call last):
  File "/Slicer/lib/Python/lib/python3.12/site-packages/pip/_internal/cli/base_command.py", line 107, in _run_wrapper
    status = _inner_run()
  File "/Slicer/lib/Python/lib/python3.12/site-packages/light_the_torch/_patch.py", line 349, in postprocessing
    _, pypi_file_source = build_source(
                          ^^^^^^^^^^^^^
TypeError: build_source() missing 1 required keyword-only argument: 'project_name'"""
"""What light-the-torch 0.8.1 prints where download.pytorch.org is not reached."""


OFFLINE = """ERROR: Cannot install torch>=2.6 because these package versions have conflicting dependencies.

The conflict is caused by:
    The user requested torch>=2.6
    The user requested (constraint) torch<3

Additionally, some packages in these conflicts have no matching distributions available for your environment:
    torch

To fix this you could try to:"""
"""What pip 26.1.1 prints where an index is not reached, because the constraints name torch too."""


@pytest.mark.parametrize(
    ("module", "options", "printed", "index"),
    [
        ("light_the_torch", (), LTT_WITHOUT_AN_INDEX, "https://download.pytorch.org/whl"),
        ("light_the_torch", (), LTT_WITHOUT_AN_INDEX.partition("\n")[2], "https://download.pytorch.org/whl"),
        (
            "pip",
            ("--index-url", "https://download.pytorch.org/whl/cpu"),
            "ERROR: Could not find a version that satisfies the requirement torch>=2.6 (from versions: none)",
            "https://download.pytorch.org/whl/cpu",
        ),
        (
            "pip",
            ("--index-url", "https://download.pytorch.org/whl/cpu"),
            OFFLINE,
            "https://download.pytorch.org/whl/cpu",
        ),
    ],
)
def test_an_index_that_gives_nothing_is_told_without_a_traceback(
    monkeypatch, environment, module, options, printed, index
):
    """Offline, behind a proxy, or no build for this Python: the user reads which index, and what to do."""
    monkeypatch.setattr(dependencies, "_computation_backends", lambda *_: "cu126")
    monkeypatch.setattr(
        dependencies, "run_in_child", lambda *_: install_process.Outcome(0, tuple(printed.splitlines()))
    )
    step = Step("PyTorch", module, ("torch>=2.6",), options)
    result = dependencies.install(dependencies.InstallPlan((), 0.0, None, (step,)), environment=environment)
    assert not result.ok and f"The package index {index} gave no torch" in result.message
    assert "not reached" in result.message and "HTTPS_PROXY" in result.message and "folder of wheels" in result.message
    assert not [word for word in ("Traceback", "TypeError", "build_source", "File") if word in result.message]


def test_of_any_other_traceback_the_error_alone_is_shown():
    lines = ["Collecting torch", "ERROR: Exception:", "Traceback (most recent call last):", '  File "x"', "KeyError: 1"]
    assert install_process.pip_message(lines) == "KeyError: 1"


def test_pips_message_is_its_errors_or_its_last_lines():
    lines = ["Collecting torch", "ERROR: first", "note", "ERROR: second"]
    assert install_process.pip_message(lines) == "first\nsecond"
    assert install_process.pip_message(["a", "b", "", "c", "d"]) == "b\nc\nd"


def test_output_that_is_not_utf8_does_not_stop_it(tmp_path):
    script = tmp_path / "noisy.py"
    script.write_text("import sys\nsys.stdout.buffer.write(b'caf\\xe9\\n\\nend\\n'); sys.exit(3)\n", encoding="utf-8")
    lines: list[str] = []
    watcher = install_process.Watcher(lines.append, lambda: False, lambda: None)
    outcome = install_process.run_in_child([os.sys.executable, str(script)], watcher)
    assert outcome.code == 3 and lines == ["caf\ufffd", "end"] and outcome.lines == tuple(lines)
