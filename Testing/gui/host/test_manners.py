"""PythonQt's manners: properties as attributes, strictness, values, enums."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.usefixtures("slicer_host")


def test_a_property_is_an_attribute():
    import qt

    label = qt.QLabel("one")
    assert label.text == "one"
    label.text = "two"
    assert label.text == "two"
    label.setText("three")
    assert label.text == "three"
    label.enabled = False
    assert label.isEnabled() is False


def test_a_property_hides_the_method_of_its_name():
    import qt

    with pytest.raises(TypeError, match="not callable"):
        qt.QLabel("one").text()


def test_name_is_the_object_name():
    import qt

    button = qt.QPushButton("go")
    button.name = "goButton"
    assert (button.objectName, button.name) == ("goButton", "goButton")


def test_properties_of_combo_boxes():
    import qt

    combo = qt.QComboBox()
    combo.addItem("first", {"key": 1})
    combo.addItems(["second"])
    assert (combo.count, combo.currentText, combo.currentData) == (2, "first", {"key": 1})
    combo.currentIndex = 1
    assert combo.currentText == "second"
    assert combo.itemData(0) == {"key": 1}
    assert combo.findText("second") == 1


@pytest.mark.parametrize(("value", "shown"), [("5", "5"), (5, "5"), (2.5, "2.5")], ids=["text", "integer", "number"])
def test_values_become_texts(value, shown):
    import qt

    label = qt.QLabel()
    label.text = value
    assert label.text == shown


def test_none_becomes_the_text_none():
    import qt

    label = qt.QLabel()
    label.text = None
    assert label.text == "None"
    label.setText(None)
    assert label.text == "None"
    with pytest.raises(AttributeError, match="does not accept an object of type NoneType"):
        qt.QSpinBox().value = None


def test_anything_has_a_truth_value():
    import qt

    button = qt.QPushButton()
    button.enabled = 3
    assert button.enabled is True
    button.enabled = None
    assert button.enabled is False


def test_a_number_with_a_fraction_is_cut_for_an_integer():
    import qt

    spin = qt.QSpinBox()
    spin.setMaximum(100)
    spin.setValue(7.9)
    assert spin.value == 7
    spin.value = 8.2
    assert spin.value == 8


def test_unknown_attributes_raise():
    import qt

    label = qt.QLabel()
    with pytest.raises(AttributeError, match="no attribute named 'txt'"):
        _ = label.txt
    with pytest.raises(AttributeError, match="'txt' does not exist on QLabel"):
        label.txt = "one"
    with pytest.raises(AttributeError, match="can not be overwritten"):
        label.setText = print
    with pytest.raises(AttributeError, match="Signal 'linkActivated' can not be overwritten"):
        label.linkActivated = print


def test_a_read_only_property_cannot_be_set():
    import qt

    with pytest.raises(AttributeError, match="not writable"):
        qt.QComboBox().count = 3


def test_unknown_classes_and_widgets_raise():
    import ctk
    import qt
    import slicer

    with pytest.raises(AttributeError, match="QNoSuchWidget"):
        _ = qt.QNoSuchWidget
    with pytest.raises(AttributeError, match="ctkNoSuchWidget"):
        _ = ctk.ctkNoSuchWidget
    assert not hasattr(slicer, "qMRMLNoSuchWidget")
    assert not hasattr(qt, "pyqtSignal"), "PyQt5's own helpers are not part of PythonQt"


def test_keyword_arguments_are_refused():
    import qt

    with pytest.raises(ValueError, match="does not support kwargs"):
        qt.QLabel(text="one")
    with pytest.raises(ValueError, match="does not support kwargs"):
        qt.QLabel().setText(a0="one")


def test_wrong_arguments_raise():
    import qt

    with pytest.raises(ValueError, match="with wrong arguments"):
        qt.QLabel().setPixmap("no picture")


def test_widgets_are_truthy_until_they_are_deleted():
    import qt

    empty = qt.QListWidget()
    assert empty
    assert qt.QComboBox()
    empty.delete()
    assert not empty
    with pytest.raises(ValueError, match="destroyed"):
        _ = empty.count


def test_enums_and_flags():
    import qt

    label = qt.QLabel()
    label.setAlignment(qt.Qt.AlignRight | qt.Qt.AlignTop)
    assert label.alignment == qt.Qt.AlignRight | qt.Qt.AlignTop
    label.alignment = qt.Qt.AlignCenter
    assert label.alignment == qt.Qt.AlignCenter
    assert label.setSizePolicy(qt.QSizePolicy.Expanding, qt.QSizePolicy.Fixed) is None
    assert label.sizePolicy.horizontalPolicy() == qt.QSizePolicy.Expanding
    assert qt.QMessageBox.Yes != qt.QMessageBox.No


def test_values_are_wrapped_and_compare():
    import qt

    assert qt.QSize(2, 3) == qt.QSize(2, 3)
    assert qt.QSize(2, 3) != qt.QSize(2, 4)
    assert (qt.QSize(2, 3) + qt.QSize(1, 1)).width() == 3
    assert qt.QColor("#ff0000").red() == 255
    widget = qt.QWidget()
    widget.resize(40, 30)
    assert (widget.width, widget.size.height()) == (40, 30)


def test_children_keep_their_class_and_identity():
    import qt

    outer = qt.QWidget()
    layout = qt.QVBoxLayout(outer)
    inner = qt.QCheckBox("tick")
    inner.objectName = "tick"
    layout.addWidget(inner)
    assert layout.itemAt(0).widget() is inner
    assert isinstance(outer.children()[1], qt.QCheckBox)
    assert not isinstance(inner, qt.QAbstractButton), "the classes are flat"
    assert inner.inherits("QAbstractButton")
    assert outer.findChild(qt.QCheckBox, "tick") is inner
    assert outer.findChildren("QCheckBox", "tick") == (inner,)
    assert outer.tick is inner, "a child can be reached by its object name"
    assert outer.findChild(qt.QLabel) is None
    assert inner.parent() is outer


def test_dynamic_properties():
    import qt

    widget = qt.QWidget()
    widget.setProperty("purpose", "result")
    assert widget.purpose == "result"
    widget.purpose = "input"
    assert widget.property("purpose") == "input"


def test_class_names():
    import ctk
    import qt
    import slicer

    assert qt.QLabel().className() == "QLabel"
    assert ctk.ctkSliderWidget().className() == "ctkSliderWidget"
    assert slicer.qMRMLNodeComboBox().className() == "qMRMLNodeComboBox"
    assert qt.QPushButton().inherits("QAbstractButton")


def test_settings_are_those_of_the_host(tmp_path):
    import qt
    import slicer

    qt.QSettings().setValue("Rep3D/Test", "kept")
    assert slicer.app.settings().value("Rep3D/Test") == "kept"
    assert slicer.app.temporaryPath in qt.QSettings().fileName()
    assert slicer.util.settingsValue("Rep3D/Missing", 3, converter=int) == 3
    qt.QSettings().remove("Rep3D/Test")
    own = qt.QSettings(str(tmp_path / "own.ini"), qt.QSettings.IniFormat)
    own.setValue("a", 1)
    own.sync()
    assert (tmp_path / "own.ini").is_file()


def test_a_process_runs(slicer_host):
    import shutil
    from pathlib import Path

    import qt

    process, output = qt.QProcess(), []
    process.setProcessChannelMode(qt.QProcess.MergedChannels)
    process.readyRead.connect(lambda: output.append(bytes(process.readAll().data()).decode()))
    process.connect("finished(int,QProcess::ExitStatus)", lambda code, status: output.append(code))
    process.start(Path(shutil.which("PythonSlicer")), ["-c", "print('hello')"])
    slicer_host.wait_until(lambda: 0 in output, timeout_s=20)
    assert output[0].strip() == "hello"
    assert process.state() == process.NotRunning


def test_clipboard():
    import slicer

    slicer.app.clipboard().setText("copied")
    assert slicer.app.clipboard().text() == "copied"
