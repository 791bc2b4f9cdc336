"""Whose receptive field is measured: a weights file, a training checkpoint, or a fresh network by its name."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rep3d.errors import BadInput
from rep3d.networks import create_network
from rep3d.networks.encoder_decoder import EncoderDecoder
from rep3d.tasks import Intensity, Task

Triple = tuple[int, int, int]
FRESH_PATCH = (64, 64, 64)
SMALLEST = 32  # voxels along each axis that every network takes


@dataclass(frozen=True)
class Subject:
    """A network to be looked at.

    Attributes:
        name: for tables and figures.
        build: makes the network, in evaluation mode on the CPU; a seed matters to a fresh one alone.
        origin: JSON-able provenance.
        patch, spacing_mm: of its training; a fresh network has FRESH_PATCH and 1 mm.
        task, intensity: None for a fresh network, which has neither.
    """

    name: str
    build: Callable[[int], nn.Module]
    origin: dict[str, Any]
    patch: Triple
    spacing_mm: tuple[float, float, float]
    task: Task | None
    intensity: Intensity | None

    @property
    def trained(self) -> bool:
        """Whether it has learned anything, so that its answers mean something."""
        return self.task is not None

    def class_name(self, index: int) -> str:
        """Name of a class; fresh networks have numbers alone."""
        if self.task is None:
            return f"class {index}"
        return next((label.name for label in self.task.labels if label.value == index), "Background")

    def class_index(self, text: str) -> int:
        """A class by its number, key or name. Raises BadInput, listing the classes, when there is none such."""
        if self.task is None:
            if text.isdigit():
                return int(text)
            raise BadInput(f"{self.name} has no named classes", "Give --class as a number, 0 for background.")
        known = {"background": 0} | {label.key.lower(): label.value for label in self.task.labels}
        named = known | {label.name.lower(): label.value for label in self.task.labels}
        if text.lower() in named:
            return named[text.lower()]
        if text.isdigit() and int(text) in known.values():
            return int(text)
        listed = ", ".join(f"{value} {key}" for key, value in known.items())
        raise BadInput(f"{self.name} has no class {text!r}", f"Its classes: {listed}.")


def load_subject(text: str) -> Subject:
    """A subject from what the user typed: a path, or ``NAME`` or ``NAME:argument=value,...`` of a network.

    Raises:
        BadInput: unknown network or argument, no checkpoint. WeightsMissing, WeightsInvalid.
    """
    path = Path(text)
    if path.suffix == ".safetensors":
        from rep3d.weights import load_weights

        return from_weights(load_weights(path))
    if path.suffix == ".ckpt" or path.is_file():
        return _from_checkpoint(path)
    return _fresh(text)


def from_weights(weights: Any) -> Subject:
    """A deployed weights file that is in memory."""
    meta = weights.meta
    origin = {"weights": meta.id, "file": weights.path.name, "sha256": weights.sha256, "network": meta.network["name"]}
    return Subject(
        meta.id, lambda _seed: weights.build_network(), origin, tuple(meta.patch), meta.spacing_mm, meta.task,
        meta.intensity,
    )  # fmt: skip


def _from_checkpoint(path: Path) -> Subject:
    from rep3d.files import sha256_file
    from rep3d.training.checkpoint import load_checkpoint, trained_network

    checkpoint = load_checkpoint(path)
    task = Task.from_dict(checkpoint["task"], str(path))
    network = trained_network(checkpoint, path).requires_grad_(False)
    origin = {
        "file": path.name,
        "sha256": sha256_file(path),
        "network": checkpoint["network"],
        "step": checkpoint["step"],
        "averaged_weights": bool(checkpoint["ema"]),
    }
    name = f"{task.key} step {checkpoint['step']}"
    patch = tuple(checkpoint["config"]["patch"])
    return Subject(name, lambda _seed: network, origin, patch, task.spacing_mm, task, task.intensity)


def _fresh(text: str) -> Subject:
    name, _, listed = text.partition(":")
    arguments: dict[str, Any] = {}
    for part in filter(None, listed.split(",")):
        key, equals, value = part.partition("=")
        if not equals:
            raise BadInput(f"{text!r}: {part!r} is no argument", "Write NAME:argument=value,argument=value.")
        try:
            arguments[key.strip()] = json.loads(value)
        except ValueError:
            arguments[key.strip()] = value.strip()
    with torch.device("meta"):  # is there such a network?
        create_network(name, **arguments)

    def build(seed: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = create_network(name, **arguments)
            _settle(network, torch.rand(1, network.in_channels, *(max(SMALLEST, 2 * network.stride),) * 3))
        return network.eval().requires_grad_(False)

    return Subject(text, build, {"network": name, "arguments": arguments}, FRESH_PATCH, (1.0, 1.0, 1.0), None, None)


def _settle(network: nn.Module, x_BCDHW: torch.Tensor) -> None:
    """Give the batch norms of a fresh network the statistics of one batch, as its first training step sees it."""
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        network.train()(x_BCDHW)
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum


def depth_module(network: nn.Module, depth: str) -> str:
    """The dotted path behind a depth: "logits" (""), "stage1" .. "stage4", "bottleneck", "decoder5" .. "decoder1" of
    the networks with this encoder, or a path itself. Raises BadInput, listing the depths, for an unknown one."""
    if depth == "logits":
        return ""
    known: dict[str, str] = {}
    if isinstance(network, EncoderDecoder):
        known = {f"stage{i + 1}": f"encoder.stages.{i}" for i in range(4)} | {"bottleneck": "decoder.encoder5"}
        known |= {f"decoder{i}": f"decoder.decoder{i}" for i in (5, 4, 3, 2, 1)}
    if depth in known:
        return known[depth]
    try:
        network.get_submodule(depth)
    except AttributeError as error:
        hint = f"Choose logits, {', '.join(known)}" if known else "Choose logits"
        raise BadInput(f"the network has no depth {depth!r}", hint + ", or the dotted path of a part.") from error
    return depth
