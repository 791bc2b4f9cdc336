"""Click-to-segment in Slicer's Segment Editor.

Slicer instantiates the class ``SegmentEditorEffect`` of this package by its name; because it is an attribute of the
package, the files beside it are found as parts of the package.
"""

from .SegmentEditorEffect import SegmentEditorEffect

__all__ = ["SegmentEditorEffect"]
