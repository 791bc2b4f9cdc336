"""Batch: every scan of a folder with the same task and options, results as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import qt
from Rep3DSegmentationLib.errors import WorkerError
from Rep3DSegmentationLib.parameters import BATCH_FORMATS
from slicer.i18n import tr as _

from .checks import batch_obstacle
from .choices import ChoiceList
from .context import Context
from .messages import show_progress
from .options_panel import file_name
from .state import ERROR, INFO, WARNING, Job
from .text import duration_text


class BatchPanel:
    """A folder of scans in, a folder of label maps and measurements out."""

    def __init__(self, context: Context):
        self.context, ui = context, context.ui
        self._pending: Any = None
        self._shown: list[dict[str, Any]] | None = None
        self._formats = ChoiceList(ui.batchFormatSelector)
        header = ui.batchTable.horizontalHeader()
        header.setSectionResizeMode(0, qt.QHeaderView.ResizeToContents)
        header.setSectionResizeMode(1, qt.QHeaderView.ResizeToContents)
        header.setSectionResizeMode(2, qt.QHeaderView.Stretch)
        ui.batchTable.verticalHeader().setVisible(False)
        ui.batchInputPath.connect("currentPathChanged(QString)", self._on_input)
        ui.batchOutputPath.connect("currentPathChanged(QString)", self._on_output)
        for path in (ui.batchInputPath, ui.batchOutputPath):
            path.connect("validInputChanged(bool)", self._on_validity)
        ui.batchFormatSelector.connect("currentIndexChanged(int)", self._on_format)
        ui.batchOverwriteCheckBox.connect("toggled(bool)", self._on_overwrite)
        ui.batchRunButton.connect("clicked()", self.run)
        ui.batchCancelButton.connect("clicked()", self.cancel)

    def refresh(self) -> None:
        """Show folders, what can be done, and what became of the scans."""
        ui, state, parameters = self.context.ui, self.context.state, self.context.parameters
        obstacle = batch_obstacle(state, parameters)
        ui.batchRunButton.setEnabled(obstacle is None)
        ui.batchRunButton.setToolTip(obstacle or _("Segment every scan of the folder."))
        job = state.job if state.job and state.job.kind == "batch" else None
        ui.batchCancelButton.setEnabled(job is not None and not job.cancelling)
        ui.batchCancelButton.setToolTip(_("Stop; finished scans stay.") if job else _("Nothing is running."))
        show_progress(ui.batchProgressBar, ui.batchStageLabel, job)
        for widget in (ui.batchInputPath, ui.batchOutputPath, ui.batchFormatSelector, ui.batchOverwriteCheckBox):
            widget.setEnabled(parameters is not None and job is None)
        ui.batchTable.setVisible(bool(state.outcomes))
        if state.outcomes is not self._shown:
            self._fill(state.outcomes)
            self._shown = state.outcomes
        if parameters is None:
            return
        choices = parameters.choices
        for widget, path in ((ui.batchInputPath, choices.batch_input), (ui.batchOutputPath, choices.batch_output)):
            if widget.currentPath != path:
                widget.setCurrentPath(path)
        self._formats.show([(f".{name}", name) for name in BATCH_FORMATS], choices.batch_format)
        ui.batchOverwriteCheckBox.setChecked(choices.batch_overwrite)

    def run(self) -> None:
        """Have the packages installed where they are missing, then start the batch."""
        if batch_obstacle(self.context.state, self.context.parameters) is None:
            self.context.when_installed(self._start)

    def _start(self) -> None:
        state, parameters = self.context.state, self.context.parameters
        if batch_obstacle(state, parameters) is not None:
            return
        choices = parameters.choices
        params = {
            "inputs": [str(Path(choices.batch_input).absolute())],
            "output": str(Path(choices.batch_output).absolute()),
            "format": choices.batch_format,
            "overwrite": choices.batch_overwrite,
            "task": choices.task,
            "weights": choices.weights or None,
            "device": choices.device,
            "precision": "auto",
            "engine": choices.engine,
            "overlap": choices.overlap,
            "tta": choices.tta,
            "remove_islands": choices.islands,
            "structures": list(choices.wanted(choices.task) or ()) or None,
        }
        state.message, state.outcomes = None, []
        state.job = Job("batch", _("Starting"))
        self.context.log(INFO, _("Batch: {0} to {1}").format(choices.batch_input, choices.batch_output))
        self._pending = self.context.request("segment_files", params, self._on_done, self._on_error, self._on_progress)
        self.context.refresh()

    def cancel(self) -> None:
        """Stop the batch; what is finished stays."""
        job = self.context.state.job
        if job is not None and job.kind == "batch" and self._pending is not None:
            self.context.state.job = Job("batch", job.stage, job.fraction, None, cancelling=True)
            self.context.refresh()
            self._pending.cancel()

    def _on_progress(self, fraction: float, stage: str, eta_s: float | None) -> None:
        job = self.context.state.job
        self.context.state.job = Job("batch", stage, fraction, eta_s, job is not None and job.cancelling)
        self.refresh()

    def _on_done(self, result: dict[str, Any]) -> None:
        state = self.context.state
        state.job, self._pending, state.outcomes = None, None, result["outcomes"]
        count = {
            status: sum(row["status"] == status for row in state.outcomes) for status in ("done", "skipped", "failed")
        }
        for row in state.outcomes:
            self.context.log(ERROR if row["status"] == "failed" else INFO, f"{row['source']}: {outcome_text(row)}")
        text = _("Batch finished: {done} done, {skipped} skipped, {failed} failed.").format(**count)
        self.context.tell(WARNING if count["failed"] else INFO, text)

    def _on_error(self, error: WorkerError) -> None:
        self.context.state.job, self._pending = None, None
        self.context.tell_error(error)

    def _fill(self, outcomes: list[dict[str, Any]]) -> None:
        table = self.context.ui.batchTable
        table.setRowCount(len(outcomes))
        status = {"done": _("Done"), "skipped": _("Skipped"), "failed": _("Failed")}
        for row, outcome in enumerate(outcomes):
            texts = (file_name(outcome["source"]), status[outcome["status"]], outcome_text(outcome))
            for column, text in enumerate(texts):
                item = qt.QTableWidgetItem(text)
                item.setToolTip(outcome["source"] if column == 0 else text)
                table.setItem(row, column, item)

    def _on_input(self, path: str) -> None:
        self._set(batch_input=path)

    def _on_output(self, path: str) -> None:
        self._set(batch_output=path)

    def _on_validity(self, _valid: bool) -> None:
        """All that is said of a path that was cleared: it is no longer valid."""
        ui = self.context.ui
        self._set(batch_input=ui.batchInputPath.currentPath, batch_output=ui.batchOutputPath.currentPath)

    def _on_format(self, _index: int) -> None:
        if self._formats.value() is not None:
            self._set(batch_format=self._formats.value())

    def _on_overwrite(self, checked: bool) -> None:
        self._set(batch_overwrite=bool(checked))

    def _set(self, **values: Any) -> None:
        if not self.context.updating and self.context.parameters is not None:
            self.context.parameters.set(**values)


def outcome_text(outcome: dict[str, Any]) -> str:
    """What became of one scan, in words."""
    if outcome["status"] == "failed":
        error = outcome["error"]
        return f"{error['message']} {error['hint']}".strip()
    if outcome["status"] == "skipped":
        return _("a complete result was there")
    return _("{count} structures in {time}").format(
        count=sum(row["voxels"] > 0 for row in outcome["stats"]), time=duration_text(outcome["seconds"])
    )
