"""Observers of VTK objects that end with the widget that holds them.

VTK keeps a Python observer, but Python's collector counts it as part of the observed object's Python side: where that
is garbage while the C++ object lives on, the observer is emptied and the next event crashes the process. So what is
observed stays referenced, outside any cycle, until the observer has been removed.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import vtk
from PyQt5 import sip


class Observers:
    """Observes VTK objects for one widget; nothing is called any more once Qt has deleted the widget."""

    def __init__(self, owner: Any) -> None:
        self._owner = weakref.ref(owner)
        self._held: list[tuple[Any, int]] = []
        end = weakref.finalize(self, _remove, self._held)
        end.atexit = False
        owner.destroyed.connect(end)

    def add(self, subject: Any, event: Any, method: Callable[..., None], *, with_node: bool = False) -> None:
        """Call ``method(owner)``, or ``method(owner, node)`` for events that carry a node."""
        owner_ref = self._owner

        def call(node: Any = None) -> None:
            owner = owner_ref()
            if owner is None or sip.isdeleted(owner):
                return
            method(owner, node) if with_node else method(owner)

        if with_node:

            @vtk.calldata_type(vtk.VTK_OBJECT)
            def on_event(_caller: Any, _event: str, node: Any) -> None:
                call(node)

        else:

            def on_event(_caller: Any, _event: str) -> None:
                call()

        self._held.append((subject, subject.AddObserver(event, on_event)))

    def clear(self, subject: Any = None) -> None:
        for held, tag in list(self._held):
            if subject is None or held is subject:
                held.RemoveObserver(tag)
                self._held.remove((held, tag))


def _remove(held: list[tuple[Any, int]]) -> None:
    while held:
        subject, tag = held.pop()
        subject.RemoveObserver(tag)
