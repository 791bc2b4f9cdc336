"""The Segment Editor of the host: a scripted effect in it edits real segmentations under the rules of Slicer's logic."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")
qt_widgets = pytest.importorskip("PyQt5.QtWidgets")
import vtk  # noqa: E402
from PyQt5 import QtCore, QtTest  # noqa: E402
from slicerhost.wrapping import unwrap  # noqa: E402

MODULE = Path(__file__).parent / "modules" / "SegmentEditorBox" / "SegmentEditorBox.py"
SHAPE_KJI = (24, 22, 20)
SPACING = (1.0, 1.5, 2.0)
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


def add_volume(name="scan", spacing=SPACING, directions=np.eye(3), origin=(-5.0, 3.0, 7.0)):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    slicer.util.updateVolumeFromArray(node, (np.arange(np.prod(SHAPE_KJI)) % 100).reshape(SHAPE_KJI).astype(np.int16))
    matrix = np.eye(4)
    matrix[:3, :3] = np.asarray(directions) * spacing
    matrix[:3, 3] = origin
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix))
    node.CreateDefaultDisplayNodes()
    return node


def add_transform(matrix):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode")
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.asarray(matrix, dtype=float)))
    return node


def voxels(node, segment_id, volume):
    """The segment as a bool array [k, j, i] on the volume's grid."""
    return slicer.util.arrayFromSegmentBinaryLabelmap(node, segment_id, volume) > 0


def ras_of(volume, ijk):
    """World position of a voxel's centre, with the volume's transform."""
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    point = list(matrix.MultiplyPoint((*ijk, 1.0))[:3])
    if volume.GetParentTransformNode() is not None:
        to_world = vtk.vtkGeneralTransform()
        volume.GetParentTransformNode().GetTransformToWorld(to_world)
        point = list(to_world.TransformPoint(point))
    return point


def box(ijk, radius):
    """A box as a bool array [k, j, i]."""
    wanted = np.zeros(SHAPE_KJI, dtype=bool)
    wanted[tuple(slice(max(index - radius, 0), index + radius + 1) for index in ijk[::-1])] = True
    return wanted


@pytest.fixture
def host(slicer_host):
    if "SegmentEditorBox" not in sys.modules:
        slicer_host.load_module(MODULE)
    yield slicer_host
    slicer_host.app._real._window._selector._leave()


@pytest.fixture
def stage(host):
    """The Segment Editor with a volume, two segments ("a" is selected) and the effect "Box" active."""
    editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
    slicer.util.mainWindow().show()
    slicer.util.selectModule("SegmentEditor")
    volume = add_volume()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "segments")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    for name in ("a", "b"):
        node.GetSegmentation().AddEmptySegment(name, name)
    editor.setSegmentationNode(node)
    editor.setCurrentSegmentID("a")
    editor.setActiveEffectByName("Box")
    for name in slicer.app.layoutManager().sliceViewNames():
        host.slice_view(name).fitSliceToBackground()
    effect = editor.activeEffect()
    effect.setParameter("Radius", 2)
    parameters = editor.mrmlSegmentEditorNode()
    host.process_events()
    yield SimpleNamespace(
        host=host, editor=editor, volume=volume, node=node, effect=effect, box=effect.self(), parameters=parameters
    )
    parameters.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedEverywhere)
    parameters.SetSourceVolumeIntensityMask(False)
    parameters.SetOverwriteMode(slicer.vtkMRMLSegmentEditorNode.OverwriteAllSegments)


def click(stage, ijk, view="Red", **keys):
    return stage.host.click_slice(view, ras=ras_of(stage.volume, ijk), **keys)


def child(editor, name):
    return slicer.util.findChild(editor, name)


