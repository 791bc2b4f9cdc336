"""The Setup section: shown while packages are missing, installs what it announces, and hands over to the tasks."""

from __future__ import annotations

import pytest


class Installer:
    """Stands for pip: what is installed and what the next installation does."""

    def __init__(self, dependencies):
        self.dependencies = dependencies
        self.missing = (dependencies.Requirement("torch", ">=2.6", None, 200.0),)
        self.calls: list[tuple] = []
        self.succeed = True

    def check(self):
        ok = not self.missing
        note = "All there." if ok else "1 Python package is to be installed."
        return self.dependencies.DependencyReport(ok, self.missing, note)

    def plan(self, report, wheel_folder=None, *, torch_index_url=None):
        self.calls.append(("plan", wheel_folder, torch_index_url))
        lines = (f"torch {report.missing[0].spec} with pip", f"from {wheel_folder or 'the internet'}")
        return self.dependencies.InstallPlan(lines, 200.0, "pip", ())

    def install(self, plan, on_output, is_cancelled, idle):
        self.calls.append(("install", plan.lines))
        on_output("Collecting torch")
        idle()
        if is_cancelled():
            return self.dependencies.InstallResult(False, False, "Cancelled.", "")
        if not self.succeed:
            return self.dependencies.InstallResult(False, False, "pip says: no space left on device", "log")
        self.missing = ()
        return self.dependencies.InstallResult(True, False, "Installed.", "log")


@pytest.fixture
def setup(panel, monkeypatch):
    """The panel as it is at the first start: torch is missing."""
    from Rep3DSegmentationLib import dependencies

    installer = Installer(dependencies)
    for name in ("check", "plan", "install"):
        monkeypatch.setattr(dependencies, name, getattr(installer, name))
    catalog, report = panel.state.catalog, panel.state.dependencies
    panel.state.catalog, panel.state.dependencies = None, None
    panel.host.select_module("SegmentEditor")
    panel.host.select_module("Rep3DSegmentation")
    yield panel, installer
    panel.host.wait_until(lambda: not panel.state.loading, 60)
    panel.state.catalog = panel.state.catalog or catalog
    panel.state.dependencies, panel.state.needs_restart = report, False


def test_the_first_start_shows_what_is_missing_and_asks_no_worker(setup):
    panel, _installer = setup
    ui = panel.ui
    assert ui.setupSection.visible and "1 Python package" in ui.setupLabel.text
    assert "torch &gt;=2.6 with pip" in ui.setupPlanLabel.text
    assert panel.state.catalog is None and not panel.state.loading
    assert not ui.applyButton.enabled and "under Setup" in ui.applyButton.toolTip
    assert not ui.taskSelector.enabled and not ui.restartButton.visible


def test_wheels_and_index_are_passed_on_and_install_leads_to_the_tasks(setup, tmp_path):
    panel, installer = setup
    panel.ui.setupWheelsPath.setCurrentPath(str(tmp_path))
    assert f"from {tmp_path}" in panel.ui.setupPlanLabel.text
    panel.host.type_text(panel.ui.setupIndexEdit, "https://download.pytorch.org/whl/cpu")
    panel.host.click(panel.ui.installButton)
    assert ("plan", str(tmp_path), "https://download.pytorch.org/whl/cpu") in installer.calls
    assert installer.calls[-1][0] == "install" and "Collecting torch" in panel.ui.setupOutput.toPlainText()
    assert panel.message == "Installed." and not panel.ui.setupSection.visible
    panel.host.wait_until(lambda: panel.state.catalog is not None, 60)
    assert panel.ui.taskSelector.enabled
    panel.ui.setupWheelsPath.setCurrentPath("")
    panel.ui.setupIndexEdit.clear()


def test_a_failed_installation_shows_pips_words_and_can_be_tried_again(setup):
    panel, installer = setup
    installer.succeed = False
    panel.host.click(panel.ui.installButton)
    assert "no space left on device" in panel.message and panel.ui.setupSection.visible
    assert panel.ui.installButton.enabled and panel.ui.installButton.text == "Install"
    installer.succeed = True
    panel.host.click(panel.ui.installButton)
    assert panel.message == "Installed."


def test_a_restart_is_asked_for_when_it_is_needed(setup, monkeypatch):
    panel, installer = setup

    def install(plan, on_output, is_cancelled, idle):
        installer.missing = ()
        return installer.dependencies.InstallResult(True, True, "Restart Slicer.", "")

    monkeypatch.setattr(installer.dependencies, "install", install)
    panel.host.click(panel.ui.installButton)
    assert panel.ui.restartButton.visible and not panel.ui.installButton.visible
    assert "Restart Slicer" in panel.ui.applyButton.toolTip and panel.state.catalog is None
    before = panel.host.restarts
    panel.host.click(panel.ui.restartButton)
    assert panel.host.restarts == before + 1


def test_cancel_during_the_installation(setup, monkeypatch):
    panel, installer = setup
    pressed = []

    def install(plan, on_output, is_cancelled, idle):
        assert panel.ui.installButton.text == "Cancel installation"
        panel.host.click(panel.ui.installButton)
        pressed.append(is_cancelled())
        return installer.dependencies.InstallResult(False, False, "Cancelled. What was installed stays.", "")

    monkeypatch.setattr(installer.dependencies, "install", install)
    panel.host.click(panel.ui.installButton)
    assert pressed == [True] and "Cancelled" in panel.message and panel.ui.setupSection.visible


def test_a_folder_that_was_cleared_is_forgotten(setup, tmp_path):
    """CTK tells an empty path only as one that is no longer valid."""
    panel, _installer = setup
    panel.ui.setupWheelsPath.setCurrentPath(str(tmp_path))
    assert f"from {tmp_path}" in panel.ui.setupPlanLabel.text
    panel.ui.setupWheelsPath.setCurrentPath("")
    assert "from the internet" in panel.ui.setupPlanLabel.text
    for path, key in ((panel.ui.batchInputPath, "batch_input"), (panel.ui.batchOutputPath, "batch_output")):
        path.setCurrentPath(str(tmp_path))
        assert getattr(panel.parameters.choices, key) == str(tmp_path)
        path.setCurrentPath("")
        assert getattr(panel.parameters.choices, key) == "" and path.currentPath == ""
