"""The demo's web page: one file with its pictures inside, for a browser without a network."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from rep3d.files import write_text
from rep3d.html_page import bar, document, embedded, fact_tiles
from rep3d.html_page import escape as _e
from rep3d.html_page import notes as note_lines

if TYPE_CHECKING:
    from rep3d.demo.run import Demo

TITLES = {
    "overlay": "Slices",
    "render3d": "In three dimensions",
    "mask": "What the kernels look at: a modulation mask",
    "erf": "What one answer depends on: the effective receptive field",
}


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
    body = f"""<h1>{_e(task.title)}</h1>
<p class="quiet">Rep3D segmented {_e(demo.source.description)}.</p>
{_notes(demo)}
{_facts(demo)}
{"".join(sections)}"""
    return document(f"Rep3D demo: {task.title}", body)


def _notes(demo: Demo) -> str:
    notes = ["Research software, not a medical device."]
    if demo.weights.meta.task.key.startswith("phantom-"):
        notes.append("Phantom weights: for trying the software, not for patients.")
    notes += demo.result.warnings
    return note_lines(notes)


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
    return fact_tiles(facts)


def _figure(folder: Path, demo: Demo, name: str) -> str:
    if name not in demo.pictures:
        return ""
    file = demo.pictures[name]
    return (
        f"<h2>{_e(TITLES[name])}</h2>\n"
        f'<figure><a href="{_e(file)}"><img src="{embedded(folder / file)}" alt="{_e(TITLES[name])}"></a>'
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
    return f"<td>{bar(dice)}{dice:.3f}</td>"


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
