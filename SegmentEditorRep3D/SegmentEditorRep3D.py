"""Hidden module: registers the Segment Editor effect of Rep3D, and the key that opens it."""

from __future__ import annotations

import os
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleTest

EFFECT_FILE = os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "SegmentEditorRep3DLib", "SegmentEditorEffect.py"
)


class SegmentEditorRep3D(ScriptedLoadableModule):
    """What Slicer lists (nothing, it is hidden), and the registration."""

    def __init__(self, parent: Any):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = "SegmentEditorRep3D"
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = ["Segmentations", "Rep3DSegmentation"]
        parent.contributors = ["The Rep3D developers"]
        parent.hidden = True
        parent.helpText = _("This hidden module registers the effect {name} of the Segment Editor.").format(
            name=_("Rep3D click")
        )
        parent.acknowledgementText = _(
            "If you use this effect in your work, please cite: H. H. Lee et al., Rep3D: Re-parameterize Large 3D "
            'Kernels with Low-Rank Receptive Modeling, <a href="https://arxiv.org/abs/2505.19603">arXiv 2505.19603</a>.'
        )
        self._shortcut: Any = None
        slicer.app.connect("startupCompleted()", self.registerEditorEffect)
        if is_started():  # the module was loaded by hand later: that signal has been sent already
            qt.QTimer.singleShot(0, self.registerEditorEffect)

    def registerEditorEffect(self) -> None:
        """Offer the effect to all Segment Editors. Again: changes nothing, the factory knows it by its name."""
        import SegmentEditorRep3DLib  # noqa: F401 - as a package, so that the effect finds the files beside it

        effect = slicer.qSlicerSegmentEditorScriptedEffect(None)
        effect.setPythonSource(EFFECT_FILE.replace("\\", "/"))
        effect.self().register()
        self._make_shortcut()

    def _make_shortcut(self) -> None:
        from SegmentEditorRep3DLib.help_text import SHORTCUT

        window = slicer.util.mainWindow()
        if self._shortcut is None and window is not None:
            self._shortcut = qt.QShortcut(window)
            self._shortcut.setKey(qt.QKeySequence(SHORTCUT))
            self._shortcut.connect("activated()", open_effect)


def is_started() -> bool:
    """May the application have finished its start, so that nobody will be told of it any more?"""
    window = slicer.util.mainWindow()
    return bool(window.isVisible()) if window is not None else bool(slicer.app.commandOptions().noMainWindow)


def open_effect() -> None:
    """Show the Segment Editor and choose the effect: what the shortcut does."""
    slicer.util.selectModule("SegmentEditor")
    editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
    editor.setActiveEffectByName("Rep3D")


class SegmentEditorRep3DTest(ScriptedLoadableModuleTest):
    """Self-test for desktop Slicer: the effect is registered and takes part in an editor."""

    def setUp(self) -> None:
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """All tests."""
        self.setUp()
        self.test_effect_is_registered()

    def test_effect_is_registered(self) -> None:
        """An editor widget that is made now has the effect, with its parameters."""
        editor = slicer.qMRMLSegmentEditorWidget()
        editor.setMRMLScene(slicer.mrmlScene)
        editor.setMRMLSegmentEditorNode(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode"))
        effect = editor.effectByName("Rep3D")
        self.assertIsNotNone(effect)
        self.assertEqual(effect.parameter("Mode"), "volume")
        editor.deleteLater()
