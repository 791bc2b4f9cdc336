"""Weights files that are damaged, foreign, dangerous or of the future are refused, and never unpickled."""

import dataclasses
import json
import os
import pickle
import stat

import pytest
import torch
from rep3d.errors import OutputFailed, WeightsInvalid, WeightsMissing
from rep3d.weights import find_weights, list_weights, load_weights, save_weights
from safetensors.torch import save_file


def test_round_trip(weights_file, tmp_path):
    weights = load_weights(weights_file)
    again = tmp_path / "again.safetensors"
    save_weights(again, weights.tensors, weights.meta)
    second = load_weights(again)
    assert second.meta == weights.meta
    assert all(torch.equal(t, second.tensors[n]) for n, t in weights.tensors.items())
    assert len(weights.sha256) == 64


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.999])
def test_truncated(weights_file, tmp_path, share):
    data = weights_file.read_bytes()
    bad = tmp_path / "cut.safetensors"
    bad.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(WeightsInvalid, match=r"cut\.safetensors"):
        load_weights(bad)


@pytest.mark.parametrize("where", [0.2, 0.6, 0.99])
def test_one_flipped_bit_in_a_tensor_is_noticed(weights_file, tmp_path, where):
    data = bytearray(weights_file.read_bytes())
    data[int(len(data) * where)] ^= 1
    bad = tmp_path / "flipped.safetensors"
    bad.write_bytes(data)
    with pytest.raises(WeightsInvalid, match="changed after it was written"):
        load_weights(bad)


def test_tampered_metadata_is_noticed(weights_file, tmp_path):
    data = weights_file.read_bytes()
    bad = tmp_path / "relabelled.safetensors"
    assert data.count(b"Anterior hippocampus") == 1
    bad.write_bytes(data.replace(b"Anterior hippocampus", b"Anterior hippocampuz"))
    with pytest.raises(WeightsInvalid, match="changed after it was written"):
        load_weights(bad)


class _Bomb:
    def __reduce__(self):
        return (os.system, ("touch exploded",))


@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_a_pickle_is_refused_unopened(tmp_path, monkeypatch, writer):
    monkeypatch.chdir(tmp_path)
    bad = tmp_path / "model.safetensors"
    if writer == "torch":
        torch.save({"weight": _Bomb()}, bad)
    else:
        bad.write_bytes(pickle.dumps(_Bomb()))
    with pytest.raises(WeightsInvalid, match="pickled"):
        load_weights(bad)
    assert not (tmp_path / "exploded").exists()


def _rewrite(source, target, change):
    """The same tensors with metadata changed by ``change`` and a right digest, as a hostile or future writer could."""
    from rep3d import weights as module

    loaded = load_weights(source)
    tensors, meta = change(dict(loaded.tensors), loaded.meta.to_dict())
    document = {"meta": meta, "digest": module._digest(tensors, meta)}
    save_file(tensors, target, metadata={module.METADATA_KEY: json.dumps(document)})


def test_future_version(weights_file, tmp_path):
    bad = tmp_path / "future.safetensors"
    _rewrite(weights_file, bad, lambda t, m: (t, {**m, "format_version": 99}))
    with pytest.raises(WeightsInvalid, match="version 99") as caught:
        load_weights(bad)
    assert "Update" in caught.value.hint


def test_wrong_shape(weights_file, tmp_path):
    bad = tmp_path / "shape.safetensors"
    name = "encoder.stages.0.0.conv.weight"
    _rewrite(weights_file, bad, lambda t, m: ({**t, name: t[name][:, :, 1:].contiguous()}, m))
    with pytest.raises(WeightsInvalid, match=name):
        load_weights(bad)


def test_missing_and_extra_tensors(weights_file, tmp_path):
    bad = tmp_path / "names.safetensors"
    _rewrite(weights_file, bad, lambda t, m: ({n: v for n, v in t.items() if n != "decoder.out.conv.conv.bias"}, m))
    with pytest.raises(WeightsInvalid, match=r"decoder\.out"):
        load_weights(bad)
    _rewrite(weights_file, bad, lambda t, m: ({**t, "surprise": torch.zeros(1)}, m))
    with pytest.raises(WeightsInvalid, match="surprise"):
        load_weights(bad)


