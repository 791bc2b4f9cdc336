"""Which nodes of a scene a widget shows: by class, by attribute, hidden ones or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class NodeFilter:
    """The rules of qMRMLSortFilterProxyModel.

    types: classes that are shown (with their subclasses where ``children``); hidden_types: subclasses that are not;
    attributes: (class, attribute, value); a node of that class needs the attribute, with that value unless it is None.
    """

    types: tuple[str, ...]
    hidden_types: tuple[str, ...] = ()
    show_hidden: bool = False
    children: bool = True
    attributes: tuple[tuple[str, str, str | None], ...] = ()

    def concerns(self, node: Any) -> bool:
        """Whether the node is of a class that is shown, whatever its other properties are."""
        if self.children:
            known = any(node.IsA(kind) for kind in self.types)
            return known and not any(node.IsA(kind) for kind in self.hidden_types)
        return node.GetClassName() in self.types

    def accepts(self, node: Any) -> bool:
        if not self.concerns(node) or (node.GetHideFromEditors() and not self.show_hidden):
            return False
        wanted = [(name, value) for kind, name, value in self.attributes if node.IsA(kind)]
        return all(
            node.GetAttribute(name) is not None and value in (None, node.GetAttribute(name)) for name, value in wanted
        )

    def candidates(self, scene: Any) -> list[Any]:
        """The nodes of the scene that this filter concerns, in the order of the scene."""
        if scene is None or not self.types:
            return []
        nodes = (scene.GetNthNode(index) for index in range(scene.GetNumberOfNodes()))
        return [node for node in nodes if self.concerns(node)]
