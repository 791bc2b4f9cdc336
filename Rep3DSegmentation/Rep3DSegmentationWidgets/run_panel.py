"""Apply and Cancel: the question before a run, progress, and what went wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from Rep3DSegmentationLib.errors import WorkerError
from Rep3DSegmentationLib.parameters import ROI, SEGMENTATION, VOLUME
from Rep3DSegmentationLib.run import SegmentationRun, SegmentOptions
from Rep3DSegmentationLib.sequences import frame_of
from Rep3DSegmentationLib.volumes import geometry, voxels
from slicer.i18n import tr as _

from .cautions import caution_text, known_before, questions
from .checks import busy_text, run_obstacle, under_nonlinear_transform
from .context import Context
from .estimating import estimate_text, size_question
from .messages import show_message, show_progress
from .state import INFO, WARNING, Estimate, Job, Message
from .text import duration_text

#: Kinds of jobs whose progress is shown beside Apply, where they can be cancelled.
KINDS = ("segment", "estimate", "why", "install", "sample")


class RunPanel:
    """Starts one run at a time: estimate, question if there is reason for one, then the segmentation itself."""

    def __init__(self, context: Context):
        self.context, ui = context, context.ui
        self._run: SegmentationRun | None = None
        self._pending: Any = None  # of the estimate
        self.cancels: dict[str, Callable[[], None]] = {}  # by kind of job, of the panels that run such jobs
        ui.applyButton.connect("clicked()", self.apply)
        ui.cancelButton.connect("clicked()", self.cancel)
        ui.estimateButton.connect("clicked()", self._on_estimate)
        ui.confirmButton.connect("clicked()", self._on_confirm)
        ui.declineButton.connect("clicked()", self._on_decline)

    def refresh(self) -> None:
        """Show what can be done, what is known of the run to come, and how far one is."""
        ui, state = self.context.ui, self.context.state
        obstacle = run_obstacle(state, self.context.parameters)
        waiting = state.confirm is not None
        for button in (ui.applyButton, ui.estimateButton):
            button.setEnabled(obstacle is None and not waiting)
        ui.applyButton.setToolTip(obstacle or (_("Answer the question above.") if waiting else self._promise()))
        job = state.job if state.job and state.job.kind in KINDS else None
        ui.cancelButton.setVisible(job is not None)
        ui.cancelButton.setEnabled(job is not None and not job.cancelling)
        ui.cancelButton.setToolTip(_("Stop; nothing is changed.") if job else _("Nothing is running."))
        cautions = caution_text(self._cautions())
        show_message(ui.cautionsFrame, ui.cautionsLabel, Message(WARNING, cautions) if cautions else None)
        show_message(ui.messageFrame, ui.messageLabel, state.message)
        ui.hintLabel.setVisible(obstacle is not None and state.job is None)
        ui.hintLabel.setText(obstacle or "")
        ui.estimateLabel.setText(self._estimate_text() or _("Memory and time are checked before a run starts."))
        ui.confirmFrame.setVisible(waiting)
        ui.confirmLabel.setText(state.confirm or "")
        show_progress(ui.progressBar, ui.stageLabel, job)

    # -- what the user does

    def apply(self) -> None:
        """Have the packages installed where they are missing, check memory and time, then run."""
        if run_obstacle(self.context.state, self.context.parameters) is None and self.context.state.confirm is None:
            self.context.when_installed(lambda: self._estimate(then_run=True))

    def cancel(self) -> None:
        """Stop what runs."""
        state = self.context.state
        if state.job is None or state.job.kind not in KINDS:
            return
        state.job = Job(state.job.kind, state.job.stage, state.job.fraction, None, cancelling=True)
        self.context.refresh()
        if state.job.kind in self.cancels:
            self.cancels[state.job.kind]()
        elif self._run is not None:
            self._run.cancel()
        elif self._pending is not None:
            self._pending.cancel()

    def withdraw_question(self) -> None:
        """The choices changed: a question about the old ones makes no sense any more."""
        self.context.state.confirm = None

    def close(self) -> None:
        """End a run without telling anybody: the panel goes away."""
        run, self._run = self._run, None
        if run is not None:
            run.cancel()

    def _on_estimate(self) -> None:
        if run_obstacle(self.context.state, self.context.parameters) is None:
            self.context.when_installed(lambda: self._estimate(then_run=False))

    def _on_confirm(self) -> None:
        self.context.state.confirm = None
        if run_obstacle(self.context.state, self.context.parameters) is None:
            self._start()
        self.context.refresh()

    def _on_decline(self) -> None:
        self.context.state.confirm = None
        self.context.state.estimate = None  # the next Apply looks again: other programs may have been closed
        self.context.refresh()

    # -- estimate

    def _estimate(self, then_run: bool) -> None:
        state = self.context.state
        obstacle = run_obstacle(state, self.context.parameters)
        if obstacle is not None:  # an installation takes minutes, and much may have changed
            self.context.tell(WARNING, _("Not started."), obstacle)
            return
        state.message = None
        try:
            request = self._estimate_request()
        except WorkerError as error:
            self.context.tell_error(error)
            return
        if state.estimate is not None and state.estimate.request == request:
            if then_run:
                self._judge(state.estimate.answer)
            self.context.refresh()
            return
        try:
            grid, forget = self._with_voxels(request["volume"]) if then_run else (request["volume"], lambda: None)
        except WorkerError as error:
            self.context.tell_error(error)
            return
        state.job = Job("estimate", _("Looking at the scan, checking memory and time"))
        self.context.refresh()

        def done(answer: dict[str, Any]) -> None:
            forget()
            cancelling = state.job is not None and state.job.cancelling
            state.job, self._pending = None, None
            state.estimate = Estimate(request, answer)
            self.context.log(INFO, self._estimate_text())
            if then_run and not cancelling:
                self._go_on(answer)
            self.context.refresh()

        def failed(error: WorkerError) -> None:
            forget()
            state.job, self._pending = None, None
            self.context.tell_error(error)

        self._pending = self.context.request("estimate", {**request, "volume": grid}, done, failed)

    def _estimate_request(self) -> dict[str, Any]:
        """What is asked of the worker; equal requests have equal answers. Raises WorkerError."""
        volume, options = self._chosen()
        shape, affine = geometry(volume)
        return {"volume": {"shape": list(shape), "affine": affine}, **options.params()}

    def _with_voxels(self, grid: dict[str, Any]) -> tuple[dict[str, Any], Callable[[], None]]:
        """The grid with the scan's voxels, so that what they show is judged too; and how to forget them.

        A volume below a non-linear transform has none before it is hardened. Raises WorkerError.
        """
        volume, client = self.context.parameters.reference(VOLUME), self.context.client()
        if under_nonlinear_transform(volume):
            return grid, lambda: None
        name = client.write_array(voxels(volume))
        return {**grid, "array": name, "name": volume.GetName() or None}, lambda: client.discard_array(name)

    def _chosen(self) -> tuple[Any, SegmentOptions]:
        parameters = self.context.parameters
        choices, volume = parameters.choices, parameters.reference(VOLUME)
        frames = "all" if choices.all_frames and frame_of(volume) is not None else "current"
        return volume, SegmentOptions(
            task=choices.task,
            weights=choices.weights or None,
            device=choices.device,
            engine=choices.engine,
            overlap=choices.overlap,
            tta=choices.tta,
            remove_islands=choices.islands,
            roi_node=parameters.reference(ROI),
            structures=choices.wanted(choices.task),
            harden=choices.harden,
            segmentation_node=parameters.reference(SEGMENTATION),
            frames=frames,
        )

    def _go_on(self, answer: dict[str, Any]) -> None:
        """The estimate came: run, unless the scene or the choices changed meanwhile."""
        if run_obstacle(self.context.state, self.context.parameters) is None and self._estimate_is_current():
            self._judge(answer)
        else:
            self.context.tell(WARNING, _("Not started: the scene or the choices changed meanwhile."))

    def _judge(self, answer: dict[str, Any]) -> None:
        """Start, or ask first."""
        asked = [caution_text(questions(answer.get("cautions", ()))), size_question(answer, self._seconds(answer))]
        self.context.state.confirm = "\n".join(filter(None, asked)) or None
        if self.context.state.confirm is None:
            self._start()

    def _estimate_text(self) -> str:
        state = self.context.state
        if state.estimate is None or not self._estimate_is_current():
            return ""
        return estimate_text(state.estimate.answer, self._seconds(state.estimate.answer))

    def _seconds(self, answer: dict[str, Any]) -> float | None:
        """Of the whole run: the worker speaks of one volume, the run may be about all frames of a sequence."""
        volume, options = self._chosen()
        frame = frame_of(volume) if options.frames == "all" else None
        return answer["seconds"] if frame is None or answer["seconds"] is None else answer["seconds"] * frame.count

    def _estimate_is_current(self) -> bool:
        parameters = self.context.parameters
        if parameters is None or parameters.reference(VOLUME) is None or not parameters.choices.task:
            return False
        try:
            return self._estimate_request() == self.context.state.estimate.request
        except WorkerError:
            return False

    def _cautions(self) -> tuple[dict[str, Any], ...]:
        """Of the run to come: what the worker said of this scan, else what is known of the weights."""
        state, parameters = self.context.state, self.context.parameters
        if parameters is None or state.confirm is not None:  # a question says it already
            return ()
        choices, volume = parameters.choices, parameters.reference(VOLUME)
        if state.estimate is not None and self._estimate_is_current():
            return tuple(state.estimate.answer.get("cautions", ()))
        shown = state.result is not None and state.result.task == choices.task  # there, with the result
        shown = shown and volume is not None and volume.GetID() == state.result_volume_id
        return () if shown else known_before(state.catalog, choices.task, choices.weights)

    def _promise(self) -> str:
        state = self.context.state
        if state.job is not None:
            return busy_text(state.job.kind)
        return _("Segment the volume.") if state.ready else _("Segment the volume; asks before it installs packages.")

    # -- the run

    def _start(self) -> None:
        state, (volume, options) = self.context.state, self._chosen()
        state.message, state.asked_device = None, options.device
        state.job = Job("segment", _("Starting"))
        text = _("Segmenting {volume}: task {task}, device {device}, overlap {overlap:g}, mirroring {tta}")
        tta = _("on") if options.tta else _("off")
        values = {"volume": volume.GetName(), "task": options.task, "device": options.device}
        self.context.log(INFO, text.format(**values, overlap=options.overlap, tta=tta))
        volume_id = volume.GetID()

        def done(result: Any) -> None:
            self._run, state.job, state.estimate = None, None, None
            state.result, state.result_volume_id = result, volume_id
            for warning in (*result.warnings, *(caution["message"] for caution in result.cautions)):
                self.context.log(WARNING, warning)
            self.context.tell(INFO, _("Done in {0}.").format(duration_text(result.seconds)))

        def failed(error: WorkerError) -> None:
            self._run, state.job = None, None
            self.context.tell_error(error)

        def progress(fraction: float, stage: str, eta_s: float | None) -> None:
            cancelling = state.job is not None and state.job.cancelling
            state.job = Job("segment", stage, fraction, eta_s, cancelling)
            self.refresh()

        try:
            self._run = run = SegmentationRun(self.context.client(), volume, options, progress, done, failed)
            run.start()
        except WorkerError as error:
            failed(error)
            return
        self.context.watch_run(lambda: run.running)
        self.context.refresh()
