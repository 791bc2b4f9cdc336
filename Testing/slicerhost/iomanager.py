"""``slicer.app.coreIOManager()``: nodes and scenes from and to files, by the storage nodes of the core."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer
from PyQt5 import QtCore

# Reader by the type that slicer.util asks for: (class of the node, class of the storage node).
_STORAGE = {
    "SegmentationFile": ("vtkMRMLSegmentationNode", "vtkMRMLSegmentationStorageNode"),
    "TransformFile": ("vtkMRMLTransformNode", "vtkMRMLTransformStorageNode"),
    "TableFile": ("vtkMRMLTableNode", "vtkMRMLTableStorageNode"),
    "ModelFile": ("vtkMRMLModelNode", "vtkMRMLModelStorageNode"),
    "TextFile": ("vtkMRMLTextNode", "vtkMRMLTextStorageNode"),
    "MarkupsFile": (None, "vtkMRMLMarkupsJsonStorageNode"),
}
_EXTENSIONS = {
    (".mrml", ".mrb"): "SceneFile",
    (".seg.nrrd", ".seg.nhdr"): "SegmentationFile",
    (".mrk.json",): "MarkupsFile",
    (".h5", ".tfm", ".mat"): "TransformFile",
    (".csv", ".tsv"): "TableFile",
    (".vtk", ".vtp", ".stl", ".ply", ".obj"): "ModelFile",
    (".txt", ".json"): "TextFile",
    ("",): "VolumeFile",
}


class qSlicerCoreIOManager(QtCore.QObject):
    """Loads and saves; what it cannot do ends with False, as the original does."""

    def __init__(self, core: Any) -> None:
        super().__init__()
        self._core = core
        if core.scene.GetDataIOManager() is None:  # storage nodes ask it which formats there are
            self._data_io, self._cache = slicer.vtkDataIOManager(), slicer.vtkCacheManager()
            self._cache.SetRemoteCacheDirectory(str(core.home))
            self._data_io.SetCacheManager(self._cache)
            core.scene.SetDataIOManager(self._data_io)

    def fileType(self, path: str) -> str:
        name = Path(path).name.lower()
        return next(kind for ends, kind in _EXTENSIONS.items() if name.endswith(ends))

    def fileWriterFileType(self, node: Any) -> str:
        for kind, (node_class, _storage) in _STORAGE.items():
            if node_class and node.IsA(node_class):
                return kind
        return "VolumeFile" if node.IsA("vtkMRMLVolumeNode") else "NoFile"

    def loadNodes(self, kind: str, properties: dict[str, Any], loaded: Any = None, _messages: Any = None) -> bool:
        path = Path(properties["fileName"])
        if not path.exists():
            return False
        if kind == "SceneFile":
            return self._load_scene(path, clear=bool(properties.get("clear", False)))
        node = self._load_volume(path, properties) if kind == "VolumeFile" else self._load_stored(kind, path)
        if node is None:
            return False
        if properties.get("name"):
            node.SetName(properties["name"])
        if loaded is not None:
            loaded.AddItem(node)
        return True

    def _load_scene(self, path: Path, clear: bool) -> bool:
        scene = self._core.scene
        if path.suffix.lower() == ".mrb":
            return bool(scene.ReadFromMRB(str(path), clear))
        scene.SetURL(str(path))
        return bool(scene.Connect() if clear else scene.Import())

    def _load_volume(self, path: Path, properties: dict[str, Any]) -> Any:
        logic = self._core.logics["volumes"]
        name = path.name.split(".")[0]
        return logic.AddArchetypeVolume(str(path), name, 1 if properties.get("labelmap") else 0)

    def _load_stored(self, kind: str, path: Path) -> Any:
        scene = self._core.scene
        node_class, storage_class = _STORAGE[kind]
        if kind == "MarkupsFile":
            node_id = self._core.logics["markups"].LoadMarkups(str(path), path.name.split(".")[0])
            return scene.GetNodeByID(node_id.split(",")[0]) if node_id else None
        if kind == "TransformFile":
            return self._core.logics["transforms"].AddTransform(str(path), scene)
        storage = getattr(slicer, storage_class)()
        storage.SetFileName(str(path))
        node = scene.AddNewNodeByClass(node_class, path.name.split(".")[0])
        if not storage.ReadData(node):
            scene.RemoveNode(node)
            return None
        scene.AddNode(storage)
        node.SetAndObserveStorageNodeID(storage.GetID())
        if node.IsA("vtkMRMLDisplayableNode"):
            node.CreateDefaultDisplayNodes()
        return node

    def extractKnownExtension(self, path: str, node: Any) -> str:
        """The longest extension among those that the node can be written with: .nii.gz and not .gz."""
        name = Path(path).name.lower()
        extension = slicer.vtkDataFileFormatHelper.GetFileExtensionFromFormatString
        known = {extension(form) for form in self.fileWriterExtensions(node)}
        return max((end for end in known if name.endswith(end)), key=len, default=Path(name).suffix)

    def fileWriterExtensions(self, node: Any) -> list[str]:
        """File formats of a node as "NRRD (.nrrd)"."""
        storage = node.GetStorageNode() or self._new_storage(node)
        types = storage.GetSupportedWriteFileTypes()
        return [types.GetValue(i) for i in range(types.GetNumberOfValues())]

    def _new_storage(self, node: Any) -> Any:
        """A storage node that is not in the scene but knows it: the scene knows the formats."""
        storage = node.CreateDefaultStorageNode()
        storage.UnRegister(None)
        storage.SetScene(self._core.scene)
        return storage

    def exportNodes(
        self, node_ids: list[str], paths: list[str], _properties: dict[str, Any], harden: bool, _messages: Any = None
    ) -> bool:
        """Write copies: the nodes keep their own storage. ``harden`` applies parent transforms to what is written."""
        scene = self._core.scene
        done = []
        for node_id, path in zip(node_ids, paths):
            node = scene.GetNodeByID(node_id)
            written = node
            if harden and node.GetParentTransformNode() is not None:
                written = slicer.vtkSlicerVolumesLogic.CloneVolume(scene, node, "export")
                written.SetAndObserveTransformNodeID(node.GetTransformNodeID())
                written.HardenTransform()
            storage = self._new_storage(node)
            storage.SetFileName(str(path))
            done.append(bool(storage.WriteData(written)))
            if written is not node:
                scene.RemoveNode(written)
        return all(done)

    def saveNodes(self, kind: str, properties: dict[str, Any], _messages: Any = None) -> bool:
        path = Path(properties["fileName"])
        scene = self._core.scene
        if kind == "SceneFile":
            if path.suffix.lower() == ".mrb":
                return bool(scene.WriteToMRB(str(path), None, None))
            if path.suffix.lower() != ".mrml":
                path.mkdir(parents=True, exist_ok=True)
                return bool(scene.SaveSceneToSlicerDataBundleDirectory(str(path), None))
            scene.SetURL(str(path))  # the scene alone, without the data of its nodes
            return bool(scene.Commit())
        node = scene.GetNodeByID(properties["nodeID"])
        if not node.GetStorageNode() and not node.AddDefaultStorageNode(str(path)):
            return False
        storage = node.GetStorageNode()
        storage.SetFileName(str(path))
        storage.SetUseCompression(bool(properties.get("useCompression", True)))
        return bool(storage.WriteData(node))
