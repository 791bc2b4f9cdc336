"""What differs in the real window of Slicer from bare PythonQt, and what a Slicer may lack."""

from __future__ import annotations

import gc
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def test_plain_tool_tips_become_rich_text(slicer_host):
    import qt

    label = qt.QLabel()
    label.toolTip = "smaller < larger"
    assert label.toolTip == "<p>smaller &lt; larger</p>"
    label.setToolTip("<b>rich</b> already")
    assert label.toolTip == "<b>rich</b> already"
    label.setToolTip("")
    assert label.toolTip == ""
    buffer = qt.QBuffer()
    tip = '<property name="toolTip"><string>tip</string></property>'
    form = f'<ui version="4.0"><class>F</class><widget class="QLabel" name="l">{tip}</widget></ui>'
    buffer.setData(form.encode())
    assert qt.QUiLoader().load(buffer).toolTip == "<p>tip</p>"


def test_slicer_itself_is_not_started_as_python(slicer_host):
    assert not Path(sys.executable).name.lower().startswith("python")
    done = subprocess.run([sys.executable, "-c", "print(1)"], capture_output=True, text=True)
    assert done.returncode == 70 and "-c print(1)" in done.stderr
    found = subprocess.run([shutil.which("PythonSlicer"), "-c", "print(1)"], capture_output=True, text=True)
    assert found.stdout == "1\n"
    slicer_host.programs.leave()
    assert "Slicer itself was started" in str(slicer_host.errors.take()[0])
    slicer_host.programs.enter()


def test_a_slicer_without_sample_data(slicer_host, capfd):
    import slicer

    with slicer_host.without_module("SampleData"):
        assert not hasattr(slicer.modules, "sampledata")
        with pytest.raises(ImportError):
            import SampleData  # noqa: F401
        slicer_host.load_module(ROOT / "Rep3DSegmentation" / "Rep3DSegmentation.py")
        slicer_host.unload_module("Rep3DSegmentation")
        assert "Traceback" not in capfd.readouterr().err
    assert hasattr(slicer.modules, "sampledata")


def test_a_mask_mode_without_its_segment_falls_back(stage):
    import slicer

    mode, node = slicer.vtkMRMLSegmentationNode, stage.parameters
    node.SetMaskMode(mode.EditAllowedInsideSingleSegment)
    node.SetMaskSegmentID("b")
    assert node.GetMaskMode() == mode.EditAllowedEverywhere, "the mode came before its segment"
    node.SetMaskMode(mode.EditAllowedInsideSingleSegment)
    assert node.GetMaskMode() == mode.EditAllowedInsideSingleSegment


@pytest.mark.parametrize("how", ["deleted by Qt", "dropped"])
def test_observers_end_with_their_widget(slicer_host, how):
    import vtk
    from PyQt5 import QtWidgets, sip
    from slicerhost.widgets.observing import Observers

    class Watcher(QtWidgets.QWidget):
        def __init__(self):
            super().__init__()
            self.observers = Observers(self)
            self.observers.add(subject, "ModifiedEvent", lambda _owner: seen.append(1))

    subject, seen = vtk.vtkObject(), []
    watcher = Watcher()
    subject.Modified()
    assert seen == [1] and subject.HasObserver("ModifiedEvent")
    if how == "deleted by Qt":
        sip.delete(watcher)
    else:
        del watcher
        gc.collect()
    assert not subject.HasObserver("ModifiedEvent")
    subject.Modified()
    assert seen == [1]
