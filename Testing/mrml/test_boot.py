"""What the desktop application's plugins do in the subject hierarchy is done for the core too."""

from __future__ import annotations

import slicer


def items(hierarchy: slicer.vtkMRMLSubjectHierarchyNode) -> int:
    return hierarchy.GetNumberOfItems()


def test_items_come_and_go_with_their_nodes(scene):
    scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "other")
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    before = items(hierarchy)
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "volume")
    assert items(hierarchy) == before + 1 and hierarchy.GetItemDataNode(hierarchy.GetItemByDataNode(node)) is node
    scene.RemoveNode(node)
    assert items(hierarchy) == before
