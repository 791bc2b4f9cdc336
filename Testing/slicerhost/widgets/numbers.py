"""One number: ctkDoubleSpinBox, ctkDoubleSlider, ctkSliderWidget and their MRML kin."""

from __future__ import annotations

import math
from collections.abc import Callable

from PyQt5 import QtCore, QtWidgets

from .base import computed, stored


class ctkDoubleSpinBox(QtWidgets.QDoubleSpinBox):
    """A spin box; in CTK it is a widget of its own with the same properties."""

    SetIfDifferent, SetAlways = 0, 1
    FixedDecimals, DecimalsByKey, DecimalsByShortcuts, ReplaceDecimals = 0, 1, 2, 4

    setMode, setSetMode = stored(int, "setMode", 0)
    decimalsOption, setDecimalsOption = stored(int, "decimalsOption", 0)
    invertedControls, setInvertedControls = stored(bool, "invertedControls", False)


class ctkDoubleSlider(QtWidgets.QWidget):
    """A slider for real numbers: it moves in steps, a script may set any value between."""

    valueChanged = QtCore.pyqtSignal(float)
    sliderMoved = QtCore.pyqtSignal(float)
    rangeChanged = QtCore.pyqtSignal(float, float)
    sliderPressed = QtCore.pyqtSignal()
    sliderReleased = QtCore.pyqtSignal()

    handleToolTip, setHandleToolTip = stored(str, "handleToolTip", "")
    singleStep, setSingleStep = stored(float, "singleStep", 1.0, "_step")
    pageStep, setPageStep = stored(float, "pageStep", 10.0)
    tickInterval, setTickInterval = stored(float, "tickInterval", 0.0)
    tickPosition, setTickPosition = stored(int, "tickPosition", 0)

    def __init__(self, *args: object) -> None:
        super().__init__(args[-1] if args and isinstance(args[-1], QtWidgets.QWidget) else None)
        self._slider = QtWidgets.QSlider(QtCore.Qt.Vertical, self)
        self._ends = (0.0, 99.0)
        self._value, self._rest = 0.0, 0.0  # the value, and what of it is no whole number of steps
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider)
        self._slider.valueChanged.connect(lambda position: self._change(self._at(position)))
        self._slider.sliderMoved.connect(lambda position: self.sliderMoved.emit(self._at(position)))
        self._slider.sliderPressed.connect(self.sliderPressed.emit)
        self._slider.sliderReleased.connect(self.sliderReleased.emit)
        if args and isinstance(args[0], int):
            self.setOrientation(args[0])
        self._show()

    def _steps(self, value: float) -> int:
        """The position of the slider for a value: whole steps from zero."""
        return math.floor(max(-2e9, min(2e9, value / self.singleStep)) + 0.5)

    def _at(self, position: int) -> float:
        return self._within(self.singleStep * (self._rest + position))

    def _within(self, value: float) -> float:
        return max(self._ends[0], min(self._ends[1], value))

    def _change(self, value: float) -> None:
        changed = abs(value - self._value) > self.singleStep * 1e-9
        self._value = value
        self._show()
        if changed:
            self.valueChanged.emit(value)

    def _show(self) -> None:
        with QtCore.QSignalBlocker(self._slider):
            self._slider.setRange(self._steps(self._ends[0]), self._steps(self._ends[1]))
            self._slider.setValue(self._steps(self._value))

    def _step(self) -> None:
        self._rest = self._value / self.singleStep - self._steps(self._value)
        self._show()

    def setValue(self, value: float) -> None:
        """Set the value, not rounded to steps, but with the rounding errors of the original."""
        if math.isfinite(value):
            value = self._within(value)
            before, position = self._slider.value(), self._steps(value)
            self._rest = value / self.singleStep - position
            self._change(value if position == before else self._at(position))

    def setRange(self, low: float, high: float) -> None:
        self._ends = (low, high)
        self.rangeChanged.emit(low, high)
        self.setValue(self._value)

    def setMinimum(self, low: float) -> None:
        self.setRange(low, max(low, self._ends[1]))

    def setMaximum(self, high: float) -> None:
        self.setRange(min(self._ends[0], high), high)

    def setOrientation(self, orientation: int) -> None:
        self._slider.setOrientation(QtCore.Qt.Orientation(orientation))

    value = computed(float, lambda self: self._value, setValue)
    minimum = computed(float, lambda self: self._ends[0], setMinimum)
    maximum = computed(float, lambda self: self._ends[1], setMaximum)
    orientation = computed(int, lambda self: int(self._slider.orientation()), setOrientation)
    sliderPosition = computed(
        float,
        lambda self: self._at(self._slider.sliderPosition()),
        lambda self, value: self._slider.setSliderPosition(self._steps(value)),
    )
    tracking = computed(
        bool, lambda self: self._slider.hasTracking(), lambda self, follows: self._slider.setTracking(follows)
    )


