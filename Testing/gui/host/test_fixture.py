"""What guards the tests: the fixture must fail a test that leaves something behind, and the process must end well."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

GUI = Path(__file__).parents[1]
LEFT_BEHIND = """
def test_good(slicer_host):
    import qt, slicer
    slicer_host.kept = (qt.QLabel("kept"), slicer.qMRMLNodeComboBox(), slicer.mrmlScene)
    slicer_host.kept[1].setMRMLScene(slicer.mrmlScene)

def test_error(slicer_host):
    import qt
    qt.QTimer.singleShot(0, lambda: 1 / 0)

def test_dialog(slicer_host):
    import slicer
    slicer.util.errorDisplay("unexpected")

def test_answer(slicer_host):
    slicer_host.dialogs.answer("Yes")

def test_closing(slicer_host):
    import slicer
    def fails(*_):
        raise KeyError("at closing")
    slicer_host.tag = slicer.mrmlScene.AddObserver(slicer.vtkMRMLScene.EndCloseEvent, fails)

def test_after(slicer_host):
    import slicer
    slicer.mrmlScene.RemoveObserver(slicer_host.tag)
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0
"""


def test_the_fixture_fails_tests_that_leave_something_behind(slicer_host, tmp_path):
    (tmp_path / "conftest.py").write_text((GUI / "conftest.py").read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "test_left.py").write_text(LEFT_BEHIND, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(GUI.parent), "QT_QPA_PLATFORM": "offscreen"}
    command = [shutil.which("PythonSlicer"), "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=120)
    lines = done.stdout.splitlines()
    erred = {line.split("::")[1].split(" ")[0] for line in lines if line.startswith("ERROR ") and "::" in line}
    assert erred == {"test_error", "test_dialog", "test_answer", "test_closing"}, done.stdout
    assert "6 passed, 4 errors" in done.stdout, done.stdout
    assert done.returncode == 1, f"the process must end by itself, without a crash: {done.returncode}\n{done.stderr}"


def test_qt_off_the_main_thread_raises(slicer_host):
    import qt

    label, raised = qt.QLabel("one"), []

    def work():
        for use in (lambda: qt.QLabel(), lambda: label.text, lambda: label.setText("two"), lambda: label.hide()):
            try:
                use()
            except RuntimeError as error:
                raised.append(str(error))

    thread = threading.Thread(target=work, name="reader")
    thread.start()
    thread.join()
    assert len(raised) == 4
    assert "thread 'reader'" in raised[0]
    assert label.text == "one"


def test_garbage_is_collected_in_the_main_thread(slicer_host):
    import gc

    assert not gc.isenabled()


def test_the_host_is_one_in_a_process(slicer_host):
    from slicerhost import Host

    assert Host.start() is slicer_host


@pytest.mark.parametrize("gone", ["modules", "mrmlScene", "app"])
def test_names_that_others_replaced_are_published_again(slicer_host, gone):
    import slicer

    setattr(slicer, gone, None)
    slicer_host.publish()
    assert getattr(slicer, gone) is not None
