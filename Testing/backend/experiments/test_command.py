"""`rep3d experiment` on a tiny data set: trains, scores, shares runs between studies, and does nothing twice."""

from __future__ import annotations

import json

import numpy as np
import SimpleITK as sitk
from rep3d.cli import app
from typer.testing import CliRunner


def make_data(root):
    for i in range(10):  # the fewest with a validation case
        rng = np.random.default_rng(i)
        label = np.zeros((30, 34, 28), np.uint8)
        label[6:15, 6:15, 6:15], label[6:15, 16:24, 6:15] = 1, 2
        for folder, array in (("images", rng.normal(100, 10, label.shape) + 60.0 * label), ("labels", label)):
            (root / folder).mkdir(parents=True, exist_ok=True)
            image = sitk.GetImageFromArray(array.astype(np.int16).transpose(2, 1, 0))
            sitk.WriteImage(image, str(root / folder / f"case_{i}.nii.gz"))
    return root


def run(*arguments):
    result = CliRunner().invoke(app, ["experiment", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_a_study_from_end_to_end(tmp_path):
    out = tmp_path / "out put"
    common = ["--task", "msd-hippocampus", "--data", make_data(tmp_path / "data"), "--out", out, "--recipe", "small",
              "--network", "rep3d-tiny", "--steps", 1, "--seeds", 0, "--split", "val", "--device", "cpu"]  # fmt: skip
    first = run("lrbm-depth", *common, "--variants", "depth2")
    assert first.exit_code == 0 and "Dice" in first.output
    (folder,) = (out / "runs").iterdir()
    before = (folder / "result.json").stat().st_mtime_ns
    assert not (folder / "last.ckpt").exists() and (folder / "best.ckpt").exists()
    second = run("lrbm-kernel", *common, "--variants", "generator7")  # the same run under another name
    assert "done" in second.output and (folder / "result.json").stat().st_mtime_ns == before
    content = json.loads((out / "lrbm-kernel-msd-hippocampus" / "results.json").read_text())
    assert [arm["key"] for arm in content["arms"]] == ["generator7"]
    assert {tuple(m) for m in content["missing"]} == {("generator3", 0), ("generator5", 0), ("generator9", 0)}
    assert content["environments"][0]["code_sha256"]


def test_the_list_and_wrong_names(tmp_path):
    listed = run("list").output
    assert "branch-lr" in listed and "k21-lrbm" in listed
    from rep3d.errors import BadInput

    for arguments, what in (
        (["kernel-size"], "--task"),
        (["magic", "--task", "kits", "--data", ".", "--out", "."], "magic"),
    ):
        try:
            run(*arguments)
        except BadInput as error:
            assert what in str(error)
        else:
            raise AssertionError(f"{arguments} was accepted")
