"""Model cards: what a weights file is, how it was trained and what it reaches on cases that it never saw."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rep3d.errors import BadInput
from rep3d.files import write_text
from rep3d.shown_text import markdown
from rep3d.weights import Weights


@dataclass(frozen=True)
class CardSources:
    """What a card is made of.

    Attributes:
        weights: the deployed weights.
        results: ``rep3d evaluate`` on the test split with these weights.
        baselines: name -> ``rep3d evaluate`` of another network on the same cases, with the same data and budget.
        command: the training command, as a reader would type it.
        machine: what it was trained on and how long it took.
        failures: known failures, one sentence each.
        attribution: whom to credit for the data.
        picture: file name of the training curves, "" for none.
    """

    weights: Weights
    results: dict[str, Any]
    command: str
    machine: str
    failures: tuple[str, ...]
    attribution: str
    baselines: dict[str, dict[str, Any]] = field(default_factory=dict)
    picture: str = ""


#: What a network and the one it is compared with must have in common: data apart, the budget and the recipe.
BUDGET = ("steps", "batch_size", "crops_per_volume", "patch", "foreground", "augment", "loss", "fold")


def check_results(sources: CardSources) -> None:
    """Raise BadInput unless every result speaks of all test cases of the data that the weights were trained with.

    Baselines must have been evaluated with the same settings.
    """
    meta = sources.weights.meta
    if not {"network", "config", "best"} <= meta.training.keys():
        raise BadInput(f"{sources.weights.path} says nothing of its training", "Cards are for weights of `rep3d fuse`.")
    for name, results in {"the weights": sources.results, **sources.baselines}.items():
        if results.get("split") != "test" or results.get("task") != meta.task.key:
            raise BadInput(f"the results of {name} are not those of {meta.task.key!r} on the test split")
        if results.get("data_sha256") != meta.data_sha256:
            raise BadInput(
                f"the results of {name} come from another data list than the training",
                "Evaluate with the data folder that the run was trained on.",
            )
        done, there = len(results["cases"]), results.get("split_cases", len(results["cases"]))
        if done < there:
            raise BadInput(f"the results of {name} are of {done} of {there} test cases", "Evaluate without --limit.")
        if _how(results) != _how(sources.results):
            raise BadInput(
                f"the results of {name} were made with other settings than the weights': {results['settings']}",
                "Evaluate both with the same --overlap, --tta and --engine.",
            )
    if sources.results["subject"].get("sha256") != sources.weights.sha256:
        raise BadInput("the results were made with another weights file", "Evaluate the fused file itself.")


def _how(results: dict[str, Any]) -> tuple:
    """How a result's cases were segmented, as far as label maps depend on it; before it was said, by PyTorch."""
    settings = results["settings"]
    return settings.get("overlap"), settings.get("tta"), settings.get("engine", "torch")


def card_record(sources: CardSources) -> dict[str, Any]:
    """The card for programs: ``test.dice`` holds the mean and one value a structure, on the scans' own grid."""
    meta, native = sources.weights.meta, sources.results["summary"]["native"]
    return {
        "id": meta.id,
        "task": meta.task.key,
        "weights_sha256": sources.weights.sha256,
        "data_sha256": meta.data_sha256,
        "licence": meta.licence,
        "command": sources.command,
        "machine": sources.machine,
        "training": meta.training,
        "test": {
            "cases": native["cases"],
            "dice": {"mean": native["mean"], **native["per_class"]},
            "sd_over_cases": native["sd"],
            "lowest_case": native.get("lowest"),
            "settings": sources.results["settings"],
            "metrics": native.get("metrics"),
            "per_case": {row["id"]: row["dice"]["native"] for row in sources.results["cases"]},
        },
        "baselines": {
            name: {
                "subject": {key: value for key, value in other["subject"].items() if key != "config"},
                "training": _compare_budget(other["subject"].get("config"), meta.training["config"]),
                "dice": _dice(other),
            }
            for name, other in sources.baselines.items()
        },
        "known_failures": list(sources.failures),
    }


def _compare_budget(config: dict[str, Any] | None, own: dict[str, Any]) -> str:
    """In words, whether a baseline was trained on the weights' budget; ``config`` is None when it does not say."""
    if config is None:
        return "its settings of training are not recorded"
    other = [f"{key} {config.get(key)} (here {own.get(key)})" for key in BUDGET if config.get(key) != own.get(key)]
    return "trained with other " + ", ".join(other) if other else "the same steps, crops, augmentation and loss"


def _dice(results: dict[str, Any]) -> dict[str, float | None]:
    native = results["summary"]["native"]
    return {"mean": native["mean"], **native["per_class"]}


