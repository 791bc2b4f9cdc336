"""Setup: which Python packages are missing, what installing them means, and doing it. Hidden when none is missing."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

import slicer
from Rep3DSegmentationLib import dependencies
from slicer.i18n import tr as _

from .context import Context
from .state import ERROR, INFO, WARNING, Job


class SetupPanel:
    """The explicit step before the first run. ``on_ready`` is called when the packages are there."""

    def __init__(self, context: Context, on_ready: Callable[[], None]):
        self.context, ui = context, context.ui
        self._on_ready = on_ready
        self._cancelled = False
        self._planned: tuple[object, str, str] | None = None  # report, folder and index of the plan that is shown
        self._plan: dependencies.InstallPlan | None = None
        ui.installButton.connect("clicked()", self.install)
        ui.setupCheckButton.connect("clicked()", self.check)
        ui.restartButton.connect("clicked()", self._on_restart)
        ui.setupWheelsPath.connect("currentPathChanged(QString)", self._on_source)
        ui.setupWheelsPath.connect("validInputChanged(bool)", self._on_source)  # all that is said of a cleared path
        ui.setupIndexEdit.connect("editingFinished()", self.context.refresh)

    def refresh(self) -> None:
        """Show the section while something is to be done in it."""
        ui, state = self.context.ui, self.context.state
        report = state.dependencies
        needed = report is not None and (not report.ok or state.needs_restart)
        ui.setupSection.setVisible(needed)
        if not needed:
            return
        installing = state.job is not None and state.job.kind == "install"
        ui.setupLabel.setText(_("Restart Slicer to finish the installation.") if state.needs_restart else report.note)
        ui.setupPlanLabel.setVisible(not state.needs_restart)
        if not state.needs_restart:
            self._show_plan()
        ui.installButton.setText(_("Cancel installation") if installing else _("Install"))
        ui.installButton.setVisible(not state.needs_restart)
        ui.installButton.setEnabled(installing or self._plan is None or not self._plan.problem)
        ui.setupCheckButton.setEnabled(state.job is None)
        ui.restartButton.setVisible(state.needs_restart)
        for widget in (ui.setupWheelsPath, ui.setupIndexEdit):
            widget.setEnabled(state.job is None)

    def check(self) -> None:
        """Look at what is installed; reads metadata only."""
        self.context.state.dependencies = dependencies.check()
        if self.context.state.ready:
            self._on_ready()
        self.context.refresh()

    def install(self) -> None:
        """Install what the plan says, or cancel the installation that runs."""
        state = self.context.state
        if state.job is not None:
            self._cancelled = state.job.kind == "install"
            return
        plan = self._show_plan()
        self._cancelled = False
        state.job, state.message = Job("install"), None
        self.context.ui.setupOutput.clear()
        self.context.ui.setupOutput.setVisible(True)
        self.context.log(INFO, "\n".join(plan.lines))
        self.context.refresh()
        try:
            result = dependencies.install(
                plan,
                on_output=self._on_output,
                is_cancelled=lambda: self._cancelled or self.context.closed,
                idle=slicer.app.processEvents,
            )
        finally:
            state.job = None
        if self.context.closed:
            return
        state.needs_restart = result.needs_restart
        state.dependencies = dependencies.check()
        self.context.tell(
            WARNING if result.ok and result.needs_restart else INFO if result.ok else ERROR, result.message
        )
        if state.ready:
            self._on_ready()

    def _show_plan(self) -> dependencies.InstallPlan:
        ui, report = self.context.ui, self.context.state.dependencies
        source = (report, ui.setupWheelsPath.currentPath, ui.setupIndexEdit.text.strip())
        if self._plan is None or source != self._planned:
            self._plan = dependencies.plan(report, source[1] or None, torch_index_url=source[2] or None)
            self._planned = source
        lines = "".join(f"<li>{escape(line)}</li>" for line in self._plan.lines)
        ui.setupPlanLabel.setText(f"<ul style='margin-left: -24px'>{lines}</ul>")
        return self._plan

    def _on_output(self, line: str) -> None:
        if not self.context.closed:
            self.context.ui.setupOutput.appendPlainText(line)
            self.context.log(INFO, line)

    def _on_source(self, _path_or_validity: object) -> None:
        self.context.refresh()

    def _on_restart(self) -> None:
        slicer.util.restart()
