"""Advanced settings: output, weights, device, engine, quality, region and structures. All have a sensible default.

What is stored is shown, even if it is not there now.
"""

from __future__ import annotations

from typing import Any

import qt
from Rep3DSegmentationLib.parameters import ROI, SEGMENTATION, Choices
from slicer.i18n import tr as _

from .choices import ChoiceList
from .context import Context
from .state import Catalog
from .text import size_text


class OptionsPanel:
    """Everything that has a sensible default."""

    def __init__(self, context: Context):
        self.context, ui = context, context.ui
        self._weights = ChoiceList(ui.weightsSelector)
        self._devices = ChoiceList(ui.deviceSelector)
        self._engines = ChoiceList(ui.engineSelector)
        self._qualities = ChoiceList(ui.qualitySelector)
        self._structures: tuple[str, list[str]] = ("", [])  # the task and the keys that the list shows
        ui.segmentationSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._on_segmentation)
        ui.weightsSelector.connect("currentIndexChanged(int)", self._on_weights)
        ui.deviceSelector.connect("currentIndexChanged(int)", self._on_device)
        ui.engineSelector.connect("currentIndexChanged(int)", self._on_engine)
        ui.qualitySelector.connect("currentIndexChanged(int)", self._on_quality)
        ui.overlapSlider.connect("valueChanged(double)", self._on_overlap)
        ui.ttaCheckBox.connect("toggled(bool)", self._on_tta)
        ui.roiSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._on_roi)
        ui.structuresList.connect("itemChanged(QListWidgetItem*)", self._on_structure)
        ui.allStructuresButton.connect("clicked()", self._on_all)
        ui.noStructuresButton.connect("clicked()", self._on_none)

    def refresh(self) -> None:
        """Show the choices among what there is."""
        ui, parameters, catalog = self.context.ui, self.context.parameters, self.context.state.catalog
        enabled = parameters is not None and catalog is not None and self.context.state.job is None
        for widget in (
            *(ui.segmentationSelector, ui.weightsSelector, ui.deviceSelector, ui.deviceRefreshButton),
            *(ui.engineSelector, ui.qualitySelector, ui.overlapSlider),
            *(ui.ttaCheckBox, ui.roiSelector, ui.structuresList, ui.allStructuresButton, ui.noStructuresButton),
        ):
            widget.setEnabled(enabled)
        if parameters is None:
            return
        choices = parameters.choices
        self._weights.show(weights_items(catalog, choices), choices.weights)
        self._devices.show(device_items(catalog, choices.device), choices.device)
        self._engines.show(engine_items(), choices.engine)
        self._qualities.show(quality_items(), choices.quality)
        ui.overlapSlider.setValue(choices.overlap)
        ui.ttaCheckBox.setChecked(choices.tta)
        segmentation = parameters.reference(SEGMENTATION)
        if ui.segmentationSelector.currentNode() is not segmentation:
            ui.segmentationSelector.setCurrentNode(segmentation)
        roi = parameters.reference(ROI)
        if ui.roiSelector.currentNode() is not roi:
            ui.roiSelector.setCurrentNode(roi)
        self._show_structures(catalog, choices)

    def _show_structures(self, catalog: Catalog | None, choices: Choices) -> None:
        task = catalog.task(choices.task) if catalog else None
        labels = task["labels"] if task else []
        keys = [label["key"] for label in labels]
        widget = self.context.ui.structuresList
        if self._structures != (choices.task, keys):
            widget.clear()
            for label in labels:
                item = qt.QListWidgetItem(label["name"])
                item.setIcon(color_icon(label["color"]))
                item.setCheckState(qt.Qt.Checked)
                widget.addItem(item)
            self._structures = (choices.task, keys)
        wanted = choices.wanted(choices.task)
        for row, key in enumerate(keys):
            checked = wanted is None or key in wanted
            widget.item(row).setCheckState(qt.Qt.Checked if checked else qt.Qt.Unchecked)

    def _set(self, **values: Any) -> None:
        if not self.context.updating and self.context.parameters is not None:
            self.context.parameters.set(**values)

    def _on_weights(self, _index: int) -> None:
        if self._weights.value() is not None:
            self._set(weights=self._weights.value())

    def _on_device(self, _index: int) -> None:
        if self._devices.value() is not None:
            self._set(device=self._devices.value())

    def _on_engine(self, _index: int) -> None:
        if self._engines.value() is not None:
            self._set(engine=self._engines.value())

    def _on_segmentation(self, node: Any) -> None:
        if not self.context.updating and self.context.parameters is not None:
            self.context.parameters.set_reference(SEGMENTATION, node)

    def _on_quality(self, _index: int) -> None:
        key = self._qualities.value()
        if key is not None and not self.context.updating and self.context.parameters is not None:
            self.context.parameters.use_quality(key)
            self.context.refresh()  # "custom" changes nothing, the list must go back to what the values amount to

    def _on_overlap(self, value: float) -> None:
        self._set(overlap=float(value))

    def _on_tta(self, checked: bool) -> None:
        self._set(tta=bool(checked))

    def _on_roi(self, node: Any) -> None:
        if not self.context.updating and self.context.parameters is not None:
            self.context.parameters.set_reference(ROI, node)

    def _on_structure(self, _item: Any) -> None:
        widget, (_task, keys) = self.context.ui.structuresList, self._structures
        self._want([k for row, k in enumerate(keys) if widget.item(row).checkState() == qt.Qt.Checked])

    def _on_all(self) -> None:
        self._want(self._structures[1])

    def _on_none(self) -> None:
        self._want([])

    def _want(self, keys: list[str]) -> None:
        if not self.context.updating and self.context.parameters is not None:
            task, known = self._structures
            self.context.parameters.want(task, tuple(keys), tuple(known))


