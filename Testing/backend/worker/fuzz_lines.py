"""Lines that a broken or hostile program might send: requests changed at random, and what is no request at all.

The device is one that does not exist, so that nothing is computed.

By hand: python Testing/backend/worker/fuzz_lines.py 2000 [SEED] sends them to a real worker.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

EYE = [[float(i == j) for j in range(4)] for i in range(4)]
VOLUME = {"array": "x.npy", "affine": EYE, "name": "head"}
REQUESTS = [
    ("segment", {"volume": VOLUME, "task": "msd-hippocampus", "device": "tpu"}),
    ("estimate", {"volume": {"shape": [30, 30, 30], "affine": EYE}, "task": "msd-hippocampus", "device": "tpu"}),
    ("segment_files", {"inputs": ["/nowhere/a.nii.gz"], "output": "/nowhere/else", "task": "msd-hippocampus"}),
    ("erf", {"volume": VOLUME, "task": "msd-hippocampus", "at_ijk": [1, 2, 3], "device": "tpu"}),
    ("open", {"volume": VOLUME, "task": "kits"}),
    ("window", {"key": "k", "at_ijk": [0, 0, 0]}),
    ("inspect", {"path": "/nowhere/w.safetensors"}),
    ("import_weights", {"path": "/nowhere/w.safetensors"}),
    ("masks", {"task": "kits"}),
    ("cancel", {"target": 3}),
    ("forget", {"key": "k"}),
    ("tasks", {}),
]
ODD: list[Any] = [
    None, True, 0, -1, 2**31, 10**400, 1e308, -0.0, "", "x" * 300, "/" + "x" * 300, "/dev/zero", "/dev/full", "\ud800",
    "/a\ud800.nii.gz", "a\0b", "..", "../x.npy", "=1", [], [[]], {}, {"a": {}}, [1] * 1000, "/proc/self/mem", "nan",
]  # fmt: skip


def lines(seed: int, count: int) -> Iterator[bytes]:
    """``count`` lines, none of them a request that would run for long, and none that ends the worker."""
    rng = random.Random(seed)
    kinds = (changed, changed, changed, broken, deep, noise, numbers)
    for number in range(count):
        yield rng.choice(kinds)(rng, number).replace(b"\n", b" ") + b"\n"


def changed(rng: random.Random, number: int) -> bytes:
    """A request with one to three values replaced, added or left out."""
    method, params = rng.choice(REQUESTS)
    message = json.loads(json.dumps({"id": number, "method": method, "params": params}))
    for _ in range(rng.randint(1, 3)):
        place = message
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = rng.choice(keys)
            if isinstance(place[key], (dict, list)) and rng.random() < 0.8:
                place = place[key]
                continue
            if isinstance(place, dict) and rng.random() < 0.2:
                del place[key]
            else:
                place[key] = rng.choice(ODD)
            break
    return json.dumps(message).encode()


def broken(rng: random.Random, number: int) -> bytes:
    """Bytes of a request overwritten, cut or doubled."""
    data = bytearray(changed(rng, number))
    for _ in range(rng.randint(1, 6)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data[: rng.randrange(1, len(data) + 1)] * rng.choice((1, 1, 2)))


def deep(rng: random.Random, number: int) -> bytes:
    depth = rng.choice((50, 2000, 100_000))
    opening, closing = rng.choice((("[", "]"), ('{"a":', "}")))
    inner = opening * depth + "1" + closing * depth
    return rng.choice((inner, f'{{"id": {number}, "method": "tasks", "params": {inner}}}')).encode()


def noise(rng: random.Random, number: int) -> bytes:
    return rng.randbytes(rng.choice((0, 1, 10, 5000, 3_000_000)))


def numbers(rng: random.Random, number: int) -> bytes:
    value = rng.choice(("NaN", "-Infinity", "1e999", "9" * 5000, "1." + "0" * 100_000 + "1", "-", "0x10"))
    return f'{{"id": {number}, "method": "forget", "params": {{"key": {value}}}}}'.encode()


def main() -> None:
    import os
    import subprocess
    import sys
    import threading

    from rep3d.worker import folder, protocol

    count, seed = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    private = folder.make_private_folder()
    command = [sys.executable, "-m", "rep3d.worker", "--folder", str(private), "--parent", str(os.getpid())]
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    codes: dict[str, int] = {}

    def read() -> None:
        for line in worker.stdout:
            reply = protocol.read_reply(line)
            if "event" not in reply:
                code = reply["error"]["code"] if "error" in reply else "result"
                codes[code] = codes.get(code, 0) + 1
                if code == "internal":
                    print(reply, file=sys.stderr)

    reader = threading.Thread(target=read)
    reader.start()
    for line in lines(seed, count):
        worker.stdin.write(line)
        worker.stdin.write(protocol.request("sync", "ping"))
        worker.stdin.flush()
    worker.stdin.write(protocol.request("last", "tasks"))
    worker.stdin.flush()
    while sum(codes.values()) < 2 * count + 1 and worker.poll() is None:
        reader.join(0.2)
    print(worker.poll(), codes, Path(private).exists())
    worker.stdin.close()
    reader.join()


if __name__ == "__main__":
    main()
