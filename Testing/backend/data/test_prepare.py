"""``rep3d prepare`` as a user runs it: what it writes and refuses; a killed run ends with the same files."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from rep3d.cli import app
from rep3d.data.cache import Cache
from rep3d.data.data_list import open_prepared, read_list
from rep3d.data.dataset import data_list, find_dataset
from rep3d.data.fingerprint import Fingerprint
from rep3d.data.layouts import LayoutOptions
from rep3d.data.prepare import PrepareConfig, prepare
from rep3d.errors import BadInput, OutputFailed
from rep3d.files import sha256_file
from rep3d.tasks import load_task
from typer.testing import CliRunner

from .layout_trees import KITS_DIRECTION, put_image, scan

TASK = load_task("msd-hippocampus")


def run(*arguments):
    return CliRunner().invoke(app, ["prepare", *map(str, arguments)])


def files(root: Path, *besides: str) -> dict[str, str]:
    return {
        p.relative_to(root).as_posix(): sha256_file(p)
        for p in sorted(root.rglob("*"))
        if p.is_file() and p.name not in besides
    }


def test_what_is_written_and_that_training_finds_it(source, prepared):
    assert {p.name for p in prepared.iterdir()} >= {
        "data.json", "fingerprint.json", "integrity.json", "integrity.txt", "task.yaml", "cache",
    }  # fmt: skip
    content = read_list(prepared)
    assert content["counts"] == {"train": 7, "val": 1, "test": 2} and content["excluded"] == []
    dataset = find_dataset(prepared, TASK)
    raw = find_dataset(source, TASK)
    assert [(c.id, c.split) for c in dataset.cases] == [(c.id, c.split) for c in raw.cases]
    assert dataset.cache == prepared / "cache" and dataset.cases[0].patient == dataset.cases[0].id
    hashes = {path: sha256_file(path) for case in dataset.cases for path in (case.image, case.label)}
    # Raw and prepared data are the same data: weights trained on one are known to fit the other.
    raw_hashes = {path: sha256_file(path) for case in raw.cases for path in (case.image, case.label)}
    assert data_list(dataset, TASK.key, hashes)[1] == data_list(raw, TASK.key, raw_hashes)[1]
    cache = Cache(dataset.cache, TASK)
    assert all(cache.sound(cache.key(case)) for case in dataset.of("train") + dataset.of("val"))
    assert not any(cache.sound(cache.key(case)) for case in dataset.of("test"))
    assert Fingerprint.read(prepared / "fingerprint.json").cases == 7
    assert load_task(prepared / "task.yaml") == TASK


def test_again_does_nothing_and_changed_files_are_named(source, prepared, tmp_path, monkeypatch):
    here, out = tmp_path / source.name, tmp_path / "out"
    shutil.copytree(source, here)
    shutil.copytree(prepared, out)
    with monkeypatch.context() as patch:
        patch.setattr("rep3d.data.case_scan.look_at", lambda *_: pytest.fail("read again"))
        patch.setattr("rep3d.data.cache.preprocess_case", lambda *_: pytest.fail("made again"))
        done = prepare(PrepareConfig("msd", TASK, workers=1), here, out)  # at another place, known by the hashes
    assert done.cached == {"kept": 8, "made": 0, "made again": 0} and any("now at" in note for note in done.notes)
    assert files(out, "data.json", "hashes.json", "integrity.json", "integrity.txt") == files(
        prepared, "data.json", "hashes.json", "integrity.json", "integrity.txt"
    )
    put_image(here / "imagesTr/hippocampus_003.nii.gz", scan(50)[0])
    before = (out / "data.json").read_bytes()
    for attempt in range(2):  # refused until --update
        with pytest.raises(BadInput, match=r"imagesTr/hippocampus_003.nii.gz has other content"):
            prepare(PrepareConfig("msd", TASK, workers=1), here, out)
        assert (out / "data.json").read_bytes() == before, attempt
    dataset = find_dataset(out, TASK)
    hashes = {path: sha256_file(path) for case in dataset.cases for path in (case.image, case.label)}
    with pytest.raises(BadInput, match=r"1 files have changed since .*hippocampus_003"):
        data_list(dataset, TASK.key, hashes)
    done = prepare(PrepareConfig("msd", TASK, workers=1, update=True), here, out)
    assert done.cached["made"] == 1 and done.cached["kept"] == 7
    assert data_list(find_dataset(out, TASK), TASK.key, hashes)


def test_damaged_cache_files_are_made_again(source, prepared, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(prepared, out)
    images = sorted((out / "cache").glob("*.image.npy"))
    flipped = bytearray(images[0].read_bytes())
    flipped[-100] ^= 1  # one bit: shape and length stay right
    images[0].write_bytes(flipped)
    images[1].write_bytes(images[1].read_bytes()[:-9])
    images[2].unlink()
    done = prepare(PrepareConfig("msd", TASK, workers=1), source, out)
    assert done.cached == {"kept": 5, "made": 0, "made again": 3}
    assert files(out / "cache") == files(prepared / "cache")


def test_moved_scans(source, prepared, tmp_path):
    (tmp_path / "a").mkdir()
    shutil.copytree(source, tmp_path / "a" / source.name)
    prepare(PrepareConfig("msd", TASK, workers=1, cache=False), tmp_path / "a" / source.name, tmp_path / "a" / "out")
    (tmp_path / "a").rename(tmp_path / "b")  # both together: found by the relative path
    assert find_dataset(tmp_path / "b" / "out", TASK).root == tmp_path / "b" / source.name
    (tmp_path / "b" / source.name).rename(tmp_path / "elsewhere")
    with pytest.raises(BadInput, match=r"are not at .* any more") as caught:
        find_dataset(tmp_path / "b" / "out", TASK)
    assert "rep3d prepare msd NEW_PLACE" in caught.value.hint


def test_prepared_for_another_task(prepared):
    with pytest.raises(BadInput, match="was prepared for the labels of msd-hippocampus, not for those of kits"):
        open_prepared(prepared, load_task("kits"))
    with pytest.raises(BadInput, match="--fold 1 does not apply"):
        open_prepared(prepared, TASK, 1)


def test_errors_stop_it_and_exclusions_are_listed(source, tmp_path):
    here, out = tmp_path / source.name, tmp_path / "out"
    shutil.copytree(source, here)
    put_image(here / "labelsTr/hippocampus_002.nii.gz", scan(2)[1] + np.uint8(5))
    (here / "imagesTr/hippocampus_007.nii.gz").write_bytes(b"\x1f\x8b nothing")
    shutil.copy(here / "imagesTr/hippocampus_001.nii.gz", here / "imagesTr/hippocampus_004.nii.gz")
    refused = run("msd", here, out, "--workers", 1)
    assert refused.exit_code == 1 and isinstance(refused.exception, BadInput)
    assert "3 errors" in str(refused.exception) and "--skip-broken" in refused.exception.hint
    # The reports, and what was seen of every case; nothing that training could take for a data set.
    assert {p.name for p in out.iterdir()} - {".lock"} == {"integrity.json", "integrity.txt", "cache"}
    assert not list((out / "cache").glob("*.npy"))
    codes = {f["code"] for f in json.loads((out / "integrity.json").read_text())["findings"]}
    assert {"label-values", "image-unreadable", "duplicate-image"} <= codes
    some = run("msd", here, out, "--workers", 1, "--exclude", "hippocampus_002,hippocampus_004")
    assert some.exit_code == 1 and "1 errors" in str(some.exception)
    assert isinstance(run("msd", here, out, "--exclude", "nobody").exception, BadInput)
    done = run(
        "msd",
        here,
        out,
        "--workers",
        1,
        "--skip-broken",
        "--exclude",
        "hippocampus_009",
        "--no-cache",
        "--fold-count",
        3,
    )
    assert done.exit_code == 0, done.exception
    excluded = {e["id"]: e["reason"] for e in read_list(out)["excluded"]}
    assert sorted(excluded) == [f"hippocampus_{i:03d}" for i in (2, 4, 7, 9)]
    assert "duplicate-image" in excluded["hippocampus_004"] and excluded["hippocampus_009"] == "--exclude"
    assert len(find_dataset(out, TASK, 2).cases) == 6


def test_full_disk_is_named_and_loses_nothing(source, prepared, tmp_path, monkeypatch):
    out = tmp_path / "out"
    usage = shutil.disk_usage(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda _: usage._replace(free=1000))
        with pytest.raises(OutputFailed, match=r"the cache in .* needs .* MiB are free"):
            prepare(PrepareConfig("msd", TASK, workers=1), source, out)
    assert not (out / "data.json").exists() and not list((out / "cache").glob("*.npy"))
    real, calls = np.save, []

    def full(stream, array, **options):
        calls.append(1)
        if len(calls) > 7:
            stream.write(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(stream, array, **options)

    with monkeypatch.context() as patch:
        patch.setattr("numpy.save", full)
        with pytest.raises(OutputFailed, match=r"cannot write .*\.npy: No space left on device"):
            prepare(PrepareConfig("msd", TASK, workers=1), source, out)
    assert not (out / "data.json").exists() and len(list((out / "cache").glob("*.npy"))) == 7
    done = prepare(PrepareConfig("msd", TASK, workers=1), source, out)
    assert done.cached["kept"] == 2 and files(out / "cache") == files(prepared / "cache")


def test_kits_axes_end_up_right_anterior_superior(tmp_path):
    """A tumour off the middle along every axis is in the cached array where the file's affine puts it."""
    import dataclasses

    import nibabel

    rng = np.random.default_rng(0)
    task = dataclasses.replace(load_task("kits"), spacing_mm=(2.0, 2.0, 2.0))
    for case in range(4):  # [superior, anterior, left-to-right] as the files are stored
        image = rng.normal(0, 50, (10, 12, 14)).astype(np.float32)
        label = np.zeros(image.shape, np.uint8)
        label[1:4, 8:11, 0:3] = 2
        label[5, 5, 5 + case] = 1
        label[6, 6, 6] = 3
        folder = tmp_path / f"kits/case_{case:05d}"
        put_image(folder / "imaging.nii.gz", image, (2, 2, 2), direction=KITS_DIRECTION)
        put_image(folder / "segmentation.nii.gz", label, (2, 2, 2), direction=KITS_DIRECTION)
    with pytest.raises(BadInput, match="4 cases cannot be split in train, val and test for 5 folds"):
        prepare(PrepareConfig("kits", task, workers=1), tmp_path / "kits", tmp_path / "x")
    done = prepare(PrepareConfig("kits", task, workers=1, fold_count=4), tmp_path / "kits", tmp_path / "out")
    assert done.cached["made"] == 4  # in some fold every case trains
    dataset = find_dataset(tmp_path / "out", task, 3)
    case = dataset.of("train")[0]
    sample = Cache(dataset.cache, task).load(case)
    x, y, z = (np.flatnonzero((sample.label_XYZ == 2).any(axis=tuple({0, 1, 2} - {a}))) for a in range(3))
    corner = nibabel.load(case.label).affine @ [2, 9, 1, 1]  # the middle of the tumour, by another reader
    middle = np.array([x.mean(), y.mean(), z.mean()])
    assert sample.label_XYZ.shape == (14, 12, 10)
    assert len(x) == len(y) == len(z) == 3
    assert np.allclose(middle, _on_network_grid(case.label, corner[:3], task.spacing_mm))


