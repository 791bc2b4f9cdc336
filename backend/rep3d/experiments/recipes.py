"""How a study trains: the paper's recipe, or one that two processor cores finish in minutes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rep3d.errors import BadInput
from rep3d.experiments.studies import Variant
from rep3d.networks import accepted_arguments, list_networks
from rep3d.tasks import Task
from rep3d.training.config import TrainConfig

#: Patches of the small recipe where the task's own is larger than a study needs.
SMALL_PATCHES = {"msd-hippocampus": (32, 48, 32)}
#: Overlap of the scoring's windows where 0.5 would take longer than the training.
SMALL_OVERLAPS = {"openkbp": 0.25}


@dataclass(frozen=True)
class Recipe:
    """What all variants of a study share: ``settings`` are fields of TrainConfig; ``rate_scale``: see ``studies``.

    ``overlap`` is that of the windows in the final scoring.
    """

    name: str
    network: str
    settings: Mapping[str, Any]
    rate_scale: Mapping[str, float] = field(default_factory=lambda: {"adamw": 1.0, "sgd": 1.0})
    overlap: float = 0.5

    def with_settings(self, **changes: Any) -> Recipe:
        """A copy with some settings replaced; None leaves one as it is."""
        kept = {key: value for key, value in changes.items() if value is not None}
        return replace(self, settings={**self.settings, **kept})


def paper_recipe(task: Task) -> Recipe:
    """PAPER section 5: 60,000 steps of the full-size network."""
    return Recipe("paper", "rep3d", {"patch": tuple(task.patch)})


def small_recipe(task: Task) -> Recipe:
    """rep3d-xs for 400 steps at a rate that suits so few, in bfloat16 on one thread; the end is what is scored.

    Appendix D's rates are multiplied by 5 (AdamW) and 100 (SGD): at the paper's own, 400 steps learn nothing.
    """
    settings = {
        "patch": SMALL_PATCHES.get(task.key, tuple(task.patch)),
        "steps": 400,
        "batch_size": 2,
        "crops_per_volume": 1,
        "lr": 1e-3,
        "schedule": "cosine",
        "warmup": 40,
        "ema": 0.99,
        "loss": "batch-dice-ce",
        "precision": "bf16",
        "threads": 1,
        "val_limit": 2,
    }
    rates = {"adamw": 5.0, "sgd": 100.0}
    return Recipe("small", "rep3d-xs", settings, rates, SMALL_OVERLAPS.get(task.key, 0.5))


RECIPES = {"paper": paper_recipe, "small": small_recipe}


def recipe_of(name: str, task: Task) -> Recipe:
    """The recipe of that name for a task. Raises BadInput."""
    if name not in RECIPES:
        raise BadInput(f"--recipe {name!r} is unknown", f"Choose one of {', '.join(RECIPES)}.")
    return RECIPES[name](task)


def config_of(variant: Variant, recipe: Recipe, task: Task, seed: int, *, fold: int = 0, device: str = "auto"):
    """The training configuration of one run.

    The small recipe validates once, at its end, so that every variant is scored after the same steps.
    Raises BadInput when the recipe's network has no counterpart in the variant's family.
    """
    network = recipe.network
    if variant.family:
        network = recipe.network.replace("rep3d", variant.family, 1)
        if network not in list_networks():
            raise BadInput(f"there is no network {network} for the variant {variant.key}", "Choose another --network.")
    settings = {**recipe.settings, **variant.settings}
    if recipe.name == "small":
        settings["val_every"] = settings["steps"]
    arguments = {"in_channels": 1, **variant.arguments}
    if unknown := sorted(set(arguments) - set(accepted_arguments(network))):
        raise BadInput(f"{network} takes no {', '.join(unknown)}", "Choose a network of the families rep3d or uxnet.")
    return TrainConfig(
        task=task.key, network=network, network_args=arguments, seed=seed, fold=fold, device=device, **settings
    )
