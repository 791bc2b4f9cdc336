"""Attention in windows against a sum over voxels written out: padding, shifts, borders, relative positions."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rep3d.networks.baselines.attention import RelativeBias, SelfAttention, WindowAttention, cut, fit_window, join
from rep3d.networks.baselines.rapnet import one_against_rest
from rep3d.networks.baselines.unest import NestedLevel


def by_hand(layer: WindowAttention, x: torch.Tensor, source: torch.Tensor | None = None) -> torch.Tensor:
    """The layer's definition for one image, one pair of voxels at a time."""
    size, channels = tuple(x.shape[1:4]), x.shape[-1]
    window, shift = fit_window(size, layer.window, layer.shifted)
    padded = [n + -n % w for n, w in zip(size, window)]
    if layer.skip:
        query, (key, value) = x, layer.project(source).chunk(2, -1)
    else:
        query, key, value = layer.project(x).chunk(3, -1)
    places = list(itertools.product(*map(range, size)))

    def room(place):  # window that the voxel lies in, and whether it came round from the other side
        return [((p - s) % n // w, p < s) for p, s, n, w in zip(place, shift, padded, window)]

    width = channels // layer.heads
    out = torch.zeros_like(x)
    for a in places:
        near = [b for b in places if room(a) == room(b)]
        for head in range(layer.heads):
            part = slice(head * width, (head + 1) * width)
            bias = [layer.bias.table[(*(i - j + w - 1 for i, j, w in zip(a, b, layer.window)), head)] for b in near]
            scores = [query[0][a][part] @ key[0][b][part] / width**0.5 + c for b, c in zip(near, bias)]
            weights = torch.stack(scores).softmax(0)
            out[0][a][part] = sum(w * value[0][b][part] for w, b in zip(weights, near))
    return layer.out(out)


@settings(max_examples=20, deadline=None)
@given(
    size=st.tuples(st.integers(1, 6), st.integers(1, 3), st.integers(1, 2)),
    window=st.integers(1, 3),
    shifted=st.booleans(),
    skip=st.booleans(),
)
def test_windows_are_what_their_definition_says_at_any_size(size, window, shifted, skip):
    torch.manual_seed(sum(size))
    layer = WindowAttention(4, 2, window, shifted=shifted, skip=skip).double()
    torch.nn.init.normal_(layer.bias.table)
    x, source = torch.randn(2, 1, *size, 4, dtype=torch.float64)
    arguments = (x, source) if skip else (x,)
    with torch.no_grad():
        made = layer(*arguments)
        assert torch.allclose(made, by_hand(layer, *arguments), atol=1e-12)
        batch = layer(*(torch.cat([a, 2 * a]) for a in arguments))  # each image of a batch on its own
        assert torch.allclose(batch[:1], made, atol=1e-12)


@given(
    size=st.tuples(*[st.integers(1, 7)] * 3),
    window=st.tuples(*[st.integers(1, 4)] * 3),
    shift=st.tuples(*[st.integers(0, 3)] * 3),
)
def test_joining_reverses_cutting(size, window, shift):
    x = torch.arange(2 * size[0] * size[1] * size[2] * 3, dtype=torch.float32).reshape(2, *size, 3)
    assert torch.equal(join(cut(x, window, shift), size, window, shift), x)


def test_a_window_as_large_as_the_map_is_global_attention():
    torch.manual_seed(0)
    layer, plain = WindowAttention(8, 2, 8, shifted=True), SelfAttention(8, 2)
    torch.nn.init.zeros_(layer.bias.table)
    plain.qkv.load_state_dict(layer.project.state_dict())
    plain.out.load_state_dict(layer.out.state_dict())
    x = torch.randn(2, 5, 3, 6, 8)
    assert torch.allclose(layer(x).flatten(1, 3), plain(x.flatten(1, 3)), atol=1e-6)


def test_relative_bias_depends_on_the_offset_alone():
    bias = RelativeBias((4, 3, 2), 2)
    made = bias((3, 3, 2))
    places = list(itertools.product(range(3), range(3), range(2)))
    seen: dict[tuple, torch.Tensor] = {}
    for (i, a), (j, b) in itertools.product(enumerate(places), repeat=2):
        offset = tuple(p - q for p, q in zip(a, b))
        assert torch.equal(seen.setdefault(offset, made[:, i, j]), made[:, i, j])
    assert len(seen) == 5 * 5 * 3 and len({v[0].item() for v in seen.values()}) == len(seen)


def test_a_block_of_a_nested_level_sees_itself_alone():
    level = NestedLevel(4, 2, 1, (4, 4, 8), 2)
    x = torch.randn(1, 4, 4, 4, 8, requires_grad=True)
    (level(x)[0, :, 3, 0, 5] * torch.randn(4)).sum().backward()
    touched = x.grad[0].abs().sum(0) > 0
    expected = torch.zeros(4, 4, 8, dtype=torch.bool)
    expected[2:4, 0:2, 4:8] = True
    assert torch.equal(touched, expected)


def test_rapnet_gives_one_class_its_own_probability_and_the_others_the_rest():
    torch.manual_seed(0)
    odds, coarse = torch.randn(2, 1, 3, 3, 3), torch.randn(2, 4, 3, 3, 3).softmax(1)
    made = one_against_rest(odds, coarse, [2, 1]).exp()
    assert torch.allclose(made.sum(1), torch.ones(2, 3, 3, 3), atol=1e-5)
    assert torch.allclose(made[0, 2], odds[0, 0].sigmoid(), atol=1e-6)
    assert torch.allclose(made[1, 1], odds[1, 0].sigmoid(), atol=1e-6)
    assert torch.allclose(made[0, 3] / made[0, 1], coarse[0, 3] / coarse[0, 1], rtol=1e-4)


@pytest.mark.parametrize("certain", [0, 1])
def test_rapnets_logits_stay_finite_where_the_coarse_branch_is_certain(certain):
    coarse = torch.zeros(1, 3, 2, 2, 2)
    coarse[:, certain] = 1
    odds = torch.full((1, 1, 2, 2, 2), 200.0, requires_grad=True)
    made = one_against_rest(odds, coarse, [1])
    made.sum().backward()
    assert made.isfinite().all() and odds.grad.isfinite().all()