class ctkSliderWidget(QtWidgets.QWidget):
    """A slider and a spin box that show one number; decimals are for the display."""

    valueChanged = QtCore.pyqtSignal(float)
    valueIsChanging = QtCore.pyqtSignal(float)
    decimalsChanged = QtCore.pyqtSignal(int)

    prefix, setPrefix = stored(str, "prefix", "", "_show")
    suffix, setSuffix = stored(str, "suffix", "", "_show")
    tickInterval, setTickInterval = stored(float, "tickInterval", 0.0)
    tickPosition, setTickPosition = stored(int, "tickPosition", 0)
    spinBoxAlignment, setSpinBoxAlignment = stored(int, "spinBoxAlignment", 2)
    tracking, setTracking = stored(bool, "tracking", True)
    popupSlider, setPopupSlider = stored(bool, "popupSlider", False)
    pageStep, setPageStep = stored(float, "pageStep", 10.0)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._slider = ctkDoubleSlider(QtCore.Qt.Horizontal, self)
        self._spin = QtWidgets.QDoubleSpinBox(self)
        self._spin.setRange(0, 99)
        self._before: float | None = None  # the value while a slider without tracking is held
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider, 1)
        layout.addWidget(self._spin)
        self._slider.valueChanged.connect(self._slid)
        self._slider.sliderPressed.connect(self._pressed)
        self._slider.sliderReleased.connect(self._released)
        self._spin.valueChanged.connect(self.setValue)

    def _slid(self, value: float) -> None:
        self._show()
        if not self.tracking:
            self.valueIsChanging.emit(value)
        if self._before is None:
            self.valueChanged.emit(value)

    def _pressed(self) -> None:
        self._before = None if self.tracking else self._slider.value

    def _released(self) -> None:
        before, self._before = self._before, None
        if before is not None and before != self._slider.value:
            self.valueChanged.emit(self._slider.value)

    def _show(self) -> None:
        with QtCore.QSignalBlocker(self._spin):
            self._spin.setPrefix(self.prefix)
            self._spin.setSuffix(self.suffix)
            self._spin.setValue(self._slider.value)

    def setValue(self, value: float) -> None:
        self._slider.setValue(value)

    def setMinimum(self, value: float) -> None:
        self._limit(self._spin.setMinimum, value)

    def setMaximum(self, value: float) -> None:
        self._limit(self._spin.setMaximum, value)

    def _limit(self, limit: Callable[[float], None], value: float) -> None:
        """The spin box rounds the ends of the range to its decimals; the slider takes them from there."""
        with QtCore.QSignalBlocker(self._spin):
            limit(value)
        self._slider.setRange(self._spin.minimum(), self._spin.maximum())
        self._show()

    def setSingleStep(self, step: float) -> None:
        self._spin.setSingleStep(step)
        self._slider.setSingleStep(step)

    def setDecimals(self, decimals: int) -> None:
        with QtCore.QSignalBlocker(self._spin):
            self._spin.setDecimals(decimals)
        self._slider.setRange(self._spin.minimum(), self._spin.maximum())
        self._show()
        self.decimalsChanged.emit(decimals)

    def setSpinBoxVisible(self, visible: bool) -> None:
        self._spin.setVisible(visible)

    def reset(self) -> None:
        self.setValue(0.0)

    value = computed(float, lambda self: self._slider.value if self._before is None else self._before, setValue)
    minimum = computed(float, lambda self: self._slider.minimum, setMinimum)
    maximum = computed(float, lambda self: self._slider.maximum, setMaximum)
    singleStep = computed(float, lambda self: self._slider.singleStep, setSingleStep)
    decimals = computed(int, lambda self: self._spin.decimals(), setDecimals)
    spinBoxVisible = computed(bool, lambda self: not self._spin.isHidden(), setSpinBoxVisible)


class qMRMLSliderWidget(ctkSliderWidget):
    """A slider widget that can follow the units of a scene."""

    vtk_signals = ("mrmlSceneChanged(vtkMRMLScene*)",)
    vtk_slots = ("setMRMLScene(vtkMRMLScene*)",)
    mrmlSceneChanged = QtCore.pyqtSignal(object)

    quantity, setQuantity = stored(str, "quantity", "")
    unitAwareProperties, setUnitAwareProperties = stored(int, "unitAwareProperties", 0)
    _scene = None

    def mrmlScene(self) -> object:
        return self._scene

    def setMRMLScene(self, scene: object) -> None:
        self._scene = scene
        self.mrmlSceneChanged.emit(scene)


class qMRMLSpinBox(ctkDoubleSpinBox):
    """A spin box that can follow the units of a scene."""

    vtk_slots = ("setMRMLScene(vtkMRMLScene*)",)
    quantity, setQuantity = stored(str, "quantity", "")
    _scene = None

    def mrmlScene(self) -> object:
        return self._scene

    def setMRMLScene(self, scene: object) -> None:
        self._scene = scene
