"""The demo's web page: one file with its pictures inside, for a browser without a network."""

from __future__ import annotations

import base64
import html
import math
from pathlib import Path
from typing import TYPE_CHECKING

from rep3d import __version__
from rep3d.files import write_text

if TYPE_CHECKING:
    from rep3d.demo.run import Demo

TITLES = {
    "overlay": "Slices",
    "render3d": "In three dimensions",
    "mask": "What the kernels look at: a modulation mask",
    "erf": "What one answer depends on: the effective receptive field",
}

_STYLE = """
:root { color-scheme: dark; }
* { box-sizing: border-box; }
body { margin: 0; background: #101418; color: #e8edf2; font: 16px/1.55 system-ui, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 36px 24px 64px; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 6px; }
h2 { font-size: 1.15rem; margin: 44px 0 12px; }
p { margin: 8px 0; }
.quiet { color: #93a1ad; }
.note { display: inline-block; margin: 14px 8px 0 0; padding: 5px 12px; border-radius: 6px; font-size: .9rem;
  background: #33280f; color: #ffcf8a; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(200px, 1fr)); gap: 12px; margin-top: 24px; }
.facts div { background: #181e24; border-radius: 8px; padding: 12px 16px; min-width: 0; }
.facts b { display: block; font-size: 1.05rem; font-weight: 600; overflow-wrap: anywhere; }
.facts span { color: #93a1ad; font-size: .85rem; }
figure { margin: 0; }
figure img { display: block; width: 100%; height: auto; border-radius: 8px; border: 1px solid #232b33; }
figcaption { color: #93a1ad; font-size: .92rem; margin-top: 8px; max-width: 75ch; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; max-width: 760px; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 6px 12px; border-bottom: 1px solid #232b33; white-space: nowrap; }
th { color: #93a1ad; font-weight: 500; font-size: .88rem; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
tfoot td { border-bottom: 0; font-weight: 600; }
.chip { display: inline-block; width: 12px; height: 12px; border-radius: 3px; margin-right: 10px; }
.bar { display: inline-block; width: 90px; height: 6px; border-radius: 3px; background: #232b33; margin-right: 10px;
  vertical-align: middle; }
.bar i { display: block; height: 100%; border-radius: 3px; background: #4cc2ff; }
code { background: #181e24; border-radius: 4px; padding: 1px 6px; font-size: .9em; overflow-wrap: anywhere; }
a { color: #4cc2ff; }
ul { padding-left: 20px; }
footer { margin-top: 52px; padding-top: 16px; border-top: 1px solid #232b33; color: #93a1ad; font-size: .88rem; }
@media (max-width: 640px) { main { padding: 24px 14px 40px; } h1 { font-size: 1.5rem; } .bar { display: none; }
  th, td { padding: 6px 8px; } }
"""


def write_page(path: Path, folder: Path, demo: Demo) -> None:
    """Write index.html, atomically; the pictures are read from ``folder`` and put into the page."""
    write_text(path, page(folder, demo))


