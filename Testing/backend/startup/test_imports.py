"""What is not imported before it is needed: seconds that a person would wait. No test measures a time."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

#: Imports of a second and more, and what only training, figures, DICOM or the command line need.
HEAVY = {
    "torch", "torch._dynamo", "monai", "sympy", "scipy", "SimpleITK", "matplotlib", "lightning_fabric", "lightning",
    "tensorboard", "highdicom", "pydicom", "nibabel", "ray", "onnx", "onnxruntime", "openvino", "triton",
    "pandas", "IPython",
}  # fmt: skip


def imported_by(code: str) -> set[str]:
    """Which of HEAVY a new process holds after running ``code``."""
    code = f"{code}\nimport json, sys\nprint(json.dumps(list({HEAVY!r} & sys.modules.keys())))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_list_of_modules_can_fail():
    assert imported_by("import scipy, sympy") == {"scipy", "sympy"}


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["tasks"], ["segment", "--help"], ["train", "--help"]]
)
def test_light_commands_import_nothing_heavy(arguments):
    code = f"import sys\nfrom rep3d.cli import app\napp({arguments!r}, standalone_mode=False)"
    assert imported_by(code) == set()


def test_a_command_with_a_wrong_file_says_so_without_torch(tmp_path):
    code = (
        "from rep3d.cli import app\n"
        "from rep3d.errors import BadInput\n"
        "try:\n"
        f"    app(['segment', {str(tmp_path / 'none.nii.gz')!r}, '-o', {str(tmp_path / 'out')!r}, '--task', 'kits'],\n"
        "        standalone_mode=False)\n"
        "except BadInput:\n"
        "    pass\n"
        "else:\n"
        "    raise SystemExit('not refused')"
    )
    assert "torch" not in imported_by(code)


WORKER = """
import pathlib, sys, tempfile
import numpy as np
from rep3d.worker.job import Job
from rep3d.worker.methods import MethodTable
from rep3d.worker import params, protocol

folder = pathlib.Path(tempfile.mkdtemp())
table = MethodTable(folder)

def call(method, **given):
    request = protocol.Request(1, method, params.check(method, given))
    return table.call(Job(request, folder, lambda message: None))

call("hello")
"""
SEGMENT = """
np.save(folder / "scan.npy", np.random.default_rng(0).normal(size=(32, 40, 32)).astype("float32"))
volume = {"array": "scan.npy", "affine": np.eye(4).tolist(), "name": "scan"}
call("segment", volume=volume, task="msd-hippocampus", device="cpu")
"""


def test_the_workers_answer_to_hello_needs_torch_alone():
    assert imported_by(WORKER) == {"torch"}


def test_a_segmentation_needs_scipys_sparse_matrices_besides(monkeypatch):
    """No MONAI, and not the compiler that PyTorch's own custom operators import at their first call."""
    monkeypatch.setenv("REP3D_CONV_ALGORITHM", "fft")
    assert imported_by(WORKER + SEGMENT + "assert 'scipy.spatial' not in sys.modules") == {"torch", "scipy"}
