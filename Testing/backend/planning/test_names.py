"""Labels from names: keys, codes only where the structure is known, colours that differ."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rep3d.errors import BadInput
from rep3d.planning.names import COLOUR_GAP, GENERIC, make_labels, recognise, slug
from rep3d.tasks import list_shipped


@pytest.mark.parametrize(
    ("name", "meaning", "modifier"),
    [
        ("Spleen", "Spleen", None), ("LIVER", "Liver", None), ("kidney", "Kidney", None),
        ("kidney_right", "Kidney", "Right"), ("Left Kidney", "Kidney", "Left"),
        ("adrenal_gland_left", "Adrenal gland", "Left"), ("gall bladder", "Gallbladder", None),
        ("oesophagus", "Esophagus", None), ("postcava", "Inferior vena cava", None),
        ("vena cava inferior", "Inferior vena cava", None), ("Parotid_L", None, None), ("cancer", "Neoplasm", None),
        ("anterior hippocampus", "Hippocampus", "Anterior"), ("left or right kidney", None, None),
        ("left ventricle", None, None), ("liver vessels", None, None), ("Anterior", None, None), ("Leber", None, None),
    ],
)  # fmt: skip
def test_codes_are_given_only_where_the_structure_is_known(name, meaning, modifier):
    (label,) = make_labels({1: name})
    assert label.type.meaning == (meaning or GENERIC.meaning)
    assert (label.modifier.meaning if label.modifier else None) == modifier


def test_every_structure_of_a_shipped_task_is_recognised_as_itself():
    for task in list_shipped():
        for label in task.labels:
            known, side = recognise(label.name)
            assert known is not None and known.type == label.type, label.name
            assert bool(side) == label.name.lower().startswith(("left", "right"))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=20))
def test_any_names_give_sound_labels_or_a_clear_error(names):
    try:
        labels = make_labels(dict(enumerate(names, start=1)))
    except BadInput as error:
        assert "has no name" in str(error) or "two labels are called" in str(error)
        return
    assert [label.value for label in labels] == list(range(1, len(names) + 1))
    assert len({label.key for label in labels}) == len({label.color for label in labels}) == len(names)


@pytest.mark.parametrize("count", [3, 40, 255])
def test_colours_can_be_told_apart(count):
    names = {i: f"part {i}" for i in range(1, count + 1)} | {1: "liver", 2: "right kidney", 3: "left kidney"}
    colours = np.array([label.color for label in make_labels(names)], float)
    gap = np.linalg.norm(colours[:, None] - colours[None], axis=2) + 1e3 * np.eye(count)
    assert gap.min() >= (COLOUR_GAP if count < 200 else 10) and colours.max(axis=1).min() > 100


@pytest.mark.parametrize(
    ("names", "named"),
    [
        ({1: "a", 3: "b"}, "without a gap"), ({}, "without a gap"), ({0: "a"}, "without a gap"),
        ({1: "a", 2: "A"}, "two labels"), ({1: " "}, "no name"), ({i: str(i) for i in range(1, 257)}, "at most 255"),
    ],
)  # fmt: skip
def test_lists_that_no_task_can_have(names, named):
    with pytest.raises(BadInput, match=named):
        make_labels(names)


def test_slugs():
    assert slug("Höhle, Teil 2 ") == "hohle-teil-2" and slug("心臓") == ""
    labels = make_labels({1: "心臓", 2: "a_b", 3: "a-b"})
    assert [label.key for label in labels] == ["label-1", "a-b", "a-b-3"]