def test_the_module_registers_its_effect_and_the_editor_shows_it(stage):
    editor = stage.editor
    assert "Box" in editor.availableEffectNames()
    assert editor.effectByName("Box") == stage.effect and editor.effectByName("Paint") is None
    button = child(editor, "Box")
    assert button.checked and button.toolTip == "Add a box" and button.enabled
    assert child(editor, "OptionsGroupBox").visible and child(editor, "OptionsGroupBox").title == "Add a box"
    assert "Click to add a box" in child(editor, "EffectHelpBrowser").plainText
    assert stage.box.radius.value == 2 and stage.effect.optionsFrame().visible
    stage.host.click(child(editor, "NULL"))
    assert editor.activeEffect() is None and not child(editor, "OptionsGroupBox").visible
    stage.host.click(button)
    assert editor.activeEffect() == stage.effect


@pytest.mark.parametrize("view", ["Red", "Green", "Yellow"])
def test_a_click_edits_the_voxel_under_it(stage, view):
    click(stage, (7, 9, 11), view)
    assert stage.box.clicked == [7, 9, 11]
    assert np.array_equal(voxels(stage.node, "a", stage.volume), box((7, 9, 11), 2))
    assert not voxels(stage.node, "b", stage.volume).any()


def test_control_is_passed_on(stage):
    click(stage, (7, 9, 11))
    click(stage, (8, 9, 11), control=True)
    wanted = box((7, 9, 11), 2) & ~box((8, 9, 11), 2)
    assert wanted.any() and np.array_equal(voxels(stage.node, "a", stage.volume), wanted)


def test_rotated_views_and_transforms_on_both_nodes(stage):
    turn = vtk.vtkTransform()
    turn.RotateWXYZ(35, 0.3, 1.0, -0.4)
    turn.Translate(12, -4, 6)
    of_volume = add_transform(slicer.util.arrayFromVTKMatrix(turn.GetMatrix()))
    turn.RotateWXYZ(4, 1.0, -0.5, 0.2)
    turn.Translate(1.2, -0.7, 0.9)
    of_segments = add_transform(slicer.util.arrayFromVTKMatrix(turn.GetMatrix()))
    stage.volume.SetAndObserveTransformNodeID(of_volume.GetID())
    stage.node.SetAndObserveTransformNodeID(of_segments.GetID())
    stage.effect.setParameter("Radius", 0)
    widget = stage.host.slice_view("Green")
    axes = vtk.vtkTransform()
    axes.RotateWXYZ(50, 1.0, 0.2, 0.7)
    widget.mrmlSliceNode().GetSliceToRAS().DeepCopy(axes.GetMatrix())
    widget.mrmlSliceNode().UpdateMatrices()
    hit = stage.host.click_slice("Green", ras=ras_of(stage.volume, (10, 11, 12)))
    # Where the pixel is on the segmentation's grid: through its transform, then its IJK.
    inverse = np.linalg.inv(slicer.util.arrayFromTransformMatrix(of_segments, toWorld=True))
    to_ijk = vtk.vtkMatrix4x4()
    stage.volume.GetRASToIJKMatrix(to_ijk)  # the reference geometry is the volume's without its transform
    ijk = slicer.util.arrayFromVTKMatrix(to_ijk) @ inverse @ [*hit.ras, 1.0]
    assert stage.box.clicked == [round(value) for value in ijk[:3]]
    segment = stage.node.GetBinaryLabelmapInternalRepresentation("a")
    assert np.reshape(segment.GetExtent(), (3, 2)).tolist() == [[index, index] for index in stage.box.clicked]


def test_pixels_are_those_of_the_interactor(stage):
    stage.host.hover_slice("Red", xy=(33, 44))
    assert stage.box.status.text == "33 44"
    hit = stage.host.hover_slice("Red", ras=ras_of(stage.volume, (3, 4, 5)))
    position = stage.effect.self().xyToRas(hit.xy, slicer.app.layoutManager().sliceWidget("Red"))
    assert position == pytest.approx(hit.ras, abs=1e-3)
    assert stage.box.rasToXy(hit.ras, slicer.app.layoutManager().sliceWidget("Red")) == pytest.approx(hit.xy, abs=1)


