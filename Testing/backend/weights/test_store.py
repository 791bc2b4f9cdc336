"""Importing, removing and downloading weights: what is in place is whole, what is not whole is never in place."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
from rep3d import weights_download, weights_store
from rep3d.cli import app
from rep3d.errors import BadInput, Cancelled, OutputFailed, WeightsInvalid, WeightsMissing
from rep3d.weights import SHIPPED_FOLDER, find_weights, load_weights, save_weights, user_folder
from rep3d.weights_download import download
from rep3d.weights_store import Published, import_file, published, read_manifest, remove_file, row, rows
from typer.testing import CliRunner

from .published import serve

SHIPPED = SHIPPED_FOLDER / "msd-hippocampus.safetensors"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("REP3D_WEIGHTS_DIR", str(tmp_path / "my weights ä"))
    monkeypatch.setattr(weights_download, "PAUSE_S", 0.01)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """Other weights for the same task."""
    weights = load_weights(SHIPPED)
    path = tmp_path_factory.mktemp("other") / "anything.safetensors"
    save_weights(path, weights.tensors, replace(weights.meta, id="mine"))
    return path


def left() -> list[str]:
    return sorted(os.listdir(user_folder())) if user_folder().exists() else []


def test_what_is_shipped_is_listed(home):
    shipped = {r["task"]: r for r in rows()}
    assert {"msd-hippocampus", "openkbp", "phantom-abdomen"} <= set(shipped)
    one = shipped["msd-hippocampus"]
    assert one["origin"] == "shipped" and one["error"] is None and one["network"] == "rep3d-xs"
    assert one["sha256"] == hashlib.sha256(SHIPPED.read_bytes()).hexdigest() and one["bytes"] == SHIPPED.stat().st_size


def test_nothing_is_offered_that_is_not_published():
    assert read_manifest() == () and weights_store.available() == []
    with pytest.raises(BadInput, match="anything") as error:
        published("anything")
    assert "none yet" in error.value.hint


def test_import_makes_it_the_weights_of_its_task(other):
    target = import_file(other)
    assert find_weights("msd-hippocampus") == target and load_weights(target).meta.id == "mine"
    assert left() == ["msd-hippocampus.safetensors"] and row(target)["origin"] == "user"
    assert import_file(other) == target  # the same again is no conflict
    assert import_file(target) == target
    with pytest.raises(BadInput, match="other weights"):
        import_file(SHIPPED)
    assert load_weights(target).meta.id == "mine"
    import_file(SHIPPED, replace=True)
    assert load_weights(target).meta.id == "msd-hippocampus-1"
    remove_file(target)
    assert left() == [] and find_weights("msd-hippocampus") == SHIPPED


def test_files_that_are_no_weights_are_not_imported(tmp_path, other):
    damaged = tmp_path / "damaged.safetensors"
    data = bytearray(other.read_bytes())
    data[-5] ^= 1
    damaged.write_bytes(data)
    for path, error in [(damaged, WeightsInvalid), (tmp_path / "none", WeightsMissing), (tmp_path, WeightsMissing)]:
        with pytest.raises(error):
            import_file(path)
    assert left() == []


def test_a_damaged_file_is_listed_with_its_error(other):
    target = import_file(other)
    assert row(target)["error"] is None
    target.write_bytes(target.read_bytes()[:-100])
    found = row(target)  # not remembered from before: the file has changed
    assert "safetensors" in found["error"] and found["id"] is None
    assert found in rows()


def test_a_full_disk_while_importing(other, monkeypatch):
    def full(source, target):
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(OutputFailed, match="No space"):
        import_file(other)
    assert left() == []


def test_only_a_users_own_weights_are_removed(tmp_path, other):
    with pytest.raises(BadInput, match="comes with Rep3D"):
        remove_file(SHIPPED)
    with pytest.raises(BadInput, match="is not in"):
        remove_file(other)
    with pytest.raises(WeightsMissing):
        remove_file(user_folder() / "none.safetensors")
    user_folder().mkdir()
    (user_folder() / "notes.txt").write_text("x")
    with pytest.raises(BadInput):
        remove_file(user_folder() / "notes.txt")
    with pytest.raises(BadInput):
        remove_file(user_folder() / "sub" / ".." / ".." / other.name)
    assert SHIPPED.exists() and other.exists() and left() == ["notes.txt"]


ENTRY = {
    "id": "a", "task": "kits", "url": "https://host/a", "sha256": "0" * 64, "bytes": 5, "licence": "CC0",
    "description": "text",
}  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [{"url": "file:///etc/passwd"}, {"url": "ftp://host/a"}, {"url": "https://"}, {"sha256": "0" * 63}, {"bytes": 0},
     {"bytes": "5"}, {"task": "../x"}, {"id": "a/b"}, {"id": ""}, {"licence": None}, {"more": 1}],
)  # fmt: skip
def test_a_manifest_is_checked(tmp_path, monkeypatch, change):
    path = tmp_path / "manifest.json"
    monkeypatch.setenv("REP3D_WEIGHTS_MANIFEST", str(path))
    path.write_text(json.dumps({"version": 1, "weights": [ENTRY]}))
    assert published("a") == Published(**ENTRY) and weights_store.available() == [Published(**ENTRY)]
    path.write_text(json.dumps({"version": 1, "weights": [{**ENTRY, **change}]}))
    with pytest.raises(BadInput, match=r"manifest\.json"):
        read_manifest()


@pytest.mark.parametrize("text", ["", "[]", '{"version": 2, "weights": []}', '{"version": 1, "weights": {}}', None])
def test_a_manifest_that_cannot_be_read(tmp_path, monkeypatch, text):
    path = tmp_path / "manifest.json"
    monkeypatch.setenv("REP3D_WEIGHTS_MANIFEST", str(path))
    if text is not None:
        path.write_text(text)
    with pytest.raises(BadInput, match=r"manifest\.json"):
        read_manifest()


def test_an_id_twice(tmp_path, monkeypatch):
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({"version": 1, "weights": [ENTRY, ENTRY]}))
    monkeypatch.setenv("REP3D_WEIGHTS_MANIFEST", str(path))
    with pytest.raises(BadInput, match="twice"):
        read_manifest()


@pytest.fixture
def site():
    with serve(SHIPPED.read_bytes()) as site:
        yield site


def entry_of(site, **change) -> Published:
    digest = hashlib.sha256(SHIPPED.read_bytes()).hexdigest()
    values = {"id": "hip", "task": "msd-hippocampus", "url": site.url, "sha256": digest, "bytes": len(site.data)}
    return Published(**{**values, "licence": "CC BY-SA 4.0", "description": "Hippocampus", **change})


def test_download(site):
    seen = []
    path = download(entry_of(site), progress=lambda f, stage: seen.append((f, stage)))
    assert path.read_bytes() == site.data and find_weights("msd-hippocampus") == path
    assert left() == ["msd-hippocampus.safetensors"] and site.asked == [None]
    fractions = [f for f, _ in seen]
    assert fractions == sorted(fractions) and "MiB" in seen[0][1] and seen[-1][1] == "checking"
    assert download(entry_of(site)) == path and len(site.asked) == 1  # it is there


def test_a_broken_connection_is_resumed(site):
    site.break_after = 3_000_000
    assert download(entry_of(site)).read_bytes() == site.data
    assert site.asked == [None, "bytes=3000000-", "bytes=6000000-"]


def test_a_cancelled_download_goes_on_later(site):
    calls = []
    with pytest.raises(Cancelled):
        download(entry_of(site), cancelled=lambda: calls.append(1) or len(calls) > 40)
    (part,) = left()
    size = (user_folder() / part).stat().st_size
    assert part.endswith(".part") and 0 < size < len(site.data)
    assert download(entry_of(site)).read_bytes() == site.data
    assert site.asked == [None, f"bytes={size}-"] and left() == ["msd-hippocampus.safetensors"]


def part_of(site, data: bytes) -> None:
    entry = entry_of(site)
    user_folder().mkdir()
    (user_folder() / f"{entry.task}-{entry.sha256[:12]}.part").write_bytes(data)


@pytest.mark.parametrize("quirk", ["no ranges", "another place", "part too long", "part complete"])
def test_whatever_was_there_and_whatever_the_server_does_the_file_is_right(site, quirk):
    begun = site.data[:1_000_000]
    site.ranges, site.shift = quirk != "no ranges", 7 if quirk == "another place" else 0
    part_of(site, {"part too long": site.data + b"x", "part complete": site.data}.get(quirk, begun))
    assert download(entry_of(site)).read_bytes() == site.data
    assert len(site.asked) == {"part complete": 0, "another place": 2}.get(quirk, 1)


def test_a_server_that_starts_anew_and_breaks_off_is_given_up(site):
    site.ranges, site.break_after = False, 500_000
    with pytest.raises(WeightsMissing, match="nothing more"):
        download(entry_of(site))
    assert 3 <= len(site.asked) <= 5


def test_wrong_bytes_are_thrown_away(site):
    part_of(site, b"y" * 1_000_000)
    with pytest.raises(WeightsInvalid, match="checksum"):
        download(entry_of(site))
    assert left() == []
    assert download(entry_of(site)).read_bytes() == site.data


def test_weights_that_are_not_what_the_manifest_says(site):
    with pytest.raises(WeightsInvalid, match="'msd-hippocampus', not 'kits'"):
        download(entry_of(site, task="kits"))
    with pytest.raises(WeightsInvalid, match="larger"):
        download(entry_of(site, bytes=len(site.data) - 10))
    site.data = b"not weights"
    digest = hashlib.sha256(site.data).hexdigest()
    with pytest.raises(WeightsInvalid, match="safetensors"):
        download(entry_of(site, sha256=digest))
    assert not [name for name in left() if name.endswith(".safetensors")]


def test_servers_that_do_not_help(site):
    for status, tries in [(404, 1), (403, 1), (503, 3)]:
        site.status, site.asked = status, []
        with pytest.raises(WeightsMissing, match=str(status)):
            download(entry_of(site))
        assert len(site.asked) == tries
    site.status, site.break_after = 0, 1
    site.data = site.data[:3]
    with pytest.raises(WeightsMissing, match="nothing more"):
        download(entry_of(site, bytes=50))
    with pytest.raises(WeightsMissing, match="could not be downloaded"):
        download(entry_of(site, url="http://127.0.0.1:1/none"))


def test_the_proxy_of_the_environment_is_used(site, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(WeightsMissing, match="refused"):
        download(entry_of(site))
    assert site.asked == []


def test_other_weights_of_the_users_are_not_touched(site, other):
    import_file(other)
    with pytest.raises(BadInput, match="other weights") as error:
        download(entry_of(site))
    assert "Remove" in error.value.hint
    assert load_weights(find_weights("msd-hippocampus")).meta.id == "mine" and site.asked == []


def test_two_programs_do_not_write_one_file(site):
    """The lock is the system's: it goes with the process that held it, however that ended."""
    entry = entry_of(site)
    user_folder().mkdir()
    part = user_folder() / f"{entry.task}-{entry.sha256[:12]}.part"
    script = (
        "import pathlib, sys, time; from rep3d.weights_download import _locked\n"
        "with _locked(pathlib.Path(sys.argv[1])): print('locked', flush=True); time.sleep(600)"
    )
    holder = subprocess.Popen([sys.executable, "-c", script, str(part)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline().startswith(b"locked")
        with pytest.raises(BadInput, match="another program"):
            download(entry)
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    assert download(entry).read_bytes() == site.data


def test_a_disk_without_room(site, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 5, 5))
    with pytest.raises(OutputFailed, match="MiB"):
        download(entry_of(site))
    assert site.asked == []


def test_command_line(site, tmp_path, monkeypatch, other):
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({"version": 1, "weights": [entry_of(site).to_dict()]}))
    monkeypatch.setenv("REP3D_WEIGHTS_MANIFEST", str(manifest))

    def run(*arguments, code=0):
        done = CliRunner().invoke(app, ["weights", *map(str, arguments)])
        assert (done.exit_code == 0) == (code == 0), done.output
        return done

    listed = json.loads(run("list", "--json").stdout)
    assert listed["available"] == [] and len(listed["weights"]) >= 3  # those weights are shipped already
    path = run("import", other).stdout.strip()
    assert "mine, task msd-hippocampus" in run("list").stdout and path in run("list").stdout
    assert isinstance(run("import", SHIPPED, code=1).exception, BadInput)
    run("import", SHIPPED, "--replace")
    run("remove", path)
    assert run("download", "hip").stdout.strip() == path and left() == ["msd-hippocampus.safetensors"]
