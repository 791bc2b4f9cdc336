"""A comparison as tables: Markdown and LaTeX for people, CSV and JSON for programs."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rep3d.evaluation.compare import MEAN, Comparison, Summary, Test
from rep3d.files import write_text
from rep3d.shown_text import CsvWriter

FORMAT, VERSION = "rep3d-comparison", 1


def p_text(p: float) -> str:
    """A p-value to two digits; "<0.0001" below that, "-" for none."""
    if math.isnan(p):
        return "-"
    return "<0.0001" if p < 1e-4 else f"{p:.2g}" if p < 0.1 else f"{p:.2f}"


def number(value: float, signed: bool = False) -> str:
    """Three decimals below 10 (scores and mm), fewer above; one more for differences (``signed``); "-" for nan."""
    if math.isnan(value):
        return "-"
    digits = signed + (3 if abs(value) < 10 else 2 if abs(value) < 100 else 1)
    return f"{value:{'+' if signed else ''}.{digits}f}"


def best_of(comparison: Comparison, structure: str) -> set[str]:
    """Names of the results with the best mean of a structure (several if equal)."""
    means = {s.name: s.mean.mean for s in comparison.summaries if s.structure == structure}
    known = {name: mean for name, mean in means.items() if not math.isnan(mean)}
    if not known:
        return set()
    best = max(known.values()) if comparison.metric.higher_is_better else min(known.values())
    return {name for name, mean in known.items() if mean == best}


def _by_structure(comparison: Comparison) -> dict[str, list[Summary]]:
    return {key: [s for s in comparison.summaries if s.structure == key] for key in comparison.structures}


def _heading(comparison: Comparison) -> str:
    metric = comparison.metric
    unit = f" ({metric.unit})" if metric.unit else ""
    better = "higher" if metric.higher_is_better else "lower"
    return f"{metric.title}{unit}, {better} is better; {comparison.task_key}, {len(comparison.cases)} cases"


def as_markdown(comparison: Comparison) -> str:
    """Means with intervals, tests, and what is to be said of them."""
    level = f"{100 * comparison.options.level:g} %"
    lines = [f"# {_heading(comparison)}", ""]
    lines += [f"> **Warning.** {text}\n" for text in comparison.warnings]
    lines += [f"Mean [{level} interval]; the best mean of a row is bold.", ""]
    lines += ["| structure | n | " + " | ".join(map(_md, comparison.names)) + " |"]
    lines += ["|---|---|" + "---|" * len(comparison.names)]
    for key, row in _by_structure(comparison).items():
        best = best_of(comparison, key)
        cells = [f"{'**' if s.name in best else ''}{number(s.mean.mean)}{'**' if s.name in best else ''} "
                 f"[{number(s.mean.low)}, {number(s.mean.high)}]" for s in row]  # fmt: skip
        lines.append(f"| {_md(key)} | {row[0].cases} | " + " | ".join(cells) + " |")
    lines += ["", "| structure | first | second | n | median difference | effect r | p | p (Holm) | better |"]
    lines += ["|---|---|---|---|---|---|---|---|---|"]
    for t in comparison.tests:
        d = t.difference
        shown = f"{number(d.median, True)} [{number(d.low, True)}, {number(d.high, True)}]"
        lines.append(
            f"| {_md(t.structure)} | {_md(t.first)} | {_md(t.second)} | {t.wilcoxon.differing} | {shown} | "
            f"{_effect(t)} | {p_text(t.wilcoxon.p)} | {p_text(t.p_holm)} | {_md(t.better) or '-'} |"
        )
    lines += ["", "n of a test: pairs that differ.", ""]
    lines += [f"- {note}" for note in comparison.notes]
    if comparison.dropped:
        lines += ["", f"Cases left out ({len(comparison.dropped)}):", ""]
        lines += [f"- {_md(case)}: {_md(why)}" for case, why in comparison.dropped.items()]
    return "\n".join(lines) + "\n"


def _md(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("*", "\\*").replace("_", "\\_")


def _effect(test: Test) -> str:
    return "-" if math.isnan(test.effect) else f"{test.effect:+.2f}"


_TEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_TEX |= {c: "\\" + c for c in "&%$#_{}"}


def tex(text: str) -> str:
    """Text with LaTeX's special characters escaped."""
    return "".join(_TEX.get(c, c) for c in text)


