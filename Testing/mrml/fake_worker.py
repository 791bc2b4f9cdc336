"""A stand-in for ``python -m rep3d.worker`` that speaks the protocol and misbehaves on request; no torch.

What goes wrong is named by the method (``garbage``, ``flood``, ``crash``...), or for ``segment`` by the environment
variable REP3D_FAKE. A segmentation gives label 1 to voxels above 100 and label 2 to those below -100.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path

from rep3d.worker import protocol

LABELS = [
    {
        "value": value,
        "key": key,
        "name": name,
        "color": color,
        "category": ["123037004", "SCT", "Anatomical Structure"],
        "type": code,
        "modifier": modifier,
    }
    for value, key, name, color, code, modifier in (
        (1, "liver", "Liver", [221, 130, 101], ["10200004", "SCT", "Liver"], None),
        (
            2,
            "left-kidney",
            "Left kidney",
            [185, 102, 83],
            ["64033007", "SCT", "Kidney"],
            ["7771000", "SCT", "Left"],
        ),
    )
]
FOLDER = Path(sys.argv[sys.argv.index("--folder") + 1])
CANCELLED: set = set()
_lock = threading.Lock()


def send(message: dict) -> None:
    raw(protocol.encode(message))


def raw(data: bytes) -> None:
    with _lock:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def segment(id, params: dict, fault: str) -> None:
    import numpy as np

    if fault == "error":
        return send(protocol.error(id, "out_of_memory", "The graphics card ran out of memory.", "Use a ROI."))
    x_XYZ = np.load(FOLDER / params["volume"]["array"], mmap_mode="r")
    for step in range(1, 6):
        send(protocol.progress(id, step / 6, f"segmenting (window {step} of 5)", 5.0 - step))
        if step == 2 and fault == "crash":
            os._exit(7)
        end = time.monotonic() + (30.0 if fault == "slow" else 0.01)
        while time.monotonic() < end and id not in CANCELLED:
            time.sleep(0.005)
        if id in CANCELLED:
            return send(protocol.error(id, "cancelled", "The segmentation was cancelled."))
    labels = np.zeros(x_XYZ.shape, np.uint8, order="F")
    labels[x_XYZ > 100] = 1
    labels[x_XYZ < -100] = 2
    if fault == "shape":
        labels = labels[:-1]
    np.save(FOLDER / f"out{id}.npy", labels)
    wanted = params.get("structures") or [label["key"] for label in LABELS]
    stats = []
    for label in LABELS:
        chosen = labels == label["value"] if fault != "shape" else np.zeros(x_XYZ.shape, bool)
        values = x_XYZ[chosen].astype(float)
        mm3 = abs(np.linalg.det(np.array(params["volume"]["affine"])[:3, :3]))
        stats.append(
            {
                "value": label["value"],
                "key": label["key"],
                "name": label["name"],
                "voxels": int(chosen.sum()),
                "volume_ml": float(chosen.sum() * mm3 / 1000),
                "mean": float(values.mean()) if values.size else None,
                "sd": float(values.std()) if values.size else None,
            }
        )
    send(
        protocol.result(
            id,
            {
                "labels": f"out{id}.npy",
                "task": "fake",
                "label_info": [label for label in LABELS if label["key"] in wanted],
                "stats": [row for row in stats if row["key"] in wanted],
                "warnings": ["a warning of the worker"],
                "settings": {"device": "cpu (fake)", "params": params},
                "timings_s": {},
                "weights": {"id": "fake", "sha256": "0" * 64, "file": "fake", "licence": "none"},
                "seconds": 0.1,
            },
        )
    )


def explain(id, method: str, params: dict, fault: str) -> None:
    """``erf``: a field on the volume's own grid, strongest where it was asked about. ``masks``: one block, or none."""
    import numpy as np

    send(protocol.progress(id, 0.4, "following the gradient back", None))
    end = time.monotonic() + (30.0 if fault == "slow" else 0.0)
    while time.monotonic() < end and id not in CANCELLED:
        time.sleep(0.005)
    if id in CANCELLED:
        return send(protocol.error(id, "cancelled", "It was cancelled."))
    taps = np.ones((1, 3, 3, 3), np.float32)
    files = {"mask": taps, "prior": taps[0], "kernel": taps}
    if method == "erf":
        shape = np.load(FOLDER / params["volume"]["array"], mmap_mode="r").shape
        files = {"erf": np.full(shape, 1e-3, np.float32)}
        files["erf"][tuple(params["at_ijk"])] = 1.0
    for name, array in files.items():
        np.save(FOLDER / f"{name}{id}.npy", array)
    if method == "erf":
        values = {"array": f"erf{id}.npy", "affine": params["volume"]["affine"], "voxel": params["at_ijk"]}
        values |= {"class": params["class"] or 1, "class_name": "Liver", "value": 1.5, "params": params}
        values |= {
            "radius50_mm": 1.0,
            "radius90_mm": 2.0,
            "numbers": {"negative": None},
            "warnings": ["a smaller patch"],
        }
    else:
        profile = {"radius": [0, 1], "mean": [1, 1], "low": [1, 1], "high": [1, 1]}
        row = {"name": "stage1.block1", "exponent": None, "numbers": None, "profile": profile}
        row |= {"prior_profile": profile, "kernel_profile": profile}
        values = {"weights": {"id": "fake", "task": "fake"}, "blocks": [] if fault == "no masks" else [row]}
        for key, name in (("arrays", "mask"), ("priors", "prior"), ("kernels", "kernel")):
            values[key] = {row["name"]: f"{name}{id}.npy" for row in values["blocks"]}
    send(protocol.result(id, values))


