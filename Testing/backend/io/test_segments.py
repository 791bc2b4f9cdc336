"""Slicer segmentations are read by what their segments are called or coded, never by their values alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import slicerio
from rep3d.data.prepare import PrepareConfig, prepare
from rep3d.data.reading import read_labelmap
from rep3d.data.volume import Volume
from rep3d.errors import BadInput
from rep3d.evaluation.labelmaps import evaluate_labelmaps, find_labelmaps
from rep3d.inference.nrrd_writer import write_seg_nrrd
from rep3d.io.segments import NotTheTasks
from rep3d.phantom.files import write_array
from rep3d.tasks import load_task

TASK = load_task("msd-hippocampus")
AMOS = load_task("amos-ct")
SHAPE = (6, 7, 8)


def write(path: Path, layers: np.ndarray, segments: list[dict]) -> Path:
    """Write layers [L, X, Y, Z] or [X, Y, Z] with slicerio, an independent writer."""
    header = {"space": "left-posterior-superior", "kinds": ["list"] * (layers.ndim - 3) + ["domain"] * 3}
    ijk_to_lps = np.eye(4)
    slicerio.write_segmentation(
        str(path),
        {"voxels": layers, "ijkToLPS": ijk_to_lps, "encoding": "gzip", "header": header, "segments": segments},
    )
    return path


def segment(name: str, value: int, layer: int = 0, code: str = "85756007", modifier: str = "", key: str = "") -> dict:
    terminology = {
        "contextName": "Segmentation category and type - 3D Slicer General Anatomy list",
        "category": ["SCT", "123037004", "Anatomical Structure"],
        "type": ["SCT", code, "x"],
        "anatomicContextName": "Anatomic codes - DICOM master list",
    }
    if modifier:
        terminology["typeModifier"] = ["SCT", modifier, "y"]
    return {
        "name": name, "id": key or f"Segment_{value}_{layer}", "labelValue": value, "layer": layer,
        "color": [1.0, 0.0, 0.0], "terminology": terminology,
    }  # fmt: skip


def boxes(*boxes_: tuple[int, int]) -> np.ndarray:
    array = np.zeros(SHAPE, np.uint8)
    for value, start in boxes_:
        array[start : start + 2] = value
    return array


def test_names_decide_whatever_the_values(tmp_path):
    path = write(
        tmp_path / "a.seg.nrrd",
        boxes((2, 0), (7, 3)),
        [segment("Anterior Hippocampus", 2), segment("x", 7, key="posterior-hippocampus")],
    )
    volume = read_labelmap(path, TASK.labels)
    np.testing.assert_array_equal(volume.array, boxes((1, 0), (2, 3)))
    assert volume.array.dtype == np.uint8 and volume.warnings == ()
    plain = read_labelmap(path)
    np.testing.assert_array_equal(plain.array, boxes((2, 0), (7, 3)))
    assert "label values" in plain.warnings[0]


def test_terminology_decides_where_names_say_nothing(tmp_path):
    """The right kidney by its code with its modifier; a code that several structures share says nothing."""
    kidney = next(label for label in AMOS.labels if label.key == "right-kidney")
    liver = next(label for label in AMOS.labels if label.key == "liver")
    path = write(
        tmp_path / "a.seg.nrrd",
        boxes((1, 0), (2, 3)),
        [
            segment("Segment_1", 1, code=kidney.type.value, modifier=kidney.modifier.value),
            segment("Leber", 2, code=liver.type.value),
        ],
    )
    np.testing.assert_array_equal(read_labelmap(path, AMOS.labels).array, boxes((kidney.value, 0), (liver.value, 3)))


def test_what_is_no_structure_is_named(tmp_path):
    path = write(
        tmp_path / "a.seg.nrrd", boxes((1, 0), (2, 3)), [segment("Anterior hippocampus", 1), segment("Tumor X", 2)]
    )
    with pytest.raises(NotTheTasks, match=r"a\.seg\.nrrd: no structure of the task is Tumor X"):
        read_labelmap(path, TASK.labels)
    empty = write(tmp_path / "b.seg.nrrd", boxes((1, 0)), [segment("Anterior hippocampus", 1), segment("Tumor X", 2)])
    assert read_labelmap(empty, TASK.labels).array.max() == 1, "a segment without voxels changes nothing"
    twice = [segment("Anterior hippocampus", 1), segment("anterior_hippocampus", 2)]
    with pytest.raises(NotTheTasks, match="are both Anterior hippocampus"):
        read_labelmap(write(tmp_path / "c.seg.nrrd", boxes((1, 0), (2, 3)), twice), TASK.labels)
    with pytest.raises(NotTheTasks, match=r"value \[2\] belong to no segment"):
        read_labelmap(
            write(tmp_path / "d.seg.nrrd", boxes((1, 0), (2, 3)), [segment("Anterior hippocampus", 1)]), TASK.labels
        )


def test_layers(tmp_path):
    """Segments in layers of their own are one label map while they exclude each other."""
    both = [segment("Anterior hippocampus", 1, 0), segment("Posterior hippocampus", 1, 1)]
    apart = write(tmp_path / "a.seg.nrrd", np.stack([boxes((1, 0)), boxes((1, 3))]), both)
    np.testing.assert_array_equal(read_labelmap(apart, TASK.labels).array, boxes((1, 0), (2, 3)))
    overlap = write(tmp_path / "b.seg.nrrd", np.stack([boxes((1, 0)), boxes((1, 1))]), both)
    with pytest.raises(NotTheTasks, match="Posterior hippocampus overlaps others in 56 voxels"):
        read_labelmap(overlap, TASK.labels)
    with pytest.raises(BadInput):
        read_labelmap(overlap)


def test_our_own_segmentation_comes_back(tmp_path):
    labels = boxes((1, 0), (2, 3))
    write_seg_nrrd(tmp_path / "a_seg.seg.nrrd", labels, Volume(labels, np.diag([1.5, 2, 3, 1])), TASK.labels)
    np.testing.assert_array_equal(read_labelmap(tmp_path / "a_seg.seg.nrrd", TASK.labels).array, labels)


def test_reports(cases, tmp_path):
    """Its values 1 and 2 are the other way round than its names; slicerio agrees."""
    path = cases / "reading" / "label_values_other_than_names.seg.nrrd"
    stored = slicerio.read_segmentation(str(path))["voxels"]
    volume = read_labelmap(path, TASK.labels)
    np.testing.assert_array_equal(volume.array, np.array([0, 2, 1])[stored])
    for name, value in (("truth", stored), ("pred", volume.array)):
        folder = tmp_path / name
        folder.mkdir()
        if name == "truth":
            shutil.copy(path, folder / "hip.seg.nrrd")
        else:
            write_array(value.astype(np.uint8), volume.affine, folder / "hip_seg.nii.gz")
    result = evaluate_labelmaps(TASK, tmp_path / "pred", truth=tmp_path / "truth")
    assert result["cases"][0]["dice"]["native"] == {"anterior-hippocampus": 1, "posterior-hippocampus": 1}


def test_segmentations_are_found_by_id(tmp_path):
    for name in ("hip8_seg.seg.nrrd", "hip9.seg.nrrd", "hip9.nii.gz", "hip10_seg.nii.gz"):
        (tmp_path / name).touch()
    assert {k: p.name for k, p in find_labelmaps(tmp_path).items()} == {
        "hip8": "hip8_seg.seg.nrrd", "hip9": "hip9.seg.nrrd", "hip10": "hip10_seg.nii.gz",
    }  # fmt: skip


def test_segmentations_are_prepared_by_name(tmp_path, cases):
    """NAME_seg.seg.nrrd belongs to NAME, and what preparation keeps has the task's values."""
    rng = np.random.default_rng(0)
    (tmp_path / "src" / "labels").mkdir(parents=True)
    for i in range(4):
        image = rng.normal(500, 50, (12, 14, 10)).astype(np.float32)
        write_array(image, np.diag([-1.0, -1, 1, 1]), tmp_path / "src" / "images" / f"hip{i}.nii.gz")
        labels = np.zeros(image.shape, np.uint8)
        labels[2:5, 3:9, 3:7], labels[6:9, 3:9, 3:7] = 2, 1
        write(
            tmp_path / "src" / "labels" / f"hip{i}_seg.seg.nrrd",
            labels,
            [segment("Anterior hippocampus", 2), segment("Posterior hippocampus", 1)],
        )
    result = prepare(
        PrepareConfig("folder", TASK, workers=1, cache=False, fold_count=3), tmp_path / "src", tmp_path / "out"
    )
    assert result.report.checked == 4 and not result.report.errors
    kept = sorted((tmp_path / "out" / "converted").glob("hip3.labels*"))
    assert len(kept) == 1
    array = read_labelmap(kept[0]).array
    assert array[3, 5, 5] == 1 and array[7, 5, 5] == 2


def test_a_task_is_not_planned_from_values_that_mean_nothing(tmp_path):
    from rep3d.data.layouts.base import Scan
    from rep3d.planning.source import _measure_scan

    path = write(tmp_path / "a.seg.nrrd", boxes((1, 0)), [segment("Anterior hippocampus", 1)])
    with pytest.raises(BadInput, match="3D Slicer segmentation"):
        _measure_scan(Scan("a", "a", tmp_path / "a.nii.gz", path), None)
