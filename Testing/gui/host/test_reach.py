"""The host offers of CTK, qMRML and qSlicer objects what Slicer's Python reaches, and nothing else."""

from __future__ import annotations

import pytest

# Plain public methods of C++ that look as if they were there: made in code, by other people's modules, by tests.
HIDDEN = {
    "ctkSliderWidget": ("setMinimum", "setMaximum", "setRange", "setSuffix", "spinBox", "slider"),
    "ctkCollapsibleButton": ("setCollapsed",),
    "ctkPathLineEdit": ("setFilters", "setNameFilters", "setSettingKey"),
    "ctkDirectoryButton": ("setDirectory",),
    "ctkDoubleRangeSlider": ("setMinimum", "setOrientation"),
    "qMRMLNodeComboBox": ("setNodeTypes", "setNoneEnabled", "setAddEnabled", "nodeAddedByUserAction"),
    "qMRMLSegmentSelectorWidget": ("setNoneEnabled",),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_hidden_members_raise(slicer_host, name):
    import ctk
    import slicer

    widget = getattr(ctk if name.startswith("ctk") else slicer, name)()
    for member in HIDDEN[name]:
        with pytest.raises(AttributeError, match=f"{name} has no attribute named '{member}'"):
            getattr(widget, member)
        with pytest.raises(AttributeError):
            getattr(type(widget), member)


def test_a_test_that_needs_more_says_so(slicer_host):
    import ctk

    real = slicer_host.real(ctk.ctkCollapsibleButton())
    real.setCollapsed(True)
    assert real.collapsed


def test_widgets_of_a_form_are_as_strict(slicer_host):
    import qt

    buffer = qt.QBuffer()
    buffer.setData(b'<ui version="4.0"><class>F</class><widget class="ctkSliderWidget" name="s"/></ui>')
    slider = qt.QUiLoader().load(buffer)
    slider.maximum = 3
    assert slider.maximum == 3
    with pytest.raises(AttributeError):
        slider.setMaximum(3)


def test_members_of_qt_that_pythonqt_hides_raise(slicer_host):
    import qt

    for widget, member in ((qt.QLabel(), "receivers"), (qt.QWidget(), "create"), (qt.QTableWidget(), "rowsInserted")):
        with pytest.raises(AttributeError):
            getattr(widget, member)
    assert callable(qt.QPlainTextEdit().find), "hidden in the base class, there in this one"
    assert callable(qt.QDialog().exec_) and callable(qt.QWidget().raise_)


def test_what_the_host_lacks_is_told_apart_from_what_slicer_lacks(slicer_host):
    import ctk

    with pytest.raises(AttributeError, match="in the test host, although Slicer has it"):
        _ = ctk.ctkSliderWidget().invertedAppearance


def test_every_class_of_the_host_exists_in_slicer_with_members_of_the_same_kind(slicer_host):
    from PyQt5 import QtCore
    from slicerhost import members, reach
    from slicerhost.wrapping import wrapper_class

    queue, seen = [QtCore.QObject], 0
    while queue:
        queue += queue[0].__subclasses__()
        real = queue.pop(0)
        if not real.__module__.startswith("slicerhost.") or not real.__name__.startswith(("ctk", "qMRML", "qSlicer")):
            continue
        facts, offered = reach.facts(real.__name__), vars(wrapper_class(real))
        assert facts is not None, f"{real.__name__} is no class of Slicer, or make_reach.py was not run"
        seen += 1
        for name, fact in facts.items():
            wanted = {"method": members.Method, "signal": members.Signal}.get(fact.kind, members.Property)
            if fact.kind not in ("value", "type") and name in offered:
                assert isinstance(offered[name], wanted), f"{real.__name__}.{name} is a {fact.kind} in Slicer"
    assert seen > 40


def test_an_argument_of_another_class_is_refused(slicer_host):
    import slicer

    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    button = slicer.qMRMLSegmentationShow3DButton()
    with pytest.raises(ValueError, match="with wrong arguments"):
        button.setSegmentationNode(3)
    selector = slicer.qMRMLNodeComboBox()
    with pytest.raises(ValueError, match="with wrong arguments"):
        selector.setMRMLScene(volume)


def test_pythonqt_is_a_package(slicer_host):
    import PythonQt.QtGui
    import qt
    from PythonQt import BoolResult, QtCore

    assert PythonQt.QtGui.QMessageBox is qt.QMessageBox
    assert QtCore.QTimer is qt.QTimer and not BoolResult()


def test_a_slider_with_two_handles(slicer_host):
    import ctk

    slider, seen = ctk.ctkDoubleRangeSlider(), []
    slider.connect("valuesChanged(double,double)", lambda low, high: seen.append((low, high)))
    slider.setRange(-1, 1)
    slider.setValues(0.5, -0.25)
    slider.minimumValue = 0.75
    assert (slider.minimum, slider.maximum, slider.minimumValue, slider.maximumValue) == (-1, 1, 0.75, 0.75)
    assert seen == [(0.0, 1.0), (-0.25, 0.5), (0.75, 0.75)]
