"""Widgets of CTK and MRML: properties, signals and what they do."""

from __future__ import annotations

import numpy as np
import pytest


def listen(widget, *signatures):
    seen = []
    for signature in signatures:
        widget.connect(signature, lambda *values: seen.append(values[0] if len(values) == 1 else values))
    return seen


def test_a_section_folds_its_children(slicer_host):
    import ctk
    import qt

    section = ctk.ctkCollapsibleButton("Advanced")
    layout = qt.QVBoxLayout(section)
    shown, hidden = qt.QLabel("shown"), qt.QLabel("hidden")
    layout.addWidget(shown)
    layout.addWidget(hidden)
    hidden.hide()
    section.show()
    slicer_host.process_events()
    seen = listen(section, "contentsCollapsed(bool)")
    open_height = section.sizeHint.height()
    section.collapsed = True
    assert not shown.visible
    assert section.sizeHint.height() < open_height
    slicer_host.click(section)
    assert section.collapsed is False
    assert shown.visible
    assert not hidden.visible, "what was hidden stays hidden"
    assert seen == [True, False]


def test_a_group_box_folds(slicer_host):
    import ctk
    import qt

    box = ctk.ctkCollapsibleGroupBox("Group")
    label = qt.QLabel("inside")
    qt.QVBoxLayout(box).addWidget(label)
    box.show()
    box.collapsed = True
    assert (label.visible, box.checked) == (False, False)


def test_a_slider_widget(slicer_host):
    import ctk

    slider = ctk.ctkSliderWidget()
    seen = listen(slider, "valueChanged(double)")
    assert (slider.minimum, slider.maximum, slider.value) == (0, 99, 0)
    slider.minimum, slider.maximum = -1, 1
    slider.decimals = 3
    slider.singleStep = 0.125
    slider.value = 0.25
    slider.value = 0.25
    slider.value = 7
    assert seen == [0.25, 1.0]
    slider.findChild("QDoubleSpinBox").value = 0.5
    assert slider.value == 0.5
    slider.findChild("QSlider").value = -8
    assert slider.value == -1
    slider.value = 0.3331
    assert slider.value == pytest.approx(0.3331), "decimals and steps are for the display and for hands"
    with pytest.raises(AttributeError):
        slider.valu = 3


def test_a_range_widget(slicer_host):
    import ctk

    widget = ctk.ctkRangeWidget()
    widget.setRange(0, 100)
    seen = listen(widget, "valuesChanged(double,double)")
    widget.setValues(20, 60)
    assert (widget.minimumValue, widget.maximumValue) == (20, 60)
    assert seen[-1] == (20.0, 60.0)


def test_a_path_line(slicer_host, tmp_path):
    import ctk

    line = ctk.ctkPathLineEdit()
    line.filters = ctk.ctkPathLineEdit.Dirs
    line.settingKey = "Rep3D/Path"
    seen, valid = listen(line, "currentPathChanged(QString)"), listen(line, "validInputChanged(bool)")
    line.currentPath = str(tmp_path)
    line.addCurrentPathToHistory()
    slicer_host.dialogs.answer(str(tmp_path / "ümlaut"))
    line.browse()
    assert line.currentPath == str(tmp_path / "ümlaut")
    assert seen == [str(tmp_path), str(tmp_path / "ümlaut")] and valid == [True], "nothing has to exist"
    line.currentPath = ""
    assert len(seen) == 2 and valid == [True, False], "an empty path is told as no longer valid only"
    line.nameFilters = ["Images (*.png *.jpg)"]
    line.currentPath = "photo.txt"
    line.currentPath = "photo.jpg"
    assert seen[2:] == ["photo.jpg"] and valid == [True, False, True]
    again = ctk.ctkPathLineEdit()
    again.settingKey = "Rep3D/Path"
    assert again.currentPath == str(tmp_path), "the history is shared through the settings"


def test_a_directory_button(slicer_host, tmp_path):
    import ctk
    import qt

    button = ctk.ctkDirectoryButton()
    seen = listen(button, "directoryChanged(QString)")
    button.directory = str(tmp_path)
    slicer_host.dialogs.answer("")
    slicer_host.click(button.findChild(qt.QPushButton))
    assert button.directory == str(tmp_path)
    assert seen == [str(tmp_path)]


def test_a_checkable_combo_box(slicer_host):
    import ctk
    import qt

    combo = ctk.ctkCheckableComboBox()
    combo.addItems(["liver", "spleen"])
    seen = []
    combo.connect("checkedIndexesChanged()", lambda: seen.append(len(combo.checkedIndexes())))
    assert combo.noneChecked()
    combo.setCheckState(combo.model().index(1, 0), qt.Qt.Checked)
    assert [index.data() for index in combo.checkedIndexes()] == ["spleen"]
    assert seen == [1]
    combo.setCheckState(combo.model().index(0, 0), qt.Qt.Checked)
    assert combo.allChecked()


def test_a_message_that_need_not_come_again(slicer_host):
    import slicer

    def tick(box):
        box.checkBox().checked = True
        return "OK"

    slicer_host.dialogs.answer(tick)
    slicer.util.infoDisplay("Read this", dontShowAgainSettingsKey="Rep3D/DontShow")
    slicer.util.infoDisplay("Read this", dontShowAgainSettingsKey="Rep3D/DontShow")
    assert len(slicer_host.dialogs.shown) == 1
    slicer.app.settings().remove("Rep3D/DontShow")


