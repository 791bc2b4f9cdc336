"""How often the cautions before a run fire, on scans that weights are for and on scans that they are not for.

    python benchmarks/cautions.py --data FOLDER --phantoms FOLDER

``--data``: the folder of real scans. ``--phantoms``: a folder of ``rep3d phantom``, not trained on. Prints a table and
writes benchmarks/results/cautions.json: scans of each group without a caution, with a warning, with a confirm.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from rep3d.data.reading import read_volume
from rep3d.data.volume import Volume
from rep3d.errors import Rep3DError
from rep3d.inference.cautions import before_run
from rep3d.weights import SHIPPED_FOLDER, read_meta
from rep3d.weights_meta import WeightsMeta

RESULT = Path(__file__).parent / "results" / "cautions.json"
#: Groups of scans: patterns in the data folder.
GROUPS = {
    "head and neck, training": ("hn/train/*_ct.nii.gz",),
    "head and neck, validation": ("hn/val/*_ct.nii.gz",),
    "head and neck, test": ("hn/test/*_ct.nii.gz",),
    "hippocampus, training and validation": ("open/hippocampus/images/*.nii.gz",),
    "hippocampus, test": ("open/hippocampus/images/*.nii.gz",),
    "CT of trunk, chest, aorta, vertebra": ("open/pairs/ct*_image.nii.gz",),
    "MR of brain, abdomen, cord": ("open/pairs/mr*_image.nii.gz",),
    "limbs and trunk, CT": ("sts/*/*_ct.nii.gz", "open/sts/*_ct_image.nii.gz"),
    "limbs and trunk, MR": ("sts/*/*_mr.nii.gz", "open/sts/*_mr_image.nii.gz"),
    "odd files": ("open/awkward/*",),
}
#: Groups on which a caution would be wrong.
RIGHT = {
    "openkbp": [g for g in GROUPS if g.startswith("head and neck")],
    "msd-hippocampus": [g for g in GROUPS if g.startswith("hippocampus")],
    "phantom-abdomen": ["phantoms"],
}


def groups(data: Path, phantoms: Path | None) -> Iterator[tuple[str, list[Path]]]:
    """Every group with its files."""
    for name, patterns in GROUPS.items():
        files = [path for pattern in patterns for path in sorted(data.glob(pattern))]
        if name.startswith("hippocampus"):  # every fifth is a test case
            files = [f for i, f in enumerate(files) if (i % 5 == 4) == (name == "hippocampus, test")]
        yield name, files
    if phantoms is not None:
        yield "phantoms", sorted(path for path in phantoms.rglob("*.nii.gz") if path.parent.name == "images")


def severity(meta: WeightsMeta, volume: Volume) -> str:
    """none, warning or confirm."""
    found = [c for c in before_run(meta, volume.shape, volume.affine, volume) if c.code != "demo_only"]
    return "confirm" if any(c.severity == "confirm" for c in found) else "warning" if found else "none"


def main() -> None:
    """Count, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--phantoms", type=Path)
    options = parser.parse_args()
    metas = {key: read_meta(SHIPPED_FOLDER / f"{key}.safetensors") for key in RIGHT}
    rows = []
    for name, files in groups(options.data, options.phantoms):
        counts: dict[str, Counter] = {key: Counter() for key in metas}
        for path in files:
            try:
                volume = read_volume(path)
            except Rep3DError:
                continue
            for key, meta in metas.items():
                counts[key][severity(meta, volume)] += 1
        for key, found in counts.items():
            numbers = {"none": found["none"], "warning": found["warning"], "confirm": found["confirm"]}
            rows.append({"weights": key, "scans": name, "right": name in RIGHT[key], **numbers})
            print(*rows[-1].values(), sep="\t", flush=True)
    RESULT.write_text(json.dumps({"rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
