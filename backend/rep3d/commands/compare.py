"""``rep3d compare``: results of several networks or settings on the same cases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from rep3d.files import OVERWRITE_HELP, check_free, sha256_file

if TYPE_CHECKING:
    from rep3d.evaluation.compare import Comparison
    from rep3d.evaluation.results import EvaluationResult


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("compare")(compare)


def compare(
    results: list[Path] = typer.Argument(..., help="Two or more JSON files of `rep3d evaluate`."),
    out: Path = typer.Option(..., "-o", "--out", help="Folder for tables and the figure."),
    metric: str = typer.Option("dice", help="dice, nsd, hd95 or volume_error (without its sign)."),
    reference: str = typer.Option("", help="Test all others against this result (name or file); else every pair."),
    by: str = typer.Option("class", help="class: test each structure and their mean; mean: the mean alone."),
    names: str = typer.Option("", help="Names of the results in tables, A,B,... [default: of the weights]."),
    grid: str = typer.Option("native", help="native, network or postprocessed, as far as the files have them."),
    empty: str = typer.Option("ignore", help="A class in neither label map: ignore it, or one (counts as 1)."),
    level: float = typer.Option(0.95, help="Confidence level; 1 - level is the limit for p."),
    overwrite: bool = typer.Option(False, "--overwrite", help=OVERWRITE_HELP),
) -> None:
    """Compare results case by case: paired Wilcoxon tests with Holm's correction, effect sizes, tables, box plots.

    Only cases that all results have are used; the others are listed. Writes comparison.md, .tex and .json,
    summary.csv, tests.csv, values.csv and boxes.png.
    """
    from rich.console import Console

    from rep3d.evaluation import compare as comparing
    from rep3d.evaluation.results import read_result
    from rep3d.evaluation.tables import write_tables
    from rep3d.figures.boxes import boxes
    from rep3d.provenance import provenance

    loaded = [read_result(path) for path in results]
    chosen = choose_names(loaded, names)
    hashes = {name: sha256_file(path) for name, path in zip(chosen, results, strict=True)}
    check_free(
        [out / name for name in ("summary.csv", "tests.csv", "values.csv", "boxes.png")],
        patterns=[out / "comparison.*"],
        overwrite=overwrite,
        record=out / "comparison.json",
        same=lambda record: sorted(record["provenance"]["hashes"].values()) == sorted(hashes.values()),
    )
    options = comparing.CompareOptions(metric, find_reference(reference, chosen, results), by, grid, empty, level)
    comparison = comparing.compare(loaded, options, chosen)
    subjects = {name: result.record.get("subject", {}) for name, result in zip(chosen, loaded, strict=True)}
    write_tables(out, comparison, subjects=subjects, provenance=provenance(**hashes))
    boxes(out / "boxes.png", comparison)
    console = Console(highlight=False, soft_wrap=True)
    show(console, comparison)
    console.print(f"written to {out}: comparison.md, .tex, .json, 3 tables as CSV, boxes.png", markup=False)


def choose_names(results: Sequence[EvaluationResult], names: str) -> tuple[str, ...]:
    """The names given, else each result's own; results that share one get their file's name."""
    from rep3d.errors import BadInput

    if names:
        chosen = tuple(part.strip() for part in names.split(","))
        if len(chosen) != len(results) or not all(chosen):
            raise BadInput(f"--names {names!r} holds {len(chosen)} names for {len(results)} results.")
        return chosen
    own = [result.name for result in results]
    stems = [result.path.stem if result.path else name for result, name in zip(results, own, strict=True)]
    chosen = [stem if own.count(name) > 1 else name for name, stem in zip(own, stems, strict=True)]
    if len(set(chosen)) < len(chosen):
        chosen = [str(result.path) for result in results]
    return tuple(chosen)


def find_reference(reference: str, names: Sequence[str], paths: Sequence[Path]) -> str:
    """The name of the result that ``reference`` means: a name, a file, or a file's name."""
    for name, path in zip(names, paths, strict=True):
        if reference in (name, str(path), path.name, path.stem):
            return name
    return reference  # refused by the comparison, which lists the names


def show(console, comparison: Comparison) -> None:
    """Warnings first, then the tests, then what is to be said of them."""
    from rich.table import Table

    from rep3d.evaluation.tables import number, p_text

    for text in comparison.warnings:
        console.print(f"[bold yellow]WARNING[/]: {text}")
    if comparison.dropped:
        console.print(f"{len(comparison.dropped)} cases left out:", markup=False)
        for case, why in list(comparison.dropped.items())[:10]:
            console.print(f"  {case}: {why}", markup=False)
        if len(comparison.dropped) > 10:
            console.print("  ... (all in comparison.md)", markup=False)
    metric = comparison.metric
    narrow = {"overflow": "fold"}  # long names go on in the next line rather than being cut
    means = Table(title=f"{metric.title}: mean over {len(comparison.cases)} cases")
    for column in ("structure", *comparison.names):
        means.add_column(column, **narrow)
    for key in comparison.structures:
        row = [s.mean for s in comparison.summaries if s.structure == key]
        means.add_row(key, *(f"{number(m.mean)} ({number(m.low)} to {number(m.high)})" for m in row))
    console.print(means)
    table = Table(title="differences, first - second", box=None, padding=(0, 1, 0, 0), title_justify="left")
    for column in ("structure", "first", "second", "n", "median", "effect r", "p", "p (Holm)", "better"):
        table.add_column(column, **narrow)
    for t in comparison.tests:
        effect = "-" if t.effect != t.effect else f"{t.effect:+.2f}"
        p, p_holm = p_text(t.wilcoxon.p), p_text(t.p_holm)
        median = number(t.difference.median, True)
        pairs = str(t.wilcoxon.differing)
        table.add_row(t.structure, t.first, t.second, pairs, median, effect, p, p_holm, t.better or "-")
    console.print(table)
    for note in comparison.notes:
        console.print(f"- {note}", markup=False)
