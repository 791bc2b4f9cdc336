"""Numbers: ctkDoubleSpinBox, ctkSliderWidget, ctkRangeWidget and their MRML kin."""

from __future__ import annotations

import math

from PyQt5 import QtCore, QtWidgets

from .base import computed, stored

_STEPS = 10000


class ctkDoubleSpinBox(QtWidgets.QDoubleSpinBox):
    """A spin box; in CTK it is a widget of its own with the same properties."""

    SetIfDifferent, SetAlways = 0, 1
    FixedDecimals, DecimalsByKey, DecimalsByShortcuts, ReplaceDecimals = 0, 1, 2, 4

    setMode, setSetMode = stored(int, "setMode", 0)
    decimalsOption, setDecimalsOption = stored(int, "decimalsOption", 0)
    invertedControls, setInvertedControls = stored(bool, "invertedControls", False)


class ctkSliderWidget(QtWidgets.QWidget):
    """A slider and a spin box that show one number."""

    valueChanged = QtCore.pyqtSignal(float)
    valueIsChanging = QtCore.pyqtSignal(float)

    prefix, setPrefix = stored(str, "prefix", "", "_show")
    suffix, setSuffix = stored(str, "suffix", "", "_show")
    tickInterval, setTickInterval = stored(float, "tickInterval", 0.0)
    tickPosition, setTickPosition = stored(int, "tickPosition", 0)
    autoSpinBoxWidth, setAutoSpinBoxWidth = stored(bool, "autoSpinBoxWidth", True)
    spinBoxAlignment, setSpinBoxAlignment = stored(int, "spinBoxAlignment", 2)
    tracking, setTracking = stored(bool, "tracking", True)
    popupSlider, setPopupSlider = stored(bool, "popupSlider", False)
    pageStep, setPageStep = stored(float, "pageStep", 10.0)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._slider = QtWidgets.QSlider(QtCore.Qt.Horizontal, self)
        self._spin = QtWidgets.QDoubleSpinBox(self)
        self._spin.setRange(0, 99)
        self._slider.setRange(0, _STEPS)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider, 1)
        layout.addWidget(self._spin)
        self._slider.valueChanged.connect(self._slid)
        self._slider.sliderReleased.connect(self._released)
        self._spin.valueChanged.connect(self._spun)
        self._show()

    def _slid(self, position: int) -> None:
        low, high = self._spin.minimum(), self._spin.maximum()
        value = low + (high - low) * position / _STEPS
        if self.singleStep > 0:
            value = min(high, low + round((value - low) / self.singleStep) * self.singleStep)
        if self._slider.isSliderDown() and not self.tracking:
            self.valueIsChanging.emit(value)
        else:
            self._spin.setValue(value)

    def _released(self) -> None:
        self._slid(self._slider.value())

    def _spun(self, value: float) -> None:
        self._show()
        self.valueChanged.emit(value)

    def _show(self) -> None:
        self._spin.setPrefix(self.prefix)
        self._spin.setSuffix(self.suffix)
        span = self._spin.maximum() - self._spin.minimum()
        with QtCore.QSignalBlocker(self._slider):
            position = (self._spin.value() - self._spin.minimum()) / span if span > 0 else 0
            self._slider.setValue(round(position * _STEPS))

    def setValue(self, value: float) -> None:
        if math.isfinite(value):
            self._spin.setValue(value)

    def setMinimum(self, value: float) -> None:
        self._spin.setMinimum(value)
        self._show()

    def setMaximum(self, value: float) -> None:
        self._spin.setMaximum(value)
        self._show()

    def setRange(self, low: float, high: float) -> None:
        self._spin.setRange(low, high)
        self._show()

    def setSingleStep(self, step: float) -> None:
        self._spin.setSingleStep(step)

    def setDecimals(self, decimals: int) -> None:
        self._spin.setDecimals(decimals)

    def setSpinBoxVisible(self, visible: bool) -> None:
        self._spin.setVisible(visible)

    def reset(self) -> None:
        self.setValue(0.0)

    def spinBox(self) -> QtWidgets.QDoubleSpinBox:
        return self._spin

    def slider(self) -> QtWidgets.QSlider:
        return self._slider

    value = computed(float, lambda self: self._spin.value(), setValue)
    minimum = computed(float, lambda self: self._spin.minimum(), setMinimum)
    maximum = computed(float, lambda self: self._spin.maximum(), setMaximum)
    singleStep = computed(float, lambda self: self._spin.singleStep(), setSingleStep)
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

    def mrmlScene(self) -> object:
        return self._scene

    def setMRMLScene(self, scene: object) -> None:
        self._scene = scene
