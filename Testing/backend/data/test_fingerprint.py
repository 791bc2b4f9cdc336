"""The fingerprint: numbers of scans whose truth is known, in RAS order whatever the axes in the file."""

from __future__ import annotations

import json

import numpy as np
import pytest
from rep3d.data.case_figures import CaseFigures, measure_case
from rep3d.data.fingerprint import Fingerprint
from rep3d.data.volume import Volume
from rep3d.errors import BadInput

from .layout_trees import KITS_DIRECTION, put_image


def box(value: float = 80.0):
    """A CT-like block of 6 x 4 x 2 voxels in air."""
    image, label = np.full((20, 16, 12), -1000.0, np.float32), np.zeros((20, 16, 12), np.uint8)
    image[2:12, 2:12, 2:8] = value
    label[3:9, 4:8, 5:7] = 1
    image[3:9, 4:8, 5:7] = value + 40
    return image, label


def test_one_case_by_hand():
    image, label = box()
    affine = np.diag([0.5, 2.0, 3.0, 1.0])
    figures = measure_case(Volume(image, affine), Volume(label, affine), "CT")
    assert figures.spacing_mm == (0.5, 2.0, 3.0) and figures.size_voxels == (20, 16, 12)
    assert figures.classes == {1: (pytest.approx(6 * 4 * 2 * 3.0 / 1000), (3.0, 8.0, 6.0))}
    assert figures.foreground["mean"] == 120 and figures.foreground["var"] == 0
    assert figures.body["mean"] == pytest.approx((600 * 80 + 48 * 40) / 600)  # air is not body
    assert CaseFigures.from_dict(json.loads(json.dumps(figures.to_dict()))) == figures


def test_axes_of_the_file_do_not_matter(tmp_path):
    image, label = box()
    put_image(tmp_path / "i.nii.gz", image, (0.5, 2.0, 3.0))
    put_image(tmp_path / "l.nii.gz", label, (0.5, 2.0, 3.0))
    # KiTS: superior first, then anterior, then left to right.
    put_image(tmp_path / "ki.nii.gz", image.transpose(2, 1, 0), (3.0, 2.0, 0.5), direction=KITS_DIRECTION)
    put_image(tmp_path / "kl.nii.gz", label.transpose(2, 1, 0), (3.0, 2.0, 0.5), direction=KITS_DIRECTION)
    plain, kits = (
        Fingerprint.measure([(tmp_path / f"{p}i.nii.gz", tmp_path / f"{p}l.nii.gz")], {1: "a"}, "CT") for p in ("", "k")
    )
    assert plain == kits and plain.classes[0].extent_mm["median"] == (3.0, 8.0, 6.0)


def test_a_cohort_and_its_file(tmp_path):
    figures = []
    for k in range(5):
        image, label = box(60 + 10 * k)
        if k == 0:
            label[:] = 0
        affine = np.diag([1.0 + k, 1.0, 1.0, 1.0])
        figures.append(measure_case(Volume(image, affine), Volume(label, affine), "CT"))
    print_ = Fingerprint.combine(figures, {0: "background", 1: "organ", 2: "never there"}, "CT")
    assert print_.cases == 5 and print_.spacing_mm.median == (3.0, 1.0, 1.0)
    assert print_.spacing_mm.p10 == pytest.approx((1.4, 1.0, 1.0)) and print_.size_mm.median == (60.0, 16.0, 12.0)
    organ, absent = print_.classes
    assert (organ.cases, absent.cases, absent.volume_ml) == (4, 0, None)
    assert organ.volume_ml["median"] == pytest.approx(48 * 3.5 / 1000)
    # The foreground is 110, 120, 130, 140 in four cases of equal weight.
    assert print_.foreground.mean == 125 and print_.foreground.sd == pytest.approx(
        np.std([110, 120, 130, 140]), abs=1e-3
    )
    assert print_.foreground.p50 == 125 and print_.foreground.p99 == 140 and print_.foreground.p00_5 == 110
    print_.write(tmp_path / "fingerprint.json")
    assert Fingerprint.read(tmp_path / "fingerprint.json") == print_
    content = json.loads((tmp_path / "fingerprint.json").read_text())
    assert set(content) == {
        "format", "version", "cases", "modality", "spacing_mm", "size_mm", "size_voxels", "intensity", "classes",
    }  # fmt: skip
    for change, message in (
        ({"version": 9}, "version 9"),
        ({"format": "x"}, "not a fingerprint"),
        ({"classes": 3}, "damaged"),
    ):
        with pytest.raises(BadInput, match=message):
            Fingerprint.from_dict({**content, **change})
    with pytest.raises(BadInput, match="no case"):
        Fingerprint.combine([], {}, None)
    with pytest.raises(BadInput, match="is not JSON"):
        (tmp_path / "x.json").write_text("{")
        Fingerprint.read(tmp_path / "x.json")


def test_percentiles_of_a_mixture_match_those_of_all_voxels():
    rng = np.random.default_rng(0)
    label = np.ones((30, 30, 30), np.uint8)
    images = [rng.normal(50 * k, 10 + k, label.shape).astype(np.float32) for k in range(4)]
    figures = [measure_case(Volume(i, np.eye(4)), Volume(label, np.eye(4)), "MR") for i in images]
    pooled = Fingerprint.combine(figures, {1: "all"}, "MR").foreground
    everything = np.stack(images)
    for name, q in (("p00_5", 0.5), ("p01", 1), ("p50", 50), ("p99", 99), ("p99_5", 99.5)):
        assert getattr(pooled, name) == pytest.approx(np.percentile(everything, q), abs=1.0)
    assert pooled.mean == pytest.approx(everything.mean(), abs=1e-3)
    assert pooled.sd == pytest.approx(everything.std(), abs=1e-2)
