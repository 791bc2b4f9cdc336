"""Run one training in a series of child processes, each killed with SIGKILL at its own point; the last one finishes.

Usage: python kill_driver.py DATA RUN POINT...   where POINT is one of
    step:N       after the backward pass of step N, before anything of it is kept
    write:N      in the middle of writing the N-th last.ckpt
    replace:N    after the N-th last.ckpt's temporary file is complete, before it gets its name
    best:N       between the N-th best.ckpt and the last.ckpt that belongs to it
    validate:N   in the N-th validation
    log:N        in the middle of the N-th line of log.jsonl
Without points it trains in one go. The children are forked after the imports, before any thread exists.
"""

import os
import signal
import sys
from pathlib import Path

# Imported lazily by the package; here before the forks, so that every child has them.
import lightning_fabric  # noqa: F401
import monai.losses  # noqa: F401
import torch
import torch.utils.tensorboard
from rep3d.data.augment import AugmentConfig
from rep3d.tasks import load_task
from rep3d.training import checkpoint, logs, loop, run
from rep3d.training.config import TrainConfig


def config() -> TrainConfig:
    return TrainConfig(
        task="msd-hippocampus", network="rep3d-tiny",
        network_args={"in_channels": 1, "reparam": "lrbm", "kernel_size": 9},
        patch=(32, 32, 32), steps=7, batch_size=2, crops_per_volume=1, schedule="plateau", plateau_patience=0, lr=2e-3,
        accumulate=2, early_stop=2,
        warmup=2, ema=0.9, device="cpu", threads=1, val_every=3, save_every=2, log_every=2, augment=AugmentConfig(),
    )  # fmt: skip


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def nth(original, number: int, when, before=None):
    """``original``, except that its ``number``-th call that satisfies ``when`` runs ``before`` and kills."""
    count = 0

    def call(*args, **kwargs):
        nonlocal count
        if when(*args):
            count += 1
            if count == number:
                if before:
                    before(*args)
                die()
        return original(*args, **kwargs)

    return call


def arm(point: str) -> None:
    kind, number = point.split(":")
    number = int(number)
    always = lambda *_: True  # noqa: E731
    if kind == "step":
        for optimizer in (torch.optim.AdamW, torch.optim.SGD):
            optimizer.step = nth(optimizer.step, number, always)
    elif kind == "write":

        def half(content, stream):
            stream.write(b"PK\x03\x04 half a checkpoint")
            stream.flush()

        checkpoint.torch.save = nth(torch.save, number, lambda c, f: "last" in f.name, half)
    elif kind == "replace":
        os.replace = nth(os.replace, number, lambda a, b: str(b).endswith("last.ckpt"))
    elif kind == "best":
        original, state = checkpoint.save_checkpoint, {"best": 0}

        def save(path, content):
            if path.name == "last.ckpt" and state["best"] == number:
                die()
            original(path, content)
            state["best"] += path.name == "best.ckpt"

        loop.save_checkpoint = save
    elif kind == "validate":
        loop.validate = nth(loop.validate, number, always)
    elif kind == "log":

        def half_line(self, record):
            with open(self.jsonl, "a", encoding="utf-8") as f:
                f.write('{"step": 99999, "ki')

        logs.RunLog._write = nth(logs.RunLog._write, number, always, half_line)
    else:
        raise SystemExit(f"unknown point {point}")


def main() -> None:
    data, folder, *points = sys.argv[1:]
    for point in [*points, None]:
        child = os.fork()
        if child == 0:
            if point:
                arm(point)
            run.run_training(config(), load_task("msd-hippocampus"), Path(data), Path(folder))
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        expected = -signal.SIGKILL if point else 0
        if status != expected:
            raise SystemExit(f"{point or 'the last child'} ended with {status}, expected {expected}")
        print(f"{point or 'finished'}: {status}", flush=True)


if __name__ == "__main__":
    main()