@pytest.mark.parametrize(
    "change",
    [
        {"network": {"name": "unknown", "args": {}}},
        {"network": {"name": "rep3d-tiny", "args": {"out_channels": 3, "norm": "none"}}},
        {"patch": [32, 48]},
        {"spacing_mm": "thick"},
        {"form": "training"},
        {"intensity": {"clip": None, "percentiles": None}},
        {"task": {}},
    ],
)
def test_wrong_metadata(weights_file, tmp_path, change):
    bad = tmp_path / "meta.safetensors"
    _rewrite(weights_file, bad, lambda t, m: (t, {**m, **change}))
    with pytest.raises(WeightsInvalid, match=r"meta\.safetensors"):
        load_weights(bad)


def test_foreign_safetensors_and_missing_file(tmp_path):
    other = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(2)}, other)
    with pytest.raises(WeightsInvalid, match="not one of Rep3D's"):
        load_weights(other)
    with pytest.raises(WeightsMissing, match="nothing"):
        load_weights(tmp_path / "nothing.safetensors")


def test_find_prefers_the_users_folder(weights_file, tmp_path, monkeypatch):
    monkeypatch.setenv("REP3D_WEIGHTS_DIR", str(tmp_path / "mine ü"))
    with pytest.raises(WeightsMissing, match="amos-mri"):
        find_weights("amos-mri")
    target = tmp_path / "mine ü" / "amos-mri.safetensors"
    loaded = load_weights(weights_file)
    save_weights(target, loaded.tensors, dataclasses.replace(loaded.meta, id="in a folder with ü"))
    assert find_weights("amos-mri") == target
    assert list_weights()[0] == target
    assert load_weights(target).meta.id == "in a folder with ü"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions do not stop this user")
def test_no_write_permission(weights_file, tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    loaded = load_weights(weights_file)
    with pytest.raises(OutputFailed, match="locked"):
        save_weights(folder / "w.safetensors", loaded.tensors, loaded.meta)


def test_a_full_disk_leaves_the_old_file(weights_file, tmp_path, monkeypatch):
    target = tmp_path / "w.safetensors"
    target.write_bytes(b"old")
    loaded = load_weights(weights_file)

    def full(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OutputFailed, match="No space left"):
        save_weights(target, loaded.tensors, loaded.meta)
    monkeypatch.undo()
    assert target.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


@pytest.mark.parametrize("start", [b"\x80", b"PK"])
def test_a_header_whose_length_looks_like_a_pickle_is_read(weights_file, tmp_path, start):
    """A safetensors file starts with its header's length: one file in 32 begins with the byte that starts a pickle."""
    loaded = load_weights(weights_file)
    target = tmp_path / "w.safetensors"

    def write(note):
        training = {**loaded.meta.training, "note": note}
        save_weights(target, loaded.tensors, dataclasses.replace(loaded.meta, training=training))
        return int.from_bytes(target.read_bytes()[:8], "little")

    modulus, wanted = 256 ** len(start), int.from_bytes(start, "little")
    missing = (wanted - write("")) % modulus
    while write("x" * missing) % modulus != wanted:  # the header is padded to 8 bytes
        missing += 1
    assert target.read_bytes().startswith(start)
    assert load_weights(target).meta.training["note"] == "x" * missing


def test_half_precision_tensors_are_brought_to_float32_and_integers_refused(weights_file, tmp_path):
    half = tmp_path / "half.safetensors"
    name = "decoder.out.conv.conv.bias"
    _rewrite(weights_file, half, lambda t, m: ({**t, name: t[name].half()}, m))
    assert {t.dtype for t in load_weights(half).build_network().state_dict().values()} == {torch.float32}
    whole = tmp_path / "whole.safetensors"
    _rewrite(weights_file, whole, lambda t, m: ({**t, name: t[name].int()}, m))
    with pytest.raises(WeightsInvalid, match=r"whole\.safetensors.*int32"):
        load_weights(whole)


def test_a_file_that_cannot_be_opened_is_named(weights_file, monkeypatch):
    import rep3d.safetensors_header as module

    def locked(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(module, "open", locked, raising=False)
    with pytest.raises(WeightsInvalid, match=r"msd-hippocampus\.safetensors.*Permission denied"):
        load_weights(weights_file)
