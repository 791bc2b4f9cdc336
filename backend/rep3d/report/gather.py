"""What a report is made of: found beside the run or the weights file, or named by the user."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rep3d.errors import BadInput
from rep3d.interpret.kernels import KernelSet, load_kernels
from rep3d.interpret.subjects import Subject, load_subject
from rep3d.tasks import Task


@dataclass(frozen=True)
class Results:
    """Dice on cases that the network was not trained on.

    Attributes:
        per_class: label key -> mean over cases (None: in no case). mean: over structures.
        lowest: label key -> lowest case. cases: how many. split: "test", "val" ...
        others: name of another network -> its Dice by label key and "mean".
        source: file name.
    """

    per_class: dict[str, float | None]
    mean: float | None
    lowest: dict[str, float | None]
    cases: int
    split: str
    others: dict[str, dict[str, float | None]]
    source: str


@dataclass(frozen=True)
class Material:
    """All that a report shows of one network.

    Attributes:
        file: the weights or checkpoint that is described. training: summary of its training, JSON-able.
        records: of the training log, () without a run. curves: picture of earlier curves, None without.
        card: model card of the weights, {} without.
        kernels: None for a network without masks; ``no_kernels`` then says why.
    """

    file: Path
    subject: Subject
    task: Task
    training: dict[str, Any]
    records: tuple[dict[str, Any], ...]
    curves: Path | None
    results: Results | None
    card: dict[str, Any]
    kernels: KernelSet | None
    no_kernels: str
    about: dict[str, str] = field(default_factory=dict)


def gather(source: Path, *, results: Path | None = None, card: Path | None = None) -> Material:
    """Collect what there is for a run folder, a checkpoint or a weights file.

    Args:
        results: JSON of ``rep3d evaluate``; default: test.json of the run, else the model card.
        card: JSON of ``rep3d card``; default: the one beside the weights.

    Raises:
        BadInput: no run, checkpoint or weights; results or card of another network or no such files.
        WeightsMissing, WeightsInvalid.
    """
    from rep3d.figures import read_records
    from rep3d.training.checkpoint import BEST, LAST

    records: tuple[dict[str, Any], ...] = ()
    file = source
    if source.is_dir():
        file = next((source / name for name in (BEST, LAST) if (source / name).is_file()), source)
        if file == source:
            raise BadInput(f"{source} holds neither {BEST} nor {LAST}", "Give the folder of a run of `rep3d train`.")
        records = tuple(read_records(source))
        if results is None and (source / "test.json").is_file():
            results = source / "test.json"
    elif source.suffix == ".ckpt" and (source.parent / "log.jsonl").is_file():
        records = tuple(read_records(source.parent))
    elif source.suffix not in (".ckpt", ".safetensors"):
        raise BadInput(f"{source} is no run folder, checkpoint or weights file")
    subject = load_subject(str(file))
    assert subject.task is not None  # a file always has a task
    deployed = file.suffix == ".safetensors"
    training, about = _weights_facts(file) if deployed else _checkpoint_facts(file)
    found_card = _card(card, file, subject) if card or deployed else {}
    kernels, why = _kernels(file)
    picture = file.with_suffix(".png")
    return Material(
        file,
        subject,
        subject.task,
        training,
        records,
        picture if deployed and not records and picture.is_file() else None,
        _results(results, subject) if results else _card_results(found_card, file),
        found_card,
        kernels,
        why,
        about,
    )


def _kernels(file: Path) -> tuple[KernelSet | None, str]:
    try:
        return load_kernels(file), ""
    except BadInput as error:
        return None, str(error).replace(str(file), file.name)  # the page may leave this machine


def _weights_facts(file: Path) -> tuple[dict[str, Any], dict[str, str]]:
    from rep3d.weights import read_meta

    meta = read_meta(file)
    about = {
        "licence": meta.licence,
        "created": meta.created,
        "Rep3D": meta.rep3d_version,
        "data list": meta.data_sha256,
    }
    return meta.training, about


def _checkpoint_facts(file: Path) -> tuple[dict[str, Any], dict[str, str]]:
    from rep3d.fuse import training_summary
    from rep3d.training.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(file)
    training = training_summary(checkpoint, float("nan"))
    training.pop("fusion_error")
    about = {"data list": checkpoint["data_sha256"], "Rep3D": str(checkpoint.get("rep3d_version", "unknown"))}
    return training, about


def read_json(path: Path, what: str) -> dict[str, Any]:
    """A JSON object. Raises BadInput that says what the file should have been."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} is not {what}: {error}") from error
    if not isinstance(value, dict):
        raise BadInput(f"{path} is not {what}")
    return value


def _card(path: Path | None, file: Path, subject: Subject) -> dict[str, Any]:
    named = path is not None
    path = path or file.with_suffix(".json")
    if not named and not path.is_file():
        return {}
    card = read_json(path, "a model card")
    if card.get("weights_sha256") != subject.origin["sha256"]:
        if named:
            raise BadInput(f"{path} is the card of other weights than {file}")
        return {}
    return card


def _results(path: Path, subject: Subject) -> Results:
    record = read_json(path, "a result of `rep3d evaluate`")
    try:
        native = record["summary"]["native"]
        made = Results(
            dict(native["per_class"]),
            native["mean"],
            _lowest([row["dice"]["native"] for row in record["cases"]]),
            int(native["cases"]),
            str(record["split"]),
            {},
            path.name,
        )
        task, own = record["task"], record["subject"].get("sha256")
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"{path} is not a result of `rep3d evaluate`: it lacks {error}") from error
    if subject.task is not None and task != subject.task.key:
        raise BadInput(f"{path} is of task {task}, not {subject.task.key}", "Evaluate this network.")
    if subject.origin.get("weights") and own not in (None, subject.origin["sha256"]):
        raise BadInput(f"{path} was made with other weights than {subject.name}", "Evaluate this file.")
    step = record["subject"].get("step")
    if step is not None and subject.origin.get("step") not in (None, step):
        raise BadInput(f"{path} was made at step {step}, {subject.name} is another", "Evaluate this checkpoint.")
    return made


def _card_results(card: dict[str, Any], file: Path) -> Results | None:
    if not card:
        return None
    dice = dict(card["test"]["dice"])
    mean = dice.pop("mean")
    lowest = _lowest(list(card["test"].get("per_case", {}).values()))
    others = {name: other["dice"] for name, other in card.get("baselines", {}).items()}
    name = file.with_suffix(".json").name
    return Results(dice, mean, lowest, int(card["test"]["cases"]), "test", others, name)


def _lowest(cases: list[dict[str, float | None]]) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for case in cases:
        for key, value in case.items():
            if value is not None and (found.get(key) is None or value < found[key]):
                found[key] = value
    return found
