"""Class-balanced sampling: how often classes and cases are seen; batches that do not depend on who computes them."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rep3d.data.augment import AugmentConfig, crop, crop_centre
from rep3d.data.cache import Sample
from rep3d.errors import BadInput
from rep3d.training.batches import Batch, Batches, share
from rep3d.training.config import TrainConfig
from rep3d.training.sampling import Sampler

SPACING = (1.0, 1.0, 1.0)
PATCH = (16, 16, 16)


def case_with(name: str, *values: int, size=(40, 36, 44), seed: int = 0) -> Sample:
    """A case with one voxel group of each class in ``values``, far from each other; classes 1 to 3 are known."""
    label = np.zeros(size, np.uint8)
    for value in values:
        corner = [(2, 2, 2), (30, 4, 30), (4, 30, 20)][value - 1]
        label[tuple(slice(c, c + 3) for c in corner)] = value
    image = np.random.default_rng(seed).uniform(0.2, 1, size).astype(np.float16)
    return Sample(name, image, label, {c: np.flatnonzero(label == c) for c in (1, 2, 3)})


def cohort() -> list[Sample]:
    """Class 1 in nine of ten cases, class 2 in three, class 3 in one; one case holds nothing."""
    held = [(1,), (1, 2), (1,), (1,), (1, 2, 3), (1,), (), (1, 2), (1,), (1,)]
    return [case_with(f"c{i}", *values, seed=i) for i, values in enumerate(held)]


def sampler(sampling: str, samples=None, foreground: float = 1.0, seed: int = 0) -> Sampler:
    return Sampler(samples or cohort(), sampling=sampling, foreground=foreground, seed=seed)


def config_of(**changes) -> TrainConfig:
    return TrainConfig(**{**dict(task="t", network="n", patch=PATCH, steps=8), **changes})


def equal(a: Batch, b: Batch) -> bool:
    return a.ids == b.ids and a.image_BCDHW.equal(b.image_BCDHW) and a.label_B1DHW.equal(b.label_B1DHW)


def test_balanced_takes_every_class_once_a_round_and_only_from_cases_that_hold_it():
    samples = cohort()
    balanced = sampler("balanced", samples)
    picks = [balanced.pick(p) for p in range(90)]
    for start in range(0, 90, 3):
        assert {pick.target for pick in picks[start : start + 3]} == {1, 2, 3}
    assert all(len(samples[pick.case].centres[pick.target]) for pick in picks)
    of_class = {c: Counter(pick.case for pick in picks if pick.target == c) for c in (1, 2, 3)}
    assert of_class[3] == {4: 30}
    assert of_class[2] == {1: 10, 4: 10, 7: 10}
    counts = of_class[1]
    assert set(counts) == {0, 1, 2, 3, 4, 5, 7, 8, 9} and max(counts.values()) - min(counts.values()) <= 1


def test_cases_without_structures_come_with_the_share_that_is_not_foreground():
    balanced = sampler("balanced", foreground=0.75)
    picks = [balanced.pick(p) for p in range(2000)]
    assert 0.72 < np.mean([pick.target is not None for pick in picks]) < 0.78
    anywhere = Counter(pick.case for pick in picks if pick.target is None)
    assert len(anywhere) == 10 and min(anywhere.values()) > 25  # 50 each are expected
    assert all(pick.foreground == (0.0 if pick.target is None else 1.0) for pick in picks)
    targets = Counter(pick.target for pick in picks if pick.target)
    assert max(targets.values()) - min(targets.values()) < 80


@pytest.mark.parametrize(("sampling", "share"), [("present", 0.9), ("uniform", 0.0)])
def test_present_and_uniform_take_every_case_once_an_epoch(sampling, share):
    cases = sampler(sampling, foreground=0.9)
    picks = [cases.pick(p) for p in range(40)]
    for start in range(0, 40, 10):
        assert sorted(pick.case for pick in picks[start : start + 10]) == list(range(10))
    assert {(pick.foreground, pick.target) for pick in picks} == {(share, None)}
    assert [p.case for p in picks[:10]] != [p.case for p in picks[10:20]]


@settings(max_examples=30, deadline=None)
@given(
    held=st.lists(st.sets(st.sampled_from([1, 2, 3])), min_size=1, max_size=7),
    foreground=st.floats(0, 1),
    seed=st.integers(0, 99),
)
def test_any_cohort_gives_cases_that_hold_their_target(held, foreground, seed):
    empty = np.zeros(0, int)
    samples = [Sample(str(i), None, None, {c: np.array([0]) if c in h else empty for c in (1, 2, 3)})
               for i, h in enumerate(held)]  # fmt: skip
    if not any(held):
        with pytest.raises(BadInput, match="no training case holds any"):
            sampler("balanced", samples, foreground, seed)
        return
    one, two = (sampler("balanced", samples, foreground, seed) for _ in range(2))
    for position in range(20):
        pick = one.pick(position)
        assert pick == two.pick(position)
        assert pick.target is None or pick.target in held[pick.case]


def seen(sampling: str, steps: int = 60) -> dict[int, float]:
    """Share of the crops of a run that hold each class."""
    config = config_of(sampling=sampling, foreground=1.0, augment=AugmentConfig.off(), crops_per_volume=1)
    batches = Batches(cohort(), config, SPACING)
    labels = torch.cat([batches[t].label_B1DHW for t in range(steps)])
    return {c: float((labels == c).flatten(1).any(1).float().mean()) for c in (1, 2, 3)}


def test_balanced_batches_show_the_rare_class_as_often_as_the_common_one():
    present, balanced, uniform = seen("present"), seen("balanced"), seen("uniform")
    assert present[1] > 10 * present[3]
    assert min(balanced.values()) > 0.25 and max(balanced.values()) < 0.45
    assert max(uniform.values()) < 0.3 * present[1]  # small structures are seldom met by chance


def test_crops_of_a_target_are_centred_near_it():
    sample = case_with("a", 1, 2, 3)
    for seed in range(20):
        start = crop_centre(sample, PATCH, 1.0, np.random.default_rng(seed), target=3) - 8
        assert 3 in crop(sample.label_XYZ, start, PATCH)


@pytest.mark.parametrize("sampling", ["present", "balanced", "uniform"])
def test_ranks_share_one_batch(sampling):
    config = config_of(sampling=sampling, batch_size=4, augment=AugmentConfig(p_noise=0.5, p_blur=0.3))
    samples = cohort()
    for step in range(3):
        whole = Batches(samples, config, SPACING)[step]
        assert len(whole.ids) == 8
        for world in (2, 4, 8):
            parts = [Batches(samples, config, SPACING, rank=rank, world=world)[step] for rank in range(world)]
            joined = Batch(
                torch.cat([p.image_BCDHW for p in parts]),
                torch.cat([p.label_B1DHW for p in parts]),
                sum((p.ids for p in parts), ()),
            )
            assert equal(joined, whole)
    with pytest.raises(ValueError, match="8 crops cannot be shared out to 3 ranks"):
        Batches(samples, config, SPACING, world=3)[0]


def test_parts_of_ranks_together_are_the_part_of_one_process():
    whole = share(8, 0, 1, 2)
    assert whole == list(range(8))
    for part in (0, 1):
        ranks = [share(8, rank, 2, 2)[part * 2 : part * 2 + 2] for rank in (0, 1)]
        assert ranks[0] + ranks[1] == whole[part * 4 : part * 4 + 4]


def test_split_keeps_the_order_and_refuses_what_cannot_be_shared_out():
    batch = Batches(cohort(), config_of(batch_size=2), SPACING)[0]
    parts = batch.split(2)
    assert [p.ids for p in parts] == [batch.ids[:2], batch.ids[2:]]
    assert torch.cat([p.image_BCDHW for p in parts]).equal(batch.image_BCDHW)
    with pytest.raises(ValueError, match="4 crops cannot be shared out to 3"):
        batch.split(3)


def test_present_is_what_it_has_always_been():
    """A digest of batches that were made before there was a choice: runs of earlier versions continue unchanged."""
    samples = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        label = np.zeros((20, 12, 24), np.uint8)
        for c in (1, 2):
            label.ravel()[rng.choice(label.size, 3, replace=False)] = c
        centres = {c: np.flatnonzero(label == c) for c in (1, 2)}
        samples.append(Sample(f"s{seed}", rng.uniform(0.2, 1, label.shape).astype(np.float16), label, centres))
    digest = hashlib.sha256()
    batches = Batches(samples, config_of(augment=AugmentConfig.off()), SPACING)
    for step in range(12):
        batch = batches[step]
        digest.update(batch.image_BCDHW.numpy().tobytes())
        digest.update(batch.label_B1DHW.numpy().tobytes())
        digest.update(repr(batch.ids).encode())
    assert digest.hexdigest() == "1559d36574b63ef03e60c3528e1adefd235a13f19e68259041fb6771b0146e09"
    changed = Batches(samples, config_of(augment=AugmentConfig(p_noise=0.5, p_blur=0.5, mirror_axes=(1, 2))), SPACING)
    means = [changed[step].image_BCDHW.double().mean().item() for step in range(3)]
    assert means == pytest.approx([0.39532283703505605, 0.4210521897057881, 0.42316016664018763], abs=1e-5)
