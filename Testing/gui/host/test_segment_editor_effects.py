"""How the Segment Editor of the host treats effects: registered, cloned, activated, told, recorded when they fail."""

from __future__ import annotations

import sys

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")
pytest.importorskip("PyQt5.QtWidgets")
from PyQt5 import QtCore, QtTest  # noqa: E402
from slicerhost.wrapping import unwrap  # noqa: E402

LATER = """
import slicer
from SegmentEditorEffects import *


class SegmentEditorEffect(AbstractScriptedSegmentEditorEffect):
    def __init__(self, scriptedEffect):
        scriptedEffect.name = "Later"
        scriptedEffect.requireSegments = False
        AbstractScriptedSegmentEditorEffect.__init__(self, scriptedEffect)

    def clone(self):
        clonedEffect = slicer.qSlicerSegmentEditorScriptedEffect(None)
        clonedEffect.setPythonSource(__file__)
        return clonedEffect
"""


def test_the_module_registers_its_effect_and_the_editor_shows_it(stage):
    editor = stage.editor
    assert "Box" in editor.availableEffectNames()
    assert editor.effectByName("Box") == stage.effect and editor.effectByName("Paint") is None
    button = stage.child("Box")
    assert button.checked and button.toolTip == "Add a box" and button.enabled
    assert stage.child("OptionsGroupBox").visible and stage.child("OptionsGroupBox").title == "Add a box"
    assert "Click to add a box" in stage.child("EffectHelpBrowser").plainText
    assert stage.box.radius.value == 2 and stage.effect.optionsFrame().visible
    stage.host.click(stage.child("NULL"))
    assert editor.activeEffect() is None and not stage.child("OptionsGroupBox").visible
    stage.host.click(button)
    assert editor.activeEffect() == stage.effect


def test_keys_of_the_editor(stage):
    window = unwrap(slicer.util.mainWindow())
    window.activateWindow()
    stage.click((7, 9, 11))
    QtTest.QTest.keyClick(window, QtCore.Qt.Key_Z)
    assert not stage.voxels("a").any()
    QtTest.QTest.keyClick(window, QtCore.Qt.Key_Y)
    assert stage.voxels("a").any()
    QtTest.QTest.keyClick(window, QtCore.Qt.Key_W)
    assert stage.editor.currentSegmentID() == "b"
    QtTest.QTest.keyClick(window, QtCore.Qt.Key_Escape)
    assert stage.editor.activeEffect() is None
    number = stage.editor.availableEffectNames().index("Box")  # others may be registered before it
    QtTest.QTest.keyClick(window, QtCore.Qt.Key_1 + number)
    assert stage.editor.activeEffect() == stage.effect


def test_two_editors_have_their_own_clones_and_parameters(stage):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
    other = slicer.qMRMLSegmentEditorWidget()
    other.setMRMLSegmentEditorNode(node)
    other.setMRMLScene(slicer.mrmlScene)
    other.setSegmentationNode(stage.node)
    other.setSourceVolumeNode(stage.volume)
    other.setCurrentSegmentID("b")
    clone = other.effectByName("Box")
    assert clone != stage.effect and clone.self() is not stage.box
    clone.setParameter("Radius", 1)
    assert stage.effect.integerParameter("Radius") == 2 and stage.box.radius.value == 2
    stage.click((7, 9, 11))
    assert not stage.voxels("b").any() and not hasattr(clone.self(), "clicked")
    stage.editor.setActiveEffect(None)
    other.setActiveEffect(clone)
    stage.click((7, 9, 11))
    assert np.array_equal(stage.voxels("b"), stage.region((7, 9, 11), 1))
    assert stage.box.calls.count("activate") == stage.box.calls.count("deactivate")
    assert "cleanup" not in clone.self().calls
    python = clone.self()
    python.radius.connect("destroyed()", lambda: python.calls.append("radius destroyed"))
    other.delete()
    assert python.calls[-2:] == ["cleanup", "radius destroyed"]  # the effect may still reach its controls
    stage.host.process_events()
    stage.host.hover_slice("Red", xy=(5, 5))  # a deleted editor hears nothing


def test_a_change_of_the_source_volume_is_told_to_all_effects(stage):
    before = stage.box.calls.count("sourceVolumeNodeChanged")
    second = stage.add_volume("other scan")
    stage.editor.setSourceVolumeNode(second)
    assert stage.box.calls.count("sourceVolumeNodeChanged") == before + 1
    assert stage.editor.sourceVolumeNode() is second
    assert stage.child("SourceVolumeNodeComboBox").currentNode() is second
    composite = stage.host.slice_view("Red").mrmlSliceCompositeNode()
    assert composite.GetBackgroundVolumeID() == second.GetID()


