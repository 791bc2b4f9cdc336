"""The example of docs/worker.md runs as it stands, and the document names every method and code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from rep3d.data.reading import read_volume
from rep3d.data.volume import Geometry, to_sitk
from rep3d.inference.pipeline import segment_with_weights
from rep3d.weights import find_weights, load_weights
from rep3d.worker import params, protocol

DOCUMENT = Path(__file__).parents[3] / "docs" / "worker.md"


@pytest.fixture
def example(tmp_path):
    """Run the example: example(scan, task, output)."""
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    script = tmp_path / "example.py"
    script.write_text(code, encoding="utf-8")
    (tmp_path / "temporary").mkdir()

    def run(*arguments):
        env = {**os.environ, "TMPDIR": str(tmp_path / "temporary"), "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"}
        env["REP3D_CONV_ALGORITHM"] = "fft"
        command = [sys.executable, str(script), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=120, env=env)
        assert not list((tmp_path / "temporary").glob("rep3d-*"))  # the private folder is gone
        return done

    return run


def test_the_example(example, tmp_path, small, monkeypatch):
    monkeypatch.setenv("REP3D_CONV_ALGORITHM", "fft")
    affine = np.array([[0, -1.1, 0, 3], [0.9, 0, 0, -8], [0, 0, -1, 30], [0, 0, 0, 1.0]])
    scan = tmp_path / "scan ä.nii.gz"
    sitk.WriteImage(to_sitk(small, Geometry.from_affine(affine, small.shape)), str(scan))
    done = example(scan, "msd-hippocampus", tmp_path / "out.nii.gz")
    assert done.returncode == 0, done.stderr
    written, source = sitk.ReadImage(str(tmp_path / "out.nii.gz")), sitk.ReadImage(str(scan))
    assert written.GetOrigin() == source.GetOrigin() and written.GetDirection() == source.GetDirection()
    direct = segment_with_weights(read_volume(scan), load_weights(find_weights("msd-hippocampus")))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(written).transpose(2, 1, 0), direct.labelmap)
    assert f"Anterior hippocampus: {direct.stats[0].volume_ml:.2f} mL" in done.stdout and "100%" in done.stderr
    failed = example(scan, "kits", tmp_path / "kits.nii.gz")
    assert failed.returncode == 1 and "no weights are installed" in failed.stderr and "Traceback" not in failed.stderr


def test_the_document_is_complete():
    text = DOCUMENT.read_text(encoding="utf-8")
    codes = [code for code in protocol.ERROR_CODES if code != protocol.WORKER_DIED]
    missing = [name for name in [*params.METHODS, *codes] if f"`{name}`" not in text]
    assert missing == []
    for method, fields in params.METHODS.items():
        if (row := re.search(rf"^\| `{method}` \| (.*?) \|", text, re.MULTILINE)) is not None:
            for name in fields:
                options = method == "segment_files" and name in params.METHODS["segment"]
                assert f"`{name}`" in row[1] or name == "weights" or options, (method, name)
    assert str(protocol.MAX_LINE) in text
