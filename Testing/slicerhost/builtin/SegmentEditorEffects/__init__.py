"""The base classes of effects written in Python, as ``from SegmentEditorEffects import *`` offers them."""

from .AbstractScriptedSegmentEditorEffect import AbstractScriptedSegmentEditorEffect
from .AbstractScriptedSegmentEditorLabelEffect import AbstractScriptedSegmentEditorLabelEffect

__all__ = ["AbstractScriptedSegmentEditorEffect", "AbstractScriptedSegmentEditorLabelEffect"]
editorEffectNames: list[str] = []
