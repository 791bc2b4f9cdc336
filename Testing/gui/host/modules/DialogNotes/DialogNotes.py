"""A module whose panel opens a dialog class of its own, a message box and file dialogs."""

import os

import ctk
import qt
import slicer
from slicer.ScriptedLoadableModule import *  # noqa: F403


class DialogNotes(ScriptedLoadableModule):  # noqa: F405
    def __init__(self, parent):
        super().__init__(parent)
        parent.title = "Dialog Notes"


class NoteDialog(qt.QDialog):
    """Asks for a note; refuses to close on an empty one."""

    def __init__(self, text="", parent=None):
        self.refusals = 0
        super().__init__(parent)
        self.setWindowTitle("Note")
        self.setModal(True)
        form = qt.QFormLayout()
        self.edit = qt.QLineEdit(text)
        self.edit.setPlaceholderText("text")
        form.addRow("Note:", self.edit)
        self.buttons = qt.QDialogButtonBox(qt.QDialogButtonBox.Ok | qt.QDialogButtonBox.Cancel)
        self.buttons.connect("accepted()", self.accept)
        self.buttons.connect("rejected()", self, "reject()")
        outer = qt.QVBoxLayout(self)
        outer.addLayout(form)
        outer.addWidget(self.buttons)
        self.edit.installEventFilter(self)
        self.keys = 0

    def accept(self):
        if not self.edit.text.strip():
            self.refusals += 1
            return
        super().accept()

    def eventFilter(self, watched, event):
        if event.type() == qt.QEvent.KeyPress:
            self.keys += 1
        return super().eventFilter(watched, event)

    def sizeHint(self):
        return qt.QSize(321, 123)


class DialogNotesWidget(ScriptedLoadableModuleWidget):  # noqa: F405
    def setup(self):
        super().setup()
        self.notes = qt.QListWidget()
        self.addButton = qt.QPushButton("Add note...")
        self.addButton.objectName = "addButton"
        self.clearButton = qt.QPushButton("Clear")
        self.saveButton = qt.QPushButton("Save...")
        self.dontAsk = ctk.ctkCheckablePushButton()
        for widget in (self.notes, self.addButton, self.clearButton, self.saveButton):
            self.layout.addWidget(widget)
        self.addButton.clicked.connect(self.onAdd)
        self.clearButton.clicked.connect(self.onClear)
        self.saveButton.connect("clicked()", self.onSave)
        self.notes.connect("itemChanged(QListWidgetItem*)", self.onItemChanged)
        self.changed = []
        self.lastDialog = None

    def onAdd(self):
        dialog = NoteDialog("", slicer.util.mainWindow())
        self.lastDialog = dialog
        if dialog.exec_() == qt.QDialog.Accepted:
            item = qt.QListWidgetItem(dialog.edit.text)
            item.setFlags(item.flags() | qt.Qt.ItemIsUserCheckable)
            item.setCheckState(qt.Qt.Unchecked)
            item.setData(qt.Qt.UserRole, {"length": len(dialog.edit.text)})
            self.notes.addItem(item)

    def onItemChanged(self, item):
        self.changed.append((item.text(), item.checkState() == qt.Qt.Checked))

    def onClear(self):
        if slicer.util.confirmYesNoDisplay("Remove all notes?", windowTitle="Notes"):
            self.notes.clear()

    def onSave(self):
        path = qt.QFileDialog.getSaveFileName(self.parent, "Save notes", os.path.expanduser("~"), "Text (*.txt)")
        if not path:
            return
        try:
            with open(path, "w", encoding="utf-8") as file:
                for row in range(self.notes.count):
                    file.write(self.notes.item(row).text() + "\n")
        except OSError as error:
            slicer.util.errorDisplay(f"Could not save: {error}", detailedText=str(error))
