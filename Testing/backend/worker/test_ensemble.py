"""The worker takes an ensemble's manifest where it takes a weights file."""

from __future__ import annotations

import numpy as np
from rep3d.ensemble import write_ensemble
from rep3d.files import sha256_file
from rep3d.weights import find_weights

TASK = "msd-hippocampus"


def test_an_ensemble_is_segmented_with_and_its_members_are_told(worker, small, tmp_path):
    path = tmp_path / "folds ä.ensemble.json"
    write_ensemble(path, [find_weights(TASK)])
    assert worker.call("inspect", path=str(path))["network"] == "ensemble"
    volume = worker.put(small)
    ask = {"volume": volume, "task": TASK}
    both = [worker.call("segment", **ask, weights=str(path)), worker.call("segment", **ask)]
    labels = [worker.take(result["labels"]) for result in both]
    np.testing.assert_array_equal(*labels)  # of one member, which is the task's own
    assert labels[0].any() and both[0]["weights"]["sha256"] == sha256_file(path)
    assert [m["sha256"] for m in both[0]["weights"]["members"]] == [both[1]["weights"]["sha256"]]
    path.write_text("{}", encoding="utf-8")
    assert "ensemble" in worker.fails("segment", "weights_invalid", **ask, weights=str(path))["message"]
