"""Probability maps: what is read is what was written, to half a step of a byte; damaged files are refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rep3d.errors import BadInput, OutputFailed
from rep3d.probability_map import FLOOR, ProbabilityMap, ProbabilityWriter, index_path


def write(path, dense_CIJK, tile):
    writer = ProbabilityWriter(path, dense_CIJK.shape[1:], len(dense_CIJK))
    for c in range(len(dense_CIJK)):
        for corner in np.ndindex(*(-(-n // tile) for n in dense_CIJK.shape[1:])):
            start = tuple(tile * i for i in corner)
            writer.add(c, start, dense_CIJK[(c, *(slice(s, s + tile) for s in start))])
    writer.close()


@settings(deadline=None, max_examples=30)
@given(st.tuples(*[st.integers(1, 9)] * 3), st.integers(2, 5), st.integers(0, 1000))
def test_round_trip(tmp_path_factory, shape, tile, seed):
    rng = np.random.default_rng(seed)
    dense = rng.dirichlet([0.3, 0.2, 0.02], shape).transpose(3, 0, 1, 2)
    path = tmp_path_factory.mktemp("map") / "p.bin"
    write(path, dense, tile)
    read = ProbabilityMap(path)
    assert read.shape == shape and read.num_classes == 3 and 0 not in read.classes
    for c in (1, 2):
        values, first = read.read(c)
        whole = np.zeros(shape)
        whole[tuple(slice(f, f + n) for f, n in zip(first, values.shape))] = values / 255
        assert np.abs(whole - dense[c]).max() <= max(FLOOR, 0.5 / 255) + 1e-9
    voxel = tuple(int(rng.integers(n)) for n in shape)
    at = read.at(voxel)
    for c in (1, 2):
        assert at.get(c, 0) == pytest.approx(dense[(c, *voxel)], abs=max(FLOOR, 0.5 / 255) + 1e-9)


def test_a_class_that_is_nowhere_costs_nothing_and_is_empty(tmp_path):
    dense = np.zeros((3, 8, 8, 8))
    dense[1, 2:4] = 1
    write(tmp_path / "p", dense, 4)
    read = ProbabilityMap(tmp_path / "p")
    assert read.classes == (1,) and read.box(2) is None and read.read(2)[0].size == 0
    assert read.box(1) == ((0, 0, 0), (4, 8, 8)) and (tmp_path / "p").stat().st_size < 200


def test_damage_is_refused(tmp_path):
    path = tmp_path / "p"
    write(path, np.full((2, 4, 4, 4), 0.5), 4)
    whole, index = path.read_bytes(), index_path(path).read_text(encoding="utf-8")
    path.write_bytes(whole[:-1])
    with pytest.raises(BadInput, match="cut off"):
        ProbabilityMap(path)
    path.write_bytes(b"\0" * len(whole))
    with pytest.raises(BadInput, match="damaged"):
        ProbabilityMap(path).read(1)
    index_path(path).write_text(json.dumps({**json.loads(index), "format": 2}), encoding="utf-8")
    with pytest.raises(BadInput, match="another version"):
        ProbabilityMap(path)
    index_path(path).unlink()
    with pytest.raises(BadInput, match="not a probability map"):
        ProbabilityMap(path)


def test_discarded_and_unwritable_maps_leave_nothing(tmp_path):
    writer = ProbabilityWriter(tmp_path / "p", (2, 2, 2), 2)
    writer.add(1, (0, 0, 0), np.ones((2, 2, 2)))
    writer.discard()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OutputFailed, match="missing"):
        ProbabilityWriter(tmp_path / "missing" / "p", (2, 2, 2), 2)


def test_reading_needs_no_torch():
    import subprocess
    import sys

    code = "import sys, rep3d.probability_map; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