def page(folder: Path, demo: Demo) -> str:
    """The page as HTML. Nothing in it is loaded from elsewhere; files of the folder are linked by relative names."""
    task = demo.weights.meta.task
    sections = [
        _figure(folder, demo, "overlay"),
        _figure(folder, demo, "render3d"),
        _table(demo),
        _figure(folder, demo, "mask"),
        _figure(folder, demo, "erf"),
        _files(demo),
        _about(demo),
    ]
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Rep3D demo: {_e(task.title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>{_e(task.title)}</h1>
<p class="quiet">Rep3D segmented {_e(demo.source.description)}.</p>
{_notes(demo)}
{_facts(demo)}
{"".join(sections)}
<footer>Made by Rep3D {_e(__version__)}. Research software, not a medical device.</footer>
</main>
</body>
</html>
"""


def _e(text: object) -> str:
    return html.escape(str(text), quote=True)


def _notes(demo: Demo) -> str:
    notes = ["Research software, not a medical device."]
    if demo.weights.meta.task.key.startswith("phantom-"):
        notes.append("Phantom weights: for trying the software, not for patients.")
    notes += demo.result.warnings
    return "".join(f'<p class="note">{_e(note)}</p>' for note in notes)


def _facts(demo: Demo) -> str:
    meta, settings = demo.weights.meta, demo.result.settings
    grid = demo.source.scan
    size = " × ".join(map(str, grid.shape))
    spacing = " × ".join(f"{s:.3g}" for s in grid.spacing_mm)
    facts = [
        (f"{sum(s.voxels > 0 for s in demo.result.stats)} of {len(demo.result.stats)}", "structures found"),
        (f"{demo.seconds['segment']:.1f} s", f"to segment on {settings['device']}, {settings['precision']}"),
        (size, f"voxels of {spacing} mm"),
        (meta.id, f"weights, sha256 {demo.weights.sha256[:12]}…"),
    ]
    if not math.isnan(demo.mean_dice):
        facts.insert(0, (f"{demo.mean_dice:.3f}", "mean Dice against the truth"))
    return (
        '<div class="facts">' + "".join(f"<div><b>{_e(a)}</b><span>{_e(b)}</span></div>" for a, b in facts) + "</div>"
    )


def _figure(folder: Path, demo: Demo, name: str) -> str:
    if name not in demo.pictures:
        return ""
    file = demo.pictures[name]
    data = base64.b64encode((folder / file).read_bytes()).decode("ascii")
    return (
        f"<h2>{_e(TITLES[name])}</h2>\n"
        f'<figure><a href="{_e(file)}"><img src="data:image/png;base64,{data}" alt="{_e(TITLES[name])}"></a>'
        f"<figcaption>{_e(demo.captions[name])}</figcaption></figure>\n"
    )


def _table(demo: Demo) -> str:
    with_dice = demo.dice is not None
    colours = {label.value: label.color for label in demo.weights.meta.task.labels}
    rows = []
    for s in demo.result.stats:
        r, g, b = colours[s.value]
        mean = "–" if s.mean is None else f"{s.mean:.0f} ± {s.sd:.0f}"
        cells = [f'<td><span class="chip" style="background:rgb({r},{g},{b})"></span>{_e(s.name)}</td>']
        cells += [f"<td>{s.volume_ml:.1f}</td>", f"<td>{s.voxels:,}</td>", f"<td>{mean}</td>"]
        if demo.dice is not None:
            cells.append(_dice_cell(demo.dice[s.value - 1]))
        rows.append("<tr>" + "".join(cells) + "</tr>")
    unit = "HU" if demo.weights.meta.task.modality == "CT" else "intensity"
    heads = ["structure", "volume, mL", "voxels", f"mean {unit} ± SD"] + (["Dice"] if with_dice else [])
    foot = ""
    if with_dice and not math.isnan(demo.mean_dice):
        foot = f"<tfoot><tr><td>Mean</td><td></td><td></td><td></td><td>{demo.mean_dice:.3f}</td></tr></tfoot>"
    return (
        '<h2>Volumes</h2>\n<div class="scroll"><table><thead><tr>'
        + "".join(f"<th>{_e(h)}</th>" for h in heads)
        + "</tr></thead><tbody>"
        + "".join(rows)
        + f"</tbody>{foot}</table></div>\n"
    )


def _dice_cell(dice: float) -> str:
    if math.isnan(dice):
        return "<td>not in view</td>"
    return f'<td><span class="bar"><i style="width:{100 * dice:.0f}%"></i></span>{dice:.3f}</td>'


def _files(demo: Demo) -> str:
    meaning = {
        "scan.nii.gz": "the generated scan",
        "truth.nii.gz": "its exact truth",
        f"{demo.source.name}_seg.nii.gz": "label map on the scan's own grid",
        f"{demo.source.name}_seg.seg.nrrd": "the same as a 3D Slicer segmentation with names, colours and codes",
        f"{demo.source.name}_seg.json": "volumes, settings and versions",
        f"{demo.source.name}_seg.csv": "volumes as a table",
    }
    items = [f'<li><a href="{_e(f)}">{_e(f)}</a>: {_e(m)}</li>' for f, m in meaning.items() if f in demo.files]
    return "<h2>Files</h2>\n<ul>" + "".join(items) + "</ul>\n"


def _about(demo: Demo) -> str:
    meta = demo.weights.meta
    task = meta.task
    stages = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in demo.seconds.items())
    lines = [
        f"{_e(task.purpose)}",
        f"Weights <code>{_e(meta.id)}</code> (licence: {_e(meta.licence)}), trained on {_e(task.dataset['source'])}.",
        f"{_e(task.notes)}" if task.notes else "",
        f"Network <code>{_e(meta.network['name'])}</code>, windows of {' × '.join(map(str, meta.patch))} voxels of "
        f"{' × '.join(f'{s:g}' for s in meta.spacing_mm)} mm. Time: {_e(stages)}.",
        "The same on a scan of your own: <code>rep3d demo --scan SCAN --task TASK</code>; many scans: "
        "<code>rep3d segment FOLDER --task TASK -o RESULTS</code>.",
    ]
    return "<h2>How this was made</h2>\n" + "".join(f"<p>{line}</p>" for line in lines if line)
