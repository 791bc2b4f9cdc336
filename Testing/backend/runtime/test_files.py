"""Files and folders that we write: whose place they may take, and what goes when their writer was killed."""

from __future__ import annotations

import json
import os
import time

import pytest
from rep3d import files
from rep3d.errors import BadInput, OutputFailed
from rep3d.files import check_free, check_path, remove_leftovers, sweep, temporary_path, write_text


def test_only_our_own_of_the_same_source_gives_way(tmp_path):
    record, picture = tmp_path / "a.json", tmp_path / "a.png"

    def check(**options):
        check_free(
            [record], patterns=[tmp_path / "a*.png"], record=record,
            same=lambda r: r["sources"]["scan"] == "1", **options,
        )  # fmt: skip

    check()  # nothing is there
    picture.write_bytes(b"a holiday")
    with pytest.raises(OutputFailed, match=r"a\.png is there already.*same source") as caught:
        check()
    assert "--overwrite" in caught.value.hint
    with pytest.raises(OutputFailed) as caught:
        check(overwrite=None)
    assert "--overwrite" not in caught.value.hint
    check(overwrite=True)
    for text in ("", "[1]", "{", "{}", '{"sources": 3}', '{"sources": {"scan": "2"}}', "[" * 100_000):
        record.write_text(text, encoding="utf-8")
        with pytest.raises(OutputFailed):
            check()
    write_text(record, json.dumps({"sources": {"scan": "1"}}))
    check()
    picture.unlink()
    picture.mkdir()
    with pytest.raises(OutputFailed, match="a folder has this name"):
        check(overwrite=True)


def test_without_a_record_nothing_gives_way(tmp_path):
    link = tmp_path / "weights.safetensors"
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputFailed, match=r"is there already$"):
        check_free([link])


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX")
def test_leftovers_of_the_dead_go_and_those_of_the_living_stay(tmp_path, leave_half):
    final, other, long = tmp_path / "a[1].nii.gz", tmp_path / "b.nii.gz", tmp_path / ("ä" * 120 + ".nii.gz")
    living, building = temporary_path(final), temporary_path(tmp_path / "folder")
    living.write_text("half", encoding="utf-8")
    building.mkdir()
    leave_half(final, other, long)
    remove_leftovers(final)
    left = {p.name.partition("-partial-")[2] for p in tmp_path.iterdir() if p != living}
    assert living.exists() and left == {"folder", "b.nii.gz", files._short(long.name)}
    remove_leftovers(long)
    assert not list(tmp_path.glob(f"*{files._short(long.name)}")) and len(long.name.encode()) > 240
    write_text(long, "ä")
    assert long.read_bytes() == "ä".encode()
    long.unlink()
    sweep(tmp_path)
    assert {p for p in tmp_path.iterdir()} == {living, building}


def test_a_writer_that_cannot_be_asked_has_an_hour(tmp_path):
    name = temporary_path(tmp_path / "a.nii").name
    machine, pid, started, token = name.split("-partial-")[0][1:].split("-")
    another = f".ffffff-1-{started}-{token}-partial-a.nii"
    reused = f".{machine}-{pid}-{int(started, 16) - 1000:08x}-{token}-partial-a.nii"
    old = ".0123abcd-partial-a.nii"
    for name in (another, reused, old):
        (tmp_path / name).write_text("half", encoding="utf-8")
    sweep(tmp_path)
    assert len(list(tmp_path.iterdir())) == 3
    for path in tmp_path.iterdir():
        then = time.time() - files.ABANDONED_S - 10
        os.utime(path, (then, then))
    sweep(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="pipes and devices in folders are POSIX")
def test_what_is_no_file_and_no_name_is_bad_input(tmp_path):
    os.mkfifo(tmp_path / "a.nii.gz")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path in (tmp_path / "a.nii.gz", "/dev/zero", tmp_path / ("x" * 300), tmp_path / "loop", "a\0b", "a\udcff"):
        with pytest.raises(BadInput):
            check_path(path)
    check_path(tmp_path / "none")
    check_path(tmp_path)
    check_path("a sentence of any length " * 100, is_name=False)