def _on_network_grid(path: Path, point_ras: np.ndarray, spacing) -> np.ndarray:
    from rep3d.data.preprocess import network_grid
    from rep3d.data.reading import read_labelmap

    volume = read_labelmap(path)
    affine = network_grid(volume.shape, volume.affine, spacing)[1]
    return np.linalg.solve(affine[:3, :3], point_ras - affine[:3, 3])


def test_one_channel_and_other_label_values(tmp_path):
    from .layout_trees import msd

    def write(image: Path, label: Path) -> None:
        voxels, truth = scan(int(image.name[6:9]))
        put_image(image, np.stack([voxels * 0, voxels, voxels + 1], axis=3))
        put_image(label, truth * np.uint8(3))

    ids = [f"BRATS_{i:03d}" for i in range(10)]
    labels = {"0": "background", "3": "edema", "6": "tumour"}
    root = msd(tmp_path / "t", ids, modality={"0": "FLAIR", "1": "T1w", "2": "T2w"}, labels=labels, write=write)
    refused = run("msd", root, tmp_path / "o", "--task", "msd-hippocampus")
    assert isinstance(refused.exception, BadInput) and "3 channels" in str(refused.exception)
    assert not (tmp_path / "o").exists()
    options = ("--task", "msd-hippocampus", "--channel", 1, "--map-labels", "3=1,6=2", "--workers", 1)
    done = run("msd", root, tmp_path / "o", *options)
    assert done.exit_code == 0 and "channel 1 (T1w) is used alone" in done.output, done.exception
    dataset = find_dataset(tmp_path / "o", TASK)
    case = dataset.of("train")[0]
    truth = scan(int(case.id[6:9]))[1]
    sample = Cache(dataset.cache, TASK).load(case)
    assert np.array_equal(np.unique(sample.label_XYZ), [0, 1, 2]) and case.image.is_relative_to(tmp_path / "o")
    assert (sample.label_XYZ > 0).sum() == (truth > 0).sum()
    made = read_list(tmp_path / "o")["cases"][0]["made"]
    assert made["image"]["channel"] == 1 and made["label"]["from"] == "labelsTr/BRATS_000.nii.gz"
    hashes = {path: sha256_file(path) for c in dataset.cases for path in (c.image, c.label)}
    assert data_list(dataset, TASK.key, hashes)[0]["cases"][0]["image"].startswith("converted/BRATS_000.channel1.")
    before = files(tmp_path / "o", "hashes.json")
    shutil.rmtree(tmp_path / "o/converted")  # made again, with the same bytes
    assert run("msd", root, tmp_path / "o", *options).exit_code == 0
    after = files(tmp_path / "o", "hashes.json")
    assert after == before


