"""Removing nodes with what serves them alone, in the order that Slicer's views bear."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import slicer


def remove(nodes: Sequence[Any]) -> None:
    """Remove nodes with their display, storage and rendering nodes; those that are gone already are passed over.

    A node goes before its display: the views keep a displayable node with its display nodes, and follow a freed
    pointer when the display is taken away below them.
    """
    scene, hierarchy = slicer.mrmlScene, slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    attached = {other.GetID(): other for node in nodes for other in _attached(node)}
    for node in [*nodes, *attached.values()]:
        if not scene.IsNodePresent(node):
            continue
        item = hierarchy.GetItemByDataNode(node)
        if item != hierarchy.GetInvalidItemID():
            hierarchy.RemoveItem(item, False, False)  # the item alone: the node follows, whoever removes items
        scene.RemoveNode(node)


def _attached(node: Any) -> list[Any]:
    """Display, storage and volume-property nodes that serve this node alone."""
    found = []
    if node.IsA("vtkMRMLDisplayableNode"):
        for index in range(node.GetNumberOfDisplayNodes()):
            display = node.GetNthDisplayNode(index)
            if display is None:
                continue
            found.append(display)
            if display.IsA("vtkMRMLVolumeRenderingDisplayNode"):
                found += [n for n in (display.GetVolumePropertyNode(), display.GetROINode()) if n is not None]
    if node.IsA("vtkMRMLStorableNode"):
        for index in range(node.GetNumberOfStorageNodes()):
            if node.GetNthStorageNode(index) is not None:
                found.append(node.GetNthStorageNode(index))
    return found
