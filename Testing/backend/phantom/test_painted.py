"""CT painted from label maps: names, trunks, organs fitted into them, and what a scan of them must show."""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from rep3d.data.reading import read_labelmap, read_volume
from rep3d.errors import BadInput
from rep3d.phantom.anatomy import STEP_MM, Anatomy, fit, read_anatomy
from rep3d.phantom.files import write_array, write_cases
from rep3d.phantom.options import ScanOptions
from rep3d.phantom.painted import Anatomies, paint
from rep3d.phantom.structures import Structure as S
from rep3d.phantom.structures import structure_of
from rep3d.phantom.trunk import complete

REAL = os.environ.get("REP3D_DATA")

#: A doll: name, structure, centre and radii in mm (right, anterior, superior).
DOLL = (
    ("liver", S.LIVER, (26, 4, 18), (20, 22, 20)), ("spleen", S.SPLEEN, (-38, -10, 22), (8, 12, 12)),
    ("kidney_right", S.RIGHT_KIDNEY, (26, -18, -12), (8, 7, 14)),
    ("kidney_left", S.LEFT_KIDNEY, (-26, -18, -8), (8, 7, 14)),
    ("stomach", S.STOMACH, (-22, 12, 16), (12, 12, 14)), ("pancreas", S.PANCREAS, (-4, 4, -2), (14, 5, 4)),
    ("duodenum", S.DUODENUM, (14, 4, -8), (5, 5, 10)), ("gallbladder", S.GALLBLADDER, (22, 16, -6), (5, 5, 6)),
    ("aorta", S.AORTA, (-4, -14, 0), (4, 4, 60)), ("urinary_bladder", S.BLADDER, (0, 8, -54), (10, 10, 8)),
    ("adrenal_gland_left", S.LEFT_ADRENAL, (-20, -14, 10), (4, 4, 4)), ("colon", S.COLON, (0, 16, -30), (24, 8, 8)),
    ("vertebrae_L1", S.VERTEBRA, (0, -28, 10), (8, 8, 10)), ("vertebrae_L2", S.VERTEBRA, (0, -28, -20), (8, 8, 10)),
    ("hip_right", S.BONE, (30, -6, -50), (8, 14, 12)), ("hip_left", S.BONE, (-30, -6, -50), (8, 14, 12)),
    ("rib_left_9", S.RIB, (-48, 0, 30), (3, 20, 3)), ("rib_right_9", S.RIB, (48, 0, 30), (3, 20, 3)),
)  # fmt: skip
ORGANS = {"liver", "spleen", "kidney_left", "stomach", "pancreas", "duodenum", "gallbladder"}


