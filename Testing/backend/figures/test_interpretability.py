"""Kernels, evolution and receptive fields side by side, as pictures."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from rep3d.errors import BadInput
from rep3d.figures.evolution import evolution_figure, evolution_gif
from rep3d.figures.kernels import kernel_figure
from rep3d.figures.reach import labels, reach_figure
from rep3d.interpret.erf import ReceptiveField, distances_mm
from rep3d.interpret.kernels import KernelBlock, KernelSet
from rep3d.interpret.masks import BlockMask, distances
from rep3d.interpret.reach import measure, summarise


def block(strength=1.0, alive=(9, 9, 9)):
    """M falls with distance and is negative in one corner; W is 1 everywhere."""
    prior = (1 / (1 + distances((9, 9, 9)))).astype(np.float32)
    mask = (strength * prior)[None].copy()
    mask[0, 0, 0, 0] = -strength
    weight = np.ones((3, 9, 9, 9), np.float32) * np.array([1, 2, 3], np.float32)[:, None, None, None]
    known = BlockMask("stage1.block1", mask, prior, 0.25, True)
    return KernelBlock(known, mask - prior, weight, weight * mask, alive, (2.0, 2.0, 2.0))


def test_a_kernel(tmp_path, read_png):
    kernel_figure(tmp_path / "k.png", block(2.0), subtitle="x")
    picture = read_png(tmp_path / "k.png")
    assert picture.shape[1] == 1600
    # W is the same at every tap: its column is of one colour; that of W . M is brightest in the middle
    column = slice(28 + 3 * 202, 28 + 3 * 202 + 190)
    tile = picture[130:300, column][20:-20, 20:-20]
    assert tile.reshape(-1, 3).std(0).max() < 0.02
    product = picture[118:308, 28 + 4 * 202 : 28 + 4 * 202 + 190].sum(-1)
    assert product[80:110, 80:110].mean() > product[5:40, 5:40].mean() + 0.5


def test_dead_taps_are_hatched(tmp_path, read_png):
    whole, part = tmp_path / "a.png", tmp_path / "b.png"
    kernel_figure(whole, block())
    dead = block(alive=(5, 5, 5))
    kernel_figure(part, dead)
    a, b = read_png(whole), read_png(part)
    differ = np.abs(a - b).sum(-1) > 0.1
    column = differ[118:308, 28 + 3 * 202 : 28 + 3 * 202 + 190]
    assert column[:30].mean() > 0.5 and column[75:115, 75:115].mean() < 0.2


def test_files_without_weights_draw_what_they_have(tmp_path, read_png):
    fused = replace(block(), weight_CKKK=None, generator_CKKK=None)
    kernel_figure(tmp_path / "f.png", fused)
    assert read_png(tmp_path / "f.png").std() > 0.1


def series(strengths=(0.5, 1.0, 2.0)):
    return [KernelSet((block(s),), {"file": f"{i}.ckpt"}, 10 * i, "adamw", False) for i, s in enumerate(strengths)]


def test_evolution(tmp_path, read_png):
    made = series()
    evolution_figure(tmp_path / "e.png", made, 0, subtitle="x")
    picture = read_png(tmp_path / "e.png")
    assert picture.shape[1] == 1600
    # the scale is common: the mask's centre leaves white for red from checkpoint to checkpoint
    tile = (1600 - 56 - 430 - 110 - 48) // 5
    centres = [picture[122 + tile // 2, 48 + i * (tile + 12) + tile // 2] for i in range(3)]
    assert all(c[0] > c[1] for c in centres)
    assert centres[0][1] > centres[1][1] > centres[2][1]
    evolution_gif(tmp_path / "e.gif", made, 0)
    with Image.open(tmp_path / "e.gif") as gif:
        assert gif.n_frames == 3 and gif.info["loop"] == 0
        frames = []
        for i in range(3):
            gif.seek(i)
            frames.append(np.asarray(gif.convert("RGB"), float))
    assert all(np.abs(a - b).mean() > 0.5 for a, b in itertools.pairwise(frames))


def summary(name, width, class_name="liver", depth="logits"):
    pairs = []
    for w in (width, 1.1 * width):
        gradient = np.exp(-(distances_mm((24, 24, 24), (12, 12, 12), (1, 1, 1)) ** 2) / (2 * w**2)).astype(np.float32)
        field = ReceptiveField(gradient, (12, 12, 12), 1, 0.0, (1.0, 1.0, 1.0), 0.0, 0.0, 0.5 * gradient)
        pairs.append((field, measure(field)))
    return summarise(name, depth, class_name, pairs)


def test_a_wider_field_is_drawn_wider(tmp_path, read_png):
    chosen = [summary("narrow", 1.5), summary("middle", 3.0), summary("wide", 6.0)]
    reach_figure(tmp_path / "r.png", chosen, subtitle="x")
    picture = read_png(tmp_path / "r.png")
    lit = []
    for i in range(3):
        tile = picture[108 + 10 : 108 + 230, 58 + i * 254 : 58 + i * 254 + 240]
        lit.append(float((tile.sum(-1) > 0.5).mean()))
    assert lit[0] < lit[1] < lit[2]


def test_labels_tell_what_differs():
    assert labels([summary("a", 2), summary("b", 2)]) == ["a", "b"]
    assert labels([summary("a", 2, "liver"), summary("a", 2, "spleen", "stage1")]) == [
        "logits, liver",
        "stage1, spleen",
    ]
    assert labels([summary("a", 2)]) == ["a"]


def test_too_many_or_none(tmp_path):
    with pytest.raises(BadInput, match="not 0"):
        reach_figure(tmp_path / "r.png", [])
    with pytest.raises(BadInput, match="not 13"):
        reach_figure(tmp_path / "r.png", [summary("a", 2)] * 13)
    assert not list(tmp_path.iterdir())
