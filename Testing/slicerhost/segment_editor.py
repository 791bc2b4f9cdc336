"""Puts the Segment Editor under the names that extensions use."""

from __future__ import annotations

import importlib
import sys
import types
from pathlib import Path

import slicer

from .segment_editor_effect import qSlicerSegmentEditorAbstractEffect
from .segment_editor_scripted import (
    qSlicerSegmentEditorEffectFactory,
    qSlicerSegmentEditorScriptedEffect,
    qSlicerSegmentEditorScriptedLabelEffect,
)
from .segment_editor_widget import qMRMLSegmentEditorWidget
from .slice_views import qMRMLSliceView, qMRMLSliceWidget
from .widgets import MRML
from .wrapping import wrapper_class

_EFFECTS = (
    qSlicerSegmentEditorAbstractEffect,
    qSlicerSegmentEditorScriptedEffect,
    qSlicerSegmentEditorScriptedLabelEffect,
    qSlicerSegmentEditorEffectFactory,
)
_WIDGETS = (qMRMLSegmentEditorWidget, qMRMLSliceWidget, qMRMLSliceView)


def publish() -> None:
    """The classes in ``slicer`` and in the modules of the C++ libraries, and the package ``SegmentEditorEffects``."""
    MRML.update({real.__name__: real for real in _WIDGETS})  # forms may contain them
    for real in (*_EFFECTS, *_WIDGETS):
        setattr(slicer, real.__name__, wrapper_class(real))
    _module("qSlicerSegmentationsEditorEffectsPythonQt", _EFFECTS)
    _module("qSlicerSegmentationsModuleWidgetsPythonQt", (qMRMLSegmentEditorWidget,))
    for name in ("vtkSegmentationCore", "vtkSlicerSegmentationsModuleLogic", "vtkSlicerSegmentationsModuleMRML"):
        library = importlib.import_module(f"slicer_core.{name}")
        sys.modules.setdefault(name, library)
        sys.modules.setdefault(f"{name}Python", library)  # their names in modules written for earlier versions
    folder = str(Path(__file__).parent / "builtin")
    if folder not in sys.path:
        sys.path.insert(0, folder)


def _module(name: str, classes: tuple[type, ...]) -> None:
    module = sys.modules.setdefault(name, types.ModuleType(name))
    for real in classes:
        setattr(module, real.__name__, wrapper_class(real))
