"""Choices, buttons and messages of CTK."""

from __future__ import annotations

from PyQt5 import QtCore, QtGui, QtWidgets

from .base import computed, stored


class ctkComboBox(QtWidgets.QComboBox):
    """A combo box with a text for "nothing chosen"."""

    NeverScroll, AlwaysScroll, ScrollWithFocus, ScrollWithNoVScrollBar = 0, 1, 2, 3

    defaultText, setDefaultText = stored(str, "defaultText", "", "update")
    elideMode, setElideMode = stored(int, "elideMode", 3)
    scrollWheelEffect, setScrollWheelEffect = stored(int, "scrollWheelEffect", 1)

    def setCurrentUserDataAsString(self, text: str) -> None:
        self.setCurrentIndex(self.findData(text))

    def _user_data(self) -> str:
        data = self.currentData()
        return "" if data is None else str(data)

    currentUserDataAsString = computed(str, _user_data, setCurrentUserDataAsString)

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        if self.currentIndex() >= 0 or not self.defaultText:
            return super().paintEvent(event)
        painter = QtWidgets.QStylePainter(self)
        option = QtWidgets.QStyleOptionComboBox()
        self.initStyleOption(option)
        option.currentText = self.defaultText
        painter.drawComplexControl(QtWidgets.QStyle.CC_ComboBox, option)
        painter.drawControl(QtWidgets.QStyle.CE_ComboBoxLabel, option)
        return None


class ctkCheckableComboBox(QtWidgets.QComboBox):
    """A combo box whose items can be checked."""

    checkedIndexesChanged = QtCore.pyqtSignal()

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self.setModel(QtGui.QStandardItemModel(0, 1, self))
        self.model().rowsInserted.connect(self._inserted)
        self.model().itemChanged.connect(lambda _item: self.checkedIndexesChanged.emit())

    def _inserted(self, _parent: QtCore.QModelIndex, first: int, last: int) -> None:
        with QtCore.QSignalBlocker(self.model()):
            for row in range(first, last + 1):
                item = self.model().item(row)
                item.setFlags(item.flags() | QtCore.Qt.ItemIsUserCheckable)
                if item.data(QtCore.Qt.CheckStateRole) is None:
                    item.setCheckState(QtCore.Qt.Unchecked)

    def checkableModel(self) -> QtGui.QStandardItemModel:
        return self.model()

    def checkedIndexes(self) -> list[QtCore.QModelIndex]:
        rows = (self.model().index(row, 0) for row in range(self.count()))
        return [index for index in rows if self.checkState(index) == QtCore.Qt.Checked]

    def allChecked(self) -> bool:
        return len(self.checkedIndexes()) == self.count()

    def noneChecked(self) -> bool:
        return not self.checkedIndexes()

    def checkState(self, index: QtCore.QModelIndex) -> int:
        return self.model().itemFromIndex(index).checkState()

    def setCheckState(self, index: QtCore.QModelIndex, state: int) -> None:
        self.model().itemFromIndex(index).setCheckState(QtCore.Qt.CheckState(state))


class ctkMessageBox(QtWidgets.QMessageBox):
    """A message box that can be told not to come up again."""

    dontShowAgainVisible, setDontShowAgainVisible = stored(bool, "dontShowAgainVisible", False, "_show_box")
    dontShowAgain, setDontShowAgain = stored(bool, "dontShowAgain", False)
    dontShowAgainSettingsKey, setDontShowAgainSettingsKey = stored(str, "dontShowAgainSettingsKey", "", "_keyed")

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.buttonClicked.connect(lambda _button: self._remember())

    def _keyed(self) -> None:
        self.setDontShowAgainVisible(True)
        value = QtCore.QSettings().value(self.dontShowAgainSettingsKey, QtWidgets.QMessageBox.InvalidRole)
        self.setDontShowAgain(int(value) != QtWidgets.QMessageBox.InvalidRole)

    def silent_result(self) -> int | None:
        """The result that was chosen when the message was shown for the last time, or None to show it."""
        if not self.dontShowAgain:
            return None
        key = self.dontShowAgainSettingsKey
        return int(QtCore.QSettings().value(key, QtWidgets.QMessageBox.Ok)) if key else int(QtWidgets.QMessageBox.Ok)

    def _show_box(self) -> None:
        # The message box does not own it for Python: without this name it would be deleted at once.
        self._box = QtWidgets.QCheckBox("Don't show this message again", self) if self.dontShowAgainVisible else None
        self.setCheckBox(self._box)

    def _remember(self) -> None:
        if self.checkBox() is not None and self.checkBox().isChecked() and self.dontShowAgainSettingsKey:
            chosen = int(self.standardButton(self.clickedButton()))
            QtCore.QSettings().setValue(self.dontShowAgainSettingsKey, chosen)


