"""Scripted modules: loading, reloading, logic, self-tests, the module manager."""

from __future__ import annotations

import shutil
import sys

import numpy as np
import pytest


@pytest.fixture
def threshold(slicer_host, modules_folder):
    yield slicer_host.load_module(modules_folder / "CodeThreshold" / "CodeThreshold.py")
    slicer_host.unload_module("CodeThreshold")


@pytest.fixture
def form_copy(slicer_host, modules_folder, tmp_path):
    """The module with a form, in a folder where it can be changed."""
    folder = tmp_path / "Förm Ördner"
    shutil.copytree(modules_folder / "FormCounter", folder)
    yield folder / "FormCounter.py"
    if "FormCounter" in slicer_host.app.moduleManager().modulesNames():
        slicer_host.unload_module("FormCounter")
    sys.path.remove(str(folder))


def test_a_panel_built_in_code(slicer_host, threshold):
    import slicer

    widget = threshold.widget
    assert widget.outputSelector.baseName == "Thresholded"
    assert not widget.applyButton.enabled
    volume = slicer.util.addVolumeFromArray(np.array([[[0, 150, 300]]], dtype=np.int16), name="CT")
    slicer_host.choose(widget.inputSelector, "CT")
    output = widget.outputSelector.addNode()
    assert widget.applyButton.enabled
    slicer_host.click(widget.applyButton)
    assert slicer.util.arrayFromVolume(output).ravel().tolist() == [0, 1, 1]
    slicer_host.choose(widget.mode, "Below")
    slicer_host.click(widget.applyButton)
    assert slicer.util.arrayFromVolume(output).ravel().tolist() == [1, 0, 0]
    slicer.mrmlScene.RemoveNode(volume)
    assert not widget.applyButton.enabled


def test_what_the_module_says_of_itself(slicer_host, threshold):
    import slicer

    module = slicer.modules.codethreshold
    assert (module.title, module.name) == ("Code Threshold", "CodeThreshold")
    assert module.categories == ("Examples",)
    assert module.path.endswith("CodeThreshold.py")
    assert "codethreshold.html" in module.helpText
    assert slicer.util.modulePath("CodeThreshold") == module.path
    assert slicer.util.getModule("CodeThreshold") == module
    assert slicer.util.getModuleWidget("CodeThreshold") is threshold.widget
    assert slicer.modules.CodeThresholdWidget is threshold.widget
    assert slicer.modules.CodeThresholdInstance is threshold.instance
    assert "CodeThreshold" in slicer.util.moduleNames()
    with pytest.raises(AttributeError):
        module.titel = "misspelt"


def test_logics_of_the_core(slicer_host):
    import slicer

    assert slicer.modules.volumes.logic().IsA("vtkSlicerVolumesLogic")
    assert slicer.util.getModuleLogic("Segmentations").IsA("vtkSlicerSegmentationsModuleLogic")
    assert not hasattr(slicer.modules, "nosuchmodule")
    with pytest.raises(RuntimeError, match="Could not find module"):
        slicer.util.getModule("NoSuchModule")


def test_logic_of_a_scripted_module(slicer_host, form_copy):
    import slicer

    loaded = slicer_host.load_module(form_copy)
    assert slicer.util.getModuleLogic("FormCounter") is loaded.logic


def test_a_timer_of_the_module(slicer_host, threshold):
    slicer_host.click(threshold.widget.timerButton)
    slicer_host.wait_until(lambda: threshold.widget.timerTicks >= 2)
    slicer_host.click(threshold.widget.timerButton)
    assert not threshold.widget.timer.active


def test_reload_takes_the_new_source(slicer_host, form_copy):
    import slicer

    old = slicer_host.load_module(form_copy)
    source = form_copy.read_text(encoding="utf-8")
    form_copy.write_text(source.replace('_("Count")', '_("Count again")'), encoding="utf-8")
    new = slicer_host.reload("FormCounter")
    assert new.widget is not old.widget
    assert new.panel is old.panel
    slicer.util.addVolumeFromArray(np.zeros((1, 1, 2), np.int16), name="CT")
    assert new.widget.ui.applyButton.toolTip == "<p>Count again</p>"
    assert old.widget.ui.applyButton.toolTip != "<p>Count again</p>", "the old panel is cleaned up and silent"
    assert not old.widget.ui.applyButton.visible


def test_reload_cleans_up(slicer_host, threshold):
    slicer_host.reload("CodeThreshold")
    assert threshold.widget.cleanups == 1


