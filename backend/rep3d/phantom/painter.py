"""From an anatomy to CT numbers before the scanner: tissue, texture, vessels, walls, contents, lesions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from rep3d.phantom.contrast import Contrast
from rep3d.phantom.fields import SmoothField
from rep3d.phantom.grid import Grid
from rep3d.phantom.structures import Structure as S

Box = tuple[slice, slice, slice]
KIDNEYS = (S.RIGHT_KIDNEY, S.LEFT_KIDNEY)


@dataclass
class Painter:
    """One scan being painted.

    codes: uint8 [X, Y, Z] of structures on ``grid``; hu: float32, the same shape, CT numbers so far.
    """

    codes: np.ndarray
    grid: Grid
    contrast: Contrast
    rng: np.random.Generator

    def paint(self) -> np.ndarray:
        """CT numbers [X, Y, Z], float32."""
        rng, contrast = self.rng, self.contrast
        self.hu = contrast.mean[self.codes]
        self.fine = SmoothField.draw(rng, 5.0).sample(self.grid)
        self.broad = SmoothField.draw(rng, 45.0).sample(self.grid)
        self.hu += contrast.texture[self.codes] * self.fine
        soft = (self.hu > -200) & (self.hu < 300)
        self.hu += np.where(soft, np.float32(rng.uniform(1, 6)) * self.broad, np.float32(0))
        self.tubes = self._tubes()
        self._vessels()
        self._kidneys()
        self._bones()
        self._hollow()
        self._lesions()
        contrast.bend(self.hu)
        return self.hu

    def _tubes(self) -> np.ndarray:
        """Thin curved tubes everywhere: where two smooth fields are both near zero; 0 in the middle, 1 at the wall."""
        a, b = (SmoothField.draw(self.rng, 22.0).sample(self.grid) for _ in range(2))
        return np.sqrt(a * a + b * b) / np.float32(self.rng.uniform(0.14, 0.26))

    def _vessels(self) -> None:
        inside = self.tubes < 1
        hu, codes = self.contrast.hu, self.codes
        liver = inside & (codes == S.LIVER)
        self.hu[liver] = np.where(self.broad[liver] > 0, hu["portal_vein"], hu["hepatic_vein"])
        fat = inside & (codes == S.INNER_FAT)
        self.hu[fat] = np.where(self.broad[fat] > 0.3, hu["aorta"], hu["portal_vein"])
        self.hu[inside & (codes == S.LUNG)] = hu["heart"]
        nodes = (codes == S.INNER_FAT) & (self.fine + self.broad > 2.1)
        self.hu[nodes] = 0.5 * (hu["muscle"] + self.hu[nodes])

    def _kidneys(self) -> None:
        """Cortex outside, medulla within; the ureter and pelvis are fat and fluid of the map."""
        for box, mask in self._each(*KIDNEYS):
            depth = self._depth(mask)
            cortex = np.float32(self.rng.uniform(5, 9)) + 1.5 * self.fine[box]
            change = np.float32(self.contrast.hu["medulla"] - self.contrast.hu["cortex"])
            self.hu[box] += np.where(mask, change * np.clip((depth - cortex) / 2, 0, 1), np.float32(0))

    def _bones(self) -> None:
        shell = np.float32(self.contrast.hu["cortical"])
        for box, mask in self._each(S.VERTEBRA, S.RIB, S.BONE):
            edge = mask & ~ndimage.binary_erosion(mask, iterations=1)
            self.hu[box][edge] += np.float32(0.55) * (shell - self.hu[box][edge])

    def _hollow(self) -> None:
        """Walls and contents: fluid, food, stool, what was drunk; gas floats to the front."""
        rng, hu = self.rng, self.contrast.hu
        drunk = self.contrast.oral
        fields = {S.STOMACH: 0.55, S.DUODENUM: 0.2, S.SMALL_BOWEL: 0.18, S.COLON: 0.6, S.ESOPHAGUS: 0.25}
        lie = 1.0 if rng.random() < 0.95 else -1.0  # few scans are made prone
        for structure, gas in fields.items():
            filling = drunk if drunk is not None and rng.random() < 0.75 else hu["gut_content"]
            thick, full, level = rng.uniform(2.0, 4.5), rng.random(), rng.normal(0, 0.6)
            for box, mask in self._each(structure):
                lumen = self._depth(mask) > (thick if structure != S.ESOPHAGUS else 4.0)
                if structure in (S.ESOPHAGUS, S.DUODENUM, S.SMALL_BOWEL):
                    lumen &= self.broad[box] > 1.2 - 2.2 * full  # here and there collapsed
                value = filling + (0 if filling > 60 else 12) * self.fine[box]
                if structure == S.COLON:
                    stool = np.float32(hu["stool"]) + 85 * self.fine[box] - 40
                    value = np.where(self.broad[box] + level < 0.4, stool, value)
                elif structure == S.STOMACH and full > 0.5:
                    value = value + 35 * self.fine[box]
                self.hu[box] = np.where(lumen, value, self.hu[box])
                if rng.random() < gas:
                    self._float_gas(box, lumen, lie, structure)

    def _float_gas(self, box: Box, lumen: np.ndarray, lie: float, structure: S) -> None:
        """Fill the front of each loop with gas, down to a level surface."""
        front = np.broadcast_to(self.grid.coordinate(1, box) * np.float32(lie), lumen.shape)
        if structure == S.STOMACH:
            level = np.quantile(front[lumen], self.rng.uniform(0.45, 1.0)) if lumen.any() else np.inf
            gas = lumen & (front > level)
        else:  # loop by loop: the level varies smoothly along the bowel
            local = ndimage.uniform_filter(np.where(lumen, front, 0), 15) / np.maximum(
                ndimage.uniform_filter(lumen.astype(np.float32), 15), 1e-3
            )
            gas = lumen & (front > local + 6 - 7 * self.broad[box])
        self.hu[box][gas] = -960.0

    def _lesions(self) -> None:
        """Cysts and tumours inside an organ's label, stones in the gallbladder; layered contrast in the bladder."""
        rng = self.rng
        plans = (
            (S.LIVER, 0.35, 4, 17),
            (S.RIGHT_KIDNEY, 0.3, 2, 16),
            (S.LEFT_KIDNEY, 0.3, 2, 16),
            (S.SPLEEN, 0.08, 2, 9),
        )
        for organ, chance, most, size in plans:
            if rng.random() >= chance:
                continue
            for box, mask in self._each(organ):
                places = np.argwhere(mask)
                for _ in range(int(rng.integers(1, most + 1))):
                    centre = places[rng.integers(len(places))]
                    radii = rng.uniform(4, size) * rng.uniform(0.8, 1.2, 3) / self.grid.spacing
                    steps = [((np.arange(n) - c) / r) ** 2 for n, c, r in zip(mask.shape, centre, radii)]
                    distance = np.sqrt(steps[0][:, None, None] + steps[1][None, :, None] + steps[2][None, None, :])
                    inside = mask & (distance + 0.12 * self.fine[box] < 1)
                    value = (
                        rng.uniform(0, 22) if rng.random() < 0.6 else self.contrast.mean[organ] + rng.normal(-35, 18)
                    )
                    self.hu[box][inside] = value + 3 * self.fine[box][inside]
        if rng.random() < 0.1:
            for box, mask in self._each(S.GALLBLADDER):
                stones = mask & (self.fine[box] > 1.4)
                self.hu[box][stones] = rng.uniform(60, 400)
        if rng.random() < 0.12:
            for box, mask in self._each(S.BLADDER):
                back = np.broadcast_to(self.grid.coordinate(1, box), mask.shape)
                low = mask & (back < np.quantile(back[mask], rng.uniform(0.2, 0.7)))
                self.hu[box][low] = rng.uniform(150, 900)

    def _each(self, *structures: S) -> Iterator[tuple[Box, np.ndarray]]:
        """Box (two voxels wider) and mask of each structure that the scan shows."""
        found = ndimage.find_objects(self.codes, max_label=max(structures))
        for structure in structures:
            tight = found[structure - 1]
            if tight is not None:
                box = tuple(slice(max(s.start - 2, 0), s.stop + 2) for s in tight)
                yield box, self.codes[box] == structure

    def _depth(self, mask: np.ndarray) -> np.ndarray:
        """Distance in mm from outside the mask, float32; the ends of the scan are no surface."""
        padded = np.pad(mask, 1, mode="edge")
        depth = ndimage.distance_transform_edt(padded, sampling=self.grid.spacing)
        return depth[1:-1, 1:-1, 1:-1].astype(np.float32)
