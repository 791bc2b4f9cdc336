"""Masks, receptive fields and training curves as pictures."""

from __future__ import annotations

import json

import numpy as np
import pytest
from rep3d.errors import BadInput
from rep3d.figures import curves, erf_figure, mask_figure, read_records
from rep3d.interpret import BlockMask, ReceptiveField


def block(mask):
    prior = np.ones(mask.shape[1:], np.float32)
    return BlockMask("stage1.block1", mask, prior, 0.0, False)


@pytest.mark.parametrize("sign", [1, -1])
def test_mask_figure(tmp_path, read_png, sign):
    mask = np.full((1, 9, 9, 9), 0.1, np.float32)
    mask[0, 4, 4, 4] = 1
    mask[0, 0, 0, 0] *= sign * 8
    mask_figure(tmp_path / "m.png", block(mask), subtitle="weights x")
    picture = read_png(tmp_path / "m.png")
    assert picture.shape[1] == 1600 and picture.std() > 0.1


def field(shape=(20, 24, 18), voxel=(15, 5, 9)):
    gradient = np.full(shape, 1e-6, np.float32)
    gradient[voxel] = 1
    return ReceptiveField(gradient, voxel, 1, 0.5, (2.0, 2.0, 3.0), 6.0, 12.0)


def test_the_peak_is_shown_where_the_voxel_is(tmp_path, read_png):
    made = field()
    erf_figure(tmp_path / "e.png", made, np.zeros(made.gradient.shape, np.float32), width_px=1400)
    picture = read_png(tmp_path / "e.png")
    # inferno's top is a pale yellow that nothing else in the axial panel has
    panel = picture[100:-90, 28:320]
    rows, columns = np.nonzero((panel[..., 0] > 0.75) & (panel[..., 1] > 0.5) & (panel[..., 2] < 0.75))
    assert rows.size > 5
    # x = 15 of 20 is on the patient's right: the left of the picture; y = 5 of 24 is posterior: low
    lit = np.nonzero(panel.sum(2) > 0.02)
    assert columns.mean() < np.mean([lit[1].min(), lit[1].max()])
    assert rows.mean() > np.mean([lit[0].min(), lit[0].max()])


def test_a_field_that_is_zero_or_of_another_shape_is_refused(tmp_path):
    made = field()
    with pytest.raises(BadInput, match="zero everywhere"):
        erf_figure(
            tmp_path / "e.png",
            ReceptiveField(0 * made.gradient, made.voxel, 1, 0, (1, 1, 1), 0, 0),
            np.zeros(made.gradient.shape),
        )
    with pytest.raises(BadInput, match="voxels"):
        erf_figure(tmp_path / "e.png", made, np.zeros((3, 3, 3)))


RECORDS = [
    *({"step": s, "kind": "train", "loss": 1 / (s + 1), "lr": 1e-4, "seconds": 1.0} for s in range(0, 100, 10)),
    {"step": 50, "kind": "val", "dice": 0.5, "seconds": 2.0, "liver": 0.6, "spleen": None},
    {"step": 100, "kind": "val", "dice": 0.7, "seconds": 2.0, "liver": 0.8, "spleen": 0.6},
]


def test_curves_from_a_run_folder(tmp_path, read_png):
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, RECORDS)) + '\n{"cut', encoding="utf-8")
    records = read_records(tmp_path)
    assert len(records) == len(RECORDS)
    curves(tmp_path / "c.png", records, subtitle="x")
    picture = read_png(tmp_path / "c.png")
    left, right = picture[80:, :740], picture[80:, 800:]
    assert (left[..., 2] > left[..., 0] + 0.4).sum() > 100  # the loss is drawn in blue
    assert (right.min(-1) > 0.95).sum() > 100  # the mean in white


def test_no_log_is_an_error(tmp_path):
    with pytest.raises(BadInput, match="no training log"):
        read_records(tmp_path)
    (tmp_path / "log.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(BadInput, match="no records"):
        read_records(tmp_path)


def test_pyplot_is_never_used():
    import subprocess
    import sys

    code = "import sys, rep3d.figures as f; f.style.figure(9, 9); sys.exit('matplotlib.pyplot' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