def test_undo_and_redo_by_buttons_and_one_step_for_a_click(stage):
    undo, redo = child(stage.editor, "UndoButton"), child(stage.editor, "RedoButton")
    assert not undo.enabled and not redo.enabled
    click(stage, (7, 9, 11))
    click(stage, (12, 9, 11))
    both = box((7, 9, 11), 2) | box((12, 9, 11), 2)
    assert np.array_equal(voxels(stage.node, "a", stage.volume), both)
    stage.host.click(undo)
    assert np.array_equal(voxels(stage.node, "a", stage.volume), box((7, 9, 11), 2))
    stage.host.click(undo)
    assert not voxels(stage.node, "a", stage.volume).any() and not undo.enabled
    stage.editor.redo()
    stage.host.click(redo)
    assert np.array_equal(voxels(stage.node, "a", stage.volume), both) and not redo.enabled


def test_keys_of_the_editor(stage):
    window = unwrap(slicer.util.mainWindow())
    window.activateWindow()
    click(stage, (7, 9, 11))
    QtTest.QTest.keyClick(window, QtCore.Qt.Key_Z)
    assert not voxels(stage.node, "a", stage.volume).any()
    QtTest.QTest.keyClick(window, QtCore.Qt.Key_Y)
    assert voxels(stage.node, "a", stage.volume).any()
    QtTest.QTest.keyClick(window, QtCore.Qt.Key_W)
    assert stage.editor.currentSegmentID() == "b"
    QtTest.QTest.keyClick(window, QtCore.Qt.Key_Escape)
    assert stage.editor.activeEffect() is None
    QtTest.QTest.keyClick(window, QtCore.Qt.Key_1)
    assert stage.editor.activeEffect() == stage.effect


def test_segments_are_added_removed_and_chosen(stage):
    changes = []
    stage.editor.connect("currentSegmentIDChanged(QString)", changes.append)
    table = unwrap(child(stage.editor, "SegmentsTableView"))
    table.tableWidget().selectRow(1)
    assert stage.editor.currentSegmentID() == "b" and changes == ["b"]
    stage.host.click(child(stage.editor, "AddSegmentButton"))
    added = stage.editor.currentSegmentID()
    assert stage.node.GetSegmentation().GetSegmentIDs() == ("a", "b", added) and added not in "ab"
    assert table.selectedSegmentIDs() == [added]
    stage.host.click(child(stage.editor, "RemoveSegmentButton"))
    assert stage.node.GetSegmentation().GetSegmentIDs() == ("a", "b")
    assert stage.editor.currentSegmentID() in ("a", "b") and stage.editor.activeEffect() == stage.effect


def test_the_history_is_as_long_as_it_is_set(stage):
    stage.editor.setMaximumNumberOfUndoStates(2)
    for i in (3, 8, 13):
        click(stage, (i, 9, 11))
    for _step in range(5):
        stage.editor.undo()
    assert voxels(stage.node, "a", stage.volume).any()
    stage.editor.setMaximumNumberOfUndoStates(10)


def test_surfaces_are_turned_into_labelmaps_when_the_person_agrees(stage):
    click(stage, (7, 9, 11))
    stage.editor.setActiveEffect(None)
    stage.node.CreateClosedSurfaceRepresentation()
    stage.node.GetSegmentation().SetSourceRepresentationName("Closed surface")
    stage.host.dialogs.answer("No", "binary labelmap")
    stage.editor.setActiveEffectByName("Box")
    assert stage.editor.activeEffect() is None
    stage.editor.setActiveEffectByName("")
    stage.host.dialogs.answer("Yes", "binary labelmap")
    stage.editor.setActiveEffectByName("Box")
    assert stage.editor.activeEffect() == stage.effect
    assert stage.node.GetSegmentation().GetSourceRepresentationName() == "Binary labelmap"