class ctkCheckBox(QtWidgets.QCheckBox):
    """A check box whose mark may be a picture."""

    indicatorIcon, setIndicatorIcon = stored(QtGui.QIcon, "indicatorIcon", None)
    indicatorIconSize, setIndicatorIconSize = stored(QtCore.QSize, "indicatorIconSize", QtCore.QSize())


class ctkPushButton(QtWidgets.QPushButton):
    """A push button with alignments for its text and icon."""

    buttonTextAlignment, setButtonTextAlignment = stored(int, "buttonTextAlignment", 0x84)
    iconAlignment, setIconAlignment = stored(int, "iconAlignment", 0x81)
    elideMode, setElideMode = stored(int, "elideMode", 3)


class ctkCheckablePushButton(ctkPushButton):
    """A push button with a check box that makes it checkable."""

    checkBoxToggled = QtCore.pyqtSignal(bool)
    indicatorAlignment, setIndicatorAlignment = stored(int, "indicatorAlignment", 0x81)
    checkBoxControlsButton, setCheckBoxControlsButton = stored(bool, "checkBoxControlsButton", True)
    checkBoxControlsButtonToggleState, setCheckBoxControlsButtonToggleState = stored(
        bool, "checkBoxControlsButtonToggleState", True
    )
    checkBoxUserCheckable, setCheckBoxUserCheckable = stored(bool, "checkBoxUserCheckable", True)
    checkState, setCheckState = stored(int, "checkState", 0, "_checked")

    def _checked(self) -> None:
        self.checkBoxToggled.emit(bool(self.checkState))


class ctkMenuButton(ctkPushButton):
    """A push button with a menu behind an arrow."""


class ctkFittedTextBrowser(QtWidgets.QTextBrowser):
    """A text browser as high as its text, of which a part can be folded away."""

    collapsed, setCollapsed = stored(bool, "collapsed", True, "_fill")
    collapsibleText, setCollapsibleText = stored(str, "collapsibleText", "", "_fill")
    showDetailsText, setShowDetailsText = stored(str, "showDetailsText", "Show details...", "_fill")
    hideDetailsText, setHideDetailsText = stored(str, "hideDetailsText", "Hide details.", "_fill")

    def _fill(self) -> None:
        if self.collapsibleText:
            teaser = self.collapsibleText.partition("\n")[0] + " " + self.showDetailsText
            self.setHtml(teaser if self.collapsed else self.collapsibleText + " " + self.hideDetailsText)


class ctkSearchBox(QtWidgets.QLineEdit):
    """A line to search in."""

    showSearchIcon, setShowSearchIcon = stored(bool, "showSearchIcon", False)


class ctkColorPickerButton(QtWidgets.QPushButton):
    """A button that holds a colour."""

    colorChanged = QtCore.pyqtSignal(QtGui.QColor)
    displayColorName, setDisplayColorName = stored(bool, "displayColorName", True)
    color, setColor = stored(QtGui.QColor, "color", QtGui.QColor(0, 0, 0), "_changed")

    def _changed(self) -> None:
        self.colorChanged.emit(self.color)
