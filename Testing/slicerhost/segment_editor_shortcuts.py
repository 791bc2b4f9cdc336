"""The keyboard shortcuts that an editor installs while its module is shown."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from PyQt5 import QtCore, QtGui, QtWidgets


class Shortcuts:
    """1-9, 0 and Shift with them: effects; Escape: none; Space: last; Z, Y: undo, redo; Q, W: segments; I: range."""

    def __init__(self, editor: Any) -> None:
        self._editor = weakref.ref(editor)
        self._held: list[QtWidgets.QShortcut] = []

    def install(self, parent: QtWidgets.QWidget) -> None:
        self.remove()
        for index in range(1, 11):
            self._add(parent, str(index % 10), lambda editor, i=index: _toggle(editor, i))
            self._add(parent, f"Shift+{index % 10}", lambda editor, i=index + 10: _toggle(editor, i))
        self._add(parent, "Esc", lambda editor: editor.setActiveEffect(None))
        self._add(parent, "Space", lambda editor: editor.setActiveEffect(editor._effects.last))
        for key in ("Z", "Ctrl+Z"):
            self._add(parent, key, lambda editor: editor.undo())
        for key in ("Y", "Ctrl+Shift+Z"):
            self._add(parent, key, lambda editor: editor.redo())
        for previous, following in (("Q", "W"), ("/", "*"), (",", "."), (">", "<")):
            self._add(parent, previous, lambda editor: editor.selectPreviousSegment())
            self._add(parent, following, lambda editor: editor.selectNextSegment())
        self._add(parent, "I", lambda editor: editor.toggleSourceVolumeIntensityMaskEnabled())

    def _add(self, parent: QtWidgets.QWidget, key: str, action: Callable[[Any], None]) -> None:
        def act() -> None:
            editor = self._editor()
            if editor is not None and not editor.readOnly:
                action(editor)

        shortcut = QtWidgets.QShortcut(QtGui.QKeySequence(key), parent)
        shortcut.setContext(QtCore.Qt.WindowShortcut)
        shortcut.activated.connect(act)
        self._held.append(shortcut)

    def remove(self) -> None:
        for shortcut in self._held:
            shortcut.setParent(None)
            shortcut.deleteLater()
        self._held.clear()


def _toggle(editor: Any, index: int) -> None:
    effect = editor.effectByIndex(index)
    editor.setActiveEffect(None if effect is editor.activeEffect() else effect)
