"""Published layouts are recognised by what they hold; files meet by id; what is missing is named."""

from __future__ import annotations

import json

import numpy as np
import pytest
from rep3d.data.layouts import LayoutOptions, default_task, read_layout
from rep3d.data.layouts.base import stem
from rep3d.errors import BadInput
from rep3d.tasks import load_task

from .layout_trees import amos, msd, put_image, put_json, scan, touch

HIPPOCAMPUS, KITS = load_task("msd-hippocampus"), load_task("kits")


def ids(layout):
    return [scan.id for scan in layout.scans]


def read(kind, root, task=HIPPOCAMPUS, **options):
    return read_layout(kind, root, LayoutOptions(**options), task)


def test_amos_by_number_of_the_scan(tmp_path):
    root = amos(tmp_path / "amos22")
    ct = read("amos", root, load_task("amos-ct"))
    assert ids(ct) == ["amos_0001", "amos_0004", "amos_0500"] and ct.findings == ()
    assert "3 CT" in ct.recognised[0] and "2 MR" in ct.recognised[0] and ct.names[15] == "prostate/uterus"
    assert any("labelsVa is there and not used" in text for text in ct.recognised)
    assert ids(read("amos", tmp_path, load_task("amos-mri"))) == ["amos_0507", "amos_0600"]  # the folder around it too
    both = read("amos", root, load_task("amos-ct"), parts=("tr", "va"))
    assert ids(both) == ["amos_0001", "amos_0004", "amos_0008", "amos_0500"]
    assert [s.label.parent.name for s in both.scans] == ["labelsTr", "labelsTr", "labelsVa", "labelsTr"]


def test_amos_files_that_lack_a_partner_or_are_only_listed(tmp_path):
    root = amos(tmp_path)
    (root / "labelsTr/amos_0004.nii.gz").unlink()
    for folder in ("imagesTr", "labelsTr"):
        (root / folder / "amos_0500.nii.gz").unlink()
    touch(root / "imagesTr/amos_0007.nii.gz", root / "labelsTr/amos_0007.nii.gz")
    layout = read("amos", root, load_task("amos-ct"))
    assert ids(layout) == ["amos_0001", "amos_0007"]
    assert sorted((f.severity, f.code, f.cases) for f in layout.findings) == [
        ("error", "listed-missing", ("amos_0500",)),
        ("error", "no-label", ("amos_0004",)),
        ("warning", "not-listed", ("amos_0007",)),
    ]
    touch(root / "imagesTr/liver_1.nii.gz")
    with pytest.raises(BadInput, match=r"liver_1\.nii\.gz is not named as AMOS22"):
        read("amos", root, load_task("amos-ct"))


@pytest.mark.parametrize(
    "inside, label, case, extra, version",
    [
        ("", "segmentation.nii.gz", "case_00000", "", "KiTS19"),
        ("data", "aggregated_MAJ_seg.nii.gz", "case_00000", "aggregated_AND_seg.nii.gz", "KiTS21"),
        ("dataset", "segmentation.nii.gz", "case_00588", "instances/kidney_instance-1_annotation-1.nii.gz", "KiTS23"),
    ],
)
def test_every_kits_is_told_apart(tmp_path, inside, label, case, extra, version):
    root = tmp_path / inside
    for name in ("case_00003", case):
        touch(root / name / "imaging.nii.gz", root / name / label)
        if extra:
            touch(root / name / extra)
    layout = read("kits", tmp_path, KITS)
    assert ids(layout) == sorted(("case_00003", case)) and layout.recognised[0].startswith(version)
    assert {s.label.name for s in layout.scans} == {label} and layout.modality == "CT"
    assert (3 in layout.names) == (version != "KiTS19")
    if version == "KiTS21":
        other = read("kits", tmp_path, KITS, label_file="aggregated_AND_seg.nii.gz")
        assert {s.label.name for s in other.scans} == {"aggregated_AND_seg.nii.gz"}


