"""Pictures: slices with labels, 3D renderings, masks, receptive fields, training curves. Needs matplotlib to draw."""

from rep3d.figures.curves import curves, read_records
from rep3d.figures.erf import erf_figure
from rep3d.figures.masks import mask_figure
from rep3d.figures.overlay import overlay
from rep3d.figures.render3d import render

__all__ = ["curves", "erf_figure", "mask_figure", "overlay", "read_records", "render"]
