"""qMRMLNodeComboBox follows the scene."""

from __future__ import annotations

import pytest

VOLUME, SEGMENTATION = "vtkMRMLScalarVolumeNode", "vtkMRMLSegmentationNode"


@pytest.fixture
def selector(slicer_host):
    import slicer

    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = [VOLUME]
    selector.setMRMLScene(slicer.mrmlScene)
    return selector


@pytest.fixture
def changes(selector):
    seen = []
    selector.connect("currentNodeChanged(vtkMRMLNode*)", lambda node: seen.append(node and node.GetName()))
    return seen


def add(name, kind=VOLUME):
    import slicer

    return slicer.mrmlScene.AddNewNodeByClass(kind, name)


def remove(node):
    import slicer

    slicer.mrmlScene.RemoveNode(node)


def texts(selector):
    import qt

    combo = selector.findChild(qt.QComboBox)
    return [combo.itemText(row) for row in range(combo.count) if combo.itemText(row)]


def test_without_a_scene_it_is_disabled(slicer_host):
    import slicer

    selector = slicer.qMRMLNodeComboBox()
    assert not selector.enabled
    selector.setMRMLScene(slicer.mrmlScene)
    assert selector.enabled


def test_without_none_the_first_node_is_chosen(selector, changes):
    first = add("first")
    add("second")
    assert selector.currentNode() is first
    assert selector.currentNodeID == first.GetID()
    assert changes == ["first"]
    assert selector.nodeCount() == 2


def test_with_none_nothing_is_chosen(selector, changes):
    selector.noneEnabled = True
    selector.noneDisplay = "Create new on Apply"
    add("first")
    assert selector.currentNode() is None
    assert selector.currentNodeID == ""
    assert changes == []
    assert texts(selector)[0] == "Create new on Apply"


def test_removed_nodes_disappear(selector, changes):
    first, second = add("first"), add("second")
    remove(first)
    assert selector.currentNode() is second
    remove(second)
    assert selector.currentNode() is None
    assert changes == ["first", "second", None]


def test_renamed_nodes_are_shown_by_their_new_name(selector):
    add("first").SetName("renamed")
    assert texts(selector)[0] == "renamed"


def test_closing_the_scene_empties_it(slicer_host, selector, changes):
    add("first")
    slicer_host.close_scene()
    assert selector.currentNode() is None
    assert selector.nodeCount() == 0
    assert changes == ["first", None]


def test_programs_choose(selector, changes):
    first, second = add("first"), add("second")
    selector.setCurrentNode(second)
    selector.currentNodeID = first.GetID()
    selector.setCurrentNodeID(second.GetID())
    selector.setCurrentNode(second)
    assert changes == ["first", "second", "first", "second"]
    selector.setCurrentNode(None)
    assert selector.currentNode() is None


def test_persons_choose(slicer_host, selector, changes):
    add("first")
    add("second")
    activated = []
    selector.connect("nodeActivated(vtkMRMLNode*)", lambda node: activated.append(node.GetName()))
    slicer_host.choose(selector, "second")
    assert changes == ["first", "second"]
    assert activated == ["second"]


def test_other_signals(selector):
    valid, ids, added, removed = [], [], [], []
    selector.connect("currentNodeChanged(bool)", valid.append)
    selector.connect("currentNodeIDChanged(QString)", ids.append)
    selector.connect("nodeAdded(vtkMRMLNode*)", lambda node: added.append(node.GetName()))
    selector.connect("nodeAboutToBeRemoved(vtkMRMLNode*)", lambda node: removed.append(node.GetName()))
    node = add("first")
    node_id = node.GetID()
    remove(node)
    assert (valid, ids, added, removed) == ([True, False], [node_id, ""], ["first"], ["first"])


def test_classes(selector):
    label_map = add("labels", "vtkMRMLLabelMapVolumeNode")
    add("segmentation", SEGMENTATION)
    assert selector.currentNode() is label_map, "subclasses are shown by default"
    selector.hideChildNodeTypes = ["vtkMRMLLabelMapVolumeNode"]
    assert selector.nodeCount() == 0
    selector.hideChildNodeTypes = []
    selector.showChildNodeTypes = False
    assert selector.nodeCount() == 0
    selector.nodeTypes = [VOLUME, SEGMENTATION, ""]
    assert selector.nodeTypes == (VOLUME, SEGMENTATION)
    assert selector.nodeCount() == 1


def test_hidden_nodes(selector):
    node = add("first")
    node.SetHideFromEditors(True)
    node.Modified()
    assert selector.nodeCount() == 0
    selector.showHidden = True
    assert selector.nodeCount() == 1


def test_attributes(selector):
    selector.addAttribute(VOLUME, "Rep3D.Role", "input")
    node = add("first")
    assert selector.nodeCount() == 0
    node.SetAttribute("Rep3D.Role", "input")
    assert selector.currentNode() is node
    made = selector.addNode()
    assert made.GetAttribute("Rep3D.Role") == "input"
    selector.removeAttribute(VOLUME, "Rep3D.Role")
    add("other")
    assert selector.nodeCount() == 3


def test_making_nodes(slicer_host, selector, changes):
    by_user = []
    selector.connect("nodeAddedByUser(vtkMRMLNode*)", lambda node: by_user.append(node.GetName()))
    selector.nodeTypes = [SEGMENTATION]
    selector.baseName = "Organs"
    assert selector.baseName == "Organs"
    assert selector.addNode().GetName() == "Organs"
    slicer_host.choose(selector, "Create new Segmentation")
    assert selector.currentNode().GetName() == "Organs_1"
    assert by_user == ["Organs", "Organs_1"]
    assert changes[-1] == "Organs_1"
    assert selector.addNode("vtkMRMLModelNode") is None, "not among the classes"


def test_made_nodes_need_not_be_chosen(selector):
    selector.noneEnabled = True
    selector.selectNodeUponCreation = False
    selector.addNode()
    assert selector.currentNode() is None


def test_renaming_and_deleting_by_the_menu(slicer_host, selector):
    selector.renameEnabled = True
    node = add("first")
    slicer_host.dialogs.answer("better")
    slicer_host.choose(selector, "Rename current Volume")
    assert node.GetName() == "better"
    slicer_host.choose(selector, "Delete current Volume")
    assert selector.nodeCount() == 0


def test_the_menu_offers_what_is_enabled(selector):
    assert texts(selector) == ["Create new Volume", "Delete current Volume"]
    selector.addEnabled = False
    selector.removeEnabled = False
    assert texts(selector) == []


def test_actions_of_ones_own(slicer_host, selector):
    import qt

    action, calls = qt.QAction("Copy", selector), []
    action.connect("triggered()", lambda: calls.append("copy"))
    selector.addMenuAction(action)
    node = add("first")
    slicer_host.choose(selector, "Copy")
    assert calls == ["copy"]
    assert selector.currentNode() is node


def test_a_node_asked_for_before_the_scene(slicer_host):
    import slicer

    add("first")
    second = add("second")
    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = [VOLUME]
    selector.setCurrentNodeID(second.GetID())
    selector.setMRMLScene(slicer.mrmlScene)
    assert selector.currentNode() is second


def test_a_deleted_selector_no_longer_listens(slicer_host, selector):
    selector.delete()
    add("first")
    assert not slicer_host.errors
