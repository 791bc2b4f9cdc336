"""Slicer's real core for the MRML layer, and workers: the real one, and a fake that misbehaves on request."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
for folder in (REPOSITORY / "Rep3DSegmentation", REPOSITORY / "Testing"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

MISSING = [name for name in ("slicer", "vtk") if importlib.util.find_spec(name) is None]


class _Skipped(pytest.Module):
    """A module of tests that cannot even be imported here."""

    def collect(self):
        pytest.skip(f"slicer-core is not installed (no module {MISSING[0]})", allow_module_level=True)


def pytest_pycollect_makemodule(module_path, parent):
    return _Skipped.from_parent(parent, path=module_path) if MISSING else None


@pytest.fixture(scope="session")
def core():
    """Slicer's core, published as ``slicer.mrmlScene`` and ``slicer.modules``."""
    import slicer
    from slicerhost.boot import boot, publish

    running = boot()
    if getattr(slicer, "mrmlScene", None) is not running.scene:  # a host in this process has published more than this
        publish(running)
    return running


@pytest.fixture
def scene(core):
    """The scene of the core, empty. A node whose display goes before it fails the test: 3D views crash on that."""
    import slicer
    import vtk

    core.scene.Clear(0)
    orphans = []

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def look(scene, _event, node):
        owner = node.GetDisplayableNode() if node.IsA("vtkMRMLDisplayNode") else None
        if owner is not None and scene.IsNodePresent(owner) and not scene.IsClosing():
            orphans.append(f"{node.GetClassName()} was removed before {owner.GetName()}")

    observer = core.scene.AddObserver(slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, look)
    yield core.scene
    core.scene.RemoveObserver(observer)
    core.scene.Clear(0)
    assert not orphans


@pytest.fixture(scope="session")
def fake_backend(tmp_path_factory) -> Path:
    """A backend folder, with a space and a letter beyond ASCII in its name, whose worker is the fake."""
    import rep3d

    folder = tmp_path_factory.mktemp("fake backend ä")
    package = folder / "rep3d"
    (package / "worker").mkdir(parents=True)
    package.joinpath("__init__.py").write_text("", encoding="utf-8")
    package.joinpath("worker", "__init__.py").write_text("", encoding="utf-8")
    real = Path(rep3d.__file__).parent / "worker"
    for source, name in (
        (real / "protocol.py", "protocol.py"),
        (REPOSITORY / "Testing/mrml/fake_worker.py", "__main__.py"),
    ):
        package.joinpath("worker", name).write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    return folder


@pytest.fixture
def fake_client(fake_backend):
    """fake_client(fault="") -> client of the fake worker; stopped at the end of the test."""
    from Rep3DSegmentationLib.client import WorkerClient

    made = []

    def make(fault: str = "", **options):
        environment = {"REP3D_BACKEND": str(fake_backend), "REP3D_FAKE": fault}
        made.append(WorkerClient(environment=environment, **options))
        return made[-1]

    yield make
    for client in made:
        client.stop(timeout_s=1.0)


@pytest.fixture
def make_volume(scene):
    """make_volume(array [X, Y, Z], affine 4x4 = identity, name="scan", parent=None) -> scalar volume node."""
    import numpy as np
    import vtk
    from Rep3DSegmentationLib.grids import as_matrix
    from vtk.util.numpy_support import numpy_to_vtk

    def make(array, affine=None, name="scan", parent=None, class_name="vtkMRMLScalarVolumeNode"):
        image = vtk.vtkImageData()
        image.SetDimensions(array.shape[:3])
        components = array.shape[3] if array.ndim == 4 else 1
        flat = np.ascontiguousarray(np.moveaxis(array.reshape(*array.shape[:3], components), (0, 1, 2), (2, 1, 0)))
        image.GetPointData().SetScalars(numpy_to_vtk(flat.reshape(-1, components), deep=True))
        node = scene.AddNewNodeByClass(class_name, name)
        node.SetIJKToRASMatrix(as_matrix(np.eye(4) if affine is None else affine))
        node.SetAndObserveImageData(image)
        if parent is not None:
            node.SetAndObserveTransformNodeID(parent.GetID())
        return node

    return make


@pytest.fixture
def make_transform(scene):
    """make_transform(matrix 4x4, parent=None) -> linear transform node."""
    from Rep3DSegmentationLib.grids import as_matrix

    def make(matrix, parent=None):
        node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "transform")
        node.SetMatrixTransformToParent(as_matrix(matrix))
        if parent is not None:
            node.SetAndObserveTransformNodeID(parent.GetID())
        return node

    return make


@pytest.fixture
def make_bend(scene):
    """make_bend() -> a non-linear transform node: a thin-plate spline that bends a few centimetres."""
    import vtk

    def make():
        points, moved = vtk.vtkPoints(), vtk.vtkPoints()
        corners = [(x, y, z) for x in (-60, 60) for y in (-60, 60) for z in (-60, 60)]
        for x, y, z in [*corners, (0, 0, 0)]:
            points.InsertNextPoint(x, y, z)
            moved.InsertNextPoint(x, y, z + (12 if x == y == 0 else 0))
        spline = vtk.vtkThinPlateSplineTransform()
        spline.SetSourceLandmarks(points)
        spline.SetTargetLandmarks(moved)
        spline.SetBasisToR()
        node = scene.AddNewNodeByClass("vtkMRMLTransformNode", "bend")
        node.SetAndObserveTransformToParent(spline)
        return node

    return make
