"""The Python packages: asks for them when they are first needed, installs them, and goes on with what was wanted."""

from __future__ import annotations

from collections.abc import Callable

import slicer
from Rep3DSegmentationLib import dependencies
from slicer.i18n import tr as _

from .context import Context
from .install_dialog import Answer, InstallDialog
from .state import ERROR, INFO, WARNING, Job


class SetupPanel:
    """The section Python packages, and the question before the first run.

    ``on_ready`` is called when the packages are there.
    """

    def __init__(self, context: Context, on_ready: Callable[[], None]):
        self.context, ui = context, context.ui
        self._on_ready = on_ready
        self._cancelled = False
        ui.setupOutput.setVisible(False)
        ui.installButton.connect("clicked()", self._on_install)
        ui.setupCheckButton.connect("clicked()", self.check)
        ui.restartButton.connect("clicked()", self._on_restart)

    def refresh(self) -> None:
        """Show what is there and what can be done."""
        ui, state = self.context.ui, self.context.state
        report, idle = state.dependencies, state.job is None
        note = report.note if report is not None else ""
        ui.setupLabel.setText(_("Restart Slicer to finish the installation.") if state.needs_restart else note)
        ui.installButton.setVisible(not state.needs_restart)
        ui.installButton.setEnabled(idle and report is not None)
        ui.setupCheckButton.setEnabled(idle)
        ui.restartButton.setVisible(state.needs_restart)
        for widget in (ui.setupWheelsPath, ui.setupIndexEdit):
            widget.setEnabled(idle)

    def check(self) -> None:
        """Look at what is installed; reads metadata only."""
        self.context.state.dependencies = dependencies.check()
        if self.context.state.ready:
            self._on_ready()
        self.context.refresh()

    def when_installed(self, then: Callable[[], None]) -> None:
        """Call ``then`` if the packages are there; else ask, install, and call it afterwards."""
        state = self.context.state
        if not state.ready and not state.needs_restart:
            self.check()  # they may have come in another way
        if state.ready or (not state.needs_restart and self._ask_and_install()):
            then()
        elif state.needs_restart:
            self.context.tell(WARNING, _("Restart Slicer to finish the installation."), _("Then press Apply again."))

    def cancel(self) -> None:
        """Stop the installation that runs."""
        self._cancelled = True

    def _ask_and_install(self) -> bool:
        """Ask what to install and do it; whether everything is there now."""
        answer = InstallDialog(dependencies.choices(self.context.state.dependencies), self._plan).ask()
        return answer is not None and self._install(self._plan(answer))

    def _plan(self, answer: Answer) -> dependencies.InstallPlan:
        ui = self.context.ui
        return dependencies.plan(
            self.context.state.dependencies,
            ui.setupWheelsPath.currentPath or None,
            torch_index_url=ui.setupIndexEdit.text.strip() or None,
            build=answer.build,
            openvino=answer.openvino,
        )

    def _install(self, plan: dependencies.InstallPlan) -> bool:
        state, ui = self.context.state, self.context.ui
        self._cancelled = False
        state.job, state.message = Job("install", _("Installing packages")), None
        ui.setupOutput.clear()
        ui.setupOutput.setVisible(True)
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
            return False
        state.needs_restart = result.needs_restart
        state.dependencies = dependencies.check()
        level = (WARNING if result.needs_restart else INFO) if result.ok else ERROR
        self.context.tell(level, result.message)
        if state.ready:
            self._on_ready()
        return state.ready

    def _on_install(self) -> None:
        if self.context.state.job is None and self.context.state.dependencies is not None:
            self._ask_and_install()

    def _on_output(self, line: str) -> None:
        if self.context.closed:
            return
        self.context.ui.setupOutput.appendPlainText(line)
        self.context.log(INFO, line)
        job = self.context.state.job
        if job is not None and not job.cancelling:
            self.context.state.job = Job("install", _("Installing packages: {0}").format(line[:60]))
            self.context.refresh()

    def _on_restart(self) -> None:
        slicer.util.restart()
