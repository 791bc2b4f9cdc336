"""The cache: right content, no stale or damaged arrays, clear errors for labels that do not fit."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import SimpleITK as sitk
from rep3d.data.cache import Cache, FileHashes, load_samples
from rep3d.data.dataset import find_dataset
from rep3d.errors import BadInput
from rep3d.tasks import load_task

TASK = load_task("msd-hippocampus")


@pytest.fixture
def case(tiny_data):
    return find_dataset(tiny_data, TASK).of("train")[0]


def same(a, b):
    assert np.array_equal(a.image_XYZ, b.image_XYZ) and np.array_equal(a.label_XYZ, b.label_XYZ)
    assert all(np.array_equal(a.centres[c], b.centres[c]) for c in a.centres)


def test_a_file_that_cannot_be_read_is_named_and_a_damaged_table_is_made_anew(tmp_path):
    (tmp_path / "hashes.json").write_text("[1]", encoding="utf-8")
    hashes = FileHashes(tmp_path / "hashes.json")
    with pytest.raises(BadInput, match=r"gone\.nii cannot be read"):
        hashes.of(tmp_path / "gone.nii")
    assert len(hashes.of(tmp_path / "hashes.json")) == 64


def test_the_table_of_hashes_is_written_only_when_it_has_changed(tmp_path):
    (tmp_path / "x").write_bytes(b"x")
    hashes = FileHashes(tmp_path / "hashes.json")
    hashes.of(tmp_path / "x")
    hashes.save()
    again = FileHashes(tmp_path / "hashes.json")
    assert again.known(tmp_path / "x") == hashes.of(tmp_path / "x")
    (tmp_path / "hashes.json").unlink()
    again.save()  # a cache on a disk that cannot be written stays usable
    assert not (tmp_path / "hashes.json").exists()
    (tmp_path / "x").write_bytes(b"other")
    again.of(tmp_path / "x")
    again.save()
    assert (tmp_path / "hashes.json").exists()


def test_sample_is_on_the_network_grid_in_unit_range_with_centres_on_their_class(case, tmp_path):
    sample = Cache(tmp_path, TASK).load(case)
    assert sample.image_XYZ.dtype == np.float16 and sample.label_XYZ.dtype == np.uint8
    assert sample.image_XYZ.shape == sample.label_XYZ.shape == (30, 34, 28)
    assert sample.image_XYZ.min() >= 0 and sample.image_XYZ.max() <= 1
    # The file is LPS+, the network grid RAS+: the first two axes are turned round.
    truth = sitk.GetArrayFromImage(sitk.ReadImage(str(case.label))).transpose(2, 1, 0)[::-1, ::-1]
    assert np.array_equal(sample.label_XYZ, truth)
    for value, where in sample.centres.items():
        assert len(where) == (truth == value).sum() and (sample.label_XYZ.ravel()[where] == value).all()


def test_second_load_reads_the_files_and_mapped_equals_in_memory(case, tmp_path, monkeypatch):
    cache = Cache(tmp_path, TASK)
    first = cache.load(case)
    monkeypatch.setattr("rep3d.data.cache.preprocess_case", lambda *_: pytest.fail("was not cached"))
    same(first, cache.load(case))
    mapped = cache.load(case, in_memory=False)
    assert isinstance(mapped.image_XYZ, np.memmap)
    same(first, mapped)
    assert not [p for p in tmp_path.iterdir() if "partial" in p.name]


def test_what_killed_writers_left_is_removed(tmp_path, leave_half):
    leave_half(tmp_path / "0123.image.npy")
    Cache(tmp_path, TASK)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("part", ["image", "label", "centres"])
@pytest.mark.parametrize("damage", ["truncated", "empty", "foreign", "missing"])
def test_damaged_cache_file_is_made_again(case, tmp_path, part, damage):
    cache = Cache(tmp_path, TASK)
    first = cache.load(case)
    (path,) = tmp_path.glob(f"*.{part}.npy")
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-7])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "foreign":
        np.save(path, np.zeros(5))
    else:
        path.unlink()
    same(first, cache.load(case))


def test_key_follows_file_content_and_settings(case, tmp_path, case_writer):
    cache = Cache(tmp_path / "cache", TASK)
    other = dataclasses.replace(TASK, spacing_mm=(1.0, 1.0, 2.0))
    assert cache.key(case) != Cache(tmp_path / "cache", other).key(case)
    copy = dataclasses.replace(case, image=tmp_path / "i.nii.gz", label=tmp_path / "l.nii.gz")
    case_writer(copy.image, copy.label, seed=50)
    before = cache.key(copy)
    case_writer(copy.image, copy.label, seed=51)
    assert cache.key(copy) != before


def test_cases_over_the_memory_limit_are_mapped(tiny_data, tmp_path):
    cases = find_dataset(tiny_data, TASK).of("train")[:3]
    samples = load_samples(cases, Cache(tmp_path, TASK), memory_limit=1)
    assert [isinstance(s.image_XYZ, np.memmap) for s in samples] == [False, True, True]


def test_label_values_outside_the_task_are_refused(case, tmp_path):
    label = sitk.ReadImage(str(case.label))
    label[3, 3, 3] = 7
    strange = dataclasses.replace(case, label=tmp_path / "strange.nii.gz")
    sitk.WriteImage(label, str(strange.label))
    with pytest.raises(BadInput, match=r"strange.nii.gz holds the values \[7\].*knows 0 to 2"):
        Cache(tmp_path / "cache", TASK).load(strange)


def test_label_on_another_grid_is_refused(case, tmp_path, case_writer):
    smaller = dataclasses.replace(case, label=tmp_path / "l.nii.gz")
    case_writer(tmp_path / "i.nii.gz", smaller.label, seed=1, size=(30, 34, 26))
    with pytest.raises(BadInput, match="do not lie on one grid: size"):
        Cache(tmp_path / "cache", TASK).load(smaller)
    label = sitk.ReadImage(str(case.label))
    label.SetOrigin((0.0, 5.0, 0.0))
    moved = dataclasses.replace(case, label=tmp_path / "moved.nii.gz")
    sitk.WriteImage(label, str(moved.label))
    with pytest.raises(BadInput, match="do not lie on one grid"):
        Cache(tmp_path / "cache", TASK).load(moved)
