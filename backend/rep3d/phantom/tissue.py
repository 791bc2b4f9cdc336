"""CT numbers (HU) of tissues by contrast phase, varied from patient to patient; typical textbook values at 120 kV."""

from __future__ import annotations

import numpy as np

PHASES = ("native", "arterial", "portal", "delayed")

#: tissue: HU in the native, arterial, portal venous and delayed phase; standard deviation between patients.
_TABLE: dict[str, tuple[float, float, float, float, float]] = {
    "fat": (-105, -105, -103, -103, 5),
    "skin": (10, 15, 20, 20, 5),
    "muscle": (52, 58, 64, 64, 4),
    "lung": (-840, -835, -830, -830, 25),
    "marrow": (190, 195, 200, 200, 35),
    "cortical": (620, 620, 620, 620, 70),
    "disc": (85, 88, 92, 92, 8),
    "cord": (28, 32, 34, 34, 4),
    "cartilage": (110, 110, 112, 112, 15),
    "liver": (57, 70, 108, 95, 9),
    "spleen": (48, 115, 118, 96, 8),
    "cortex": (33, 165, 172, 150, 14),
    "medulla": (32, 62, 150, 165, 12),
    "pancreas": (41, 98, 90, 76, 8),
    "adrenal": (28, 62, 72, 60, 8),
    "aorta": (41, 320, 152, 118, 25),
    "portal_vein": (41, 95, 160, 120, 14),
    "hepatic_vein": (41, 62, 150, 118, 14),
    "vena_cava": (40, 78, 138, 116, 14),
    "gut_wall": (38, 78, 92, 80, 8),
    "gut_content": (18, 18, 20, 20, 9),
    "stool": (35, 35, 35, 35, 18),
    "gallbladder": (9, 9, 10, 10, 5),
    "bladder_wall": (34, 50, 62, 60, 5),
    "urine": (4, 4, 5, 5, 3),
    "prostate": (40, 64, 82, 82, 7),
    "uterus": (46, 88, 112, 112, 9),
    "heart": (41, 190, 145, 114, 15),
    "duct": (8, 8, 9, 9, 3),
}

#: HU standard deviation of the fine texture inside a tissue, before noise.
TEXTURE = {"liver": 4.0, "spleen": 3.5, "pancreas": 10.0, "muscle": 8.0, "stool": 70.0, "marrow": 55.0, "lung": 35.0}


def draw_tissues(rng: np.random.Generator, phase: str) -> dict[str, float]:
    """HU of every tissue for one patient in one phase. The same number of draws in every phase.

    Contrast varies in strength and timing: enhancement over the native value is scaled by one common factor.
    """
    column = PHASES.index(phase)
    strength = float(np.clip(rng.normal(1.0, 0.12), 0.7, 1.35))
    hu = {}
    for name, row in _TABLE.items():
        hu[name] = row[0] + (row[column] - row[0]) * strength + float(np.clip(rng.normal(), -2, 2)) * row[-1] * 0.7
    steatosis = float(rng.random())
    if steatosis > 0.88:  # a fatty liver, darker than the spleen
        hu["liver"] -= 90 * (steatosis - 0.8)
    return hu
