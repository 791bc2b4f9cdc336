"""Weights manager: what is on this computer, what is published, importing, downloading and removing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
from Rep3DSegmentationLib.errors import WorkerError
from slicer.i18n import tr as _

from .checks import busy_text
from .context import Context
from .messages import show_progress
from .state import INFO, Job
from .text import size_text, weights_details


class WeightsPanel:
    """``reload`` is called after the weights on this computer changed."""

    def __init__(self, context: Context, reload: Callable[[], None]):
        self.context, ui = context, context.ui
        self._reload = reload
        self._rows: list[dict[str, Any]] = []
        self._pending: Any = None
        self._downloading = False
        header = ui.weightsTable.horizontalHeader()
        header.setSectionResizeMode(1, qt.QHeaderView.Stretch)
        for column in (0, 2, 3):
            header.setSectionResizeMode(column, qt.QHeaderView.ResizeToContents)
        header.setHighlightSections(False)
        ui.weightsTable.verticalHeader().setVisible(False)
        ui.weightsTable.connect("itemSelectionChanged()", self._on_selection)
        ui.importButton.connect("clicked()", self._on_import)
        ui.importInstallButton.connect("clicked()", self._on_install)
        ui.importDiscardButton.connect("clicked()", self._on_discard)
        ui.downloadButton.connect("clicked()", self._on_download)
        ui.removeButton.connect("clicked()", self._on_remove)

    def refresh(self) -> None:
        """Show the rows, the selected one's details and what can be done with it."""
        ui, state = self.context.ui, self.context.state
        catalog = state.catalog
        rows = [*catalog.weights, *catalog.available] if catalog else []
        if rows != self._rows:
            self._rows = rows
            self._fill()
        row = self._selected()
        idle = catalog is not None and state.job is None
        why_not = busy_text(state.job.kind) if state.job else ""
        ui.weightsDetails.setVisible(row is not None)
        if row is not None:
            ui.weightsDetails.setHtml(weights_details(row))
        job = state.job if state.job and state.job.kind == "weights" else None
        show_progress(ui.weightsProgressBar, ui.weightsStageLabel, job)
        downloading = job is not None and self._downloading
        ui.importButton.setEnabled(idle)
        ui.importButton.setToolTip(why_not or _("Its checksum and contents are shown before it is installed."))
        ui.downloadButton.setEnabled(downloading or (idle and row is not None and "origin" not in row))
        ui.downloadButton.setText(_("Cancel download") if downloading else _("Download"))
        ui.removeButton.setEnabled(idle and row is not None and row.get("origin") == "user")
        ui.removeButton.setToolTip(_("Only weights that you imported or downloaded can be removed."))
        ui.importFrame.setVisible(state.inspected is not None)
        ui.importInstallButton.setEnabled(idle)
        if state.inspected is not None:
            ui.importDetails.setHtml(weights_details(state.inspected))

    def _fill(self) -> None:
        table = self.context.ui.weightsTable
        table.clearSelection()
        table.setRowCount(len(self._rows))
        for index, row in enumerate(self._rows):
            if "origin" not in row:
                where = _("published")
            elif row.get("error"):
                where = _("damaged")
            else:
                where = _("shipped") if row["origin"] == "shipped" else _("yours")
            texts = (row.get("task") or "", row.get("file") or row.get("id") or "", where, size_text(row.get("bytes")))
            for column, text in enumerate(texts):
                item = qt.QTableWidgetItem(text)
                item.setToolTip(row.get("path") or row.get("url") or text)
                table.setItem(index, column, item)

    def _selected(self) -> dict[str, Any] | None:
        table = self.context.ui.weightsTable
        index = table.currentRow()
        return self._rows[index] if table.selectedItems() and 0 <= index < len(self._rows) else None

    def _on_selection(self) -> None:
        self.context.refresh()

    # -- import

    def _on_import(self) -> None:
        path = qt.QFileDialog.getOpenFileName(
            slicer.util.mainWindow(), _("Import weights file"), "", _("Rep3D weights (*.safetensors)")
        )
        if path:
            self.inspect(path)

    def inspect(self, path: str) -> None:
        """Have the worker check a file and show what it is; nothing is copied yet."""
        self._work("inspect", {"path": path}, self._on_inspected, _("Checking the file"))

    def _on_inspected(self, row: dict[str, Any]) -> None:
        self.context.state.inspected = row
        self.context.log(INFO, _("{0} is whole: {1}").format(row["path"], row["sha256"]))

    def _on_install(self) -> None:
        row = self.context.state.inspected
        if row is None:
            return
        own = [r for r in self._rows if r.get("origin") == "user" and r["file"] == f"{row['task']}.safetensors"]
        taken = [r for r in own if r.get("sha256") != row["sha256"]]
        if taken and not slicer.util.confirmOkCancelDisplay(
            _("You already have weights for {0}: {1}. Replace them?").format(row["task_title"], taken[0]["file"])
        ):
            return
        params = {"path": row["path"], "replace": bool(taken)}
        self._work("import_weights", params, self._on_imported, _("Copying the file"))

    def _on_imported(self, row: dict[str, Any]) -> None:
        self.context.state.inspected = None
        self.context.tell(INFO, _("Weights installed: {0}.").format(row["file"]))
        self._reload()

    def _on_discard(self) -> None:
        self.context.state.inspected = None
        self.context.refresh()

    # -- download, remove

    def _on_download(self) -> None:
        if self._downloading:
            if self._pending is not None:
                self._pending.cancel()
            return
        row = self._selected()
        if row is not None:
            self._work("download_weights", {"id": row["id"]}, self._on_imported, _("Downloading"))

    def _on_remove(self) -> None:
        row = self._selected()
        if row is None:
            return
        if slicer.util.confirmOkCancelDisplay(_("Remove {0} from this computer?").format(row["path"])):
            self._work("remove_weights", {"path": row["path"]}, self._on_removed, _("Removing"))

    def _on_removed(self, _answer: dict[str, Any]) -> None:
        self.context.tell(INFO, _("Weights removed."))
        self._reload()

    def _work(self, method: str, params: dict[str, Any], then: Callable[[dict[str, Any]], None], stage: str) -> None:
        """Have the worker do it, once the packages are there."""
        if self.context.state.job is None:
            self.context.when_installed(lambda: self._ask(method, params, then, stage))

    def _ask(self, method: str, params: dict[str, Any], then: Callable[[dict[str, Any]], None], stage: str) -> None:
        state = self.context.state
        state.job, state.message = Job("weights", stage), None
        self._downloading = method == "download_weights"

        def done(answer: dict[str, Any]) -> None:
            state.job, self._pending, self._downloading = None, None, False
            then(answer)
            self.context.refresh()

        def failed(error: WorkerError) -> None:
            state.job, self._pending, self._downloading = None, None, False
            self.context.tell_error(error)

        def progress(fraction: float, text: str, eta_s: float | None) -> None:
            state.job = Job("weights", text, fraction, eta_s)
            self.context.refresh()

        self._pending = self.context.request(method, params, done, failed, progress)
        self.context.refresh()