def test_masking_inside_and_outside_a_segment(stage):
    stage.editor.setCurrentSegmentID("b")
    click(stage, (7, 9, 11))
    stage.editor.setCurrentSegmentID("a")
    stage.parameters.SetOverwriteMode(stage.parameters.OverwriteNone)
    area = child(stage.editor, "MaskModeComboBox")
    stage.host.choose(area, "Inside b")
    assert stage.parameters.GetMaskMode() == slicer.vtkMRMLSegmentationNode.EditAllowedInsideSingleSegment
    click(stage, (9, 9, 11))
    inside = box((7, 9, 11), 2) & box((9, 9, 11), 2)
    assert inside.any() and np.array_equal(voxels(stage.node, "a", stage.volume), inside)
    assert (slicer.util.arrayFromVolume(stage.volume).shape) == SHAPE_KJI
    stage.editor.undo()
    stage.host.choose(area, "Outside all segments")
    click(stage, (9, 9, 11))
    outside = box((9, 9, 11), 2) & ~box((7, 9, 11), 2)
    assert np.array_equal(voxels(stage.node, "a", stage.volume), outside)


def test_editable_intensity_range(stage):
    child(stage.editor, "SourceVolumeIntensityMaskCheckBox").checked = True
    assert stage.parameters.GetSourceVolumeIntensityMask()
    stage.parameters.SetSourceVolumeIntensityMaskRange(20, 45)
    assert child(stage.editor, "SourceVolumeIntensityMaskRangeWidget").maximumValue == 45
    click(stage, (7, 9, 11))
    values = slicer.util.arrayFromVolume(stage.volume)
    wanted = box((7, 9, 11), 2) & (values >= 20) & (values <= 45)
    assert 0 < wanted.sum() < 125 and np.array_equal(voxels(stage.node, "a", stage.volume), wanted)


@pytest.mark.parametrize("mode", ["Overwrite all", "Overwrite visible", "Allow overlap"])
@pytest.mark.parametrize("hidden", [False, True])
def test_overwriting_other_segments(stage, mode, hidden):
    stage.editor.setCurrentSegmentID("b")
    click(stage, (7, 9, 11))
    stage.node.GetDisplayNode().SetSegmentVisibility("b", not hidden)
    stage.editor.setCurrentSegmentID("a")
    stage.host.choose(child(stage.editor, "OverwriteModeComboBox"), mode)
    click(stage, (9, 9, 11))
    kept = mode == "Allow overlap" or (mode == "Overwrite visible" and hidden)
    wanted = box((7, 9, 11), 2) & (kept | ~box((9, 9, 11), 2))
    assert np.array_equal(voxels(stage.node, "a", stage.volume), box((9, 9, 11), 2))
    assert np.array_equal(voxels(stage.node, "b", stage.volume), wanted)


@pytest.mark.parametrize(("answer", "edited", "shown"), [("Yes", 1, 1), ("No", 1, 0), ("Cancel", 0, 0)])
def test_hidden_segments_are_asked_about(stage, answer, edited, shown):
    display = stage.node.GetDisplayNode()
    display.SetSegmentVisibility("a", False)
    stage.host.dialogs.answer(answer, "currently selected segment is hidden")
    click(stage, (7, 9, 11))
    assert stage.box.confirmed == (stage.effect.ConfirmedWithDialog if edited else stage.effect.NotConfirmed)
    assert voxels(stage.node, "a", stage.volume).any() == bool(edited)
    assert display.GetSegmentVisibility("a") == bool(shown)
    if edited:  # once is enough
        click(stage, (12, 9, 11))
        assert stage.box.confirmed == stage.effect.ConfirmedWithoutDialog


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
    click(stage, (7, 9, 11))
    assert not voxels(stage.node, "b", stage.volume).any() and not hasattr(clone.self(), "clicked")
    stage.editor.setActiveEffect(None)
    other.setActiveEffect(clone)
    click(stage, (7, 9, 11))
    assert np.array_equal(voxels(stage.node, "b", stage.volume), box((7, 9, 11), 1))
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
    second = add_volume("other scan")
    stage.editor.setSourceVolumeNode(second)
    assert stage.box.calls.count("sourceVolumeNodeChanged") == before + 1
    assert stage.editor.sourceVolumeNode() is second
    assert child(stage.editor, "SourceVolumeNodeComboBox").currentNode() is second
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