def write_doll(folder: Path, name: str, only: set[str] | None = None, size: float = 1.0, flip: bool = False) -> Path:
    """A label map of the doll in 2 mm voxels, with the meaning of its values beside it."""
    axes = [np.arange(-64, 65, 2.0), np.arange(-44, 33, 2.0), np.arange(-72, 73, 2.0)]
    array = np.zeros([len(a) for a in axes], dtype=np.uint8)
    names = {}
    for value, (part, _, centre, radii) in enumerate(DOLL, start=1):
        if only is None or part in only:
            r = [((a - c * size) / (q * size)) ** 2 for a, c, q in zip(axes, centre, radii)]
            array[r[0][:, None, None] + r[1][None, :, None] + r[2][None, None, :] < 1] = value
            names[value] = part
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = -64 + 300, -44 - 20, -72 + 500  # far from the middle: the origin must not matter
    if flip:
        array = array[::-1]
        affine[0, 0], affine[0, 3] = -2.0, affine[0, 3] + 2.0 * (len(axes[0]) - 1)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}_label.nii.gz"
    write_array(array, affine, path)
    (folder / f"{name}_labels.json").write_text(json.dumps(names), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def shapes(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("shapes")
    write_doll(folder, "whole")
    write_doll(folder, "organs", only=ORGANS, size=0.9, flip=True)
    return folder


@pytest.fixture(scope="module")
def anatomies(shapes) -> Anatomies:
    return Anatomies([shapes])


@pytest.mark.parametrize(
    ("name", "structure"),
    [
        ("kidney_left", S.LEFT_KIDNEY), ("Right kidney", S.RIGHT_KIDNEY), ("oesophagus", S.ESOPHAGUS),
        ("adrenal_gland_right", S.RIGHT_ADRENAL), ("urinary_bladder", S.BLADDER), ("gallbladder", S.GALLBLADDER),
        ("inferior_vena_cava", S.INFERIOR_VENA_CAVA), ("superior_vena_cava", S.VEIN), ("iliac_vena_left", S.VEIN),
        ("portal_vein_and_splenic_vein", S.PORTAL_VEIN), ("pulmonary_vein", S.VEIN), ("vertebrae_T12", S.VERTEBRA),
        ("atrial_appendage_left", S.HEART), ("small_bowel", S.SMALL_BOWEL), ("spinal_cord", S.CORD),
        ("costal_cartilages", S.CARTILAGE), ("face", None),
    ],
)  # fmt: skip
def test_names_of_other_data_sets_are_understood(name, structure):
    assert structure_of(name) == structure


def test_labels_and_sides_are_those_of_the_map_whatever_its_axes(shapes):
    anatomy = read_anatomy(shapes / "organs_label.nii.gz")
    at = {s: anatomy.points(np.argwhere(anatomy.codes == s)).mean(axis=0) for s in (S.LIVER, S.SPLEEN, S.LEFT_KIDNEY)}
    assert at[S.LIVER][0] > 0 > max(at[S.SPLEEN][0], at[S.LEFT_KIDNEY][0])
    expected = 0.9 * (np.array([26, 4, 18]) - np.array([-38, -10, 22]))
    np.testing.assert_allclose(at[S.LIVER] - at[S.SPLEEN], expected, atol=1.0)


def test_a_manifest_may_name_the_values(tmp_path):
    path = write_doll(tmp_path, "whole")
    names = json.loads((tmp_path / "whole_labels.json").read_text(encoding="utf-8"))
    (tmp_path / "whole_labels.json").rename(tmp_path / "kept.json")
    with pytest.raises(BadInput, match="nothing says what its values mean"):
        read_anatomy(path)
    row = "; ".join(f"{value} {name.replace('_', ' ')}" for value, name in names.items())
    (tmp_path / "manifest.csv").write_text(f"file,labels\n{path.name},{row}\n", encoding="utf-8")
    assert read_anatomy(path).whole


def test_what_cannot_be_painted_is_refused(tmp_path, shapes):
    with pytest.raises(BadInput, match="no label maps"):
        Anatomies([tmp_path])
    with pytest.raises(BadInput, match="no label map shows a whole trunk"):
        Anatomies([shapes / "organs_label.nii.gz"])
    names = shapes / "organs_labels.json"
    write_doll(tmp_path, "some", only=ORGANS)
    short = json.loads(names.read_text(encoding="utf-8"))
    short.popitem()
    (tmp_path / "some_labels.json").write_text(json.dumps(short), encoding="utf-8")
    with pytest.raises(BadInput, match="has no name"):
        read_anatomy(tmp_path / "some_label.nii.gz")


def test_organs_of_another_person_replace_the_trunks_own(anatomies):
    organs, trunk = anatomies.organs[0], anatomies.trunks[0]
    fitted = fit(organs, trunk)
    assert fitted.name == "organs+whole"
    for structure in (S.LIVER, S.SPLEEN, S.STOMACH, S.LEFT_KIDNEY):
        kept = (fitted.codes == structure).sum() / (organs.codes == structure).sum()
        assert 0.9 < kept <= 1.0, structure
    for structure in (S.RIGHT_KIDNEY, S.AORTA, S.BLADDER, S.BONE):  # the trunk's, shrunk to the smaller person
        assert 0.5 < (fitted.codes == structure).sum() / (trunk.codes == structure).sum() < 1.0, structure


def test_a_trunk_is_closed_by_wall_fat_and_skin(anatomies):
    trunk = anatomies.trunks[0]
    whole = complete(trunk, np.random.default_rng(3))
    offset = np.round((trunk.origin - whole.origin) / STEP_MM).astype(int)
    window = tuple(slice(o, o + n) for o, n in zip(offset, trunk.codes.shape))
    named = trunk.codes > 0
    np.testing.assert_array_equal(whole.codes[window][named], trunk.codes[named])
    assert whole.has(S.SKIN, S.OUTER_FAT, S.WALL, S.INNER_FAT, S.DISC)
    middle = whole.codes[:, :, whole.codes.shape[2] // 2]
    line = middle[:, middle.shape[1] // 2]
    outside_in = line[np.flatnonzero(line)[0] :]
    order = [S.SKIN, S.OUTER_FAT, S.WALL, S.INNER_FAT]
    seen = [code for i, code in enumerate(outside_in) if i == 0 or code != outside_in[i - 1]][: len(order)]
    assert seen == order


@lru_cache(maxsize=4)
def scan(anatomies: Anatomies, seed: int, spacing: float = 3.0, orientation: str = "RAS"):
    return paint(seed, anatomies, spacing=(spacing,) * 3, orientation=orientation, phase="portal", noise=5.0)


def centre(phantom, label: int) -> np.ndarray:
    return phantom.affine[:3, :3] @ np.argwhere(phantom.labels == label).mean(axis=0) + phantom.affine[:3, 3]


def test_a_seed_gives_the_same_voxels_and_another_seed_others(anatomies):
    again = paint(5, anatomies, spacing=(3.0,) * 3, phase="portal", noise=5.0)
    np.testing.assert_array_equal(again.image, scan(anatomies, 5).image)
    np.testing.assert_array_equal(again.labels, scan(anatomies, 5).labels)
    assert scan(anatomies, 6).image.shape != again.image.shape or (scan(anatomies, 6).image != again.image).any()


def test_the_patient_does_not_depend_on_the_grid(anatomies):
    here, there = scan(anatomies, 5), scan(anatomies, 5, 2.5, "PIL")
    for label in (S.LIVER, S.SPLEEN, S.RIGHT_KIDNEY, S.LEFT_KIDNEY):
        np.testing.assert_allclose(centre(here, label), centre(there, label), atol=1.2)


@pytest.mark.parametrize("seed", [5, 6])
def test_sides_and_ct_numbers_are_those_of_a_person(anatomies, seed):
    phantom = scan(anatomies, seed)
    assert centre(phantom, S.RIGHT_KIDNEY)[0] > 0 > centre(phantom, S.LEFT_KIDNEY)[0]
    assert centre(phantom, S.LIVER)[2] > centre(phantom, S.BLADDER)[2]
    assert set(np.unique(phantom.labels)) <= set(range(16))
    assert phantom.image[0, -1, 0] < -900  # air around the patient
    assert -20 < np.median(phantom.image[phantom.labels == S.LIVER]) < 220


def test_a_slab_is_thin_and_only_for_label_maps(anatomies):
    from rep3d.phantom.generator import generate

    slab = paint(4, anatomies, fov="slab", spacing=(4.0,) * 3)
    assert 36 <= slab.image.shape[2] * 4.0 <= 88
    with pytest.raises(BadInput, match="slab"):
        generate(4, fov="slab")


def test_a_folder_is_continued_with_the_same_maps_only(anatomies, tmp_path, shapes):
    options = ScanOptions(spacing=(6.0, 6.0, 6.0))
    folder = tmp_path / "cases"
    assert write_cases(folder, range(2), options, anatomies=anatomies) == 2
    assert write_cases(folder, range(2), options, anatomies=anatomies) == 0
    image, labels = (read(folder / part / "phantom_000001.nii.gz") for part, read in
                     (("images", read_volume), ("labels", read_labelmap)))  # fmt: skip
    np.testing.assert_allclose(image.affine, labels.affine)
    other = Anatomies([write_doll(tmp_path / "other", "whole", size=0.95)])
    for anatomy in (other, None):
        with pytest.raises(BadInput, match="made with other options"):
            write_cases(folder, range(3), options, anatomies=anatomy)


@pytest.mark.skipif(not REAL, reason="set REP3D_DATA to the folder of real scans")
def test_real_shapes_give_organs_of_real_size():
    anatomies = Anatomies([Path(REAL) / "shapes" / f"{name}_label.nii.gz" for name in ("s0328", "case11")])
    phantom = paint(2, anatomies, spacing=(5.0, 5.0, 5.0))
    volume = np.bincount(phantom.labels.ravel(), minlength=16) * 0.125
    assert 900 < volume[S.LIVER] < 3200 and 60 < volume[S.RIGHT_KIDNEY] < 400 and 60 < volume[S.SPLEEN] < 600
    assert centre(phantom, S.LIVER)[0] > 0 > centre(phantom, S.SPLEEN)[0]


def test_an_anatomy_is_a_trunk_only_with_what_a_trunk_shows(anatomies):
    codes = anatomies.trunks[0].codes.copy()
    codes[codes == S.AORTA] = 0
    assert not Anatomy(codes, np.zeros(3), "none").whole
