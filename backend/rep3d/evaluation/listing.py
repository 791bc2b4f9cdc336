"""A result as text: rows for the screen, Markdown for people, CSV for programs."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rep3d.errors import BadInput
from rep3d.evaluation.results import METRICS, OVERLAP_METRICS
from rep3d.files import write_text
from rep3d.shown_text import CsvWriter

MEAN = "mean"
#: metric -> column heading; {tol} is the tolerance of the NSD.
HEADINGS = {
    "dice": "Dice",
    "nsd": "NSD {tol}",
    "hd95_mm": "HD95 mm",
    "asd_mm": "ASD mm",
    "volume_error_ml": "vol. error ml",
    "volume_error_percent": "vol. error %",
}
ON_SCREEN = ("dice", "nsd", "hd95_mm", "volume_error_ml")
MOST_WARNINGS = 5  # of files, that a table repeats


def heading(record: Mapping[str, Any], metric: str) -> str:
    """The heading of a metric's column, with the tolerance where all structures have one."""
    tolerances = set(record["settings"]["tolerance_mm"].values())
    tol = f"{tolerances.pop():g} mm" if len(tolerances) == 1 else "(own tolerances)"
    return HEADINGS[metric].format(tol=tol)


def figure(value: float | None, digits: int = 3) -> str:
    """0.873, or a dash where there is no value."""
    return "-" if value is None else f"{value:.{digits}f}"


def cell(block: Mapping[str, Any]) -> str:
    """A mean with its interval, "0.873 [0.861, 0.884]"; "-" without a value."""
    if block["mean"] is None:
        return "-"
    digits = 3 if abs(block["mean"]) < 100 else 1
    return f"{figure(block['mean'], digits)} [{figure(block['low'], digits)}, {figure(block['high'], digits)}]"


def narrow_cell(block: Mapping[str, Any], metric: str) -> str:
    """The same in two short lines; mm and ml with two decimals."""
    if block["mean"] is None:
        return "-"
    digits = 3 if metric in OVERLAP_METRICS else 2 if abs(block["mean"]) < 100 else 1
    return f"{figure(block['mean'], digits)}\n{figure(block['low'], digits)}..{figure(block['high'], digits)}"


def blocks(record: Mapping[str, Any], grid: str, metric: str, empty: str = "ignore") -> dict[str, Mapping[str, Any]]:
    """Label key, and "mean" -> mean, interval and counts of a metric."""
    found = record["summary"][grid]["metrics"][metric][empty]
    return {**found["per_class"], MEAN: found}


def remarks(record: Mapping[str, Any]) -> list[str]:
    """What has to be said beside the table, a sentence each: conventions, what is undefined, what is missing."""
    native = record["summary"]["native"]["metrics"]
    ignore, one = (native["dice"][convention] for convention in ("ignore", "one"))
    lines = [
        f"Mean Dice {figure(ignore['mean'])} where a structure that neither label map has is not counted (ignore), "
        f"{figure(one['mean'])} where it counts as 1 (one). Intervals: 95 %, bootstrap over cases."
    ]
    undefined = {key: block["undefined"] for key, block in ignore["per_class"].items() if block["undefined"]}
    if undefined:
        named = ", ".join(f"{key} {count}" for key, count in undefined.items())
        lines.append(
            "Distances are undefined where only one label map has the structure, and are not in their means "
            f"({named}); Dice and NSD are 0 there."
        )
    lines += made_by(record)
    if record.get("missing"):
        lines.append(f"{len(record['missing'])} cases have no prediction and are not in the means.")
    done, there = len(record["cases"]), record["split_cases"]
    if done + len(record.get("missing") or ()) < there:
        lines.append(f"These are {done} of {there} cases.")
    rules = record.get("postprocess")
    if rules and rules["learned_on_these_cases"]:
        lines.append(
            f"The post-processing was learned on {rules['learned_on_these_cases']} of these cases: its gain here is "
            "too good."
        )
    told = {text: None for row in record["cases"] for text in row.get("warnings", ())}
    lines += [f"warning: {text}" for text in list(told)[:MOST_WARNINGS]]
    if len(told) > MOST_WARNINGS:
        lines.append(f"warning: {len(told) - MOST_WARNINGS} more like these are in the result file")
    if record["same_data"] is False:
        lines.append(
            "warning: these are not the files, or not the split, of the training: cases may have been trained on"
        )
    return lines


