"""The button beside the volume: a scan that fits the chosen task, or plainly that there is none."""

from __future__ import annotations

import slicer
from Rep3DSegmentationLib.errors import WorkerError
from Rep3DSegmentationLib.parameters import VOLUME
from Rep3DSegmentationLib.suggestion import SAMPLE_ATTRIBUTE
from slicer.i18n import tr as _

from .checks import busy_text
from .context import Context
from .sample_data import fetch_sample, sample_of
from .state import WARNING, Job


class SamplePanel:
    """Fetches the sample of the chosen task and chooses it as the volume."""

    def __init__(self, context: Context):
        self.context = context
        self._cancelled = False
        context.ui.sampleButton.connect("clicked()", self.fetch)

    def refresh(self) -> None:
        """Say what the button would do."""
        button, parameters, state = self.context.ui.sampleButton, self.context.parameters, self.context.state
        button.setEnabled(parameters is not None and state.job is None)
        sample = sample_of(parameters.choices.task) if parameters is not None else None
        if state.job is not None:
            button.setToolTip(busy_text(state.job.kind))
        else:
            button.setToolTip(sample.description if sample else _("There is no sample scan for this task."))

    def fetch(self) -> None:
        """Get the scan: generated here, or downloaded by Slicer's module Sample Data."""
        state, parameters = self.context.state, self.context.parameters
        if state.job is not None or parameters is None:
            return
        task = parameters.choices.task
        sample = sample_of(task)
        if sample is None:
            text = _("No sample scan fits this task.") if task else _("Choose a task first.")
            self.context.tell(WARNING, text, _("Load a scan of your own, of the kind that the task's details name."))
            return
        self._cancelled = False
        state.job, state.message = Job("sample", sample.stage), None
        self.context.refresh()
        try:
            node = fetch_sample(sample, lambda: self._cancelled or self.context.closed)
        except WorkerError as error:
            node, state.job = None, None
            self.context.tell_error(error)
        state.job = None
        if self.context.closed:
            return
        if node is not None and self.context.parameters is not None:
            node.SetAttribute(SAMPLE_ATTRIBUTE, task)
            self.context.parameters.set_reference(VOLUME, node)
            slicer.util.setSliceViewerLayers(background=node, fit=True)
        self.context.refresh()

    def cancel(self) -> None:
        """Stop the generator; a download of Slicer's has its own way."""
        self._cancelled = True
