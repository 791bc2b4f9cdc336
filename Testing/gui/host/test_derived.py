"""Python classes derived from Qt classes."""

from __future__ import annotations

import gc

import pytest


def test_virtual_methods_are_called_by_qt(slicer_host):
    import qt

    class Box(qt.QWidget):
        def __init__(self, parent=None):
            self.before = "set before the base class"
            super().__init__(parent)
            self.events = []

        def mousePressEvent(self, event):
            self.events.append((event.button() == qt.Qt.LeftButton, event.pos().x() >= 0))
            super().mousePressEvent(event)

        def sizeHint(self):
            return qt.QSize(77, 33)

        def closeEvent(self, event):
            self.events.append("close")
            event.ignore()

    box = Box()
    assert box.before == "set before the base class"
    assert isinstance(box, qt.QWidget)
    box.show()
    slicer_host.click(box)
    assert box.close() is False
    assert box.events == [(True, True), "close"]
    box.adjustSize()
    assert box.width == 77
    box.delete()


def test_attributes_may_be_added_to_derived_objects_only(slicer_host):
    import qt

    class Label(qt.QLabel):
        pass

    label = Label("one")
    label.purpose = "result"
    assert (label.purpose, label.text) == ("result", "one")
    with pytest.raises(AttributeError, match="'layout' can not be overwritten"):
        label.layout = None


def test_state_outlives_the_python_name(slicer_host):
    import qt

    class Item(qt.QLabel):
        def __init__(self, payload):
            qt.QLabel.__init__(self, "item")
            self.payload = payload

    outer = qt.QWidget()
    layout = qt.QVBoxLayout(outer)
    layout.addWidget(Item({"key": 1}))
    gc.collect()
    again = layout.itemAt(0).widget()
    assert isinstance(again, Item)
    assert again.payload == {"key": 1}


def test_mixins(slicer_host):
    import qt
    import slicer

    class Watcher(qt.QWidget, slicer.util.VTKObservationMixin):
        def __init__(self):
            qt.QWidget.__init__(self)
            slicer.util.VTKObservationMixin.__init__(self)
            self.calls = 0

        def changed(self, caller, event):
            self.calls += 1

    watcher = Watcher()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode")
    watcher.addObserver(node, "ModifiedEvent", watcher.changed)
    node.SetText("new")
    assert watcher.calls > 0
    watcher.removeObservers()


def test_exceptions_in_virtual_methods_are_recorded(slicer_host):
    import qt

    class Broken(qt.QWidget):
        def showEvent(self, event):
            raise LookupError("in showEvent")

    widget = Broken()
    widget.show()
    assert [str(error) for error in slicer_host.errors.take(LookupError)] == ["in showEvent"]


def test_derived_objects_as_receivers(slicer_host):
    import qt

    class Counter(qt.QObject):
        def __init__(self):
            super().__init__()
            self.count = 0

        def increase(self):
            self.count += 1

    counter, button = Counter(), qt.QPushButton("go")
    button.connect("clicked()", counter.increase)
    slicer_host.click(button)
    assert counter.count == 1


def test_a_class_derived_from_a_derived_class(slicer_host):
    import qt

    calls = []

    class First(qt.QDialog):
        def accept(self):
            calls.append("first")
            super().accept()

    class Second(First):
        def accept(self):
            calls.append("second")
            super().accept()

    dialog = Second()
    slicer_host.dialogs.answer(lambda shown: shown.accept())
    assert dialog.exec_() == qt.QDialog.Accepted
    assert calls == ["second", "first"]
