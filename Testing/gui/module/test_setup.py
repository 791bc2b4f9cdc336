"""A Slicer where nothing is installed: everything is listed, Apply asks once, installs, and goes on by itself."""

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

    def choices(self, report):
        builds = (
            self.dependencies.TorchBuild("cpu", "PyTorch for the processor", 200.0, True),
            self.dependencies.TorchBuild("gpu", "PyTorch for NVIDIA GPUs", 2600.0, False),
        )
        return self.dependencies.Choices(builds, 60.0, True)

    def plan(self, report, wheel_folder=None, *, build="auto", openvino=False, torch_index_url=None):
        self.calls.append(("plan", wheel_folder, torch_index_url, build, openvino))
        lines = (f"torch for {build}", f"from {wheel_folder or 'the internet'}")
        return self.dependencies.InstallPlan(lines, 200.0, "pip", ("a step",))

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
def fresh(panel, monkeypatch):
    """The panel as it is at the first start: torch is missing, no worker has run, a volume is loaded."""
    from Rep3DSegmentationLib import dependencies

    installer = Installer(dependencies)
    for name in ("check", "choices", "plan", "install"):
        monkeypatch.setattr(dependencies, name, getattr(installer, name))
    report = panel.state.dependencies
    panel.state.catalog, panel.state.dependencies = None, None
    panel.host.select_module("SegmentEditor")
    panel.host.select_module("Rep3DSegmentation")
    yield panel, installer
    panel.host.wait_until(lambda: not panel.state.loading and panel.state.job is None, 60)
    panel.state.dependencies, panel.state.needs_restart = report, False
    panel.widget.panels.load_catalog()
    panel.host.wait_until(lambda: not panel.state.loading, 60)


def answer(panel, reply: str, seen: list | None = None, build: str = "") -> None:
    """What a person does with the question: choose a build, then press a button."""
    from slicer.util import findChildren

    seen = [] if seen is None else seen

    def act(dialog):
        for button in findChildren(dialog, className="QRadioButton"):
            if build and button.text.startswith(build):
                button.click()
        for kind in ("QLabel", "QRadioButton", "QCheckBox"):
            seen.extend(widget.text for widget in findChildren(dialog, className=kind))
        return reply

    panel.host.dialogs.answer(act, "Install what Rep3D needs")


def test_everything_is_listed_without_a_package_and_without_a_worker(fresh, made_up, monkeypatch):
    panel, _installer = fresh
    panel.state.catalog = None
    with monkeypatch.context() as patch:
        patch.setattr(panel.widget.context, "client", lambda: pytest.fail("the worker was asked"))
        panel.widget.panels.enter()
        panel.volume(made_up)
    ui = panel.ui
    listed = [ui.taskSelector.itemText(index) for index in range(ui.taskSelector.count)]
    assert "Hippocampus on MR (MSD Task04)" in listed and "No weights: Abdominal organs on CT (AMOS22)" in listed
    assert panel.parameters.choices.task == "msd-hippocampus" and "shipped" in ui.taskDetailsLabel.text
    assert "Anterior hippocampus" in ui.taskDetailsLabel.text and ui.structuresList.count == 2
    assert ui.weightsTable.item(0, 0).text() == "msd-hippocampus"
    assert panel.state.catalog.hello is None and not panel.state.loading
    assert ui.applyButton.enabled and "asks before it installs" in ui.applyButton.toolTip
    assert "1 Python package" in ui.setupLabel.text and not ui.restartButton.visible


def test_apply_asks_installs_and_goes_on_by_itself(fresh, made_up):
    panel, installer = fresh
    panel.volume(made_up)
    seen: list[str] = []
    answer(panel, "accept", seen, build="PyTorch for NVIDIA")
    panel.history.clear()
    panel.host.click(panel.ui.applyButton)  # the only click
    assert "PyTorch for the processor: about 200 MB (recommended)" in seen
    assert "PyTorch for NVIDIA GPUs: about 2.6 GB" in seen and any("OpenVINO" in text for text in seen)
    assert installer.calls[-2][3:] == ("gpu", True) and installer.calls[-1] == (
        "install",
        ("torch for gpu", "from the internet"),
    )
    assert "Collecting torch" in panel.ui.setupOutput.toPlainText()
    panel.wait_idle()
    assert panel.message.startswith("Done in"), panel.message
    assert {job.kind for job in panel.history} >= {"estimate", "segment"}


