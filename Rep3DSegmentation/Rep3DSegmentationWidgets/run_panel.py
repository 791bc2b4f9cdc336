"""Apply, Cancel, the estimate before a run, progress, and what went wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from Rep3DSegmentationLib.errors import WorkerError
from Rep3DSegmentationLib.parameters import ROI, SEGMENTATION, VOLUME
from Rep3DSegmentationLib.run import SegmentationRun, SegmentOptions
from Rep3DSegmentationLib.sequences import frame_of
from Rep3DSegmentationLib.volumes import geometry
from slicer.i18n import tr as _

from .checks import run_obstacle
from .context import Context
from .state import INFO, WARNING, Estimate, Job
from .text import duration_text, size_text

#: A run that is estimated to take longer than this is only started after a question.
LONG_RUN_S = 300.0
#: Kinds of jobs whose progress is shown beside Apply, where they can be cancelled.
KINDS = ("segment", "estimate", "why")


class RunPanel:
    """Starts one run at a time: estimate, question if it is large or long, then the segmentation itself."""

    def __init__(self, context: Context):
        self.context, ui = context, context.ui
        self._run: SegmentationRun | None = None
        self._pending: Any = None  # of the estimate
        self.cancel_why: Callable[[], None] = lambda: None  # of the panel that runs such jobs
        ui.applyButton.connect("clicked()", self.apply)
        ui.cancelButton.connect("clicked()", self.cancel)
        ui.estimateButton.connect("clicked()", self._on_estimate)
        ui.confirmButton.connect("clicked()", self._on_confirm)
        ui.declineButton.connect("clicked()", self._on_decline)

    def refresh(self) -> None:
        """Show what can be done, what is estimated and how far a run is."""
        ui, state = self.context.ui, self.context.state
        obstacle = run_obstacle(state, self.context.parameters)
        waiting = state.confirm is not None
        ui.applyButton.setEnabled(obstacle is None and not waiting)
        ui.applyButton.setToolTip(
            obstacle or (_("Answer the question above.") if waiting else _("Segment the volume."))
        )
        ui.estimateButton.setEnabled(obstacle is None and not waiting)
        job = state.job if state.job and state.job.kind in KINDS else None
        ui.cancelButton.setEnabled(job is not None and not job.cancelling)
        ui.cancelButton.setToolTip(_("Stop the run; nothing is changed.") if job else _("Nothing is running."))
        show_message(ui.messageFrame, ui.messageLabel, state.message)
        ui.estimateLabel.setText(obstacle if obstacle and state.job is None else self._estimate_text())
        ui.confirmFrame.setVisible(waiting)
        ui.confirmLabel.setText(state.confirm or "")
        show_progress(ui.progressBar, ui.stageLabel, job)

    # -- what the user does

    def apply(self) -> None:
        """Check memory and time, then run."""
        if run_obstacle(self.context.state, self.context.parameters) is None and self.context.state.confirm is None:
            self._estimate(then_run=True)

    def cancel(self) -> None:
        """Stop what runs."""
        state = self.context.state
        if state.job is None or state.job.kind not in KINDS:
            return
        state.job = Job(state.job.kind, state.job.stage, state.job.fraction, None, cancelling=True)
        self.context.refresh()
        if state.job.kind == "why":
            self.cancel_why()
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
            self._estimate(then_run=False)

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
        state.job = Job("estimate", _("Checking memory and time"))
        self.context.refresh()

        def done(answer: dict[str, Any]) -> None:
            cancelling = state.job is not None and state.job.cancelling
            state.job, self._pending = None, None
            state.estimate = Estimate(request, answer)
            self.context.log(INFO, self._estimate_text())
            if then_run and not cancelling:
                self._go_on(answer)
            self.context.refresh()

        def failed(error: WorkerError) -> None:
            state.job, self._pending = None, None
            self.context.tell_error(error)

        self._pending = self.context.request("estimate", request, done, failed)

    def _estimate_request(self) -> dict[str, Any]:
        """What is asked of the worker; equal requests have equal answers. Raises WorkerError."""
        volume, options = self._chosen()
        shape, affine = geometry(volume)
        return {"volume": {"shape": list(shape), "affine": affine}, **options.params()}

    def _chosen(self) -> tuple[Any, SegmentOptions]:
        parameters = self.context.parameters
        choices, volume = parameters.choices, parameters.reference(VOLUME)
        frames = "all" if choices.all_frames and frame_of(volume) is not None else "current"
        return volume, SegmentOptions(
            task=choices.task,
            weights=choices.weights or None,
            device=choices.device,
            overlap=choices.overlap,
            tta=choices.tta,
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
        need, free, seconds = answer["memory_bytes"], answer["memory_free_bytes"], self._seconds(answer)
        if free is not None and need > free:
            self.context.state.confirm = _(
                "This run needs about {need} of this computer's memory; {free} are free. It may fail. A region needs "
                "less; closing other programs frees some."
            ).format(need=size_text(need), free=size_text(free))
        elif seconds is not None and seconds > LONG_RUN_S:
            self.context.state.confirm = _(
                "This run takes about {time} on {device}. Less overlap, no mirroring or a region make it shorter."
            ).format(time=duration_text(seconds), device=answer["device"])
        else:
            self._start()

    def _estimate_text(self) -> str:
        state = self.context.state
        if state.estimate is None or not self._estimate_is_current():
            return _("Memory and time are checked before a run starts.")
        answer = state.estimate.answer
        windows = _("1 window") if answer["windows"] == 1 else _("{0} windows").format(answer["windows"])
        text = _("About {time} on {device}: {windows}, {need} of {free} free memory.").format(
            time=duration_text(self._seconds(answer)),
            device=answer["device"],
            windows=windows,
            need=size_text(answer["memory_bytes"]),
            free=size_text(answer["memory_free_bytes"]),
        )
        if answer["device_memory_bytes"] is not None:
            gpu = _("{need} of GPU memory, {free} more are free there.").format(
                need=size_text(answer["device_memory_bytes"]), free=size_text(answer["device_memory_free_bytes"])
            )
            text = f"{text} {gpu}"
        return text

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
            self._run, state.job = None, None
            state.result, state.result_volume_id = result, volume_id
            self.context.ui.resultsSection.collapsed = False
            for warning in result.warnings:
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


def show_message(frame: Any, label: Any, message: Any) -> None:
    """Show a message in a frame whose border says how serious it is; hide the frame when there is none."""
    frame.setVisible(message is not None)
    if message is None:
        return
    color = {"info": "#4a90d9", "warning": "#d9a441", "error": "#d0453c"}[message.level]
    frame.setStyleSheet(f"QFrame#{frame.name} {{ border: 1px solid {color}; border-left: 4px solid {color}; }}")
    label.setText(f"{message.text}\n{message.hint}" if message.hint else message.text)


def show_progress(bar: Any, label: Any, job: Job | None) -> None:
    """Show how far a job is; both widgets are hidden when there is none."""
    bar.setVisible(job is not None)
    label.setVisible(job is not None)
    if job is None:
        return
    bar.setRange(0, 0 if job.fraction is None else 1000)
    if job.fraction is not None:
        bar.setValue(round(1000 * job.fraction))
    stage = _("Cancelling") if job.cancelling else job.stage[:1].upper() + job.stage[1:]
    left = "" if job.eta_s is None else _(", about {0} left").format(duration_text(job.eta_s))
    label.setText(stage + left)
