"""Sections that fold: ctkCollapsibleButton, ctkCollapsibleGroupBox, ctkExpandableWidget."""

from __future__ import annotations

from PyQt5 import QtCore, QtGui, QtWidgets

from .base import computed, stored

_HIDDEN_BY_SECTION = "_slicerhost_folded"


class _Folding:
    """Hides the children of a section while it is collapsed and shows again those that were not hidden before."""

    def _fold(self, collapsed: bool) -> None:
        self._folding = True
        for child in self.children():
            if not isinstance(child, QtWidgets.QWidget) or child.isWindow():
                continue
            if collapsed and not child.isHidden():
                setattr(child, _HIDDEN_BY_SECTION, True)
                child.hide()
            elif not collapsed and getattr(child, _HIDDEN_BY_SECTION, False):
                setattr(child, _HIDDEN_BY_SECTION, False)
                child.show()
        self._folding = False
        self.updateGeometry()

    def childEvent(self, event: QtCore.QChildEvent) -> None:
        if event.type() == QtCore.QEvent.ChildPolished and self.collapsed:
            self._fold(True)
        super().childEvent(event)


class ctkCollapsibleButton(_Folding, QtWidgets.QAbstractButton):
    """A heading that folds and unfolds its children."""

    contentsCollapsed = QtCore.pyqtSignal(bool)

    collapsedHeight, setCollapsedHeight = stored(int, "collapsedHeight", 10)
    contentsFrameShape, setContentsFrameShape = stored(int, "contentsFrameShape", 0, "update")
    contentsFrameShadow, setContentsFrameShadow = stored(int, "contentsFrameShadow", 16)
    contentsLineWidth, setContentsLineWidth = stored(int, "contentsLineWidth", 1)
    contentsMidLineWidth, setContentsMidLineWidth = stored(int, "contentsMidLineWidth", 0)
    buttonTextAlignment, setButtonTextAlignment = stored(int, "buttonTextAlignment", 0x81)
    indicatorAlignment, setIndicatorAlignment = stored(int, "indicatorAlignment", 0x81)

    def __init__(self, *args: object) -> None:
        text = args[0] if args and isinstance(args[0], str) else ""
        parent = args[-1] if args and isinstance(args[-1], QtWidgets.QWidget) else None
        super().__init__(parent)
        self._folding = False
        self.setText(text)
        self.setCheckable(True)
        self.setChecked(True)
        self.setSizePolicy(QtWidgets.QSizePolicy.Preferred, QtWidgets.QSizePolicy.Preferred)
        self.setContentsMargins(0, self._heading(), 0, 0)
        self.toggled.connect(self._on_toggled)

    def _heading(self) -> int:
        return self.fontMetrics().height() + 8

    def _on_toggled(self, checked: bool) -> None:
        self._fold(not checked)
        self.contentsCollapsed.emit(not checked)

    def setCollapsed(self, collapsed: bool) -> None:
        self.setChecked(not collapsed)

    collapsed = computed(bool, lambda self: not self.isChecked(), setCollapsed)

    def hitButton(self, position: QtCore.QPoint) -> bool:
        return 0 <= position.y() <= self._heading()

    def sizeHint(self) -> QtCore.QSize:
        head = QtCore.QSize(self.fontMetrics().horizontalAdvance(self.text()) + 30, self._heading())
        if self.collapsed or self.layout() is None:
            return head
        return self.layout().totalSizeHint().expandedTo(head)

    def minimumSizeHint(self) -> QtCore.QSize:
        head = QtCore.QSize(self.fontMetrics().horizontalAdvance(self.text()) + 30, self._heading())
        if self.collapsed or self.layout() is None:
            return head
        return self.layout().totalMinimumSize().expandedTo(head)

    def paintEvent(self, _event: QtGui.QPaintEvent) -> None:
        painter = QtGui.QPainter(self)
        head = QtCore.QRect(0, 0, self.width(), self._heading())
        option = QtWidgets.QStyleOptionButton()
        option.initFrom(self)
        option.rect = head
        option.state |= QtWidgets.QStyle.State_Raised
        self.style().drawControl(QtWidgets.QStyle.CE_PushButtonBevel, option, painter, self)
        arrow = QtWidgets.QStyleOption()
        arrow.initFrom(self)
        arrow.rect = QtCore.QRect(6, (head.height() - 10) // 2, 10, 10)
        kind = QtWidgets.QStyle.PE_IndicatorArrowRight if self.collapsed else QtWidgets.QStyle.PE_IndicatorArrowDown
        self.style().drawPrimitive(kind, arrow, painter, self)
        painter.drawText(head.adjusted(24, 0, 0, 0), QtCore.Qt.AlignVCenter | QtCore.Qt.TextShowMnemonic, self.text())


class ctkCollapsibleGroupBox(_Folding, QtWidgets.QGroupBox):
    """A group box that folds when it is unchecked."""

    collapsedHeight, setCollapsedHeight = stored(int, "collapsedHeight", 14)

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self._folding = False
        self.setCheckable(True)
        self.setChecked(True)
        self.toggled.connect(lambda checked: self._fold(not checked))

    def setCollapsed(self, collapsed: bool) -> None:
        self.setChecked(not collapsed)

    collapsed = computed(bool, lambda self: not self.isChecked(), setCollapsed)


class ctkExpandableWidget(QtWidgets.QFrame):
    """A frame that a person may resize by a grip."""

    orientations, setOrientations = stored(int, "orientations", 3)
    sizeGripInside, setSizeGripInside = stored(bool, "sizeGripInside", True)
