"""qMRMLNodeComboBox: a combo box that shows the nodes of a scene and follows it."""

from __future__ import annotations

from typing import Any

import slicer
from PyQt5 import QtCore, QtWidgets

from .base import computed, stored
from .choices import ctkComboBox
from .node_actions import NodeActions
from .node_filter import NodeFilter
from .observing import Observers

_ACTION = QtCore.Qt.UserRole + 1


class qMRMLNodeComboBox(NodeActions, QtWidgets.QWidget):
    """The nodes of chosen classes, "None" where allowed, and the actions rename, edit, create and delete."""

    vtk_signals = tuple(
        f"{name}(vtkMRMLNode*)"
        for name in (
            *("currentNodeChanged", "nodeActivated", "nodeAdded", "nodeAddedByUser", "nodeAddedByUserAction"),
            *("nodeAboutToBeRemoved", "nodeAboutToBeEdited"),
        )
    )
    vtk_slots = ("setMRMLScene(vtkMRMLScene*)", "setCurrentNode(vtkMRMLNode*)")
    currentNodeChanged = QtCore.pyqtSignal([object], [bool])
    currentNodeIDChanged = QtCore.pyqtSignal(str)
    currentNodeRenamed = QtCore.pyqtSignal(str)
    nodeActivated = QtCore.pyqtSignal(object)
    nodeAdded = QtCore.pyqtSignal(object)
    nodeAddedByUser = QtCore.pyqtSignal(object)
    nodeAddedByUserAction = QtCore.pyqtSignal(object)
    nodeAboutToBeRemoved = QtCore.pyqtSignal(object)
    nodeAboutToBeEdited = QtCore.pyqtSignal(object)

    nodeTypes, _setNodeTypes = stored("QStringList", "nodeTypes", [], "_refresh")
    hideChildNodeTypes, setHideChildNodeTypes = stored("QStringList", "hideChildNodeTypes", [], "_refresh")
    showHidden, setShowHidden = stored(bool, "showHidden", False, "_refresh")
    showChildNodeTypes, setShowChildNodeTypes = stored(bool, "showChildNodeTypes", True, "_refresh")
    noneEnabled, setNoneEnabled = stored(bool, "noneEnabled", False, "_refresh")
    noneDisplay, setNoneDisplay = stored(str, "noneDisplay", "None", "_refresh")
    addEnabled, setAddEnabled = stored(bool, "addEnabled", True, "_refresh")
    removeEnabled, setRemoveEnabled = stored(bool, "removeEnabled", True, "_refresh")
    editEnabled, setEditEnabled = stored(bool, "editEnabled", False, "_refresh")
    renameEnabled, setRenameEnabled = stored(bool, "renameEnabled", False, "_refresh")
    selectNodeUponCreation, setSelectNodeUponCreation = stored(bool, "selectNodeUponCreation", True)
    interactionNodeSingletonTag, setInteractionNodeSingletonTag = stored(
        str, "interactionNodeSingletonTag", "Singleton"
    )

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: Any = None
        self._shown: list[Any] = []
        self._current: Any = None
        self._requested = ""
        self._base_names: dict[str, str] = {}
        self._labels: dict[str, str] = {}
        self._attributes: list[tuple[str, str, str | None]] = []
        self._actions: list[QtWidgets.QAction] = []
        self._observers, self._node_observers = Observers(self), Observers(self)
        self._combo = ctkComboBox(self)
        self._combo.setElideMode(QtCore.Qt.ElideMiddle)
        self._combo.setSizePolicy(QtWidgets.QSizePolicy.Expanding, QtWidgets.QSizePolicy.Fixed)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._combo)
        self._combo.activated.connect(self._on_activated)
        self._combo.currentIndexChanged.connect(self._on_index)
        self.setFocusProxy(self._combo)
        self._busy = False
        self.setEnabled(False)
        self._refresh()

    # Scene

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        if scene is self._scene:
            return
        self._observers.clear()
        self._scene = scene
        if scene is not None:
            events = slicer.vtkMRMLScene
            self._observers.add(scene, events.NodeAddedEvent, type(self)._on_added, with_node=True)
            self._observers.add(scene, events.NodeAboutToBeRemovedEvent, type(self)._on_removing, with_node=True)
            self._observers.add(scene, events.NodeRemovedEvent, type(self)._refresh)
            for event in (events.EndCloseEvent, events.EndImportEvent, events.EndBatchProcessEvent):
                self._observers.add(scene, event, type(self)._refresh)
        self.setEnabled(scene is not None)
        self._refresh()
        if self._requested:
            requested, self._requested = self._requested, ""
            self.setCurrentNodeID(requested)

    def _on_added(self, node: Any) -> None:
        if not self._filter().concerns(node):
            return
        self._refresh()
        if node in self._shown:
            self.nodeAdded.emit(node)

    def _on_removing(self, node: Any) -> None:
        if node in self._shown:
            self.nodeAboutToBeRemoved.emit(node)

    def _filter(self) -> NodeFilter:
        return NodeFilter(
            tuple(self.nodeTypes),
            tuple(self.hideChildNodeTypes),
            self.showHidden,
            self.showChildNodeTypes,
            tuple(self._attributes),
        )

    def _refresh(self) -> None:
        """Show what the scene has now; the current node stays, or is replaced as the original does."""
        if self.__dict__.get("_busy", True):
            return
        chosen = self._filter()
        concerned = [node for node in chosen.candidates(self._scene)]
        nodes = [node for node in concerned if chosen.accepts(node)]
        self._node_observers.clear()
        for node in concerned:
            self._node_observers.add(node, "ModifiedEvent", type(self)._on_node_modified)
        before = self._shown.index(self._current) if self._current in self._shown else -1
        self._shown = nodes
        self._fill()
        node = self._current if self._current in nodes else None
        if node is None and not self.noneEnabled and nodes:
            # Without "None" something is always chosen: the first node that comes, the last one when one goes.
            node = nodes[0] if self._current is None else nodes[before] if before < len(nodes) else nodes[-1]
        self._select(node)

    def _on_node_modified(self) -> None:
        chosen = self._filter()
        nodes = [node for node in chosen.candidates(self._scene) if chosen.accepts(node)]
        texts = [self._combo.itemText(self._row(node)) for node in self._shown]
        if nodes != self._shown or texts != [node.GetName() or "" for node in nodes]:
            self._refresh()

    def _fill(self) -> None:
        self._busy = True
        self._combo.clear()
        if self.noneEnabled:
            self._combo.addItem(self.noneDisplay)
        for node in self._shown:
            self._combo.addItem(node.GetName() or "", node.GetID())
        actions = self._menu() if self._scene is not None else []
        if actions:
            self._combo.insertSeparator(self._combo.count())
        for text, action in actions:
            self._combo.addItem(text)
            self._combo.setItemData(self._combo.count() - 1, action, _ACTION)
        self._combo.setDefaultText(f"Select a {self.nodeTypeLabel(next(iter(self.nodeTypes), ''))}")
        self._combo.setCurrentIndex(self._row(self._current))
        self._busy = False

    # Choice

    def _row(self, node: Any) -> int:
        if node is None or node not in self._shown:
            return 0 if self.noneEnabled else -1
        return self._shown.index(node) + bool(self.noneEnabled)

    def _select(self, node: Any) -> None:
        changed = node is not self._current
        self._current = node
        self._busy = True
        self._combo.setCurrentIndex(self._row(node))
        self._busy = False
        if changed:
            self.currentNodeChanged[object].emit(node)
            self.currentNodeChanged[bool].emit(node is not None)
            self.currentNodeIDChanged.emit(node.GetID() or "" if node is not None else "")

    def _on_index(self, row: int) -> None:
        """The inner combo box moved by keys or by a script."""
        if not self._busy and self._combo.itemData(row, _ACTION) is None:
            self._select(self._at(row))

    def _on_activated(self, row: int) -> None:
        action = self._combo.itemData(row, _ACTION)
        if action is None:
            self._select(self._at(row))
            self.nodeActivated.emit(self._current)
            return
        self._select(self._current)
        self._run(action)

    def _at(self, row: int) -> Any:
        row -= bool(self.noneEnabled)
        return self._shown[row] if 0 <= row < len(self._shown) else None

    def currentNode(self) -> Any:
        return self._current

    def setCurrentNode(self, node: Any) -> None:
        """Choose a node; one that is not shown (None, or of another class) chooses nothing."""
        self.setCurrentNodeID(node if isinstance(node, str) else (node.GetID() or "") if node is not None else "")

    def setCurrentNodeID(self, node_id: str) -> None:
        if self._scene is None:
            self._requested = node_id
            return
        self._select(next((node for node in self._shown if node.GetID() == node_id), None))

    def setCurrentNodeIndex(self, index: int) -> None:
        self._select(self._shown[index] if 0 <= index < len(self._shown) else None)

    def _current_id(self) -> str:
        return self._current.GetID() or "" if self._current is not None else ""

    currentNodeID = computed(str, _current_id, setCurrentNodeID)
    currentNodeId = computed(str, _current_id, setCurrentNodeID)

    def nodeCount(self) -> int:
        return len(self._shown)

    def nodeFromIndex(self, index: int) -> Any:
        return self._shown[index] if 0 <= index < len(self._shown) else None

    # Settings

    def setNodeTypes(self, types: list[str]) -> None:
        """Choose the classes; empty names are dropped, as a list made in Python may hold some."""
        self._setNodeTypes([kind for kind in types if kind])

    nodeTypes = computed("QStringList", nodeTypes.fget, setNodeTypes)

    def addAttribute(self, node_type: str, name: str, value: Any = None) -> None:
        self._attributes.append((node_type, name, None if value is None else str(value)))
        self._refresh()

    def removeAttribute(self, node_type: str, name: str) -> None:
        self._attributes = [entry for entry in self._attributes if entry[:2] != (node_type, name)]
        self._refresh()

    def setBaseName(self, name: str, node_type: str = "") -> None:
        self._base_names.update(dict.fromkeys([node_type] if node_type else self.nodeTypes, name))

    def _base_name(self) -> str:
        return self._base_names.get(next(iter(self.nodeTypes), ""), "")

    baseName = computed(str, _base_name, setBaseName)

    def setNodeTypeLabel(self, label: str, node_type: str) -> None:
        self._labels[node_type] = label
        self._refresh()

    def nodeTypeLabel(self, node_type: str) -> str:
        if self._labels.get(node_type):
            return self._labels[node_type]
        name = self._scene.GetTypeDisplayNameByClassName(node_type) if self._scene is not None and node_type else ""
        return name or "node"

    def addMenuAction(self, action: QtWidgets.QAction) -> None:
        if action.text() not in [known.text() for known in self._actions]:
            self._actions.append(action)
            self._refresh()

    def setSizeAdjustPolicy(self, policy: int) -> None:
        self._combo.setSizeAdjustPolicy(QtWidgets.QComboBox.SizeAdjustPolicy(policy))

    sizeAdjustPolicy = computed(int, lambda self: int(self._combo.sizeAdjustPolicy()), setSizeAdjustPolicy)
