"""Signals and slots: signatures, numbers of arguments, exceptions."""

from __future__ import annotations

import functools

import pytest


@pytest.fixture
def button(slicer_host):
    import qt

    return qt.QPushButton("go")


def test_a_function_gets_the_arguments_of_the_signature(slicer_host, button):
    calls = []
    button.connect("clicked()", lambda *args: calls.append(args))
    button.connect("clicked(bool)", lambda *args: calls.append(args))
    slicer_host.click(button)
    assert calls == [(), (False,)]


def test_a_function_gets_no_more_arguments_than_it_takes(slicer_host, button):
    calls = []

    class Receiver:
        def none(self):
            calls.append("none")

        def one(self, checked):
            calls.append(checked)

        def default(self, checked="default"):
            calls.append(checked)

    receiver = Receiver()
    for method in (receiver.none, receiver.one, receiver.default):
        button.connect("clicked(bool)", method)
    button.connect("clicked()", receiver.default)
    slicer_host.click(button)
    assert calls == ["none", False, False, "default"]


def test_a_partial_gets_all_arguments(slicer_host, button):
    calls = []
    button.clicked.connect(functools.partial(lambda *args: calls.append(args), "first"))
    slicer_host.click(button)
    assert calls == [("first", False)]


def test_spaces_in_a_signature_do_not_matter(slicer_host):
    import qt

    spin, values = qt.QSpinBox(), []
    spin.connect("valueChanged( int )", values.append)
    spin.value = 3
    assert values == [3]


def test_unknown_signals_raise(button):
    for wrong in ("clickd()", "clicked(int)", "setText(QString)", "clicked"):
        with pytest.raises(ValueError, match=r"does not exist|is no signature"):
            button.connect(wrong, print)
    with pytest.raises(ValueError, match="does not exist"):
        button.disconnect("clickd()", print)


def test_signatures_with_vtk_types_are_checked_too(slicer_host):
    import slicer

    selector = slicer.qMRMLNodeComboBox()
    assert selector.connect("currentNodeChanged(vtkMRMLNode*)", print)
    assert selector.connect("currentNodeChanged(bool)", print)
    for wrong in ("currentNodeChanged(vtkMRMLVolumeNode*)", "currentNodeChanged()", "nodeAdded(PyQt_PyObject)"):
        with pytest.raises(ValueError, match="does not exist"):
            selector.connect(wrong, print)


def test_something_that_cannot_be_called_raises(button):
    with pytest.raises(ValueError, match="needs a callable"):
        button.connect("clicked()", "onClicked")


def test_disconnect(slicer_host, button):
    calls = []

    class Receiver:
        def slot(self):
            calls.append(1)

    receiver = Receiver()
    button.connect("clicked()", receiver.slot)
    assert button.disconnect("clicked()", receiver.slot)
    assert not button.disconnect("clicked()", receiver.slot), "it was not connected any more"
    button.clicked.connect(receiver.slot)
    button.clicked.disconnect(receiver.slot)
    slicer_host.click(button)
    assert calls == []


def test_slots_of_other_objects(slicer_host, button):
    import qt

    line = qt.QLineEdit("text")
    button.connect("clicked()", line, "clear()")
    button.connect("clicked()", line.hide)
    with pytest.raises(ValueError, match="Slot 'wipe\\(\\)' does not exist on QLineEdit"):
        button.connect("clicked()", line, "wipe()")
    line.show()
    slicer_host.click(button)
    assert line.text == ""
    assert not line.visible


def test_a_signal_can_be_emitted(button):
    calls = []
    button.connect("clicked(bool)", calls.append)
    button.clicked.emit(True)
    button.clicked(False)
    assert calls == [True, False]


def test_overloads_in_brackets(slicer_host):
    import qt

    combo, got = qt.QComboBox(), []
    combo.currentIndexChanged["QString"].connect(got.append)
    combo.addItem("first")
    assert got == ["first"]


def test_an_exception_in_a_slot_is_recorded(slicer_host, button):
    def fails():
        raise ZeroDivisionError("in a slot")

    button.connect("clicked()", fails)
    slicer_host.click(button)
    assert [str(error) for error in slicer_host.errors.take(ZeroDivisionError)] == ["in a slot"]


def test_exceptions_in_timers_and_observers_are_recorded(slicer_host):
    import qt
    import slicer

    def fails(*_args):
        raise KeyError("late")

    qt.QTimer.singleShot(0, fails)
    slicer_host.process_events(20)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode")
    node.AddObserver("ModifiedEvent", fails)
    node.SetText("changed")
    assert len(slicer_host.errors.take(KeyError)) >= 2


def test_what_qt_says_of_threads_is_recorded(slicer_host, capfd):
    from PyQt5 import QtCore

    QtCore.qWarning("QObject::startTimer: Timers can only be used with threads started with QThread")
    QtCore.qWarning("This plugin does not support propagateSizeHints()")
    QtCore.qWarning("something else")
    assert [str(error) for error in slicer_host.errors.take()] == [
        "QObject::startTimer: Timers can only be used with threads started with QThread"
    ]
    printed = capfd.readouterr().err
    assert "Qt: something else" in printed
    assert "propagateSizeHints" not in printed


def test_waiting_raises_the_error_that_a_slot_left(slicer_host):
    import qt

    def fails():
        raise OSError("while waiting")

    qt.QTimer.singleShot(0, fails)
    with pytest.raises(OSError, match="while waiting"):
        slicer_host.wait_until(lambda: False, timeout_s=5)
    slicer_host.errors.take(OSError)
    with pytest.raises(TimeoutError):
        slicer_host.wait_until(lambda: False, timeout_s=0.05)


def test_a_timer_ticks_until_it_is_stopped(slicer_host):
    import qt

    timer, ticks = qt.QTimer(), []
    timer.setInterval(2)
    timer.connect("timeout()", lambda: ticks.append(1))
    timer.start()
    slicer_host.wait_until(lambda: len(ticks) >= 3)
    timer.stop()
    count = len(ticks)
    slicer_host.process_events(20)
    assert len(ticks) == count
