"""A module with a form and a parameter node: loaded unchanged, driven as a person would."""

from __future__ import annotations

import io

import numpy as np
import pytest


@pytest.fixture
def form(slicer_host, modules_folder):
    loaded = slicer_host.load_module(modules_folder / "FormCounter" / "FormCounter.py")
    slicer_host.select_module("FormCounter")
    yield loaded
    slicer_host.unload_module("FormCounter")


def add_volume(name="CT", values=(0, 50, 150, 300)):
    import slicer

    array = np.array(values, dtype=np.int16).reshape(1, 1, -1)
    return slicer.util.addVolumeFromArray(array, name=name)


def load(text):
    """Load a form given as text."""
    import qt

    buffer = qt.QBuffer()
    buffer.setData(text.encode())
    return qt.QUiLoader().load(buffer)


def ui(body, connections=""):
    return (
        f'<ui version="4.0"><class>Form</class><widget class="qMRMLWidget" name="Form">'
        f'<layout class="QVBoxLayout" name="l"><item>{body}</item></layout></widget>'
        f"<connections>{connections}</connections></ui>"
    )


def connection(sender, signal, receiver, slot):
    return (
        f"<connection><sender>{sender}</sender><signal>{signal}</signal>"
        f"<receiver>{receiver}</receiver><slot>{slot}</slot></connection>"
    )


def test_the_form_is_as_designed(form):
    widgets = form.widget.ui
    assert widgets.inputLabel.text == "Volume:"
    assert widgets.inputSelector.nodeTypes == ("vtkMRMLScalarVolumeNode",)
    assert widgets.inputSelector.addEnabled is False
    assert (widgets.thresholdSlider.minimum, widgets.thresholdSlider.maximum) == (-100, 500)
    assert widgets.inputsCollapsibleButton.text == "Inputs"
    import ctk

    assert widgets.pathEdit.filters == ctk.ctkPathLineEdit.Files | ctk.ctkPathLineEdit.Writable
    assert widgets.resultLabel.purpose == "result"


def test_the_button_works_once_there_is_a_volume(slicer_host, form):
    widgets = form.widget.ui
    assert not widgets.applyButton.enabled
    volume = add_volume()
    assert widgets.inputSelector.currentNode() is volume
    assert widgets.applyButton.enabled
    slicer_host.click(widgets.applyButton)
    assert widgets.resultLabel.text == "2"
    slicer_host.click(widgets.invertCheckBox)
    widgets.thresholdSlider.value = 0
    slicer_host.click(widgets.applyButton)
    assert widgets.resultLabel.text == "1"


def test_clicking_a_disabled_button_is_refused(slicer_host, form):
    with pytest.raises(AssertionError, match="applyButton is disabled"):
        slicer_host.click(form.widget.ui.applyButton)


def test_clicking_what_nobody_sees_is_refused(slicer_host, form):
    form.widget.ui.inputsCollapsibleButton.collapsed = True
    with pytest.raises(AssertionError, match="invertCheckBox is hidden"):
        slicer_host.click(form.widget.ui.invertCheckBox)


def test_errors_of_the_module_are_shown(slicer_host, form):
    import slicer

    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
    slicer_host.dialogs.answer("OK", text="Failed to compute results.\n\nInput volume is invalid")
    slicer_host.click(form.widget.ui.applyButton)
    assert slicer_host.errors.take(ValueError), "the slot raised, and the host saw it"


def test_state_is_kept_in_the_scene(slicer_host, form, tmp_path):
    add_volume()
    form.widget.ui.thresholdSlider.value = 42
    node = form.logic.getParameterNode()
    assert node.GetParameter("Threshold") == "42.0"
    slicer_host.save_scene(tmp_path / "scene.mrb")
    slicer_host.close_scene()
    assert form.widget.ui.thresholdSlider.value == 100, "the defaults of a new parameter node"
    slicer_host.load_scene(tmp_path / "scene.mrb")
    form.widget.initializeParameterNode()
    assert form.widget.ui.thresholdSlider.value == 42
    assert form.widget.ui.inputSelector.currentNode().GetName() == "CT"


def test_a_parameter_node_drives_the_panel(form):
    node = form.logic.getParameterNode()
    node.SetParameter("Threshold", "7.5")
    node.SetParameter("Invert", "true")
    assert form.widget.ui.thresholdSlider.value == 7.5
    assert form.widget.ui.invertCheckBox.checked


def test_entering_and_leaving(slicer_host, form):
    assert form.widget.visits == ["enter"]
    slicer_host.select_module("SampleData")
    assert form.widget.visits == ["enter", "exit"]
    slicer_host.select_module("FormCounter")
    assert form.widget.visits == ["enter", "exit", "enter"]
    assert form.panel.isEntered
    import slicer

    assert slicer.util.selectedModule() == "FormCounter"


def test_the_module_is_told_of_the_start(form):
    assert form.instance.started == 1