def card_text(sources: CardSources) -> str:
    """The card for people, in Markdown."""
    meta, record = sources.weights.meta, card_record(sources)
    task, training = meta.task, meta.training
    columns = {"Rep3D": record["test"]["dice"], **{n: b["dice"] for n, b in record["baselines"].items()}}
    header = "| structure | " + " | ".join(f"{name} Dice" for name in columns) + " |"
    rows = [header, "|---|" + "---|" * len(columns)]
    names = {"mean": "**mean**"} | {label.key: markdown(label.name) for label in task.labels}
    for key in [*(label.key for label in task.labels), "mean"]:
        values = (_figure(dice.get(key)) for dice in columns.values())
        rows.append(f"| {names[key]} | " + " | ".join(values) + " |")
    network = training["network"]
    lines = [
        f"# {markdown(task.title)}",
        "",
        f"Weights `{markdown(meta.id)}` for task `{task.key}`. Research software, **not a medical device**. "
        f"{markdown(task.purpose)}",
        "",
        "| | |",
        "|---|---|",
        *(["| use | **for trying the software only** |"] if meta.demo_only else []),
        f"| network | {network['name']}, fused from `{json.dumps(network['args']).replace('|', '/')}` |",
        f"| input | {task.modality}, {_times(meta.spacing_mm)} mm (right, anterior, superior), "
        f"window {_window(meta.intensity)} |",
        f"| patch | {_times(meta.patch)} voxels |",
        f"| data | {markdown(task.dataset['source'])} |",
        f"| data list | sha256 `{meta.data_sha256}` |",
        f"| licence | {markdown(meta.licence)} |",
        f"| credit | {markdown(sources.attribution)} |",
        f"| cite | {markdown(task.dataset['citation'])} |",
        f"| weights file | sha256 `{sources.weights.sha256}` |",
        "",
        "## Training",
        "",
        "```",
        sources.command,
        "```",
        "",
        f"{sources.machine} These are the weights of step {training['steps']}, the best on the validation cases "
        f"(Dice {training['best']['dice']:.3f}). "
        f"Fused and training-form logits agree to {training['fusion_error']:.1e} relative.",
        "",
    ]
    if sources.picture:
        lines += [f"![Training curves]({sources.picture})", ""]
    settings = record["test"]["settings"]
    lines += [
        "## Test",
        "",
        f"{record['test']['cases']} test cases, never trained or tuned on; Dice on each scan's own grid, mean over "
        f"cases, then over structures; overlap {settings['overlap']}, {settings['precision']}, {settings['device']}. "
        f"Standard deviation over cases {_figure(record['test']['sd_over_cases'])}, lowest case "
        f"{_figure(record['test']['lowest_case'])}.",
        "",
        *rows,
        "",
        *_surfaces(sources.results, names),
    ]
    for name, other in record["baselines"].items():
        lines += [f"{name}: {json.dumps(other['subject'])}. The same data; {other['training']}.", ""]
    lines += ["## Known failures", "", *(f"- {text}" for text in sources.failures), ""]
    return "\n".join(lines)


def _surfaces(results: dict[str, Any], names: dict[str, str]) -> list[str]:
    """Surface distances and volumes with their intervals; nothing for results of version 1, which have none."""
    if "metrics" not in results["summary"]["native"]:
        return []
    from rep3d.evaluation.listing import ON_SCREEN, blocks, cell, heading

    columns = {metric: blocks(results, "native", metric) for metric in ON_SCREEN if metric != "dice"}
    lines = ["| structure | " + " | ".join(heading(results, metric) for metric in columns) + " |"]
    lines.append("|---|" + "---|" * len(columns))
    for key, name in sorted(names.items(), key=lambda item: item[0] == "mean"):
        lines.append(f"| {name} | " + " | ".join(cell(column[key]) for column in columns.values()) + " |")
    return [*lines, "", "Brackets: 95 % bootstrap intervals over cases.", ""]


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _times(values: tuple[float, ...]) -> str:
    return " x ".join(f"{v:g}" for v in values)


def _window(intensity: Any) -> str:
    clip = f"{intensity.clip[0]:g} to {intensity.clip[1]:g}" if intensity.clip else "none"
    if intensity.percentiles is None:
        return f"{clip}, scaled by its bounds"
    return f"{clip}, scaled by the volume's percentiles {intensity.percentiles[0]:g} and {intensity.percentiles[1]:g}"


def write_card(folder: Path, sources: CardSources) -> tuple[Path, Path]:
    """Write ``TASK.md`` and ``TASK.json`` into the folder, atomically; returns their paths. Raises BadInput."""
    check_results(sources)
    stem = folder / sources.weights.meta.task.key
    text, record = stem.with_suffix(".md"), stem.with_suffix(".json")
    write_text(record, json.dumps(card_record(sources), indent=1) + "\n")
    write_text(text, card_text(sources))
    return text, record