def test_placing_a_markup_ends_the_effect(stage):
    interaction = slicer.mrmlScene.GetNodeByID("vtkMRMLInteractionNodeSingleton")
    interaction.SetCurrentInteractionMode(interaction.Place)
    assert stage.editor.activeEffect() is None
    stage.editor.setActiveEffectByName("Box")
    assert interaction.GetCurrentInteractionMode() == interaction.ViewTransform


def test_another_segmentation_ends_the_effect(stage):
    stage.editor.setSegmentationNode(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "second"))
    assert stage.editor.activeEffect() is None and stage.editor.segmentationNode().GetName() == "second"
    assert not child(stage.editor, "Box").enabled  # no segment to edit


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
    with pytest.raises(ValueError):
        stage.effect.setParameter("Radius", None)
    with pytest.raises(TypeError):
        stage.effect.setParameter("Radius", value=1)
    stage.effect.setParameter("Number", 0.123456789)
    assert stage.effect.parameter("Number") == "0.123457"


def test_an_event_that_an_effect_takes_reaches_nobody_else(stage):
    interactor = stage.host.slice_view("Red").sliceView().interactor()
    seen = []
    names = ("MouseMoveEvent", "LeftButtonPressEvent")
    priority = 0.5  # after the editor, before the displayable managers
    tags = [interactor.AddObserver(name, lambda _caller, event: seen.append(event), priority) for name in names]
    click(stage, (7, 9, 11))
    stage.editor.setActiveEffect(None)
    stage.host.click_slice("Red", xy=(9, 9))
    for tag in tags:
        interactor.RemoveObserver(tag)
    assert seen == ["MouseMoveEvent", "MouseMoveEvent", "LeftButtonPressEvent"]


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
    assert child(stage.editor, "Later").enabled and not child(stage.editor, "Box").enabled
    unwrap(factory)._forget("Later")


def test_sources_that_cannot_be_loaded(host, tmp_path):
    folder = tmp_path / "BrokenLib"
    folder.mkdir()
    source = folder / "SegmentEditorEffect.py"
    effect = slicer.qSlicerSegmentEditorScriptedEffect(None)
    assert not effect.setPythonSource(str(folder / "SegmentEditorEffect.txt"))
    source.write_text("from .helper import something\n", encoding="utf-8")
    assert not effect.setPythonSource(str(source))
    assert isinstance(host.errors.take()[0], ImportError)  # the file is no part of a package
    source.write_text("class Other:\n    pass\n", encoding="utf-8")
    assert not effect.setPythonSource(str(source))
    assert "SegmentEditorEffect was not found" in str(host.errors.take(RuntimeError)[0])


def test_an_effect_in_an_imported_package(host, tmp_path, monkeypatch):
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


def test_pictures_of_the_view_before_and_after(stage, tmp_path):
    from slicerhost.views import rendering_problem

    if rendering_problem():
        pytest.skip(rendering_problem())
    before = stage.host.save_slice_view("Red", tmp_path / "before.png", size=(120, 100))
    hit = click(stage, (10, 11, 12))
    after = stage.host.save_slice_view("Red", tmp_path / "after.png")
    from PyQt5 import QtGui

    first, second = QtGui.QImage(str(before)), QtGui.QImage(str(after))
    assert (first.width(), first.height()) == (120, 100)
    x, y = hit.xy
    old, new = (QtGui.QColor(picture.pixel(x, 99 - y)) for picture in (first, second))
    assert old.red() == old.green() == old.blue() and not new.red() == new.green() == new.blue()
    assert first.pixel(1, 1) == second.pixel(1, 1)
