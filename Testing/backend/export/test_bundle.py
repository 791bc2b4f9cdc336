"""A MONAI bundle: whole, checked by MONAI's own commands, and equal to `rep3d segment` where Rep3D is not installed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from rep3d.data.reading import read_volume
from rep3d.errors import BadInput, OutputFailed, WeightsInvalid
from rep3d.export import bundle
from rep3d.export.bundle_configs import intensity_transforms, metadata_schema
from rep3d.export.carry import carried, foreign_imports
from rep3d.inference.pipeline import segment_volume
from rep3d.inference.prepared import prepare
from rep3d.tasks import Intensity

# One process for all of MONAI's commands: importing it takes seconds. None in sys.modules: cannot be imported.
DRIVER = """
import sys
sys.modules["rep3d"] = None
sys.path.insert(0, ".")
from monai.bundle import run, verify_metadata, verify_net_in_out
configs = {"meta_file": "configs/metadata.json", "config_file": "configs/inference.json"}
verify_metadata(meta_file="configs/metadata.json", filepath="docs/metadata.schema.json")
verify_net_in_out("network_def", **configs)
run(**configs, dataset_dir=sys.argv[1], output_dir=sys.argv[2])
"""


@pytest.fixture(scope="module")
def folder(source, random_windows, tmp_path_factory):
    pytest.importorskip("ignite")
    pytest.importorskip("fire")
    out = tmp_path_factory.mktemp("bundle") / "hippo bundle"
    agreement = bundle.export_bundle(source, out, random_windows)
    assert agreement.max_logit_difference <= 1e-4
    return out


def test_runs_without_rep3d_and_gives_the_same_labels(folder, source, scans, tmp_path):
    done = subprocess.run(
        [sys.executable, "-B", "-c", DRIVER, str(scans), str(tmp_path)],
        cwd=folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "large kernels on PyTorch's conv3d" in done.stdout
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == ["oblique é_seg.nii.gz", "plain_seg.nii.gz"]
    for name in names:
        scan = scans / name.replace("_seg", "")
        meta = source.meta
        expected = segment_volume(read_volume(scan), source.network, meta.task, patch=meta.patch, device="cpu").labelmap
        written = nib.load(tmp_path / name)
        assert written.shape == expected.shape and written.get_data_dtype() == np.uint8
        np.testing.assert_allclose(written.affine, nib.load(scan).affine, atol=1e-5)
        assert len(np.unique(expected)) == 3
        assert (np.asarray(written.dataobj) != expected).mean() < 1e-4  # ties of float32


def test_files(folder, source):
    import torch
    from monai.data import load_net_with_metadata

    files = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    wanted = {"configs/metadata.json", "configs/inference.json", "models/model.pt", "models/model.ts", "LICENSE"}
    assert wanted | {"docs/README.md", "docs/metadata.schema.json", "scripts/ops/__init__.py"} <= files
    metadata = json.loads((folder / "configs" / "metadata.json").read_text(encoding="utf-8"))
    assert metadata["rep3d_export"]["weights_sha256"] == source.sha256
    assert metadata["rep3d_export"]["check"]["max_logit_difference"] <= 1e-4
    assert "scipy" in metadata["required_packages_version"] and "rep3d" not in metadata["required_packages_version"]
    readme = (folder / "docs" / "README.md").read_text(encoding="utf-8")
    assert "not a medical device" in readme and "No model card" in readme and source.meta.licence in readme
    state = torch.load(folder / "models" / "model.pt", weights_only=True)
    assert state.keys() == source.network.state_dict().keys()
    traced, inside, _ = load_net_with_metadata(str(folder / "models" / "model.ts"))
    assert inside["rep3d_export"]["id"] == source.meta.id
    x = torch.rand(1, 1, *source.meta.patch)
    torch.testing.assert_close(traced(x), source.network(x), rtol=0, atol=1e-4)


def test_carried_files_need_nothing_of_ours():
    texts = bundle.bundle_scripts()
    shim = texts.pop("scripts/ops/__init__.py")
    assert "from rep3d.ops import depthwise_conv3d" in shim
    assert not [p for p, t in texts.items() if re.search(r"^\s*(from rep3d[. ]|import rep3d)", t, re.MULTILINE)]
    assert (
        {"torch", "numpy", "monai", "scipy"} <= foreign_imports(texts) <= {"torch", "numpy", "monai", "scipy", "einops"}
    )


def test_carrying_follows_what_can_run():
    texts = carried(["rep3d.inference.windows"], {}, "other")
    assert set(texts) == {
        "other/__init__.py",
        "other/errors.py",
        "other/inference/__init__.py",
        "other/inference/devices.py",
        "other/inference/feeder.py",
        "other/inference/windows.py",
    }
    assert "from other.errors import" in texts["other/inference/windows.py"]
    replaced = carried(["rep3d.inference.windows"], {"rep3d.errors": "BadInput = 1\n"}, "other")
    assert replaced["other/errors.py"] == "BadInput = 1\n"


@pytest.mark.parametrize(
    "intensity",
    [Intensity((0.0, 250.0), None), Intensity(None, (0.5, 99.5)), Intensity((80.0, 290.0), (1.0, 99.0))],
    ids=["clip", "percentiles", "both"],
)
def test_preprocessing_is_that_of_segment(source, scans, intensity):
    from monai.bundle import ConfigParser
    from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged, Orientationd
    from rep3d.export.monai_parts import BodyBoxd, NetworkGridd

    spacing = (1.3, 1.0, 1.6)
    steps = ConfigParser({"steps": intensity_transforms(intensity)}).get_parsed_content("steps")
    chain = Compose(
        [
            LoadImaged("image"),
            EnsureChannelFirstd("image"),
            Orientationd("image", axcodes="RAS", labels=None),
            NetworkGridd("image", spacing),
            *steps,
            BodyBoxd("image", source.meta.patch),
        ]
    )
    cropped = []
    for scan in sorted(scans.glob("*.nii.gz")):
        found = chain({"image": str(scan)})["image"]
        expected = prepare(
            read_volume(scan), source.meta.task, patch=source.meta.patch, spacing_mm=spacing, intensity=intensity
        )
        cropped.append(tuple(found.shape[1:]) != tuple(expected.grid))
        np.testing.assert_allclose(found.numpy(), expected.x_CDHW.numpy(), atol=2e-5)
    assert any(cropped)


def test_nothing_is_replaced_unasked(source, random_windows, tmp_path, monkeypatch):
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "mine.txt").write_text("mine")
    with pytest.raises(OutputFailed, match="there already"):
        bundle.export_bundle(source, taken, random_windows)
    # a failure after everything was built leaves the old folder whole
    monkeypatch.setattr(bundle, "compare", lambda *a, **k: (_ for _ in ()).throw(WeightsInvalid("differs")))
    with pytest.raises(WeightsInvalid):
        bundle.export_bundle(source, taken, random_windows, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["taken"] and (taken / "mine.txt").read_text() == "mine"


def test_folder_or_zip(tmp_path):
    for name in ("net", "net.zip"):
        for force in (False, True):
            with bundle.new_output(tmp_path / name, force) as building:
                (building / "a").mkdir()
                (building / "a" / "b.txt").write_text(str(force))
    assert (tmp_path / "net" / "a" / "b.txt").read_text() == "True"
    with zipfile.ZipFile(tmp_path / "net.zip") as archive:
        assert archive.namelist() == ["net/a/b.txt"] and archive.read("net/a/b.txt") == b"True"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net", "net.zip"]


def test_wrong_metadata_is_found(folder):
    import jsonschema

    metadata = json.loads((folder / "configs" / "metadata.json").read_text(encoding="utf-8"))
    jsonschema.validate(metadata, metadata_schema())
    del metadata["network_data_format"]["outputs"]["pred"]["channel_def"]
    with pytest.raises(BadInput, match="channel_def"):
        bundle.check_metadata(metadata)


def test_licence_text_is_the_repositorys(source):
    from pathlib import Path

    from rep3d.export.bundle_documents import APACHE, licence

    assert APACHE.read_text(encoding="utf-8") == (Path(__file__).parents[3] / "LICENSE").read_text(encoding="utf-8")
    text = licence(replace(source, meta=replace(source.meta, licence="CC BY-SA 4.0")))
    assert text.startswith("Weights (models/): CC BY-SA 4.0") and "Apache License" in text