def test_reload_by_the_button_of_the_developer_mode(slicer_host, modules_folder):
    import slicer

    slicer.app.settings().setValue("Developer/DeveloperMode", True)
    try:
        loaded = slicer_host.load_module(modules_folder / "CodeThreshold" / "CodeThreshold.py")
        slicer_host.select_module("CodeThreshold")
        slicer_host.click(loaded.widget.reloadButton)
        assert slicer.modules.CodeThresholdWidget is not loaded.widget
        slicer_host.click(slicer.modules.CodeThresholdWidget.testButton)
        assert sys.modules["CodeThreshold"].CodeThresholdTest.ran == 1
    finally:
        slicer.app.settings().remove("Developer/DeveloperMode")
        slicer_host.unload_module("CodeThreshold")


def test_unloading_cleans_up(slicer_host, modules_folder):
    import slicer

    loaded = slicer_host.load_module(modules_folder / "CodeThreshold" / "CodeThreshold.py")
    slicer_host.unload_module("CodeThreshold")
    assert loaded.widget.cleanups == 1
    assert not hasattr(slicer.modules, "codethreshold")
    assert not loaded.widget.applyButton, "the panel is deleted"


def test_loading_again_takes_the_place_of_the_first(slicer_host, threshold, modules_folder):
    slicer_host.select_module("CodeThreshold")
    again = slicer_host.load_module(modules_folder / "CodeThreshold" / "CodeThreshold.py")
    assert threshold.widget.cleanups == 1
    assert slicer_host.loaded("CodeThreshold").widget is again.widget
    slicer_host.select_module("CodeThreshold")
    assert again.panel.isEntered, "the new panel is the one on the screen"


def test_what_a_module_raises_is_not_hidden(slicer_host, tmp_path):
    path = tmp_path / "BrokenModule.py"
    path.write_text("import qt\nqt.QNoSuchThing\n", encoding="utf-8")
    with pytest.raises(AttributeError, match="QNoSuchThing"):
        slicer_host.load_module(path)
    sys.path.remove(str(tmp_path))


def test_parameter_nodes(slicer_host):
    import slicer
    from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

    class ExampleLogic(ScriptedLoadableModuleLogic):
        pass

    logic = ExampleLogic()
    assert logic.moduleName == "Example"
    node = logic.getParameterNode()
    assert node.GetAttribute("ModuleName") == "Example"
    assert logic.getParameterNode() is node, "a singleton"
    logic.isSingletonParameterNode = False
    assert logic.getParameterNode() is node, "the first one of this module"
    slicer.mrmlScene.AddNode(logic.createParameterNode())
    assert len(logic.getAllParameterNodes()) == 2


def test_sample_data(slicer_host):
    import SampleData

    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="Examples",
        sampleName="Example",
        uris="https://example.org/a.nrrd",
        fileNames="a.nrrd",
        nodeNames="Example",
        checksums="SHA256:0",
    )
    import slicer

    (source,) = slicer.modules.sampleDataSources.pop("Examples")
    assert (source.sampleName, source.uris, source.nodeNames) == (
        "Example",
        ["https://example.org/a.nrrd"],
        ["Example"],
    )


def test_translations(slicer_host):
    from slicer.i18n import getContext, tr, translate

    assert tr("Segment") == "Segment"
    assert translate("qSlicerAbstractCoreModule", "Segmentation") == "Segmentation"
    assert getContext(__file__) == "test_modules"
    with pytest.raises(TypeError):
        tr(None)


def test_the_application(slicer_host):
    import slicer

    assert slicer.app.applicationName == "Slicer"
    assert (slicer.app.majorVersion, slicer.app.minorVersion) == (5, 12)
    assert slicer.app.arch.lower() in slicer.app.platform
    assert slicer.app.mrmlScene() is slicer.mrmlScene
    assert slicer.app.testingEnabled() is False
    assert "PATH" in slicer.util.startupEnvironment()
    assert slicer.util.mainWindow().objectName == "qSlicerMainWindow"
    slicer.util.showStatusMessage("Ready")
    assert slicer.util.mainWindow().statusBar().currentMessage() == "Ready"
    before = slicer_host.restarts
    slicer.util.restart()
    assert slicer_host.restarts == before + 1
    with slicer.util.RenderBlocker(), slicer.util.WaitCursor():
        slicer.app.processEvents()