def made_by(record: Mapping[str, Any]) -> list[str]:
    """Which engine segmented the cases, and in which views, where a network did; a sentence each."""
    engines = {row["engine"]: None for row in record["cases"] if row.get("engine")}
    if not engines:
        return []
    settings = record["settings"]
    asked = "" if settings["engine"] == "auto" else "; `rep3d segment` takes the faster engine unless told --engine"
    lines = [f"Segmented by {' and '.join(engines)} on {settings['device']} in {settings['precision']}{asked}."]
    views = {row["tta"]: None for row in record["cases"] if row.get("tta")}
    if views:
        how = {"mirror": "mirrored copies, as the weights were trained", "shift": "copies shifted by some voxels"}
        lines.append(f"Mean over {' and '.join(how[view] for view in views)} of each window (--tta).")
    return lines


def rule_rows(record: Mapping[str, Any]) -> list[list[str]]:
    """For results with post-processing: structure, Dice without, Dice with, gain, rule."""
    if not record.get("postprocess"):
        return []
    before, after = (blocks(record, grid, "dice", "one") for grid in ("native", "postprocessed"))
    rules = {**record["postprocess"]["rules"], MEAN: ""}
    rows = []
    for key in before:
        a, b = before[key]["mean"], after[key]["mean"]
        rows.append([key, cell(before[key]), cell(after[key]), f"{b - a:+.4f}", rules[key]])
    return rows


def as_markdown(record: Mapping[str, Any]) -> str:
    """The result as Markdown: one table for each grid, post-processing side by side, remarks."""
    what = f"{record['task']}, {record['split']}" if record["split"] else record["task"]
    lines = [f"# {record['name']}: {what}, {len(record['cases'])} cases", ""]
    for grid in record["summary"]:
        names = {"native": "On the scan's own grid", "network": "On the network's grid"}
        lines += [f"## {names.get(grid, 'With post-processing')}", ""]
        columns = {metric: blocks(record, grid, metric) for metric in HEADINGS}
        lines.append("| structure | " + " | ".join(heading(record, m) for m in columns) + " | cases | undefined |")
        lines.append("|---|" + "---|" * (len(columns) + 2))
        for key, block in columns["dice"].items():
            counts = f"{block['cases']} | {block.get('undefined', '')}"
            lines.append(f"| {key} | " + " | ".join(cell(c[key]) for c in columns.values()) + f" | {counts} |")
        lines.append("")
    if rows := rule_rows(record):
        lines += ["## What post-processing changes (Dice, absent structures count as 1)", ""]
        lines += ["| structure | without | with | gain | rule |", "|---|---|---|---|---|"]
        lines += ["| " + " | ".join(row) + " |" for row in rows] + [""]
    return "\n".join([*lines, *(f"{text}\n" for text in remarks(record))])


def as_csv(record: Mapping[str, Any]) -> str:
    """One line for each case, grid and structure, with every metric; undefined ones are empty."""
    out = io.StringIO()
    writer = CsvWriter(out)
    writer.writerow(["case", "grid", "structure", *METRICS])
    for row in record["cases"]:
        for grid, by_label in row["metrics"].items():
            for key, values in by_label.items():
                numbers = ("" if values[m] is None else values[m] for m in METRICS)
                writer.writerow([row["id"], grid, key, *numbers])
    return out.getvalue()


def check_table(path: Path) -> None:
    """Raise BadInput unless the name ends with .md or .csv."""
    if path.suffix.lower() not in (".md", ".csv"):
        raise BadInput(f"--table {path} ends with neither .md nor .csv", "Choose one of them.")


def write_table(path: Path, record: Mapping[str, Any]) -> None:
    """Write the result as Markdown (.md) or CSV (.csv), atomically. Raises BadInput, OutputFailed."""
    check_table(path)
    write_text(path, as_markdown(record) if path.suffix.lower() == ".md" else as_csv(record))
