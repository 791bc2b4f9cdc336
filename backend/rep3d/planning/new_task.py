"""A new task from a source and a plan: labels with codes and colours, words on every choice, and the file's text."""

from __future__ import annotations

from dataclasses import dataclass

from rep3d.errors import BadInput
from rep3d.planning.memory import memory_text
from rep3d.planning.names import GENERIC, make_labels, slug
from rep3d.planning.plan import Plan
from rep3d.planning.source import UNKNOWN, Source
from rep3d.planning.task_file import task_yaml
from rep3d.tasks import Task, list_shipped


@dataclass(frozen=True)
class NewTask:
    """The task, the text of its file, and what its author should look at, in sentences."""

    task: Task
    text: str
    remarks: tuple[str, ...]


def new_task(
    source: Source, plan: Plan, names: dict[int, str], *, key: str = "", title: str = "", measured: int = 0
) -> NewTask:
    """Put the task together. ``names``: label value -> name; ``measured``: cases that the plan was made from.

    Raises BadInput when the key belongs to a shipped task or cannot be made from the title.
    """
    title = title or source.title
    key = key or slug(source.task.key if source.task else title)
    if not key:
        raise BadInput(f"no key can be made from {title!r}", "Give --key with lower-case letters, digits and hyphens.")
    if key in {task.key for task in list_shipped()}:
        raise BadInput(f"{key!r} is the key of a task that comes with Rep3D", "Give yours another one with --key.")
    labels = source.task.labels if source.task else make_labels(names)
    listed = ", ".join(label.name for label in labels[:8]) + (" ..." if len(labels) > 8 else "")
    task = Task.from_dict(
        {
            "key": key,
            "title": title,
            "modality": plan.modality,
            "labels": [label.to_dict() for label in labels],
            "spacing_mm": list(plan.spacing_mm),
            "intensity": plan.intensity.to_dict(),
            "patch": list(plan.patch),
            "network": plan.network,
            "split": source.split,
            "dataset": source.dataset,
            "purpose": source.task.purpose if source.task else f"On {plan.modality}: {listed}. For research.",
            "notes": source.task.notes if source.task else "",
        },
        "the new task",
    )
    comments = {
        "spacing_mm": "Right, anterior, superior, in mm. " + plan.notes["spacing_mm"],
        "intensity": plan.notes["intensity"],
        "patch": "Right, anterior, superior, in voxels. " + plan.notes["patch"],
        "network": plan.notes["network"] + " " + plan.notes["batch_size"],
        "split": _split_words(task.split),
        "dataset": "Fill in what is unknown: weights carry it." if UNKNOWN in task.dataset.values() else "",
        "labels": "Codes are given where the name is that of a structure in a task of Rep3D; "
        f'"{GENERIC.meaning}" stands for all others.',
    }
    cases = "case" if measured == 1 else "cases"
    head = f"{title}\nPlanned from {measured} training {cases}; change what you know better."
    return NewTask(task, task_yaml(task, comments, head), tuple(_remarks(task, plan)))


def next_commands(task: str, key: str, source: Source, plan: Plan) -> list[str]:
    """The commands that prepare (where `rep3d train` does not read the layout itself) and train by the plan.

    task: how the task is named on the command line.
    """
    commands, data = [], str(source.root)
    if source.kind in ("msd", "nnunet"):
        channel = "" if source.channel is None else f" --channel {source.channel}"
        data = f"prepared-{key}"
        commands.append(
            f"rep3d prepare {source.kind} {_quoted(str(source.root))} {data} --task {_quoted(task)}{channel}"
        )
    sizes = f"--batch-size {plan.batch_size} --crops-per-volume {plan.crops_per_volume}"
    commands.append(f"rep3d train --task {_quoted(task)} --data {_quoted(data)} --out runs/{key} {sizes}")
    return commands


def plan_lines(plan: Plan, budget: int) -> list[tuple[str, str, str]]:
    """(what, value, why) of every decision, for people."""
    low_high = plan.intensity.clip or plan.intensity.percentiles
    unit = "HU" if plan.intensity.clip else "percentiles"
    return [
        ("spacing", " x ".join(f"{s:g}" for s in plan.spacing_mm) + " mm", plan.notes["spacing_mm"]),
        ("intensity", f"{low_high[0]:g} to {low_high[1]:g} {unit}", plan.notes["intensity"]),
        ("patch", " x ".join(map(str, plan.patch)), plan.notes["patch"]),
        ("network", plan.network, plan.notes["network"]),
        ("batch", f"{plan.batch_size} x {plan.crops_per_volume}", plan.notes["batch_size"]),
        ("memory", f"{memory_text(plan.memory_bytes)} of {memory_text(budget)}", plan.notes.get("validation", "")),
    ]


def _split_words(split: dict) -> str:
    kinds = {
        "folds": f"{split.get('folds')} folds in these proportions; a case's fold follows from a hash of its name.",
        "counts": "One fixed split in these proportions; a case's part follows from a hash of its name.",
        "folders": "The data's own folders are the split.",
        "modulo": "Cases by their place in the sorted list.",
    }
    return kinds[split["kind"]]


def _remarks(task: Task, plan: Plan) -> list[str]:
    remarks = [f"dataset.{name} is unknown: fill it in." for name, text in task.dataset.items() if text == UNKNOWN]
    generic = [label.name for label in task.labels if label.type == GENERIC]
    if generic:
        remarks.append(f"No code of their own: {', '.join(generic[:8])}{' ...' if len(generic) > 8 else ''}.")
    if "validation" in plan.notes:
        remarks.append(plan.notes["validation"])
    return remarks


def _quoted(text: str) -> str:
    return f'"{text}"' if " " in text else text
