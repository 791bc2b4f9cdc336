"""Two numbers: ctkRangeWidget, ctkDoubleRangeSlider and their MRML kin."""

from __future__ import annotations

from PyQt5 import QtCore, QtWidgets

from .base import computed, stored


class ctkRangeWidget(QtWidgets.QWidget):
    """Two numbers, the lower and the upper end of a range."""

    valuesChanged = QtCore.pyqtSignal(float, float)
    minimumValueChanged = QtCore.pyqtSignal(float)
    maximumValueChanged = QtCore.pyqtSignal(float)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._low, self._high = QtWidgets.QDoubleSpinBox(self), QtWidgets.QDoubleSpinBox(self)
        for box in (self._low, self._high):
            layout.addWidget(box)
        self._high.setValue(99)
        self._low.valueChanged.connect(self._changed_low)
        self._high.valueChanged.connect(self._changed_high)

    def _changed_low(self, value: float) -> None:
        self._high.setValue(max(value, self._high.value()))
        self.minimumValueChanged.emit(value)
        self.valuesChanged.emit(value, self._high.value())

    def _changed_high(self, value: float) -> None:
        self._low.setValue(min(value, self._low.value()))
        self.maximumValueChanged.emit(value)
        self.valuesChanged.emit(self._low.value(), value)

    def setMinimum(self, value: float) -> None:
        self.setRange(value, self.maximum)

    def setMaximum(self, value: float) -> None:
        self.setRange(self.minimum, value)

    def setRange(self, low: float, high: float) -> None:
        self._low.setRange(low, high)
        self._high.setRange(low, high)

    def setMinimumValue(self, value: float) -> None:
        self._low.setValue(value)

    def setMaximumValue(self, value: float) -> None:
        self._high.setValue(value)

    def setValues(self, low: float, high: float) -> None:
        self._low.setValue(low)
        self._high.setValue(high)

    def setSingleStep(self, step: float) -> None:
        self._low.setSingleStep(step)
        self._high.setSingleStep(step)

    def setDecimals(self, decimals: int) -> None:
        self._low.setDecimals(decimals)
        self._high.setDecimals(decimals)

    minimum = computed(float, lambda self: self._low.minimum(), setMinimum)
    maximum = computed(float, lambda self: self._low.maximum(), setMaximum)
    minimumValue = computed(float, lambda self: self._low.value(), setMinimumValue)
    maximumValue = computed(float, lambda self: self._high.value(), setMaximumValue)
    singleStep = computed(float, lambda self: self._low.singleStep(), setSingleStep)
    decimals = computed(int, lambda self: self._low.decimals(), setDecimals)


class qMRMLRangeWidget(ctkRangeWidget):
    """A range widget that can follow the units of a scene."""

    vtk_slots = ("setMRMLScene(vtkMRMLScene*)",)
    quantity, setQuantity = stored(str, "quantity", "")
    _scene = None

    def setMRMLScene(self, scene: object) -> None:
        self._scene = scene

    mrmlScene = computed("PyQt_PyObject", lambda self: self._scene, setMRMLScene)


class ctkDoubleRangeSlider(QtWidgets.QWidget):
    """A slider with two handles; here two sliders, which hold what lies between ends that a script sets."""

    valuesChanged = QtCore.pyqtSignal(float, float)
    minimumValueChanged = QtCore.pyqtSignal(float)
    maximumValueChanged = QtCore.pyqtSignal(float)
    positionsChanged = QtCore.pyqtSignal(float, float)
    minimumPositionChanged = QtCore.pyqtSignal(float)
    maximumPositionChanged = QtCore.pyqtSignal(float)
    rangeChanged = QtCore.pyqtSignal(float, float)
    sliderPressed = QtCore.pyqtSignal()
    sliderReleased = QtCore.pyqtSignal()

    orientation, setOrientation = stored(int, "orientation", 1, "_orient")
    singleStep, setSingleStep = stored(float, "singleStep", 1.0)
    symmetricMoves, setSymmetricMoves = stored(bool, "symmetricMoves", False)
    tickInterval, setTickInterval = stored(float, "tickInterval", 0.0)
    tickPosition, setTickPosition = stored(int, "tickPosition", 0)
    tracking, setTracking = stored(bool, "tracking", True)

    def __init__(self, *args: object) -> None:
        super().__init__(args[-1] if args and isinstance(args[-1], QtWidgets.QWidget) else None)
        self._ends, self._values = (0.0, 99.0), (0.0, 99.0)
        self._sliders = tuple(QtWidgets.QSlider(QtCore.Qt.Horizontal, self) for _handle in range(2))
        box = QtWidgets.QBoxLayout(QtWidgets.QBoxLayout.TopToBottom, self)
        box.setContentsMargins(0, 0, 0, 0)
        for slider in self._sliders:
            slider.valueChanged.connect(lambda _position: self._slid())
            slider.sliderPressed.connect(self.sliderPressed.emit)
            slider.sliderReleased.connect(self.sliderReleased.emit)
            box.addWidget(slider)
        if args and isinstance(args[0], int):
            self.setOrientation(args[0])
        self._show()

    def _orient(self) -> None:
        for slider in self._sliders:
            slider.setOrientation(QtCore.Qt.Orientation(self.orientation))

    def _show(self) -> None:
        for slider, value in zip(self._sliders, self._values):
            with QtCore.QSignalBlocker(slider):
                slider.setRange(*(round(end / self.singleStep) for end in self._ends))
                slider.setValue(round(value / self.singleStep))

    def _slid(self) -> None:
        self.setValues(*(slider.value() * self.singleStep for slider in self._sliders))

    def setValues(self, low: float, high: float) -> None:
        """Set both; they are brought into order and into the range."""
        before, (first, last) = self._values, self._ends
        self._values = tuple(max(first, min(last, value)) for value in sorted((low, high)))
        self._show()
        if self._values == before:
            return
        for old, new, name in zip(before, self._values, ("minimum", "maximum")):
            if old != new:
                getattr(self, f"{name}ValueChanged").emit(new)
                getattr(self, f"{name}PositionChanged").emit(new)
        self.valuesChanged.emit(*self._values)
        self.positionsChanged.emit(*self._values)

    def setMinimumValue(self, value: float) -> None:
        self.setValues(value, max(value, self._values[1]))

    def setMaximumValue(self, value: float) -> None:
        self.setValues(min(value, self._values[0]), value)

    def setRange(self, low: float, high: float) -> None:
        self._ends = (low, max(low, high))
        self.rangeChanged.emit(*self._ends)
        self.setValues(*self._values)

    minimum = computed(float, lambda self: self._ends[0], lambda self, end: self.setRange(end, self._ends[1]))
    maximum = computed(float, lambda self: self._ends[1], lambda self, end: self.setRange(min(end, self._ends[0]), end))
    minimumValue = computed(float, lambda self: self._values[0], setMinimumValue)
    maximumValue = computed(float, lambda self: self._values[1], setMaximumValue)
    minimumPosition = computed(float, lambda self: self._values[0], setMinimumValue)
    maximumPosition = computed(float, lambda self: self._values[1], setMaximumValue)
