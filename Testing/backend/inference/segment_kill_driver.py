"""Run ``rep3d segment`` on a folder in a series of child processes, each killed with SIGKILL at its own point.

Usage: python segment_kill_driver.py POINT... -- ARGUMENTS   where POINT is one of
    read:N      before the N-th scan is read
    window:N    before the N-th batch of windows goes through the network
    half:N      in the middle of the N-th file that is written, label maps, CSV and JSON counted together
    replace:N   when the N-th file is complete, before it gets its name
The last child runs without a point. The children are forked after the imports, before any thread exists.
"""

import importlib
import os
import signal
import sys

import typer
from rep3d import files
from rep3d.commands import segment
from rep3d.inference import batch, feeder

# Imported lazily elsewhere; here before the forks, so that every child has them.
LAZY = (
    "rep3d.ensemble", "rep3d.evaluation.postprocess", "rep3d.inference.pipeline", "rep3d.inference.ray_session",
    "rep3d.networks", "rich.progress", "rich.table", "safetensors.torch", "SimpleITK", "torch._dynamo",
)  # fmt: skip
for name in LAZY:
    importlib.import_module(name)


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def nth(original, number, before=die):
    count = 0

    def call(*args, **kwargs):
        nonlocal count
        count += 1
        if count == number:
            before(*args)
            die()
        return original(*args, **kwargs)

    return call


def arm(point):
    kind, number = point.split(":")
    number = int(number)
    if kind == "read":
        batch.read_volume = nth(batch.read_volume, number)
    elif kind == "window":
        feeder.Feeder._predict = nth(feeder.Feeder._predict, number)
    elif kind == "half":
        original = files.temporary_path

        def half(final):
            temporary = original(final)
            temporary.write_bytes(b"half a file")
            print("left", temporary.name, flush=True)

        files.temporary_path = nth(original, number + 1, half)  # the first one tries the folder
    elif kind == "replace":
        os.replace = nth(os.replace, number)
    else:
        raise SystemExit(f"unknown point {point}")


def main():
    app = typer.Typer()
    segment.register(app)
    split = sys.argv.index("--")
    points, arguments = sys.argv[1:split], sys.argv[split + 1 :]
    for point in [*points, None]:
        child = os.fork()
        if child == 0:
            if point:
                arm(point)
            app(arguments, standalone_mode=False)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status != (-signal.SIGKILL if point else 0):
            raise SystemExit(f"{point or 'the last child'} ended with {status}")
        print("killed at" if point else "finished", point or "", flush=True)


if __name__ == "__main__":
    main()
