"""CT numbers of an anatomy's structures by contrast phase, drawn anew for each scan, and the domain around them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rep3d.phantom.structures import Structure as S
from rep3d.phantom.tissue import draw_tissues

#: Structure -> the tissue whose CT number it starts from.
_TISSUE = {
    S.SPLEEN: "spleen", S.RIGHT_KIDNEY: "cortex", S.LEFT_KIDNEY: "cortex", S.GALLBLADDER: "gallbladder",
    S.ESOPHAGUS: "gut_wall", S.LIVER: "liver", S.STOMACH: "gut_wall", S.AORTA: "aorta",
    S.INFERIOR_VENA_CAVA: "vena_cava", S.PANCREAS: "pancreas", S.RIGHT_ADRENAL: "adrenal", S.LEFT_ADRENAL: "adrenal",
    S.DUODENUM: "gut_wall", S.BLADDER: "urine", S.PROSTATE_UTERUS: "prostate", S.HEART: "heart", S.LUNG: "lung",
    S.COLON: "gut_wall", S.SMALL_BOWEL: "gut_wall", S.PORTAL_VEIN: "portal_vein", S.ARTERY: "aorta",
    S.VEIN: "vena_cava", S.VERTEBRA: "marrow", S.DISC: "disc", S.RIB: "marrow", S.BONE: "marrow",
    S.CARTILAGE: "cartilage", S.CORD: "cord", S.MUSCLE: "muscle", S.WALL: "muscle", S.INNER_FAT: "fat",
    S.OUTER_FAT: "fat", S.SKIN: "skin", S.DIAPHRAGM: "muscle",
}  # fmt: skip
#: Organs whose means may be moved or exchanged, so that a network does not lean on one CT number.
SOFT = (
    S.SPLEEN, S.RIGHT_KIDNEY, S.LEFT_KIDNEY, S.GALLBLADDER, S.ESOPHAGUS, S.LIVER, S.STOMACH, S.AORTA,
    S.INFERIOR_VENA_CAVA, S.PANCREAS, S.RIGHT_ADRENAL, S.LEFT_ADRENAL, S.DUODENUM, S.BLADDER, S.PROSTATE_UTERUS,
    S.COLON, S.SMALL_BOWEL, S.PORTAL_VEIN, S.MUSCLE, S.HEART,
)  # fmt: skip
#: HU standard deviation of the fine texture inside a structure, before noise.
_TEXTURE = {
    S.LIVER: 4.0, S.SPLEEN: 4.0, S.PANCREAS: 14.0, S.MUSCLE: 12.0, S.WALL: 14.0, S.LUNG: 40.0, S.VERTEBRA: 45.0,
    S.BONE: 60.0, S.RIB: 40.0, S.INNER_FAT: 9.0, S.OUTER_FAT: 6.0, S.HEART: 6.0, S.PROSTATE_UTERUS: 8.0,
    S.RIGHT_ADRENAL: 8.0, S.LEFT_ADRENAL: 8.0, S.RIGHT_KIDNEY: 6.0, S.LEFT_KIDNEY: 6.0, S.ESOPHAGUS: 12.0,
}  # fmt: skip


@dataclass(frozen=True)
class Contrast:
    """CT numbers of one scan.

    hu: by tissue name, as in :mod:`rep3d.phantom.tissue`; mean and texture: HU by structure code, float32 [64];
    oral: HU of what was drunk, or None; curve: strength of a monotone bend of soft-tissue values, 0 for none.
    """

    hu: dict[str, float]
    mean: np.ndarray
    texture: np.ndarray
    oral: float | None
    curve: float

    @classmethod
    def draw(cls, rng: np.random.Generator, phase: str, randomise: float = 0.4) -> Contrast:
        """Draw the CT numbers of one scan.

        Args:
            rng: decides all of them.
            phase: one of ``rep3d.phantom.tissue.PHASES``.
            randomise: share of scans whose organs leave the usual CT numbers.
        """
        hu = draw_tissues(rng, phase)
        mean = np.full(64, -1000.0, dtype=np.float32)
        texture = np.zeros(64, dtype=np.float32)
        for structure, tissue in _TISSUE.items():
            mean[structure] = hu[tissue]
            texture[structure] = _TEXTURE.get(structure, 5.0) * rng.uniform(0.6, 1.4)
        mean[S.AIRWAY], mean[S.THYROID] = -990.0, 110.0 + 40 * rng.standard_normal()
        if rng.random() < 0.3:  # a pancreas between lobules of fat, as in older people
            mean[S.PANCREAS] -= rng.uniform(10, 45)
            texture[S.PANCREAS] *= 2
        oral = float(rng.uniform(120, 420)) if rng.random() < 0.3 else None
        curve = 0.0
        if rng.random() < randomise:
            spread = rng.uniform(5, 28)
            mean[list(SOFT)] += (spread * rng.standard_normal(len(SOFT))).astype(np.float32)
            if rng.random() < 0.35:
                a, b = rng.choice(len(SOFT), 2, replace=False)
                mean[[SOFT[a], SOFT[b]]] = mean[[SOFT[b], SOFT[a]]]
            curve = float(rng.uniform(-0.5, 0.5))
        return cls(hu, mean, texture, oral, curve)

    def bend(self, image: np.ndarray) -> None:
        """Bend values between -200 and 300 HU by a power, in place; what lies outside stays."""
        if self.curve:
            inside = (image > -200) & (image < 300)
            image[inside] = ((image[inside] + 200) / 500) ** np.float32(np.exp(self.curve)) * 500 - 200
