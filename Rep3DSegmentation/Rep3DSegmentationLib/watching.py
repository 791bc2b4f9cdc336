"""What runs of every kind share: the eye on their volume and scene, and an error for what nobody foresaw."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import slicer
import vtk

from .errors import WorkerError
from .i18n import _


class SceneWatch:
    """Calls ``on_gone(message)`` when ``volume_node`` (None: no volume) is deleted or the scene closed, until
    ``stop()``."""

    def __init__(self, volume_node: Any, on_gone: Callable[[str], None]):
        name = volume_node.GetName() if volume_node is not None else ""

        @vtk.calldata_type(vtk.VTK_OBJECT)
        def on_node_removed(_scene, _event, node) -> None:
            if node is volume_node:
                on_gone(_("The volume {name} was deleted during the run.").format(name=name))

        def on_close(_scene, _event) -> None:
            on_gone(_("The scene was closed during the run."))

        scene = slicer.mrmlScene
        self._observers = [
            scene.AddObserver(slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, on_node_removed),
            scene.AddObserver(slicer.vtkMRMLScene.StartCloseEvent, on_close),
        ]

    def stop(self) -> None:
        """No longer watch; harmless when it was stopped."""
        for observer in self._observers:
            slicer.mrmlScene.RemoveObserver(observer)
        self._observers = []


def given_up(message: str) -> WorkerError:
    """The end of a run whose volume or scene is gone."""
    return WorkerError("cancelled", message, _("The run was stopped; nothing was changed."))


def not_taken(error: Exception) -> WorkerError:
    """The end of a run whose result could not be taken into the scene; to be called where ``error`` is handled."""
    logging.exception("Rep3D: the result could not be taken into the scene")
    text = _("The result could not be taken into the scene: {error}")
    return WorkerError("internal", text.format(error=error), _("Please report this with the log."))
