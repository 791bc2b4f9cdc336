"""``python -m rep3d.phantom SCAN.nii.gz``: the scan of `rep3d demo`, made with numpy, scipy and SimpleITK alone.

3D Slicer brings these three, so that its module can offer a scan before anything is installed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from rep3d.phantom.files import write_array
from rep3d.phantom.generator import generate
from rep3d.phantom.options import DEMO_OPTIONS, DEMO_SEED

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m rep3d.phantom SCAN.nii.gz")
    phantom = generate(DEMO_SEED, DEMO_OPTIONS)
    write_array(phantom.image, phantom.affine, Path(sys.argv[1]))
