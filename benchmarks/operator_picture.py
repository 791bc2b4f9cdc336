"""The picture of ``operator.py``: cost against kernel size, size of the maps and channels, one line a contestant."""

from __future__ import annotations

from pathlib import Path

LINES = {
    "aten": ("tab:red", "-"),
    "torch.fft": ("tab:orange", "-"),
    "torch.fft, kept spectrum": ("tab:orange", "--"),
    "fft-conv-pytorch": ("tab:brown", "-"),
    "fft": ("tab:cyan", ":"),
    "matmul": ("tab:green", ":"),
    "hybrid": ("tab:purple", ":"),
    "auto": ("black", "-"),
}
TITLES = {
    "kernel": "48 channels of 24^3: taps along an axis",
    "size": "48 channels, 21^3 taps: samples along an axis",
    "channels": "24^3, 21^3 taps: channels",
}
PLACE = {"channels": 0, "size": 1, "kernel": 2}


def draw(rows: list[dict], sweeps: dict[str, list[tuple[int, int, int]]], path: Path) -> None:
    """Two rows of panels, forward with a constant weight above forward and backward; all axes logarithmic."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    found = {(row["channels"], row["size"], row["kernel"]): row for row in rows}
    figure, panels = plt.subplots(2, len(sweeps), figsize=(13, 7.5), layout="constrained")
    for line, (key, words) in enumerate(
        (
            ("forward_constant_weight_ms", "forward, constant weight"),
            ("forward_backward_ms", "forward and backward"),
        )
    ):
        for column, (along, points) in enumerate(sweeps.items()):
            panel = panels[line][column]
            for name, (color, style) in LINES.items():
                known = [p for p in points if name in found[p][key]]
                places = [p[PLACE[along]] for p in known]
                times = [found[p][key][name] for p in known]
                if known:
                    width = 2.2 if name == "auto" else 1.2
                    panel.plot(places, times, style, color=color, lw=width, marker="o", ms=3, label=name)
            panel.set_xscale("log", base=2)
            panel.set_yscale("log")
            ticks = [p[PLACE[along]] for p in points]
            panel.set_xticks(ticks, [str(t) for t in ticks])
            panel.minorticks_off()
            panel.grid(alpha=0.3)
            panel.set_ylabel(f"{words}, ms" if column == 0 else "")
            panel.set_title(TITLES[along] if line == 0 else "", fontsize=10)
    panels[0][0].legend(fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
