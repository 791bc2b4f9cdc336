"""Explain: which voxels of the scan decided one voxel, and the masks and kernels of the network."""

from __future__ import annotations

from typing import Any

import qt
import slicer
from Rep3DSegmentationLib.errors import WorkerError
from Rep3DSegmentationLib.parameters import VOLUME
from Rep3DSegmentationLib.why import folder, layout, masks, overlay, points, tables
from Rep3DSegmentationLib.why.runs import ErfOptions, ErfRun, MasksRun, WhyRun
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from .checks import erf_obstacle, why_obstacle
from .choices import ChoiceList
from .context import Context, scene
from .state import INFO, WARNING, Job

#: Reference of the parameter node to the list of points.
POINTS = "WhyPoints"
PREDICTED = ""  # value of the entry that leaves the structure to the network


class WhyPanel(VTKObservationMixin):
    """Shows masks of the chosen weights and receptive fields at points of the chosen volume, one run at a time."""

    def __init__(self, context: Context):
        VTKObservationMixin.__init__(self)
        self.context, ui = context, context.ui
        self._run: WhyRun | None = None
        self._masks: masks.MaskSet | None = None
        self._masks_of: tuple[str, str] | None = None  # task and weights that _masks belongs to
        self._nodes: masks.MaskNodes | None = None
        self._block, self._part, self._class = "", masks.PARTS[0], PREDICTED
        self._point, self._known = 0, 0  # row of the chosen point, number of points seen so far
        self._markups: Any = None
        self._names: list[str] = []
        self._blocks, self._parts = ChoiceList(ui.whyBlockSelector), ChoiceList(ui.whyPartSelector)
        self._points, self._classes = ChoiceList(ui.whyPointSelector), ChoiceList(ui.whyClassSelector)
        ui.whyTable.verticalHeader().setVisible(False)
        ui.whyMaskButton.connect("clicked()", self.show_masks)
        ui.whyErfButton.connect("clicked()", self.show_erf)
        ui.whyRemoveButton.connect("clicked()", self.remove)
        ui.whyPlaceButton.connect("clicked()", self._on_place)
        ui.whyBlockSelector.connect("currentIndexChanged(int)", self._on_block)
        ui.whyPartSelector.connect("currentIndexChanged(int)", self._on_part)
        ui.whyChannelSlider.connect("valueChanged(double)", self._on_channel)
        ui.whyPointSelector.connect("currentIndexChanged(int)", self._on_point)
        ui.whyClassSelector.connect("currentIndexChanged(int)", self._on_class)
        ui.whyPointsSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._on_points)

    # -- showing the state

    def refresh(self) -> None:
        """Show what can be chosen and done."""
        ui, state, parameters = self.context.ui, self.context.state, self.context.parameters
        obstacle = why_obstacle(state, parameters)
        ui.whyMaskButton.setEnabled(obstacle is None)
        ui.whyMaskButton.setToolTip(obstacle or _("Show what the network learned of its large kernels."))
        obstacle = erf_obstacle(state, parameters)
        ui.whyErfButton.setEnabled(obstacle is None)
        ui.whyErfButton.setToolTip(
            obstacle or _("Show which voxels of the scan decided this one: its receptive field.")
        )
        ui.whyRemoveButton.setEnabled(state.job is None and bool(folder.kept()))
        ui.whyPlaceButton.setEnabled(parameters is not None)
        ui.whyPointsSelector.setEnabled(parameters is not None)
        self._show_masks_choices()
        self._show_points()
        task = state.catalog.task(parameters.choices.task) if state.catalog and parameters else None
        items = [(_("The one predicted there"), PREDICTED), (_("Background"), "0")]
        items += [(label["name"], str(label["value"])) for label in (task or {}).get("labels", [])]
        if all(value != self._class for _text, value in items):
            self._class = PREDICTED
        self._classes.show(items, self._class)

    def _show_masks_choices(self) -> None:
        ui = self.context.ui
        current = self._masks if self._masks is not None and self._masks_of == self._chosen() else None
        if current is None:
            self._blocks.show([(_('Press "Show"'), "")], "")
        else:
            self._blocks.show([(block.name, block.name) for block in current.blocks], self._block)
        titles = {"mask": _("Mask"), "prior": _("Prior"), "kernel": _("Kernel")}
        self._parts.show([(titles[part], part) for part in masks.PARTS], self._part)
        for widget in (ui.whyBlockSelector, ui.whyPartSelector, ui.whyChannelSlider):
            widget.setEnabled(current is not None)
        channels = 0 if current is None else current.blocks[current.index(self._block)].channels
        ui.whyChannelSlider.maximum = channels  # a property: PythonQt hides CTK's plain setters

    def _show_points(self) -> None:
        parameters, ui = self.context.parameters, self.context.ui
        markups = parameters.reference(POINTS) if parameters is not None else None
        self._observe(markups)
        if ui.whyPointsSelector.currentNode() is not markups:
            ui.whyPointsSelector.setCurrentNode(markups)
        placed = points.points_of(markups)
        if len(placed) > self._known:
            self._point = len(placed) - 1  # the newest
        self._known = len(placed)
        self._point = max(0, min(self._point, len(placed) - 1))
        if markups is None:
            items = [(_("Where the crosshair is"), "0")]
        else:
            items = [(point.name, str(row)) for row, point in enumerate(placed)] or [(_("No point yet"), "0")]
        self._points.show(items, str(self._point))

    def _observe(self, markups: Any) -> None:
        if markups is self._markups:
            return
        self.removeObservers(self._on_markups)
        self._markups, self._names, self._known, self._point = markups, [], 0, 0
        kind = slicer.vtkMRMLMarkupsNode
        for event in (kind.PointPositionDefinedEvent, kind.PointRemovedEvent, kind.PointModifiedEvent):
            if markups is not None:
                self.addObserver(markups, event, self._on_markups)

    def _fill(self, headers: list[str], rows: list[list[str]]) -> None:
        table = self.context.ui.whyTable
        table.setColumnCount(len(headers))
        table.setHorizontalHeaderLabels(headers)
        table.setRowCount(len(rows))
        for row, texts in enumerate(rows):
            for column, text in enumerate(texts):
                item = qt.QTableWidgetItem(text)
                item.setToolTip(text)
                table.setItem(row, column, item)
        header = table.horizontalHeader()
        header.setSectionResizeMode(0, qt.QHeaderView.Stretch)
        for column in range(1, len(headers)):
            header.setSectionResizeMode(column, qt.QHeaderView.ResizeToContents)
        table.setVisible(True)

    # -- what the user does

    def show_masks(self) -> None:
        """Show the chosen block; asks the worker first unless it has told about these weights."""
        if why_obstacle(self.context.state, self.context.parameters) is None:
            self.context.when_installed(self._show_masks)

    def show_erf(self) -> None:
        """Show the receptive field at the chosen point."""
        if erf_obstacle(self.context.state, self.context.parameters) is None:
            self.context.when_installed(self._show_erf)

    def _show_masks(self) -> None:
        if why_obstacle(self.context.state, self.context.parameters) is not None:
            return
        chosen = self._chosen()
        if self._masks is not None and self._masks_of == chosen:
            self._show_block()
            return

        def done(found: masks.MaskSet) -> None:
            self._masks, self._masks_of = found, chosen
            self._block = found.blocks[0].name
            self._show_block()

        task, weights = chosen
        self._start(MasksRun(self.context.client(), task, weights or None, **self._callbacks(done)), _("Masks"))

    def _show_erf(self) -> None:
        parameters = self.context.parameters
        if erf_obstacle(self.context.state, parameters) is not None:
            return
        choices, volume = parameters.choices, parameters.reference(VOLUME)
        try:
            point = self._chosen_point()
        except WorkerError as error:
            self.context.tell_error(error)
            return
        options = ErfOptions(
            task=choices.task,
            weights=choices.weights or None,
            class_index=None if self._class == PREDICTED else int(self._class),
            device=choices.device,
            harden=choices.harden,
        )

        def done(nodes: Any) -> None:
            layout.close_layout()  # that of the masks, which does not show the scan
            overlay.show_overlay(nodes.volume, volume, point.ras)
            row = tables.rows_of(nodes.table)[-1]
            self._fill([_("Receptive field"), _("Value")], [[title, short(text)] for title, text in row.items()])
            for warning in nodes.warnings:
                self.context.log(WARNING, warning)
            text = _(
                "{structure} at {point}: half of what decided it lies within {half:.0f} mm, 90 % within {most:.0f} mm."
            )
            values = {"structure": nodes.class_name, "point": point.name}
            level = WARNING if nodes.warnings else INFO
            text = text.format(**values, half=nodes.radius50_mm, most=nodes.radius90_mm)
            self.context.tell(level, text, " ".join(nodes.warnings))

        run = ErfRun(self.context.client(), volume, point, options, **self._callbacks(done))
        self._start(run, _("Receptive field"))

    def remove(self) -> None:
        """Take everything of this section out of the views and out of the scene."""
        overlay.clear_overlays()
        layout.close_layout()
        folder.remove_all()
        self._nodes = None
        self.context.ui.whyTable.setVisible(False)
        self.context.refresh()

    def cancel(self) -> None:
        """Stop what runs."""
        if self._run is not None:
            self._run.cancel()

    def scene_closed(self) -> None:
        """The nodes are gone."""
        self._nodes = None
        self._observe(None)
        self.context.ui.whyTable.setVisible(False)

    def close(self) -> None:
        """End a run without telling anybody: the panel goes away."""
        self.removeObservers()
        run, self._run = self._run, None
        if run is not None:
            run.cancel()

    # -- the parts of it

    def _chosen(self) -> tuple[str, str]:
        choices = self.context.parameters.choices if self.context.parameters is not None else None
        return (choices.task, choices.weights) if choices is not None else ("", "")

    def _chosen_point(self) -> points.Point:
        if self._markups is None:
            return points.crosshair()
        placed = points.points_of(self._markups)
        if not placed:
            name = self._markups.GetName()
            raise WorkerError("bad_input", _("{0} has no point.").format(name), _("Place one, or use the crosshair."))
        return placed[min(self._point, len(placed) - 1)]

    def _show_block(self) -> None:
        """Show the chosen block and channel in the scene, the views and the table."""
        found = self._masks.blocks[self._masks.index(self._block)]
        number = min(round(self.context.ui.whyChannelSlider.value), found.channels)
        volume = self.context.parameters.reference(VOLUME)
        self._nodes = masks.show_block(self._masks, found, number - 1 if number > 0 else None, volume)
        layout.open_layout()
        self._show_in_views()
        headers = [self._nodes.table.GetColumnName(i) for i in range(self._nodes.table.GetNumberOfColumns())]
        rows = [list(row.values()) for row in tables.rows_of(self._nodes.table)]
        self._fill(headers, [[short(text) for text in row] for row in rows])
        self.context.refresh()

    def _show_in_views(self) -> None:
        masks.show_part(self._nodes, self._part)
        volume, rendering = self._nodes.volumes[self._part], self._nodes.renderings[self._part]
        size = float(max(volume.GetImageData().GetDimensions()))
        layout.show_in_layout(volume, rendering, self._nodes.chart, size)

    def _callbacks(self, done: Any) -> dict[str, Any]:
        state = self.context.state

        def finished(result: Any) -> None:
            self._run, state.job = None, None
            if not self.context.closed:
                done(result)
                self.context.refresh()

        def failed(error: WorkerError) -> None:
            self._run, state.job = None, None
            if not self.context.closed:
                self.context.tell_error(error)

        def progress(fraction: float, stage: str, eta_s: float | None) -> None:
            cancelling = state.job is not None and state.job.cancelling
            state.job = Job("why", stage, fraction, eta_s, cancelling)
            self.context.refresh()

        return {"on_done": finished, "on_error": failed, "on_progress": progress}

    def _start(self, run: WhyRun, stage: str) -> None:
        state = self.context.state
        state.message, state.job = None, Job("why", stage)
        try:
            run.start()
        except WorkerError as error:
            state.job = None
            self.context.tell_error(error)
            return
        self._run = run
        self.context.watch_run(lambda: run.running)
        self.context.refresh()

    # -- widgets

    def _on_block(self, _index: int) -> None:
        if not self.context.updating and self._blocks.value():
            self._block = self._blocks.value()
            self._show_block()

    def _on_part(self, _index: int) -> None:
        if not self.context.updating and self._parts.value():
            self._part = self._parts.value()
            if self._nodes is not None and scene().IsNodePresent(self._nodes.volumes[self._part]):
                self._show_in_views()

    def _on_channel(self, _value: float) -> None:
        if not self.context.updating and self._masks is not None and self._masks_of == self._chosen():
            self._show_block()

    def _on_point(self, _index: int) -> None:
        if not self.context.updating and self._points.value() is not None:
            self._point = int(self._points.value())

    def _on_class(self, _index: int) -> None:
        if not self.context.updating and self._classes.value() is not None:
            self._class = self._classes.value()

    def _on_points(self, node: Any) -> None:
        if not self.context.updating and self.context.parameters is not None:
            self.context.parameters.set_reference(POINTS, node)
            self.context.refresh()

    def _on_place(self) -> None:
        markups = points.place_point(self._markups)
        self.context.parameters.set_reference(POINTS, markups)
        self.context.refresh()

    def _on_markups(self, _caller: Any, _event: Any) -> None:
        names = [point.name for point in points.points_of(self._markups)]
        if names != self._names:  # a point that is only moved changes nothing here, and tells so many times
            self._names = names
            self.context.refresh()


def short(text: str) -> str:
    """A number of a table with the digits that matter; other text as it is, nothing for what does not apply."""
    try:
        value = float(text)
    except ValueError:
        return text
    if value != value:
        return ""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