def test_kits19_test_cases_have_no_labels_and_others_must(tmp_path):
    for number in (0, 1, 209, 210, 299):
        touch(tmp_path / f"case_{number:05d}/imaging.nii.gz")
    for number in (0, 209, 2):
        touch(tmp_path / f"case_{number:05d}/segmentation.nii.gz")
    layout = read("kits", tmp_path, KITS)
    assert ids(layout) == ["case_00000", "case_00209"] and len(layout.unlabelled) == 2
    assert [(f.code, f.cases) for f in layout.findings] == [
        ("no-label", ("case_00001",)),
        ("no-image", ("case_00002",)),
    ]


def test_kits_before_its_images_were_downloaded(tmp_path):
    touch(tmp_path / "data/case_00000/segmentation.nii.gz")
    with pytest.raises(BadInput, match=r"imaging\.nii\.gz is missing in all of them"):
        read("kits", tmp_path, KITS)


def test_msd_goes_by_its_json(tmp_path):
    root = msd(tmp_path / "Task04_Hippocampus", [f"hippocampus_{i:03d}" for i in (1, 3, 4)])
    touch(root / "imagesTr/hippocampus_099.nii.gz", root / "imagesTr/._hippocampus_001.nii.gz")
    layout = read("msd", tmp_path)
    assert ids(layout) == ["hippocampus_001", "hippocampus_003", "hippocampus_004"]
    assert layout.names == {1: "Anterior", 2: "Posterior"} and layout.modality == "MR"
    assert [(f.severity, f.code) for f in layout.findings] == [("warning", "not-listed")]
    assert default_task("msd", tmp_path) == "msd-hippocampus"
    (root / "labelsTr/hippocampus_003.nii.gz").unlink()
    (missing,) = [f for f in read("msd", root).findings if f.severity == "error"]
    assert missing.code == "listed-missing" and missing.cases == ("hippocampus_003",)
    assert "labelsTr/hippocampus_003.nii.gz" in missing.message


def test_msd_pairs_follow_the_list_even_where_names_differ(tmp_path):
    root = msd(tmp_path, ["a_1", "a_2"])
    content = json.loads((root / "dataset.json").read_text())
    content["training"] = [
        {"image": "./imagesTr/a_2.nii.gz", "label": "./labelsTr/a_1.nii.gz"},
        *content["training"][1:],
    ]
    put_json(root / "dataset.json", content)
    layout = read("msd", root)
    assert [(s.id, s.image.name) for s in layout.scans] == [("a_1", "a_2.nii.gz"), ("a_2", "a_2.nii.gz")]
    assert "names-differ" in {f.code for f in layout.findings}


def test_several_channels_need_a_choice(tmp_path):
    channels = {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}
    root = msd(tmp_path, ["BRATS_001"], modality=channels, name="BRATS")
    with pytest.raises(BadInput, match=r"4 channels \(0 FLAIR, 1 T1w, 2 t1gd, 3 T2w\)") as caught:
        read("msd", root)
    assert "--channel" in caught.value.hint
    layout = read("msd", root, channel=2)
    assert layout.scans[0].channel == 2 and any("channel 2 (t1gd) is used alone" in text for text in layout.recognised)
    with pytest.raises(BadInput, match="--channel 4 does not exist"):
        read("msd", root, channel=4)
    with pytest.raises(BadInput, match="names one channel"):
        read("msd", msd(tmp_path / "one", ["a"]), channel=1)


def nnunet(root, content, channels=(0,), ending=".nii.gz", cases=("liver_0", "liver_1")):
    for key in cases:
        touch(*(root / f"imagesTr/{key}_{c:04d}{ending}" for c in channels), root / f"labelsTr/{key}{ending}")
    put_json(root / "dataset.json", content)
    return root


V2 = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1, "tumor": 2}, "numTraining": 2}


def test_nnunet_of_both_versions(tmp_path):
    two = nnunet(tmp_path / "Dataset003_Liver", {**V2, "file_ending": ".nrrd"}, ending=".nrrd")
    layout = read("nnunet", two)
    assert ids(layout) == ["liver_0", "liver_1"] and layout.scans[0].image.name == "liver_0_0000.nrrd"
    assert layout.names == {1: "liver", 2: "tumor"} and layout.modality == "CT" and "version 2" in layout.recognised[0]
    old = {"modality": {"0": "CT"}, "labels": {"0": "background", "1": "liver", "2": "tumor"}, "training": []}
    one = nnunet(tmp_path / "Task003_Liver", old)
    assert read("nnunet", one).names == layout.names and "version 1" in read("nnunet", one).recognised[0]


