"""The section "Masking" of an editor: shows and sets what the parameter node says; the C++ logic obeys the node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
from PyQt5 import QtCore

from .segment_editor_form import EditorForm


class MaskingSection:
    """Editable area, editable intensity range and what happens to other segments."""

    def __init__(self, form: EditorForm, node: Callable[[], Any]) -> None:
        self._form, self._node = form, node
        self._fixed = form.MaskModeComboBox.count()
        form.MaskModeComboBox.currentIndexChanged.connect(self._set_area)
        form.SourceVolumeIntensityMaskCheckBox.toggled.connect(lambda on: self._node().SetSourceVolumeIntensityMask(on))
        form.SourceVolumeIntensityMaskRangeWidget.valuesChanged.connect(
            lambda low, high: self._node().SetSourceVolumeIntensityMaskRange(low, high)
        )
        form.OverwriteModeComboBox.currentIndexChanged.connect(
            lambda row: self._node().SetOverwriteMode(form.OverwriteModeComboBox.itemData(row))
        )

    def _set_area(self, row: int) -> None:
        node, value = self._node(), self._form.MaskModeComboBox.itemData(row)
        if node is None or value is None:
            return
        if row >= self._fixed:
            node.SetMaskSegmentID(value)
            node.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedInsideSingleSegment)
        else:
            node.SetMaskMode(value)

    def fill_segments(self, segmentation_node: Any) -> None:
        """Offer "Inside <segment>" for every segment, and fall back to everywhere where the chosen one is gone."""
        combo = self._form.MaskModeComboBox
        segmentation = segmentation_node.GetSegmentation() if segmentation_node is not None else None
        wanted = []
        if segmentation is not None:
            wanted = [(f"Inside {segmentation.GetSegment(i).GetName()}", i) for i in segmentation.GetSegmentIDs()]
        rows = range(self._fixed, combo.count())
        if [(combo.itemText(row), combo.itemData(row)) for row in rows] != wanted:
            chosen = combo.currentData() if combo.currentIndex() >= self._fixed else None
            with QtCore.QSignalBlocker(combo):
                while combo.count() > self._fixed:
                    combo.removeItem(combo.count() - 1)
                for text, segment_id in wanted:
                    combo.addItem(text, segment_id)
                if chosen is not None:
                    combo.setCurrentIndex(combo.findData(chosen))
        # Also where the mode "inside a segment" was set before the segment: it is nowhere in the list, and so the
        # editor falls back to everywhere at once.
        if segmentation is not None and combo.currentIndex() < 0:
            combo.setCurrentIndex(0)

    def set_limits(self, volume: Any) -> None:
        """The intensities that can be chosen are those of the source volume."""
        widget = self._form.SourceVolumeIntensityMaskRangeWidget
        image = volume.GetImageData() if volume is not None else None
        widget.setEnabled(image is not None)
        if image is not None:
            with QtCore.QSignalBlocker(widget):
                widget.setRange(*image.GetScalarRange())

    def update(self, volume: Any) -> None:
        """Show the parameter node; an intensity range that was never set becomes the middle half of the volume's."""
        form, node = self._form, self._node()
        if node.GetMaskMode() == slicer.vtkMRMLSegmentationNode.EditAllowedInsideSingleSegment:
            segment_id = node.GetMaskSegmentID()
            row = form.MaskModeComboBox.findData(segment_id) if segment_id else -1
        else:
            row = form.MaskModeComboBox.findData(node.GetMaskMode())
        low, high = node.GetSourceVolumeIntensityMaskRange()
        if node.GetSourceVolumeIntensityMask() and low == high and volume is not None and volume.GetImageData():
            first, last = volume.GetImageData().GetScalarRange()
            low, high = first + 0.25 * (last - first), first + 0.75 * (last - first)
            node.SetSourceVolumeIntensityMaskRange(low, high)
        widgets = (
            form.MaskModeComboBox,
            form.SourceVolumeIntensityMaskCheckBox,
            form.SourceVolumeIntensityMaskRangeWidget,
            form.OverwriteModeComboBox,
        )
        blockers = [QtCore.QSignalBlocker(widget) for widget in widgets]
        form.MaskModeComboBox.setCurrentIndex(row)
        form.SourceVolumeIntensityMaskCheckBox.setChecked(node.GetSourceVolumeIntensityMask())
        form.SourceVolumeIntensityMaskRangeWidget.setVisible(node.GetSourceVolumeIntensityMask())
        form.SourceVolumeIntensityMaskRangeWidget.setValues(low, high)
        form.OverwriteModeComboBox.setCurrentIndex(form.OverwriteModeComboBox.findData(node.GetOverwriteMode()))
        for blocker in blockers:
            blocker.unblock()
