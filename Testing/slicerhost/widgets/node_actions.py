"""What a node selector does with nodes: its menu, and making, renaming, editing and deleting them."""

from __future__ import annotations

from typing import Any

from ..dialogs import dialogs


class NodeActions:
    """The half of qMRMLNodeComboBox that changes the scene."""

    def _menu(self) -> list[tuple[str, str]]:
        label = self.nodeTypeLabel(self.nodeTypes[0] if len(self.nodeTypes) == 1 else "")
        entries = []
        if self.renameEnabled:
            entries.append((f"Rename current {label}", "RENAME"))
        if self.editEnabled:
            entries.append((f"Edit current {label}", "EDIT"))
        for kind in self.nodeTypes if self.addEnabled else []:
            entries.append((f"Create new {self.nodeTypeLabel(kind)}", f"CREATE/{kind}"))
            if self.renameEnabled:
                entries.append((f"Create new {self.nodeTypeLabel(kind)} as...", f"CREATE_AS/{kind}"))
        if self.removeEnabled:
            entries.append((f"Delete current {label}", "DELETE"))
        return entries + [(action.text(), f"USER/{i}") for i, action in enumerate(self._actions)]

    def _run(self, action: str) -> None:
        """Do what an entry of the menu stands for."""
        what, _, kind = action.partition("/")
        if what == "USER":
            self._actions[int(kind)].trigger()
        elif what == "RENAME":
            self.renameCurrentNode()
        elif what == "EDIT":
            self.editCurrentNode()
        elif what == "DELETE":
            self.removeCurrentNode()
        else:
            self._create(kind, ask=what == "CREATE_AS")

    def _create(self, kind: str, ask: bool) -> None:
        name = dialogs.ask("input", f"Create new {self.nodeTypeLabel(kind)}", "New name:", None) if ask else None
        if ask and not name:
            return
        node = self.addNode(kind)
        if name:
            node.SetName(name)
        self.setCurrentNode(node)
        self.nodeAddedByUserAction.emit(node)

    def addNode(self, node_type: str = "") -> Any:
        """A new node of the first class, or of the one that is named; None where that class is not among them."""
        node_type = node_type or next(iter(self.nodeTypes), "")
        if self._scene is None or node_type not in self.nodeTypes:
            return None
        node = self._scene.CreateNodeByClass(node_type)
        node.UnRegister(None)
        base = self._base_names.get(node_type) or self._scene.GetTagByClassName(node_type)
        node.SetName(self._scene.GetUniqueNameByString(base))
        for _kind, name, value in self._attributes:
            node.SetAttribute(name, value or "")
        node = self._scene.AddNode(node)
        if self.selectNodeUponCreation:
            self.setCurrentNode(node)
        self.nodeAddedByUser.emit(node)
        return node

    def removeCurrentNode(self) -> None:
        if self._current is not None:
            self._scene.RemoveNode(self._current)

    def renameCurrentNode(self) -> None:
        if self._current is None:
            return
        title = f"Rename {self.nodeTypeLabel(self._current.GetClassName())}"
        name = dialogs.ask("input", title, "New name:", None)
        if name:
            self._current.SetName(name)
            self.currentNodeRenamed.emit(name)

    def editCurrentNode(self) -> None:
        self.nodeAboutToBeEdited.emit(self._current)
