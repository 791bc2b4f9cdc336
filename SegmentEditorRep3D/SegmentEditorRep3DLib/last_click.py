"""The last click, as long as it may be taken back and applied again with other settings."""

from __future__ import annotations

from dataclasses import dataclass

from Rep3DSegmentationLib.click.picking import PreparedVolume

from .editor import Editor
from .interaction import ClickPoint


@dataclass(frozen=True)
class LastClick:
    """A click that was made.

    point: where and how. answer: what it was picked from. context: volume, segmentation and segment then.
    fingerprint: of the segmentation as the click left it. applied: false while there is nothing to take back, because
    nothing reaches the threshold or it has changed nothing.
    """

    point: ClickPoint
    answer: PreparedVolume
    context: tuple
    fingerprint: tuple
    applied: bool = True

    def stands(self, editor: Editor) -> bool:
        """Has nothing else changed the segments since, and is the same segment selected?"""
        return self.context == editor.context() and self.fingerprint == editor.fingerprint() and self.answer.exists()