def test_switching_effects_deactivates_and_activates(stage):
    stage.box.calls.clear()
    stage.editor.setActiveEffectByName("")
    assert stage.box.calls == ["deactivate"] and not stage.effect.active()
    stage.host.hover_slice("Red", xy=(5, 5))
    assert stage.box.status.text != "5 5"
    stage.editor.setActiveEffectByName("Box")
    assert stage.box.calls[-1] == "activate" and stage.effect.active()


def test_only_views_that_show_the_segmentation_are_heard(stage):
    stage.node.GetDisplayNode().SetViewNodeIDs(
        [slicer.app.layoutManager().sliceWidget("Green").mrmlSliceNode().GetID()]
    )
    stage.host.hover_slice("Green", xy=(5, 6))
    assert stage.box.status.text == "5 6"
    stage.host.hover_slice("Red", xy=(7, 8))
    assert stage.box.status.text == "5 6"
    stage.node.GetDisplayNode().SetViewNodeIDs([])
    stage.host.hover_slice("Red", xy=(7, 8))
    assert stage.box.status.text == "7 8"


def test_a_change_of_the_layout_is_told(stage):
    stage.box.calls.clear()
    manager = slicer.app.layoutManager()
    manager.setLayout(manager.layout + 1)
    assert "layoutChanged" in stage.box.calls
    stage.host.hover_slice("Red", xy=(5, 6))
    assert stage.box.status.text == "5 6"


def test_the_cursor_is_the_icon_of_the_effect(stage):
    view = stage.host.slice_view("Red").sliceView()
    assert not view.cursor().pixmap().isNull()
    stage.editor.setActiveEffect(None)
    assert view.cursor().pixmap().isNull()
    stage.effect.showEffectCursorInSliceView = False
    stage.editor.setActiveEffectByName("Box")
    assert view.cursor().pixmap().isNull()
    stage.effect.showEffectCursorInSliceView = True


def test_which_effects_are_shown_and_in_which_order(stage):
    editor = stage.editor
    names = [editor.effectByIndex(i).name for i in range(1, editor.effectCount())]
    assert editor.effectByIndex(0) is None and "Box" in names
    editor.setEffectNameOrder(["Erase"])
    editor.unorderedEffectsVisible = False
    assert editor.effectCount() == 1 and not stage.child("Box").visible
    editor.unorderedEffectsVisible = True
    assert stage.child("Box").visible


FORM = """<ui version="4.0"><class>Form</class><widget class="qMRMLWidget" name="Form">
 <layout class="QVBoxLayout"><item><widget class="qMRMLSegmentEditorWidget" name="editor">
  <property name="segmentationNodeSelectorVisible"><bool>false</bool></property>
  <property name="maximumNumberOfUndoStates"><number>3</number></property></widget></item></layout></widget>
 <customwidgets>
  <customwidget><class>qMRMLWidget</class><extends>QWidget</extends><header>qMRMLWidget.h</header></customwidget>
  <customwidget><class>qMRMLSegmentEditorWidget</class><extends>qMRMLWidget</extends>
   <header>qMRMLSegmentEditorWidget.h</header></customwidget></customwidgets>
 <connections><connection><sender>Form</sender><signal>mrmlSceneChanged(vtkMRMLScene*)</signal>
  <receiver>editor</receiver><slot>setMRMLScene(vtkMRMLScene*)</slot></connection></connections></ui>"""


def test_an_editor_in_a_form(slicer_host, tmp_path):
    path = tmp_path / "form.ui"
    path.write_text(FORM, encoding="utf-8")
    form = slicer.util.loadUI(str(path))
    editor = slicer.util.childWidgetVariables(form).editor
    form.setMRMLScene(slicer.mrmlScene)
    assert editor.mrmlScene() is slicer.mrmlScene and editor.maximumNumberOfUndoStates == 3
    assert not editor.segmentationNodeSelectorVisible and editor.sourceVolumeNodeSelectorVisible
    editor.undoEnabled = False
    assert not editor.undoEnabled and slicer.util.findChild(editor, "UndoRedoGroupBox").isHidden()
    editor.readOnly = True
    assert editor.readOnly


def test_placing_a_markup_ends_the_effect(stage):
    interaction = slicer.mrmlScene.GetNodeByID("vtkMRMLInteractionNodeSingleton")
    interaction.SetCurrentInteractionMode(interaction.Place)
    assert stage.editor.activeEffect() is None
    stage.editor.setActiveEffectByName("Box")
    assert interaction.GetCurrentInteractionMode() == interaction.ViewTransform


def test_another_segmentation_ends_the_effect(stage):
    stage.editor.setSegmentationNode(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "second"))
    assert stage.editor.activeEffect() is None and stage.editor.segmentationNode().GetName() == "second"
    assert not stage.child("Box").enabled  # no segment to edit


