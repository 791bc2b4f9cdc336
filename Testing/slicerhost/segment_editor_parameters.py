"""The parameters of an effect: attributes of the parameter node, with the effect's name in front unless common."""

from __future__ import annotations

from typing import Any

import slicer
from PyQt5 import QtCore

from . import errors
from .widgets.base import stored


class EffectParameters(QtCore.QObject):
    """The functions about parameters that a scripted effect reaches through ``self.scriptedEffect``."""

    _node: Any = None
    name, _set_name = stored(str, "name", "UnnamedScriptedEffect")

    def parameterSetNode(self) -> Any:
        return self._node

    def setParameterSetNode(self, node: Any) -> None:
        self._node = node

    def parameter(self, name: str) -> str:
        """The effect's own parameter, or the common one; "" and a recorded error where there is neither."""
        if self._node is None:
            return ""
        for key in (f"{self.name}.{name}", name):
            value = self._node.GetAttribute(key)
            if value is not None:
                return value
        errors.log.complain("effect", f"Parameter named '{name}' cannot be found for effect {self.name}")
        return ""

    def _number(self, name: str, kind: type, what: str) -> Any:
        if self._node is None:
            return kind()
        text = self.parameter(name)
        try:
            return kind(text)
        except ValueError:
            errors.log.complain("effect", f"Parameter named '{name}' cannot be converted to {what}: '{text}'")
            return kind()

    def integerParameter(self, name: str) -> int:
        return self._number(name, int, "an integer")

    def doubleParameter(self, name: str) -> float:
        return self._number(name, float, "a number")

    def parameterDefined(self, name: str) -> bool:
        return self.commonParameterDefined(f"{self.name}.{name}")

    def commonParameterDefined(self, name: str) -> bool:
        return self._node is not None and bool(self._node.GetAttribute(name))

    def setParameter(self, name: str, value: Any) -> None:
        self.setCommonParameter(f"{self.name}.{name}", value)

    def setCommonParameter(self, name: str, value: Any) -> None:
        """Set an attribute and announce it by EffectParameterModified alone; nothing happens without a change."""
        text = _text(name, value)
        if self._node is None:
            errors.log.complain("effect", f"Effect {self.name} has no parameter set node to set '{name}' in")
            return
        old = self._node.GetAttribute(name)
        if old == text or (old is None and not text):
            return
        disabled = self._node.GetDisableModifiedEvent()
        self._node.SetDisableModifiedEvent(1)
        self._node.SetAttribute(name, text)
        self._node.SetDisableModifiedEvent(disabled)
        self._announce()

    def setParameterDefault(self, name: str, value: Any) -> None:
        if not self.parameterDefined(name):
            self.setParameter(name, value)

    def setCommonParameterDefault(self, name: str, value: Any) -> None:
        if not self.commonParameterDefined(name):
            self.setCommonParameter(name, value)

    def nodeReference(self, name: str) -> Any:
        if self._node is None:
            return None
        return self._node.GetNodeReference(f"{self.name}.{name}") or self._node.GetNodeReference(name)

    def setNodeReference(self, name: str, node: Any) -> None:
        self.setCommonNodeReference(f"{self.name}.{name}", node)

    def setCommonNodeReference(self, name: str, node: Any) -> None:
        if self._node is None:
            errors.log.complain("effect", f"Effect {self.name} has no parameter set node to set '{name}' in")
        elif self._node.GetNodeReference(name) is not node:
            self._node.SetNodeReferenceID(name, node.GetID() if node is not None else None)
            self._announce()

    def _announce(self) -> None:
        self._node.InvokeCustomModifiedEvent(slicer.vtkMRMLSegmentEditorNode.EffectParameterModified)


def _text(name: str, value: Any) -> str:
    """A value as Qt writes it: numbers with six significant digits. Raises ValueError for what PythonQt refuses."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int):
        return str(int(value))
    if isinstance(value, float):
        return f"{value:g}"
    raise ValueError(f"setParameter('{name}', ...) takes a text or a number, not {type(value).__name__} ({value!r})")
