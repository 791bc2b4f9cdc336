"""Receptive fields over many patches: subjects, depths, classes, scans, noise."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from rep3d.data.volume import to_sitk
from rep3d.errors import BadInput, WeightsMissing
from rep3d.interpret import survey as survey_module
from rep3d.interpret.subjects import depth_module, load_subject
from rep3d.interpret.survey import SurveyOptions, survey
from rep3d.interpret.survey_files import text_table, write_survey

CPU = torch.device("cpu")
SMALL = (32, 32, 32)


@pytest.fixture
def scan_file(tmp_path, scan):
    path = tmp_path / "scan.nii.gz"
    sitk.WriteImage(to_sitk(scan.array, scan.grid), str(path))
    return path


def test_subjects(checkpoint, weights_file):
    deployed, trained = load_subject(str(weights_file)), load_subject(str(checkpoint))
    assert deployed.patch == trained.patch == (32, 48, 32) and trained.origin["step"] == 7
    x = torch.rand(1, 1, 32, 48, 32)
    with torch.no_grad():
        assert torch.allclose(deployed.build(0)(x), trained.build(0)(x), atol=1e-3)
    assert deployed.class_index("2") == deployed.class_index("Posterior Hippocampus") == 2
    assert deployed.class_index("background") == 0 and deployed.class_name(0) == "Background"
    for name in ("liver", "3"):
        with pytest.raises(BadInput, match=f"no class '{name}'") as found:
            deployed.class_index(name)
        assert "1 anterior-hippocampus" in found.value.hint


def test_fresh_networks():
    fresh = load_subject("rep3d-tiny:kernel_size=7,reparam=fixed")
    network = fresh.build(3)
    assert network.encoder.stages[0][0].conv.kernel_size == (7, 7, 7) and not network.training
    assert torch.equal(
        fresh.build(3).state_dict()["decoder.out.conv.conv.weight"], network.decoder.out.conv.conv.weight
    )
    norm = network.encoder.stages[1][0].norm
    assert not torch.allclose(norm.running_var, torch.ones_like(norm.running_var)) and norm.momentum == 0.1
    for text, message in (
        ("rep3d-huge", "unknown network"),
        ("rep3d-tiny:kernel=7", "takes no argument kernel"),
        ("rep3d-tiny:7", "'7' is no argument"),
        ("rep3d-tiny:kernel_size=8", "cannot be built"),
    ):
        with pytest.raises(BadInput, match=message):
            load_subject(text)
    with pytest.raises(WeightsMissing):
        load_subject("nowhere.safetensors")


def test_depths(checkpoint):
    network = load_subject(str(checkpoint)).build(0)
    assert depth_module(network, "logits") == "" and depth_module(network, "stage3") == "encoder.stages.2"
    assert depth_module(network, "decoder.encoder1") == "decoder.encoder1"
    with pytest.raises(BadInput, match="no depth 'stage9'") as found:
        depth_module(network, "stage9")
    assert "bottleneck" in found.value.hint


def test_scans_by_class_and_depth(weights_file, scan_file):
    subject = load_subject(str(weights_file))
    options = SurveyOptions((scan_file,), depths=("logits", "stage1"), patches=2, patch=SMALL)
    fractions = []
    found = survey(subject, options, CPU, lambda fraction, _stage: fractions.append(fraction))
    assert fractions == sorted(fractions) and fractions[-1] <= 1 and found.source == "scan.nii.gz"
    by_name = {(s.depth, s.class_name): s for s in found.summaries}
    assert ("stage1", "all") in by_name
    present = [s for s in found.summaries if s.depth == "logits"]
    assert present and all(s.patches == 2 for s in present)
    for s in present:
        n = s.numbers
        assert n["radius20_mm"].mean <= n["radius50_mm"].mean <= n["radius90_mm"].mean <= n["radius99_mm"].mean
        assert 0 < n["negative"].mean < 1 and n["radius50_mm"].low <= n["radius50_mm"].mean <= n["radius50_mm"].high
    # the first stage sees the stem's 7 voxels and two kernels of 21 at stride 2, cut at the patch
    assert found.theory["stage1"].extent == (87, 87, 87)
    json.dumps(found.to_dict(), allow_nan=False)


def test_a_class_that_is_nowhere(weights_file, scan_file, monkeypatch):
    subject = load_subject(str(weights_file))

    def only_class_1(net, x_CDHW, patch, overlap):
        logits = torch.zeros(3, *x_CDHW.shape[1:])
        logits[1] = 1
        return logits

    monkeypatch.setattr(survey_module, "sliding_window_logits", only_class_1)
    options = SurveyOptions((scan_file,), patches=1, patch=SMALL)
    found = survey(subject, options, CPU)
    assert [s.class_name for s in found.summaries] == ["Anterior hippocampus"]
    assert "Posterior hippocampus: found in none of the scans" in found.warnings[0]
    with pytest.raises(BadInput, match="finds no Posterior hippocampus"):
        survey(subject, SurveyOptions((scan_file,), classes=(2,), patches=1, patch=SMALL), CPU)


def test_noise_and_files(tmp_path):
    surveys = []
    for text in ("rep3d-tiny:kernel_size=3", "segresnet:init_filters=8"):
        options = SurveyOptions(patches=2, patch=SMALL, classes=(0, 1))
        surveys.append(survey(load_subject(text), options, CPU))
    summaries = [s for found in surveys for s in found.summaries]
    assert [s.class_name for s in summaries] == ["class 0", "class 1"] * 2
    assert all(s.numbers["sigma_moment_mm"].low < s.numbers["sigma_moment_mm"].high for s in summaries)
    write_survey(tmp_path, surveys)
    record = json.loads((tmp_path / "erf.json").read_text(encoding="utf-8"))
    assert record["surveys"][1]["theory"]["logits"]["extent_voxels"][0] > 100
    rows = list(csv.DictReader(io.StringIO((tmp_path / "erf.csv").read_text(encoding="utf-8"))))
    assert float(rows[3]["radius50_mm.low"]) == summaries[3].numbers["radius50_mm"].low
    arrays = np.load(tmp_path / "erf.npz")
    assert np.array_equal(arrays["2/gradient"], summaries[2].map) and "segresnet" in str(arrays["2/name"])
    assert text_table(summaries).count("\n") == 4


def test_what_cannot_be_measured(weights_file, scan_file, scan, tmp_path):
    subject, fresh = load_subject(str(weights_file)), load_subject("rep3d-tiny")
    with pytest.raises(BadInput, match="does not fit"):
        survey(subject, SurveyOptions(patch=(40, 32, 32)), CPU)
    with pytest.raises(BadInput, match="0 patches"):
        survey(subject, SurveyOptions(patches=0), CPU)
    with pytest.raises(BadInput, match="no class 3"):
        survey(subject, SurveyOptions(classes=(3,)), CPU)
    with pytest.raises(BadInput, match="fresh network"):
        survey(fresh, SurveyOptions((scan_file,)), CPU)
    with pytest.raises(BadInput, match="named classes"):
        fresh.class_index("liver")
    image = to_sitk(scan.array, scan.grid)
    image.SetSpacing([40.0, 40.0, 40.0])
    path = tmp_path / "coarse.nii.gz"
    sitk.WriteImage(image, str(path))
    with pytest.raises(BadInput, match="do not fit the network's"):
        survey(subject, SurveyOptions((path,), patches=1, patch=SMALL), CPU)
