"""Base class of an effect written in Python that edits the selected segment."""

from .AbstractScriptedSegmentEditorEffect import AbstractScriptedSegmentEditorEffect

__all__ = ["AbstractScriptedSegmentEditorLabelEffect"]


class AbstractScriptedSegmentEditorLabelEffect(AbstractScriptedSegmentEditorEffect):
    """As the general one; only the adaptor differs."""
