"""Results: volumes of the structures, which device ran and why, warnings, surfaces, the table elsewhere, the editor."""

from __future__ import annotations

import csv
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from .cautions import caution_text
from .context import Context, scene
from .messages import show_message
from .options_panel import color_icon
from .state import INFO, WARNING, Message, PanelState
from .text import duration_text


class ResultsPanel:
    """What the last run found."""

    def __init__(self, context: Context):
        self.context, ui = context, context.ui
        self._shown: Any = None  # the result that is in the table
        #: Slicer's own button, with its menu of smoothing: it makes the surfaces and follows the segmentation.
        self.show3DButton = slicer.qMRMLSegmentationShow3DButton()
        self.show3DButton.setToolTip(_("Make surfaces and show them in the 3D views; smoothing is in the menu."))
        ui.show3DBox.layout().addWidget(self.show3DButton)
        self.show3DButton.connect("toggled(bool)", self._on_shown)
        header = ui.resultsTable.horizontalHeader()
        ui.resultsTable.setColumnCount(3)
        header.setSectionResizeMode(0, qt.QHeaderView.Stretch)
        for column in (1, 2):
            header.setSectionResizeMode(column, qt.QHeaderView.ResizeToContents)
        ui.resultsTable.verticalHeader().setVisible(False)
        ui.editButton.connect("clicked()", self._on_edit)
        ui.copyTableButton.connect("clicked()", self._on_copy)
        ui.saveTableButton.connect("clicked()", self._on_save)

    def refresh(self) -> None:
        """Show the newest result."""
        ui, state = self.context.ui, self.context.state
        result, node = state.result, self._node()
        if self.show3DButton.segmentationNode() is not node:
            self.show3DButton.setSegmentationNode(node)
        ui.editButton.setEnabled(node is not None)
        ui.resultsSection.setVisible(result is not None)
        if result is None:
            ui.resultsTable.setRowCount(0)
            self._shown = None
            return
        ui.resultLabel.setText(result_text(state, node.GetName() if node is not None else None))
        warnings = "\n".join(filter(None, [caution_text(result.cautions), *result.warnings]))
        show_message(ui.warningsFrame, ui.warningsLabel, Message(WARNING, warnings) if warnings else None)
        if result is not self._shown:
            self._fill(result)
            self._shown = result

    def _fill(self, result: Any) -> None:
        table, catalog = self.context.ui.resultsTable, self.context.state.catalog
        task = catalog.task(result.task) if catalog else None
        colors = {label["key"]: label["color"] for label in (task or {}).get("labels", [])}
        intensity = _("{0} ± SD").format(result.unit) if result.unit else _("Mean ± SD")
        table.setHorizontalHeaderLabels([_("Structure"), _("mL"), intensity])
        table.setRowCount(len(result.stats))
        for row, entry in enumerate(result.stats):
            name = qt.QTableWidgetItem(entry["name"])
            name.setToolTip(entry["name"])
            if entry["key"] in colors:
                name.setIcon(color_icon(colors[entry["key"]]))
            table.setItem(row, 0, name)
            found = entry["voxels"] > 0
            texts = (
                number_text(entry["volume_ml"]) if found else _("not found"),
                f"{number_text(entry['mean'])} ± {number_text(entry['sd'])}" if found else "",
            )
            for column, text in enumerate(texts, start=1):
                item = qt.QTableWidgetItem(text)
                item.setTextAlignment(int(qt.Qt.AlignRight | qt.Qt.AlignVCenter))
                table.setItem(row, column, item)

    def _node(self) -> Any:
        """The segmentation of the result while it is in the scene."""
        node = self.context.state.result.segmentation_node if self.context.state.result is not None else None
        return node if node is not None and scene().IsNodePresent(node) else None

    def _on_shown(self, checked: bool) -> None:
        if checked:
            slicer.util.resetThreeDViews()

    def _on_edit(self) -> None:
        node = self._node()
        if node is None:
            return
        slicer.util.selectModule("SegmentEditor")
        editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
        editor.setSegmentationNode(node)
        volume = scene().GetNodeByID(self.context.state.result_volume_id)
        if volume is not None:
            editor.setSourceVolumeNode(volume)

    def _on_copy(self) -> None:
        if self.context.state.result is not None:
            rows = table_rows(self.context.state.result)
            slicer.app.clipboard().setText("\n".join("\t".join(row) for row in rows))

    def _on_save(self) -> None:
        if self.context.state.result is None:
            return
        node = self._node()
        name = f"{node.GetName() if node is not None else self.context.state.result.task}.csv"
        path = qt.QFileDialog.getSaveFileName(
            slicer.util.mainWindow(), _("Save table"), name, _("Comma-separated values (*.csv)")
        )
        if not path:
            return
        try:
            with open(
                path, "w", encoding="utf-8-sig", newline=""
            ) as stream:  # with the mark that spreadsheets look for
                csv.writer(stream).writerows(table_rows(self.context.state.result))
        except OSError as error:
            self.context.tell(
                "error", _("{0} cannot be written: {1}").format(path, error.strerror), _("Choose another.")
            )
            return
        self.context.tell(INFO, _("Saved {0}.").format(path))


