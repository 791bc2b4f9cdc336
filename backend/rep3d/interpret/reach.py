"""How far receptive fields reach, as numbers: radii, volume shares, profile, Gaussian, over many patches with CIs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import curve_fit

from rep3d.errors import BadInput
from rep3d.interpret.erf import ReceptiveField, distances_mm
from rep3d.interpret.masks import radius_holding
from rep3d.interpret.theory import TheoreticalField

FRACTIONS = (0.2, 0.5, 0.9, 0.99)
RESAMPLES = 2000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Reach:
    """One receptive field in numbers, all from the raw |gradient|: nothing is taken the logarithm of.

    Attributes:
        numbers: ``radius20_mm`` .. ``radius99_mm``, radius of the ball that holds the share; ``volume20`` ..
            ``volume99``, smallest share of the patch's voxels that holds it; ``sigma_mm``, of the Gaussian fitted to
            the profile, and ``fit_r2``; ``sigma_moment_mm``, root of a third of the mean squared distance;
            ``negative``, share of the gradient from inputs that lower the logit; with a theoretical field
            ``theory_radius``, radius90 over that of a uniform field in the theoretical box, and ``theory_volume``,
            volume90 over the box's share of the patch.
        density: mean |gradient| in shells of ``shell_mm``, as a share of the whole a voxel (nan: no voxel).
        cumulative: share of the gradient up to the outer edge of each shell.
    """

    numbers: dict[str, float]
    density: np.ndarray
    cumulative: np.ndarray
    shell_mm: float


def measure(field: ReceptiveField, theory: TheoreticalField | None = None) -> Reach:
    """Measure one field. Raises BadInput when its gradient is zero everywhere."""
    amount = field.gradient.astype(np.float64)
    total = amount.sum()
    if not total > 0:
        raise BadInput("the output depends on no voxel of the patch: its gradient is zero everywhere")
    amount /= total
    distance = distances_mm(amount.shape, field.voxel, field.spacing_mm)
    shell_mm = max(field.spacing_mm)
    shell = np.floor(distance / shell_mm + 0.5).astype(int).ravel()
    weight, count = np.bincount(shell, amount.ravel()), np.bincount(shell)
    with np.errstate(invalid="ignore"):
        density = weight / count
    numbers = {f"radius{100 * f:.0f}_mm": radius_holding(distance, amount, f) for f in FRACTIONS}
    ordered = np.cumsum(np.sort(amount, axis=None)[::-1])
    for f in FRACTIONS:
        held = int(np.searchsorted(ordered, f * (1 - 1e-12))) + 1
        numbers[f"volume{100 * f:.0f}"] = min(held, amount.size) / amount.size
    numbers["sigma_mm"], numbers["fit_r2"] = fit_gaussian(distance, amount)
    numbers["sigma_moment_mm"] = float(np.sqrt((amount * distance**2).sum() / 3))
    if field.negative is not None:
        numbers["negative"] = float(field.negative.sum(dtype=np.float64) / total)
    if theory is not None:
        box = np.zeros(amount.shape)
        box[tuple(slice(a, b) for a, b in theory.box)] = 1
        uniform = radius_holding(distance, box, 0.9)
        numbers["theory_radius"] = numbers["radius90_mm"] / uniform if uniform > 0 else 1.0
        numbers["theory_volume"] = numbers["volume90"] / theory.share
    return Reach(numbers, density, np.cumsum(weight), shell_mm)


def fit_gaussian(distance: np.ndarray, amount: np.ndarray) -> tuple[float, float]:
    """Standard deviation of ``A exp(-r^2 / 2 s^2)`` fitted to the voxels by least squares, and R^2 of the fit.

    Voxels at the same distance are fitted by their mean with their number as weight, which is the same fit. A field
    without extent (one voxel) has a deviation of 0.
    """
    radius, group = np.unique(np.round(distance, 6), return_inverse=True)
    count = np.bincount(group.ravel()).astype(np.float64)
    mean = np.bincount(group.ravel(), amount.ravel().astype(np.float64)) / count
    start = np.sqrt(max((amount * distance**2).sum() / max(amount.sum(), 1e-300) / 3, 0))
    if start <= 0:
        return 0.0, 1.0
    scale = mean.max()
    # The fit may be far narrower than the second moment when the field has a sharp peak on a wide floor.
    best: tuple[float, float] | None = None
    for guess in (start, start / 4):
        try:
            (height, sigma), _ = curve_fit(
                lambda r, a, s: a * np.exp(-(r**2) / (2 * s**2)),
                radius,
                mean / scale,
                p0=(1.0, guess),
                sigma=1 / np.sqrt(count),
                maxfev=2000,
            )
        except RuntimeError:  # no convergence from here
            continue
        left = float((count * (mean / scale - height * np.exp(-(radius**2) / (2 * sigma**2))) ** 2).sum())
        if best is None or left < best[1]:
            best = (abs(float(sigma)), left)
    spread = float((count * (mean / scale - np.average(mean / scale, weights=count)) ** 2).sum())
    if best is None or spread <= 0 or best[0] > 2 * radius[-1]:  # a flat field has no Gaussian of the patch's size
        return float("nan"), float("nan")
    return best[0], 1 - best[1] / spread


@dataclass(frozen=True)
class Interval:
    """A mean over patches and its bootstrap confidence interval; ``low`` and ``high`` are None for a single patch."""

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Summary:
    """Many fields of one network: ``numbers`` by name, ``cumulative`` and ``density`` by shell as [3, shells] (mean,
    low, high), ``map`` [D, H, W]: mean |gradient| with the voxel in the middle, as a share of the whole."""

    name: str
    depth: str
    class_name: str
    patches: int
    numbers: dict[str, Interval]
    shell_mm: float
    density: np.ndarray
    cumulative: np.ndarray
    map: np.ndarray
    negative_map: np.ndarray
    spacing_mm: tuple[float, float, float]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form, without the maps."""
        radii = np.arange(self.density.shape[1]) * self.shell_mm
        return {
            "name": self.name,
            "depth": self.depth,
            "class": self.class_name,
            "patches": self.patches,
            "numbers": {k: {n: _finite(x) for n, x in vars(v).items()} for k, v in self.numbers.items()},
            "profile": {
                "radius_mm": radii.tolist(),
                "density": _listed(self.density),
                "cumulative": _listed(self.cumulative),
            },
        }


