"""What the Segment Editor asks a person."""

from __future__ import annotations

from typing import Any

from PyQt5 import QtCore, QtWidgets

from .dialogs import dialogs
from .widgets.choices import ctkMessageBox

_HIDDEN_SETTING = "Segmentations/ConfirmEditHiddenSegment"
_Box = QtWidgets.QMessageBox


def ask_about_hidden_segment() -> tuple[int, bool]:
    """Yes: show it, No: edit it hidden, Cancel; and whether a person was asked, not a remembered answer taken."""
    saved = int(QtCore.QSettings().value(_HIDDEN_SETTING, int(_Box.InvalidRole)))
    if saved != _Box.InvalidRole:
        return saved, False
    box = ctkMessageBox()
    box.setWindowTitle("Operate on invisible segment?")
    box.setText("The currently selected segment is hidden. Would you like to make it visible?")
    for button in (_Box.Yes, _Box.No, _Box.Cancel):
        box.addButton(button)
    box.setDontShowAgainVisible(True)
    box.setDontShowAgainSettingsKey(_HIDDEN_SETTING)
    box.setIcon(_Box.Question)
    return dialogs.execute(box), True


def use_labelmaps(logic: Any) -> bool:
    """Make binary labelmaps the source representation of the logic's segmentation; asks where something may be lost."""
    if logic.CanTriviallyConvertSourceRepresentationToBinaryLabelMap():
        return logic.TrivialSetSourceRepresentationToBinaryLabelmap()
    title = "Change source representation to binary labelmap?"
    name = logic.GetSegmentationNode().GetSegmentation().GetSourceRepresentationName()
    text = f"Editing requires binary labelmap source representation, but currently it is {name}."
    box = _Box(_Box.Question, title, text, _Box.Yes | _Box.No)
    dialogs.execute(box)
    chosen = box.standardButton(box.clickedButton()) if box.clickedButton() else _Box.No
    return chosen == _Box.Yes and logic.SetSourceRepresentationToBinaryLabelMap()
