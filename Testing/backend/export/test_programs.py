"""Single files: run again from what was written, by the runtime alone; refused where the logits differ."""

from __future__ import annotations

import importlib.util
import io
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from rep3d.errors import BadInput, WeightsInvalid
from rep3d.export import programs
from rep3d.export.agreement import TOLERANCE, Windows, compare, make_windows
from rep3d.export.plain import plain_copy
from rep3d.export.programs import export_file
from rep3d.export.source import load_source
from rep3d.inference.pipeline import segment_volume
from rep3d.networks import create_network

DATA = Path(os.environ["REP3D_DATA"]) if os.environ.get("REP3D_DATA") else None


@pytest.fixture(scope="module")
def onnx_file(source, random_windows, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "netz ü.onnx"
    # one fixed batch: shapes as formulas take the exporter three times as long; test_torch_export has them
    assert export_file(source, path, "onnx", random_windows, batch=1).batches == (1,)
    return path


def session(path):
    onnxruntime = pytest.importorskip("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])


def test_onnx(onnx_file, source):
    import onnx

    model = onnx.load(str(onnx_file))
    onnx.checker.check_model(model, full_check=True)
    assert {(o.domain, o.version) for o in model.opset_import} == {("", programs.OPSET)}
    about = session(onnx_file).get_modelmeta().custom_metadata_map
    assert json.loads(about["spacing_mm"]) == list(source.meta.spacing_mm)
    assert json.loads(about["patch"]) == list(source.meta.patch)
    assert [label["key"] for label in json.loads(about["labels"])] == [label.key for label in source.meta.task.labels]
    assert json.loads(about["intensity"]) == source.meta.intensity.to_dict()
    assert about["licence"] == source.meta.licence and about["weights_sha256"] == source.sha256
    assert float(about["max_logit_difference"]) <= TOLERANCE and json.loads(about["opset"]) == programs.OPSET
    x = torch.rand((1, 1, *source.meta.patch), generator=torch.Generator().manual_seed(9))
    (logits,) = session(onnx_file).run(None, {"image": x.numpy()})
    np.testing.assert_allclose(logits, source.network(x).numpy(), rtol=0, atol=TOLERANCE)


def test_example_segments_as_rep3d_does(onnx_file, source, scans):
    from rep3d.data.reading import read_volume

    path = Path(__file__).parents[3] / "docs" / "examples" / "onnx_sliding_window.py"
    spec = importlib.util.spec_from_file_location("onnx_sliding_window", path)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    for scan in sorted(scans.glob("*.nii.gz")):
        image = sitk.ReadImage(str(scan))
        labels = example.segment(session(onnx_file), image)
        for name in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
            assert getattr(labels, name)() == getattr(image, name)()
        meta = source.meta
        expected = segment_volume(read_volume(scan), source.network, meta.task, patch=meta.patch, device="cpu").labelmap
        found = sitk.GetArrayFromImage(labels).transpose(2, 1, 0)
        assert len(np.unique(expected)) == 3  # all classes, else equality says little
        assert (found != expected).mean() < 1e-4  # ties of float32


def test_torch_export(source, random_windows, tmp_path):
    path = tmp_path / "net.pt2"
    agreement = export_file(source, path, "torch-export", random_windows)
    extra = {programs.EXTRA_FILE: ""}
    program = torch.export.load(io.BytesIO(path.read_bytes()), extra_files=extra)
    about = json.loads(extra[programs.EXTRA_FILE])
    assert (about["format"], about["version"], about["kind"]) == ("rep3d-export", 1, "torch-export")
    assert agreement.batches == (1, 2)
    assert about["check"]["max_logit_difference"] == agreement.max_logit_difference <= TOLERANCE
    x = torch.rand(3, 1, *source.meta.patch)
    torch.testing.assert_close(program.module()(x), source.network(x), rtol=0, atol=TOLERANCE)
    assert "rep3d" not in str(program.graph)


def test_torchscript_with_fixed_batch_and_any_size(source, random_windows, tmp_path):
    path = tmp_path / "net.ts"
    agreement = export_file(source, path, "torchscript", random_windows, batch=1, dynamic_size=True)
    assert agreement.batches == (1,) and len(agreement.sizes) == 2
    extra = {programs.EXTRA_FILE: ""}
    loaded = torch.jit.load(str(path), _extra_files=extra)
    assert json.loads(extra[programs.EXTRA_FILE])["input"]["shape"] == [1, 1, *["a multiple of 16"] * 3]
    x = random_windows.tensors[1]
    torch.testing.assert_close(loaded(x), source.network(x), rtol=0, atol=TOLERANCE)


def test_other_logits_are_refused(source, random_windows, tmp_path, monkeypatch):
    def wrong(network):
        plain = plain_copy(network)
        plain.decoder.out.conv.conv.bias.add_(3 * TOLERANCE)
        return plain

    monkeypatch.setattr(programs, "plain_copy", wrong)
    with pytest.raises(WeightsInvalid, match=r"differ from Rep3D's by (2\.9|3\.[01])e-04"):
        export_file(source, tmp_path / "net.ts", "torchscript", random_windows, batch=1)
    assert not list(tmp_path.iterdir())


def test_another_network(as_source, random_windows, tmp_path):
    source = as_source(create_network("segresnet", in_channels=1, out_channels=3, init_filters=8))
    path = tmp_path / "net.ts"
    assert export_file(source, path, "torchscript", random_windows).max_logit_difference <= TOLERANCE


def test_a_network_of_one_size_says_so(as_source, random_windows, tmp_path):
    patch = list(random_windows.tensors[0].shape[2:])
    small = {"patch": patch, "feature_size": 4, "hidden_size": 24, "mlp_dim": 24, "heads": 2}
    source = as_source(create_network("unetr", in_channels=1, out_channels=3, **small))
    agreement = export_file(source, tmp_path / "net.ts", "torchscript", random_windows)
    assert agreement.max_logit_difference <= TOLERANCE
    with pytest.raises(BadInput, match="'unetr'") as error:
        export_file(source, tmp_path / "dynamic.ts", "torchscript", random_windows, dynamic_size=True)
    assert "--dynamic-size" in error.value.hint
    assert not (tmp_path / "dynamic.ts").exists()


def test_what_cannot_be_run_is_a_clear_error(source, random_windows):
    def fixed(x):
        if len(x) != 1:
            raise RuntimeError("Got: 2\n Expected: 1")
        return source.network(x)

    with pytest.raises(BadInput, match="Got: 2 Expected: 1") as error:
        compare(source, fixed, random_windows, "a runtime")
    assert "--batch 1" in error.value.hint
    assert compare(source, fixed, random_windows, "a runtime", batch=1).max_logit_difference == 0


def test_missing_package(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    with pytest.raises(BadInput, match="onnxscript") as error:
        programs.need("onnx")
    assert "[export]" in error.value.hint


@pytest.mark.slow
@pytest.mark.skipif(DATA is None, reason="REP3D_DATA is not set")
def test_shipped_weights_on_a_real_window(tmp_path):
    """Background makes the sums of instance norms hard for onnxruntime: without stepwise means this differs by 5e-4."""
    pytest.importorskip("onnxruntime")
    source = load_source("msd-hippocampus")
    scan = sorted((DATA / "open" / "hippocampus" / "images").glob("*.nii.gz"))[4]
    real = make_windows(source, [scan])
    assert real.real == 1 and real.scans == (scan.name,)
    windows = replace(real, tensors=real.tensors[real.random :], random=0)
    assert isinstance(windows, Windows)
    agreement = export_file(source, tmp_path / "net.onnx", "onnx", windows, batch=1)
    assert agreement.max_logit_difference < 5e-5
    about = session(tmp_path / "net.onnx").get_modelmeta().custom_metadata_map
    assert "not a medical device" in about["card"]
