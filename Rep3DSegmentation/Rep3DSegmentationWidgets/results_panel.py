"""Results: volumes of the structures, which device ran and why, warnings, surfaces, and the way to the editor."""

from __future__ import annotations

from typing import Any

import qt
import slicer
from Rep3DSegmentationLib.errors import WorkerError
from Rep3DSegmentationLib.segmentations import is_shown_3d, show_3d
from slicer.i18n import tr as _

from .context import Context, scene
from .options_panel import color_icon
from .run_panel import show_message
from .state import WARNING, Message, PanelState
from .text import duration_text


class ResultsPanel:
    """What the last run found."""

    def __init__(self, context: Context):
        self.context, ui = context, context.ui
        self._shown: Any = None  # the result that is in the table
        header = ui.resultsTable.horizontalHeader()
        header.setSectionResizeMode(0, qt.QHeaderView.Stretch)
        for column in (1, 2):
            header.setSectionResizeMode(column, qt.QHeaderView.ResizeToContents)
        ui.resultsTable.verticalHeader().setVisible(False)
        ui.show3DButton.connect("toggled(bool)", self._on_show)
        ui.editButton.connect("clicked()", self._on_edit)

    def refresh(self) -> None:
        """Show the newest result."""
        ui, state = self.context.ui, self.context.state
        result = state.result
        node = self._node()
        ui.show3DButton.setEnabled(node is not None)
        ui.editButton.setEnabled(node is not None)
        ui.resultsTable.setVisible(result is not None)
        if result is None:
            ui.resultLabel.setText(_("No result yet."))
            ui.warningsFrame.setVisible(False)
            ui.resultsTable.setRowCount(0)
            self._shown = None
            return
        ui.resultLabel.setText(result_text(state, node.GetName() if node is not None else None))
        warnings = "\n".join(result.warnings)
        show_message(ui.warningsFrame, ui.warningsLabel, Message(WARNING, warnings) if warnings else None)
        ui.show3DButton.setChecked(node is not None and is_shown_3d(node))
        if result is not self._shown:
            self._fill(result.stats)
            self._shown = result

    def _fill(self, stats: Any) -> None:
        table = self.context.ui.resultsTable
        catalog = self.context.state.catalog
        task = catalog.task(self.context.state.result.task) if catalog else None
        colors = {label["key"]: label["color"] for label in (task or {}).get("labels", [])}
        table.setRowCount(len(stats))
        for row, entry in enumerate(stats):
            name = qt.QTableWidgetItem(entry["name"])
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

    def _on_show(self, checked: bool) -> None:
        node = self._node()
        if self.context.updating or node is None:
            return
        qt.QApplication.setOverrideCursor(qt.Qt.WaitCursor)  # many structures take a while, on Slicer's own thread
        try:
            show_3d(node, bool(checked))
        except WorkerError as error:
            self.context.tell_error(error)
            return
        finally:
            qt.QApplication.restoreOverrideCursor()
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


def result_text(state: PanelState, name: str | None) -> str:
    """Which segmentation, how long, which device and engine ran and why these."""
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
    return f"{where}\n{ran}"


def number_text(value: float) -> str:
    """A measurement with about three digits."""
    size = abs(value)
    return f"{value:.{3 if size < 1 else 2 if size < 10 else 1 if size < 100 else 0}f}"
