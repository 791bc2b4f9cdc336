"""Checkpoint files: unreadable, incomplete and half-written ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from rep3d.errors import BadInput
from rep3d.tasks import load_task
from rep3d.training.checkpoint import load_checkpoint, save_checkpoint, trained_network

TASK = load_task("msd-hippocampus")


def test_files_that_are_no_checkpoints_are_refused(tmp_path):
    garbage = tmp_path / "garbage.ckpt"
    for content in (b"", b"not a checkpoint", b"PK\x03\x04" + b"\0" * 50):
        garbage.write_bytes(content)
        with pytest.raises(BadInput, match=r"garbage\.ckpt is not a readable"):
            load_checkpoint(garbage)
    torch.save({"format": "something"}, garbage)
    with pytest.raises(BadInput, match="not a Rep3D"):
        load_checkpoint(garbage)
    torch.save({"format": "rep3d-checkpoint", "version": 99}, garbage)
    with pytest.raises(BadInput, match="newer"):
        load_checkpoint(garbage)
    torch.save(Path("x"), garbage)  # a pickled object must not be built
    with pytest.raises(BadInput, match="not a readable"):
        load_checkpoint(garbage)


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    from rep3d.errors import OutputFailed

    path = tmp_path / "last.ckpt"
    save_checkpoint(path, {"step": 1})

    def full(content, stream):
        stream.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OutputFailed, match="No space left"):
        save_checkpoint(path, {"step": 2})
    monkeypatch.undo()
    assert torch.load(path, weights_only=True)["step"] == 1 and list(tmp_path.iterdir()) == [path]


def test_checkpoints_that_lack_or_confuse_something_are_named(finished, tmp_path):
    whole = load_checkpoint(finished[0] / "best.ckpt")
    path = tmp_path / "odd.ckpt"
    torch.save({k: v for k, v in whole.items() if k != "task"}, path)
    with pytest.raises(BadInput, match=r"odd\.ckpt lacks task"):
        load_checkpoint(path)
    torch.save({**whole, "version": "one"}, path)
    with pytest.raises(BadInput, match=r"odd\.ckpt was written by a newer"):
        load_checkpoint(path)
    with pytest.raises(BadInput, match=r"odd\.ckpt do not fit"):
        trained_network({**whole, "ema": {"a": torch.zeros(1)}}, path)