def handle(id, method: str, params: dict) -> None:
    fault = os.environ.get("REP3D_FAKE", "")
    if method == "ping":
        send(protocol.result(id, {}))
    elif method == "hello":
        send(protocol.result(id, {"protocol": 1, "pid": os.getpid(), "path": sys.path[:3], "argv": sys.argv}))
    elif method == "tasks":
        send(protocol.result(id, {"tasks": [{"key": "fake", "title": "Fake", "labels": LABELS}]}))
    elif method == "segment":
        segment(id, params, fault)
    elif method in ("erf", "masks"):
        explain(id, method, params, fault)
    elif method == "echo":
        send(protocol.result(id, {"length": len(json.dumps(params)), "name": params.get("name")}))
    elif method == "crash":
        print("something terrible happened in the worker", file=sys.stderr, flush=True)
        os._exit(3)
    elif method == "garbage":
        for junk in (
            b"hello world\n",
            b"\xff\xfe\x00\n",
            b"[1, 2]\n",
            b'{"id": {}}\n',
            b"x" * 3_000_000 + b"\n",
            b"\n",
        ):
            raw(junk)
        raw(b'{"id": 1e999, "result": {}}\n{"id": 424242, "result": {}}\n')
        send(protocol.result(id, {"survived": True}))
    elif method == "flood":
        for i in range(50_000):
            send(protocol.progress(id, i / 50_000, "flooding", None))
        for i in range(3_000):
            print(f"line {i}", file=sys.stderr)
        send(protocol.result(id, {"done": True}))
    elif method == "slow":
        end = time.monotonic() + 30
        while time.monotonic() < end and id not in CANCELLED:
            time.sleep(0.005)
        send(protocol.error(id, "cancelled", "It was cancelled."))
    elif method == "hang":
        time.sleep(60)
    else:
        send(protocol.error(id, "bad_request", f"There is no method {method}."))


def main() -> None:
    if os.environ.get("REP3D_FAKE") == "no start":
        raise ImportError("No module named 'torch'")
    jobs = []
    for line in sys.stdin.buffer:
        request = protocol.read_request(line)
        if request.method == "cancel":
            CANCELLED.add(request.params["target"])
            send(protocol.result(request.id, {"cancelled": True}))
        elif request.method == "shutdown":
            break
        elif request.method == "deaf":
            time.sleep(60)
        else:
            thread = threading.Thread(target=handle, args=(request.id, request.method, request.params), daemon=True)
            thread.start()
            jobs.append(thread)
    os._exit(0)


main()
