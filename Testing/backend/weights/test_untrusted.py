"""Weights from anybody: absurd metadata and headers are refused by name, and one bad file hides no other."""

from __future__ import annotations

import copy
import json
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rep3d.errors import WeightsInvalid
from rep3d.weights import _digest, load_weights, read_meta
from rep3d.weights_meta import WeightsMeta

NESTED = json.loads("[" * 40 + "1" + "]" * 40)
EXTENT = [[1.0, 2.0]] * 3


def split(path):
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def join(path, header, body):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
    return path


def entry(shape):
    return {"dtype": "F32", "shape": shape, "data_offsets": [0, 4]}


def resigned(source, target, field, value):
    """``source`` with the dotted ``field`` of its metadata set, and a digest that is right again."""
    header, body = split(source)
    meta = json.loads(header["__metadata__"]["rep3d"])["meta"]
    *parents, last = field.split(".")
    at = meta
    for name in parents:
        at = at[name]
    at[last] = value
    digest = _digest(load_weights(source).tensors, meta)
    header["__metadata__"]["rep3d"] = json.dumps({"meta": meta, "digest": digest})
    return join(target, header, body)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", None), ("id", "two\nlines"), ("id", "\x1b[2J"), ("created", 5), ("licence", "\u202eabc"),
        ("patch", [32, float("inf"), 32]), ("patch", [10**9] * 3), ("patch", [0, 0, 0]), ("patch", [1024] * 3),
        ("spacing_mm", [-1.0, 1.0, 1.0]), ("spacing_mm", [1.0, float("nan"), 1.0]), ("spacing_mm", [1e300] * 3),
        ("spacing_mm", [1e-6] * 3), ("network.name", ["rep3d-tiny"]), ("network.args.out_channels", -1),
        ("network.args.kernel_size", 1_000_001), ("network.args.depth", 10**6), ("network.args.kernel_size", NESTED),
        ("training", None), ("training", [1, 2]), ("training.mirror_axes", 5), ("training.mirror_axes", ["x", 99]),
        ("training.mirror_axes", [1, 1]), ("training.note", NESTED), ("training.note", 1 << 80),
        ("training.best", "good"),
        ("training.members", []), ("data_sha256", {"a": 1}), ("demo_only", "yes"), ("expected", [1]),
        ("expected", {"region": "head", "cases": 0, "extent_mm": EXTENT}),
        ("expected", {"region": "head", "cases": 1, "extent_mm": [[2.0, 1.0]] * 3}),
        ("expected", {"region": "head", "cases": 1, "extent_mm": EXTENT, "figures": {"air": [0, float("inf")]}}),
    ],
)  # fmt: skip
def test_absurd_metadata_names_file_and_field(weights_file, tmp_path, field, value):
    bad = resigned(weights_file, tmp_path / "bad.safetensors", field, value)
    with pytest.raises(WeightsInvalid) as caught:
        load_weights(bad)
    assert "bad.safetensors" in str(caught.value) and field.split(".")[0] in str(caught.value)
    assert str(caught.value).replace("\n", "").isprintable() and len(str(caught.value)) < 600


@pytest.mark.parametrize(
    "change",
    [
        lambda header, body: ({**header, "__metadata__": {"rep3d": "[" * 100_000}}, body),
        lambda header, body: (json.dumps(header).encode()[:-1] + b',"__metadata__":{}}', body),
        lambda header, body: (b"\xff" + json.dumps(header).encode(), body),
        lambda header, body: ({**header, "__metadata__": 3}, body),
        lambda header, body: (header, body + b"more"),
        lambda header, body: ({**header, "x": entry([1 << 40, 1 << 40])}, body),
        lambda header, body: ({**header, "x": entry([1])}, body),
        lambda header, body: ({**header, "x": None}, body),
        lambda header, body: (b"{" + b" " * (9 << 20) + b"}", body),
    ],
    ids=["nested", "twice", "bytes", "metadata", "rest", "overflow", "overlap", "none", "long"],
)  # fmt: skip
def test_absurd_headers(weights_file, tmp_path, change):
    bad = join(tmp_path / "bad.safetensors", *change(*split(weights_file)))
    with pytest.raises(WeightsInvalid, match=r"bad\.safetensors"):
        read_meta(bad)


@pytest.mark.parametrize("length", [0, 1, (1 << 63) - 1, (1 << 64) - 1])
def test_absurd_lengths_of_the_header(weights_file, tmp_path, length):
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(struct.pack("<Q", length) + weights_file.read_bytes()[8:])
    with pytest.raises(WeightsInvalid, match=r"bad\.safetensors"):
        read_meta(bad)


def test_a_bad_file_hides_no_other(weights_file, tmp_path, monkeypatch):
    from rep3d.commands.models import weights_rows
    from rep3d.weights_store import rows

    monkeypatch.setenv("REP3D_WEIGHTS_DIR", str(tmp_path))
    resigned(weights_file, tmp_path / "absurd.safetensors", "training.note", NESTED)
    (tmp_path / "folder.safetensors").mkdir()
    (tmp_path / "good.safetensors").write_bytes(weights_file.read_bytes())
    for listed in (rows(), weights_rows()):
        mine = {row["file"]: row for row in listed if row["origin"] == "user"}
        assert mine["good.safetensors"]["error"] is None and mine["good.safetensors"]["demo_only"] is False
        assert "training.note" in mine["absurd.safetensors"]["error"] and mine["folder.safetensors"]["error"]
        assert any(row["origin"] == "shipped" and row["error"] is None for row in listed)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60)
@given(data=st.data(), value=json_values)
def test_any_field_may_hold_anything(weights_file, data, value):
    meta = copy.deepcopy(read_meta(weights_file).to_dict())
    at = meta
    while True:
        name = data.draw(st.sampled_from(sorted(at)) if isinstance(at, dict) else st.integers(0, len(at) - 1))
        inner = at[name]
        if not isinstance(inner, (dict, list)) or not inner or data.draw(st.booleans()):
            break
        at = inner
    at[name] = value
    try:
        found = WeightsMeta.from_dict(meta, "bad.safetensors")
    except WeightsInvalid as error:
        assert "bad.safetensors" in str(error)
    else:
        assert WeightsMeta.from_dict(found.to_dict(), "again") == found