def test_two_preparations_of_one_folder_do_not_meet(source, prepared):
    import filelock

    with filelock.FileLock(prepared / ".lock"), pytest.raises(BadInput, match="another `rep3d prepare` is at work"):
        prepare(PrepareConfig("msd", TASK, workers=1), source, prepared)
    with pytest.raises(BadInput, match="must not hold its source"):
        prepare(PrepareConfig("msd", TASK, LayoutOptions()), source, source)


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX")
@pytest.mark.parametrize("workers, kills", [(1, 3), (2, 1)])
def test_killed_at_any_point_the_same_command_ends_with_the_same_files(source, prepared, tmp_path, workers, kills):
    import psutil

    out = tmp_path / "out"
    arguments = ["prepare", "msd", source, out, "--workers", workers]
    command = [sys.executable, "-m", "rep3d.cli", *map(str, arguments)]
    rng = random.Random(workers)
    for _ in range(kills):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        there = len(list(out.rglob("*")))
        wanted = there + rng.randrange(1 if workers == 1 else 6, 14)  # with two, workers are at work by then
        while process.poll() is None and len(list(out.rglob("*"))) < wanted:
            time.sleep(0.002)
        children = psutil.Process(process.pid).children() if process.poll() is None else []
        process.kill()
        process.wait()
        psutil.wait_procs(children, timeout=20)
        assert not [p for p in children if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]  # none is left over
        assert len(children) >= workers or workers == 1
        assert not (out / "data.json").exists()  # killed before the end, so that the rest is a test at all
    prepare(PrepareConfig("msd", TASK, workers=1), source, out)
    assert {k: v for k, v in files(out, "data.json").items()} == files(prepared, "data.json")
    mine, other = read_list(out), read_list(prepared)
    assert mine["sha256"] == other["sha256"] and mine["cases"] == other["cases"]