def test_removing_the_nodes_that_are_edited(stage):
    slicer.mrmlScene.RemoveNode(stage.volume)
    assert stage.editor.sourceVolumeNode() is None and stage.box.calls[-1] == "sourceVolumeNodeChanged"
    assert not stage.child("Box").enabled
    slicer.mrmlScene.RemoveNode(stage.node)
    assert stage.editor.segmentationNode() is None and stage.editor.activeEffect() is None
    assert stage.box.calls[-1] == "deactivate"
    stage.host.click_slice("Red", xy=(9, 9))  # nobody listens


def test_closing_the_scene_while_the_effect_is_active(stage):
    stage.host.close_scene()
    assert stage.box.calls[-1] == "deactivate"
    assert stage.editor.segmentationNode() is None and stage.editor.activeEffect() is None


def test_what_goes_wrong_in_an_effect_is_recorded(stage):
    errors = stage.host.errors
    stage.host.key_in_slice("Red", "b")
    assert [str(error) for error in errors.take(RuntimeError)] == ["a key that the effect cannot take"]
    stage.host.click_slice("Red", xy=(5, 5), button="Right")
    assert "must return a bool" in str(errors.take(RuntimeError)[0])
    assert stage.effect.parameter("Absent") == ""
    assert "cannot be found" in str(errors.take(RuntimeError)[0])
    stage.effect.setParameter("Radius", "wide")
    assert len(errors.take(RuntimeError)) == 1  # updateGUIFromMRML reads it as an integer
    stage.effect.modifySegmentByLabelmap(stage.node, "absent", stage.effect.defaultModifierLabelmap(), 0)
    assert "segment" in str(errors.take(RuntimeError)[0]).lower()


def test_what_slicer_does_not_have_does_not_exist(stage):
    for name in ("paint", "setName", "processInteractionEvents", "volumeNode"):
        with pytest.raises(AttributeError):
            getattr(stage.effect, name)
    with pytest.raises(AttributeError):
        stage.effect.newAttribute = 1
    with pytest.raises(ValueError, match="does not support kwargs"):
        stage.effect.setParameter("Radius", value=1)
    stage.effect.setParameter("Note", None)
    assert stage.effect.parameter("Note") == "None"
    stage.effect.setParameter("Number", 0.123456789)
    assert stage.effect.parameter("Number") == "0.123457"


def test_effects_registered_later_come_to_the_editor_of_the_module(stage, tmp_path):
    folder = tmp_path / "LaterLib"
    folder.mkdir()
    source = folder / "SegmentEditorEffect.py"
    source.write_text(LATER, encoding="utf-8")
    embedded = slicer.qMRMLSegmentEditorWidget()
    effect = slicer.qSlicerSegmentEditorScriptedEffect(None)
    assert effect.setPythonSource(str(source))
    factory = slicer.qSlicerSegmentEditorEffectFactory.instance()
    assert factory.registerEffect(effect) and not factory.registerEffect(effect)
    assert "Later" in stage.editor.availableEffectNames() and "Later" not in embedded.availableEffectNames()
    embedded.updateEffectList()
    assert "Later" in embedded.availableEffectNames()
    for segment_id in ("a", "b"):
        stage.node.GetSegmentation().RemoveSegment(segment_id)
    stage.editor.updateWidgetFromMRML()
    assert stage.child("Later").enabled and not stage.child("Box").enabled
    unwrap(factory)._forget("Later")


def test_sources_that_cannot_be_loaded(slicer_host, tmp_path):
    folder = tmp_path / "BrokenLib"
    folder.mkdir()
    source = folder / "SegmentEditorEffect.py"
    effect = slicer.qSlicerSegmentEditorScriptedEffect(None)
    assert not effect.setPythonSource(str(folder / "SegmentEditorEffect.txt"))
    source.write_text("from .helper import something\n", encoding="utf-8")
    assert not effect.setPythonSource(str(source))
    assert isinstance(slicer_host.errors.take()[0], ImportError)  # the file is no part of a package
    source.write_text("class Other:\n    pass\n", encoding="utf-8")
    assert not effect.setPythonSource(str(source))
    assert "SegmentEditorEffect was not found" in str(slicer_host.errors.take(RuntimeError)[0])


def test_an_effect_in_an_imported_package(slicer_host, tmp_path, monkeypatch):
    package = tmp_path / "PackedLib"
    package.mkdir()
    (package / "__init__.py").write_text("from .SegmentEditorEffect import SegmentEditorEffect\n", encoding="utf-8")
    (package / "names.py").write_text("NAME = 'Packed'\n", encoding="utf-8")
    source = package / "SegmentEditorEffect.py"
    source.write_text(
        "from .names import NAME\nclass SegmentEditorEffect:\n"
        "    def __init__(self, scriptedEffect):\n        scriptedEffect.name = NAME\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import PackedLib

    effect = slicer.qSlicerSegmentEditorScriptedEffect(None)
    assert effect.setPythonSource(str(source)) and effect.name == "Packed"
    assert type(effect.self()) is PackedLib.SegmentEditorEffect and slicer.PackedLib is effect.self()
    del sys.modules["PackedLib"], slicer.PackedLib
