"""Dialogs: answered from the queue, by pressing their buttons; one that nobody expected is an error."""

from __future__ import annotations

import pytest


def test_a_message_is_answered_by_its_button(slicer_host):
    import slicer

    slicer_host.dialogs.answer("Yes", text="Remove")
    assert slicer.util.confirmYesNoDisplay("Remove all?") is True
    slicer_host.dialogs.answer("No")
    assert slicer.util.confirmYesNoDisplay("Remove all?") is False
    slicer_host.dialogs.answer("OK")
    slicer.util.errorDisplay("It failed", detailedText="why")
    assert [entry.text for entry in slicer_host.dialogs.shown] == ["Remove all?", "Remove all?", "It failed"]
    assert slicer_host.dialogs.last.title == "Slicer error"


def test_static_messages(slicer_host):
    import qt

    slicer_host.dialogs.answer(qt.QMessageBox.Yes)
    assert qt.QMessageBox.question(None, "Title", "Sure?") == qt.QMessageBox.Yes
    slicer_host.dialogs.answer("Retry")
    buttons = qt.QMessageBox.Retry | qt.QMessageBox.Abort
    assert qt.QMessageBox.warning(None, "Title", "Again?", buttons) == qt.QMessageBox.Retry


def test_buttons_of_ones_own(slicer_host):
    import ctk
    import qt

    box = ctk.ctkMessageBox()
    box.text = "How?"
    fast = box.addButton("Fast", qt.QMessageBox.AcceptRole)
    box.addButton("Full", qt.QMessageBox.RejectRole)
    box.deleteLater()
    slicer_host.dialogs.answer("Fast")
    box.exec_()
    assert box.clickedButton() is fast


def test_an_unexpected_message_is_an_error_and_is_cancelled(slicer_host):
    import slicer

    assert slicer.util.confirmOkCancelDisplay("Go on?") is False
    assert "unexpected message" in str(slicer_host.errors.take()[0])


def test_a_message_that_says_something_else_is_an_error(slicer_host):
    import slicer

    slicer_host.dialogs.answer("OK", text="memory")
    slicer.util.errorDisplay("The disk is full")
    assert "does not say 'memory'" in str(slicer_host.errors.take()[0])


def test_a_button_that_is_not_there_is_an_error(slicer_host):
    import slicer

    slicer_host.dialogs.answer("Maybe")
    slicer.util.confirmYesNoDisplay("Go on?")
    assert "has no button 'Maybe'" in str(slicer_host.errors.take()[0])


def test_file_dialogs_return_one_value(slicer_host):
    import qt

    slicer_host.dialogs.answer("/data/scan.nii.gz")
    assert qt.QFileDialog.getOpenFileName(None, "Open", "", "NIfTI (*.nii.gz)") == "/data/scan.nii.gz"
    slicer_host.dialogs.answer(["/a", "/b"])
    assert qt.QFileDialog.getOpenFileNames(None, "Open") == ["/a", "/b"]
    slicer_host.dialogs.answer("")
    assert qt.QFileDialog.getExistingDirectory(None, "Folder") == ""
    assert [entry.kind for entry in slicer_host.dialogs.shown] == ["file"] * 3


def test_an_unexpected_file_dialog_is_an_error(slicer_host):
    import qt

    assert qt.QFileDialog.getOpenFileName(None, "Open") == ""
    assert "unexpected file" in str(slicer_host.errors.take()[0])


def test_input_dialogs(slicer_host):
    import qt

    ok = qt.BoolResult()
    slicer_host.dialogs.answer("liver")
    assert qt.QInputDialog.getText(None, "Name", "New name:", qt.QLineEdit.Normal, "", ok) == "liver"
    assert ok
    slicer_host.dialogs.answer(None)
    assert qt.QInputDialog.getText(None, "Name", "New name:", qt.QLineEdit.Normal, "", ok) == ""
    assert not ok


def test_pages_are_not_opened_but_recorded(slicer_host):
    import qt

    qt.QDesktopServices.openUrl(qt.QUrl("https://example.org/page"))
    assert (slicer_host.dialogs.last.kind, slicer_host.dialogs.last.text) == ("url", "https://example.org/page")


def test_a_menu_is_answered_by_the_text_of_an_action(slicer_host):
    import qt

    menu, called = qt.QMenu("Menu"), []
    action = menu.addAction("Copy")
    action.connect("triggered()", lambda: called.append("copy"))
    slicer_host.dialogs.answer("Copy")
    assert menu.exec_(qt.QPoint(0, 0)) is action
    assert called == ["copy"]


def test_a_popup_that_closes_by_itself_needs_no_answer(slicer_host):
    import slicer

    slicer.util.delayDisplay("Working", 450)
    assert slicer_host.dialogs.last.text == "Working"


def test_progress_dialog(slicer_host):
    import slicer

    progress = slicer.util.createProgressDialog(labelText="Loading", maximum=10, autoClose=False)
    progress.value = 5
    progress.labelText = "Half"
    assert (progress.value, progress.maximum, progress.labelText) == (5, 10, "Half")
    progress.close()


@pytest.fixture
def notes(slicer_host, modules_folder):
    yield slicer_host.load_module(modules_folder / "DialogNotes" / "DialogNotes.py").widget
    slicer_host.unload_module("DialogNotes")


def test_a_dialog_class_of_a_module(slicer_host, notes):
    def write(dialog):
        assert dialog.windowTitle == "Note"
        assert dialog.sizeHint().width() == 321
        slicer_host.type_text(dialog.edit, "kidney")
        return "accept"

    def write_nothing(dialog):
        import qt

        slicer_host.click(dialog.buttons.button(qt.QDialogButtonBox.Ok))
        assert dialog.visible, "the overridden accept() refuses an empty note"
        return "reject"

    slicer_host.dialogs.answer(write)
    slicer_host.click(notes.addButton)
    assert notes.notes.count == 1
    assert notes.notes.item(0).data(256) == {"length": 6}
    assert notes.lastDialog.keys == 6, "the overridden eventFilter() saw every key"
    slicer_host.dialogs.answer(write_nothing)
    slicer_host.click(notes.addButton)
    assert notes.notes.count == 1
    assert notes.lastDialog.refusals == 1


def test_items_that_can_be_checked(slicer_host, notes):
    import qt

    item = qt.QListWidgetItem("one")
    item.setCheckState(qt.Qt.Unchecked)
    notes.notes.addItem(item)
    item.setCheckState(qt.Qt.Checked)
    assert notes.changed == [("one", True)]


def test_files_and_errors_of_a_module(slicer_host, notes, tmp_path):
    notes.notes.addItem("première")
    slicer_host.dialogs.answer(str(tmp_path / "notes.txt"))
    slicer_host.click(notes.saveButton)
    assert (tmp_path / "notes.txt").read_text(encoding="utf-8") == "première\n"
    slicer_host.dialogs.answer(str(tmp_path))
    slicer_host.dialogs.answer("OK", text="Could not save")
    slicer_host.click(notes.saveButton)
    slicer_host.dialogs.answer("Yes", text="Remove all notes?")
    slicer_host.click(notes.clearButton)
    assert notes.notes.count == 0