def test_a_picture_of_the_panel(slicer_host, form, tmp_path):
    from PIL import Image

    path = slicer_host.save_picture(form.panel, tmp_path / "panel.png", width=400)
    picture = np.asarray(Image.open(io.BytesIO(path.read_bytes())).convert("L"))
    assert picture.shape[1] >= 200
    assert len(np.unique(picture)) > 10, "text and frames, not an empty picture"


def test_unknown_widgets_in_a_form_raise(slicer_host):
    with pytest.raises(RuntimeError, match="Unknown widget class 'qMRMLNoSuchWidget'"):
        load(ui('<widget class="qMRMLNoSuchWidget" name="a"/>'))


def test_unknown_properties_in_a_form_raise(slicer_host):
    body = '<widget class="ctkSliderWidget" name="a"><property name="speed"><double>1</double></property></widget>'
    with pytest.raises(RuntimeError, match="does not exist"):
        load(ui(body))


@pytest.mark.parametrize(
    ("ends", "reason"),
    [
        (("Form", "mrmlSceneChanged(vtkMRMLNode*)", "a", "setMRMLScene(vtkMRMLScene*)"), "Signal"),
        (("Form", "mrmlSceneChanged(vtkMRMLScene*)", "a", "setScene(vtkMRMLScene*)"), "Slot"),
        (("Form", "mrmlSceneChanged(vtkMRMLScene*)", "b", "setMRMLScene(vtkMRMLScene*)"), "does not contain"),
    ],
    ids=["signal", "slot", "widget"],
)
def test_unknown_connections_in_a_form_raise(slicer_host, ends, reason):
    with pytest.raises(RuntimeError, match=reason):
        load(ui('<widget class="qMRMLNodeComboBox" name="a"/>', connection(*ends)))


def test_connections_in_a_form(slicer_host):
    import slicer

    body = (
        '<widget class="QWidget" name="box"><layout class="QHBoxLayout" name="h">'
        '<item><widget class="QCheckBox" name="tick"/></item><item><widget class="QLabel" name="label"/></item>'
        '<item><widget class="qMRMLNodeComboBox" name="nodes"/></item></layout></widget>'
    )
    form = load(
        ui(
            body,
            connection("tick", "toggled(bool)", "label", "setVisible(bool)")
            + connection("Form", "mrmlSceneChanged(vtkMRMLScene*)", "nodes", "setMRMLScene(vtkMRMLScene*)"),
        )
    )
    widgets = slicer.util.childWidgetVariables(form)
    form.show()
    widgets.tick.checked = True
    widgets.tick.checked = False
    assert not widgets.label.visible
    assert widgets.nodes.mrmlScene() is None
    form.setMRMLScene(slicer.mrmlScene)
    assert widgets.nodes.mrmlScene() is slicer.mrmlScene


def test_enums_as_the_designer_of_qt_6_writes_them(slicer_host):
    import qt

    shape = '<property name="frameShape"><enum>QFrame::Shape::HLine</enum></property>'
    body = f'<widget class="QFrame" name="a">{shape}</widget>'
    assert load(ui(body)).findChild(qt.QFrame, "a").frameShape == qt.QFrame.HLine


@pytest.mark.parametrize(
    ("name", "properties"),
    [
        ("ctkFittedTextBrowser", '<property name="showDetailsText"><string/></property>'),
        ("ctkMenuButton", '<property name="text"><string>More</string></property>'),
        ("ctkCheckableComboBox", ""),
        ("ctkCollapsibleGroupBox", '<property name="collapsed"><bool>true</bool></property>'),
        ("ctkDirectoryButton", '<property name="caption"><string>Folder</string></property>'),
        ("ctkDoubleSpinBox", '<property name="decimals"><number>3</number></property>'),
        ("ctkRangeWidget", '<property name="maximum"><double>10.0</double></property>'),
        ("ctkCoordinatesWidget", '<property name="decimals"><number>1</number></property>'),
        ("ctkSearchBox", '<property name="showSearchIcon"><bool>true</bool></property>'),
        ("ctkColorPickerButton", '<property name="displayColorName"><bool>false</bool></property>'),
        ("qMRMLSegmentationShow3DButton", ""),
        ("qMRMLSegmentsTableView", '<property name="readOnly"><bool>true</bool></property>'),
        ("qMRMLSegmentSelectorWidget", '<property name="noneEnabled"><bool>true</bool></property>'),
        ("qMRMLTableView", '<property name="transposed"><bool>false</bool></property>'),
        ("qMRMLSliderWidget", '<property name="quantity"><string>length</string></property>'),
        ("qMRMLCollapsibleButton", '<property name="collapsed"><bool>true</bool></property>'),
    ],
)
def test_widgets_that_extensions_use_in_forms(slicer_host, name, properties):
    widget = load(ui(f'<widget class="{name}" name="it">{properties}</widget>')).it
    assert widget.className() == name


def test_a_missing_form_raises(slicer_host, tmp_path):
    import slicer

    with pytest.raises(RuntimeError, match="file not found"):
        slicer.util.loadUI(str(tmp_path / "missing.ui"))
