"""Killed at any point, ``rep3d segment`` on a folder leaves no half file and goes on to the same results."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from rep3d.commands import segment
from typer.testing import CliRunner

DRIVER = Path(__file__).with_name("segment_kill_driver.py")
POINTS = ["window:1", "half:1", "replace:1", "half:2", "replace:3", "half:3"]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="fork and SIGKILL are POSIX")
def test_killed_again_and_again_the_results_are_the_same(tmp_path, scan, save_scan, tiny_weights):
    for name in ("a ü.nii.gz", "b.mha"):
        save_scan(tmp_path / "scans" / name, scan)

    scans = [str(tmp_path / "scans"), "--weights", str(tiny_weights), "--device", "cpu"]
    app = typer.Typer()
    segment.register(app)
    assert CliRunner().invoke(app, [*scans, "-o", str(tmp_path / "whole")]).exit_code == 0
    done = subprocess.run(
        [sys.executable, str(DRIVER), *POINTS, "--", *scans, "-o", str(tmp_path / "killed")],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("killed at") == len(POINTS) and done.stdout.count("left ") == 3
    whole, killed = ({p.name: p for p in (tmp_path / out).iterdir()} for out in ("whole", "killed"))
    assert len(whole) == 6 and killed.keys() == whole.keys()
    for name, path in whole.items():
        if not name.endswith(".json"):  # which holds times
            assert killed[name].read_bytes() == path.read_bytes(), name