def as_latex(comparison: Comparison) -> str:
    r"""Two tables for the package booktabs, one of means and one of tests; to be used with ``\input``."""
    level = f"{100 * comparison.options.level:g}"
    caption = tex(_heading(comparison)) + rf". Mean [{level}\,\% bootstrap interval]; the best mean of a row is bold."
    rows = []
    for key, row in _by_structure(comparison).items():
        best = best_of(comparison, key)
        cells = []
        for s in row:
            mean = number(s.mean.mean)
            mean = rf"\textbf{{{mean}}}" if s.name in best else mean
            cells.append(f"{mean} [{number(s.mean.low)}, {number(s.mean.high)}]")
        rows += [r"\midrule"] * (key == MEAN) + [" & ".join([tex(key), str(row[0].cases), *cells]) + r" \\"]
    first = _table_tex(["structure", "$n$", *map(tex, comparison.names)], "lr" + "c" * len(comparison.names), rows)
    rows = []
    for t in comparison.tests:
        d = t.difference
        shown = f"${number(d.median, True)}$ [${number(d.low, True)}$, ${number(d.high, True)}$]"
        cells = [t.structure, t.first, t.second, str(t.wilcoxon.differing)]
        p, p_holm = (p_text(v).replace("<", "$<$") for v in (t.wilcoxon.p, t.p_holm))
        rows.append(" & ".join([*map(tex, cells), shown, f"${_effect(t)}$", p, p_holm]) + r" \\")
    head = ["structure", "first", "second", "$n$", "median difference", "$r$", "$p$", r"$p_\mathrm{Holm}$"]
    notes = " ".join(tex(note) for note in comparison.notes)
    warning = "".join(f"% WARNING: {text}\n" for text in comparison.warnings)
    return warning + "\n".join(
        [
            "% Made by `rep3d compare`; needs \\usepackage{booktabs}.",
            *_float(first, caption),
            "",
            *_float(_table_tex(head, "lllrcrrr", rows), notes),
            "",
        ]
    )


def _table_tex(head: Sequence[str], columns: str, rows: Sequence[str]) -> list[str]:
    top = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", " & ".join(head) + r" \\", r"\midrule"]
    return [*top, *rows, r"\bottomrule", r"\end{tabular}"]


def _float(table: list[str], caption: str) -> list[str]:
    return [r"\begin{table}", r"\centering\small", *table, rf"\caption{{{caption}}}", r"\end{table}"]


def _csv(rows: list[dict[str, Any]]) -> str:
    out = io.StringIO()
    writer = CsvWriter(out)
    writer.writerow(rows[0])
    writer.writerows([_plain(row[name]) for name in rows[0]] for row in rows)
    return out.getvalue()


def _plain(value: Any) -> Any:
    """nan as an empty cell, numbers in full."""
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else value


def summary_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """One dict for each result and structure."""
    return [
        {
            "result": s.name, "structure": s.structure, "cases": s.cases,
            "mean": s.mean.mean, "low": s.mean.low, "high": s.mean.high,
            "q25": s.quartiles[0], "median": s.quartiles[1], "q75": s.quartiles[2],
        }
        for s in comparison.summaries
    ]  # fmt: skip


def test_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """One dict for each test."""
    return [
        {
            "structure": t.structure, "first": t.first, "second": t.second, "pairs": t.wilcoxon.pairs,
            "zeros": t.wilcoxon.zeros, "tied": t.wilcoxon.tied, "statistic": t.wilcoxon.statistic,
            "median_difference": t.difference.median, "low": t.difference.low, "high": t.difference.high,
            "rank_biserial": t.effect, "p": t.wilcoxon.p, "p_holm": t.p_holm, "method": t.wilcoxon.method,
            "smallest_p": t.wilcoxon.smallest_p, "better": t.better,
        }
        for t in comparison.tests
    ]  # fmt: skip


def value_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """One dict for each case and structure, a column for each result."""
    return [
        {"case": case, "structure": key, **{name: float(comparison.values[name][i, j]) for name in comparison.names}}
        for i, case in enumerate(comparison.cases)
        for j, key in enumerate(comparison.structures)
    ]


def as_dict(comparison: Comparison, **more: Any) -> dict[str, Any]:
    """All of it, JSON-able; nan is null. ``more``: further entries, such as provenance."""
    finite = lambda rows: [{k: None if _plain(v) == "" and v != "" else v for k, v in r.items()} for r in rows]  # noqa: E731
    return {
        "format": FORMAT,
        "version": VERSION,
        "task": comparison.task_key,
        "metric": asdict(comparison.metric),
        "options": asdict(comparison.options),
        "results": list(comparison.names),
        "cases": list(comparison.cases),
        "dropped": comparison.dropped,
        "summaries": finite(summary_rows(comparison)),
        "tests": finite(test_rows(comparison)),
        "family": comparison.family,
        "values": finite(value_rows(comparison)),
        "notes": list(comparison.notes),
        "warnings": list(comparison.warnings),
        **more,
    }


def write_tables(folder: Path, comparison: Comparison, **more: Any) -> list[Path]:
    """Write comparison.md, .tex and .json, summary.csv, tests.csv and values.csv, each atomically; returns the paths.

    Raises OutputFailed.
    """
    texts = {
        "comparison.md": as_markdown(comparison),
        "comparison.tex": as_latex(comparison),
        "summary.csv": _csv(summary_rows(comparison)),
        "tests.csv": _csv(test_rows(comparison)),
        "values.csv": _csv(value_rows(comparison)),
        "comparison.json": json.dumps(as_dict(comparison, **more), indent=1, ensure_ascii=False) + "\n",
    }
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts]
