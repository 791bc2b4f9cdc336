"""Training curves for a model card: loss and learning rate, validation Dice of every structure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rep3d.errors import BadInput
from rep3d.figures import style
from rep3d.figures.masks import key

Record = dict[str, Any]


def read_records(run: str | Path) -> list[Record]:
    """Records of a run of ``rep3d train`` from its folder. Raises BadInput when there are none."""
    from rep3d.training.logs import read_log

    path = Path(run) / "log.jsonl"
    if not path.is_file():
        raise BadInput(f"{path}: there is no training log", "Give the folder of a run of `rep3d train`.")
    records = read_log(path)
    if not records:
        raise BadInput(f"{path}: the training log holds no records yet")
    return records


def curves(path: str | Path, records: Sequence[Record], *, title: str = "Training", subtitle: str = "") -> None:
    """Draw the curves of records as ``rep3d train`` logs them; PNG, written atomically.

    Args:
        records: dicts with step and kind "train" (loss, lr) or "val" (dice and one value a structure).
    """
    train = [r for r in records if r.get("kind") == "train" and _finite(r.get("loss"))]
    val = [r for r in records if r.get("kind") == "val" and _finite(r.get("dice"))]
    made = style.figure(1600, 620)
    style.heading(made, title, subtitle)
    ax = style.plot_axes(made, (96, 76, 640, 430), "step", "loss")
    steps, losses = [r["step"] for r in train], [r["loss"] for r in train]
    if losses:
        ax.plot(steps, losses, color=style.ACCENT, linewidth=0.8, alpha=0.45)
        ax.plot(steps, _smooth(losses), color=style.ACCENT, linewidth=1.8, label="loss")
        key(ax)
    ax = style.plot_axes(made, (850, 76, 722, 430), "step", "validation Dice")
    names = [k for k in (val[0] if val else {}) if k not in _OTHER]
    for i, name in enumerate(names):
        points = [(r["step"], r[name]) for r in val if _finite(r.get(name))]
        colour = style.SERIES[i % len(style.SERIES)]
        line = "-" if i < len(style.SERIES) else ":"
        if points:
            ax.plot(*zip(*points), line, color=colour, linewidth=1.1, alpha=0.85, label=name)
    if val:
        ax.plot([r["step"] for r in val], [r["dice"] for r in val], color="white", linewidth=2.2, label="mean")
        best = max(val, key=lambda r: r["dice"])
        ax.plot(best["step"], best["dice"], "o", color="white", markersize=5)
        ax.set_title(f"best mean {best['dice']:.3f} at step {best['step']}", color=style.MUTED, fontsize=8, loc="right")
        ax.set_ylim(max(0, min(r["dice"] for r in val) - 0.25), 1)
        key(ax, ncols=2 if len(names) > 6 else 1, loc="lower right")
    style.save(made, path)


_OTHER = ("step", "kind", "loss", "lr", "dice", "seconds", "eta_s")


def _smooth(values: Sequence[float]) -> list[float]:
    """Running mean over about a fortieth of the run."""
    reach = max(1, len(values) // 80)
    windows = (values[max(0, i - reach) : i + reach + 1] for i in range(len(values)))
    return [sum(w) / len(w) for w in windows]


def _finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
