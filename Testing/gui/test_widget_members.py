"""The extension uses nothing of a widget that Slicer hides from Python: read from its source, branch by branch.

A widget's class is known where it comes from a form, a constructor, or a method of a known class; the facts about
classes are those of the test host (``slicerhost/reach.json``), taken from the headers of both versions of Slicer.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from widget_types import Program

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(path.parent for path in ROOT.glob("*/CMakeLists.txt"))
FILES = sorted(path for folder in (*MODULES, ROOT / "Testing" / "desktop") for path in folder.rglob("*.py"))
FORMS = sorted(path for folder in MODULES for path in folder.rglob("*.ui"))
FORM = {"section": "ctkCollapsibleButton", "slider": "ctkSliderWidget", "line": "ctkPathLineEdit"}


@pytest.fixture(autouse=True)
def _needs_qt() -> None:
    pytest.importorskip("PyQt5.QtWidgets", reason="PyQt5 or a system library of Qt is missing", exc_type=ImportError)
    pytest.importorskip("slicer_core", reason="slicer-core is not installed")


@cache
def extension() -> Program:
    from widget_types import Program, form_classes

    sources = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in FILES}
    return Program(sources, {name: kind for form in FORMS for name, kind in form_classes(form).items()})


def reported(text: str) -> list[str]:
    """What the check says of a snippet, without the place."""
    from widget_members import problems
    from widget_types import Program

    return [line.split(": ", 1)[1] for line in problems(Program({"snippet.py": text}, FORM))]


def test_the_extension_uses_nothing_hidden():
    from widget_members import problems

    assert not list(problems(extension()))


def test_the_classes_of_most_widgets_are_found():
    program = extension()
    nodes = [node for tree in program.trees.values() for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    known = [node for node in nodes if program.types(node.value) - set(program.bases)]
    assert len(known) > 250, "if the panels were really cut down, so may be this number"


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("self.ui.slider.setMaximum(3)", "ctkSliderWidget.setMaximum is not reachable"),
        ("self.context.ui.section.setCollapsed(False)", "ctkCollapsibleButton.setCollapsed is not reachable"),
        ("s = ctk.ctkSliderWidget()\ns.setSuffix('mm')", "ctkSliderWidget.setSuffix is not reachable"),
        ("def f(w):\n w.setSingleStep(1)\nf(ctk.ctkSliderWidget())", "ctkSliderWidget.setSingleStep is not reachable"),
        ("def f():\n s = ctk.ctkSliderWidget()\n return s\nf().setMinimum(1)", "ctkSliderWidget.setMinimum is not"),
        ("for w, v in ((ui.line, 1), (ui.slider, 2)):\n w.setMinimum(v)", "ctkPathLineEdit.setMinimum is not"),
        ("f = ui.slider.spinBox", "ctkSliderWidget.spinBox is not reachable"),
        ("getattr(ui.slider, 'setRange')(0, 1)", "ctkSliderWidget.setRange is not reachable"),
        ("slicer.qMRMLNodeComboBox().setNoneEnabled(True)", "qMRMLNodeComboBox.setNoneEnabled is not reachable"),
        ("slicer.app.mainWindow()", "qSlicerApplication.mainWindow is not reachable"),
        ("slicer.app.layoutManager().setActive(1)", "qSlicerLayoutManager.setActive is not reachable"),
        (
            "class E:\n def f(self):\n  self.scriptedEffect.setName('x')",
            "qSlicerSegmentEditorScriptedEffect.setName is",
        ),
        ("class D(qt.QDialog):\n def f(self):\n  self.setTitle('x')", "QDialog.setTitle is not reachable"),
        (
            "class P:\n def __init__(self):\n  self.s = ctk.ctkSliderWidget()\nP().s.setPrefix('x')",
            "ctkSliderWidget.setP",
        ),
        (
            "w = [ctk.ctkSliderWidget() for i in 'ab']\nfor s in w:\n s.setMaximum(1)",
            "ctkSliderWidget.setMaximum is not",
        ),
        ("w = {}\nw['a'] = ui.slider\nw['a'].setMaximum(1)", "ctkSliderWidget.setMaximum is not reachable"),
        (
            "w = {'a': ui.slider}\nfor n, s in w.items():\n s.setMaximum(1)",
            "ctkSliderWidget.setMaximum is not reachable",
        ),
        (
            "w = []\nw.append(ui.slider)\nfor i, s in enumerate(w):\n s.setMinimum(1)",
            "ctkSliderWidget.setMinimum is not",
        ),
        (
            "from ctk import ctkSliderWidget\nctkSliderWidget().setMaximum(1)",
            "ctkSliderWidget.setMaximum is not reachable",
        ),
        ("def f(s: ctk.ctkSliderWidget):\n s.setMaximum(1)", "ctkSliderWidget.setMaximum is not reachable"),
        (
            "w = slicer.util.childWidgetVariables(x)\nw.slider.setMaximum(1)",
            "ctkSliderWidget.setMaximum is not reachable",
        ),
        ("getattr(self.ui, 'slider').setMaximum(1)", "ctkSliderWidget.setMaximum is not reachable"),
        ("class D(qt.QDialog):\n def f(self):\n  super().setTitle('x')", "QDialog.setTitle is not reachable"),
        ("b.connect('clicked()', lambda: self.ui.slider.setRange(0, 1))", "ctkSliderWidget.setRange is not reachable"),
        ("functools.partial(ui.slider.setMaximum, 3)", "ctkSliderWidget.setMaximum is not reachable"),
        ("qt.QLabel().text()", "QLabel.text is a property: it has a value and is not called"),
        ("qt.QLabel().sizeHint()", "QLabel.sizeHint is a property"),
        ("qt.QComboBox().count = 3", "QComboBox.count cannot be set: it is a constant"),
        ("qt.QLabel().setText = print", "QLabel.setText cannot be set: it is a method"),
        ("qt.QLabel().receivers('x')", "QLabel.receivers is not reachable"),
        ("qt.QTableWidget().horizontalHeader().stretch()", "QHeaderView.stretch is not reachable"),
        ("qt.QMessageBox.Perhaps", "QMessageBox.Perhaps is not reachable"),
        ("qt.QLabel().setText(text='x')", "QLabel.setText is called with keyword arguments"),
        ("qt.QLabel(text='x')", "QLabel is made with keyword arguments"),
        ("ui.slider.connect('valueChanged(int)', f)", "ctkSliderWidget has no signal valueChanged(int)"),
        ("isinstance(widget, (str, qt.QWidget))", "isinstance(..., QWidget) is False for every widget"),
    ],
)
def test_each_kind_of_hidden_use_is_reported(code, problem):
    assert any(line.startswith(problem) for line in reported(code)), reported(code)


@pytest.mark.parametrize(
    "code",
    [
        "ui.slider.maximum = 3\nui.section.collapsed = False\nui.slider.setValue(2)",
        "for w in (ui.slider, ui.line):\n w.setEnabled(True)\nfor w in (ui.section,):\n w.collapsed = True",
        "class D(qt.QDialog):\n def f(self):\n  self.mine = 3\n  self.accept()\n  self.g()\n def g(self): pass",
        "qt.QPushButton().connect('clicked()', f)\nqt.QPushButton().connect('clicked( bool )', f)",
        "e = slicer.modules.segmenteditor.widgetRepresentation().self().editor\ne.activeEffect().self()",
        "anything.setCollapsed(True)\nlen(ui.slider.suffix)\nqt.QDialog().exec_()\nui.slider.className()",
    ],
)
def test_what_slicer_offers_is_not_reported(code):
    assert not reported(code)