def _listed(rows: np.ndarray) -> dict[str, list[float | None]]:
    return {
        name: [float(f"{v:.6g}") if np.isfinite(v) else None for v in row]
        for name, row in zip(("mean", "low", "high"), rows)
    }


def summarise(
    name: str,
    depth: str,
    class_name: str,
    pairs: Sequence[tuple[ReceptiveField, Reach]],
    *,
    seed: int = 0,
) -> Summary:
    """Mean and confidence interval of each number over the patches, by resampling patches with replacement.

    Raises ValueError without any patch.
    """
    if not pairs:
        raise ValueError("no patch to summarise")
    rng = np.random.default_rng(seed)
    reaches = [reach for _, reach in pairs]
    chosen = rng.integers(0, len(reaches), (RESAMPLES, len(reaches)))
    numbers = {}
    for key in reaches[0].numbers:
        values = np.array([r.numbers[key] for r in reaches])
        low, mean, high = _bootstrap(values[:, None], chosen)[:, 0]  # nan where one of the patches has none
        alone = len(reaches) == 1
        numbers[key] = Interval(float(mean), None if alone else float(low), None if alone else float(high))
    shells = max(len(r.cumulative) for r in reaches)
    cumulative = np.array([np.pad(r.cumulative, (0, shells - len(r.cumulative)), mode="edge") for r in reaches])
    density = np.array([np.pad(r.density, (0, shells - len(r.density)), constant_values=0) for r in reaches])
    order = [1, 0, 2]
    return Summary(
        name,
        depth,
        class_name,
        len(reaches),
        numbers,
        reaches[0].shell_mm,
        _bootstrap(np.nan_to_num(density), chosen)[order],
        _bootstrap(cumulative, chosen)[order],
        _centred([(f.gradient, f) for f, _ in pairs]),
        _centred([(f.gradient if f.negative is None else f.negative, f) for f, _ in pairs]),
        pairs[0][0].spacing_mm,
    )


def _bootstrap(values_NK: np.ndarray, chosen_RN: np.ndarray) -> np.ndarray:
    """[low, mean, high] of each column."""
    means = np.stack([values_NK[rows].mean(0) for rows in chosen_RN])
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(means, (tail, 100 - tail), axis=0)
    return np.stack([low, values_NK.mean(0), high])


def _finite(value: float | None) -> float | None:
    return value if value is not None and np.isfinite(value) else None


def _centred(pairs: Sequence[tuple[np.ndarray, ReceptiveField]]) -> np.ndarray:
    """Mean of the maps, each moved so that its voxel lies in the middle, as shares of the whole gradient."""
    size = pairs[0][0].shape
    out = np.zeros(size, np.float64)
    for values, field in pairs:
        shift = [n // 2 - v for n, v in zip(size, field.voxel)]
        source = tuple(slice(max(0, -s), min(n, n - s)) for s, n in zip(shift, size))
        target = tuple(slice(max(0, s), min(n, n + s)) for s, n in zip(shift, size))
        out[target] += values[source] / field.gradient.sum(dtype=np.float64)
    return (out / len(pairs)).astype(np.float32)
