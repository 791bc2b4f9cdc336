"""The report as HTML: what was gathered and measured, and nothing that has to be loaded from elsewhere."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rep3d.html_page import bar, document, embedded, fact_tiles, notes, table
from rep3d.html_page import escape as _e
from rep3d.interpret.kernel_table import kernel_row

if TYPE_CHECKING:
    from rep3d.interpret.reach import Interval
    from rep3d.interpret.survey import Survey
    from rep3d.report.gather import Material, Results
    from rep3d.tasks import Task


@dataclass(frozen=True)
class Pictures:
    """Files to be put into the page."""

    curves: Path | None
    kernels: dict[str, Path]
    fields: Path


@dataclass(frozen=True)
class Timings:
    """Rows of ``rep3d.report.timing`` and where they come from."""

    rows: tuple[dict[str, Any], ...]
    source: str


def page(material: Material, found: Survey, timings: Timings | None, pictures: Pictures) -> str:
    """The whole page."""
    task = material.task
    warnings = ["Research software, not a medical device."]
    if task.key.startswith("phantom-"):
        warnings.append("Phantom weights: for trying the software, not for patients.")
    parts = [
        f"<h1>{_e(task.title)}</h1>",
        f'<p class="quiet">Report on <code>{_e(material.file.name)}</code>: {_e(material.subject.name)}. '
        f"{_e(task.purpose)}</p>",
        notes([*warnings, *found.warnings]),
        _facts(material),
        _curves(pictures.curves),
        _results(material.results, task),
        _masks(material, pictures),
        _fields(found, pictures),
        _timings(timings),
        _provenance(material),
    ]
    return document(f"Rep3D report: {task.title}", "\n".join(parts))


def _facts(material: Material) -> str:
    training = material.training
    network = training.get("network") or {}
    config = training.get("config") or {}
    facts = []
    if material.results and material.results.mean is not None:
        facts.append(
            (f"{material.results.mean:.3f}", f"mean Dice, {material.results.cases} {material.results.split} cases")
        )
    facts.append((str(network.get("name", material.subject.origin.get("network", "-"))), "network"))
    if training.get("steps") is not None:
        facts.append((f"{training['steps']:,}", f"steps of {config.get('steps', '?')}, {config.get('optimizer', '?')}"))
    facts.append((" × ".join(map(str, material.subject.patch)), f"voxels of {_times(material.subject.spacing_mm)} mm"))
    return fact_tiles(facts)


def _curves(picture: Path | None) -> str:
    if picture is None:
        return ""
    return _figure("Training", picture, "Loss and learning curves as the run logged them.")


def _figure(title: str, picture: Path, caption: str = "", level: int = 2) -> str:
    below = f"<figcaption>{_e(caption)}</figcaption>" if caption else ""
    return (
        f'<h{level}>{_e(title)}</h{level}>\n<figure><img src="{embedded(picture)}" alt="{_e(title)}">{below}</figure>\n'
    )


def _results(results: Results | None, task: Task) -> str:
    if results is None:
        return (
            '<h2>Results</h2>\n<p class="quiet">No evaluation was given: <code>--results</code> takes the JSON of '
            "<code>rep3d evaluate</code>.</p>"
        )
    rows = []
    for label in task.labels:
        r, g, b = label.color
        dice = results.per_class.get(label.key)
        chip = f'<span class="chip" style="background:rgb({r},{g},{b})"></span>'
        cells = [f"{chip}{_e(label.name)}", "in no case" if dice is None else f"{bar(dice)}{dice:.3f}"]
        cells += [_number(results.lowest.get(label.key)), *(_number(o.get(label.key)) for o in results.others.values())]
        rows.append(cells)
    foot = ["Mean", _number(results.mean), "", *(_number(o.get("mean")) for o in results.others.values())]
    heads = ["structure", "Dice", "lowest case", *results.others]
    return (
        f"<h2>Results</h2>\n{table(heads, rows, foot)}"
        f'<p class="quiet">{results.cases} {_e(results.split)} cases, on each scan\'s own grid, mean over cases; from '
        f"{_e(results.source)}.</p>"
    )


def _masks(material: Material, pictures: Pictures) -> str:
    if material.kernels is None:
        return f'<h2>Masks</h2>\n<p class="quiet">{_e(material.no_kernels)}.</p>'
    rows = []
    for block in material.kernels.blocks:
        row = kernel_row(block)
        within = row["effective"]["energy_within"]
        rows.append(
            [
                _e(row["block"]),
                "×".join(map(str, row["alive"])),
                "-" if row["exponent"] is None else f"{row['exponent']:+.3f}",
                f"{row['moved']['relative']:.2f}",
                f"{row['mask']['radius90']:.1f}",
                f"{row['effective']['effective_radius']:.1f}",
                f"{row['effective']['radius90']:.1f}",
                f"{100 * within['3']:.0f} %" if "3" in within else "-",
            ]
        )
    heads = ["block", "living taps", "a", "‖M-P‖/‖P‖", "r90 of M", "radius of W·M", "r90 of W·M", "within 3 taps"]
    caption = (
        "Prior, what training added to it, mask and kernel in three central planes; hatched taps never met data at "
        "the patch of the training. Right: profiles with distance and their spread."
    )
    figures = "".join(
        _figure(name, path, "" if i else caption, 3) for i, (name, path) in enumerate(pictures.kernels.items())
    )
    return (
        f"<h2>Masks over the large kernels</h2>\n{table(heads, rows)}"
        '<p class="quiet">Radii in taps, of the energy; a is the exponent of the prior.</p>' + figures
    )


def _fields(found: Survey, pictures: Pictures) -> str:
    rows = []
    for s in found.summaries:
        n = s.numbers
        cells = [_interval(n[k]) for k in ("radius20_mm", "radius50_mm", "radius90_mm", "radius99_mm")]
        cells += [_interval(n[k], 100) for k in ("volume90", "negative", "theory_radius")]
        rows.append([_e(s.class_name), str(s.patches), *cells])
    heads = [
        "class",
        "patches",
        "r20 mm",
        "r50 mm",
        "r90 mm",
        "r99 mm",
        "volume90 %",
        "negative %",
        "of theory %",
    ]
    theory = found.theory["logits"]
    size = " × ".join(f"{n * mm:.0f}" for n, mm in zip(theory.extent, found.subject.spacing_mm))
    field = f"The theoretical field is {size} mm wide."
    if not theory.exact:
        field = f"The network was not followed voxel by voxel: the window, {size} mm, stands for the theoretical field."
    caption = f"Mean over patches of {found.source}, 95 % bootstrap intervals. {field}"
    return _figure("What an answer depends on: effective receptive fields", pictures.fields, caption) + table(
        heads, rows
    )


def _interval(found: Interval, scale: float = 1.0) -> str:
    if found.low is None or found.high is None:
        return f"{scale * found.mean:.3g}"
    return f'{scale * found.mean:.3g}<br><span class="quiet">{scale * found.low:.3g} to {scale * found.high:.3g}</span>'


def _timings(timings: Timings | None) -> str:
    if timings is None:
        return ""
    rows = []
    for row in timings.rows:
        direct = row["direct_ms"]
        rows.append(
            [
                f"stage {row['stage']}" if row["stage"] else f"{row['channels']} channels",
                str(row["channels"]),
                "×".join(map(str, row["size"])),
                "×".join(map(str, row["kernel"])),
                f"{row['auto_ms']:.2f}",
                "-" if direct is None else f"{direct:.2f}",
                "-" if direct is None else f"{direct / row['auto_ms']:.1f}×",
            ]
        )
    heads = ["layer", "channels", "map", "kernel", "operator, ms", "framework, ms", "faster"]
    return (
        f"<h2>Operator</h2>\n{table(heads, rows)}"
        f'<p class="quiet">One forward of a depthwise convolution; {_e(timings.source)}.</p>'
    )


def _provenance(material: Material) -> str:
    rows = [[_e(k), f"<code>{_e(v)}</code>"] for k, v in material.subject.origin.items() if isinstance(v, str)]
    rows += [[_e(k), _e(v)] for k, v in material.about.items() if v]
    rows.append(["task", _e(material.task.key)])
    rows += [["data", _e(material.task.dataset.get("source", "-"))]]
    for key in ("command", "machine"):
        if material.card.get(key):
            rows.append([_e(key), _e(material.card[key])])
    cells = "".join(f"<p>{name}: {value}</p>" for name, value in rows)
    failures = "".join(f"<li>{_e(text)}</li>" for text in material.card.get("known_failures", ()))
    known = f"<h2>Known failures</h2>\n<ul>{failures}</ul>" if failures else ""
    settings = json.dumps(material.training, indent=1, ensure_ascii=False)
    return (
        f"{known}<h2>Provenance</h2>\n{cells}<details><summary>all settings of the training</summary>"
        f'<pre class="scroll">{_e(settings)}</pre></details>'
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _times(values: tuple[float, ...]) -> str:
    return " × ".join(f"{v:g}" for v in values)
