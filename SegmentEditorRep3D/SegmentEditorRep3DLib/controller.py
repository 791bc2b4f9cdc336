"""What a click, a hover and each button of the panel do. Knows nodes and the session, no widgets."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from Rep3DSegmentationLib.click import geometry
from Rep3DSegmentationLib.click.entries import ClickOptions
from Rep3DSegmentationLib.click.picking import Hit, Pick, PreparedVolume
from Rep3DSegmentationLib.errors import InputError, WorkerError
from Rep3DSegmentationLib.volumes import check_volume
from slicer.i18n import tr as _

from . import settings
from .catalog import demo_only, get_catalog
from .commit import commit, fill_all
from .editor import Editor
from .interaction import REMOVE, ClickPoint
from .last_click import LastClick
from .preparation import NONE, PREPARING, READY, Preparation, Waiting
from .status import ERROR, INFO, WARNING, Status, of_error

NOT_CHOSEN = Status("", INFO)


class ClickController:
    """The effect in one editor. ``changed`` is called when there is something new to show.

    Attributes:
        status: the line for the user. preparation: what runs in the worker.
    """

    def __init__(self, editor: Editor, changed: Callable[[], None]):
        self.editor = editor
        self.status = NOT_CHOSEN
        self._changed = changed
        self._last: LastClick | None = None
        self._volume_id = ""  # of the source volume when it was looked at last
        self._patch: tuple[tuple, ClickOptions, PreparedVolume] | None = None  # volume, options, answer of a patch
        self._ready = False  # whether the last look found the volume prepared
        self.preparation = Preparation(self._on_preparation)

    @property
    def settings(self) -> settings.Settings:
        """The choices as they are now."""
        return settings.read(self.editor.effect)

    @property
    def state(self) -> str:
        """ "ready", "preparing" or "none" for the source volume and the choices; of the last patch in local mode."""
        if self.preparation.running:
            return PREPARING
        now = self.settings
        if now.Mode == settings.LOCAL:
            return READY if self._answer(now) is not None else NONE
        return self.preparation.state(self.editor.volume, now.options)

    # -- what the user does

    def prepare(self) -> None:
        """Have the whole volume segmented now, so that the first click is instant."""
        try:
            self._check()
            self.preparation.whole(self.editor.volume, self.settings.options)
            if self.preparation.running:
                self.tell(_("Preparing {name}...").format(name=self.editor.volume.GetName()))
            else:
                self.tell(ready_text())
        except WorkerError as error:
            self.tell_error(error)

    def cancel(self) -> None:
        """Stop what this editor has started."""
        self.preparation.cancel()

    def click(self, point: ClickPoint) -> None:
        """Take, add or remove the structure at a point; later, if the volume has to be prepared first."""
        try:
            self._click(point)
        except WorkerError as error:
            self.tell_error(error)

    def hover(self, ras: tuple[float, float, float]) -> Hit | None:
        """What a click at a world point would take; None for background, outside, or while nothing is known."""
        now, volume = self.settings, self.editor.volume
        answer = self._answer(now)
        voxel = geometry.voxel_at(volume, ras) if answer is not None else None
        try:
            hit = answer.hit(voxel) if voxel is not None else None
        except WorkerError as error:  # once: the answer counts as lost from now on
            self.tell_error(error)
            return None
        return hit if hit is not None and hit.probability >= now.Threshold else None

    def reapply(self) -> None:
        """Take the last click back and make it again with the settings as they are now, if it still stands."""
        last = self._last
        if last is None:
            return
        if not last.stands(self.editor):
            self._last = None
            return
        try:
            pick = self._pick(last.answer, last.point)
        except WorkerError as error:
            self._last = None
            self.tell_error(error)
            return
        if last.applied and not self.editor.undo():
            self._last = None
            self.tell(_("The last click cannot be changed any more: undo is off in this editor."), WARNING)
            return
        self._last = replace(last, applied=False, fingerprint=self.editor.fingerprint())
        self._commit(pick, last.point, last.answer)

    def fill_all(self) -> None:
        """One segment for each structure of the prepared volume."""
        try:
            self._check()
            now = self.settings
            answer = self.preparation.answer(self.editor.volume, now.options)
            if answer is None:
                raise InputError(_("The volume is not prepared."), _('Press "Prepare" first.'))
            self._last = None
            picks = [answer.structure(value) for value in answer.label_info]
            self._say(fill_all(self.editor, picks, now.Task, self._demo(now)))
        except WorkerError as error:
            self.tell_error(error)

    # -- what happens around it

    def tick(self) -> None:
        """Look whether the session's state has changed: another editor may have prepared or lost the volume."""
        state = self.state
        ready = state == READY
        if self.preparation.waiting is not None and ready:
            self._apply_waiting()
        elif self.preparation.waiting is not None and state == NONE:
            self.preparation.waiting = None
            self.tell(_("The volume could not be prepared; click again."), WARNING)
        elif ready and not self._ready and self.settings.Mode != settings.LOCAL:
            warnings = self.preparation.warnings
            self.status = Status(" ".join((ready_text(), *warnings)), WARNING if warnings else INFO)
        if ready != self._ready:
            self._ready = ready
            self._changed()

    def settings_changed(self) -> None:
        """The parameters were set, by the panel or a script: what runs for other ones is of no use any more."""
        if self.preparation.running and self.preparation.options != self.settings.options:
            self.preparation.cancel()
        self.tick()

    def source_changed(self) -> None:
        """The editor says so, now and then also when the source volume is still the same; then nothing happens."""
        volume = self.editor.volume
        if (volume.GetID() if volume is not None else "") != self._volume_id:
            self._volume_id = volume.GetID() if volume is not None else ""
            self.start_anew()

    def start_anew(self) -> None:
        """Another source volume, or none: nothing that waits may reach it."""
        self.preparation.cancel()
        self._last = self._patch = None
        self.status = NOT_CHOSEN
        self._changed()

    def leave(self) -> None:
        """The effect is no longer active: a click that waits is dropped, the last one is settled.

        Preparing goes on, so that it is not lost while the user paints.
        """
        self.preparation.waiting = None
        self._last = None

    def close(self) -> None:
        """The editor goes away."""
        self.preparation.cancel()
        self._last = self._patch = None

    def tell(self, text: str, level: str = INFO) -> None:
        """Show a line."""
        self._say(Status(text, level))

    def tell_error(self, error: WorkerError) -> None:
        """Show an error and what can be done."""
        status = of_error(error)
        if status.level == ERROR:
            logging.error(f"Rep3D: {error.message} {error.hint}")
        self._say(status)

    # -- steps

    def _say(self, status: Status) -> None:
        self.status = status
        self._changed()

    def _check(self) -> None:
        """Raise InputError for what is missing before the worker can be asked."""
        if self.editor.volume is None:
            raise InputError(_("No source volume is chosen."), _("Choose one at the top of the Segment Editor."))
        check_volume(self.editor.volume)
        self._volume_id = self.editor.volume.GetID()
        if not self.settings.Task:
            raise InputError(_("No task is chosen."), _("Choose the task whose structures you want to click."))

    def _click(self, point: ClickPoint) -> None:
        self._check()
        if self.editor.segment(self.editor.segment_id) is None:
            raise InputError(_("No segment is selected."), _("Add a segment or select one."))
        volume, now = self.editor.volume, self.settings
        voxel = geometry.voxel_at(volume, point.ras)
        if voxel is None:
            self.tell(_("Outside of {name}: nothing to take here.").format(name=volume.GetName()))
            return
        if not self._confirm():
            return
        answer = self.preparation.answer(volume, now.options)
        if answer is not None:
            self._take(answer, point)
            return
        waiting = Waiting(point, self.editor.context(), now.options)
        if now.Mode == settings.LOCAL:
            self.preparation.patch(volume, voxel, now.options, lambda patch: self._take_patch(patch, waiting))
        else:
            self.preparation.whole(volume, now.options)
        self.preparation.waiting = waiting
        self.tell(_("The click is applied when the network has answered."))

    def _take_patch(self, patch: PreparedVolume, waiting: Waiting) -> None:
        if waiting is self.preparation.waiting:
            self._patch = (waiting.context[:2], waiting.options, patch)
            self._apply_waiting()

    def _confirm(self) -> bool:
        """Ask about a hidden segment; the click goes on only if it was in view."""
        if self.editor.confirm_visible():
            return True
        self.tell(_("Nothing was changed. If the segment is shown now, click again."))
        return False

    def _apply_waiting(self) -> None:
        """The answer is there: make the click that waited, unless something has changed."""
        waiting, self.preparation.waiting = self.preparation.waiting, None
        now = self.settings
        answer = self._answer(now)
        if waiting.context != self.editor.context() or waiting.options != now.options or answer is None:
            self.tell(_("Ready. The click was dropped, because volume, segment or settings have changed since."))
        elif self._confirm():
            try:
                self._take(answer, waiting.point)
            except WorkerError as error:
                self.tell_error(error)
                return
            if self.preparation.warnings:  # such as a scan of another modality than the task's
                self.tell(" ".join((self.status.text, *self.preparation.warnings)), WARNING)

    def _answer(self, now: settings.Settings) -> PreparedVolume | None:
        """What hover and the waiting click look at: the whole volume if it is known, in local mode the last patch."""
        answer = self.preparation.answer(self.editor.volume, now.options)
        if answer is not None or now.Mode != settings.LOCAL or self._patch is None:
            return answer
        context, options, patch = self._patch
        return patch if context == self.editor.context()[:2] and options == now.options and patch.exists() else None

    @staticmethod
    def _demo(now: settings.Settings) -> bool:
        return demo_only(get_catalog().catalog, now.Task, now.Weights)

    def _take(self, answer: PreparedVolume, point: ClickPoint) -> None:
        self._last = None
        self._commit(self._pick(answer, point), point, answer)

    def _pick(self, answer: PreparedVolume, point: ClickPoint) -> Pick:
        now = self.settings
        return answer.pick(
            geometry.voxel_at(self.editor.volume, point.ras),
            threshold=now.Threshold,
            smoothing_mm=now.SmoothingMm,
            all_of_class=now.AllOfClass,
            plane=point.normal if now.SliceOnly else None,
        )

    def _commit(self, pick: Pick, point: ClickPoint, answer: PreparedVolume) -> None:
        if not pick.voxels:
            self.tell(pick.message, INFO)
            return
        now = self.settings
        done = commit(self.editor, pick, point, now.Task, now.NameSegment, self._demo(now))
        if done is None:
            text = _("This point is outside of the segmentation's geometry ({action} is not possible here).")
            action = _("removing") if point.action == REMOVE else _("adding")
            self.tell(text.format(action=action), WARNING)
            return
        context, fingerprint = self.editor.context(), self.editor.fingerprint()
        self._last = LastClick(point, answer, context, fingerprint, applied=done.undoable)
        self._say(done.status)

    def _on_preparation(self) -> None:
        if self.preparation.error is not None:
            error, self.preparation.error = self.preparation.error, None
            self.tell_error(error)
        else:
            self.tick()
            self._changed()


def ready_text() -> str:
    """What the status line says once the volume is prepared."""
    return _("Ready: click a structure in a slice view.")


def hover_text(hit: Any, action: str) -> str:
    """Such as "Liver 93%", with a sign in front where the click would remove."""
    text = _("{name} {probability:.0%}").format(name=hit.name, probability=hit.probability)
    return "\u2212 " + text if action == REMOVE else text
