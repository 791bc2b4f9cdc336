"""Files and folders: ctkPathLineEdit and ctkDirectoryButton."""

from __future__ import annotations

import re
from pathlib import Path

from PyQt5 import QtCore, QtWidgets

from ..dialogs import dialogs
from .base import computed, stored


class ctkPathLineEdit(QtWidgets.QWidget):
    """A line with the path of a file or folder, a history and a button that opens a file dialog."""

    Dirs, Files, Drives, NoSymLinks, AllEntries, TypeMask = 0x001, 0x002, 0x004, 0x008, 0x007, 0x00F
    Readable, Writable, Executable, PermissionMask = 0x010, 0x020, 0x040, 0x070
    Modified, Hidden, System, AccessMask, AllDirs, CaseSensitive = 0x080, 0x100, 0x200, 0x3F0, 0x400, 0x800
    NoDot, NoDotDot, NoDotAndDotDot, NoFilter = 0x2000, 0x4000, 0x6000, -1
    ShowDirsOnly, DontResolveSymlinks, DontConfirmOverwrite, DontUseSheet = 1, 2, 4, 8
    DontUseNativeDialog, ReadOnly, HideNameFilterDetails = 16, 32, 64
    AdjustToContents, AdjustToContentsOnFirstShow, AdjustToMinimumContentsLength = 0, 1, 2

    currentPathChanged = QtCore.pyqtSignal(str)
    validInputChanged = QtCore.pyqtSignal(bool)

    label, setLabel = stored(str, "label", "")
    filters, setFilters = stored(int, "filters", AllEntries | NoDotAndDotDot | Readable | Executable)
    options, setOptions = stored(int, "options", 0)
    settingKey, setSettingKey = stored(str, "settingKey", "", "retrieveHistory")
    showBrowseButton, setShowBrowseButton = stored(bool, "showBrowseButton", True, "_show")
    showHistoryButton, setShowHistoryButton = stored(bool, "showHistoryButton", True, "_show")
    sizeAdjustPolicy, setSizeAdjustPolicy = stored(int, "sizeAdjustPolicy", 1)
    minimumContentsLength, setMinimumContentsLength = stored(int, "minimumContentsLength", 0)
    nameFilters, setNameFilters = stored("QStringList", "nameFilters", [])

    def __init__(self, *args: object) -> None:
        parent = args[-1] if args and isinstance(args[-1], QtWidgets.QWidget) else None
        super().__init__(parent)
        self._combo = QtWidgets.QComboBox(self)
        self._combo.setEditable(True)
        self._combo.setSizePolicy(QtWidgets.QSizePolicy.Expanding, QtWidgets.QSizePolicy.Fixed)
        self._button = QtWidgets.QToolButton(self)
        self._button.setText("...")
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._combo, 1)
        layout.addWidget(self._button)
        self._button.clicked.connect(lambda: self.browse())
        self._combo.editTextChanged.connect(self._edited)
        self._valid = False
        if len(args) >= 2 and isinstance(args[0], str):
            self.setLabel(args[0])
            self.setNameFilters(args[1])
            if len(args) >= 3 and isinstance(args[2], int):
                self.setFilters(args[2])

    def _show(self) -> None:
        self._button.setVisible(self.showBrowseButton)

    def _edited(self, text: str) -> None:
        """As the original: what does not pass its validator, an empty path above all, is not told as a new path."""
        valid = self._acceptable(text)
        before, self._valid = self._valid, valid
        if valid:
            self.currentPathChanged.emit(text)
        if valid != before:
            self.validInputChanged.emit(valid)

    def _acceptable(self, text: str) -> bool:
        """Not empty, and with one of the extensions if there are name filters; nothing has to exist."""
        extensions = re.findall(r"\*\.(\w+)", " ".join(self.nameFilters))
        if not extensions:
            return bool(text)
        return any(re.fullmatch(rf".*\.{extension}?", text) for extension in extensions)

    def setCurrentPath(self, path: str) -> None:
        self._combo.setEditText(path)

    currentPath = computed(str, lambda self: self._combo.currentText(), setCurrentPath)

    def browse(self) -> None:
        """Ask for a path as the original does: a folder, a file to open, or a file to write, by the filters."""
        title = self.label or "Select"
        chosen = dialogs.ask("file", title, self.currentPath, "")
        if chosen:
            self.setCurrentPath(str(chosen))

    def _settings_key(self) -> str:
        return "ctkPathLineEdit/" + (self.settingKey or self.objectName())

    def retrieveHistory(self) -> None:
        history = QtCore.QSettings().value(self._settings_key(), []) or []
        current = self.currentPath
        with QtCore.QSignalBlocker(self._combo):
            self._combo.clear()
            self._combo.addItems([history] if isinstance(history, str) else list(history))
            self._combo.setEditText(current)
        if not current and self._combo.count():
            self.setCurrentPath(self._combo.itemText(0))

    def addCurrentPathToHistory(self) -> None:
        paths = [self.currentPath, *(self._combo.itemText(i) for i in range(self._combo.count()))]
        QtCore.QSettings().setValue(self._settings_key(), list(dict.fromkeys(p for p in paths if p))[:5])
        current = self.currentPath
        self.retrieveHistory()
        self.setCurrentPath(current)

    def setCurrentFileExtension(self, extension: str) -> None:
        self.setCurrentPath(str(Path(self.currentPath).with_suffix(extension)))

    def comboBox(self) -> QtWidgets.QComboBox:
        return self._combo


class ctkDirectoryButton(QtWidgets.QWidget):
    """A button that shows a folder and opens a dialog to choose another."""

    ShowDirsOnly, DontResolveSymlinks, DontConfirmOverwrite, DontUseSheet = 1, 2, 4, 8
    DontUseNativeDialog, ReadOnly, HideNameFilterDetails = 16, 32, 64

    directoryChanged = QtCore.pyqtSignal(str)
    directorySelected = QtCore.pyqtSignal(str)

    caption, setCaption = stored(str, "caption", "")
    text, setText = stored(str, "text", "", "_show")
    acceptMode, setAcceptMode = stored(int, "acceptMode", 0)
    elideMode, setElideMode = stored(int, "elideMode", 2)
    options, setOptions = stored(int, "options", 1)

    def __init__(self, *args: object) -> None:
        super().__init__(args[-1] if args and isinstance(args[-1], QtWidgets.QWidget) else None)
        self._button = QtWidgets.QPushButton(self)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._button)
        self._button.clicked.connect(lambda: self.browse())
        self._directory = str(Path(args[0] if args and isinstance(args[0], str) else ".").absolute())
        self._show()

    def _show(self) -> None:
        self._button.setText(self.text or self._directory)

    def setDirectory(self, path: str) -> None:
        new = str(Path(path or ".").absolute())
        changed = new != self._directory
        self._directory = new
        self._show()
        self.directorySelected.emit(new)
        if changed:
            self.directoryChanged.emit(new)

    directory = computed(str, lambda self: self._directory, setDirectory)

    def setIcon(self, icon: object) -> None:
        self._button.setIcon(icon)

    def browse(self) -> str:
        chosen = dialogs.ask("file", self.caption or self.toolTip(), self._directory, "")
        if chosen:
            self.setDirectory(str(chosen))
        return str(chosen)
