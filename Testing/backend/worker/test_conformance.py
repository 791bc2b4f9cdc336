"""A worker on a machine that computes wrongly in one precision: refused there, at work in the other."""

from __future__ import annotations

import pytest

from .conftest import BACKEND, Driver, wait_until

TASK = "msd-hippocampus"
BROKEN = """
import torch
right = torch.nn.functional.conv3d

def wrong(x, weight, *args, **kwargs):
    y = right(x, weight, *args, **kwargs)
    return y * 1.1 if torch.is_autocast_enabled("cpu") else y

torch.nn.functional.conv3d = wrong
from rep3d.worker.__main__ import main

main()
"""


@pytest.fixture
def broken_worker(tmp_path, worker_env):
    script = tmp_path / "broken.py"
    script.write_text(BROKEN, encoding="utf-8")
    driver = Driver(tmp_path, env={**worker_env, "PYTHONPATH": str(BACKEND)}, command=[str(script)])
    yield driver
    driver.close()


def test_a_device_that_computes_wrongly_is_refused(broken_worker, small):
    volume = broken_worker.put(small)
    refused = {"device": "cpu", "precision": "bfloat16"}
    requests = {
        "segment": {"volume": volume, "task": TASK, **refused},
        "segment_files": {"inputs": [str(broken_worker.folder)], "output": str(broken_worker.folder), "task": TASK}
        | refused,
        "estimate": {"volume": {"shape": small.shape, "affine": volume["affine"]}, "task": TASK, **refused},
        "prepare": {"key": "0" * 32, **refused},
        "window": {"key": "0" * 32, "at_ijk": [0, 0, 0], **refused},
    }
    for method, params in requests.items():
        error = broken_worker.fails(method, "device_unavailable", params)
        assert "computes wrongly in bfloat16 on cpu" in error["message"] and "relative error 0.1" in error["message"]
        assert "float32" in error["hint"] and "PyTorch" in error["hint"]
    assert broken_worker.files() == {"input.npy"}
    result = broken_worker.call("segment", volume=volume, task=TASK, device="cpu", precision="float32")
    assert result["settings"]["precision"] == "float32"
    assert broken_worker.call("masks", task=TASK, arrays=False)["blocks"]


READY = """
import sys
from rep3d.worker import __main__, methods

class Told(methods.MethodTable):
    def idle(self):
        super().idle()
        print("READY")

    def call(self, job):
        from rep3d import conformance
        loaded = {"rep3d.inference.pipeline", "rep3d.networks"} <= set(sys.modules)
        return {"loaded": loaded, "checked": conformance._remembered.cache_info().currsize}

__main__.MethodTable = Told
__main__.main()
"""


def test_a_worker_gets_ready_while_nobody_asks(tmp_path):
    script = tmp_path / "ready.py"
    script.write_text(READY, encoding="utf-8")
    driver = Driver(tmp_path, command=[str(script)])
    try:
        assert wait_until(lambda: "READY" in driver.log(), 60)
        assert driver.call("hello") == {"loaded": True, "checked": 1}
    finally:
        driver.close()
