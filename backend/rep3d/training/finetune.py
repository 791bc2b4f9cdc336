"""Starting a run from other weights: which tensors come over, which rows of the output layer, what starts afresh."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rep3d.errors import BadInput
from rep3d.networks import accepted_arguments, create_network
from rep3d.tasks import Task
from rep3d.training.build import network_arguments
from rep3d.training.checkpoint import load_checkpoint, trained_network
from rep3d.training.config import TrainConfig

#: Arguments that may differ from the weights': the output layers are looked at one by one.
FREE = ("out_channels", "deep_supervision")


@dataclass(frozen=True)
class Source:
    """Weights to start from: ``arguments`` of their network (training form), ``task`` they were trained for.

    ``fused``: a deployed file, whose batch norms are folded away.
    """

    path: Path
    network: str
    arguments: Mapping[str, Any]
    state: Mapping[str, torch.Tensor]
    task: Task
    fused: bool = False


@dataclass(frozen=True)
class InitialWeights:
    """What a new run takes from other weights.

    Attributes:
        whole: tensors that are copied, by name.
        rows: tensors of output layers of which some classes are copied: name -> (axis, tensor).
        pairs: (class here, class there) that are copied.
        fresh: names of tensors that keep their random start.
        fused: batch norms have to be set to the data before training (see `norms.calibrate`).
        report: the same for people and programs.
    """

    whole: dict[str, torch.Tensor]
    rows: dict[str, tuple[int, torch.Tensor]]
    pairs: tuple[tuple[int, int], ...]
    fresh: tuple[str, ...]
    fused: bool
    report: dict[str, Any]

    @torch.no_grad()
    def apply(self, network: nn.Module) -> None:
        """Write the tensors into a network with random weights."""
        state = network.state_dict()
        for name, tensor in self.whole.items():
            state[name].copy_(tensor)
        here, there = (torch.tensor(index, dtype=torch.long) for index in zip(*self.pairs))
        for name, (axis, tensor) in self.rows.items():
            state[name].index_copy_(axis, here, tensor.index_select(axis, there).to(state[name].dtype))


def initial_weights(path: Path, config: TrainConfig, task: Task) -> InitialWeights:
    """What a run of ``config`` on ``task`` takes from a checkpoint (its averaged weights where it has them) or a
    weights file (.safetensors, for ``reparam="plain"``).

    ``init_labels`` "strict": all of it, so that the number of classes has to agree; "match": classes of the output
    layer by their label's key, background with background; "new-head": everything but the output layer.

    Raises BadInput: the file is neither, its network is another one, or no label of it is in the task ("match").
    """
    if path.suffix == ".safetensors":
        from rep3d.training.unfuse import source_of_weights

        source = source_of_weights(path, config)
    else:
        checkpoint = load_checkpoint(path)
        spec = checkpoint["network"]
        state = trained_network(checkpoint, path).state_dict()
        source = Source(path, spec["name"], spec["args"], state, Task.from_dict(checkpoint["task"], str(path)))
    check_network(source, config)
    if config.init_labels == "strict" and source.task.num_classes != task.num_classes:
        raise BadInput(
            f"--init {path} tells {source.task.num_classes - 1} structures apart, task {task.key} has "
            f"{task.num_classes - 1}",
            "Use --init-labels match to keep what both have, or new-head for a new output layer.",
        )
    return select(source, config, task)


def check_network(source: Source, config: TrainConfig) -> None:
    """Raise BadInput, naming what differs, unless both networks are alike but for their output layers."""
    if source.network != config.network:
        raise BadInput(
            f"--init {source.path} is of network {source.network}, not {config.network}",
            f"Use --network {source.network}, or start from other weights.",
        )
    known = accepted_arguments(source.network)
    mine, theirs = {**known, **network_arguments(config, 0)}, {**known, **source.arguments}
    differ = sorted(k for k in mine.keys() | theirs.keys() if k not in FREE and mine.get(k) != theirs.get(k))
    if not differ:
        return
    said = "; ".join(f"{k}: {theirs.get(k)!r} there, {mine.get(k)!r} here" for k in differ)
    hint = "Use the same arguments of the network."
    if differ == ["reparam"]:
        hint = "`rep3d fuse` bakes masks and branches in; its file can start a run with --reparam plain."
    raise BadInput(f"--init {source.path} is of {source.network} with other arguments: {said}", hint)


def class_axes(name: str, arguments: Mapping[str, Any]) -> dict[str, int | None]:
    """The tensors of a network that grow with the number of classes, and along which axis a class more adds one.

    None where it adds something else. Found from two networks without memory, so that it holds for every network.
    """
    shapes = []
    for classes in (3, 4):
        with torch.device("meta"):
            network = create_network(name, **{**arguments, "out_channels": classes})
        shapes.append({n: t.shape for n, t in network.state_dict().items()})
    axes = {}
    for tensor, shape in shapes[0].items():
        grown = [axis for axis, (a, b) in enumerate(zip(shape, shapes[1][tensor], strict=True)) if a != b]
        if not grown:
            continue
        single = len(grown) == 1 and (shape[grown[0]], shapes[1][tensor][grown[0]]) == (3, 4)
        axes[tensor] = grown[0] if single else None
    return axes


def select(source: Source, config: TrainConfig, task: Task) -> InitialWeights:
    """Sort the tensors of ``source`` into those that are copied whole, by class or not at all."""
    arguments = network_arguments(config, task.num_classes)
    with torch.device("meta"):
        wanted = create_network(config.network, **arguments).state_dict()
    old, new = ([label.key for label in t.labels] for t in (source.task, task))
    heads = class_axes(config.network, arguments)
    pairs = [(0, 0)]
    if config.init_labels == "match":
        pairs += [(i + 1, old.index(key) + 1) for i, key in enumerate(new) if key in old]
        if len(pairs) == 1:
            raise BadInput(
                f"no label of {source.path} is in task {task.key}: it has {', '.join(old)}",
                "Labels meet by key. Use --init-labels new-head for a new output layer.",
            )
        if mixed := [n for n, axis in heads.items() if axis is None]:
            raise BadInput(
                f"the classes of {config.network} cannot be told apart in {mixed[0]}", "Use --init-labels new-head."
            )
    strict = config.init_labels == "strict"
    whole = {n: t for n, t in source.state.items() if n in wanted and (strict or n not in heads)}
    by_class = heads if config.init_labels == "match" else {}
    rows = {n: (axis, source.state[n]) for n, axis in by_class.items() if n in source.state}
    fresh = tuple(n for n in wanted if n not in whole and n not in rows)
    # Levels of deep supervision may be new; everything else has to be there.
    wrong = [n for n, t in whole.items() if t.shape != wanted[n].shape] + [n for n in fresh if n not in heads]
    if wrong:
        raise BadInput(f"--init {source.path} does not fit {config.network}: {wrong[0]}", "It may be damaged.")
    report = {
        "format": "rep3d-initial-weights",
        "version": 1,
        "file": source.path.name,
        "labels": config.init_labels,
        "task": source.task.key,
        "tensors_copied": len(whole),
        "tensors_by_class": sorted(rows),
        "classes_copied": [new[i - 1] if i else "background" for i, _ in pairs] if rows else [],
        "classes_fresh": _fresh_classes(config.init_labels, old, new),
        "classes_left_out": [] if config.init_labels == "strict" else [k for k in old if k not in new or not rows],
        "tensors_fresh": list(fresh),
        "tensors_left_out": sorted(n for n in source.state if n not in wanted),
        "notes": _notes(source, config, task, old, new),
    }
    return InitialWeights(whole, rows, tuple(pairs), fresh, source.fused, report)


def _fresh_classes(mode: str, old: list[str], new: list[str]) -> list[str]:
    if mode == "strict":
        return []
    return [k for k in new if k not in old] if mode == "match" else ["background", *new]


def _notes(source: Source, config: TrainConfig, task: Task, old: list[str], new: list[str]) -> list[str]:
    notes = []
    if config.init_labels == "strict" and old != new:
        notes.append(f"labels are taken by position: {', '.join(old)} there, {', '.join(new)} here")
    if source.task.spacing_mm != task.spacing_mm:
        notes.append(f"trained at {source.task.spacing_mm} mm, this task has {task.spacing_mm} mm")
    if source.task.intensity != task.intensity:
        notes.append("trained with another intensity window")
    if source.fused:
        notes.append("from a deployed file: batch norms are set to the training data, taps that it lacks start at 0")
    return notes


def lines(report: Mapping[str, Any]) -> list[str]:
    """The report for people."""
    said = [f"starts from {report['file']} ({report['task']}): {report['tensors_copied']} tensors copied"]
    if report["classes_copied"]:
        said.append(f"classes kept: {', '.join(report['classes_copied'])}")
    for key, words in (("classes_fresh", "classes that start afresh"), ("classes_left_out", "classes left out")):
        if report[key]:
            said.append(f"{words}: {', '.join(report[key])}")
    if report["tensors_left_out"]:
        said.append(f"left out: {', '.join(report['tensors_left_out'])}")
    return said + list(report["notes"])