def table_rows(result: Any) -> list[list[str]]:
    """The table with its header as text, every number in full; for spreadsheets."""
    unit = f" ({result.unit})" if result.unit else ""
    frames = any("frame" in row for row in result.stats)
    header = [_("Structure"), _("Volume (mL)"), _("Voxels"), _("Mean") + unit, _("SD") + unit]
    rows = [[_("Frame"), *header] if frames else header]
    for entry in result.stats:
        numbers = [entry[name] for name in ("volume_ml", "voxels", "mean", "sd")]
        row = [plain_text(entry["name"]), *("" if value is None else f"{value:.6g}" for value in numbers)]
        rows.append([plain_text(str(entry.get("frame", ""))), *row] if frames else row)
    return rows


def plain_text(text: str) -> str:
    """A text that a spreadsheet does not take for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def result_text(state: PanelState, name: str | None) -> str:
    """Which segmentation, how long, which device and engine ran and why these, and what was taken away."""
    result = state.result
    where = _("Segmentation: {0}").format(name) if name else _("The segmentation is no longer in the scene.")
    if state.asked_device != "auto":
        why = _("as chosen")
    elif "cuda" in result.device or "mps" in result.device:
        why = _("chosen automatically, a GPU was found")
    else:
        why = _("chosen automatically, PyTorch found no GPU")
    ran = _("Ran {time} on {device}: {why}.").format(time=duration_text(result.seconds), device=result.device, why=why)
    if result.settings.get("engine"):
        engine, reason = result.settings["engine"], result.settings.get("engine_reason", "")
        ran += " " + _("Engine {engine}: {reason}.").format(engine=engine, reason=reason)
    return "\n".join(filter(None, [where, ran, islands_text(result)]))


def islands_text(result: Any) -> str:
    """Which small islands were removed, the largest where there are many; "" when none were looked for."""
    removed = result.settings.get("islands")
    if removed is None:
        return ""
    if not removed:
        return _("No small islands were found.")
    names = {row["key"]: row["name"] for row in result.stats}
    largest = sorted(removed.items(), key=lambda item: -item[1]["ml"])
    parts = [f"{names.get(key, key)} {number_text(what['ml'])} mL" for key, what in largest[:3]]
    if others := largest[3:]:
        total = number_text(sum(what["ml"] for _key, what in others))
        parts.append(_("{0} mL in {1} more").format(total, len(others)))
    return _("Small islands removed: {0}.").format(", ".join(parts))


def number_text(value: float) -> str:
    """A measurement with about three digits."""
    size = abs(value)
    return f"{value:.{3 if size < 1 else 2 if size < 10 else 1 if size < 100 else 0}f}"