def test_nnunet_with_a_table_of_cases(tmp_path):
    touch(tmp_path / "elsewhere/a.nii.gz", tmp_path / "truth/a.nii.gz")
    table = {
        "a": {"images": ["elsewhere/a.nii.gz"], "label": "truth/a.nii.gz"},
        "b": {"images": ["x.nii.gz"], "label": "y"},
    }
    put_json(tmp_path / "dataset.json", {**V2, "file_ending": ".nii.gz", "dataset": table})
    layout = read("nnunet", tmp_path)
    assert ids(layout) == ["a"] and [(f.code, f.cases) for f in layout.findings] == [("listed-missing", ("b",))]


def test_nnunet_channels_and_what_is_refused(tmp_path):
    several = {**V2, "channel_names": {"0": "T1", "1": "T2"}, "file_ending": ".nii.gz"}
    root = nnunet(tmp_path / "a", several, channels=(0, 1))
    (root / "imagesTr/liver_1_0001.nii.gz").unlink()
    with pytest.raises(BadInput, match="2 channels"):
        read("nnunet", root)
    layout = read("nnunet", root, channel=1)
    assert [s.image.name for s in layout.scans] == ["liver_0_0001.nii.gz"] and layout.scans[0].channel is None
    assert [(f.code, f.cases) for f in layout.findings] == [("no-image", ("liver_1",))]
    regions = {**V2, "labels": {"background": 0, "kidney": [1, 2, 3], "masses": [2, 3], "tumor": 2}}
    root = nnunet(tmp_path / "b", {**regions, "regions_class_order": [1, 3, 2]})
    with pytest.raises(BadInput, match=r"region labels \(kidney, masses\)"):
        read("nnunet", root)
    assert read("nnunet", root, plain_labels=True).names is None
    with pytest.raises(BadInput, match="ignore label"):
        read("nnunet", nnunet(tmp_path / "c", {**V2, "labels": {"background": 0, "liver": 1, "ignore": 2}}))
    with pytest.raises(BadInput, match="file_ending"):
        read("nnunet", nnunet(tmp_path / "d", {**V2, "file_ending": ".png"}))


def test_plain_folders_meet_by_pattern(tmp_path):
    for key in ("a", "b", "c"):
        touch(tmp_path / f"scans/{key}_ct.nrrd", tmp_path / f"truth/seg-{key}.nii.gz")
    (tmp_path / "scans/a_ct.nrrd").unlink()  # pairing by order would now shift
    options = dict(images="scans", labels="truth", image_name="{id}_ct", label_name="seg-{id}")
    layout = read("folder", tmp_path, **options)
    assert [(s.id, s.image.name, s.label.name) for s in layout.scans] == [
        ("b", "b_ct.nrrd", "seg-b.nii.gz"),
        ("c", "c_ct.nrrd", "seg-c.nii.gz"),
    ]
    assert [(f.code, f.cases) for f in layout.findings] == [("no-image", ("a",))]
    with pytest.raises(BadInput, match="need names that differ"):
        read("folder", tmp_path, images="scans", labels="scans")
    with pytest.raises(BadInput, match=r"must hold \{id\} once"):
        read("folder", tmp_path, **{**options, "image_name": "ct"})


def test_plain_folders_that_are_the_split(tmp_path):
    touch(tmp_path / "train/p1_ct.nii.gz", tmp_path / "train/p1_seg.nii.gz", tmp_path / "train/p1_seg7.nii.gz")
    touch(tmp_path / "val/images/p2.nii.gz", tmp_path / "val/labels/p2.nii.gz")
    assert [(s.id, s.part) for s in read("folder", tmp_path).scans] == [("p1", "train"), ("p2", "val")]
    touch(tmp_path / "train/p1_seg7.nii.gz")
    other = read("folder", tmp_path, image_name="{id}_ct", label_name="{id}_seg7")
    assert other.scans[0].label.name == "p1_seg7.nii.gz"


