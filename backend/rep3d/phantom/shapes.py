"""Signed distances (mm, negative inside) of the primitives that the anatomy is built from.

Exact for capsules, first-order for ellipsoids; all that the painter needs is a good value near the surface.
"""

from __future__ import annotations

import numpy as np


def rotation(rx: float = 0.0, ry: float = 0.0, rz: float = 0.0) -> np.ndarray:
    """Rotation matrix from angles in degrees about the R, A and S axes, applied in this order."""
    ax, ay, az = np.deg2rad([rx, ry, rz])
    cx, sx, cy, sy, cz, sz = np.cos(ax), np.sin(ax), np.cos(ay), np.sin(ay), np.cos(az), np.sin(az)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def ellipsoid(x, y, z, centre, radii, turn: np.ndarray | None = None) -> np.ndarray:
    """Ellipsoid with semi-axes ``radii`` along the columns of ``turn``; first-order distance k(k-1)/|grad|."""
    dx, dy, dz = x - np.float32(centre[0]), y - np.float32(centre[1]), z - np.float32(centre[2])
    if turn is not None:
        t = turn.T.astype(np.float32)
        dx, dy, dz = (
            t[0, 0] * dx + t[0, 1] * dy + t[0, 2] * dz,
            t[1, 0] * dx + t[1, 1] * dy + t[1, 2] * dz,
            t[2, 0] * dx + t[2, 1] * dy + t[2, 2] * dz,
        )
    r = np.asarray(radii, dtype=np.float32)
    u, v, w = dx / r[0], dy / r[1], dz / r[2]
    k = np.sqrt(u * u + v * v + w * w)
    u, v, w = u / r[0], v / r[1], w / r[2]
    slope = np.sqrt(u * u + v * v + w * w)
    return k * (k - 1) / np.maximum(slope, np.float32(1e-6))


def squircle(u: np.ndarray, v: np.ndarray, squareness: float) -> np.ndarray:
    """Radius of the Fernandez-Guasti squircle through (u, v): 1 on the outline; 0 squareness is a circle."""
    uu, vv = u * u, v * v
    total = uu + vv
    inner = total * total - np.float32(4 * squareness**2) * uu * vv
    return np.sqrt(np.float32(0.5) * (total + np.sqrt(np.maximum(inner, 0))))


def smooth_min(a: np.ndarray, b: np.ndarray, blend: float) -> np.ndarray:
    """Union of two shapes with the seam rounded over ``blend`` mm (polynomial smooth minimum)."""
    h = np.clip(np.float32(0.5) + (b - a) / np.float32(2 * blend), 0, 1)
    return b + (a - b) * h - np.float32(blend) * h * (1 - h)


def smooth_max(a: np.ndarray, b: np.ndarray, blend: float) -> np.ndarray:
    """Intersection of two shapes with the edge rounded over ``blend`` mm."""
    return -smooth_min(-a, -b, blend)


def spline(points: np.ndarray, step_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Catmull-Rom curve through ``points`` [N, D] (x, y, z in mm, ...): samples [M, D], arc length [M]."""
    p = np.asarray(points, dtype=np.float64)
    padded = np.vstack([2 * p[0] - p[1], p, 2 * p[-1] - p[-2]])
    pieces = []
    for i in range(len(p) - 1):
        a, b, c, d = padded[i : i + 4]
        n = max(1, int(np.ceil(np.linalg.norm(c[:3] - b[:3]) / step_mm)))
        t = (np.arange(n) / n)[:, None]
        pieces.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    curve = np.vstack([*pieces, p[-1:]])
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(curve[:, :3], axis=0), axis=1))])
    return curve, length


def capsule(x, y, z, a: np.ndarray, b: np.ndarray, ra: float, rb: float) -> np.ndarray:
    """Segment a-b with a radius that goes from ra to rb: distance to the segment minus the radius there."""
    ab = (b - a).astype(np.float32)
    dx, dy, dz = x - np.float32(a[0]), y - np.float32(a[1]), z - np.float32(a[2])
    t = np.clip((dx * ab[0] + dy * ab[1] + dz * ab[2]) / np.float32(max(float(ab @ ab), 1e-6)), 0, 1)
    dx, dy, dz = dx - t * ab[0], dy - t * ab[1], dz - t * ab[2]
    return np.sqrt(dx * dx + dy * dy + dz * dz) - (np.float32(ra) + t * np.float32(rb - ra))
