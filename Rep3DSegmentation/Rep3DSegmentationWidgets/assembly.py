"""Makes the panels, and passes on to them what happens to the module as a whole."""

from __future__ import annotations

from typing import Any

from Rep3DSegmentationLib.backend_location import backend_module
from Rep3DSegmentationLib.errors import WorkerError
from Rep3DSegmentationLib.parameters import VOLUME
from Rep3DSegmentationLib.session import close_client
from Rep3DSegmentationLib.suggestion import suggest
from Rep3DSegmentationLib.why.folder import KIND
from slicer.i18n import tr as _

from .batch_panel import BatchPanel
from .context import Context
from .inputs_panel import InputsPanel
from .log_panel import LogPanel
from .options_panel import OptionsPanel
from .results_panel import ResultsPanel
from .run_panel import RunPanel
from .sample_panel import SamplePanel
from .setup_panel import SetupPanel
from .state import INFO, Catalog
from .weights_panel import WeightsPanel
from .why_panel import WhyPanel


class Assembly:
    """All panels of one module widget."""

    def __init__(self, ui: Any):
        self.log = LogPanel(ui)
        self.context = Context(ui, self.log.write)
        self.setup = SetupPanel(self.context, self.load_catalog)
        self.context.when_installed = self.setup.when_installed
        self.inputs = InputsPanel(self.context)
        self.sample = SamplePanel(self.context)
        self.options = OptionsPanel(self.context)
        self.run = RunPanel(self.context)
        self.results = ResultsPanel(self.context)
        self.batch = BatchPanel(self.context)
        self.weights = WeightsPanel(self.context, self.load_catalog)
        self.why = WhyPanel(self.context)
        self.run.cancels |= {"why": self.why.cancel, "install": self.setup.cancel, "sample": self.sample.cancel}
        panels = (self.inputs, self.sample, self.options, self.run, self.results, self.why)
        self.context.add(*panels, self.batch, self.weights, self.setup)
        ui.deviceRefreshButton.connect("clicked()", self.refresh_devices)

    def enter(self) -> None:
        """List what there is, look at what is installed, and have the worker get ready unless it is."""
        state = self.context.state
        if state.catalog is None:
            self._list_files()
        if not state.ready:
            self.setup.check()  # goes on to load_catalog when all is there
        elif state.catalog is not None and state.catalog.hello is None:
            self.load_catalog()
        self.suggest()
        self.context.refresh()

    def choices_changed(self) -> None:
        """The parameter node changed."""
        self.run.withdraw_question()
        self.suggest()
        self.context.refresh()

    def suggest(self) -> None:
        """Choose the task that fits the volume, as long as nobody has chosen one."""
        parameters, catalog = self.context.parameters, self.context.state.catalog
        if parameters is None or catalog is None or not parameters.choices.task_is_suggested:
            return
        volume = parameters.reference(VOLUME)
        if volume is not None and volume.GetAttribute(KIND):  # a picture of a kernel, which is nobody's scan
            volume = None
        key = suggest(catalog.tasks, catalog.weights, volume)
        if key != parameters.choices.task:
            parameters.set(task=key, suggested=key, weights="", islands=None)

    def scene_closed(self) -> None:
        """The scene goes away, with the nodes of the result; a run ends by itself and says so."""
        state = self.context.state
        state.result, state.result_volume_id, state.estimate, state.confirm = None, None, None, None
        self.why.scene_closed()
        self.context.refresh()

    def close(self) -> None:
        """The module goes away."""
        if self.context.closed:
            return
        self.run.close()
        self.why.close()
        self.context.close()
        close_client()

    def refresh_devices(self) -> None:
        """Ask the worker again, for devices and their free memory."""
        self.context.when_installed(self.load_catalog)

    def load_catalog(self) -> None:
        """Ask the worker for devices, tasks and weights; the panels show them when all three have come."""
        state, answers = self.context.state, {}
        if state.loading or not state.ready:
            return
        try:
            self.context.client().on_log = self._on_worker_log
        except WorkerError as error:  # no backend
            self.context.tell_error(error)
            return
        state.loading, state.estimate = True, None  # weights and free memory may have changed

        def came(method: str, answer: dict[str, Any]) -> None:
            answers[method] = answer
            if len(answers) < 3:
                return
            state.loading = False
            models = answers["models"]
            state.catalog = Catalog(
                answers["hello"], tuple(answers["tasks"]["tasks"]), tuple(models["weights"]), tuple(models["available"])
            )
            self.context.log(INFO, versions_text(answers["hello"]))
            self.suggest()
            self.context.refresh()

        def failed(error: WorkerError) -> None:
            if state.loading:  # one message for the three requests
                state.loading = False
                self.context.tell_error(error)

        for method in ("hello", "tasks", "models"):
            if state.loading:
                self.context.request(method, {}, lambda answer, method=method: came(method, answer), failed)
        self.context.refresh()

    def _list_files(self) -> None:
        """What plain files tell of tasks and weights: no package and no worker is needed."""
        try:
            catalog = backend_module("catalog")
        except WorkerError as error:
            self.context.tell_error(error)
            return
        self.context.state.catalog = Catalog(None, tuple(catalog.tasks()), tuple(catalog.weights()))

    def _on_worker_log(self, line: str) -> None:
        self.context.log(INFO, line)


def versions_text(hello: dict[str, Any]) -> str:
    """One line for the log: what runs where."""
    devices = ", ".join(device["name"] for device in hello["devices"])
    return _("Worker: Rep3D {rep3d}, Python {python}, PyTorch {torch}; devices: {devices}").format(
        **{name: hello[name] for name in ("rep3d", "python", "torch")}, devices=devices
    )
