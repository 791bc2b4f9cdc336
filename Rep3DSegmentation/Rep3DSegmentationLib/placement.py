"""Put results beside their source in the subject hierarchy (patient, study), as a person would look for them."""

from __future__ import annotations

import slicer


def place_beside(node, source_node) -> None:
    """Give ``node`` the same parent item as ``source_node``: its study or folder. Nothing happens for a lost source."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    if hierarchy is None or source_node is None:
        return
    invalid = hierarchy.GetInvalidItemID()
    source_item = hierarchy.GetItemByDataNode(source_node)
    parent = hierarchy.GetItemParent(source_item) if source_item != invalid else hierarchy.GetSceneItemID()
    item = hierarchy.GetItemByDataNode(node)
    if item == invalid:
        hierarchy.CreateItem(parent, node)
    elif hierarchy.GetItemParent(item) != parent:
        hierarchy.SetItemParent(item, parent)
