"""Start Slicer's own C++ core (``slicer-core``): scene, application logic and the logics of the loadable modules.

The order matters: a logic that is given its scene before its application logic looks for colours, units or slice nodes
that are not there yet. Nothing here needs Qt or a display.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import slicer
import vtk

# Logics in the order in which they are given the scene: {name under slicer.modules: class}.
LOGICS = {
    "volumes": "vtkSlicerVolumesLogic",
    "terminologies": "vtkSlicerTerminologiesModuleLogic",
    "units": "vtkSlicerUnitsLogic",
    "subjecthierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "segmentations": "vtkSlicerSegmentationsModuleLogic",
    "markups": "vtkSlicerMarkupsLogic",
    "models": "vtkSlicerModelsLogic",
    "transforms": "vtkSlicerTransformLogic",
    "tables": "vtkSlicerTablesLogic",
    "texts": "vtkSlicerTextsLogic",
    "plots": "vtkSlicerPlotsLogic",
    "sequences": "vtkSlicerSequencesLogic",
    "cropvolume": "vtkSlicerCropVolumeLogic",
    "cameras": "vtkSlicerCamerasModuleLogic",
    "volumerendering": "vtkSlicerVolumeRenderingLogic",
    "viewcontrollers": "vtkSlicerViewControllersLogic",
}
# Names of modules, by which logics find each other, that are more than a capital letter away from the names above.
MODULE_NAMES = {
    "subjecthierarchy": "SubjectHierarchy",
    "cropvolume": "CropVolume",
    "volumerendering": "VolumeRendering",
    "viewcontrollers": "ViewControllers",
}


@dataclass
class Core:
    """A running core. Everything that must outlive the scene is held here.

    ``logics`` maps the name under ``slicer.modules`` to the C++ logic; ``home`` is a folder removed at exit.
    """

    scene: Any
    app_logic: Any
    logics: dict[str, Any]
    home: Path
    keep: list[Any] = field(default_factory=list)


_running: Core | None = None


def boot() -> Core:
    """The core of this process; started by the first call, the same object afterwards."""
    global _running
    if _running is None:
        _running = _start()
    return _running


def publish(core: Core) -> None:
    """Offer the core under the names that extensions use: ``slicer.mrmlScene`` and ``slicer.modules.<name>.logic()``.

    A host that publishes more than this (widgets, paths of modules) sets these names itself instead.
    """
    slicer.mrmlScene = core.scene
    slicer.modules = SimpleNamespace(
        **{name: SimpleNamespace(name=name, logic=lambda held=logic: held) for name, logic in core.logics.items()}
    )


def _start() -> Core:
    keeper = tempfile.TemporaryDirectory(prefix="rep3d-core-")
    home = Path(keeper.name)
    _write_share_files(home)
    scene = slicer.vtkMRMLScene()
    crosshair = slicer.vtkMRMLCrosshairNode()
    crosshair.SetCrosshairName("default")
    scene.AddNode(crosshair)

    app_logic = slicer.vtkSlicerApplicationLogic()
    app_logic.SetHomeDirectory(str(home))
    app_logic.SetShareDirectory("share")
    app_logic.SetTemporaryPath(str(home))
    app_logic.SetMRMLScene(scene)
    color_logic = slicer.vtkSlicerColorLogic()
    color_logic.SetMRMLApplicationLogic(app_logic)
    color_logic.SetMRMLScene(scene)
    color_logic.AddDefaultColorNodes()
    app_logic.SetColorLogic(color_logic)
    app_logic.SetModuleLogic("Colors", color_logic)
    slice_logics, view_logics = vtk.vtkCollection(), vtk.vtkCollection()
    app_logic.SetSliceLogics(slice_logics)
    app_logic.SetViewLogics(view_logics)
    for factory in (
        slicer.vtkMRMLSliceViewDisplayableManagerFactory,
        slicer.vtkMRMLThreeDViewDisplayableManagerFactory,
    ):
        factory.GetInstance().SetMRMLApplicationLogic(app_logic)
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene)

    logics = {"colors": color_logic}
    for name, class_name in LOGICS.items():
        logic = getattr(slicer, class_name)()
        if name == "terminologies":
            logic.SetModuleShareDirectory(str(home))
        logic.SetMRMLApplicationLogic(app_logic)
        logic.SetMRMLScene(scene)
        app_logic.SetModuleLogic(MODULE_NAMES.get(name, name.capitalize()), logic)
        logics[name] = logic
    core = Core(scene, app_logic, logics, home, [keeper, slice_logics, view_logics])
    _fill_subject_hierarchy(core)
    return core


def _fill_subject_hierarchy(core: Core) -> None:
    """Give every data node an item in the subject hierarchy, which in the desktop application a Qt plugin does."""

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def on_node_added(_scene, _event, node) -> None:
        if (
            not node.IsA("vtkMRMLDisplayableNode")
            and not node.IsA("vtkMRMLTableNode")
            and not node.IsA("vtkMRMLTextNode")
        ):
            return
        hierarchy = core.scene.GetSubjectHierarchyNode()
        if hierarchy is None or node.GetHideFromEditors() or core.scene.IsImporting():
            return
        if hierarchy.GetItemByDataNode(node) == 0:
            hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def on_node_about_to_be_removed(_scene, _event, node) -> None:
        hierarchy = core.scene.GetSubjectHierarchyNode()
        if hierarchy is None or node is hierarchy or core.scene.IsClosing():
            return
        item = hierarchy.GetItemByDataNode(node)
        if item != hierarchy.GetInvalidItemID():
            hierarchy.RemoveItem(item, False, False)

    core.scene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, on_node_added)
    core.scene.AddObserver(slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, on_node_about_to_be_removed)
    core.keep += [on_node_added, on_node_about_to_be_removed]


def _write_share_files(home: Path) -> None:
    """No colours, and terminologies cut to what the logics need to start quietly."""
    (home / "share" / "ColorFiles").mkdir(parents=True)
    schemas = "https://raw.githubusercontent.com/qiicr/dcmqi/master/doc/schemas"
    tissue = {"CodeMeaning": "Tissue", "CodingSchemeDesignator": "SCT", "CodeValue": "85756007", "showAnatomy": True}
    tissue["Type"] = [{**tissue, "recommendedDisplayRGBValue": [128, 174, 128], "3dSlicerLabel": "tissue"}]
    for name, title in (
        ("SlicerGeneralAnatomy", "Segmentation category and type - 3D Slicer General Anatomy list"),
        ("DICOM-Master", "Segmentation category and type - DICOM master list"),
    ):
        content = {
            "@schema": f"{schemas}/segment-context-schema.json#",
            "SegmentationCategoryTypeContextName": title,
            "SegmentationCodes": {"Category": [tissue]},
        }
        path = home / f"SegmentationCategoryTypeModifier-{name}.term.json"
        path.write_text(json.dumps(content), encoding="utf-8")
    region = {"CodeMeaning": "Abdomen", "CodingSchemeDesignator": "SCT", "CodeValue": "818983003"}
    content = {
        "@schema": f"{schemas}/anatomic-context-schema.json#",
        "AnatomicContextName": "Anatomic codes - DICOM master list",
        "AnatomicCodes": {"AnatomicRegion": [region]},
    }
    path = home / "AnatomicRegionAndModifier-DICOM-Master.term.json"
    path.write_text(json.dumps(content), encoding="utf-8")
