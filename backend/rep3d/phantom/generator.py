"""A made-up patient and a made-up scan of it: :func:`generate`, the same voxels for the same seed and options."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rep3d.errors import BadInput
from rep3d.phantom import body, bowel, digestive, pelvic, scanner, solid, vessels
from rep3d.phantom.canvas import Canvas, Patient
from rep3d.phantom.fields import SmoothField
from rep3d.phantom.options import SLAB, ScanOptions, ScanPlan, draw_plan, finer
from rep3d.phantom.orient import reorient
from rep3d.phantom.scene import Plan, Scene
from rep3d.phantom.tissue import draw_tissues

#: Anatomy changes with this number: the same seed gives the same scan within one version.
PHANTOM_VERSION = 1


@dataclass(frozen=True)
class Phantom:
    """A scan with its truth.

    image: int16 HU [X, Y, Z]; labels: uint8, the same shape, AMOS's 15 labels; affine: 4x4, voxel index to RAS mm;
    meta: what the seed chose (phase, spacing, orientation ...), JSON-able.
    """

    image: np.ndarray
    labels: np.ndarray
    affine: np.ndarray
    meta: dict[str, Any] = field(default_factory=dict)


def generate(seed: int, options: ScanOptions | None = None, **changes: Any) -> Phantom:
    """Make a CT of the abdomen and its truth.

    seed: a whole number of at least 0. options or keyword arguments: see :class:`ScanOptions`; what is left out
    (None or "random") is drawn from the seed. Patient, scan and noise have random streams of their own, so that the
    same seed with another spacing or orientation is the same patient. Raises BadInput for options that make no scan.
    """
    options = (options or ScanOptions()).replace(**changes)
    options.check(seed)
    if options.fov == SLAB:
        raise BadInput("fov: a slab can only be cut from label maps", hint="Name them with --anatomy.")
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence(int(seed)).spawn(4)]
    anatomy, scan, contrast, noise = streams
    patient, build, female = _patient(anatomy)
    plan = draw_plan(scan, options, patient, build)
    grid = plan.grid
    factors = finer(grid.spacing)
    canvas = Canvas(grid.refined(factors), patient)
    _paint(canvas, anatomy, build, female, draw_tissues(contrast, plan.phase), plan)
    image, labels = scanner.acquire(canvas, grid, factors, noise, plan.noise_hu, plan.blur_mm)
    image, labels, affine = reorient(image, labels, grid.affine, plan.orientation)
    meta = {"generator": "rep3d phantom", "version": PHANTOM_VERSION, "seed": int(seed), "sex": "F" if female else "M"}
    return Phantom(image, labels, affine, {**meta, **plan.describe()})


def _patient(rng: np.random.Generator) -> tuple[Patient, body.Build, bool]:
    female = bool(rng.random() < 0.5)
    scale = np.clip(rng.normal(1.0, (0.04, 0.04, 0.035)), 0.91, 1.09) * (0.965 if female else 1.015)
    build = body.Build.draw(rng)
    amplitude = np.array([4.5, 4.0, 5.0])
    patient = Patient(
        scale,
        tuple(SmoothField.draw(rng, 75.0) for _ in range(3)),
        amplitude,
        tuple(SmoothField.draw(rng, 17.0) for _ in range(2)),
    )
    return patient, build, female


def _paint(
    canvas: Canvas, rng: np.random.Generator, build: body.Build, female: bool, hu: dict[str, float], plan: ScanPlan
) -> None:
    """Paint from the outside in; what comes later lies over what came before."""
    texture = SmoothField.draw(rng, 5.0).sample(canvas.grid)
    organ_plan = Plan.draw(rng, female)
    streams = rng.spawn(5)
    cavity = body.paint_body(canvas, build, hu, texture)
    scene = Scene(canvas, cavity, organ_plan, hu, texture)
    bowel.paint_small_bowel(scene, streams[0])
    bowel.paint_mesentery(scene, streams[1])
    bowel.paint_colon(scene, streams[2])
    body.paint_bones(canvas, streams[3], build, hu, texture)
    digestive.paint_stomach(scene)
    solid.paint_spleen(scene)
    solid.paint_liver(scene)
    solid.paint_kidneys(scene)
    digestive.paint_pancreas(scene)
    digestive.paint_gallbladder(scene)
    vessels.paint_great_vessels(scene)
    digestive.paint_esophagus(scene)
    digestive.paint_duodenum(scene)
    solid.paint_adrenals(scene)
    pelvic.paint_pelvic_organs(scene)
    bowel.paint_liver_vessels(scene, streams[4])
    bowel.paint_lesions(scene, streams[4])
    scanner.add_table(canvas.hu, canvas.grid, plan.table_mm, float(canvas.edge_mm))
