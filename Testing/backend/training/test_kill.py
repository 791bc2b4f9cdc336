"""Killed at any point and resumed, a run ends with the same weights, bit for bit. Real processes, real signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from rep3d.cli import app
from rep3d.training.checkpoint import load_checkpoint
from rep3d.training.logs import read_log
from typer.testing import CliRunner

DRIVER = Path(__file__).with_name("kill_driver.py")
POINTS = ["step:2", "write:1", "replace:2", "validate:1", "best:1", "log:2", "replace:1"]

pytestmark = pytest.mark.skipif(os.name != "posix", reason="fork and SIGKILL are POSIX")


def drive(data: Path, run: Path, *points: str) -> dict:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(DRIVER), str(data), str(run), *points],
        env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return load_checkpoint(run / "last.ckpt")


def differing(a: dict, b: dict) -> list[str]:
    assert a.keys() == b.keys()
    return [key for key in a if not torch.equal(a[key], b[key])]


def records(run: Path) -> list[tuple]:
    return [(r["step"], r["kind"], r.get("loss"), r.get("dice")) for r in read_log(run / "log.jsonl")]


@pytest.mark.slow
def test_kill_at_any_point_and_resume_is_bit_identical(tiny_data, tmp_path):
    whole = drive(tiny_data, tmp_path / "whole")
    killed = drive(tiny_data, tmp_path / "killed", *POINTS)
    assert whole["step"] == killed["step"] == 7
    assert differing(whole["model"], killed["model"]) == []
    assert differing(whole["ema"], killed["ema"]) == []
    for state in ("history", "scheduler", "best", "block"):
        assert whole[state] == killed[state]
    assert torch.equal(whole["rng"]["torch"], killed["rng"]["torch"])
    assert records(tmp_path / "whole") == records(tmp_path / "killed")
    best = [load_checkpoint(tmp_path / name / "best.ckpt") for name in ("whole", "killed")]
    assert best[0]["step"] == best[1]["step"] and differing(best[0]["ema"], best[1]["ema"]) == []


def test_sigterm_saves_and_says_so_then_the_same_command_goes_on(tiny_data, tmp_path):
    command = [
        sys.executable, "-m", "rep3d.cli", "train", "--task", "msd-hippocampus", "--data", str(tiny_data),
        "--out", str(tmp_path), "--network", "rep3d-tiny", "--patch", "32,32,32", "--batch-size", "1",
        "--crops-per-volume", "1", "--steps", "400", "--schedule", "constant", "--val-every", "300",
        "--save-every", "300", "--log-every", "1", "--threads", "1", "--device", "cpu",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + 300
    while not read_log(tmp_path / "log.jsonl") and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 143, output
    assert "stopped by SIGTERM" in output
    step = load_checkpoint(tmp_path / "last.ckpt")["step"]
    assert 1 <= step < 400 and read_log(tmp_path / "log.jsonl")[-1]["step"] <= step
    command[command.index("400")] = str(step + 1)
    done = CliRunner().invoke(app, command[3:])
    assert done.exit_code == 0, done.output
    assert f"resumed at step {step}" in done.output
    assert load_checkpoint(tmp_path / "last.ckpt")["step"] == step + 1