def test_a_wrong_layout_names_what_is_missing_and_what_it_looks_like(tmp_path):
    root = msd(tmp_path, ["a"])
    for kind, missing in (("kits", "case_00000"), ("nnunet", "ID_0000")):
        with pytest.raises(BadInput, match=missing) as caught:
            read(kind, root, KITS)
        assert "rep3d prepare msd" in caught.value.hint
    with pytest.raises(BadInput, match="the folder labelsTr is missing"):
        touch(tmp_path / "b/imagesTr/amos_0001.nii.gz")
        read("amos", tmp_path / "b", load_task("amos-ct"))
    with pytest.raises(BadInput, match="--label-file does not apply to the layout msd"):
        read("msd", root, label_file="x.nii.gz")
    with pytest.raises(BadInput, match="no layout is called 'brats'"):
        read("brats", root)
    with pytest.raises(BadInput, match="is of nnU-Net"):
        read("msd", nnunet(tmp_path / "n", {**V2, "file_ending": ".nii.gz"}))


def test_the_task_of_a_data_set(tmp_path):
    msd(tmp_path / "x", ["pancreas_001"], name="Pancreas")
    assert default_task("msd", tmp_path / "x") == "msd-pancreas" and default_task("kits", tmp_path) == "kits"
    with pytest.raises(BadInput, match="is not known") as caught:
        default_task("amos", tmp_path)
    assert "amos-mri" in caught.value.hint
    with pytest.raises(BadInput, match="is not known"):
        default_task("msd", msd(tmp_path / "y", ["lung_001"], name="Lung"))


def test_stem():
    from pathlib import Path

    assert stem(Path("a.b.nii.gz")) == "a.b" and stem(Path("a.NII")) == "a" and stem(Path("a.txt")) is None


def test_one_channel_of_a_4d_file(tmp_path):
    from rep3d.data.convert import Conversion, convert_image, convert_label, read_channel

    voxels, label = scan(1)
    four = np.stack([voxels, voxels + 1000, voxels * 0.5], axis=3).astype(np.float32)
    four[3, 4, 5, 1] = np.nan
    c, s = np.cos(0.3), np.sin(0.3)
    turned = (c, -s, 0, 0, s, c, 0, 0, 0, 0, -1, 0, 0, 0, 0, 1)
    put_image(tmp_path / "x.nii.gz", four, (1, 2, 3), (4, 5, 6), turned)
    array, geometry = read_channel(tmp_path / "x.nii.gz", 1)
    assert np.isnan(array[3, 4, 5]) and np.isnan(array).sum() == 1
    assert np.nanmax(np.abs(array - four[..., 1])) == 0
    assert np.allclose(geometry.spacing, (1, 2, 3)) and np.allclose(geometry.origin, (4, 5, 6))
    assert np.allclose(geometry.direction, (c, -s, 0, s, c, 0, 0, 0, -1), atol=1e-6)
    made = convert_image(Conversion(tmp_path / "out", 1), "x", tmp_path / "x.nii.gz", "0" * 64)
    from rep3d.data.reading import read_labelmap, read_volume

    again = read_volume(made)
    assert "1 voxels" in again.warnings[0] and np.allclose(again.geometry.direction, geometry.direction, atol=1e-6)
    with pytest.raises(BadInput, match="there is no channel 3; it has 3"):
        read_channel(tmp_path / "x.nii.gz", 3)
    put_image(tmp_path / "l.nii.gz", label)
    with pytest.raises(BadInput, match="3 dimensions, where 4"):
        read_channel(tmp_path / "l.nii.gz", 0)
    mapped = convert_label(Conversion(tmp_path / "out", labels={2: 0, 1: 7}), "l", tmp_path / "l.nii.gz", "1" * 64)
    assert np.array_equal(read_labelmap(mapped).array, np.where(label == 1, 7, 0))
