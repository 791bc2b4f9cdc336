"""Several numbers in a row: ctkCoordinatesWidget."""

from __future__ import annotations

from PyQt5 import QtWidgets

from .base import computed


class ctkCoordinatesWidget(QtWidgets.QWidget):
    """Coordinates, three unless told otherwise; as a text they are separated by commas."""

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._boxes: list[QtWidgets.QDoubleSpinBox] = []
        self._low, self._high = -1e5, 1e5
        self.setDimension(3)

    def setDimension(self, count: int) -> None:
        while len(self._boxes) > count:
            self._boxes.pop().deleteLater()
        while len(self._boxes) < count:
            box = QtWidgets.QDoubleSpinBox(self)
            box.setRange(self._low, self._high)
            self.layout().addWidget(box)
            self._boxes.append(box)

    def setCoordinates(self, text: str | float, *others: float) -> None:
        values = [float(part) for part in text.split(",")] if isinstance(text, str) else [text, *others]
        for box, value in zip(self._boxes, values):
            box.setValue(value)

    def _text(self) -> str:
        return ",".join(f"{box.value():g}" for box in self._boxes)

    def setMinimum(self, value: float) -> None:
        self._low = value
        for box in self._boxes:
            box.setMinimum(value)

    def setMaximum(self, value: float) -> None:
        self._high = value
        for box in self._boxes:
            box.setMaximum(value)

    def setDecimals(self, decimals: int) -> None:
        for box in self._boxes:
            box.setDecimals(decimals)

    def setSingleStep(self, step: float) -> None:
        for box in self._boxes:
            box.setSingleStep(step)

    dimension = computed(int, lambda self: len(self._boxes), setDimension)
    coordinates = computed(str, _text, setCoordinates)
    minimum = computed(float, lambda self: self._low, setMinimum)
    maximum = computed(float, lambda self: self._high, setMaximum)
    decimals = computed(int, lambda self: self._boxes[0].decimals(), setDecimals)
    singleStep = computed(float, lambda self: self._boxes[0].singleStep(), setSingleStep)
