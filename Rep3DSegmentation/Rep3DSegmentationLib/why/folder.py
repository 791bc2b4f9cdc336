"""All nodes of this kind lie in one subject-hierarchy folder beside their scan, are marked, and are removed together.

The mark is an attribute, the scan a node reference: both are saved with the scene, so that a scene that was loaded can
be cleaned up as well.
"""

from __future__ import annotations

from typing import Any

import slicer
import vtk

from ..i18n import _
from ..removal import remove

#: Node attribute: "mask" or "erf"; which of the nodes it is; and the role of the reference to the scan.
KIND, ROLE, SCAN = "Rep3D.Why", "Rep3D.WhyRole", "Rep3D.WhyScan"
MASK, ERF = "mask", "erf"
FOLDER = "folder"  # the same attribute of the folder's item
#: Node attribute: which of several receptive fields a node belongs to.
GROUP = "Rep3D.WhyErf"


def keep(node: Any, kind: str, role: str, scan: Any = None) -> Any:
    """Mark a node as one of ours and put it into the folder of its scan (None: a folder of the scene). Returns it."""
    hierarchy, folder = _hierarchy(), _folder(scan)  # before the node says that it is the scan's
    node.SetAttribute(KIND, kind)
    node.SetAttribute(ROLE, role)
    node.SetNodeReferenceID(SCAN, scan.GetID() if scan is not None else None)
    item = hierarchy.GetItemByDataNode(node)
    if item == hierarchy.GetInvalidItemID():
        hierarchy.CreateItem(folder, node)
    elif hierarchy.GetItemParent(item) != folder:
        hierarchy.SetItemParent(item, folder)
        _remove_empty_folders()  # the scan's that it was shown with before
    return node


def keep_hidden(node: Any, kind: str, role: str) -> Any:
    """Mark a node that serves the others and that no list shows (a colour table). Returns it."""
    node.SetAttribute(KIND, kind)
    node.SetAttribute(ROLE, role)
    return node


def kept(kind: str | None = None, role: str | None = None, scan: Any = None) -> list[Any]:
    """Our nodes in the scene, narrowed down by what is given."""
    found = []
    for node in slicer.mrmlScene.GetNodes():
        if node.GetAttribute(KIND) is None or (kind is not None and node.GetAttribute(KIND) != kind):
            continue
        if role is not None and node.GetAttribute(ROLE) != role:
            continue
        if scan is not None and node.GetNodeReferenceID(SCAN) != scan.GetID():
            continue
        found.append(node)
    return found


def remove_all(scan: Any = None) -> int:
    """Remove all of it, or what belongs to one scan, with the folders; returns how many nodes went.

    A folder into which the user has put something else stays.
    """
    nodes = kept(scan=scan)
    if len(nodes) == sum(1 for node in kept() if not node.GetHideFromEditors()):
        nodes = kept()  # nothing is left that the hidden ones serve
    remove(nodes)
    _remove_empty_folders()
    return len(nodes)


def _remove_empty_folders() -> None:
    hierarchy, items = _hierarchy(), vtk.vtkIdList()
    hierarchy.GetItemChildren(hierarchy.GetSceneItemID(), items, True)
    for item in [items.GetId(index) for index in range(items.GetNumberOfIds())]:
        ours = hierarchy.GetItemAttribute(item, KIND) == FOLDER and hierarchy.GetItemDataNode(item) is None
        if ours and hierarchy.GetNumberOfItemChildren(item) == 0:
            hierarchy.RemoveItem(item)


def _folder(scan: Any) -> int:
    """The folder for nodes of that scan: the one that holds some already, else a new one beside it."""
    hierarchy = _hierarchy()
    invalid = hierarchy.GetInvalidItemID()
    source = hierarchy.GetItemByDataNode(scan) if scan is not None else invalid
    parent = hierarchy.GetItemParent(source) if source != invalid else hierarchy.GetSceneItemID()
    for node in kept():
        same = node.GetNodeReferenceID(SCAN) == (scan.GetID() if scan is not None else None)
        item = hierarchy.GetItemByDataNode(node)
        folder = hierarchy.GetItemParent(item) if item != invalid else invalid
        if same and folder != invalid and hierarchy.GetItemAttribute(folder, KIND) == FOLDER:
            return folder
    name = _("Explain: {name}").format(name=scan.GetName()) if scan is not None else _("Explain")
    folder = hierarchy.CreateFolderItem(parent, name)
    hierarchy.SetItemAttribute(folder, KIND, FOLDER)
    return folder


def _hierarchy() -> Any:
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
