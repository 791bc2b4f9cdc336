"""The planner: any fingerprint gives a valid task within the budget or a clear error; its rules one by one."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rep3d.data.fingerprint import ClassFigures, Fingerprint, Intensities, Spread
from rep3d.errors import BadInput
from rep3d.planning import parse_memory, plan, training_bytes
from rep3d.planning.memory import LIBRARIES, MODELS, MemoryModel
from rep3d.planning.patch import LARGEST_VOXELS, full_size, patches, starting_patch
from rep3d.planning.plan import PRESETS
from rep3d.tasks import Task, load_task

SOUND = load_task("msd-pancreas").to_dict()
RESULTS = Path(__file__).parents[3] / "benchmarks" / "results" / "training_memory.json"


def same(values) -> Spread:
    return Spread(tuple(values), tuple(values), tuple(values))


def fingerprint(
    spacing=(0.8, 0.8, 2.5), size_mm=(400.0, 400.0, 500.0), modality="CT", classes=3, p10=None, ct=(-100.0, 220.0)
) -> Fingerprint:
    voxels = tuple(max(1.0, round(s / d)) for s, d in zip(size_mm, spacing))
    figures = Intensities(50.0, 40.0, ct[0], ct[0] + 10, 55.0, ct[1] - 10, ct[1])
    structures = tuple(
        ClassFigures(
            v, f"s{v}", 8, {"median": 50.0, "p10": 20.0, "p90": 90.0}, {"median": (40.0,) * 3, "p90": (60.0,) * 3}
        )
        for v in range(1, classes + 1)
    )
    return Fingerprint(
        10, modality, Spread(tuple(spacing), tuple(p10 or spacing), tuple(spacing)), same(size_mm), same(voxels),
        figures, figures, structures,
    )  # fmt: skip


def as_task(made, classes: int) -> Task:
    """The plan in an otherwise sound task: what a plan says must be what a task may say."""
    data = {**SOUND}
    label = data["labels"][0]
    data["labels"] = [
        {**label, "value": v, "key": f"s{v}", "name": f"S{v}", "color": [v, 0, 0]} for v in range(1, classes + 1)
    ]
    data |= {"spacing_mm": list(made.spacing_mm), "intensity": made.intensity.to_dict(), "patch": list(made.patch)}
    data |= {"network": made.network, "modality": made.modality}
    return Task.from_dict(data)


@settings(max_examples=80, deadline=None)
@given(
    spacing=st.tuples(*[st.floats(0.05, 40)] * 3),
    size_mm=st.tuples(*[st.floats(0.5, 2500)] * 3),
    finer=st.floats(0.1, 1),
    modality=st.sampled_from(["CT", "MR"]),
    classes=st.integers(1, 60),
    ct=st.tuples(st.floats(-1024, 3000), st.floats(0, 2000)),
    budget=st.integers(1, 200_000),
)
def test_any_fingerprint_gives_a_valid_plan_in_the_budget_or_a_clear_error(
    spacing, size_mm, finer, modality, classes, ct, budget
):
    data = fingerprint(spacing, size_mm, modality, classes, tuple(s * finer for s in spacing), (ct[0], ct[0] + ct[1]))
    budget *= 1_000_000
    try:
        made = plan(data, budget)
    except BadInput as error:
        assert "the budget is" in str(error) and error.hint
        assert training_bytes("rep3d-xs", (32, 32, 32), 1, classes + 1) > budget  # not even the least fits
        return
    task = as_task(made, classes)
    assert made.memory_bytes <= budget
    crops = made.batch_size * made.crops_per_volume
    assert made.memory_bytes == training_bytes(made.network, made.patch, crops, classes + 1)
    assert made.network in PRESETS and min(task.patch) >= 32 and crops in (1, 2, 4)
    assert math.prod(made.patch) <= LARGEST_VOXELS * 2.5  # rounding to 16 and the least of 32 an axis
    assert set(made.notes) >= {"spacing_mm", "intensity", "patch", "network", "batch_size"} and all(made.notes.values())
    again = plan(data, budget)
    assert again == made
    assert plan(data, 2 * budget).memory_bytes >= made.memory_bytes or crops < 4


def test_spacing_is_the_median_unless_slices_are_coarse_and_few():
    assert plan(fingerprint((0.8, 0.7, 2.4)), 8 * 10**9).spacing_mm == (0.8, 0.7, 2.4)  # not 3 times as coarse
    thick = fingerprint((0.8, 0.8, 5.0), (400, 400, 200), p10=(0.7, 0.7, 3.0))  # 500 x 500 x 40 voxels
    made = plan(thick, 8 * 10**9)
    assert made.spacing_mm == (0.8, 0.8, 3.0) and "10th percentile" in made.notes["spacing_mm"]
    fine = fingerprint((0.8, 0.8, 5.0), (400, 400, 200), p10=(0.1, 0.1, 0.1))
    assert plan(fine, 8 * 10**9).spacing_mm == (0.8, 0.8, 0.8)  # not finer than the other axes
    long = fingerprint((0.8, 0.8, 5.0), (400, 400, 1500), p10=(0.7, 0.7, 3.0))  # 300 slices are not few
    assert plan(long, 8 * 10**9).spacing_mm == (0.8, 0.8, 5.0)


def test_ct_is_clipped_by_the_structures_and_mr_by_percentiles():
    made = plan(fingerprint(ct=(-96.4, 215.2)), 8 * 10**9)
    assert made.intensity.clip == (-97.0, 216.0) and made.intensity.percentiles is None
    narrow = plan(fingerprint(ct=(40.0, 41.0)), 8 * 10**9)
    assert narrow.intensity.clip[1] - narrow.intensity.clip[0] >= 100 and "Widened" in narrow.notes["intensity"]
    mr = plan(fingerprint(modality="MR"), 8 * 10**9)
    assert mr.intensity.clip is None and mr.intensity.percentiles == (0.5, 99.5)


def test_a_small_scan_is_held_whole_and_a_large_one_cut_like_a_box():
    small = plan(fingerprint((1, 1, 1), (35, 50, 36), "MR"), 60 * 10**9)
    assert small.patch == (48, 64, 48) and small.network == "rep3d"
    assert (small.batch_size, small.crops_per_volume) == (2, 2) and "holds all of it" in small.notes["patch"]
    size = full_size((400, 400, 400), (0.8, 0.8, 3.2))
    start = starting_patch(size, (0.8, 0.8, 3.2))
    sides = [n * s for n, s in zip(start, (0.8, 0.8, 3.2))]
    assert max(sides) / min(sides) < 1.2  # a cube in mm, to rounding
    assert 0.8 < math.prod(start) / LARGEST_VOXELS < 1.25


def test_patches_shrink_where_they_cover_most():
    sequence = list(patches((96, 96, 64), (400.0, 200.0, 64.0)))
    assert sequence[0] == (96, 96, 64) and sequence[1] == (96, 96, 48) and sequence[-1] == (32, 32, 32)
    volumes = [math.prod(p) for p in sequence]
    assert volumes == sorted(volumes, reverse=True) and len(set(sequence)) == len(sequence)


def test_less_memory_gives_a_smaller_network_then_a_smaller_patch_then_fewer_crops():
    data = fingerprint((1.5, 1.5, 2.0), (350, 300, 400))
    made = [plan(data, gigabytes * 10**9) for gigabytes in (200, 80, 40, 20, 10, 4, 2)]
    ranks = [PRESETS.index(m.network) for m in made]
    assert ranks == sorted(ranks) and ranks[0] == 0 and ranks[-1] == 2
    assert all(m.memory_bytes <= g * 10**9 for m, g in zip(made, (200, 80, 40, 20, 10, 4, 2)))
    smallest = [m for m in made if m.network == "rep3d-xs"]
    assert math.prod(smallest[-1].patch) < math.prod(smallest[0].patch)
    least = training_bytes("rep3d-xs", (32, 32, 32), 1, 4)
    tight = plan(data, least)
    assert tight.patch == (32, 32, 32) and (tight.batch_size, tight.crops_per_volume) == (1, 1)
    assert "batch norm" in tight.notes["batch_size"]
    with pytest.raises(BadInput, match="the budget is") as caught:
        plan(data, least - 1)
    assert "--memory" in caught.value.hint


def test_overrides_are_taken_as_given_and_still_checked():
    data = fingerprint()
    made = plan(data, 40 * 10**9, spacing_mm=(1.5, 1.5, 2.0), patch=(64, 64, 48), network="rep3d-s")
    assert (made.spacing_mm, made.patch, made.network) == ((1.5, 1.5, 2.0), (64, 64, 48), "rep3d-s")
    assert all(made.notes[name].startswith("Given.") for name in ("spacing_mm", "patch", "network"))
    for wrong, named in (
        ({"patch": (64, 64, 40)}, "--patch"), ({"patch": (16, 64, 64)}, "--patch"), ({"patch": (64, 64)}, "--patch"),
        ({"spacing_mm": (0.0, 1, 1)}, "--spacing"), ({"spacing_mm": (1.0, 1, 51)}, "--spacing"),
        ({"network": "nonsense"}, "nonsense has not been measured"),
    ):  # fmt: skip
        with pytest.raises(BadInput, match=named):
            plan(data, 40 * 10**9, **wrong)
    with pytest.raises(BadInput, match="rep3d with one crop of 128 x 128 x 128"):
        plan(data, 5 * 10**9, patch=(128, 128, 128), network="rep3d")


def test_what_cannot_be_planned_is_said():
    with pytest.raises(BadInput, match="kind of image"):
        plan(fingerprint(modality=None), 10**10)
    assert plan(fingerprint(modality=None), 10**10, modality="MR").modality == "MR"
    with pytest.raises(BadInput, match="no structure"):
        plan(replace(fingerprint(), foreground=None), 10**10)
    with pytest.raises(BadInput, match="median spacing"):
        plan(fingerprint(spacing=(0.8, 0.8, 60.0)), 10**10)


def test_structures_larger_than_the_patch_and_costly_validation_are_said():
    data = fingerprint((1.0, 1.0, 1.0), (500, 500, 800))
    made = plan(data, 2 * 10**9)
    assert "Larger than the patch" in made.notes["patch"] or min(made.patch) >= 40
    assert "validation" in made.notes and "GB" in made.notes["validation"]
    assert "validation" not in plan(data, 100 * 10**9).notes


def test_the_estimate_grows_with_everything():
    base = training_bytes("rep3d-xs", (48, 48, 48), 1, 3)
    assert LIBRARIES < base < training_bytes("rep3d-xs", (48, 48, 64), 1, 3)
    assert base < training_bytes("rep3d-xs", (48, 48, 48), 2, 3)
    assert base < training_bytes("rep3d-xs", (48, 48, 48), 1, 16)
    costs = [training_bytes(name, (96, 96, 96), 2, 16) for name in ("rep3d-xs", "rep3d-s", "rep3d")]
    assert costs == sorted(costs)


def test_the_models_are_those_that_were_measured():
    content = json.loads(RESULTS.read_text(encoding="utf-8"))
    assert set(content["models"]) == set(MODELS)
    for name, model in content["models"].items():
        fields = {field: model[field] for field in MemoryModel.__dataclass_fields__}
        assert MODELS[name] == MemoryModel(**fields)
    for case in content["cases"]:
        estimate = MODELS[case["network"]].bytes(case["patch"], case["crops"], case["classes"])
        assert estimate >= case["bytes"], case
    assert max(case["libraries_bytes"] for case in content["cases"]) <= LIBRARIES


@pytest.mark.parametrize(
    ("text", "count"),
    [("8GB", 8e9), ("8 GiB", 8 * 2**30), ("1.5g", 1.5e9), ("500mb", 5e8), ("2Ti", 2**41), ("4096", 4096)],
)
def test_amounts_of_memory(text, count):
    assert parse_memory(text) == int(count)


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "8XB", "eight", "0", "1e9", "8 G B"])
def test_what_is_no_amount_of_memory(text):
    with pytest.raises(BadInput, match="--memory"):
        parse_memory(text)
