"""A run with weights for trying the software, or on a scan of another kind, says so before and after."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from rep3d.data.volume import Volume
from rep3d.expected import Expected
from rep3d.inference.cautions import after_run, before_run
from rep3d.inference.pipeline import segment_with_weights
from rep3d.inference.region import Region
from rep3d.inference.writing import OutputFiles, write_result
from rep3d.weights import load_weights

EXTENT = ((90.0, 110.0), (90.0, 110.0), (60.0, 100.0))


def body(radius_mm: float = 40.0, hu: float = 40.0, size: int = 25) -> Volume:
    """A cylinder of soft tissue along S in air, 4 mm voxels."""
    x = (np.arange(size) - size // 2) * 4.0
    inside = np.hypot(*np.meshgrid(x, x, indexing="ij")) < radius_mm
    array = np.where(inside[..., None], hu, -1000.0) * np.ones(20)
    array[size // 2, size // 2, :] = 900.0  # bone
    return Volume(array.astype(np.float32), np.diag([4.0, 4.0, 4.0, 1.0]))


@pytest.fixture
def meta(tiny_weights):
    from rep3d.data.profile import profile

    loaded = load_weights(tiny_weights).meta
    spans = {name: (value - 1, value + 1) for name, value in profile(body(), "CT").items()}
    expected = Expected("head and neck", 1000, EXTENT, {**spans, "soft": (20.0, 60.0)})
    return replace(loaded, expected=expected)


def codes(cautions):
    return [(c.code, c.severity) for c in cautions]


def ask(meta, volume, **more):
    return before_run(meta, volume.shape, volume.affine, volume, **more)


def test_a_scan_like_the_training_scans_needs_no_caution(meta):
    assert ask(meta, body()) == ()
    assert ask(replace(meta, expected=None), body(10.0)) == ()  # nobody measured them: nothing to compare with


def test_weights_for_trying_the_software(meta):
    (caution,) = ask(replace(meta, demo_only=True), body())
    assert (caution.code, caution.severity) == ("demo_only", "warning") and "trying the software" in caution.message


@pytest.mark.parametrize(
    ("voxel_mm", "found"),
    [
        (4.0, []),
        (5.0, []),
        (6.0, [("extent", "warning")]),
        (8.0, [("extent", "confirm")]),
        (2.0, [("extent", "confirm")]),
    ],
)
def test_the_field_of_view(meta, voxel_mm, found):
    affine = np.array([[0, -voxel_mm, 0, 7], [voxel_mm, 0, 0, -8], [0, 0, -voxel_mm, 30], [0, 0, 0, 1.0]])
    cautions = before_run(meta, (25, 25, 20), affine)
    assert codes(cautions) == found
    if found:
        assert "90 to 110 x 90 to 110 x 60 to 100 mm" in cautions[0].message
        assert f"{25 * voxel_mm:.0f} x {25 * voxel_mm:.0f} x {20 * voxel_mm:.0f} mm" in cautions[0].message
        assert "head and neck" in cautions[0].message


def test_a_region_is_what_counts_and_may_be_small(meta):
    large = replace(body(), affine=np.diag([12.0, 12.0, 12.0, 1.0]))
    region = Region.from_bounds((0, 100, 0, 100, 0, 90))
    grid = (large.shape, large.affine)
    assert codes(before_run(meta, *grid)) == [("extent", "confirm")]
    assert before_run(meta, *grid, region=region) == ()
    assert before_run(meta, *grid, region=Region.from_bounds((0, 20, 0, 20, 0, 20))) == ()


def test_what_the_scan_shows(meta):
    (caution,) = ask(meta, body(48.0))
    assert (caution.code, caution.severity) == ("content", "confirm")
    assert "cross-section of the body" in caution.message and "air" in caution.message
    (caution,) = ask(meta, replace(body(), array=body().array + 1100.0))
    assert (caution.code, caution.severity) == ("content", "confirm") and "expects CT" in caution.message


def test_what_was_found(meta, tiny_weights):
    result = segment_with_weights(body(), load_weights(tiny_weights), device="cpu")
    keys = [label.key for label in result.labels]
    expected = replace(meta.expected, volumes_ml=dict.fromkeys(keys, (10.0, 30.0)), found=dict.fromkeys(keys, 1.0))
    meta = replace(meta, expected=expected)

    def after(*sizes):
        labelmap = np.zeros(result.labelmap.shape, np.uint8)
        for value, size in enumerate(sizes, start=1):
            labelmap[10 * (value - 1) : 10 * (value - 1) + size, :6, :6] = value
        stats = tuple(
            replace(s, voxels=int((labelmap == s.value).sum()), volume_ml=float((labelmap == s.value).sum()) * 0.064)
            for s in result.stats
        )
        return after_run(meta, replace(result, labelmap=labelmap, stats=stats))

    assert after(8, 8) == ()  # 18 mL each
    (caution,) = after(8, 0)
    assert (caution.code, caution.severity) == ("content", "warning") and "is missing" in caution.message
    (caution,) = after(0, 0)
    assert caution.severity == "confirm"


def test_the_result_and_its_files_carry_them(meta, tiny_weights, tmp_path):
    weights = load_weights(tiny_weights)
    weights = replace(weights, meta=replace(meta, demo_only=True))
    told = []
    result = segment_with_weights(body(48.0), weights, device="cpu", on_caution=told.append)
    assert [c.code for c in told] == ["demo_only", "content"]
    assert result.cautions[:2] == tuple(told)
    assert result.name.endswith(" (demo weights)")
    files = OutputFiles.beside(tmp_path / "out.seg.nrrd", "seg.nrrd")
    write_result(result, files)
    written = json.loads(files.json.read_text(encoding="utf-8"))
    assert written["name"] == result.name and written["weights"]["demo_only"] is True
    assert [c["code"] for c in written["cautions"]][:2] == ["demo_only", "content"]
    assert b"(demo weights)" in files.labels.read_bytes()[:8000]
