"""Tool tips as Slicer's main window keeps them: a plain one becomes rich text, so that it is wrapped at words."""

from __future__ import annotations

from typing import Any

from PyQt5 import QtCore, QtWidgets


def word_wrap(real: Any) -> None:
    """Turn a widget's plain tool tip into ``<p>...</p>``, as the application's event filter does."""
    if isinstance(real, QtWidgets.QWidget) and real.toolTip() and not QtCore.Qt.mightBeRichText(real.toolTip()):
        real.setToolTip(QtCore.Qt.convertFromPlainText(real.toolTip(), QtCore.Qt.WhiteSpaceNormal))