def weights_items(catalog: Catalog | None, choices: Choices) -> list[tuple[str, str]]:
    """(text, path) of the weights that can be chosen; the path "" stands for those installed for the task."""
    task = catalog.task(choices.task) if catalog else None
    default = (task or {}).get("weights")
    first = (
        _("Installed: {0}").format(file_name(default["path"]).removesuffix(".safetensors"))
        if default
        else _("None installed for this task")
    )
    items = [(first if task else _("Installed for the task"), "")]
    rows = catalog.weights_of(choices.task) if catalog else []
    for row in rows if len(rows) > 1 or choices.weights else []:  # a single file is the installed one
        origin = _("shipped") if row["origin"] == "shipped" else _("yours")
        items.append((f"{row['file']} ({origin})", row["path"]))
    if choices.weights and all(path != choices.weights for _text, path in items):
        items.append((_("{0} (not found)").format(file_name(choices.weights)), choices.weights))
    return items


def device_items(catalog: Catalog | None, chosen: str) -> list[tuple[str, str]]:
    """(text, name) of the devices, with free memory."""
    hello = catalog.hello if catalog else None
    devices, default = (hello["devices"], hello["default_device"]) if hello else ([], "")
    items = [(_("Automatic ({0})").format(default) if default else _("Automatic"), "auto")]
    for device in devices:
        free, total = device.get("memory_free"), device.get("memory_total")
        memory = _(", {0} of {1} free").format(size_text(free), size_text(total)) if free and total else ""
        items.append((f"{device['label']}{memory}", device["name"]))
    if all(name != chosen for _text, name in items):  # not there, or nobody has looked yet
        items.append((_("{0} (not available)").format(chosen) if hello else chosen, chosen))
    return items


def engine_items() -> list[tuple[str, str]]:
    """(text, name) of what may compute the network."""
    return [(_("Automatic: the faster one here"), "auto"), ("PyTorch", "torch"), ("OpenVINO", "openvino")]


def quality_items() -> list[tuple[str, str]]:
    """(text, key) of the presets."""
    return [
        (_("Fast: little overlap"), "fast"),
        (_("Standard"), "standard"),
        (_("Best: slower, mirrored copies"), "best"),
        (_("Custom"), "custom"),
    ]


def file_name(path: str) -> str:
    """Last part of a path of this or another operating system."""
    return path.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]


def color_icon(color: list[int]) -> Any:
    """A small square in that colour (red, green, blue: 0 to 255)."""
    pixmap = qt.QPixmap(12, 12)
    pixmap.fill(qt.QColor(color[0], color[1], color[2]))
    return qt.QIcon(pixmap)
