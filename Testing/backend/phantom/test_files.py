"""Phantoms on disk: what other readers see, resuming, and clear errors."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from rep3d.cli import app
from rep3d.errors import BadInput, OutputFailed
from rep3d.phantom import ScanOptions, generate
from rep3d.phantom.files import labels_path, write_array, write_cases, write_phantom
from typer.testing import CliRunner

SMALL = ScanOptions(shape=(24, 20, 28), oblique=9.0, orientation="LIP")


def test_another_reader_finds_the_same_voxels(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    phantom = generate(4, SMALL)
    image, labels = tmp_path / "ä scan.nii.gz", tmp_path / "truth.nii.gz"
    write_phantom(phantom, image, labels)
    for path, array in ((image, phantom.image), (labels, phantom.labels)):
        seen = nibabel.load(path)
        assert np.array_equal(np.asarray(seen.dataobj), array)
        assert seen.get_data_dtype() == array.dtype
        assert np.allclose(seen.affine, phantom.affine, atol=1e-4)
    assert nibabel.aff2axcodes(nibabel.load(image).affine) == tuple("LIP")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["truth.nii.gz", "ä scan.nii.gz"]


def test_a_folder_is_continued(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    assert write_cases(folder, range(3, 5), SMALL) == 2
    names = ["phantom_000003.nii.gz", "phantom_000004.nii.gz"]
    for part in ("images", "labels"):
        assert sorted(p.name for p in (folder / part).iterdir()) == names
    kept = folder / "images" / names[0]
    before = kept.stat().st_mtime_ns
    lost = folder / "images" / names[1]
    content = lost.read_bytes()
    lost.unlink()
    told = []
    assert write_cases(folder, range(3, 6), SMALL, lambda *a: told.append(a)) == 2
    assert told == [(1, 3, False), (2, 3, True), (3, 3, True)]
    assert kept.stat().st_mtime_ns == before
    assert lost.read_bytes() == content  # the same file, byte by byte
    with pytest.raises(BadInput, match="other options"):
        write_cases(folder, range(3, 6), SMALL.replace(noise=1.0))


def test_interrupted_case_leaves_nothing_under_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import SimpleITK

    def broken(image, path, **_):
        Path(path).write_bytes(b"half")
        raise RuntimeError("No space left on device")

    monkeypatch.setattr(SimpleITK, "WriteImage", broken)
    with pytest.raises(OutputFailed, match="No space left"):
        write_cases(tmp_path, range(1), SMALL)
    assert not list(tmp_path.rglob("*.nii.gz"))


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii", "a.nrrd", "a.mha"])
@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on file sizes")
def test_disk_full(tmp_path: Path, name: str) -> None:
    """A file size limit stands in for a full disk: half a scan must not get the name of a whole one."""
    import resource

    array = np.random.default_rng(0).integers(-900, 900, (30, 31, 32)).astype(np.int16)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, before[1]))
    try:
        with pytest.raises(OutputFailed, match=name):
            write_array(array, np.eye(4), tmp_path / "folder" / name)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert list((tmp_path / "folder").iterdir()) == []


def test_command_writes_scan_and_truth(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["phantom", "--seed", "3", "--shape", "24", "20", "28", "-o", str(tmp_path / "scan.nii.gz")]
    )
    assert result.exit_code == 0, result.output
    assert sorted(p.name for p in tmp_path.iterdir()) == ["scan.nii.gz", "scan_labels.nii.gz"]
    result = CliRunner().invoke(
        app, ["phantom", "--count", "2", "--shape", "16", "16", "16", "-o", str(tmp_path / "many")]
    )
    assert result.exit_code == 0, result.output
    assert len(list((tmp_path / "many" / "images").iterdir())) == 2


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["-o", "scan.txt"], "scan.txt"),
        (["-o", "a.nii.gz", "--labels", "a.nii.gz", "--shape", "16", "16", "16"], "cannot be one file"),
        (["-o", "a.nii.gz", "--labels", "b.png"], "b.png"),
        (["-o", "set", "--count", "2", "--labels", "b.nii.gz"], "--labels"),
        (["-o", "a.nii.gz", "--orientation", "XYZ"], "XYZ"),
    ],
)
def test_bad_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], named: str) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["phantom", *arguments])
    assert isinstance(result.exception, BadInput)
    assert named in str(result.exception)
    assert not list(tmp_path.iterdir())


def test_a_file_where_a_folder_is_needed(tmp_path: Path) -> None:
    (tmp_path / "set").write_text("", encoding="utf-8")
    with pytest.raises(BadInput, match="folder is needed"):
        write_cases(tmp_path / "set", range(1), SMALL)


def test_labels_path() -> None:
    assert labels_path(Path("x/scan.v1.nii.gz")) == Path("x/scan.v1_labels.nii.gz")
    assert labels_path(Path("scan.mha")) == Path("scan_labels.mha")
