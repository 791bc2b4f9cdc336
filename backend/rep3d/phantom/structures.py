"""What a painted anatomy is made of: one code a structure, and the names that label maps of others use for them."""

from __future__ import annotations

import re
from enum import IntEnum


class Structure(IntEnum):
    """Codes of a complete anatomy. 1 to 15 are the labels of AMOS, so that a scan's truth is ``codes <= 15``."""

    AIR = 0
    SPLEEN = 1
    RIGHT_KIDNEY = 2
    LEFT_KIDNEY = 3
    GALLBLADDER = 4
    ESOPHAGUS = 5
    LIVER = 6
    STOMACH = 7
    AORTA = 8
    INFERIOR_VENA_CAVA = 9
    PANCREAS = 10
    RIGHT_ADRENAL = 11
    LEFT_ADRENAL = 12
    DUODENUM = 13
    BLADDER = 14
    PROSTATE_UTERUS = 15
    HEART = 16
    LUNG = 17
    AIRWAY = 18
    COLON = 19
    SMALL_BOWEL = 20
    PORTAL_VEIN = 21
    ARTERY = 22
    VEIN = 23
    VERTEBRA = 24
    DISC = 25
    RIB = 26
    BONE = 27
    CARTILAGE = 28
    CORD = 29
    MUSCLE = 30
    WALL = 31
    INNER_FAT = 32
    OUTER_FAT = 33
    SKIN = 34
    THYROID = 35
    DIAPHRAGM = 36


#: Words of a name -> structure; the first entry whose words all occur decides. Sides are words of their own.
_WORDS: tuple[tuple[str, Structure], ...] = (
    ("spleen", Structure.SPLEEN),
    ("kidney right", Structure.RIGHT_KIDNEY),
    ("kidney left", Structure.LEFT_KIDNEY),
    ("gallbladder", Structure.GALLBLADDER),
    ("esophagus", Structure.ESOPHAGUS),
    ("liver", Structure.LIVER),
    ("stomach", Structure.STOMACH),
    ("aorta", Structure.AORTA),
    ("inferior vena cava", Structure.INFERIOR_VENA_CAVA),
    ("superior vena cava", Structure.VEIN),
    ("pancreas", Structure.PANCREAS),
    ("adrenal right", Structure.RIGHT_ADRENAL),
    ("adrenal left", Structure.LEFT_ADRENAL),
    ("duodenum", Structure.DUODENUM),
    ("bladder", Structure.BLADDER),
    ("prostate", Structure.PROSTATE_UTERUS),
    ("uterus", Structure.PROSTATE_UTERUS),
    ("portal", Structure.PORTAL_VEIN),
    ("pulmonary vein", Structure.VEIN),
    ("heart", Structure.HEART),
    ("atrial", Structure.HEART),
    ("lung", Structure.LUNG),
    ("trachea", Structure.AIRWAY),
    ("colon", Structure.COLON),
    ("bowel", Structure.SMALL_BOWEL),
    ("artery", Structure.ARTERY),
    ("brachiocephalic trunk", Structure.ARTERY),
    ("vein", Structure.VEIN),
    ("vena", Structure.VEIN),
    ("vertebrae", Structure.VERTEBRA),
    ("rib", Structure.RIB),
    ("cord", Structure.CORD),
    ("cartilages", Structure.CARTILAGE),
    ("thyroid", Structure.THYROID),
    *(
        (bone, Structure.BONE)
        for bone in ["sacrum", "hip", "femur", "humerus", "scapula", "clavicula", "skull", "sternum"]
    ),
    *((muscle, Structure.MUSCLE) for muscle in ["gluteus", "autochthon", "iliopsoas"]),
)


def structure_of(name: str) -> Structure | None:
    """The structure that a label of another data set means, or None.

    Args:
        name: such as ``kidney_right``, ``left kidney``, ``oesophagus``, ``vertebrae_L3``.

    >>> structure_of("Left kidney").name, structure_of("rib_left_7").name, structure_of("brain")
    ('LEFT_KIDNEY', 'RIB', None)
    """
    words = set(re.split(r"[\s_\-]+", name.lower().replace("oesophagus", "esophagus").strip()))
    return next((structure for wanted, structure in _WORDS if set(wanted.split()) <= words), None)
