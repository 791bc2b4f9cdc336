"""Every benchmark, one after the other, and what has changed since the results that are stored: ``make bench``.

    python benchmarks/run_all.py                            an hour; on a machine that does nothing else
    python benchmarks/run_all.py --quick                    small runs, compared with what is stored, nothing stored
    python benchmarks/run_all.py --only operator,startup    some of them
    python benchmarks/run_all.py --strict                   exit code 1 if a ratio fell by more than --tolerance

Each is a process of its own and writes benchmarks/results/NAME.json itself; if it fails, what was stored before is put
back. A ratio says how many times better Rep3D is than a contestant, or than a limit, in the same run on the same
machine, so it can be compared between machines and days as seconds cannot. The table at the end shows the stored one
beside the new one. Exit code 1 if a benchmark fails or is missing.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
#: In this order. operator_gpu.py needs a GPU; training_memory.py and ensemble.py measure no ratios.
BENCHMARKS = ("operator", "engine", "whole_scan", "startup", "editor_click")
TOLERANCE = 0.15

Verdict = Literal["", "fell", "rose", "new", "gone"]


@dataclass(frozen=True)
class Change:
    """A ratio before and now; None where there was none or is none any more."""

    benchmark: str
    ratio: str
    old: float | None
    new: float | None
    verdict: Verdict

    @property
    def change(self) -> float | None:
        """Relative: -0.2 is a fifth less."""
        return None if self.old is None or self.new is None or not self.old else self.new / self.old - 1


def compare(
    benchmark: str, old: dict[str, float], new: dict[str, float], tolerance: float, *, partly: bool = False
) -> list[Change]:
    """Every ratio of either. ``partly``: the new run was a small one, which need not have all."""
    changes = [
        Change(benchmark, name, old.get(name), value, _verdict(old.get(name), value, tolerance))
        for name, value in new.items()
    ]
    if not partly:
        changes += [Change(benchmark, name, value, None, "gone") for name, value in old.items() if name not in new]
    return changes


def _verdict(old: float | None, new: float, tolerance: float) -> Verdict:
    if old is None:
        return "new"
    if not math.isfinite(new) or new < old * (1 - tolerance):
        return "fell"
    return "rose" if new > old * (1 + tolerance) else ""


def read_ratios(path: Path) -> dict[str, float]:
    """The ratios of a stored result; none if there is no file, or one of an older form."""
    try:
        ratios = json.loads(path.read_text(encoding="utf-8"))["ratios"]
        return {str(name): float(value) for name, value in ratios.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def run_one(name: str, scripts: Path, results: Path, quick: bool) -> tuple[str, dict[str, float]]:
    """Run a benchmark: what went wrong ("" if nothing) and its ratios. If it fails, what was stored stays."""
    script, stored = scripts / f"{name}.py", results / f"{name}.json"
    if not script.is_file():
        return f"there is no {script.name}", {}
    before = stored.read_bytes() if stored.exists() else None
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / stored.name if quick else stored
        arguments = ["--quick", "--out", str(out)] if quick else []
        code = subprocess.call([sys.executable, str(script), *arguments])
        ratios = read_ratios(out)
    problem = f"exit code {code}" if code else "" if ratios else "it wrote no ratios"
    if problem and not quick:
        stored.unlink(missing_ok=True) if before is None else stored.write_bytes(before)
    return problem, {} if problem else ratios


def run(
    names: Sequence[str],
    *,
    quick: bool,
    tolerance: float,
    strict: bool,
    scripts: Path = HERE,
    results: Path | None = None,
) -> int:
    """Run the benchmarks and print the table; the exit code."""
    results = results or scripts / "results"
    console = Console(width=160)
    changes, problems = [], {}
    for name in names:
        console.rule(name)
        old, start = read_ratios(results / f"{name}.json"), time.perf_counter()
        problem, new = run_one(name, scripts, results, quick)
        if problem:
            problems[name] = problem
        else:
            changes += compare(name, old, new, tolerance, partly=quick)
        console.print(f"{name}: {problem or 'done'}, {time.perf_counter() - start:.0f} s", markup=False)
    console.print(table(changes, tolerance, quick))
    for name, problem in problems.items():
        console.print(f"FAILED {name}: {problem}; its stored result is as it was", markup=False)
    fallen = [change for change in changes if change.verdict in ("fell", "gone")]
    if fallen:
        console.print(f"{len(fallen)} of {len(changes)} ratios are marked: they fell, or were not measured any more")
    return 1 if problems or (strict and fallen) else 0


def table(changes: list[Change], tolerance: float, quick: bool) -> Table:
    """Stored ratios beside the new ones."""
    title = f"Ratios, higher is better; marked beyond {tolerance:.0%}"
    made = Table(title=title + (". A quick run beside stored full runs" if quick else ""))
    for column in ("benchmark", "ratio", "stored", "new", "change", ""):
        made.add_column(column, justify="left" if column in ("benchmark", "ratio", "") else "right", overflow="fold")
    colours = {"fell": "[bold red]fell[/]", "gone": "[bold red]gone[/]", "rose": "[green]rose[/]"}
    for c in changes:
        numbers = ("-" if value is None else f"{value:.2f}" for value in (c.old, c.new))
        change = "-" if c.change is None else f"{c.change:+.0%}"
        made.add_row(c.benchmark, c.ratio, *numbers, change, colours.get(c.verdict, c.verdict))
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small runs; stored results stay")
    parser.add_argument("--only", metavar="NAMES", help=f"some of {','.join(BENCHMARKS)}")
    parser.add_argument("--tolerance", type=float, default=TOLERANCE, help="relative change that is marked (0.15)")
    parser.add_argument("--strict", action="store_true", help="exit code 1 if a ratio fell beyond it or is gone")
    options = parser.parse_args(arguments)
    names = options.only.split(",") if options.only else BENCHMARKS
    if unknown := sorted(set(names) - set(BENCHMARKS)):
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    return run(names, quick=options.quick, tolerance=options.tolerance, strict=options.strict)


if __name__ == "__main__":
    sys.exit(main())
