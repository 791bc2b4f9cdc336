"""Run every command of ``rep3d`` in this one process, on inputs of a few voxels, in the current folder.

Prints a JSON object: command -> exit code. Usage: python everything.py
"""

from __future__ import annotations

import functools
import glob
import json
import os
import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from rep3d import cli
from rep3d.demo import run as demo

QUIET = ["--device", "cpu"]
LEARN = [*QUIET, "--threads", "1"]
COMMANDS = """
phantom -o ct.nii.gz --spacing 12 12 12 --fov upper
tasks
task show msd-hippocampus
task new data -o own.yaml --modality MR --names a,p --measure 2
task check own.yaml
prepare folder data prepared --task msd-hippocampus --workers 1
train --task msd-hippocampus --data prepared --out run --network rep3d-tiny --patch 32,32,32 --network-args {"kernel_size":3} --steps 1 --batch-size 1 --crops-per-volume 1 --workers 0 LEARN
fuse run/best.ckpt -o weights.safetensors
fuse run/best.ckpt -o other.safetensors --id other
weights import weights.safetensors
weights list
weights download none
weights remove ~/.local/share/rep3d/weights/msd-hippocampus.safetensors
import authors.pth --task msd-hippocampus -o imported.safetensors
evaluate --data prepared --weights weights.safetensors -o test.json --table test.csv LEARN
verify test.json --cases 1 LEARN
compare test.json test.json -o compared --names a,b
postprocess learn --data prepared --weights weights.safetensors -o rules.json LEARN
experiment lrbm-depth --task msd-hippocampus --data data --out study --recipe small --network rep3d-tiny --steps 1 --batch-size 1 --seeds 0 --split val --variants depth2 --tables-only QUIET
ensemble weights.safetensors other.safetensors -o two.ensemble.json
segment data/images/case_0.nii.gz -o segmented --weights weights.safetensors --engine openvino QUIET
masks weights.safetensors -o masks --no-figures
erf weights.safetensors -o erf --patches 1 QUIET
report run -o report.html --no-timing --patches 1 QUIET
card weights.safetensors --run run --results test.json --machine m --command c --attribution a --failure f
export weights.safetensors -o network.pt --format torchscript
export weights.safetensors -o bundle --format bundle
demo --scan data/images/case_0.nii.gz --task msd-hippocampus --weights weights.safetensors -o demo QUIET
doctor
models
""".strip().splitlines()  # noqa: E501


def make_inputs() -> None:
    for i in range(10):  # the fewest with a validation case
        rng = np.random.default_rng(i)
        label = np.zeros((30, 34, 28), np.uint8)
        label[6:15, 6:15, 6:15], label[6:15, 16:24, 6:15] = 1, 2
        for folder, array in (("images", rng.normal(100, 10, label.shape) + 60.0 * label), ("labels", label)):
            Path("data", folder).mkdir(parents=True, exist_ok=True)
            image = sitk.GetImageFromArray(array.astype(np.int16).transpose(2, 1, 0))
            sitk.WriteImage(image, f"data/{folder}/case_{i}.nii.gz")
    Path("authors.pth").write_bytes(b"not a checkpoint")


def run(line: str) -> int:
    """The exit code of one command."""
    words = [path for word in line.split() for path in found(word)]
    for name, options in (("LEARN", LEARN), ("QUIET", QUIET)):
        if words[-1] == name:
            words[-1:] = options
    sys.argv = ["rep3d", *words]
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def found(word: str) -> list[str]:
    """What a shell makes of a word."""
    word = os.path.expanduser(word)
    return glob.glob(word) or [word]


def main() -> None:
    sys.stdout, out = sys.stderr, sys.stdout
    make_inputs()
    for name in ("overlay", "render"):  # an untrained network finds something in every voxel: long to draw
        setattr(demo, name, functools.partial(getattr(demo, name), width_px=120))
    print(json.dumps({line: run(line) for line in COMMANDS}), file=out)


if __name__ == "__main__":
    main()