def test_not_now_leaves_everything_as_it_was(fresh, made_up):
    panel, installer = fresh
    panel.volume(made_up)
    answer(panel, "reject")
    panel.host.click(panel.ui.applyButton)
    assert all(call[0] == "plan" for call in installer.calls) and panel.state.job is None and panel.message == ""
    assert panel.ui.applyButton.enabled


def test_wheels_and_index_are_passed_on(fresh, tmp_path):
    panel, installer = fresh
    panel.options()
    panel.ui.setupSection.collapsed = False
    panel.ui.setupWheelsPath.setCurrentPath(str(tmp_path))
    panel.host.type_text(panel.ui.setupIndexEdit, "https://download.pytorch.org/whl/cpu")
    answer(panel, "accept", build="PyTorch for the processor")
    panel.host.click(panel.ui.installButton)
    assert ("plan", str(tmp_path), "https://download.pytorch.org/whl/cpu", "cpu", True) in installer.calls
    assert panel.message == "Installed." and "All there" in panel.ui.setupLabel.text
    panel.ui.setupWheelsPath.setCurrentPath("")
    panel.ui.setupIndexEdit.clear()
    assert installer.calls[-1][0] == "install"


def test_a_failed_installation_shows_pips_words_and_can_be_tried_again(fresh, made_up):
    panel, installer = fresh
    panel.volume(made_up)
    installer.succeed = False
    answer(panel, "accept")
    panel.host.click(panel.ui.applyButton)
    assert "no space left on device" in panel.message and panel.state.job is None
    installer.succeed = True
    answer(panel, "accept")
    panel.host.click(panel.ui.applyButton)
    panel.wait_idle()
    assert panel.message.startswith("Done in"), panel.message


def test_a_restart_is_asked_for_when_it_is_needed(fresh, made_up, monkeypatch):
    panel, installer = fresh
    panel.volume(made_up)

    def install(plan, on_output, is_cancelled, idle):
        installer.missing = ()
        return installer.dependencies.InstallResult(True, True, "Restart Slicer.", "")

    monkeypatch.setattr(installer.dependencies, "install", install)
    answer(panel, "accept")
    panel.host.click(panel.ui.applyButton)
    panel.options()
    panel.ui.setupSection.collapsed = False
    panel.host.process_events()
    assert panel.ui.restartButton.visible and not panel.ui.installButton.visible
    assert "Restart Slicer" in panel.ui.applyButton.toolTip and panel.state.catalog.hello is None
    before = panel.host.restarts
    panel.host.click(panel.ui.restartButton)
    assert panel.host.restarts == before + 1


def test_cancel_during_the_installation(fresh, made_up, monkeypatch):
    panel, installer = fresh
    panel.volume(made_up)
    pressed = []

    def install(plan, on_output, is_cancelled, idle):
        on_output("Collecting torch")
        assert "Collecting torch" in panel.ui.stageLabel.text and not panel.ui.applyButton.enabled
        panel.host.click(panel.ui.cancelButton)
        pressed.append(is_cancelled())
        return installer.dependencies.InstallResult(False, False, "Cancelled. What was installed stays.", "")

    monkeypatch.setattr(installer.dependencies, "install", install)
    answer(panel, "accept")
    panel.host.click(panel.ui.applyButton)
    assert pressed == [True] and "Cancelled" in panel.message and panel.ui.applyButton.enabled


def test_the_scene_is_closed_during_the_installation(fresh, made_up, monkeypatch):
    panel, installer = fresh
    panel.volume(made_up)
    real = installer.install

    def install(plan, on_output, is_cancelled, idle):
        panel.host.close_scene()
        return real(plan, on_output, is_cancelled, idle)

    monkeypatch.setattr(installer.dependencies, "install", install)
    answer(panel, "accept")
    panel.host.click(panel.ui.applyButton)
    assert panel.message == "Not started.\nChoose a volume."


def test_a_folder_that_was_cleared_is_forgotten(fresh, tmp_path):
    """CTK tells an empty path only as one that is no longer valid."""
    panel, _installer = fresh
    for path, key in ((panel.ui.batchInputPath, "batch_input"), (panel.ui.batchOutputPath, "batch_output")):
        path.setCurrentPath(str(tmp_path))
        assert getattr(panel.parameters.choices, key) == str(tmp_path)
        path.setCurrentPath("")
        assert getattr(panel.parameters.choices, key) == "" and path.currentPath == ""
