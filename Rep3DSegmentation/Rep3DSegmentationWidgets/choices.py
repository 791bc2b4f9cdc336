"""Filling combo boxes: items are only replaced when they changed, so that an open list does not close."""

from __future__ import annotations

from typing import Any

import qt


class ChoiceList:
    """Items of a QComboBox as (text, value); values are text. A text that is too long is cut in its middle."""

    def __init__(self, combo: Any):
        self.combo = combo
        self._items: list[tuple[str, str]] | None = None
        combo.view().setTextElideMode(qt.Qt.ElideMiddle)

    def show(self, items: list[tuple[str, str]], current: str) -> None:
        """Offer ``items`` as (text, value) and select the one whose value is ``current``."""
        if items != self._items:
            self.combo.clear()
            for index, (text, value) in enumerate(items):
                self.combo.addItem(text, value)
                self.combo.setItemData(index, text, qt.Qt.ToolTipRole)
            self._items = list(items)
        index = next((i for i, (_, value) in enumerate(items) if value == current), -1)
        if index != self.combo.currentIndex:
            self.combo.setCurrentIndex(index)

    def value(self) -> str | None:
        """The selected value, None if nothing is selected."""
        index = self.combo.currentIndex
        return None if self._items is None or index < 0 else self._items[index][1]
