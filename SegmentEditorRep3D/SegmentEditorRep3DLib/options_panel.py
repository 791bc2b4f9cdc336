"""The options of the effect in the Segment Editor's panel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ctk
import qt
from Rep3DSegmentationLib.parameters import Choices
from Rep3DSegmentationWidgets.choices import ChoiceList
from Rep3DSegmentationWidgets.options_panel import device_items, weights_items
from Rep3DSegmentationWidgets.state import Catalog
from slicer.i18n import tr as _

from .catalog import demo_only
from .settings import LOCAL, SMOOTHING_RANGE_MM, THRESHOLD_RANGE, VOLUME, Settings
from .status import ERROR, INFO, WARNING, Progress, Status

COLORS = {INFO: "", WARNING: "color: #b06000;", ERROR: "color: #c02020;"}


class OptionsPanel:
    """Widgets and what they show. ``on_change`` is called with the parameters that the user has set.

    Args:
        effect: the host's side of the effect, into whose frame the widgets go.
        on_change: called as ``on_change(Name=value)``; on_prepare, on_cancel, on_fill: the buttons.
    """

    def __init__(
        self,
        effect: Any,
        on_change: Callable[..., None],
        on_prepare: Callable[[], None],
        on_cancel: Callable[[], None],
        on_fill: Callable[[], None],
    ):
        self._on_change, self._on_prepare, self._on_cancel = on_change, on_prepare, on_cancel
        self._updating = False
        self._preparing = False
        self._connections: list[tuple[Any, str, Callable[..., None]]] = []
        self.task_combo, self.weights_combo = self._combo("Task"), self._combo("Weights")
        self.device_combo, self.mode_combo = self._combo("Device"), self._combo("Mode")
        self._lists = {
            "Task": ChoiceList(self.task_combo),
            "Weights": ChoiceList(self.weights_combo),
            "Device": ChoiceList(self.device_combo),
            "Mode": ChoiceList(self.mode_combo),
        }
        effect.addLabeledOptionsWidget(_("Task:"), self.task_combo)
        effect.addLabeledOptionsWidget(_("Weights:"), self.weights_combo)
        effect.addLabeledOptionsWidget(_("Device:"), self.device_combo)
        effect.addLabeledOptionsWidget(_("Mode:"), self.mode_combo)
        self._add_preparation(effect)
        self._add_shape(effect)
        self.fill_button = self._button("Fill", _("Fill all structures"), on_fill)
        self.fill_button.setToolTip(
            _("Make one segment for each structure of the task that was found. The volume must be prepared.")
        )
        effect.addOptionsWidget(self.fill_button)
        self.status_label = qt.QLabel()
        self.status_label.setObjectName("Rep3DStatus")
        self.status_label.setWordWrap(True)
        self.status_label.setTextFormat(qt.Qt.PlainText)  # names of nodes and segments are no markup
        effect.addOptionsWidget(self.status_label)
        self.caution_label = qt.QLabel(
            _("These weights are for trying the software: what they find must not be relied on.")
        )
        self.caution_label.setObjectName("Rep3DCaution")
        self.caution_label.setWordWrap(True)
        self.caution_label.setStyleSheet(COLORS[WARNING])
        self.caution_label.setVisible(False)
        effect.addOptionsWidget(self.caution_label)
        self.mode_combo.setToolTip(
            _(
                "Whole volume: segmented once, then every click and hover is instant. "
                "Local: only a patch around each click is looked at, without waiting for the whole volume."
            )
        )

    def _add_preparation(self, effect: Any) -> None:
        row = qt.QHBoxLayout()
        self.prepare_button = self._button("Prepare", _("Prepare"), self._on_prepare_button)
        self.progress_bar = qt.QProgressBar()
        self.progress_bar.setObjectName("Rep3DProgress")
        self.progress_bar.setRange(0, 100)
        self.progress_bar.setVisible(False)
        row.addWidget(self.prepare_button)
        row.addWidget(self.progress_bar)
        effect.addOptionsWidget(row)

    def _add_shape(self, effect: Any) -> None:
        self.threshold_slider = self._slider("Threshold", THRESHOLD_RANGE, 0.01, 2)
        self.threshold_slider.setToolTip(
            _(
                "Probability from which a voxel is taken: lower grows, higher shrinks the structure. Moving it after a "
                "click makes that click anew, as long as nothing else has changed the segmentation."
            )
        )
        effect.addLabeledOptionsWidget(_("Threshold:"), self.threshold_slider)
        self.smoothing_slider = self._slider("SmoothingMm", SMOOTHING_RANGE_MM, 0.1, 1)
        self.smoothing_slider.suffix = _(" mm")
        self.smoothing_slider.setToolTip(_("Smooth the probabilities by so much before the threshold; 0: not at all."))
        effect.addLabeledOptionsWidget(_("Smoothing:"), self.smoothing_slider)
        self.slice_check = self._check("SliceOnly", _("Current slice only"))
        self.slice_check.setToolTip(_("Take only voxels in the plane of the view that is clicked."))
        self.all_check = self._check("AllOfClass", _("All of this structure"))
        self.all_check.setToolTip(_("Take all parts of the structure, not only the one that was clicked."))
        self.name_check = self._check("NameSegment", _("Name the segment after the structure"))
        self.name_check.setToolTip(
            _("Give a segment that still has its default name the name, color and codes of the structure.")
        )
        column = qt.QVBoxLayout()
        for check in (self.slice_check, self.all_check, self.name_check):
            column.addWidget(check)
        effect.addOptionsWidget(column)

    # -- showing

    def show(
        self,
        settings: Settings,
        catalog: Catalog | None,
        status: Status,
        progress: Progress | None,
        *,
        ready: bool,
        can_prepare: bool,
    ) -> None:
        """Show choices and state. ``ready``: the volume is prepared; ``can_prepare``: volume and task are there."""
        self._updating = True
        try:
            choices = Choices(task=settings.Task, weights=settings.Weights)
            self._lists["Task"].show(task_items(catalog, settings.Task), settings.Task)
            self._lists["Weights"].show(weights_items(catalog, choices), settings.Weights)
            self._lists["Device"].show(device_items(catalog, settings.Device), settings.Device)
            self._lists["Mode"].show(
                [(_("Whole volume"), VOLUME), (_("Local, around the click"), LOCAL)], settings.Mode
            )
            self.threshold_slider.setValue(settings.Threshold)
            self.smoothing_slider.setValue(settings.SmoothingMm)
            self.slice_check.setChecked(settings.SliceOnly)
            self.all_check.setChecked(settings.AllOfClass)
            self.name_check.setChecked(settings.NameSegment)
        finally:
            self._updating = False
        for combo in (self.task_combo, self.weights_combo, self.device_combo):
            combo.setEnabled(catalog is not None and progress is None)
        self._show_preparation(settings, progress, ready, can_prepare)
        self.caution_label.setVisible(demo_only(catalog, settings.Task, settings.Weights))
        self.fill_button.setEnabled(ready and progress is None)
        self.status_label.setText("\n".join(filter(None, (status.text, progress.text if progress is not None else ""))))
        self.status_label.setStyleSheet(COLORS[status.level])

    def _show_preparation(self, settings: Settings, progress: Progress | None, ready: bool, can_prepare: bool) -> None:
        self._preparing = progress is not None
        self.progress_bar.setVisible(self._preparing)
        if progress is not None:
            self.progress_bar.setValue(round(100 * progress.fraction))
            self.prepare_button.setText(_("Cancel"))
            self.prepare_button.setEnabled(True)
        else:
            self.prepare_button.setText(_("Prepared") if ready else _("Prepare"))
            self.prepare_button.setEnabled(can_prepare and not ready and settings.Mode == VOLUME)

    def close(self) -> None:
        """Let go of the widgets: a connection would keep the effect alive after its editor."""
        for widget, signal, slot in self._connections:
            widget.disconnect(signal, slot)
        self._connections = []

    # -- making widgets

    def _connect(self, widget: Any, signal: str, slot: Callable[..., None]) -> None:
        widget.connect(signal, slot)
        self._connections.append((widget, signal, slot))

    def _combo(self, name: str) -> Any:
        combo = qt.QComboBox()
        combo.setObjectName(f"Rep3D{name}")
        self._connect(combo, "currentIndexChanged(int)", lambda _index: self._chosen(name))
        return combo

    def _chosen(self, name: str) -> None:
        value = self._lists[name].value() if not self._updating else None
        if value is not None:
            self._on_change(**({"Task": value, "Weights": ""} if name == "Task" else {name: value}))

    def _slider(self, name: str, limits: tuple[float, float], step: float, decimals: int) -> Any:
        slider = ctk.ctkSliderWidget()
        slider.setObjectName(f"Rep3D{name}")
        slider.setDecimals(decimals)
        # Properties: PythonQt hides the plain setters of CTK's widgets.
        slider.minimum, slider.maximum, slider.singleStep = *limits, step
        self._connect(slider, "valueChanged(double)", lambda value: self._set(name, float(value)))
        return slider

    def _check(self, name: str, text: str) -> Any:
        check = qt.QCheckBox(text)
        check.setObjectName(f"Rep3D{name}")
        self._connect(check, "toggled(bool)", lambda checked: self._set(name, bool(checked)))
        return check

    def _button(self, name: str, text: str, pressed: Callable[[], None]) -> Any:
        button = qt.QPushButton(text)
        button.setObjectName(f"Rep3D{name}")
        self._connect(button, "clicked()", pressed)
        return button

    def _set(self, name: str, value: Any) -> None:
        if not self._updating:
            self._on_change(**{name: value})

    def _on_prepare_button(self) -> None:
        if self._preparing:
            self._on_cancel()
        else:
            self._on_prepare()


def task_items(catalog: Catalog | None, chosen: str) -> list[tuple[str, str]]:
    """(text, key) of the tasks that can be chosen, those without weights marked; first the one that says: choose."""
    items = [(_("Choose a task"), "")] if catalog is not None else [(_("Asking for the tasks..."), "")]
    for task in catalog.tasks if catalog is not None else ():
        usable = bool((task.get("weights") or {}).get("path")) or bool(catalog.weights_of(task["key"]))
        items.append((task["title"] if usable else _("{0} (no weights)").format(task["title"]), task["key"]))
    if chosen and all(key != chosen for _text, key in items):
        items.append((_("{0} (unknown)").format(chosen) if catalog is not None else chosen, chosen))
    return items
