"""A study's table (Markdown, CSV, JSON) and figure, from whatever runs are done."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

from rep3d.experiments.analysis import LEVEL, Contrast, Outcome, analyse
from rep3d.experiments.execute import Setting
from rep3d.experiments.studies import Study
from rep3d.files import write_text
from rep3d.shown_text import CsvWriter


def write_study(study: Study, setting: Setting, folder: Path) -> list[Path]:
    """Write table.md, table.csv, results.json and figure.png into ``folder``. Their paths; no figure without a run."""
    outcome = analyse(study, setting)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "table.md", folder / "table.csv", folder / "results.json"]
    write_text(paths[0], markdown(study, setting, outcome))
    write_text(paths[1], table_csv(outcome))
    content = {
        "format": "rep3d-experiment",
        "version": 1,
        "study": study.name,
        "task": setting.task.key,
        "recipe": setting.recipe.name,
        "settings": {k: list(v) if isinstance(v, tuple) else v for k, v in setting.recipe.settings.items()},
        "network": setting.recipe.network,
        "split": setting.split,
        "fold": setting.fold,
        **outcome.to_dict(),
    }
    write_text(paths[2], json.dumps(content, indent=1, ensure_ascii=False))
    if outcome.arms:
        from rep3d.figures.study import draw_study

        paths.append(folder / "figure.png")
        draw_study(paths[-1], outcome, title=study.title, subtitle=_where(setting, outcome))
    return paths


def markdown(study: Study, setting: Setting, outcome: Outcome) -> str:
    """The study as Markdown: scores, contrasts, and how to read them."""
    lines = [f"**{study.title}**: {_where(setting, outcome)}. {study.question}", ""]
    with_paper = any(arm.paper for arm in outcome.arms)
    names = list(outcome.arms[0].per_class) if outcome.arms else []
    head = ["variant", "seeds", "parameters M", "Dice, mean over seeds", "SD over seeds", "95 % CI over cases", *names]
    lines += _rows([*head, *(["paper"] if with_paper else [])])
    best = max((arm.dice for arm in outcome.arms), default=math.nan)
    for arm in outcome.arms:
        dice = f"**{arm.dice:.4f}**" if arm.dice == best else f"{arm.dice:.4f}"
        cells = [arm.title, str(len(arm.seeds)), f"{arm.parameters / 1e6:.2f}", dice, _number(arm.sd)]
        cells += [
            f"{arm.interval.low:.3f} to {arm.interval.high:.3f}",
            *(_number(v, 3) for v in arm.per_class.values()),
        ]
        lines.append(_row([*cells, *([_number(arm.paper, 3)] if with_paper else [])]))
    lines.append("")
    if outcome.contrasts:
        titles = {arm.key: arm.title for arm in outcome.arms}
        lines += _rows(["contrast", "difference", "95 % CI over cases", "p", "p (Holm)", "effect", "seeds", "verdict"])
        lines += [_row(_contrast_cells(c, titles)) for c in outcome.contrasts]
        lines.append("")
    if outcome.missing:
        listed = ", ".join(f"{key} (seed {seed})" for key, seed in outcome.missing)
        lines += [f"Not run: {listed}.", ""]
    lines += [
        f"Differences are of case means averaged over seeds; p: paired Wilcoxon over cases, Holm over this table's "
        f"contrasts; effect: rank-biserial correlation; seeds: how many have the difference's sign. A difference "
        f'counts as shown when p (Holm) < {LEVEL:g} and every seed agrees. "paper": {study.source}; '
        f"its data, size and number of steps are others.",
        "",
    ]
    return "\n".join(lines)


def table_csv(outcome: Outcome) -> str:
    """One row a variant and seed."""
    stream = io.StringIO(newline="")
    writer = CsvWriter(stream)
    writer.writerow(["variant", "seed", "dice", "parameters"])
    for arm in outcome.arms:
        for seed, dice in zip(arm.seeds, arm.by_seed):
            writer.writerow([arm.key, seed, f"{dice:.6f}", arm.parameters])
    return stream.getvalue()


def _where(setting: Setting, outcome: Outcome) -> str:
    settings = setting.recipe.settings
    cases = max((c.cases for c in outcome.contrasts), default=0)
    parts = [setting.task.key, setting.recipe.network, f"{settings.get('steps', 60000):,} steps"]
    parts.append(f"{cases} {setting.split} cases" if cases else setting.split)
    return ", ".join(parts)


def _contrast_cells(c: Contrast, titles: dict[str, str]) -> list[str]:
    d = c.difference
    return [
        f"{titles[c.variant]} - {titles[c.reference]}",
        f"{d.mean:+.4f}",
        f"{d.low:+.4f} to {d.high:+.4f}",
        _p(c.p),
        _p(c.p_holm),
        _number(c.effect, 2),
        f"{c.agreeing} of {len(c.seeds)}",
        c.verdict,
    ]


def _p(value: float) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:.3f}" if value >= 0.001 else f"{value:.0e}"


def _number(value: float | None, digits: int = 4) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _rows(head: list[str]) -> list[str]:
    return [_row(head), "|" + "---|" * len(head)]