def test_a_table_view_shows_and_follows_a_table(slicer_host):
    import slicer

    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", "Volumes")
    slicer.util.updateTableFromArray(table, [np.array([1.5, 2.0])], ["mL"])
    view = slicer.qMRMLTableView()
    view.setMRMLTableNode(table)
    view.firstRowLocked = True
    assert (view.model().rowCount(), view.model().item(0, 0).text()) == (2, "1.5")
    assert view.model().horizontalHeaderItem(0).text() == "mL"
    slicer.util.updateTableFromArray(table, [np.array([3.0])], ["mL"])
    assert (view.model().rowCount(), view.model().item(0, 0).text()) == (1, "3")
    view.setMRMLTableNode(None)
    assert view.model().rowCount() == 0


@pytest.fixture
def segmentation(slicer_host):
    import slicer

    volume = slicer.util.addVolumeFromArray(np.zeros((8, 8, 8), np.int16), name="CT")
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Organs")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    mask = np.zeros((8, 8, 8), np.uint8)
    mask[2:6, 2:6, 2:6] = 1
    for name, colour in (("liver", (1, 0, 0)), ("spleen", (0, 1, 0))):
        segment_id = node.GetSegmentation().AddEmptySegment(name, name, colour)
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, segment_id, volume)
    return node


def test_the_table_of_segments(slicer_host, segmentation):
    import qt
    import slicer

    view = slicer.qMRMLSegmentsTableView()
    view.setSegmentationNode(segmentation)
    assert view.displayedSegmentIDs() == ("liver", "spleen")
    table = view.tableWidget()
    table.item(0, 0).setCheckState(qt.Qt.Unchecked)
    assert not segmentation.GetDisplayNode().GetSegmentVisibility("liver")
    table.item(1, 2).setText("Spleen")
    assert segmentation.GetSegmentation().GetSegment("spleen").GetName() == "Spleen"
    segmentation.GetSegmentation().RemoveSegment("liver")
    assert view.segmentCount == 1
    view.setSelectedSegmentIDs(["spleen"])
    assert view.selectedSegmentIDs() == ("spleen",)
    view.textFilter = "kidney"
    assert view.segmentCount == 0


def test_show_3d(slicer_host, segmentation):
    import slicer

    button = slicer.qMRMLSegmentationShow3DButton()
    assert not button.enabled
    button.setSegmentationNode(segmentation)
    slicer_host.click(button)
    assert segmentation.GetSegmentation().ContainsRepresentation("Closed surface")
    assert button.checked
    slicer_host.click(button)
    assert not segmentation.GetSegmentation().ContainsRepresentation("Closed surface")
    button.setSegmentationNode(None)
    assert not button.enabled


def test_the_selector_of_segments(slicer_host, segmentation):
    import slicer

    selector = slicer.qMRMLSegmentSelectorWidget()
    segments = listen(selector, "currentSegmentChanged(QString)")
    nodes = listen(selector, "currentNodeChanged(vtkMRMLNode*)")
    selector.setMRMLScene(slicer.mrmlScene)
    assert selector.currentNode() is segmentation
    assert selector.currentSegmentID() == "liver"
    selector.setCurrentSegmentID("spleen")
    segmentation.GetSegmentation().RemoveSegment("spleen")
    assert selector.currentSegmentID() == "liver"
    assert segments == ["liver", "spleen", "liver"]
    slicer.mrmlScene.RemoveNode(segmentation)
    assert selector.currentSegmentID() == ""
    assert nodes == [segmentation, None]


def test_coordinates(slicer_host):
    import ctk

    widget = ctk.ctkCoordinatesWidget()
    widget.coordinates = "1,2.5,-3"
    assert widget.coordinates == "1,2.5,-3"
    widget.dimension = 2
    assert (widget.dimension, widget.coordinates) == (2, "1,2.5")


def test_pictures_of_the_scene(slicer_host, segmentation, tmp_path):
    import slicer
    from PIL import Image
    from slicerhost.views import rendering_problem

    if rendering_problem():
        pytest.skip(rendering_problem())
    segmentation.CreateClosedSurfaceRepresentation()
    volume = slicer.util.getNode("CT")
    for path in (
        slicer_host.render_slice(tmp_path / "slice.png", volume, segmentation),
        slicer_host.render_3d(tmp_path / "3d.png", segmentation),
    ):
        red, green, blue = np.moveaxis(np.asarray(Image.open(path).convert("RGB")).astype(int), -1, 0)
        coloured = (abs(red - green) > 60) | (abs(green - blue) > 60)
        assert 0.01 < coloured.mean() < 0.9, path.name


def test_nodes_to_and_from_files(slicer_host, segmentation, tmp_path):
    import slicer

    volume = slicer.util.getNode("CT")
    assert slicer.util.exportNode(volume, str(tmp_path / "scan.nii.gz"))
    assert volume.GetStorageNode() is None, "an export leaves the node alone"
    assert slicer.util.saveNode(segmentation, str(tmp_path / "organs.seg.nrrd"))
    slicer_host.close_scene()
    assert slicer.util.arrayFromVolume(slicer.util.loadVolume(str(tmp_path / "scan.nii.gz"))).shape == (8, 8, 8)
    loaded = slicer.util.loadSegmentation(str(tmp_path / "organs.seg.nrrd"))
    assert loaded.GetSegmentation().GetNumberOfSegments() == 2
    labels = slicer.util.loadLabelVolume(str(tmp_path / "scan.nii.gz"), {"name": "labels"})
    assert (labels.GetName(), labels.GetClassName()) == ("labels", "vtkMRMLLabelMapVolumeNode")
    with pytest.raises(RuntimeError, match="Failed to load node"):
        slicer.util.loadVolume(str(tmp_path / "missing.nii.gz"))
