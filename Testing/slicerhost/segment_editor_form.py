"""The controls of the Segment Editor, with the object names of the original, so that scripts find them."""

from __future__ import annotations

import slicer
from PyQt5 import QtWidgets

from .widgets.choices import ctkFittedTextBrowser
from .widgets.node_combo_box import qMRMLNodeComboBox
from .widgets.ranges import ctkRangeWidget
from .widgets.segments import qMRMLSegmentationShow3DButton, qMRMLSegmentsTableView

NO_EFFECT = "NULL"
_ORDER = (
    "Threshold,Paint,Draw,Erase,Level tracing,Grow from seeds,Fill between slices,Margin,Hollow,Smoothing,Scissors,"
    "Islands,Logical operators,Mask volume"
)
EFFECT_ORDER = _ORDER.split(",")


class EditorForm:
    """Builds the controls inside a widget; each is an attribute and has the same object name."""

    def __init__(self, owner: QtWidgets.QWidget) -> None:
        column = QtWidgets.QVBoxLayout(owner)
        column.setContentsMargins(0, 0, 0, 0)
        nodes = QtWidgets.QFormLayout()
        column.addLayout(nodes)
        self.SegmentationNodeComboBox = _selector("vtkMRMLSegmentationNode", add=True)
        self.SourceVolumeNodeComboBox = _selector("vtkMRMLScalarVolumeNode", add=False)
        self.SegmentationNodeLabel = QtWidgets.QLabel("Segmentation:")
        self.SourceVolumeNodeLabel = QtWidgets.QLabel("Source volume:")
        nodes.addRow(self.SegmentationNodeLabel, self.SegmentationNodeComboBox)
        nodes.addRow(self.SourceVolumeNodeLabel, self.SourceVolumeNodeComboBox)

        actions = QtWidgets.QHBoxLayout()
        column.addLayout(actions)
        self.AddSegmentButton = QtWidgets.QPushButton("Add")
        self.RemoveSegmentButton = QtWidgets.QPushButton("Remove")
        self.Show3DButton = qMRMLSegmentationShow3DButton()
        self.SwitchToSegmentationsButton = QtWidgets.QToolButton()
        for button in (
            self.AddSegmentButton,
            self.RemoveSegmentButton,
            self.Show3DButton,
            self.SwitchToSegmentationsButton,
        ):
            actions.addWidget(button)

        self.SegmentsTableView = qMRMLSegmentsTableView()
        self.SegmentsTableView.setSelectionMode(QtWidgets.QAbstractItemView.SingleSelection)
        column.addWidget(self.SegmentsTableView)

        tools = QtWidgets.QHBoxLayout()
        column.addLayout(tools)
        self.EffectsGroupBox = QtWidgets.QGroupBox("Effects")
        QtWidgets.QGridLayout(self.EffectsGroupBox)
        self.UndoRedoGroupBox = QtWidgets.QGroupBox("Undo/Redo")
        history = QtWidgets.QVBoxLayout(self.UndoRedoGroupBox)
        self.UndoButton, self.RedoButton = _tool("Undo"), _tool("Redo")
        history.addWidget(self.UndoButton)
        history.addWidget(self.RedoButton)
        tools.addWidget(self.EffectsGroupBox)
        tools.addWidget(self.UndoRedoGroupBox)

        self.OptionsGroupBox = QtWidgets.QGroupBox()
        options = QtWidgets.QVBoxLayout(self.OptionsGroupBox)
        self.EffectHelpBrowser = ctkFittedTextBrowser()
        self.EffectsOptionsFrame = QtWidgets.QFrame()
        QtWidgets.QVBoxLayout(self.EffectsOptionsFrame).setContentsMargins(0, 0, 0, 0)
        options.addWidget(self.EffectHelpBrowser)
        options.addWidget(self.EffectsOptionsFrame)
        column.addWidget(self.OptionsGroupBox)

        self._add_masking(column)
        for name, child in vars(self).items():
            child.setObjectName(name)

    def _add_masking(self, column: QtWidgets.QVBoxLayout) -> None:
        self.MaskingGroupBox = QtWidgets.QGroupBox("Masking")
        column.addWidget(self.MaskingGroupBox)
        rows = QtWidgets.QFormLayout(self.MaskingGroupBox)
        self.MaskModeComboBox = QtWidgets.QComboBox()
        segmentation, editor = slicer.vtkMRMLSegmentationNode, slicer.vtkMRMLSegmentEditorNode
        for text, mode in (
            ("Everywhere", segmentation.EditAllowedEverywhere),
            ("Inside all segments", segmentation.EditAllowedInsideAllSegments),
            ("Inside all visible segments", segmentation.EditAllowedInsideVisibleSegments),
            ("Outside all segments", segmentation.EditAllowedOutsideAllSegments),
            ("Outside all visible segments", segmentation.EditAllowedOutsideVisibleSegments),
        ):
            self.MaskModeComboBox.addItem(text, mode)
        self.MaskModeComboBox.insertSeparator(self.MaskModeComboBox.count())
        self.SourceVolumeIntensityMaskCheckBox = QtWidgets.QCheckBox()
        self.SourceVolumeIntensityMaskRangeWidget = ctkRangeWidget()
        self.OverwriteModeComboBox = QtWidgets.QComboBox()
        for text, mode in (
            ("Overwrite all", editor.OverwriteAllSegments),
            ("Overwrite visible", editor.OverwriteVisibleSegments),
            ("Allow overlap", editor.OverwriteNone),
        ):
            self.OverwriteModeComboBox.addItem(text, mode)
        rows.addRow("Editable area:", self.MaskModeComboBox)
        rows.addRow("Editable intensity range:", self.SourceVolumeIntensityMaskCheckBox)
        rows.addRow(self.SourceVolumeIntensityMaskRangeWidget)
        rows.addRow("Modify other segments:", self.OverwriteModeComboBox)


def _selector(node_class: str, add: bool) -> qMRMLNodeComboBox:
    combo = qMRMLNodeComboBox()
    combo.setNodeTypes([node_class])
    combo.setNoneEnabled(True)
    combo.setAddEnabled(add)
    combo.setRemoveEnabled(add)
    combo.setRenameEnabled(add)
    return combo


def _tool(text: str) -> QtWidgets.QToolButton:
    button = QtWidgets.QToolButton()
    button.setText(text)
    button.setToolTip(text)
    return button


def effect_button(name: str, title: str) -> QtWidgets.QToolButton:
    """The button that activates an effect."""
    button = _tool(title)
    button.setObjectName(name)
    button.setCheckable(True)
    return button
