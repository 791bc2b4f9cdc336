"""Everything that decides what a training run computes, in one frozen record that goes into every checkpoint."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from rep3d.data.augment import AugmentConfig
from rep3d.errors import BadInput

# What may differ between a run and its continuation: these change when or where things happen, not what is computed.
FREE_ON_RESUME = frozenset({"threads", "workers", "save_every", "keep_every", "log_every", "device"})

CHOICES = {
    "optimizer": ("adamw", "sgd"),
    "schedule": ("plateau", "cosine", "constant"),
    "precision": ("32", "bf16"),
    "loss": ("dice-ce", "batch-dice-ce"),
}


@dataclass(frozen=True)
class TrainConfig:
    """A training run. Defaults are the paper's recipe (PAPER section 5); ``patch`` in voxels of the network grid."""

    task: str
    network: str
    patch: tuple[int, int, int]
    network_args: dict = field(default_factory=dict)
    steps: int = 60_000
    batch_size: int = 2  # volumes a step
    crops_per_volume: int = 2
    foreground: float = 0.9  # share of crops centred on a random class that is present
    optimizer: str = "adamw"
    lr: float = 1e-4
    weight_decay: float = 0.08
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    momentum: float = 0.9
    schedule: str = "plateau"
    warmup: int = 0
    plateau_factor: float = 0.9
    plateau_patience: int = 10
    loss: str = "dice-ce"
    clip_grad: float = 12.0
    ema: float = 0.0
    precision: str = "32"
    device: str = "auto"
    threads: int = 0
    workers: int = 1
    seed: int = 0
    init: str = ""  # sha256 of the checkpoint whose weights the run starts from; "" is a random start
    fold: int = 0
    val_every: int = 500
    val_overlap: float = 0.25
    val_limit: int = 0
    save_every: int = 250
    keep_every: int = 0  # steps between checkpoints that stay, to look at the evolution of a run; 0: none
    log_every: int = 20
    augment: AugmentConfig = field(default_factory=AugmentConfig)

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise BadInput(f"{name} {getattr(self, name)!r} is unknown", f"choose one of: {', '.join(allowed)}")
        for name in ("steps", "batch_size", "crops_per_volume", "val_every", "save_every", "log_every"):
            if getattr(self, name) < 1:
                raise BadInput(f"--{name.replace('_', '-')} must be at least 1, got {getattr(self, name)}")
        for name, low, high in (("foreground", 0, 1), ("ema", 0, 0.99999), ("val_overlap", 0, 0.9), ("momentum", 0, 1)):
            if not low <= getattr(self, name) <= high:
                raise BadInput(f"--{name.replace('_', '-')} must lie in {low} to {high}, got {getattr(self, name)}")
        for name in (
            "lr",
            "weight_decay",
            "warmup",
            "clip_grad",
            "workers",
            "threads",
            "val_limit",
            "seed",
            "fold",
            "keep_every",
        ):
            if not getattr(self, name) >= 0:
                raise BadInput(f"--{name.replace('_', '-')} must not be negative, got {getattr(self, name)}")
        if len(self.patch) != 3 or any(p < 1 for p in self.patch):
            raise BadInput(f"--patch needs three sizes of at least 1, got {self.patch}")
        axes = self.augment.mirror_axes
        if len(set(axes)) != len(axes) or not set(axes) <= {0, 1, 2}:
            raise BadInput(f"--mirror-axes needs different axes out of 0, 1, 2, got {axes}", "write it as 1,2")

    def to_dict(self) -> dict:
        """Plain JSON types only (tuples become lists), so that a checkpoint needs no pickle to be read."""
        return _plain(asdict(self))


def differences(old: dict, new: dict) -> list[str]:
    """What of two configurations (as dicts) forbids to continue one with the other, as readable lines.

    More steps are allowed where the learning rate does not depend on their number.
    """
    lines = []
    for name in sorted(old.keys() | new.keys()):
        a, b = old.get(name), new.get(name)
        if a == b or name in FREE_ON_RESUME:
            continue
        if name == "steps" and new.get("schedule") != "cosine":
            continue
        lines.append(f"{name}: {a} in the checkpoint, {b} now")
    return lines


def _plain(value):
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value
