"""Ensembles: the plain mean of the members' probabilities, members that must fit, files that must not have changed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from rep3d.commands import ensemble as command
from rep3d.commands import segment
from rep3d.ensemble import MeanProbability, ensemble_of, load_ensemble, members_of, write_ensemble
from rep3d.errors import BadInput, WeightsInvalid, WeightsMissing
from rep3d.inference.pipeline import prepare_for, segment_with_weights
from rep3d.inference.windows import sliding_window_logits
from rep3d.weights import load_weights, read_meta, save_weights
from rep3d.weights_store import import_file
from torch import nn
from typer.testing import CliRunner


@pytest.fixture
def members(tiny_weights) -> list[Path]:
    """Three weights files of one task with other random weights."""
    weights = load_weights(tiny_weights)
    paths = [tiny_weights]
    for seed in (1, 2):
        generator = torch.Generator().manual_seed(seed)
        tensors = {n: t + 0.3 * t.std() * torch.randn(t.shape, generator=generator) for n, t in weights.tensors.items()
                   if t.numel() > 1}  # fmt: skip
        paths.append(tiny_weights.with_name(f"fold {seed} ä.safetensors"))
        save_weights(paths[-1], {**weights.tensors, **tensors}, replace(weights.meta, id=f"tiny{seed}"))
    return paths


def test_mean_of_probabilities_is_exact():
    torch.manual_seed(0)
    networks = [nn.Conv3d(1, 4, 1) for _ in range(3)]
    x = 30 * torch.randn(1, 1, 5, 4, 3)
    with torch.no_grad():
        expected = torch.stack([n(x).double().softmax(1) for n in networks]).mean(0)
        found = MeanProbability(networks)(x)
        alone = MeanProbability(networks[:1])(x)
    assert torch.allclose(found.double().exp(), expected, atol=1e-6) and found.dtype == torch.float32
    assert torch.isfinite(found).all()
    assert torch.allclose(found.softmax(1), found.exp(), atol=1e-6), "softmax of the result is the mean probability"
    assert torch.equal(alone.argmax(1), networks[0](x).argmax(1))


def test_a_confident_member_outweighs_an_unsure_one():
    """Probabilities are averaged, not logits: 0.99 and 0.4 of one class beat a far larger logit sum of another."""
    fixed = lambda *values: lambda x: torch.tensor(values).view(1, 2, 1, 1, 1)  # noqa: E731
    class_of = lambda *logits: int(sum(torch.tensor(v).softmax(0) for v in logits).argmax())  # noqa: E731

    class Fixed(nn.Module):
        def __init__(self, values):
            super().__init__()
            self.call = fixed(*values)

        def forward(self, x):
            return self.call(x)

    logits = [(0.0, 30.0), (3.0, 0.0), (3.0, 0.0)]  # mean logits say 1, mean probabilities say 0
    assert np.mean(logits, 0).argmax() == 1 and class_of(*logits) == 0
    assert int(MeanProbability([Fixed(v) for v in logits])(torch.zeros(1)).argmax(1)) == 0


def test_segmenting_with_an_ensemble_is_the_plain_average(members, scan, tmp_path):
    """On the network grid of one window: labels = argmax of the mean over members of softmax."""
    path = tmp_path / "three.ensemble.json"
    ensemble = write_ensemble(path, members)
    result = segment_with_weights(scan, ensemble, device="cpu")
    assert result.labelmap.shape == scan.array.shape
    p = 0
    for file in members:
        weights = load_weights(file)
        prepared = prepare_for(weights, scan)
        assert prepared.grid == scan.shape, "the grids are the same here: no interpolation hides a difference"
        p = p + sliding_window_logits(weights.build_network(), prepared.x_CDHW, weights.meta.patch).softmax(0)
    inside = tuple(slice(*b) for b in prepared.box)
    assert np.array_equal(result.labelmap[inside], p.argmax(0).numpy())
    single = [segment_with_weights(scan, load_weights(m), device="cpu").labelmap for m in members]
    assert not any(np.array_equal(result.labelmap, s) for s in single), "else this test shows nothing"
    assert [m["id"] for m in result.weights["members"]] == ["tiny", "tiny1", "tiny2"]
    assert result.weights["average"] == "probabilities" and len(result.weights["sha256"]) == 64
    one = segment_with_weights(scan, ensemble_of(members[:1]), device="cpu").labelmap
    assert np.array_equal(one, single[0])


def test_members_run_one_after_the_other(members, scan):
    """Activations of one member at a time: no member starts before the one before has ended, and none is kept."""
    ensemble = ensemble_of(members)
    network, running, order = ensemble.build_network(), [], []

    def begins(i):
        assert not running
        running.append(i)
        order.append(i)

    for i, net in enumerate(network.networks):
        net.register_forward_pre_hook(lambda *_, i=i: begins(i))
        net.register_forward_hook(lambda *_: running.clear())
    segment_with_weights(scan, ensemble, network, device="cpu")
    assert order == [0, 1, 2]


@pytest.fixture
def app():
    made = typer.Typer()
    command.register(made)
    segment.register(made)

    def call(*arguments):
        return CliRunner().invoke(made, [str(a) for a in arguments])

    return call


def test_commands(app, members, scan_file, tmp_path):
    """The manifest and several --weights give the same label map; paths are relative, so a folder can be moved."""
    path = members[0].parent / "all.ensemble.json"
    done = app("ensemble", *members, "-o", path)
    assert done.exit_code == 0 and "3 networks for openkbp" in done.output
    manifest = json.loads(path.read_text(encoding="utf-8"))
    assert (manifest["format"], manifest["version"], manifest["name"]) == ("rep3d-ensemble", 1, "all")
    assert [m["path"] for m in manifest["members"]] == [m.name for m in members]
    moved = members[0].parent.rename(tmp_path / "moved ü")
    out = [tmp_path / name for name in ("a.nii", "b.nii")]
    assert app("segment", scan_file, "-o", out[0], "--weights", moved / path.name, "--device", "cpu").exit_code == 0
    several = [part for m in members for part in ("--weights", moved / m.name)]
    assert app("segment", scan_file, "-o", out[1], *several, "--device", "cpu").exit_code == 0
    assert out[0].read_bytes() == out[1].read_bytes()
    assert read_meta(moved / path.name).id == "all" == load_weights(moved / path.name).meta.id
    for arguments, words in (
        ((moved / members[0].name, moved / members[0].name, "-o", path), "count twice"),
        ((moved / members[0].name, "-o", tmp_path / "x.json"), "does not end in"),
        ((moved / path.name, "-o", path), "ensemble already"),
        ((moved / members[0].name,), "-o is missing"),
        ((moved,), "holds no folders"),
    ):
        assert words in str(app("ensemble", *arguments).exception)


def test_members_that_do_not_fit_are_refused(members, tmp_path):
    weights = load_weights(members[1])
    meta = weights.meta
    labels = (replace(meta.task.labels[0], key="other"), *meta.task.labels[1:])
    for words, changed in (
        ("labels", replace(meta, task=replace(meta.task, labels=labels))),
        ("grid", replace(meta, spacing_mm=(1.0, 1.0, 2.0))),
        ("patch", replace(meta, patch=(32, 32, 48))),
        ("task", replace(meta, task=replace(meta.task, key="msd-spleen"))),
        ("intensities", replace(meta, intensity=replace(meta.intensity, clip=(0, 50)))),
    ):
        other = tmp_path / f"{words}.safetensors"
        save_weights(other, weights.tensors, changed)
        with pytest.raises(BadInput, match=f"differ in their {words}") as caught:
            ensemble_of([members[0], other])
        assert str(members[0]) in str(caught.value) and str(other) in str(caught.value)
    with pytest.raises(BadInput, match="needs members"):
        ensemble_of([])


def test_changed_missing_and_damaged_files_are_told(members, tmp_path):
    path = tmp_path / "e.ensemble.json"
    ensemble = write_ensemble(path, members)
    for use in (ensemble.masks, ensemble.exponents):
        with pytest.raises(BadInput, match="masks of its own"):
            use()
    with pytest.raises(BadInput, match="lists other files"):
        import_file(path)
    weights = load_weights(members[1])
    save_weights(members[1], weights.tensors, replace(weights.meta, id="trained again"))
    with pytest.raises(WeightsInvalid, match="was changed since"):
        load_ensemble(path)
    members[1].unlink()
    with pytest.raises(WeightsMissing, match="does not exist"):
        load_weights(path)
    with pytest.raises(WeightsMissing, match="no ensemble"):
        load_weights(tmp_path / "no.ensemble.json")
    for text in ("[]", "{", '{"format": "rep3d-ensemble", "version": 9}', '{"format": "x"}',
                 '{"format": "rep3d-ensemble", "version": 1, "members": []}'):  # fmt: skip
        path.write_text(text, encoding="utf-8")
        with pytest.raises(WeightsInvalid):
            load_weights(path)


def test_folds_of_a_run(tmp_path):
    with pytest.raises(BadInput, match="holds no folders"):
        members_of([tmp_path])
    for fold in (0, 2, 10):
        (tmp_path / f"fold-{fold}").mkdir()
        if fold != 10:
            (tmp_path / f"fold-{fold}" / "best.ckpt").write_bytes(b"")
    with pytest.raises(BadInput, match="in fold-10"):
        members_of([tmp_path])
    (tmp_path / "fold-10" / "best.ckpt").write_bytes(b"")
    files = members_of([tmp_path, Path("x.safetensors")])
    assert [f.parent.name for f in files[:3]] == ["fold-0", "fold-2", "fold-10"] and files[3] == Path("x.safetensors")
